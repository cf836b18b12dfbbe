/** Each sentence of DESIGN section 6 on states that are built byte by byte: what is a torn tail, what is damage, what is kept. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { crc32 } from "node:zlib";
import { isStoreError } from "../../src/base/store-error.ts";
import { setUint64 } from "../../src/base/u64.ts";
import { DURABLE_MARK, decodeDurableMark, encodeDurableMark } from "../../src/format/native/durable-mark.ts";
import { frameSeed, segmentSeed } from "../../src/format/native/frame.ts";
import { FRAME } from "../../src/format/native/frame-layout.ts";
import { SEGMENT_HEADER } from "../../src/format/native/segment-header.ts";
import { repairStore } from "../../src/repair.ts";
import type { SimulatedDisk } from "../../src/testing/sim-disk.ts";
import {
  CHECKPOINT_PATH,
  changed,
  Counted,
  type CountedStore,
  DIRECTORY,
  diskAfter,
  endingIn,
  framesOf,
  holed,
  MARK_PATH,
  NO_MARK,
  namesOn,
  numbersIn,
  openStore,
  segmentPath,
} from "./support/log-image.ts";

const at = { entity: "counter", scope: "test" };

async function appendSingly(store: CountedStore, count: number, first = 0): Promise<void> {
  for (let n = first; n < first + count; n++) await store.append(at, Counted({ n }));
}

function rangeOf(count: number): number[] {
  return Array.from({ length: count }, (_, n) => n);
}

/** Five synced events, and a batch of five after them that is the newest group. */
function withBatchAtEnd(): Promise<SimulatedDisk> {
  return diskAfter({}, async (store) => {
    await appendSingly(store, 5);
    await store.append(
      at,
      rangeOf(5).map((n) => Counted({ n: n + 5 })),
    );
  });
}

/** Opens for writing, compares what is there, appends, and opens again. */
async function keepsExactly(disk: SimulatedDisk, numbers: readonly number[]): Promise<CountedStore["openReport"]> {
  const store = await openStore(disk);
  assert.deepEqual(await numbersIn(store), numbers);
  assert.equal((await store.append(at, Counted({ n: 99 }))).sequence, numbers.length);
  await store.close();
  const again = await openStore(disk);
  assert.deepEqual(await numbersIn(again), [...numbers, 99]);
  assert.equal(again.openReport.cut, null);
  await again.close();
  assert.equal(disk.openFileCount, 0);
  return store.openReport;
}

/** All files but the lock, which every writer leaves empty. */
function digests(disk: SimulatedDisk): string[] {
  return disk
    .paths()
    .filter((path) => !path.endsWith("/lock"))
    .map((path) => `${path} ${createHash("sha256").update(disk.bytesOf(path)).digest("hex")}`);
}

/** A writable open says CORRUPT there and changes nothing; a read-only one reports it and reads what is whole. */
async function isDamaged(disk: SimulatedDisk, place: { segmentId: number; offset: number }, whole: readonly number[]): Promise<void> {
  const before = digests(disk);
  await assert.rejects(openStore(disk), (error) => {
    assert(isStoreError(error, "CORRUPT"), String(error));
    assert.deepEqual({ segmentId: error.details.segmentId, offset: error.details.offset }, place);
    assert.equal(typeof error.details.lost, "string");
    return true;
  });
  const store = await openStore(disk, { readOnly: true });
  assert.deepEqual(await numbersIn(store), whole);
  assert(store.openReport.problems.some((problem) => problem.code === "DAMAGED" && problem.segmentId === place.segmentId));
  assert.equal(store.openReport.tornTail, null, "no writer removes what is damaged");
  await assert.rejects(store.append(at, Counted({ n: 1 })), { code: "READ_ONLY" });
  await store.close();
  assert.deepEqual(digests(disk), before);
  assert.equal(disk.openFileCount, 0);
}

