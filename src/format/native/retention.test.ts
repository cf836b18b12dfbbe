import assert from "node:assert/strict";
import { test } from "node:test";
import { GrowingSink } from "../../base/byte-sink.ts";
import { ARRAY_HEADER_BYTES_MAX, makeRoom, writeArrayHeader } from "../../base/msgpack.ts";
import { encodePayload } from "../../events/payload-encode.ts";
import { seededRandom } from "../../testing/seeded-random.ts";
import { checkFrame, frameLength, payloadStart } from "./frame.ts";
import { nativeFrames } from "./frame-format.ts";
import { FRAME } from "./frame-layout.ts";
import { holdsBatches, readBatches, RetentionFrames, type RemovedRow, retentionSort, writeRow } from "./retention.ts";
import { SEGMENT_HEADER } from "./segment-header.ts";

const SEED = 7;
const random = seededRandom(12);
const drawn = (bound: number): number => Math.floor(random() * bound);
const NAMES = ["e", "käse", "x".repeat(31), "x".repeat(32), "é".repeat(130), "🙂".repeat(200)];
const BOUNDS = [1, 128, 256, 70_000, 2 ** 33, Number.MAX_SAFE_INTEGER];

function someRow(): RemovedRow {
  const number = (): number => drawn(BOUNDS[drawn(BOUNDS.length)]);
  return {
    id: Uint8Array.from({ length: 16 }, () => drawn(256)),
    entity: NAMES[drawn(NAMES.length)],
    scope: NAMES[drawn(NAMES.length)],
    kind: drawn(65_536),
    payloadHash: Uint8Array.from({ length: 32 }, () => drawn(256)),
    sequence: number(),
    clock: number(),
    timeMicros: number(),
    hash: Uint8Array.from({ length: 32 }, () => drawn(256)),
  };
}

test("batches that are written row by row are what the payload's encoder makes of them, and are read as they were", () => {
  const frames = new RetentionFrames(SEED, 5, 9);
  const batches = Array.from({ length: 40 }, () => Array.from({ length: 1 + drawn(20) }, someRow));
  const sink = new GrowingSink(16);
  for (const rows of batches) {
    makeRoom(sink, ARRAY_HEADER_BYTES_MAX);
    writeArrayHeader(sink, rows.length);
    for (const row of rows) writeRow(sink, row);
  }
  // What was there before leaves nothing in the frame that follows.
  const offsets = [frames.add({ retention: "sequences", runs: [1, 2, 300, 400] }), frames.addBatches(batches.length, sink.copy())];
  assert.deepEqual(offsets[0], SEGMENT_HEADER.bytes);
  assert.equal(frames.take(1 << 20).length, 0, "there is less than is asked for");
  const bytes = frames.take(0);
  assert.equal(frames.take(0).length, 0, "it was taken");
  assert.deepEqual([frames.count, frames.offset], [2, SEGMENT_HEADER.bytes + bytes.length]);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  for (const offset of offsets) assert.equal(checkFrame(bytes, view, offset - SEGMENT_HEADER.bytes, bytes.length, SEED, offset), "ok");
  const [first, second] = offsets.map((offset) => offset - SEGMENT_HEADER.bytes);
  assert.equal(retentionSort(nativeFrames.payload(bytes, view, first)), "sequences");
  assert.deepEqual(
    [first, second].map((at) => holdsBatches(bytes, payloadStart(view, at))),
    [false, true],
  );
  assert.deepEqual(readBatches(nativeFrames.payload(bytes, view, second)), batches);
  const expected = new GrowingSink();
  const list = (row: RemovedRow): unknown[] => Object.values(row);
  encodePayload(expected, { retention: "batches", batches: batches.map((rows) => rows.map(list)) });
  const end = second + frameLength(view, second) - FRAME.hashBytes;
  assert.deepEqual(bytes.subarray(payloadStart(view, second), end), Buffer.from(expected.copy()));
  assert.ok(bytes.subarray(second + FRAME.id, second + FRAME.variable).every((byte) => byte === 0));
});
