import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { RowCursor } from "./segment-index.ts";
import { UnionCursor } from "./union-cursor.ts";

/** Yields rows a few at a time, and now and then none yet. */
class ListCursor implements RowCursor {
  readonly #rows: readonly number[];
  readonly #steps: readonly number[];
  #at = 0;
  #step = 0;
  calls = 0;

  constructor(rows: readonly number[], steps: readonly number[]) {
    this.#rows = rows;
    this.#steps = steps;
  }

  next(out: Uint32Array): number {
    this.calls++;
    const step = this.#steps[this.#step++ % this.#steps.length] as number;
    if (step === 0) return -1;
    const rows = this.#rows.slice(this.#at, this.#at + Math.min(step, out.length));
    out.set(rows);
    this.#at += rows.length;
    return rows.length;
  }

  count(scratch: Uint32Array): number {
    return this.next(scratch);
  }
}

function drain(cursor: RowCursor, size: number): number[] {
  const out = new Uint32Array(size);
  const rows: number[] = [];
  for (let count = cursor.next(out); count !== 0; count = cursor.next(out)) if (count > 0) rows.push(...out.subarray(0, count));
  assert.equal(cursor.next(out), 0, "the end stays the end");
  return rows;
}

function unionOf(cursors: readonly ListCursor[], direction: "forward" | "backward"): UnionCursor {
  return new UnionCursor(cursors.length, (source) => cursors[source] as ListCursor, direction);
}

test("any number of cursors that yield in any steps: each row once, in order, both ways", () => {
  const source = fc.record({
    rows: fc.uniqueArray(fc.nat(500), { maxLength: 60 }),
    steps: fc.array(fc.nat(5), { minLength: 1, maxLength: 4 }).map((steps) => [...steps, 1]),
  });
  const sources = fc.oneof(
    fc.array(source, { minLength: 1, maxLength: 12 }),
    fc.array(source, { minLength: 1, maxLength: 700, size: "max" }),
  );
  fc.assert(
    fc.property(sources, fc.boolean(), fc.integer({ min: 1, max: 40 }), (given, isForward, size) => {
      const order = (rows: readonly number[]): number[] => rows.toSorted((one, other) => (isForward ? one - other : other - one));
      const cursors = given.map(({ rows, steps }) => new ListCursor(order(rows), steps));
      const union = unionOf(cursors, isForward ? "forward" : "backward");
      assert.deepEqual(drain(union, size), order([...new Set(given.flatMap(({ rows }) => rows))]));
    }),
    { numRuns: 150 },
  );
});

test("of thousands of cursors only those that have to say something are asked", () => {
  const cursors = Array.from({ length: 5000 }, (_, n) => new ListCursor([n, n + 5000, n + 10_000], [1]));
  const rows = drain(unionOf(cursors, "forward"), 100);
  assert.deepEqual(
    rows,
    Array.from({ length: 15_000 }, (_, n) => n),
  );
  assert.equal(
    cursors.reduce((calls, cursor) => calls + cursor.calls, 0),
    4 * 5000,
  );
});
