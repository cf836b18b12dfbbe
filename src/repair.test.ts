/** Repair, on stores damaged in every way that opening for writing refuses. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { crc32 } from "node:zlib";
import { delegateTo } from "./disk/delegate-disk.ts";
import type { FileMode } from "./disk/disk.ts";
import { defineEvent, type } from "./events/definition.ts";
import { frameLength, frameSeed, segmentSeed } from "./format/native/frame.ts";
import { FRAME } from "./format/native/frame-layout.ts";
import { isSeal } from "./format/native/seal.ts";
import { SEGMENT_HEADER } from "./format/native/segment-header.ts";
import { repairStore } from "./repair.ts";
import { Store } from "./store.ts";
import { SimulatedDisk } from "./testing/sim-disk.ts";

const Noted = defineEvent("Noted", { schema: type<{ n: number; text: string }>() });
const DIRECTORY = "/store";

async function makeStore(events: number): Promise<SimulatedDisk> {
  const disk = new SimulatedDisk();
  const store = await Store.open(DIRECTORY, { disk, segmentBytesMax: 16_384 });
  for (let n = 0; n < events; n += 5) {
    await store.appendBatch(
      Array.from({ length: 5 }, (_, more) => ({
        coordinate: { entity: `e${(n + more) % 7}`, scope: "s" },
        event: Noted({ n: n + more, text: "something worth keeping" }),
      })),
    );
  }
  await store.close();
  return disk;
}

async function readAll(disk: SimulatedDisk): Promise<Map<number, string>> {
  const store = await Store.open(DIRECTORY, { disk, readOnly: true });
  const events = await store.read().toArray();
  await store.close();
  return new Map(events.map((event) => [event.sequence, `${event.hash} ${JSON.stringify(event.data)}`]));
}

/** Repairs, and holds what is left against what was there: nothing else, and writable again. */
async function repairAndCompare(disk: SimulatedDisk, before: Map<number, string>, lostMax: number): Promise<void> {
  const plan = await repairStore(DIRECTORY, { disk });
  assert(plan.actions.length > 0 && !plan.applied);
  const report = await repairStore(DIRECTORY, { disk, apply: true });
  assert(report.applied && report.copies !== null);
  assert(disk.paths().some((path) => path.startsWith(`${DIRECTORY}/${report.copies}/`)));
  const store = await Store.open(DIRECTORY, { disk });
  await store.append({ entity: "after", scope: "s" }, Noted({ n: -1, text: "goes on" }));
  await store.close();
  const after = await readAll(disk);
  let kept = 0;
  for (const [sequence, event] of before) {
    // The event appended since takes the number of the first that was lost off the end.
    if (after.get(sequence)?.includes('"n":-1') !== false) continue;
    assert.equal(after.get(sequence), event);
    kept++;
  }
  assert(before.size - kept <= lostMax, `${before.size - kept} events were lost`);
  assert.equal((await repairStore(DIRECTORY, { disk })).actions.length, 0);
}

// Found by a review: a plan took the lock, made its file, and was refused where nothing can be written.
test("a plan changes nothing and takes no lock; a writer that lives, before it or in its end, is told", async () => {
  const disk = await makeStore(100);
  disk.put(`${DIRECTORY}/lock`, null);
  const bytes = disk.bytesOf(`${DIRECTORY}/000001.fbat`).slice();
  bytes[2000] ^= 1;
  disk.put(`${DIRECTORY}/000001.fbat`, bytes);
  const [paths, operations] = [disk.paths(), disk.operationCount];
  assert.equal((await repairStore(DIRECTORY, { disk })).actions[0].kind, "rebuild-segment");
  assert.deepEqual([disk.paths(), disk.operationCount], [paths, operations]);
  const store = await Store.open("/other", { disk });
  await store.append({ entity: "e", scope: "s" }, Noted({ n: 1, text: "" }));
  await assert.rejects(repairStore("/other", { disk }), { code: "LOCKED" });
  const waiting = repairStore("/other", { disk, lockWaitMs: 10_000 });
  await store.close();
  assert.deepEqual((await waiting).problems, []);
  let opened: Store | null = null;
  const beside = Object.assign(delegateTo(disk), {
    status: async (path: string) => {
      if (path.endsWith("durable.mark")) opened ??= await Store.open("/other", { disk });
      return await disk.status(path);
    },
  });
  await assert.rejects(repairStore("/other", { disk: beside }), { code: "LOCKED" });
  await (opened as unknown as Store).close();
  // Who waits looks again behind it.
  opened = null;
  const again = repairStore("/other", { disk: beside, lockWaitMs: 10_000 });
  while (opened === null) await new Promise((resolve) => setTimeout(resolve, 1));
  await new Promise((resolve) => setTimeout(resolve, 50));
  await (opened as unknown as Store).close();
  assert.deepEqual((await again).problems, []);
});

