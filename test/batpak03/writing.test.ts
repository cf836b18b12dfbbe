/** Stores of the batpak 0.3 layout that we write: what is refused, when segments are made, what stands in them, what a checkpoint is made of. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, statSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { atOnce } from "../../src/base/rest.ts";
import { isStoreError } from "../../src/base/store-error.ts";
import { defineEvent } from "../../src/events/definition.ts";
import { decodeCheckpoint } from "../../src/format/batpak03/checkpoint-decoder.ts";
import { decodeFooter, decodeTrailer, Footer, footerMismatch } from "../../src/format/batpak03/footer.ts";
import { decodeFrame } from "../../src/format/batpak03/frame.ts";
import { hashEquals, expandHash } from "../../src/format/batpak03/hash-array.ts";
import { decodeDurableMark } from "../../src/format/native/durable-mark.ts";
import { Store } from "../../src/store.ts";
import type { StoreOptions } from "../../src/store-options.ts";
import { seededRandom } from "../../src/testing/seeded-random.ts";
import { SimulatedDisk } from "../../src/testing/sim-disk.ts";

const DIRECTORY = "/store";
const KIND = 0x1000;
const a = { entity: "a", scope: "s" };

function open(disk: SimulatedDisk, options: StoreOptions = {}): Promise<Store> {
  return Store.open(DIRECTORY, { layout: "batpak-0.3", segmentBytesMax: 4096, ...options, disk });
}

function segmentPaths(disk: SimulatedDisk): string[] {
  return disk
    .paths()
    .filter((path) => path.endsWith(".fbat"))
    .sort();
}

function bytesOf(disk: SimulatedDisk, path: string): Uint8Array {
  return new Uint8Array(disk.bytesOf(path));
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

async function replace(disk: SimulatedDisk, path: string, bytes: Uint8Array): Promise<void> {
  const file = await disk.open(path, "write");
  await file.write(bytes, 0, bytes.length, 0, false);
  await file.truncate(bytes.length);
  await file.sync();
  await file.close();
}

/** Everything that a reader sees, without where it stands. */
async function shown(store: Store): Promise<unknown[]> {
  const events = await store.read().toArray();
  return events.map((event) => JSON.parse(JSON.stringify(event)) as unknown);
}

/** Each footer's entries and each of the checkpoint's are what their frames say. Gives how many the checkpoint has. */
function checkIndexes(disk: SimulatedDisk): number {
  const segments = new Map(segmentPaths(disk).map((path) => [Number.parseInt(path.slice(-11), 10), bytesOf(disk, path)]));
  let entries = 0;
  for (const bytes of segments.values()) {
    const trailer = decodeTrailer(bytes.subarray(-16), bytes.length, 57);
    assert.ok(trailer.kind === "ok", "a segment has no footer");
    const footer = atOnce(decodeFooter(bytes.subarray(trailer.tableOffset), trailer));
    assert.ok(footer instanceof Footer);
    for (let entry = 0; entry < footer.entryCount; entry++) {
      const frame = decodeFrame(bytes, viewOf(bytes), footer.frameOffset(entry), trailer.tableOffset);
      assert.ok(frame.kind === "ok");
      assert.equal(footerMismatch(footer, entry, frame, frame.offset), null);
      assert.equal(footer.globalSequence(entry), entries++);
    }
  }
  assert.equal(checkCheckpoint(disk), entries);
  return entries;
}

/** Each entry of the checkpoint is what its frame says, and its watermark is the end of the newest segment. */
function checkCheckpoint(disk: SimulatedDisk): number {
  const segments = new Map(segmentPaths(disk).map((path) => [Number.parseInt(path.slice(-11), 10), bytesOf(disk, path)]));
  const hash = new Uint8Array(32);
  let sequence = 0;
  const decoded = decodeCheckpoint(bytesOf(disk, `${DIRECTORY}/index.ckpt`), {
    string: () => {},
    entries: () => {},
    entry: (entry) => {
      const bytes = segments.get(entry.segmentId) as Uint8Array;
      const frame = decodeFrame(bytes, viewOf(bytes), entry.offset, bytes.length);
      assert.ok(frame.kind === "ok" && frame.length === entry.length && frame.clock === entry.clock);
      expandHash(entry.bytes, entry.eventHashAt, hash, 0);
      assert.ok(hashEquals(bytes, frame.eventHashAt, hash), `entry ${sequence} has another hash than its frame`);
      assert.equal(entry.globalSequence, sequence++);
      return undefined;
    },
  });
  assert.ok(decoded.kind === "ok", "the checkpoint does not decode");
  const newest = Math.max(...segments.keys());
  assert.deepEqual(decoded.head, {
    globalSequence: sequence,
    watermarkSegmentId: newest,
    watermarkOffset: segments.get(newest)?.length,
  });
  return sequence;
}

