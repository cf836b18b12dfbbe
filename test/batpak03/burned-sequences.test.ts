/** Behind a checkpoint of the original, events whose sequences only the footers of their segments tell: where a batch had failed, it had burned some. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { GrowingSink } from "../../src/base/byte-sink.ts";
import { encodeFooter, type FooterEntryFields } from "../../src/format/batpak03/footer.ts";
import { encodeFrame } from "../../src/format/batpak03/frame.ts";
import { BATCH } from "../../src/format/batpak03/layout.ts";
import { encodeSegmentHeader } from "../../src/format/batpak03/segment.ts";
import { batchMarker, SegmentBuilder } from "../../src/format/batpak03/segment-builder.ts";
import { Store } from "../../src/index.ts";
import { loadHashing } from "../../src/kernel/frame-kernel.ts";
import type { SimulatedDisk } from "../../src/testing/sim-disk.ts";
import { EVENT_MS, eventFields } from "../support/batpak03-events.ts";
import { DIRECTORY, diskWith } from "../support/small-stores.ts";

let events = 0;

/** A segment with an event for each of these sequences, which its footer tells. */
function segmentOf(segmentId: number, sequences: readonly number[], isSealed = true): Uint8Array {
  const sink = new GrowingSink();
  const builder = new SegmentBuilder(sink, { segmentId, createdNs: BigInt(EVENT_MS) * 1_000_000n, segmentBytesMax: 65_536 });
  for (const sequence of sequences) builder.append(sink, eventFields(events++), sequence);
  return isSealed ? Buffer.concat([sink.copy(), ...builder.seal()]) : sink.copy();
}

/** With a checkpoint of the first segment alone. */
async function checkpointed(sequences = [0, 1, 2]): Promise<SimulatedDisk> {
  await loadHashing();
  events = 0;
  const disk = diskWith(new Map([["000001.fbat", segmentOf(1, sequences)]]));
  const store = await Store.open(DIRECTORY, { disk });
  await store.checkpoint();
  await store.close();
  return disk;
}

async function numbersOf(disk: SimulatedDisk): Promise<{ sequences: number[]; replayed: number; reasons: string }> {
  const store = await Store.open(DIRECTORY, { disk, readOnly: true });
  const read = await store.read().toArray();
  const { route, eventsReplayed, reasons } = store.openReport;
  assert.equal(route, "checkpoint", reasons.join());
  assert.deepEqual(
    read.map(({ data }) => (data as { n: number }).n),
    Array.from({ length: events }, (_, n) => n),
  );
  await store.close();
  return { sequences: read.map(({ sequence }) => sequence), replayed: eventsReplayed, reasons: reasons.join() };
}

// Found by `npm run interop -- --first-seed 518`: they were numbered in file order, and had others than the original gives.
test("events behind a checkpoint have the sequences of their footers, and those without one go on from them", async () => {
  const disk = await checkpointed();
  disk.put(`${DIRECTORY}/000002.fbat`, segmentOf(2, [5, 9, 10]));
  disk.put(`${DIRECTORY}/000003.fbat`, segmentOf(3, [20, 21], false));
  // Once it had opened by a checkpoint, the original began anew.
  disk.put(`${DIRECTORY}/000004.fbat`, segmentOf(4, [0, 1]));
  disk.put(`${DIRECTORY}/000005.fbat`, segmentOf(5, [30]));
  const { sequences, replayed, reasons } = await numbersOf(disk);
  assert.deepEqual(sequences, [0, 1, 2, 5, 9, 10, 11, 12, 13, 14, 30]);
  assert.equal(replayed, 8);
  assert.equal(reasons, "the footer of segment 4 is ignored: it begins with sequence 0, 13 is due");
});