test("a torn last frame is cut off, kept aside and reported; what precedes it stays", async () => {
  const disk = await diskAfter({}, (store) => appendSingly(store, 6));
  const frames = framesOf(disk, 1);
  const last = frames[frames.length - 1];
  let states = 0;
  for (let end = last.offset + 1; end < last.end; end += 13) {
    const bytes = disk.bytesOf(segmentPath(1));
    const torn = changed(disk, { ...NO_MARK, [segmentPath(1)]: endingIn(bytes, end) });
    const report = await keepsExactly(torn, rangeOf(5));
    // Zeros at the end of what was written are no bytes of it.
    let kept = end;
    while (bytes[kept - 1] === 0) kept--;
    assert.equal(report.cut?.segmentId, 1);
    assert.equal(report.cut?.offset, last.offset);
    assert.equal(report.cut?.bytes, kept - last.offset);
    assert.deepEqual(Buffer.from(torn.bytesOf(`${DIRECTORY}/${report.cut?.keptIn}`)), Buffer.from(bytes.subarray(last.offset, kept)));
    states++;
  }
  assert(states >= 10, `${states} states`);
});

test("a hole may be followed by whole frames that were never synced: cut at the hole", async () => {
  const disk = await diskAfter({ durability: "os" }, (store) => appendSingly(store, 8));
  const frames = framesOf(disk, 1);
  const hole = frames[frames.length - 4];
  const torn = changed(disk, { ...NO_MARK, [segmentPath(1)]: holed(disk.bytesOf(segmentPath(1)), hole.offset, hole.end) });
  const report = await keepsExactly(torn, rangeOf(4));
  assert.equal(report.cut?.offset, hole.offset);
  assert.equal(report.cut?.bytes, frames[frames.length - 1].end - hole.offset);
});

test("a hole in synced data is damage: a frame after it names a synced position past it", async () => {
  const disk = await diskAfter({}, (store) => appendSingly(store, 8));
  const frames = framesOf(disk, 1);
  const hole = frames[frames.length - 4];
  const bytes = holed(disk.bytesOf(segmentPath(1)), hole.offset, hole.end);
  await isDamaged(changed(disk, { ...NO_MARK, [segmentPath(1)]: bytes }), { segmentId: 1, offset: hole.offset }, [0, 1, 2, 3, 5, 6, 7]);
});

test("a bad frame right before synced frames is damage, however few bytes of it are wrong", async () => {
  const disk = await diskAfter({}, (store) => appendSingly(store, 4));
  const frames = framesOf(disk, 1);
  const bad = frames[frames.length - 2];
  for (const offset of [0, 4, 8, 20, bad.end - bad.offset - 1]) {
    const bytes = disk.bytesOf(segmentPath(1));
    bytes[bad.offset + offset] ^= 0x10;
    await isDamaged(changed(disk, { ...NO_MARK, [segmentPath(1)]: bytes }), { segmentId: 1, offset: bad.offset }, [0, 1, 3]);
  }
});

test("a bad last frame is damage when durable.mark says that it was synced, and a torn tail when no mark does", async () => {
  const disk = await diskAfter({}, (store) => appendSingly(store, 5));
  const frames = framesOf(disk, 1);
  const last = frames[frames.length - 1];
  const bytes = disk.bytesOf(segmentPath(1));
  bytes[last.end - 1] ^= 1;
  await isDamaged(changed(disk, { [segmentPath(1)]: bytes }), { segmentId: 1, offset: last.offset }, rangeOf(4));
  await keepsExactly(changed(disk, { ...NO_MARK, [segmentPath(1)]: bytes }), rangeOf(4));
});

