/** Repair of stores with compacted segments, one story each; `test/crash/damage-compacted.test.ts` damages such stores everywhere. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { framesOf, retentionFramesOf } from "../test/crash/damage-ways.ts";
import { DIRECTORY, diskWith, type Files, filesOf } from "../test/support/small-stores.ts";
import { defineEvent, type } from "./events/definition.ts";
import type { Receipt } from "./events/event.ts";
import { nativeFrames } from "./format/native/frame-format.ts";
import { retentionSort } from "./format/native/retention.ts";
import { decodeSegmentHeader, encodeSegmentHeader, SEGMENT_HEADER, type SegmentHeader } from "./format/native/segment-header.ts";
import { encodeSeal } from "./format/native/seal.ts";
import { FRAME } from "./format/native/frame-layout.ts";
import { segmentSeed } from "./format/native/frame.ts";
import { type RepairReport, repairStore } from "./repair.ts";
import { Store } from "./store.ts";
import { SimulatedDisk } from "./testing/sim-disk.ts";
import type { VerifyResult } from "./verify.ts";

const Noted = defineEvent("Noted", { kind: 0x1001, schema: type<{ n: number; text: string }>() });
const EVENTS = 900;
const REMOVED_FROM = 20;

const append = (store: Store, n: number): Promise<Receipt> =>
  store.append({ entity: `e${n % 7}`, scope: "s" }, Noted({ n, text: "something worth keeping" }), { idempotencyKey: `k${n}` });

const idsOf = (store: Store): number[] => store.segments().map(({ id }) => id);

interface Compacted {
  readonly files: Files;
  /** The segments that became one, as they were. */
  readonly before: Files;
  readonly receipts: readonly Receipt[];
  /** The sequence that follows on the compacted segment, and on the one behind it. */
  readonly next: number;
  readonly nextBehind: number;
}

/** Segments 1 to 6 are one, of which only the first events are left; others follow. Every event has a key. */
async function makeCompacted(): Promise<Compacted> {
  const disk = new SimulatedDisk();
  const store = await Store.open(DIRECTORY, { disk, segmentBytesMax: 16_384 });
  const receipts: Receipt[] = [];
  for (let n = 0; n < EVENTS; n++) receipts.push(await append(store, n));
  const before = filesOf(disk);
  const next = store.segments()[5].nextSequence;
  const nextBehind = store.segments()[6].nextSequence;
  await store.compact({ query: { sequence: { from: REMOVED_FROM, to: next - 1 } } });
  assert.deepEqual(idsOf(store), [1, 7, 8, 9, 10]);
  await store.close();
  return { files: filesOf(disk), before, receipts, next, nextBehind };
}

const store = await makeCompacted();

function damaged(change: (files: Map<string, Uint8Array>) => void): SimulatedDisk {
  const files = new Map(store.files);
  change(files);
  return diskWith(files);
}

function flipped(files: Map<string, Uint8Array>, name: string, offset: number): void {
  const bytes = (files.get(name) as Uint8Array).slice();
  bytes[offset] ^= 0x10;
  files.set(name, bytes);
}

/** Where the frames of one sort begin that tell what compaction removed. */
function recordAt(sort: string): number[] {
  const bytes = (store.files.get("000001.fbat") as Uint8Array).slice();
  const sortAt = (at: number): unknown => retentionSort(nativeFrames.payload(bytes, new DataView(bytes.buffer), at));
  return retentionFramesOf(store.files)
    .map(({ from }) => from)
    .filter((at) => sortAt(at) === sort);
}

/** A place in the frame of an event of the compacted segment. */
const eventAt = (sequence: number): number => (framesOf(store.files).find((span) => span.sequence === sequence)?.from ?? 0) + 100;

/** Repairs for good: the store opens for writing, a second repair has nothing to do, and no sequence is given twice. */
async function repaired(disk: SimulatedDisk): Promise<{ report: RepairReport; verified: VerifyResult; opened: Store }> {
  const report = await repairStore(DIRECTORY, { disk, apply: true });
  assert(report.applied);
  const opened = await Store.open(DIRECTORY, { disk });
  const verified = await opened.verify();
  const { sequence } = await opened.append({ entity: "after", scope: "s" }, Noted({ n: -1, text: "goes on" }));
  assert(sequence >= store.next, `${sequence} was given before`);
  await opened.close();
  assert.deepEqual((await repairStore(DIRECTORY, { disk })).problems, []);
  return { report, verified, opened: await Store.open(DIRECTORY, { disk }) };
}

