/** Checkpoints of the batpak 0.3 layout that are whole and say something wrong: opening goes another way and finds nothing amiss with the log, verify tells. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { decodeCheckpoint } from "../../src/format/batpak03/checkpoint-decoder.ts";
import { encodeCheckpoint } from "../../src/format/batpak03/checkpoint-encoder.ts";
import { checkpointEntryFields } from "../../src/format/batpak03/checkpoint-entry.ts";
import type { CheckpointEntryFields, CheckpointHead } from "../../src/format/batpak03/checkpoint.ts";
import { rawEvent, Store } from "../../src/index.ts";
import { SimulatedDisk } from "../../src/testing/sim-disk.ts";

const DIRECTORY = "/store";
const CHECKPOINT = `${DIRECTORY}/index.ckpt`;
const MARK = `${DIRECTORY}/durable.mark`;

interface Checkpoint {
  readonly head: CheckpointHead;
  readonly entries: readonly CheckpointEntryFields[];
}

function open(disk: SimulatedDisk, options: object = {}): Promise<Store> {
  return Store.open(DIRECTORY, { disk, layout: "batpak-0.3", segmentBytesMax: 8192, ...options });
}

/** Events of three entities, some of them in batches, in several segments. */
async function fill(store: Store, from: number, to: number): Promise<void> {
  for (let n = from; n < to; n++) {
    const coordinate = { entity: `e${n % 3}`, scope: "s" };
    const event = rawEvent(0xf001, { n });
    await store.append(coordinate, n % 7 === 3 ? [event, event] : [event]);
  }
}

async function replaced(disk: SimulatedDisk, path: string, bytes: Uint8Array): Promise<void> {
  await disk.remove(path);
  const file = await disk.open(path, "create");
  await file.write(bytes, 0, bytes.length, 0, false);
  await file.sync();
  await file.close();
  await disk.syncDirectory(DIRECTORY);
}

/** Changes what the checkpoint says; its CRC is right again. */
async function changeCheckpoint(disk: SimulatedDisk, change: (checkpoint: Checkpoint) => Checkpoint): Promise<void> {
  const strings: string[] = [];
  const before: CheckpointEntryFields[] = [];
  const decoded = decodeCheckpoint(disk.bytesOf(CHECKPOINT), {
    string: (text) => void strings.push(text),
    entries: () => {},
    entry: (entry) => void before.push(checkpointEntryFields(entry)),
  });
  assert(decoded.kind === "ok");
  const { head, entries } = change({ head: decoded.head, entries: before });
  const pieces: Uint8Array[] = [];
  const encoding = encodeCheckpoint({ head, strings, entryCount: entries.length, entries });
  let step = encoding.next();
  for (; step.done !== true; step = encoding.next()) pieces.push(step.value.slice());
  const bytes = new Uint8Array(Buffer.concat(pieces));
  bytes.set(step.value, 0);
  await replaced(disk, CHECKPOINT, bytes);
}

async function hashesOf(store: Store): Promise<string[]> {
  return (await store.read().toArray()).map(({ sequence, hash }) => `${sequence} ${hash}`);
}

/** What the entry at `index` says is changed. */
function entryChanged(index: (entries: readonly CheckpointEntryFields[]) => number, change: (entry: CheckpointEntryFields) => object) {
  return ({ head, entries }: Checkpoint): Checkpoint => {
    const at = index(entries);
    return { head, entries: entries.map((entry, i) => (i === at ? { ...entry, ...change(entry) } : entry)) };
  };
}

const longer = ({ length }: CheckpointEntryFields): object => ({ length: length + 1 });
const shorter = ({ length }: CheckpointEntryFields): object => ({ length: length - 1 });
/** An entry that no marker of a batch stands beside, the last one of the first segment, and one before that. */
const alone = (): number => 7;
const lastOfFirst = (entries: readonly CheckpointEntryFields[]): number => entries.findLastIndex(({ segmentId }) => segmentId === 1);
const inFirst = (entries: readonly CheckpointEntryFields[]): number => lastOfFirst(entries) - 2;
const without =
  (index: (entries: readonly CheckpointEntryFields[]) => number) =>
  (checkpoint: Checkpoint): Checkpoint => {
    const at = index(checkpoint.entries);
    return { ...checkpoint, entries: checkpoint.entries.filter((_, i) => i !== at) };
  };
const withHead =
  (change: (head: CheckpointHead) => Partial<CheckpointHead>) =>
  (checkpoint: Checkpoint): Checkpoint => ({
    ...checkpoint,
    head: { ...checkpoint.head, ...change(checkpoint.head) },
  });

