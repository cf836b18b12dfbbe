import assert from "node:assert/strict";
import { test } from "node:test";
import { newSegmentEntry } from "../log/segment-entry.ts";
import { RecentRows } from "./recent-rows.ts";
import type { SegmentEntry, StoreIndex } from "./store-index.ts";

function entry(id: number, generation = 0): SegmentEntry {
  return newSegmentEntry({ acceptedSequence: 0 } as StoreIndex, id, generation);
}

test("a row is found by its tag as long as its segment stands where it stood", () => {
  const recent = new RecentRows();
  const segments = [entry(1), entry(2)];
  assert.equal(recent.find(77, segments), null);
  const noted = { segment: segments[1], row: 5, offset: 4000, bytesMax: 300 };
  recent.note(77, 1, noted);
  assert.deepEqual(recent.find(77, segments), noted);
  assert.equal(recent.find(77 + 16_384, segments), null, "another tag of the same slot");
  assert.equal(recent.find(77, [segments[0]]), null, "a segment fewer");
  assert.equal(recent.find(77, [entry(0), ...segments]), null, "another segment in its place");
  assert.equal(recent.find(77, [segments[0], entry(2, 1)]), null, "merged by a compaction since");
  recent.note(77 + 16_384, 0, { ...noted, segment: segments[0], row: 9 });
  assert.equal(recent.find(77, segments), null, "the later one has the slot");
  assert.equal(recent.find(77 + 16_384, segments)?.row, 9);
});

test("numbers that do not fit are not noted", () => {
  const recent = new RecentRows();
  const segment = entry(1);
  for (const bytesMax of [-1, 2 ** 32, Number.NaN]) {
    recent.note(1, 0, { segment, row: 0, offset: 0, bytesMax });
    assert.equal(recent.find(1, [segment]), null);
  }
});

test("as it grows it keeps what it has", () => {
  const recent = new RecentRows();
  const segments = [entry(1)];
  // Tags of slots of their own at each size.
  for (let tag = 1; tag <= 16_383; tag++) {
    recent.note(tag, 0, { segment: segments[0], row: tag * 2, offset: tag * 100, bytesMax: 100 });
    for (const earlier of [1, tag >>> 1, tag - 1]) {
      if (earlier > 0 && tag - earlier < 128) assert.equal(recent.find(earlier, segments)?.row, earlier * 2, `${earlier} after ${tag}`);
    }
  }
  for (let tag = 1; tag <= 16_383; tag += 11) {
    if (tag > 4096) assert.equal(recent.find(tag, segments)?.row, tag * 2);
  }
});