// Found by a review: it rejected with COMPACTED, or told of damage that was none.
test("a plan looks again where a writer has come, compacted and gone meanwhile", async () => {
  for (const [verb, name] of [
    ["open", "000002.fbat"],
    ["openSync", "000002.fbat"],
    ["openSync", "000003.fbat"],
    ["status", "index.ckpt"],
  ] as const) {
    const disk = await makeStore(600);
    let compacted: Promise<void> | null = null;
    const compact = async (): Promise<void> => {
      const writer = await Store.open(DIRECTORY, { disk });
      await writer.compact({ keepLast: 1 });
      await writer.close();
    };
    const beside = Object.assign(delegateTo(disk), {
      [verb]: (path: string, ...more: unknown[]) => {
        const go = (): unknown => (disk[verb] as (...all: unknown[]) => unknown)(path, ...more);
        if (compacted !== null || !path.endsWith(name)) return go();
        compacted = compact();
        return verb === "openSync" ? go() : compacted.then(go);
      },
    });
    const { problems } = await repairStore(DIRECTORY, { disk: beside, lockWaitMs: 10_000 });
    await (compacted as unknown as Promise<void>);
    assert.deepEqual(problems, [], `${verb} ${name}`);
  }
});

test("a sound store is left alone", async () => {
  const disk = await makeStore(100);
  assert.deepEqual((await repairStore(DIRECTORY, { disk, apply: true })).actions, []);
});

test("a damaged frame in any segment costs that frame only", async () => {
  for (const segment of ["000001", "000002"]) {
    const disk = await makeStore(300);
    const before = await readAll(disk);
    disk.corrupt(`${DIRECTORY}/${segment}.fbat`, 5000, (byte) => byte ^ 0x10);
    await repairAndCompare(disk, before, 1);
  }
});

// Found by a review: a repair told that nothing was wrong, of a log that had only the checkpoint to tell that it was, and every read there was CORRUPT.
test("a damaged frame that only the checkpoint tells to have been synced costs that frame only", async () => {
  const disk = new SimulatedDisk();
  const store = await Store.open(DIRECTORY, { disk, durability: "os" });
  for (let n = 0; n < 30; n++) await store.append({ entity: "e", scope: "s" }, Noted({ n, text: "something worth keeping" }));
  await store.close();
  const before = await readAll(disk);
  disk.put(`${DIRECTORY}/durable.mark`, null);
  disk.corrupt(`${DIRECTORY}/000001.fbat`, 3000, (byte) => byte ^ 0x10);
  await repairAndCompare(disk, before, 1);
});

// Found by a review: the checkpoint counted for nothing since the first segment was shorter than it said, and all behind the newest one's damaged frame was cut.
test("the same where another segment has lost its end, for which the checkpoint is not opened by", async () => {
  const disk = new SimulatedDisk();
  const store = await Store.open(DIRECTORY, { disk, durability: "os", segmentBytesMax: 4096 });
  const append = (n: number) => store.append({ entity: "e", scope: "s" }, Noted({ n, text: "something worth keeping" }));
  let events = 0;
  while (store.segments().length === 1) await append(events++);
  for (let more = 0; more < 9; more++) await append(events++);
  const { bytes } = store.segments()[0];
  await store.close();
  const before = await readAll(disk);
  disk.put(`${DIRECTORY}/durable.mark`, null);
  // The seal, and some of the event before it.
  disk.put(`${DIRECTORY}/000001.fbat`, disk.bytesOf(`${DIRECTORY}/000001.fbat`).slice(0, bytes - 150));
  disk.corrupt(`${DIRECTORY}/000002.fbat`, 500, (byte) => byte ^ 0x10);
  await repairAndCompare(disk, before, 2);
});

test("a damaged frame in a large sealed segment costs that frame only, though its index block has what looks like frames", async () => {
  const disk = new SimulatedDisk();
  const store = await Store.open(DIRECTORY, { disk, segmentBytesMax: 4 * 1024 * 1024 });
  for (let n = 0; n < 30_000; n += 1000) {
    await store.appendBatch(
      Array.from({ length: 1000 }, (_, more) => ({
        coordinate: { entity: `e${(n + more) % 700}`, scope: "s" },
        event: Noted({ n: n + more, text: "short" }),
      })),
    );
  }
  await store.close();
  assert(disk.paths().some((path) => path.endsWith("000002.fbat")));
  const before = await readAll(disk);
  disk.corrupt(`${DIRECTORY}/000001.fbat`, 2_000_000, (byte) => byte ^ 0x10);
  await repairAndCompare(disk, before, 1);
});