const facts = ({ id, sequence, clock, hash }: Receipt): unknown[] => [id, sequence, clock, hash];

async function assertAnswered(opened: Store, sequences: Iterable<number>): Promise<void> {
  for (const n of sequences) assert.deepEqual(facts(await append(opened, n)), facts(store.receipts[n]), `the retry of k${n}`);
}

function* removedSequences(): Generator<number> {
  for (let sequence = REMOVED_FROM; sequence < store.next; sequence++) yield sequence;
}

const codesOf = ({ problems }: VerifyResult): string[] => [...new Set(problems.map(({ code }) => code))].sort();

// Found by a review: the segment behind began with the sequence after the last event that was left, and no repair mended that.
test("a damaged or missing segment behind a compacted one begins where that one ends, not behind the last event that is left in it", async () => {
  const frame = await repaired(damaged((files) => flipped(files, "000007.fbat", 3000)));
  assert.deepEqual(codesOf(frame.verified), ["LOST_EVENTS", "SEQUENCE_GAP"]);
  assert.equal(await frame.opened.count(), EVENTS - (store.next - REMOVED_FROM));
  await assertAnswered(frame.opened, removedSequences());
  const header = await repaired(damaged((files) => flipped(files, "000007.fbat", 60)));
  assert.deepEqual(header.verified.problems, []);
  const missing = await repaired(damaged((files) => files.delete("000007.fbat")));
  assert.deepEqual(codesOf(missing.verified), ["LOST_EVENTS", "SEQUENCE_GAP"]);
  const [, empty, behind] = missing.opened.segments();
  assert.deepEqual([empty.id, empty.firstSequence, behind.id, behind.firstSequence], [7, store.next, 8, store.nextBehind]);
  for (const { opened } of [frame, header, missing]) await opened.close();
});

test("a compacted segment that lost an event ends where it ended, and its record still fits", async () => {
  const { verified, opened } = await repaired(damaged((files) => flipped(files, "000001.fbat", eventAt(7))));
  assert.deepEqual(codesOf(verified), ["LOST_EVENTS", "SEQUENCE_GAP"]);
  assert.equal(verified.removed, store.next - REMOVED_FROM);
  await assertAnswered(opened, removedSequences());
  await opened.close();
});

// Found by a review: what was removed was forgotten with the header, or with any frame before the summary; retries were appended once more.
test("a compacted segment with a broken header, or without a frame of its record that others repeat, loses nothing", async () => {
  const places = [
    ...Array.from({ length: SEGMENT_HEADER.bytes / 4 }, (_, word) => 4 * word),
    ...recordAt("sequences"),
    ...recordAt("entities"),
    ...recordAt("keys"),
  ];
  for (const at of places) {
    const { report, verified, opened } = await repaired(
      damaged((files) => flipped(files, "000001.fbat", at < SEGMENT_HEADER.bytes ? at : at + 50)),
    );
    assert.deepEqual(verified.problems, [], `byte ${at}`);
    assert.equal(verified.removed, store.next - REMOVED_FROM);
    // The definition's as well.
    assert.equal(report.actions[0].message, `write 000001.fbat anew from its ${REMOVED_FROM + 1} right frames`);
    assert.deepEqual(idsOf(opened), [1, 7, 8, 9, 10]);
    await assertAnswered(opened, [REMOVED_FROM, 150, store.next - 1]);
    await opened.close();
  }
});

// Found by a review: a header that was not right was taken for one without a record. Retries were appended again, and a compaction dropped the record for good.
test("a store that opens by its checkpoint, with the header of a compacted segment broken, answers no key and compacts nothing before it is repaired", async () => {
  const disk = damaged((files) => flipped(files, "000001.fbat", 60));
  const opened = await Store.open(DIRECTORY, { disk });
  assert.equal(opened.openReport.route, "checkpoint");
  const isCorrupt = {
    code: "CORRUPT",
    details: { segmentId: 1, offset: 0, reason: "its header is damaged: the header's CRC does not match" },
  };
  await assert.rejects(append(opened, 150), isCorrupt);
  await assert.rejects(append(opened, EVENTS), isCorrupt);
  for (const to of [10, store.nextBehind - 1]) await assert.rejects(opened.compact({ query: { sequence: { from: 5, to } } }), isCorrupt);
  // What asks for no key goes on.
  await opened.append({ entity: "e1", scope: "s" }, Noted({ n: -1, text: "without a key" }));
  await opened.close();
  const { verified, opened: again } = await repaired(disk);
  assert.deepEqual(verified.problems, []);
  assert.equal(verified.removed, store.next - REMOVED_FROM);
  await assertAnswered(again, removedSequences());
  await again.close();
});