// Found by a review: they were numbered in file order, and had other sequences once the store was opened anew.
for (const hasCheckpoint of [true, false]) {
  test(`a reader that follows has the sequences of footers as one does that opens (checkpoint: ${hasCheckpoint})`, async () => {
    const disk = await checkpointed();
    if (!hasCheckpoint) disk.put(`${DIRECTORY}/index.ckpt`, null);
    const reader = await Store.open(DIRECTORY, { disk, readOnly: true });
    const steps: readonly (readonly [file: string, bytes: Uint8Array])[] = [
      ["000002.fbat", segmentOf(2, [3, 4])],
      ["000003.fbat", segmentOf(3, [7, 9])],
      // Before it has its footer, nothing tells.
      ...growing(4, [20, 21]),
      ...growing(5, [22, 23]),
      ["000006.fbat", segmentOf(6, [24], false)],
      // Once it had opened by a checkpoint, the original began anew.
      ...(hasCheckpoint ? growing(7, [0, 1]) : []),
      ...growing(8, [30]),
    ];
    for (const [file, bytes] of steps) {
      await grow(disk, `${DIRECTORY}/${file}`, bytes);
      await reader.refresh();
      const opened = await Store.open(DIRECTORY, { disk, readOnly: true });
      const [followed, anew] = await Promise.all([reader, opened].map((store) => store.read().toArray()));
      assert.deepEqual(
        followed.map(({ sequence, id }) => `${sequence} ${id}`),
        anew.map(({ sequence, id }) => `${sequence} ${id}`),
        file,
      );
      assert.deepEqual(reader.segments(), opened.segments(), file);
      await opened.close();
    }
    await reader.close();
  });
}

/** Puts the bytes into the file that is there, as a writer does, or makes it. */
async function grow(disk: SimulatedDisk, path: string, bytes: Uint8Array): Promise<void> {
  if ((await disk.status(path)) === null) return disk.put(path, bytes);
  const file = await disk.open(path, "write");
  await file.write(bytes, 0, bytes.length, 0, false);
  await file.close();
}

/** The segment before it is sealed, and after. */
function growing(segmentId: number, sequences: readonly number[]): (readonly [string, Uint8Array])[] {
  const before = events;
  const open = segmentOf(segmentId, sequences, false);
  events = before;
  return [open, segmentOf(segmentId, sequences)].map((bytes) => [`00000${segmentId}.fbat`, bytes] as const);
}

/** Where an entry's fields begin, counted from the end of the entries. */
const ENTRY = { frameOffset: 52, correlationId: 32 };
const TRAILER_BYTES = 16;

for (const [field, reason] of [
  ["frameOffset", /the footer of segment 2 is ignored: entry 2/],
  ["correlationId", /the footers behind the checkpoint are ignored: entry 2 differs from its frame/],
] as const) {
  test(`a footer behind a checkpoint whose ${field} is wrong numbers nothing, and the checkpoint is believed all the same`, async () => {
    const disk = await checkpointed();
    const segment = segmentOf(2, [5, 9, 10]);
    segment[segment.length - TRAILER_BYTES - ENTRY[field]] ^= 1;
    disk.put(`${DIRECTORY}/000002.fbat`, segment);
    const { sequences, reasons } = await numbersOf(disk);
    assert.deepEqual(sequences, [0, 1, 2, 3, 4, 5]);
    assert.match(reasons, reason);
  });
}

// Found by a review: only in a later segment, or in the end, it showed that the batch was not whole. The checkpoint was ignored then, and all events had other sequences.
test("a footer behind a checkpoint that lists events of a batch that was never ended leaves the checkpoint its sequences", async () => {
  for (const isLast of [true, false]) {
    const disk = await checkpointed([0, 5, 9]);
    const sink = new GrowingSink();
    encodeSegmentHeader(sink, { flags: 0, createdNs: BigInt(EVENT_MS) * 1_000_000n, segmentId: 2 });
    encodeFrame(sink, batchMarker(BATCH.beginKind, 2, 0, EVENT_MS * 1000, EVENT_MS));
    const [frame, frameOffset] = [eventFields(99), sink.position];
    const entry: FooterEntryFields = { frame, frameOffset, frameLength: encodeFrame(sink, frame), globalSequence: 20 };
    disk.put(`${DIRECTORY}/000002.fbat`, Buffer.concat([sink.copy(), encodeFooter(sink.position, [entry])]));
    if (!isLast) disk.put(`${DIRECTORY}/000003.fbat`, segmentOf(3, [0, 1]));
    const { sequences, reasons } = await numbersOf(disk);
    assert.deepEqual(sequences, isLast ? [0, 5, 9] : [0, 5, 9, 10, 11]);
    assert.match(
      reasons,
      /^the footers behind the checkpoint are ignored: an entry names segment 2, offset \d+, where a batch is not whole/,
    );
  }
});