test("a payload in which a frame seems to begin at every second byte can be damaged, and the events around it are found", async () => {
  const disk = new SimulatedDisk();
  // Read as a frame from any even place: flags and encoding are right, names are short, and its length is some hundred thousand bytes.
  const samples = new Uint8Array(Uint16Array.from({ length: 400_000 }, (_, i) => 1 + (i % 7)).buffer);
  const store = await Store.open(DIRECTORY, { disk, segmentBytesMax: 1024 * 1024 });
  for (const data of [{ n: 1 }, samples, { n: 2 }, samples]) await store.append({ entity: "e", scope: "s" }, { kind: 0x1001, data });
  await store.close();
  const before = await readAll(disk);
  disk.corrupt(`${DIRECTORY}/000001.fbat`, 100_000, (byte) => byte ^ 0x10);
  await repairAndCompare(disk, before, 1);
});

test("a damaged header, a missing segment and a log that was cut come back as far as they are there", async () => {
  const header = await makeStore(300);
  const beforeHeader = await readAll(header);
  header.corrupt(`${DIRECTORY}/000002.fbat`, 60, (byte) => byte ^ 1);
  await repairAndCompare(header, beforeHeader, 0);

  const missing = await makeStore(300);
  const beforeMissing = await readAll(missing);
  missing.put(`${DIRECTORY}/000002.fbat`, null);
  await repairAndCompare(missing, beforeMissing, 100);

  const cut = await makeStore(300);
  const beforeCut = await readAll(cut);
  const newest = cut
    .paths()
    .filter((path) => path.endsWith(".fbat"))
    .sort((a, b) => a.localeCompare(b))
    .at(-1) as string;
  cut.put(newest, cut.bytesOf(newest).slice(0, -500));
  await repairAndCompare(cut, beforeCut, 6);
});

// Found by random damage: it was missed only once the header was mended, so that the store that had been repaired did not open.
test("a segment that is missing before one whose header is broken is put in its place as well", async () => {
  const disk = await makeStore(400);
  const before = await readAll(disk);
  const ids = disk.paths().filter((path) => path.endsWith(".fbat"));
  assert(ids.length > 2);
  disk.put(ids.at(-2) as string, null);
  disk.corrupt(ids.at(-1) as string, 60, (byte) => byte ^ 1);
  await repairAndCompare(disk, before, before.size);
});

// Found by a review: the plan said "from its right frames" where there were none, of files that only had each other's names.
// Found by a review: the file became a segment, and the one before it was left without a seal. The store was refused until it was repaired once more.
test("a foreign file right behind a newest segment that is whole costs no second repair", async () => {
  const disk = await makeStore(500);
  const before = await readAll(disk);
  const newest = disk.paths().filter((path) => path.endsWith(".fbat")).length;
  disk.put(`${DIRECTORY}/${String(newest + 1).padStart(6, "0")}.fbat`, new Uint8Array(300).fill(7));
  await assert.rejects(Store.open(DIRECTORY, { disk }), { code: "CORRUPT" });
  await repairAndCompare(disk, before, 0);
});

test("the plan tells how many frames are right, and which file is another segment under a wrong name", async () => {
  const disk = await makeStore(300);
  const swap = (): void => {
    const first = disk.bytesOf(`${DIRECTORY}/000001.fbat`).slice();
    disk.put(`${DIRECTORY}/000001.fbat`, disk.bytesOf(`${DIRECTORY}/000002.fbat`).slice());
    disk.put(`${DIRECTORY}/000002.fbat`, first);
  };
  swap();
  const { actions } = await repairStore(DIRECTORY, { disk });
  for (const [i, other] of ["000002", "000001"].entries())
    assert.equal(
      actions[i].message.replace(/ and .* repeats/, ""),
      `write 00000${i + 1}.fbat anew from nothing (no frame of it is right, all its events go); by its header it is ${other}.fbat: ` +
        "if it only got a wrong name, give it its own instead of repairing, and nothing of it is lost",
    );
  swap();
  assert.deepEqual((await repairStore(DIRECTORY, { disk })).problems, []);
  disk.corrupt(`${DIRECTORY}/000001.fbat`, 5000, (byte) => byte ^ 0x10);
  const [{ message }] = (await repairStore(DIRECTORY, { disk })).actions;
  assert.match(message, /^write 000001\.fbat anew from its \d{2} right frames$/);
});