test("what of the record is lost for good is told, and the rest of it goes on answering", async () => {
  const frames = recordAt("batches");
  assert(frames.length > 1);
  // About 400 rows stand in each.
  const disk = damaged((files) => flipped(files, "000001.fbat", frames[0] + 500));
  const { report, verified, opened } = await repaired(disk);
  assert.deepEqual(verified.problems, []);
  const told =
    /of its record of what compaction removed is lost: what answers retries of (\d+) removed events with keys or given ids \(such a retry appends them again\)/;
  const [, count] = told.exec(report.actions[0].message) ?? [];
  const lost = Number(count);
  assert(lost > 0 && lost < store.next - REMOVED_FROM, report.actions[0].message);
  assert.match(new TextDecoder().decode(disk.bytesOf(`${DIRECTORY}/${report.copies}/repair.json`)), told);
  await assertAnswered(opened, [...removedSequences()].slice(lost));
  const again = await append(opened, REMOVED_FROM);
  assert(again.sequence >= EVENTS);
  await opened.close();

  const summary = await repaired(damaged((files) => flipped(files, "000001.fbat", recordAt("summary")[0] + 50)));
  assert.deepEqual(summary.verified.problems, []);
  assert.equal(summary.verified.removed, store.next - REMOVED_FROM);
  assert.match(summary.report.actions[0].message, /removed is lost: the hash over the removed events$/);
  await assertAnswered(summary.opened, removedSequences());
  // The next compaction takes the record over.
  await summary.opened.compact({ query: { sequence: { from: 5, to: 10 } } });
  assert.deepEqual((await summary.opened.verify()).problems, []);
  await assertAnswered(summary.opened, [...removedSequences(), 5, 10]);
  await summary.opened.close();
});