test("a mark that is torn or of another store counts for nothing, and is rewritten", async () => {
  const disk = await diskAfter({}, (store) => appendSingly(store, 5));
  const frames = framesOf(disk, 1);
  const bytes = endingIn(disk.bytesOf(segmentPath(1)), frames[frames.length - 1].offset);
  const mark = decodeDurableMark(disk.bytesOf(MARK_PATH));
  assert(mark !== null);
  const encoded = (changes: Partial<typeof mark>): Uint8Array => {
    const made = new Uint8Array(DURABLE_MARK.bytes);
    encodeDurableMark({ ...mark, ...changes }, made, new DataView(made.buffer));
    return made;
  };
  const torn = encoded({});
  torn[50] ^= 1;
  for (const other of [torn, torn.slice(0, 40), encoded({ storeId: new Uint8Array(16) })]) {
    const left = changed(disk, { [segmentPath(1)]: bytes, [MARK_PATH]: other });
    await keepsExactly(left, rangeOf(4));
    assert.equal(decodeDurableMark(left.bytesOf(MARK_PATH))?.visibleSequence, 5);
  }
  await isDamaged(changed(disk, { [segmentPath(1)]: bytes }), { segmentId: 1, offset: bytes.length }, rangeOf(4));
});

test("a bad frame in a sealed segment is damage, and so is a sealed segment without its seal", async () => {
  const disk = await diskAfter({ segmentBytesMax: 4096 }, (store) => appendSingly(store, 60));
  assert(disk.paths().includes(segmentPath(3)));
  const frames = framesOf(disk, 1);
  const seal = frames[frames.length - 1];
  assert.equal(seal.seal, true);
  const bytes = disk.bytesOf(segmentPath(1));
  const third = frames[3];
  // Without its index block a segment is scanned; with it, reading the frame tells.
  const noBlock = endingIn(holed(bytes, third.offset + 20, third.offset + 30), seal.end);
  await isDamaged(
    changed(disk, { ...NO_MARK, [segmentPath(1)]: noBlock }),
    { segmentId: 1, offset: third.offset },
    rangeOf(60).filter((n) => n !== 2),
  );
  await isDamaged(
    changed(disk, { ...NO_MARK, [segmentPath(1)]: endingIn(bytes, seal.offset) }),
    { segmentId: 1, offset: seal.offset },
    rangeOf(60),
  );
});

test("what follows a seal is index: rebuilt when it is bad, never damage", async () => {
  const disk = await diskAfter({ segmentBytesMax: 4096 }, (store) => appendSingly(store, 60));
  const frames = framesOf(disk, 1);
  const { end } = frames[frames.length - 1];
  const bytes = disk.bytesOf(segmentPath(1));
  const garbage = Uint8Array.from({ length: 500 }, (_, i) => (i * 7919) & 0xff);
  for (const made of [
    endingIn(bytes, end),
    endingIn(bytes, end, garbage),
    holed(bytes, end, bytes.length),
    bytes.slice(0, bytes.length - 1),
  ]) {
    const report = await keepsExactly(changed(disk, { ...NO_MARK, [segmentPath(1)]: made }), rangeOf(60));
    assert(report.reasons.some((reason) => reason.includes("segment 1 is scanned")));
    assert.deepEqual(report.problems, []);
  }
});

test("a bad frame before the checkpoint's watermark, or a log that ends before it, is damage", async () => {
  const disk = await diskAfter({}, async (store) => {
    await appendSingly(store, 6);
    await store.checkpoint();
  });
  const frames = framesOf(disk, 1);
  const last = frames[frames.length - 1];
  const bytes = disk.bytesOf(segmentPath(1));
  const short = endingIn(bytes, last.offset);
  await isDamaged(changed(disk, { ...NO_MARK, [segmentPath(1)]: short }), { segmentId: 1, offset: last.offset }, rangeOf(5));
  const zeroed = holed(bytes, last.offset, last.end);
  await isDamaged(changed(disk, { ...NO_MARK, [segmentPath(1)]: zeroed }), { segmentId: 1, offset: last.offset }, rangeOf(5));
  const flipped = Uint8Array.from(bytes);
  flipped[last.end - 40] ^= 4;
  await isDamaged(changed(disk, { ...NO_MARK, [segmentPath(1)]: flipped }), { segmentId: 1, offset: last.offset }, rangeOf(5));
});

