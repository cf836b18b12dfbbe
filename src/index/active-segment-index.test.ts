import assert from "node:assert/strict";
import { test } from "node:test";
import { atOnce } from "../base/rest.ts";
import type { ActiveSegmentParts } from "./active-parts.ts";
import { ActiveSegmentIndex } from "./active-segment-index.ts";
import { Interner } from "./interner.ts";
import { OFFSET_FOREIGN_ID } from "./segment-index.ts";

function interners(): { entities: Interner; scopes: Interner } {
  const entities = new Interner();
  const scopes = new Interner();
  for (const name of ["a", "b", "c"]) entities.intern(name);
  scopes.intern("s");
  scopes.intern("t");
  return { entities, scopes };
}

/** Adds a row of entity `entity` whose other fields follow from its clock. */
function add(index: ActiveSegmentIndex, entity: number, clock: number, sequence = index.nextSequence): void {
  index.pushValues(entity, 0, 0x1000, clock, 64 + clock, 1000 + clock, 7 + clock, 1, 0, sequence, entity === 0 ? 3 : -1);
}

test("what look-ups built is kept up as rows are added", () => {
  const { entities, scopes } = interners();
  const index = new ActiveSegmentIndex(entities, scopes, 5);
  add(index, 0, 10);
  assert.deepEqual(index.rowsByIdTag(17), [0]);
  const out = new Uint32Array(8);
  assert.equal(index.cursor({ entity: "a" }, 0, 1, "forward").next(out), 1);
  for (let clock = 11; clock < 5000; clock++) add(index, clock % 2, clock);
  assert.deepEqual(index.rowsByIdTag(7 + 4321), [4311]);
  assert.equal(index.cursor({ entity: "b", clockFrom: 4000 }, 0, index.rowCount, "forward").next(out), 8);
  assert.deepEqual([...out], [3991, 3993, 3995, 3997, 3999, 4001, 4003, 4005]);
  assert.equal(index.rowCount, 4990);
  assert.equal(index.entity("a")?.previousSequence, 3);
  assert.equal(index.entity("b")?.previousSequence, -1);
  assert.equal(index.entity("c"), null);
});

test("a cursor shows no row past its bound, whatever is added after", () => {
  const { entities, scopes } = interners();
  const index = new ActiveSegmentIndex(entities, scopes, 0);
  for (let clock = 0; clock < 100; clock++) add(index, 0, clock);
  const cursors = [{ entity: "a" }, { scope: "s" }, {}].map((filter) => index.cursor(filter, 0, 50, "forward"));
  const out = new Uint32Array(30);
  for (const cursor of cursors) assert.equal(cursor.next(out), 30);
  for (let clock = 100; clock < 9000; clock++) add(index, 0, clock);
  for (const cursor of cursors) {
    assert.equal(cursor.next(out), 20);
    assert.equal(out[19], 49);
    assert.equal(cursor.next(out), 0);
  }
});

test("the column of sequences comes with the first gap", () => {
  const { entities, scopes } = interners();
  const index = new ActiveSegmentIndex(entities, scopes, 5);
  add(index, 0, 0, 8);
  assert.equal(index.firstSequence, 8);
  add(index, 0, 1);
  assert.equal(index.dense, true);
  add(index, 0, 2, 20);
  add(index, 0, 3);
  assert.equal(index.dense, false);
  assert.deepEqual(
    [0, 1, 2, 3].map((row) => index.sequenceAt(row)),
    [8, 9, 20, 21],
  );
  assert.deepEqual(
    [7, 9, 10, 20, 22].map((sequence) => index.rowAtSequence(sequence)),
    [0, 1, 2, 2, 4],
  );
  assert.throws(() => add(index, 0, 4, 21), /order of their sequences/);
});

test("only ids that the writer did not issue count as foreign", () => {
  const { entities, scopes } = interners();
  const index = new ActiveSegmentIndex(entities, scopes, 0);
  add(index, 0, 0);
  assert.equal(index.mayHoldForeignId(7, 1), false);
  index.pushValues(0, 0, 1, 1, OFFSET_FOREIGN_ID, 0, 99, 1, 0, 1, -1);
  assert.equal(index.mayHoldForeignId(99, 1), true);
  assert.equal(index.mayHoldForeignId(98, 1), false);
});

test("a checkpoint of the first rows restores to just those", () => {
  const { entities, scopes } = interners();
  const index = new ActiveSegmentIndex(entities, scopes, 5);
  add(index, 1, 0);
  add(index, 0, 7);
  add(index, 2, 3);
  const restored = atOnce(ActiveSegmentIndex.fromColumns(index.columnsForCheckpoint(2), entities, scopes));
  assert.ok(restored);
  assert.equal(restored.rowCount, 2);
  assert.equal(restored.nextSequence, 7);
  assert.equal(restored.entity("a")?.previousSequence, 3);
  assert.equal(restored.entity("c"), null);
  add(restored, 2, 4);
  assert.equal(restored.entity("c")?.firstClock, 4);
});

test("a checkpoint of no rows restores, also where later rows have gaps", () => {
  const { entities, scopes } = interners();
  const index = new ActiveSegmentIndex(entities, scopes, 5);
  add(index, 0, 0);
  add(index, 0, 1, 9);
  const restored = atOnce(ActiveSegmentIndex.fromColumns(index.columnsForCheckpoint(0), entities, scopes));
  assert.equal(restored?.rowCount, 0);
  assert.equal(restored?.nextSequence, 5);
  const first = atOnce(ActiveSegmentIndex.fromColumns(index.columnsForCheckpoint(1), entities, scopes));
  assert.equal(first?.nextSequence, 6);
});

test("parts that cannot be a segment index are refused", () => {
  const { entities, scopes } = interners();
  const index = new ActiveSegmentIndex(entities, scopes, 5);
  for (let clock = 0; clock < 4; clock++) add(index, clock % 3, clock, 5 + clock * 2);
  const good = index.columnsForCheckpoint();
  const doubles = (...values: number[]): Uint8Array => new Uint8Array(Float64Array.from(values).buffer);
  assert.ok(atOnce(ActiveSegmentIndex.fromColumns(good, entities, scopes)));
  const bad: [string, Partial<ActiveSegmentParts>][] = [
    ["more rows than columns", { rowCount: 5 }],
    ["a fraction of a row", { rowCount: 3.5 }],
    ["rows below none", { rowCount: -1 }],
    ["an unknown entity", { entityIds: good.entityIds.map(() => 9) }],
    ["an unknown scope", { scopeIds: good.scopeIds.map(() => 9) }],
    ["more rows of an entity than there are", { rowCounts: good.rowCounts.map(() => 9) }],
    ["a last row past the end", { lastRows: good.lastRows.map(() => 9) }],
    ["sequences that stand still", { sequence: doubles(5, 7, 7, 11) }],
    ["a first sequence that is not the first", { firstSequence: 4 }],
    ["a link too few", { previousSequences: doubles(-1, -1) }],
    ["a link too many", { previousSequences: doubles(-1, -1, -1, -1) }],
    ["a link that is no sequence", { previousSequences: doubles(-1, 0.5, -1) }],
    ["a ragged column", { kind: good.kind.subarray(1) }],
  ];
  for (const [what, change] of bad)
    assert.equal(atOnce(ActiveSegmentIndex.fromColumns({ ...good, ...change }, entities, scopes)), null, what);
});
