import assert from "node:assert/strict";
import { test } from "node:test";
import { SpareList } from "./spare-list.ts";

const spare = (capacity: number): { readonly capacity: number } => ({ capacity });

test("the one that was given back last is taken first, and none where there is none", () => {
  const list = new SpareList<{ readonly capacity: number }>(8, 100);
  const [first, second] = [spare(1), spare(2)];
  list.give(first);
  list.give(second);
  assert.equal(list.take(), second);
  assert.equal(list.take(), first);
  assert.equal(list.take(), undefined);
});

test("more than so many, and more capacity than that, are let go", () => {
  const list = new SpareList<{ readonly capacity: number }>(3, 100);
  const large = spare(90);
  list.give(large);
  list.give(spare(11));
  assert.equal(list.take(), large, "one that is too large beside the others is let go");
  assert.equal(list.take(), undefined);
  for (let i = 0; i < 5; i++) list.give(spare(10));
  assert.deepEqual(
    [list.take(), list.take(), list.take(), list.take()].map((item) => item?.capacity),
    [10, 10, 10, undefined],
  );
  list.give(spare(100));
  assert.equal(list.take()?.capacity, 100, "what was taken counts no more");
});
