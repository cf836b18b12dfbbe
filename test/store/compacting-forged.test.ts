/** Compacting a log of which a frame was changed on purpose, its checksum made right again: refused with what is wrong, and nothing is changed. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { crc32 } from "node:zlib";
import { FRAME } from "../../src/format/native/frame-layout.ts";
import { entityStart, frameLength, frameSeed, segmentSeed } from "../../src/format/native/frame.ts";
import { SEGMENT_HEADER } from "../../src/format/native/segment-header.ts";
import { compactStore, isStoreError } from "../../src/index.ts";
import { framesOf } from "../crash/damage-ways.ts";
import { DIRECTORY, diskWith, filesOf, makeNativeFiles } from "../support/small-stores.ts";

// Found by a fuzzer of a review, which broke an invariant there.
test("an event of an entity that the index does not know is damage to a compaction", async () => {
  const files = new Map(await makeNativeFiles(60));
  const { file, from, sequence } = framesOf(files)[4];
  const segment = Buffer.from(files.get(file) as Uint8Array);
  const view = new DataView(segment.buffer, segment.byteOffset, segment.length);
  segment[entityStart(view, from)] ^= 0x20;
  const seed = segmentSeed(segment.subarray(SEGMENT_HEADER.storeId, SEGMENT_HEADER.storeId + 16), 1);
  const end = from + frameLength(view, from);
  segment.writeUInt32LE(crc32(segment.subarray(from + FRAME.length, end), frameSeed(seed, from)), from + FRAME.crc);
  files.set(file, segment);
  const disk = diskWith(files);
  const compacting = compactStore(DIRECTORY, { disk, query: { sequence: { from: sequence, to: sequence } } });
  await assert.rejects(compacting, (error) => {
    assert.ok(isStoreError(error, "CORRUPT"), String(error));
    assert.match(error.message, /entity that the index does not know/);
    assert.deepEqual([error.details.segmentId, error.details.offset], [1, from]);
    return true;
  });
  assert.deepEqual(filesOf(disk).get(file), new Uint8Array(segment));
});