test("a log that ends before the mark's synced segment is damage", async () => {
  const disk = await diskAfter({ segmentBytesMax: 4096 }, (store) => appendSingly(store, 40));
  const newest = Math.max(...namesOn(disk).map((name) => (name.endsWith(".fbat") ? Number.parseInt(name, 10) : 0)));
  assert(newest > 1);
  const mark = decodeDurableMark(disk.bytesOf(MARK_PATH));
  const left = changed(disk, { [segmentPath(newest)]: null });
  const kept = framesOf(left, newest - 1).length;
  assert(kept > 1);
  const before = rangeOf(40).slice(0, mark?.visibleSequence);
  const reader = await openStore(left, { readOnly: true });
  const whole = await numbersIn(reader);
  await reader.close();
  assert(whole.length < before.length);
  await isDamaged(left, { segmentId: newest, offset: mark?.syncedOffset ?? 0 }, whole);
});

test("a segment that the checkpoint lists and that is gone is damage: the checkpoint is ignored, the loss reported", async () => {
  const disk = await diskAfter({ segmentBytesMax: 4096 }, async (store) => {
    await appendSingly(store, 60);
    await store.checkpoint();
  });
  const ids = namesOn(disk)
    .filter((name) => name.endsWith(".fbat"))
    .map((name) => Number.parseInt(name, 10));
  const all = await openStore(changed(disk, {}), { readOnly: true });
  const events = [];
  for await (const batch of all.readPlaced()) events.push(...batch);
  await all.close();
  assert.equal(events.length, 60);
  for (const missing of [ids[0], ids[1], ids[ids.length - 1]]) {
    const left = changed(disk, { ...NO_MARK, [segmentPath(missing)]: null });
    const whole = events.filter((placed) => placed.segmentId !== missing).map((placed) => placed.event.sequence);
    await isDamaged(left, { segmentId: missing, offset: 0 }, whole);
    const reader = await openStore(left, { readOnly: true });
    assert(reader.openReport.reasons.some((reason) => reason.includes(`segment ${missing}, which it lists, is not there`)));
    await reader.close();
  }
});

test("a missing segment in the middle is damage without any checkpoint", async () => {
  const disk = await diskAfter({ segmentBytesMax: 4096 }, (store) => appendSingly(store, 60));
  const left = changed(disk, { ...NO_MARK, [segmentPath(2)]: null });
  const first = framesOf(disk, 2).length - 1;
  const reader = await openStore(left, { readOnly: true });
  const whole = await numbersIn(reader);
  assert.equal(whole.length, 60 - first);
  await reader.close();
  await isDamaged(left, { segmentId: 2, offset: 0 }, whole);
});

test("a length of zero is the end only if nothing but zeros follows", async () => {
  const disk = await diskAfter({}, (store) => appendSingly(store, 5));
  const frames = framesOf(disk, 1);
  const { end } = frames[frames.length - 1];
  const bytes = disk.bytesOf(segmentPath(1));
  const zeros = changed(disk, { [segmentPath(1)]: endingIn(bytes, end, new Uint8Array(70_000)) });
  assert.equal((await keepsExactly(zeros, rangeOf(5))).cut, null);
  const tail = new Uint8Array(70_000);
  tail[69_000] = 5;
  const stray = changed(disk, { [segmentPath(1)]: endingIn(bytes, end, tail) });
  const report = await keepsExactly(stray, rangeOf(5));
  assert.deepEqual([report.cut?.offset, report.cut?.bytes], [end, 69_001]);
  assert.equal(stray.bytesOf(`${DIRECTORY}/${report.cut?.keptIn}`)[69_000], 5);
});

