import assert from "node:assert/strict";
import { test } from "node:test";
import { idTag2 } from "./id-tag.ts";
import { NotedFrames } from "./noted-frames.ts";

/** Bytes with an id at 4 and a hash at 24. */
function frameOf(row: number): DataView {
  return new DataView(Uint8Array.from({ length: 60 }, (_, i) => (row * 31 + i * 7) & 0xff).buffer);
}

function endOf(row: number): number[] {
  const bytes = new Uint8Array(frameOf(row).buffer);
  return [...bytes.subarray(24, 56), ...bytes.subarray(4, 20)];
}

test("an entity's last event is given for the row that it was noted for, and for no other", () => {
  const noted = new NotedFrames();
  const target = new Uint8Array(52).fill(1);
  assert.equal(noted.copyLast(0, 0, target, 2), false);
  noted.noteLast(0, 0, frameOf(0), 4, 24);
  noted.noteLast(1, 500, frameOf(1), 4, 24);
  noted.noteLast(2, 0, frameOf(2), 4, 24);
  assert.equal(noted.copyLast(0, 0, target, 2), false, "it has a newer one");
  assert.equal(noted.copyLast(2, 499, target, 2), false, "nothing was noted for this entity");
  assert.equal(noted.copyLast(1, 501, target, 2), false, "nor for this one");
  assert.deepEqual([...target], new Array(52).fill(1));
  assert.equal(noted.copyLast(2, 0, target, 2), true);
  assert.deepEqual([...target], [1, 1, ...endOf(2), 1, 1]);
  assert.equal(noted.copyLast(1, 500, target, 0), true);
  assert.deepEqual([...target.subarray(0, 48)], endOf(1));
});

test("tags are kept of foreign ids alone", () => {
  const noted = new NotedFrames();
  noted.noteForeign(5000, frameOf(3), 4);
  assert.equal(noted.foreignTag(5000), idTag2(frameOf(3), 4));
  for (const row of [0, 4999, 5001, 1_000_000]) assert.equal(noted.foreignTag(row), 0);
});
