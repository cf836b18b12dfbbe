/** Rows of a growing segment by scope and kind: whatever part of them is listed, a question gets the rows that a look at each would. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { ActiveLists } from "./active-lists.ts";
import { ActiveSegmentIndex } from "./active-segment-index.ts";
import { Interner } from "./interner.ts";
import type { RowCursor, RowFilter } from "./segment-index.ts";

const SCOPES = 300;
const KINDS = 5;
const entities = new Interner();
const scopes = new Interner();
entities.intern("e");
for (let scope = 0; scope < SCOPES; scope++) scopes.intern(`s:${scope}`);

const scopeOf = (row: number): number => (row * 7 + (row >> 5)) % SCOPES;
const kindOf = (row: number): number => 0x1000 + (row % 1000 === 17 ? KINDS : row % KINDS);

function addRows(index: ActiveSegmentIndex, to: number): void {
  for (let row = index.rowCount; row < to; row++) {
    index.pushValues(0, scopeOf(row), kindOf(row), row, 128 + row, 1_000_000 + row, row + 1, row + 1, 0, row, row - 1);
  }
}

function all(cursor: RowCursor): number[] {
  const out = new Uint32Array(1000);
  const rows: number[] = [];
  for (let count = cursor.next(out); count !== 0; count = cursor.next(out)) if (count > 0) rows.push(...out.subarray(0, count));
  return rows;
}

function count(cursor: RowCursor): number {
  const scratch = new Uint32Array(64);
  let counted = 0;
  for (let more = cursor.count(scratch); more !== 0; more = cursor.count(scratch)) counted += Math.max(0, more);
  return counted;
}

test("questions get the same rows while ever more of them are listed, and more come", () => {
  const index = new ActiveSegmentIndex(entities, scopes, 0);
  const filters: RowFilter[] = [
    { scope: "s:7" },
    { kinds: [0x1000 + KINDS] },
    { kinds: [0x1001, 0x1003] },
    { scope: "s:299", kinds: [0x1002] },
    { scopes: ["s:1", "s:2", "absent"] },
    { kinds: [0x2000] },
  ];
  const expected = (filter: RowFilter, from: number, to: number): number[] => {
    const rows: number[] = [];
    for (let row = from; row < to; row++) {
      const isInScope = filter.scope === undefined || filter.scope === `s:${scopeOf(row)}`;
      const isInScopes = filter.scopes === undefined || filter.scopes.includes(`s:${scopeOf(row)}`);
      if (isInScope && isInScopes && (filter.kinds === undefined || filter.kinds.includes(kindOf(row)))) rows.push(row);
    }
    return rows;
  };
  const covered: number[] = [];
  for (const rowCount of [10_000, 70_000, 70_100, 90_000]) {
    addRows(index, rowCount);
    for (const filter of filters) {
      for (const [from, to] of [
        [0, rowCount],
        [1000, rowCount - 1],
        [rowCount - 5000, rowCount - 10],
      ] as const) {
        const rows = expected(filter, from, to);
        assert.equal(count(index.cursor(filter, from, to, "forward")), rows.length, JSON.stringify(filter));
        assert.deepEqual(all(index.cursor(filter, from, to, "forward")), rows, JSON.stringify(filter));
        assert.deepEqual(all(index.cursor(filter, from, to, "backward")), rows.reverse(), JSON.stringify(filter));
      }
      covered.push(index.lists.covered("scope"));
    }
  }
  assert.ok(
    covered.some((rows) => rows > 0 && rows < 70_000),
    `a part was listed: ${covered.join(" ")}`,
  );
  assert.equal(covered.at(-1), 90_000);
});

test("what was asked for before more rows are taken up stays as it was", () => {
  const columns = { scope: new Uint32Array(40_000), kind: new Uint16Array(40_000).fill(0x1001) };
  const lists = new ActiveLists({ rowCount: 40_000, columns });
  const first = lists.covered("kind");
  const [list] = lists.rowsWith("kind", 0x1001);
  assert.ok(list !== undefined && first < 40_000);
  assert.ok(lists.covered("kind") > first);
  assert.equal(list.positionOfRow(40_000), first);
  const target = new Uint32Array(3);
  list.fill(first - 3, first, target);
  assert.deepEqual([...target], [first - 3, first - 2, first - 1]);
  assert.deepEqual(lists.rowsWith("kind", 0x1002), []);
  assert.equal(lists.covered("correlationTag"), 0);
});