test("a newest file whose header is not whole was never begun: kept aside if not empty, and removed", async () => {
  const disk = await diskAfter({}, (store) => appendSingly(store, 5));
  const header = disk.bytesOf(segmentPath(1)).slice(0, SEGMENT_HEADER.bytes);
  let states = 0;
  const text = Buffer.from("notes that somebody has left here");
  for (const file of [new Uint8Array(), header.slice(0, 60), new Uint8Array(200), endingIn(header, 100, new Uint8Array(28)), text]) {
    const left = changed(disk, { [segmentPath(2)]: file });
    const { cut } = await keepsExactly(left, rangeOf(5));
    const kept = namesOn(left).filter((name) => name.startsWith("000002.fbat"));
    assert.deepEqual(kept, file.length === 0 ? [] : ["000002.fbat.cut-0"]);
    assert.deepEqual(cut, file.length === 0 ? null : { segmentId: 2, offset: 0, bytes: file.length, keptIn: kept[0] });
    if (file.length > 0) assert.deepEqual(Buffer.from(left.bytesOf(`${DIRECTORY}/${kept[0]}`)), Buffer.from(file));
    states++;
  }
  assert.equal(states, 5);
});

test("a segment whose whole header is of a later version is refused, to write, to read and to repair, and left as it is", async () => {
  const disk = await diskAfter({ segmentBytesMax: 4096 }, (store) => appendSingly(store, 40));
  for (const id of [1, 2]) {
    const bytes = disk.bytesOf(segmentPath(id)).slice();
    withHeader(bytes, (view) => view.setUint16(SEGMENT_HEADER.version, 2, true));
    for (const frames of [bytes, holed(bytes, SEGMENT_HEADER.bytes, bytes.length)]) {
      const left = changed(disk, { ...NO_MARK, [CHECKPOINT_PATH]: null, [segmentPath(id)]: frames });
      const before = digests(left);
      const isRefused = (error: unknown): boolean => {
        assert(isStoreError(error, "CORRUPT"), String(error));
        assert.equal(error.details.segmentId, id);
        assert.match(error.message, /format version 2, which a later version writes.*open the store with the version that wrote it/);
        return true;
      };
      await assert.rejects(openStore(left), isRefused);
      await assert.rejects(openStore(left, { readOnly: true }), isRefused);
      await assert.rejects(repairStore(DIRECTORY, { disk: left, apply: true }), isRefused);
      assert.deepEqual(digests(left), before);
    }
  }
});

test("a header of another length is told as that", async () => {
  const disk = await diskAfter({}, (store) => appendSingly(store, 5));
  const bytes = disk.bytesOf(segmentPath(1)).slice();
  withHeader(bytes, (view) => view.setUint16(SEGMENT_HEADER.headerBytes, 256, true));
  const left = changed(disk, { ...NO_MARK, [CHECKPOINT_PATH]: null, [segmentPath(1)]: bytes });
  await assert.rejects(openStore(left), /its header claims 256 bytes, one of version 1 has 128/);
  await isDamaged(left, { segmentId: 1, offset: 0 }, rangeOf(5));
});

/** Changes a segment's header, and makes its CRC right. */
function withHeader(bytes: Uint8Array, change: (view: DataView) => void): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  change(view);
  view.setUint32(SEGMENT_HEADER.crc, crc32(bytes.subarray(0, SEGMENT_HEADER.crc)), true);
}

test("a newest file that holds a frame is no file that was never begun: its lost header is damage", async () => {
  const disk = await diskAfter({ segmentBytesMax: 4096 }, (store) => appendSingly(store, 40));
  const newest = disk.paths().filter((path) => path.endsWith(".fbat")).length;
  assert.equal(newest, 2);
  const bytes = holed(disk.bytesOf(segmentPath(2)), 0, SEGMENT_HEADER.bytes);
  // The frames say by themselves whose they are: all stay readable.
  await isDamaged(changed(disk, { ...NO_MARK, [segmentPath(2)]: bytes }), { segmentId: 2, offset: 0 }, rangeOf(40));
});