test("what the layout has no room for is refused before anything is written", async () => {
  const disk = new SimulatedDisk();
  const Nameless = defineEvent("Nameless");
  const Second = defineEvent("Second", { version: 2, kind: { category: 1, type: 5 } });
  const unsupported = (error: unknown): boolean => isStoreError(error, "UNSUPPORTED_BY_LAYOUT");
  await assert.rejects(open(disk, { events: [Nameless] }), unsupported);
  await assert.rejects(open(disk, { events: [Second] }), unsupported);
  assert.deepEqual(disk.paths(), [], "a directory was made");
  const store = await open(disk);
  const before = disk.operationCount;
  await assert.rejects(store.append(a, { kind: KIND, data: 1 }, { metadata: { user: "u" } }), unsupported);
  await assert.rejects(store.append(a, { kind: KIND, data: 1, version: 2 }), unsupported);
  await assert.rejects(store.append(a, Nameless({})), unsupported);
  await assert.rejects(store.append(a, Second({})), unsupported);
  await assert.rejects(
    store.appendBatch([
      { coordinate: a, event: { kind: KIND, data: 1 } },
      { coordinate: a, event: Nameless({}) },
    ]),
    unsupported,
  );
  assert.equal(disk.operationCount, before, "something was written");
  await store.append(a, { kind: KIND, data: 1 });
  assert.equal(await store.count(), 1);
  await store.close();
  // In an existing directory as well.
  await assert.rejects(Store.open(DIRECTORY, { events: [Nameless], disk }), unsupported);
});

test("a definition with a kind has its name while it is known, and leaves nothing in the store", async () => {
  const disk = new SimulatedDisk();
  const Moved = defineEvent("Moved", { kind: { category: 1, type: 7 } });
  let store: Store = await open(disk);
  const { sequence } = await store.append(a, Moved({ x: 1 }));
  assert.equal(sequence, 0);
  assert.deepEqual(
    (await store.read({ kind: [Moved] }).toArray()).map(({ type }) => type),
    ["Moved"],
  );
  await store.close();
  store = await open(disk);
  assert.equal((await store.read().first())?.type, null);
  assert.equal(await store.count(), 1);
  await store.close();
  const known = await Store.open(DIRECTORY, { events: [Moved], disk });
  assert.equal((await known.read().first())?.type, "Moved");
  await known.close();
});

test("a new directory gets its first segment at opening, later openings theirs at the first append", async () => {
  const disk = new SimulatedDisk();
  await (await open(disk)).close();
  assert.equal(segmentPaths(disk).length, 1);
  assert.equal(disk.bytesOf(`${DIRECTORY}/000001.fbat`).length, 74, "an empty store is header, no names, trailer");
  const checkpoint = bytesOf(disk, `${DIRECTORY}/index.ckpt`);
  // Without the option: a directory keeps its layout.
  const idle = await Store.open(DIRECTORY, { disk });
  assert.equal(idle.openReport.route, "checkpoint");
  await idle.close();
  assert.equal(segmentPaths(disk).length, 1);
  assert.deepEqual(bytesOf(disk, `${DIRECTORY}/index.ckpt`), checkpoint);
  const store = await Store.open(DIRECTORY, { disk });
  assert.equal(segmentPaths(disk).length, 1);
  await store.append(a, { kind: KIND, data: 1 });
  assert.equal(segmentPaths(disk).length, 2);
  await store.close();
  await assert.rejects(Store.open(DIRECTORY, { disk, layout: "native" }), (error) => isStoreError(error, "LAYOUT_MISMATCH"));
  assert.equal(checkIndexes(disk), 1);
});

test("random appends come back by every route, and footers and checkpoint say what the frames say", async () => {
  const seed = Number(process.env.BATPAK_SEED ?? Math.floor(Math.random() * 2 ** 31));
  const random = seededRandom(seed);
  const upTo = (n: number): number => Math.floor(random() * n);
  const disk = new SimulatedDisk();
  let seen: unknown[] = [];
  try {
    for (let opening = 0; opening < 4; opening++) {
      const store = await open(disk, { durability: upTo(2) === 0 ? "os" : "fsync" });
      assert.deepEqual(await shown(store), seen);
      let cause: string | null = null;
      const options = (): { causedBy?: string } => (cause !== null && upTo(3) === 0 ? { causedBy: cause } : {});
      for (let n = 0; n < 40; n++) {
        const item = (): { coordinate: { entity: string; scope: string }; event: { kind: number; data: unknown } } => ({
          coordinate: { entity: `entity:${upTo(6)}`, scope: ["s", "entity:1", "日本"][upTo(3)] as string },
          event: { kind: KIND + upTo(4), data: { n, pad: "é".repeat(upTo(300)), bytes: new Uint8Array(upTo(40)) } },
        });
        const { coordinate, event } = item();
        if (upTo(4) === 0) await store.appendBatch(Array.from({ length: 1 + upTo(6) }, () => ({ ...item(), ...options() })));
        else if (upTo(3) === 0) await Promise.all([1, 2, 3].map(() => store.append(coordinate, event)));
        else cause = (await store.append(coordinate, event, options())).id;
        if (upTo(15) === 0) await store.checkpoint();
      }
      seen = await shown(store);
      await store.close();
      assert.equal(checkIndexes(disk), seen.length);
    }
    const byCheckpoint = await open(disk);
    assert.equal(byCheckpoint.openReport.route, "checkpoint");
    assert.deepEqual(await shown(byCheckpoint), seen);
    await byCheckpoint.close();
    await disk.remove(`${DIRECTORY}/index.ckpt`);
    const byFooters = await open(disk, { readOnly: true });
    assert.equal(byFooters.openReport.route, "footers");
    assert.deepEqual(await shown(byFooters), seen);
    await byFooters.close();
  } catch (error) {
    throw new Error(`seed ${seed}: ${String(error)}`, { cause: error });
  }
});