test("of a record that is gone altogether it is said so", async () => {
  const all = (files: Map<string, Uint8Array>): void => {
    for (const { from } of retentionFramesOf(store.files)) flipped(files, "000001.fbat", from + 50);
  };
  const { report, opened } = await repaired(damaged(all));
  assert.match(report.actions[0].message, /is lost: all of it \(a retry of removed events with keys or given ids appends them again/);
  await opened.close();
  const header = await repaired(
    damaged((files) => {
      all(files);
      flipped(files, "000001.fbat", 20);
    }),
  );
  assert.match(header.report.actions[0].message, /is lost: all of it, if it had one \(a retry/);
  await header.opened.close();
  // Found by a review: nothing was said where the mark, of which a flip is told by nobody, had been lost before.
  for (const known of [["durable.mark"], ["index.ckpt"], []]) {
    const gone = damaged((files) => {
      for (const name of ["000001.fbat", "durable.mark", "index.ckpt"]) if (!known.includes(name)) files.delete(name);
    });
    const { actions } = await repairStore(DIRECTORY, { disk: gone });
    assert.match(actions[0].message, /is lost: all of it, if it had one \(a retry/);
  }
  // The files of the first and the last of three, each under the other's name: the first is the newest that is left.
  const swapped = damaged((files) => {
    for (const name of ["000007.fbat", "000008.fbat", "000009.fbat"]) files.delete(name);
    files.set("000001.fbat", store.files.get("000010.fbat") as Uint8Array).set("000010.fbat", store.files.get("000001.fbat") as Uint8Array);
  });
  const { actions } = await repairStore(DIRECTORY, { disk: swapped });
  assert.match(actions[0].message, /^write 000001.fbat .* is lost: all of it, if it had one \(a retry/);
  // The mark alone tells that others followed.
  for (const name of ["000010.fbat", "index.ckpt"]) swapped.put(`${DIRECTORY}/${name}`, null);
  const alone = await repairStore(DIRECTORY, { disk: swapped });
  assert.match(alone.actions[0].message, /^write 000001.fbat .* is lost: all of it, if it had one \(a retry/);
});

test("segments that a compaction had replaced and not yet removed do not come back with the header of the one that replaced them broken", async () => {
  const disk = damaged((files) => {
    for (const name of ["000002.fbat", "000003.fbat", "000006.fbat"]) files.set(name, store.before.get(name) as Uint8Array);
    flipped(files, "000001.fbat", 20);
  });
  const { verified, opened } = await repaired(disk);
  assert.deepEqual(verified.problems, []);
  assert.equal(await opened.count(), EVENTS - (store.next - REMOVED_FROM) + 1);
  await assertAnswered(opened, removedSequences());
  await opened.close();
});

test("a compacted segment that became the newest, since those behind it are gone, goes on answering, and gives no sequence twice", async () => {
  const disk = damaged((files) => {
    for (const name of files.keys()) if (name !== "000001.fbat") files.delete(name);
    flipped(files, "000001.fbat", 60);
  });
  const { opened } = await repaired(disk);
  await assertAnswered(opened, removedSequences());
  await opened.close();
});

test("a repair that is cut off between any two steps can be begun again, and forgets nothing that was removed", async () => {
  const damage = (): SimulatedDisk =>
    damaged((files) => {
      flipped(files, "000001.fbat", 20);
      flipped(files, "000007.fbat", 3000);
      files.delete("000008.fbat");
    });
  const whole = damage();
  const start = whole.operationCount;
  await repairStore(DIRECTORY, { disk: whole, apply: true });
  const steps = whole.operationCount - start;
  assert(steps > 10);
  for (let step = 1; step <= steps; step++) {
    const disk = damage();
    disk.crashAfter(disk.operationCount + step);
    await repairStore(DIRECTORY, { disk, apply: true }).catch(() => {});
    for (const after of [disk.diskAfterCrash(), disk.diskAfterKill()]) {
      await repairStore(DIRECTORY, { disk: after, apply: true });
      const opened = await Store.open(DIRECTORY, { disk: after });
      assert.deepEqual(idsOf(opened), [1, 7, 8, 9, 10]);
      await assertAnswered(opened, [REMOVED_FROM, store.next - 1]);
      await opened.close();
    }
  }
  console.log(`${steps * 2} crashes of a repair survived`);
});

function withHeader(files: Map<string, Uint8Array>, name: string, change: Partial<SegmentHeader>): void {
  const bytes = (files.get(name) as Uint8Array).slice();
  const outcome = decodeSegmentHeader(bytes);
  assert(outcome.kind === "ok");
  bytes.set(encodeSegmentHeader({ ...outcome.header, ...change }));
  files.set(name, bytes);
}

/** Gives segment 1 a seal that is right but for the sequence that it names. */
function withSeal(files: Map<string, Uint8Array>, nextSequence: number): void {
  const bytes = (files.get("000001.fbat") as Uint8Array).slice();
  const outcome = decodeSegmentHeader(bytes);
  assert(outcome.kind === "ok");
  // The definition's record as well.
  const frames = retentionFramesOf(store.files).length + 1 + REMOVED_FROM;
  const at = framesOf(store.files).find(({ sequence }) => sequence === REMOVED_FROM - 1)?.to ?? 0;
  bytes.set(encodeSeal({ frames, nextSequence, timeMicros: 0 }, segmentSeed(outcome.header.storeId, 1), at, SEGMENT_HEADER.bytes), at);
  files.set("000001.fbat", bytes.slice(0, at + FRAME.bytesMin));
}

test("headers and seals that contradict the segments beside them are not believed", async () => {
  const changes: ((files: Map<string, Uint8Array>) => void)[] = [
    // As an earlier repair left it.
    (files) => withHeader(files, "000007.fbat", { firstSequence: REMOVED_FROM }),
    (files) => withHeader(files, "000007.fbat", { firstSequence: 2 ** 50 }),
    (files) => withSeal(files, 2 ** 50),
    (files) => {
      withSeal(files, 2 ** 50);
      flipped(files, "000001.fbat", 20);
    },
  ];
  for (const [number, change] of changes.entries()) {
    const { verified, opened } = await repaired(damaged(change));
    assert.deepEqual(verified.problems, [], `change ${number}`);
    assert.equal(verified.removed, store.next - REMOVED_FROM);
    await assertAnswered(opened, removedSequences());
    await opened.close();
  }
});