test("a batch is there whole or not at all, wherever it is torn", async () => {
  const disk = await withBatchAtEnd();
  const frames = framesOf(disk, 1);
  const batch = frames.slice(-5);
  assert.deepEqual(
    batch.map((frame) => frame.marked),
    [false, false, false, false, true],
  );
  const bytes = disk.bytesOf(segmentPath(1));
  for (const frame of batch) {
    const report = await keepsExactly(changed(disk, { ...NO_MARK, [segmentPath(1)]: holed(bytes, frame.offset, frame.end) }), rangeOf(5));
    assert.equal(report.cut?.offset, batch[0].offset);
    const ended = await keepsExactly(changed(disk, { ...NO_MARK, [segmentPath(1)]: endingIn(bytes, frame.offset) }), rangeOf(5));
    assert.equal(ended.cut?.bytes ?? 0, frame === batch[0] ? 0 : lastByteBefore(bytes, frame.offset) - batch[0].offset);
  }
  await keepsExactly(changed(disk, NO_MARK), rangeOf(10));
});

function lastByteBefore(bytes: Uint8Array, end: number): number {
  let at = end;
  while (bytes[at - 1] === 0) at--;
  return at;
}

test("what recovery keeps is written again and synced before a writable open shows it, even when nothing is cut", async () => {
  const disk = await diskAfter({ durability: "os" }, (store) => appendSingly(store, 6));
  const left = disk.diskAfterKill();
  const begin = left.log.length;
  const store = await openStore(left);
  const frames = framesOf(left, 1);
  const end = frames[frames.length - 1].end;
  assert.equal(left.isDurable(segmentPath(1), 0, end), true);
  assert.equal(left.isNameDurable(segmentPath(1)), true);
  const changes = left.log.slice(begin).filter((operation) => operation.path === segmentPath(1) || operation.kind === "syncDirectory");
  const written = changes.filter((operation) => operation.kind === "write" && (operation.offset ?? 0) < end);
  assert.equal(written.reduce((total, operation) => total + (operation.length ?? 0), 0) >= end - SEGMENT_HEADER.bytes, true);
  const lastWrite = left.log.lastIndexOf(written[written.length - 1]);
  const synced = left.log.findIndex((operation, i) => i > lastWrite && operation.kind === "sync" && operation.path === segmentPath(1));
  assert(synced > lastWrite, "a sync follows the writes");
  assert.deepEqual(await numbersIn(store), rangeOf(6));
  await store.close();
});

test("no stale frame follows a new one: the cut is durable before anything is appended", async () => {
  const disk = await withBatchAtEnd();
  const batch = framesOf(disk, 1).slice(-5);
  const torn = changed(disk, { ...NO_MARK, [segmentPath(1)]: holed(disk.bytesOf(segmentPath(1)), batch[0].offset, batch[0].end) });
  const store = await openStore(torn, { checkpoint: false });
  await store.append(at, Counted({ n: 77 }));
  const left = torn.diskAfterCrash();
  const again = await openStore(left);
  assert.deepEqual(await numbersIn(again), [0, 1, 2, 3, 4, 77]);
  await again.close();
});

test("a file of another program, or of another store, among the segments is refused by name and nothing is changed", async () => {
  const disk = await diskAfter({}, (store) => appendSingly(store, 5));
  const other = await diskAfter({}, (store) => appendSingly(store, 3));
  const foreign = Uint8Array.from(Buffer.from("PNG, more or less ".repeat(20)));
  const stranger = other.bytesOf(segmentPath(1));
  for (const file of [foreign, stranger]) {
    const left = changed(disk, { [segmentPath(2)]: file });
    const before = digests(left);
    await assert.rejects(openStore(left), { code: "CORRUPT" });
    const reader = await openStore(left, { readOnly: true });
    assert.deepEqual(
      reader.openReport.problems.map(({ code, segmentId }) => [code, segmentId]),
      [["DAMAGED", 2]],
    );
    assert.equal(await reader.count(), 5);
    await reader.close();
    assert.deepEqual(digests(left), before);
    left.put(segmentPath(2), null);
    await keepsExactly(left, rangeOf(5));
  }
});