test("a checkpoint believes no footer whose hashes do not continue the chains", async () => {
  const disk = new SimulatedDisk();
  let store = await open(disk);
  for (let n = 0; n < 12; n++) await store.append(a, { kind: KIND, data: { n, pad: "p".repeat(700) } });
  const seen = await shown(store);
  await store.close();
  const path = `${DIRECTORY}/000001.fbat`;
  const bytes = bytesOf(disk, path);
  // The event hash of the first entry, 70 bytes into it; entries stand before the trailer.
  const trailer = decodeTrailer(bytes.subarray(-16), bytes.length, 57);
  assert.ok(trailer.kind === "ok");
  store = await open(disk, { checkpoint: false });
  bytes[trailer.entriesOffset + 70] ^= 0xff;
  await replace(disk, path, bytes);
  await store.append(a, { kind: KIND, data: { n: 12 } });
  await store.close();
  assert.throws(() => checkCheckpoint(disk), /watermark/);
  await (await open(disk, { checkpoint: { everyEvents: 1 } })).close();
  assert.equal(checkCheckpoint(disk), 13);
  store = await open(disk, { readOnly: true });
  assert.equal(store.openReport.route, "checkpoint", store.openReport.reasons.join("; "));
  assert.deepEqual((await shown(store)).slice(0, 12), seen);
  await store.close();
  bytes[trailer.entriesOffset + 70] ^= 0xff;
  await replace(disk, path, bytes);
  const events = await (await open(disk)).count();
  assert.equal(events, 13);
});

test("appends go on while a checkpoint is written", async () => {
  const disk = new SimulatedDisk();
  const store = await open(disk, { segmentBytesMax: 64 * 1024 });
  const appends: Promise<unknown>[] = [];
  for (let n = 0; n < 300; n++) {
    appends.push(store.append({ entity: `e${n % 7}`, scope: "s" }, { kind: KIND, data: { n, pad: "p".repeat(200) } }));
    if (n % 60 === 30) appends.push(store.checkpoint());
    if (n % 20 === 0) await appends[appends.length - 1];
  }
  await Promise.all(appends);
  await store.checkpoint();
  const seen = await shown(store);
  const killed = disk.diskAfterKill();
  const again = await open(killed);
  assert.equal(again.openReport.route, "checkpoint");
  assert.deepEqual(await shown(again), seen);
  await again.close();
  await store.close();
  assert.equal(checkIndexes(disk), 300);
});

test("a time that runs backwards is clamped within its entity, and the frame keeps what it was", async () => {
  const disk = new SimulatedDisk();
  let now = 1_700_000_000_500_250;
  const store = await open(disk, { clock: { nowMicros: () => now, monotonicMs: () => 0 } });
  await store.append(a, { kind: KIND, data: 1 });
  now -= 60_000_000;
  const clamped = await store.append(a, { kind: KIND, data: 2 });
  const other = await store.append({ entity: "b", scope: "s" }, { kind: KIND, data: 3 });
  assert.equal(clamped.timestamp, 1_700_000_000_500);
  assert.equal(other.timestamp, 1_699_999_940_500);
  await store.close();
  const bytes = bytesOf(disk, `${DIRECTORY}/000001.fbat`);
  const first = decodeFrame(bytes, viewOf(bytes), 57, bytes.length);
  assert.ok(first.kind === "ok");
  const second = decodeFrame(bytes, viewOf(bytes), 57 + first.length, bytes.length);
  assert.ok(second.kind === "ok");
  assert.deepEqual([second.wallMs, second.timestampUs], [1_700_000_000_500, 1_699_999_940_500_250]);
});

