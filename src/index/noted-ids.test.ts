import assert from "node:assert/strict";
import { test } from "node:test";
import { idTag2 } from "./id-tag.ts";
import { NotedIds } from "./noted-ids.ts";

function idOf(row: number): DataView {
  return new DataView(Uint8Array.from({ length: 20 }, (_, i) => (row * 31 + i * 7) & 0xff).buffer);
}

test("an entity's last id is given for the row that it was noted for, and for no other", () => {
  const noted = new NotedIds();
  const target = new Uint8Array(20).fill(1);
  assert.equal(noted.copyLast(0, 0, target, 2), false);
  noted.note(0, 0, idOf(0), 4);
  noted.note(1, 500, idOf(1), 4);
  noted.note(2, 0, idOf(2), 4);
  assert.equal(noted.copyLast(0, 0, target, 2), false, "it has a newer one");
  assert.equal(noted.copyLast(2, 499, target, 2), false, "nothing was noted for this entity");
  assert.equal(noted.copyLast(1, 501, target, 2), false, "nor for this one");
  assert.deepEqual([...target], new Array(20).fill(1));
  assert.equal(noted.copyLast(2, 0, target, 2), true);
  assert.deepEqual([...target], [1, 1, ...new Uint8Array(idOf(2).buffer, 4, 16), 1, 1]);
  assert.equal(noted.copyLast(1, 500, target, 0), true);
  assert.deepEqual([...target.subarray(0, 16)], [...new Uint8Array(idOf(1).buffer, 4, 16)]);
});

test("tags are kept of foreign ids alone", () => {
  const noted = new NotedIds();
  noted.note(0, 0, idOf(0), 0);
  noted.note(5000, 1, idOf(3), 4);
  noted.noteForeign(5000, idOf(3), 4);
  noted.note(5001, 1, idOf(4), 4);
  assert.equal(noted.foreignTag(5000), idTag2(idOf(3), 4));
  for (const row of [0, 4999, 5001, 1_000_000]) assert.equal(noted.foreignTag(row), 0);
  assert.ok(noted.memoryBytes >= 5001 * 4);
});