test("files with other names are left alone", async () => {
  const disk = await diskAfter({}, (store) => appendSingly(store, 5));
  const left = changed(disk, { [`${DIRECTORY}/notes.txt`]: Uint8Array.of(1), [`${DIRECTORY}/1.fbat`]: Uint8Array.of(2) });
  await keepsExactly(left, rangeOf(5));
  assert.deepEqual([...left.bytesOf(`${DIRECTORY}/notes.txt`), ...left.bytesOf(`${DIRECTORY}/1.fbat`)], [1, 2]);
});

test("a checkpoint without any segment is damage, not an empty store", async () => {
  const disk = await diskAfter({}, async (store) => {
    await appendSingly(store, 5);
    await store.checkpoint();
  });
  assert(disk.paths().includes(CHECKPOINT_PATH));
  await assert.rejects(openStore(changed(disk, { [segmentPath(1)]: null })), { code: "CORRUPT" });
});

test("of a commit with a frame that cannot stand where it stands, nothing behind that frame is shown, however long the commit is", async () => {
  const disk = await diskAfter({}, async (store) => {
    await appendSingly(store, 4);
    await store.appendBatch(rangeOf(3000).map((n) => ({ coordinate: { entity: `b:${n % 7}`, scope: "s" }, event: Counted({ n }) })));
    await appendSingly(store, 3);
  });
  const bytes = disk.bytesOf(segmentPath(1)).slice();
  // Behind a definition, four events, and five of the batch.
  const { offset, end } = framesOf(disk, 1)[10];
  const view = new DataView(bytes.buffer);
  setUint64(view, offset + FRAME.sequence, 2);
  const seed = segmentSeed(bytes.subarray(SEGMENT_HEADER.storeId, SEGMENT_HEADER.storeId + 16), 1);
  view.setUint32(offset, crc32(bytes.subarray(offset + FRAME.length, end), frameSeed(seed, offset)), true);
  const reader = await openStore(changed(disk, { [segmentPath(1)]: bytes }), { readOnly: true });
  assert.deepEqual(
    reader.openReport.problems.map(({ offset: at }) => at),
    [offset],
  );
  const sequences = (await reader.read().toArray()).map(({ sequence }) => sequence);
  assert.deepEqual(sequences, [...rangeOf(9), 3004, 3005, 3006]);
  await reader.close();
});

test("behind damage each frame is taken by itself: one that cannot stand where it stands takes nothing with it", async () => {
  const disk = await diskAfter({}, async (store) => {
    await appendSingly(store, 4);
    await store.appendBatch(rangeOf(20).map((n) => ({ coordinate: { entity: `b:${n % 7}`, scope: "s" }, event: Counted({ n }) })));
  });
  const bytes = disk.bytesOf(segmentPath(1)).slice();
  // Behind a definition and four events: the batch's third frame is damaged, its sixth has an earlier sequence.
  const frames = framesOf(disk, 1).slice(5);
  bytes[frames[2].end - 40] ^= 1;
  const { offset, end } = frames[5];
  const view = new DataView(bytes.buffer);
  setUint64(view, offset + FRAME.sequence, 2);
  const seed = segmentSeed(bytes.subarray(SEGMENT_HEADER.storeId, SEGMENT_HEADER.storeId + 16), 1);
  view.setUint32(offset, crc32(bytes.subarray(offset + FRAME.length, end), frameSeed(seed, offset)), true);
  const reader = await openStore(changed(disk, { [segmentPath(1)]: bytes }), { readOnly: true });
  // All but these two: batches behind damage may come in part.
  assert.equal((await reader.stats()).events, 4 + 18);
  await reader.close();
});