test("an import keeps ids and times, also those that run backwards, and adds nothing twice", async () => {
  const disk = new SimulatedDisk();
  const store = await open(disk);
  const records = Array.from({ length: 50 }, (_, n) => ({
    entity: `e${n % 3}`,
    scope: "s",
    kind: KIND,
    payload: { n },
    event_id: `0189${String(n).padStart(28, "0")}`,
    wall_ms: 1_700_000_000_000 - (n % 3) * 1000 + n,
  }));
  assert.equal((await store.import(records)).imported, 50);
  assert.deepEqual(await store.import(records), { imported: 0, skipped: 50, bad: [] });
  const events = await store.read().toArray();
  assert.deepEqual(
    events.map(({ timestamp, id }) => [timestamp, id.replaceAll("-", "")]),
    records.map(({ wall_ms, event_id }) => [wall_ms, event_id]),
  );
  await store.close();
});

test("whole frames behind a hole that was never synced are cut, kept aside, and never come back as damage", async () => {
  const disk = new SimulatedDisk();
  const store = await open(disk, { durability: "os", segmentBytesMax: 2 ** 20 });
  await store.append(a, { kind: KIND, data: 0 });
  await store.sync();
  const end = disk.bytesOf(`${DIRECTORY}/000001.fbat`).length;
  for (let n = 1; n < 5; n++) await store.append(a, { kind: KIND, data: n });
  const killed = disk.diskAfterKill();
  await store.close();
  const path = `${DIRECTORY}/000001.fbat`;
  const bytes = bytesOf(killed, path);
  bytes[end + 100] ^= 0xff;
  await replace(killed, path, bytes);
  const recovered = await open(killed);
  assert.equal(recovered.openReport.cut?.offset, end);
  assert.equal(await recovered.count(), 1);
  const { clock, sequence } = await recovered.append(a, { kind: KIND, data: "new" });
  assert.deepEqual({ clock, sequence }, { clock: 1, sequence: 1 });
  await recovered.close();
  assert.ok(killed.paths().some((one) => one.includes("000001.fbat.cut-")));
  await killed.remove(`${DIRECTORY}/index.ckpt`);
  const again = await open(killed);
  assert.deepEqual(again.openReport.problems, []);
  assert.equal(await again.count(), 2);
  await again.close();
});

test("the mark is synced soon after a commit", { timeout: 20_000 }, async () => {
  const disk = new SimulatedDisk();
  const store = await open(disk, { segmentBytesMax: 2 ** 20 });
  await store.append(a, { kind: KIND, data: 1 });
  const { length } = disk.bytesOf(`${DIRECTORY}/000001.fbat`);
  const synced = (): number[] =>
    [...disk.possibleDisks({ limit: 8, seed: 1 })].map(
      (left) => decodeDurableMark(bytesOf(left, `${DIRECTORY}/durable.mark`))?.syncedOffset ?? -1,
    );
  assert.ok(
    synced().some((offset) => offset < length),
    "the mark was synced with the commit",
  );
  while (synced().some((offset) => offset < length)) await new Promise((resolve) => setTimeout(resolve, 50));
  await store.close();
});

test("the checkpoint is for its owner only, and a symbolic link in its place is refused", async () => {
  const directory = mkdtempSync(join(tmpdir(), "batpak03-write-"));
  try {
    const store = await Store.open(directory, { layout: "batpak-0.3" });
    await store.append(a, { kind: KIND, data: 1 });
    await store.close();
    assert.equal(statSync(join(directory, "index.ckpt")).mode & 0o777, 0o600);
    rmSync(join(directory, "index.ckpt"));
    symlinkSync(join(directory, "elsewhere"), join(directory, "index.ckpt"));
    const again = await Store.open(directory);
    await again.append(a, { kind: KIND, data: 2 });
    await assert.rejects(again.close(), (error) => isStoreError(error, "IO"));
    const third = await Store.open(directory, { checkpoint: false });
    assert.equal(await third.count(), 2);
    await third.close();
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});

test("ids go on behind those that were issued, also where the newest event has a key", async () => {
  const repeatable = (): StoreOptions => {
    let micros = 1_700_000_000_000_000;
    return { clock: { nowMicros: () => (micros += 10), monotonicMs: () => 0 }, random: (target) => void target.fill(7) };
  };
  const disk = new SimulatedDisk();
  for (let opening = 0; opening < 3; opening++) {
    const store = await open(disk, repeatable());
    await store.append(a, { kind: KIND, data: opening });
    await store.append(a, { kind: KIND, data: opening }, { idempotencyKey: `key ${opening}` });
    await store.close();
  }
  const store = await open(disk);
  const ids = (await store.read().toArray()).map(({ id }) => id);
  assert.equal(new Set(ids).size, 6);
  const issued = ids.filter((_, position) => position % 2 === 0);
  assert.deepEqual([...issued].sort(), issued);
  await store.close();
});