// Found by a review: a file that had grown past what one read can take, 2 GiB, ended the repair with an error.
test("what is copied aside is copied in pieces, however large it is", async () => {
  const disk = await makeStore(100);
  disk.corrupt(`${DIRECTORY}/000001.fbat`, 5000, (byte) => byte ^ 0x10);
  const checkpoint = Uint8Array.from({ length: 9_000_001 }, (_, i) => i % 251);
  disk.put(`${DIRECTORY}/index.ckpt`, checkpoint);
  const pieces = Object.assign(delegateTo(disk), {
    open: async (path: string, mode: FileMode) => {
      const file = await disk.open(path, mode);
      const read = file.read.bind(file);
      file.read = (target, offset, length, position) => {
        assert(length <= 4 * 1024 * 1024, `${length} bytes of ${path} at once`);
        return read(target, offset, length, position);
      };
      return file;
    },
  });
  const { copies } = await repairStore(DIRECTORY, { disk: pieces, apply: true });
  assert.equal(Buffer.compare(disk.bytesOf(`${DIRECTORY}/${copies}/index.ckpt`), checkpoint), 0);
});

test("a crash between any two steps leaves a directory that can be repaired again", async () => {
  const base = await makeStore(100);
  base.corrupt(`${DIRECTORY}/000001.fbat`, 5000, (byte) => byte ^ 0x10);
  // A copy, on which everything is durable.
  const damaged = (): SimulatedDisk => {
    const disk = base.diskAfterKill();
    for (const path of disk.paths()) disk.put(path, disk.bytesOf(path));
    return disk;
  };
  const whole = damaged();
  const start = whole.operationCount;
  await repairStore(DIRECTORY, { disk: whole, apply: true });
  const expected = await readAll(whole);
  const steps = whole.operationCount - start;
  assert(steps > 5);
  for (let step = 1; step <= steps; step++) {
    const disk = damaged();
    disk.crashAfter(disk.operationCount + step);
    await repairStore(DIRECTORY, { disk, apply: true }).catch(() => {});
    for (const after of [disk.diskAfterCrash(), disk.diskAfterKill()]) {
      await repairStore(DIRECTORY, { disk: after, apply: true });
      const store = await Store.open(DIRECTORY, { disk: after });
      await store.close();
      assert.deepEqual(await readAll(after), expected);
    }
  }
  console.log(`${steps * 2} crashes of a repair survived`);
});

// Found by a review: one that began again in the same millisecond put what it met over what the first had kept.
test("what a repair has kept stays as it is, also where another begins at the same time", async () => {
  const clock = { nowMicros: () => 1_700_000_000_000_000, monotonicMs: () => performance.now() };
  const disk = await makeStore(300);
  const path = `${DIRECTORY}/000001.fbat`;
  const copies = new Map<string, Uint8Array>();
  for (const at of [5000, 7000]) {
    disk.corrupt(path, at, (byte) => byte ^ 0x10);
    const damaged = disk.bytesOf(path).slice();
    const { copies: name } = await repairStore(DIRECTORY, { disk, clock, apply: true });
    copies.set(`${DIRECTORY}/${name}/000001.fbat`, damaged);
  }
  assert.equal(copies.size, 2);
  for (const [copy, damaged] of copies) assert.deepEqual(disk.bytesOf(copy), damaged);
});

// Found by a review: each attempt left what it had copied, until nothing else had room either.
test("a repair whose copies have no room leaves none of them, and the store as it was", async () => {
  const disk = await makeStore(600);
  for (const id of [1, 2]) disk.corrupt(`${DIRECTORY}/00000${id}.fbat`, 2000, (byte) => byte ^ 1);
  const paths = disk.paths();
  let writes = 2;
  disk.faults = ({ kind, path }) => (kind === "write" && path.includes("damaged-") && writes-- <= 0 ? { error: "ENOSPC" } : undefined);
  await assert.rejects(repairStore(DIRECTORY, { disk, apply: true }), { code: "IO", message: /ENOSPC/ });
  assert.deepEqual(disk.paths(), paths);
  disk.faults = undefined;
  assert.equal((await repairStore(DIRECTORY, { disk, apply: true })).applied, true);
});

