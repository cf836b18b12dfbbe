/** Which segments make up the log, of logs that would take long to make. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { encodeSegmentHeader, type SegmentHeader } from "../format/native/segment-header.ts";
import { growth } from "../testing/growth.ts";
import type { SegmentFiles } from "./segment-files.ts";
import { readLog } from "./segment-list.ts";

const STORE = new Uint8Array(16).fill(7);

function filesOf(headers: ReadonlyMap<number, Uint8Array>): SegmentFiles {
  const file = (id: number) => ({
    readSync: (into: Uint8Array) => {
      into.set(headers.get(id) as Uint8Array);
      return into.length;
    },
  });
  return { file } as unknown as SegmentFiles;
}

function encoded(segmentId: number, more: Partial<SegmentHeader> = {}): [number, Uint8Array] {
  const header = { storeId: STORE, segmentId, firstSequence: segmentId, generation: 0, replacesFrom: 0, replacesTo: 0, createdMicros: 0 };
  return [segmentId, encodeSegmentHeader({ ...header, ...more })];
}

test("a segment that another of a newer generation stands for is replaced, however ranges lie in each other; others are the log", async () => {
  const headers = new Map([
    encoded(1),
    encoded(2, { generation: 3, replacesFrom: 2, replacesTo: 9 }),
    encoded(3, { generation: 1, replacesFrom: 3, replacesTo: 5 }),
    encoded(5),
    encoded(8, { generation: 4, replacesFrom: 8, replacesTo: 8 }),
    encoded(9),
    encoded(10, { storeId: new Uint8Array(16).fill(8) }),
    encoded(11),
  ]);
  const { segments, replaced, broken } = await readLog(filesOf(headers), [...headers.keys()]);
  assert.deepEqual(
    segments.map(({ id }) => id),
    [1, 2, 8, 11],
  );
  assert.deepEqual(replaced, [3, 5, 9]);
  assert.deepEqual(
    broken.map(({ id, outcome }) => `${id} ${outcome.kind}`),
    ["10 foreign"],
  );
});

// Found by a review of repairs: each segment was looked for in the ranges of all that compaction made.
test("a log of very many compacted segments is read in one pass over them", async () => {
  const grown = await growth(10_000, 8, async (count) => {
    const ids = Array.from({ length: count }, (_, i) => 2 * i + 1);
    const headers = new Map(ids.map((id) => encoded(id, { generation: id, replacesFrom: id, replacesTo: id + 1 })));
    const { segments } = await readLog(filesOf(headers), ids);
    assert.equal(segments.length, ids.length);
  });
  assert.ok(grown < 24, `eight times as many took ${grown.toFixed(1)} times as much`);
});