const WRONG: Record<string, (checkpoint: Checkpoint) => Checkpoint> = {
  "no entries": (checkpoint) => ({ ...checkpoint, entries: [] }),
  "the last entries are missing": (checkpoint) => ({ ...checkpoint, entries: checkpoint.entries.slice(0, -3) }),
  "an entry is missing": without(inFirst),
  "the last entry of a segment is missing": without(lastOfFirst),
  "a watermark behind the end": withHead((head) => ({ watermarkOffset: head.watermarkOffset + 1000 })),
  "a watermark in a segment that is not there": withHead((head) => ({ watermarkSegmentId: head.watermarkSegmentId + 1 })),
  "an allocator out of range": withHead(() => ({ globalSequence: 2 ** 52 + 1 })),
  "the last event once more, with a later sequence": ({ head, entries }) => {
    const last = entries[entries.length - 1];
    const again = { ...last, globalSequence: last.globalSequence + 90 };
    return { head: { ...head, globalSequence: head.globalSequence + 100 }, entries: [...entries, again] };
  },
  "an entry that is too short": entryChanged(alone, shorter),
  "an entry that is too long": entryChanged(alone, longer),
  "an entry beside a batch is too short": entryChanged(inFirst, shorter),
  "the last entry of a segment is too short": entryChanged(lastOfFirst, shorter),
  "the last entry of a segment is too long": entryChanged(lastOfFirst, longer),
};

for (const [what, change] of Object.entries(WRONG)) {
  test(`a checkpoint that is wrong is ignored, and verify tells of it: ${what}`, async () => {
    const disk = new SimulatedDisk();
    const writer = await open(disk);
    await fill(writer, 0, 60);
    const hashes = await hashesOf(writer);
    await writer.close();
    await changeCheckpoint(disk, change);
    const store = await open(disk, { readOnly: true });
    const { route, reasons, problems, tornTails } = store.openReport;
    assert.equal(route, "footers");
    assert.match(reasons.join("; "), /^the checkpoint is ignored: /);
    assert.deepEqual([problems, tornTails], [[], []]);
    assert.deepEqual(await hashesOf(store), hashes);
    const verified = await store.verify();
    assert.deepEqual(
      verified.problems.map(({ code }) => code),
      ["CHECKPOINT_MISMATCH"],
    );
    await store.close();
  });
}

test("verify holds the hashes of every entry against its frame", async () => {
  for (const hash of ["prevHash", "eventHash"]) {
    const disk = new SimulatedDisk();
    const writer = await open(disk);
    await fill(writer, 0, 60);
    await writer.close();
    await changeCheckpoint(
      disk,
      entryChanged(inFirst, () => ({ [hash]: new Uint8Array(32).fill(7) })),
    );
    const store = await open(disk, { readOnly: true });
    const { problems } = await store.verify();
    assert.equal(problems.length, 1);
    assert.match(problems[0]?.message ?? "", /^The checkpoint does not fit the log: an entry says otherwise than .*: hash$/);
    await store.close();
  }
});

// The mark on disk may be older than the checkpoint. What stands behind the wrong entry looked like a torn tail then, and recovery would have cut it.
test("a wrong entry of the segment that was being written takes nothing away", async () => {
  const disk = new SimulatedDisk();
  const writer = await open(disk, { segmentBytesMax: 1024 * 1024 });
  await fill(writer, 0, 3);
  const mark = disk.bytesOf(MARK).slice();
  await fill(writer, 3, 20);
  await writer.checkpoint();
  const hashes = await hashesOf(writer);
  const killed = disk.diskAfterKill();
  await changeCheckpoint(killed, entryChanged(alone, shorter));
  await replaced(killed, MARK, mark);
  const store = await open(killed);
  assert.deepEqual(await hashesOf(store), hashes);
  assert.deepEqual(store.openReport.tornTails, []);
  assert.ok((await store.verify()).problems.every(({ code }) => code === "CHECKPOINT_MISMATCH"));
  await store.close();
});

// The mark on disk may be older than the checkpoint, which is written of what is synced only. By the mark alone the writer cut what was acknowledged, as a torn tail.
test("a bad frame before the end of what the checkpoint lists is damage, whatever an older mark says", async () => {
  for (const isBatch of [false, true]) {
    const disk = new SimulatedDisk();
    const writer = await open(disk, { segmentBytesMax: 1024 * 1024 });
    await fill(writer, 0, 2);
    const mark = disk.bytesOf(MARK).slice();
    const event = rawEvent(0xf001, { n: 2 });
    await writer.append({ entity: "last", scope: "s" }, isBatch ? [event, event] : event);
    await writer.close();
    await replaced(disk, MARK, mark);
    const path = `${DIRECTORY}/000001.fbat`;
    const bytes = Buffer.from(disk.bytesOf(path));
    // In the last frame: the event, or its batch's COMMIT.
    bytes[Number(bytes.readBigUInt64LE(bytes.length - 16)) - 20] ^= 1;
    await replaced(disk, path, bytes);
    const reader = await open(disk, { readOnly: true });
    assert.deepEqual(
      reader.openReport.problems.map(({ code }) => code),
      ["DAMAGED"],
      isBatch ? "a COMMIT" : "an event",
    );
    assert.deepEqual(reader.openReport.tornTails, []);
    assert.equal(await reader.count(), isBatch ? 4 : 2);
    await reader.close();
    await assert.rejects(open(disk), { code: "CORRUPT" });
    assert.ok(Buffer.from(disk.bytesOf(path)).equals(bytes));
  }
});