// Found by a review: a repair offered nothing, and `verify` went on telling of it.
test("a bad index block is offered to be made anew, and nothing else is changed", async () => {
  const disk = await makeStore(600);
  const path = `${DIRECTORY}/000001.fbat`;
  const whole = disk.bytesOf(path).slice();
  const before = await readAll(disk);
  // In a page, in the root, and without its end, of which the checkpoint knows that it was written: no writer that was killed had only begun it.
  for (const [change, code] of [
    [(bytes: Uint8Array) => bytes.fill(bytes[bytes.length - 3000] ^ 1, bytes.length - 3000, bytes.length - 2999), "INDEX_MISMATCH"],
    [(bytes: Uint8Array) => bytes.fill(bytes[bytes.length - 100] ^ 1, bytes.length - 100, bytes.length - 99), "INDEX_UNUSABLE"],
    [(bytes: Uint8Array) => bytes.subarray(0, bytes.length - 50), "INDEX_UNUSABLE"],
  ] as const) {
    const damaged = disk.diskAfterKill();
    damaged.put(path, change(whole.slice()));
    const reader = await Store.open(DIRECTORY, { disk: damaged, readOnly: true });
    assert.equal((await reader.verify()).ok, false);
    await reader.close();
    const plan = await repairStore(DIRECTORY, { disk: damaged });
    assert.deepEqual([...new Set(plan.problems.map((problem) => problem.code))], [code]);
    assert.deepEqual(
      plan.actions.map(({ message }) => message),
      [
        "write 000001.fbat anew without its index block, which is bad: the next writer makes another",
        "remove index.ckpt, which speaks of the log as it was",
      ],
    );
    assert.deepEqual((await repairStore(DIRECTORY, { disk: damaged, apply: true })).actions, plan.actions);
    assert.deepEqual((await repairStore(DIRECTORY, { disk: damaged })).problems, []);
    assert.deepEqual(await readAll(damaged), before);
    await (await Store.open(DIRECTORY, { disk: damaged })).close();
    assert.deepEqual(damaged.bytesOf(path), whole);
  }
});

// Found by a review: only the thousand problems that `verify` lists were looked through for it.
test("a bad index block is offered to be made anew also behind a thousand other problems", async () => {
  const disk = await makeStore(1500);
  const sealed = disk.paths().filter((path) => path.endsWith(".fbat"));
  const [path] = sealed.splice(-2);
  for (const other of sealed) disk.put(other, withOtherHashes(disk.bytesOf(other).slice()));
  disk.corrupt(path, disk.bytesOf(path).length - 3000, (byte) => byte ^ 1);
  const { actions } = await repairStore(DIRECTORY, { disk, apply: true });
  assert.deepEqual(
    actions.map(({ file }) => file),
    [path.slice(DIRECTORY.length + 1), "index.ckpt"],
  );
  assert.deepEqual((await repairStore(DIRECTORY, { disk })).problems, []);
});

/** Each event's hash is changed, and its frame is right all the same. */
function withOtherHashes(bytes: Uint8Array): Uint8Array {
  const view = new DataView(bytes.buffer);
  const storeId = bytes.subarray(SEGMENT_HEADER.storeId, SEGMENT_HEADER.storeId + 16);
  const seed = segmentSeed(storeId, view.getUint32(SEGMENT_HEADER.segmentId, true));
  for (let at = SEGMENT_HEADER.bytes; !isSeal(view, at); at += frameLength(view, at)) {
    const end = at + frameLength(view, at);
    bytes[end - 1] ^= 1;
    view.setUint32(at + FRAME.crc, crc32(bytes.subarray(at + FRAME.length, end), frameSeed(seed, at)), true);
  }
  return bytes;
}

test("an index block that says otherwise than the frames is no damage: it may be the frames that were changed", async () => {
  const disk = await makeStore(600);
  const path = `${DIRECTORY}/000001.fbat`;
  const bytes = disk.bytesOf(path).slice();
  const view = new DataView(bytes.buffer);
  const seed = segmentSeed(bytes.subarray(SEGMENT_HEADER.storeId, SEGMENT_HEADER.storeId + 16), 1);
  // The second frame: the first is the name's record.
  const at = SEGMENT_HEADER.bytes + frameLength(view, SEGMENT_HEADER.bytes);
  view.setUint16(at + FRAME.kind, 0x1777, true);
  const end = at + frameLength(view, at);
  view.setUint32(at + FRAME.crc, crc32(bytes.subarray(at + FRAME.length, end), frameSeed(seed, at)), true);
  disk.put(path, bytes);
  assert.deepEqual((await repairStore(DIRECTORY, { disk, apply: true })).problems, []);
  const store = await Store.open(DIRECTORY, { disk, readOnly: true });
  const { problems } = await store.verify();
  assert(problems.some(({ code }) => code === "INDEX_MISMATCH"));
  await store.close();
});
