/** What comparing random stores of the original (`npm run interop`) has found. */
import assert from "node:assert/strict";
import { cpSync, readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { convertStore, Store, type StoreError } from "../../src/index.ts";
import { SimulatedDisk } from "../../src/testing/sim-disk.ts";
import { FIXTURES_DIRECTORY } from "../support/batpak03-fixtures.ts";
import { newDirectory } from "../support/new-directory.ts";

const EXTRA_DIRECTORY = join(dirname(fileURLToPath(import.meta.url)), "../fixtures/batpak-0.3-extra");
const TRAILER_BYTES = 16;
/** Where the first frame of a segment with a low number stands. */
const FIRST_FRAME = 57;
/** Where the kind of the first event stands in a footer that tells of one. */
const KIND_IN_FOOTER = 30;
function copyOf(directory: string): string {
  const copy = newDirectory();
  cpSync(directory, copy, { recursive: true });
  return copy;
}

function stripFooters(directory: string): void {
  for (const name of readdirSync(directory)) {
    const path = join(directory, name);
    const bytes = readFileSync(path);
    if (bytes.toString("latin1", bytes.length - 4) !== "SIDX") continue;
    truncateSync(path, Number(bytes.readBigUInt64LE(bytes.length - TRAILER_BYTES)));
  }
}

async function idsOf(directory: string): Promise<string[]> {
  const store = await Store.open(directory, { readOnly: true });
  try {
    return (await store.read().toArray()).map((event) => `${event.sequence} ${event.id}`);
  } finally {
    await store.close();
  }
}

async function problemsOf(directory: string): Promise<string[]> {
  const store = await Store.open(directory, { readOnly: true });
  try {
    return (await store.verify()).problems.map(({ code, message }) => `${code} ${message}`);
  } finally {
    await store.close();
  }
}

test("a batch over more than two segments is whole by every route, also where all footers are lost", async () => {
  const store = copyOf(join(EXTRA_DIRECTORY, "batch_segments"));
  const byCheckpoint = await idsOf(store);
  assert.equal(byCheckpoint.length, 9);
  rmSync(join(store, "index.ckpt"));
  assert.deepEqual(await idsOf(store), byCheckpoint);
  stripFooters(store);
  assert.deepEqual(await idsOf(store), byCheckpoint);
});

test("where a batch over several segments has no COMMIT, only what its process wrote is dropped", async () => {
  const store = copyOf(join(EXTRA_DIRECTORY, "batch_segments"));
  const whole = await idsOf(store);
  rmSync(join(store, "index.ckpt"));
  stripFooters(store);
  // Two single appends, BEGIN, three items: the process died there. What it leaves stands in the segments 1 to 6.
  for (const name of readdirSync(store)) if (Number.parseInt(name) > 6) rmSync(join(store, name));
  const left = await idsOf(store);
  assert.deepEqual(left.slice(0, 2), whole.slice(0, 2));
});

test("a header that was never written whole is a torn tail for verify, as it is for opening", async () => {
  const store = copyOf(join(FIXTURES_DIRECTORY, "tiny"));
  rmSync(join(store, "index.ckpt"));
  const next = join(store, "000002.fbat");
  cpSync(join(store, "000001.fbat"), next);
  truncateSync(next, 29);
  assert.equal(statSync(next).size, 29);
  assert.deepEqual(await problemsOf(store), []);
});

/** `[segment, sequence]` of each event, in the order of reading, and the route. */
async function numbersOf(directory: string): Promise<{ route: string; numbers: [number, number][] }> {
  const store = await Store.open(directory, { readOnly: true });
  try {
    const numbers: [number, number][] = [];
    for await (const batch of store.readPlaced({})) for (const { event, segmentId } of batch) numbers.push([segmentId, event.sequence]);
    return { route: store.openReport.route, numbers };
  } finally {
    await store.close();
  }
}

const counted = (segment: number, first: number, count: number): [number, number][] =>
  Array.from({ length: count }, (_, index) => [segment, first + index]);

test("behind a compacted segment without a footer the footers still number their events, and what is written then goes on behind them", async () => {
  const store = copyOf(join(FIXTURES_DIRECTORY, "compact_retention"));
  // As it is when the newest segment was being written while the others were compacted, and no checkpoint was wanted.
  rmSync(join(store, "index.ckpt"));
  rmSync(join(store, "000006.fbat"));
  const expected = { route: "footers", numbers: [...counted(1, 0, 20), ...counted(5, 32, 8)] };
  assert.deepEqual(await numbersOf(store), expected);
  const writing = await Store.open(store);
  const { sequence } = await writing.append({ entity: "new", scope: "new" }, { kind: 0x1001, data: null });
  await writing.close();
  assert.equal(sequence, 40);
});

test("footers are not believed where those of later segments begin below what stands before them", async () => {
  const store = copyOf(join(FIXTURES_DIRECTORY, "compact_retention"));
  rmSync(join(store, "index.ckpt"));
  // The original counted the events that compaction had left, 28, and went on from there, below the 39 of the segment before.
  const expected = { route: "scan", numbers: [...counted(1, 0, 20), ...counted(5, 20, 8), ...counted(6, 28, 1)] };
  assert.deepEqual(await numbersOf(store), expected);
  const reopened = copyOf(join(FIXTURES_DIRECTORY, "reopen"));
  rmSync(join(reopened, "index.ckpt"));
  // Without its footer the second segment is numbered on from the first, which comes to the same.
  const whole = await numbersOf(reopened);
  assert.equal(whole.route, "footers");
  const second = whole.numbers.filter(([segment]) => segment === 2).length;
  const path = join(reopened, "000002.fbat");
  truncateSync(path, Number(readFileSync(path).readBigUInt64LE(statSync(path).size - TRAILER_BYTES)));
  assert.ok(second > 0);
  assert.deepEqual(await numbersOf(reopened), whole);
});

test("a source whose events contradict each other is not converted, and the error says what the source has", async () => {
  const store = copyOf(join(FIXTURES_DIRECTORY, "tiny"));
  rmSync(join(store, "index.ckpt"));
  // The original begins the clocks of an entity anew where it has lost sight of its events: the same again in a second segment.
  const bytes = readFileSync(join(store, "000001.fbat"));
  const frames = bytes.subarray(FIRST_FRAME, Number(bytes.readBigUInt64LE(bytes.length - TRAILER_BYTES)));
  const header = Buffer.from(bytes.subarray(0, FIRST_FRAME));
  header[FIRST_FRAME - 1] = 2;
  writeFileSync(join(store, "000002.fbat"), Buffer.concat([header, frames]));
  const target = join(newDirectory(), "native");
  await assert.rejects(convertStore(store, target, { layout: "native" }), (error: StoreError) => {
    assert.equal(error.code, "CORRUPT");
    assert.match(error.message, /the events of the source contradict each other \(Segment 2 at offset 57, .*: its clock is 0, 3 is due\)/);
    return true;
  });
});

// It was told to be the conversion's own mistake.
test("the same where the source has a thousand other problems before that", async () => {
  const disk = new SimulatedDisk();
  const writing = await Store.open("/store", { disk, layout: "batpak-0.3", segmentBytesMax: 4096, durability: "os" });
  const event = { kind: 0x1001, data: "p".repeat(4096) };
  while (writing.segments().length < 1002) await writing.append({ entity: "e", scope: "s" }, event);
  await writing.close();
  const paths = disk.paths().filter((path) => path.endsWith(".fbat"));
  const footerOf = (path: string): number =>
    Number(Buffer.from(disk.bytesOf(path)).readBigUInt64LE(disk.bytesOf(path).length - TRAILER_BYTES));
  const newest = paths.pop() as string;
  // The number of a segment behind the 255th takes two bytes more.
  const header = disk.bytesOf(newest).slice(0, FIRST_FRAME + 2);
  disk.put(newest, Buffer.concat([header, disk.bytesOf(paths[0]).subarray(FIRST_FRAME, footerOf(paths[0]))]));
  for (const path of paths) disk.corrupt(path, footerOf(path) + KIND_IN_FOOTER, (byte) => byte ^ 1);
  for (const name of ["index.ckpt", "durable.mark"]) disk.put(`/store/${name}`, null);
  await assert.rejects(convertStore("/store", "/native", { disk, layout: "native" }), {
    code: "CORRUPT",
    message: /the events of the source contradict each other \(Segment 1002 at offset 59, e: its clock is 0, 1001 is due\)/,
  });
});

test("what is written behind a batch that was never ended is found again by the checkpoint", async () => {
  const store = copyOf(join(EXTRA_DIRECTORY, "batch_segments"));
  rmSync(join(store, "index.ckpt"));
  stripFooters(store);
  for (const name of readdirSync(store)) if (Number.parseInt(name) > 6) rmSync(join(store, name));
  for (let session = 0; session < 2; session++) {
    const writing = await Store.open(store);
    // Fewer than the batch still lacks, so that it stays open.
    await writing.append({ entity: "new", scope: "new" }, { kind: 0x1001, data: session });
    await writing.close();
  }
  const byCheckpoint = await numbersOf(store);
  assert.equal(byCheckpoint.route, "checkpoint");
  rmSync(join(store, "index.ckpt"));
  assert.deepEqual((await numbersOf(store)).numbers, byCheckpoint.numbers);
});

test("what is written behind a batch that was never ended, in a segment with a footer, is not taken for its rest", async () => {
  const store = copyOf(join(EXTRA_DIRECTORY, "batch_segments"));
  rmSync(join(store, "index.ckpt"));
  const before = await numbersOf(store);
  // The batch begins in segment 3. A footer stands behind each segment, as where the original failed half-way and was closed.
  for (const name of readdirSync(store)) if (Number.parseInt(name) > 5) rmSync(join(store, name));
  const sequences: number[] = [];
  for (let session = 0; session < 3; session++) {
    const writing = await Store.open(store);
    for (let number = 0; number < session; number++) {
      const { sequence } = await writing.append({ entity: "new", scope: "new" }, { kind: 0x1001, data: number });
      sequences.push(sequence);
    }
    await writing.close();
  }
  const kept = before.numbers.slice(0, 2).map(([, sequence]) => sequence);
  const byCheckpoint = await numbersOf(store);
  assert.equal(byCheckpoint.route, "checkpoint");
  assert.deepEqual(
    byCheckpoint.numbers.map(([, sequence]) => sequence),
    [...kept, ...sequences],
  );
  rmSync(join(store, "index.ckpt"));
  assert.equal((await numbersOf(store)).numbers.length, kept.length + sequences.length);
  assert.equal(readdirSync(store).filter((name) => name.endsWith(".fbat")).length, 5 + 1 + 2);
});
