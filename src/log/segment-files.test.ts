/** The segment files of a directory, as whoever reads beside a writer opens them. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { encodeSegmentHeader, SEGMENT_HEADER } from "../format/native/segment-header.ts";
import { systemError } from "../disk/system-error.ts";
import { SimulatedDisk } from "../testing/sim-disk.ts";
import { SegmentFiles, segmentName } from "./segment-files.ts";

const OWN = new Uint8Array(16).fill(1);
const OTHER = new Uint8Array(16).fill(2);

// Found by a review: the reader was told that its store had been compacted, and to look anew.
test("a file of a later generation is a merged segment only where it is of the same store", () => {
  const disk = new SimulatedDisk();
  for (const [segmentId, storeId] of [OWN, OTHER].entries()) {
    const header = { storeId, segmentId, firstSequence: 0, generation: 3, replacesFrom: 0, replacesTo: 0, createdMicros: 0 };
    disk.put(`/store/${segmentName(segmentId)}`, encodeSegmentHeader(header));
  }
  const files = new SegmentFiles(disk, "/store");
  files.expected = () => ({ storeId: OWN, generation: 2 });
  assert.throws(() => files.file(0), { code: "COMPACTED" });
  assert.equal(files.isOutdated, true);
  // What is in it is no frame of this store.
  assert.equal(files.file(1).sizeSync(), SEGMENT_HEADER.bytes);
  files.expected = () => ({ storeId: OWN, generation: 3 });
  assert.equal(files.file(0).sizeSync(), SEGMENT_HEADER.bytes);
  files.closeAll();
});

// The descriptor of a large file that was replaced is free only once the thread pool has closed it.
test("where one file that is let go of makes no room, more are, down to the last", () => {
  const disk = new SimulatedDisk();
  for (let id = 1; id <= 5; id++) disk.put(`/store/${segmentName(id)}`, new Uint8Array(SEGMENT_HEADER.bytes));
  let refusals = 0;
  const full = Object.assign(Object.create(disk) as SimulatedDisk, {
    openSync: (path: string) => {
      if (refusals-- > 0) throw systemError("EMFILE", "open", path);
      return disk.openSync(path);
    },
  });
  const files = new SegmentFiles(full, "/store");
  for (let id = 1; id <= 4; id++) files.file(id);
  refusals = 3;
  assert.equal(files.file(5).sizeSync(), SEGMENT_HEADER.bytes);
  assert.equal(disk.openFileCount, 2);
  refusals = 9;
  assert.throws(() => files.file(1), { code: "EMFILE" });
  files.closeAll();
});
