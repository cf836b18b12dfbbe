/** Both segment indexes against a plain array of rows, on random rows and random questions. */
import assert from "node:assert/strict";
import { randomInt } from "node:crypto";
import { test } from "node:test";
import { PrefixSet } from "../base/prefix-set.ts";
import { atOnce } from "../base/rest.ts";
import { encodeIndexBlock } from "../format/native/index-block.ts";
import { ActiveSegmentIndex } from "./active-segment-index.ts";
import { blockSource } from "./block-source.ts";
import { Interner } from "./interner.ts";
import { PageCache } from "./page-cache.ts";
import { SealedSegmentIndex } from "./sealed-segment-index.ts";
import {
  endsBatch,
  OFFSET_ENDS_BATCH,
  OFFSET_FOREIGN_ID,
  type RowCursor,
  type RowFields,
  type RowFilter,
  type SegmentIndex,
} from "./segment-index.ts";

interface ModelRow extends RowFields {
  entityName: string;
  scopeName: string;
}

interface Shape {
  rows: number;
  entities: number;
  dense: boolean;
  timeOrdered: boolean;
  clockOrdered: boolean;
}

type RandomNumber = (limit: number) => number;

function randomFrom(seed: number): RandomNumber {
  let state = seed >>> 0;
  return (limit) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 0x1_0000_0000) * limit);
  };
}

const FIRST_SEQUENCE = 10_000;

function modelRows(random: RandomNumber, shape: Shape, entities: Interner, scopes: Interner): ModelRow[] {
  const clocks = new Map<string, number>();
  const rows: ModelRow[] = [];
  let sequence = FIRST_SEQUENCE;
  let time = 1_700_000_000_000_000;
  for (let row = 0; row < shape.rows; row++) {
    // Half of the rows belong to one entity, so that it spans pages.
    const entityName = random(2) === 0 ? "order:0" : `${random(2) === 0 ? "order" : "caf\u00e9"}:${random(shape.entities)}`;
    const scopeName = `shop:${random(5)}`;
    const clock = (clocks.get(entityName) ?? 40 + random(3)) + (shape.clockOrdered ? 1 + random(2) : 0);
    clocks.set(entityName, clock);
    if (row > 0 && !shape.dense && random(10) === 0) sequence += random(5);
    time += shape.timeOrdered ? random(3) : random(2001) - 1000;
    const foreign = random(4) === 0 ? OFFSET_FOREIGN_ID : 0;
    rows.push({
      entity: entities.intern(entityName),
      scope: scopes.intern(scopeName),
      kind: 0x1000 + random(6),
      clock,
      offset: (64 + row * 150 + foreign + (random(3) === 0 ? OFFSET_ENDS_BATCH : 0)) >>> 0,
      time,
      idTag: 1 + random(shape.rows),
      correlationTag: 1 + random(50),
      causationTag: random(50),
      sequence: sequence++,
      entityName,
      scopeName,
    });
  }
  return rows;
}

function activeIndex(rows: readonly ModelRow[], entities: Interner, scopes: Interner): ActiveSegmentIndex {
  const index = new ActiveSegmentIndex(entities, scopes, FIRST_SEQUENCE);
  for (const row of rows) index.push(row, 100 + row.entity);
  return index;
}

const STORE_ID = Uint8Array.from({ length: 16 }, (_, i) => i + 1);
/** The block does not begin at the start of its file. */
const FRAMES_END = 1000;

/** The second tag of a row's id: any that is a function of the row. */
function tag2Of(row: number): number {
  return Math.imul(row + 1, 0x9e3779b1) >>> 0;
}

function sealedIndex(active: ActiveSegmentIndex, entities: Interner, scopes: Interner, cache: PageCache): SealedSegmentIndex {
  const source = blockSource(active, entities, scopes, {
    storeId: STORE_ID,
    segmentId: 7,
    generation: 2,
    lastIssuedId: new Uint8Array(16).fill(5),
    systemRecords: [Buffer.from("one"), new Uint8Array(70_000).fill(3), new Uint8Array(0)],
    foreignTag2: tag2Of,
    copyLastHashAndId: (entityId, lastRow, target, offset) => {
      target.fill(entityId & 0xff, offset, offset + 32);
      target.fill(lastRow & 0xff, offset + 32, offset + 48);
    },
    framesRead: () => 0,
  });
  const parts: Uint8Array[] = [new Uint8Array(FRAMES_END)];
  for (const bytes of encodeIndexBlock(source)) parts.push(bytes);
  const file = Buffer.concat(parts);
  const readSync = (target: Uint8Array, offset: number, length: number, position: number): number =>
    file.copy(target, offset, position, position + length);
  const outcome = SealedSegmentIndex.open(readSync, file.length, cache, {
    storeId: STORE_ID,
    segmentId: 7,
    generation: 2,
    blockStart: FRAMES_END,
  });
  assert.ok(outcome.ok, outcome.ok ? "" : outcome.reason);
  return outcome.index;
}

function randomFilter(random: RandomNumber, rows: readonly ModelRow[], entities: Interner): RowFilter {
  const some = (): ModelRow =>
    rows[random(rows.length)] ?? ({ clock: 1, sequence: 1, time: 1, correlationTag: 1, causationTag: 1 } as ModelRow);
  const filter: RowFilter = {};
  if (random(3) === 0) filter.entity = random(8) === 0 ? "nobody" : (some().entityName ?? "order:0");
  if (random(4) === 0)
    filter.entityPrefix = ["order:", "order:1", "caf\u00e9", "nothing", "order:12", "order:0", "caf\u00e9:299"][random(7)]!;
  if (filter.entity === undefined && filter.entityPrefix === undefined && random(4) === 0)
    filter.entityPrefixes = new PrefixSet(
      ["order", "order:2", "order:1", "caf\u00e9:1", "nothing", "caf\u00e9:7", "order:22"].slice(random(7)),
    );
  const { entity, entityPrefix, entityPrefixes = entityPrefix === undefined ? null : new PrefixSet([entityPrefix]) } = filter;
  if (entity === undefined && entityPrefixes !== null && random(4) > 0) {
    const ids = Array.from({ length: entities.size }, (_, id) => id).filter((id) => entities.beginsOne(id, entityPrefixes));
    // In an order of their own, and some who are not in the segment.
    filter.entities = [...(random(2) === 0 ? ["nobody"] : []), ...ids.sort(() => random(3) - 1).map((id) => entities.name(id))];
  }
  if (filter.entity === undefined && random(4) === 0) filter.scopes = ["shop:9", "shop:4", "shop:0", "shop:2"].slice(random(4));
  if (random(3) === 0) filter.scope = `shop:${random(6)}`;
  if (random(3) === 0) filter.kinds = [[0x1002], [0x1001, 0x1004], [], [0xf000]][random(4)]!;
  else if (random(4) === 0) filter.category = [0, 1, 2, 0xf][random(4)]!;
  if (random(8) === 0) filter.correlationTag = some().correlationTag;
  if (random(8) === 0) filter.causationTag = some().causationTag;
  if (random(4) === 0) filter.clockFrom = some().clock + random(3) - 1;
  if (random(4) === 0) filter.clockTo = some().clock + random(3) - 1;
  if (random(4) === 0) filter.sequenceFrom = some().sequence + random(3) - 1;
  if (random(4) === 0) filter.sequenceTo = some().sequence + random(3) - 1;
  if (random(4) === 0) filter.timeFrom = some().time + random(3) - 1;
  if (random(4) === 0) filter.timeTo = some().time + random(3) - 1;
  return filter;
}

function passes(row: ModelRow, filter: RowFilter): boolean {
  const within = (value: number, from = -Infinity, to = Infinity): boolean => value >= from && value <= to;
  return (
    (filter.entity === undefined || row.entityName === filter.entity) &&
    (filter.entityPrefix === undefined || row.entityName.startsWith(filter.entityPrefix)) &&
    (filter.entityPrefixes === undefined ||
      filter.entityPrefixes.beginsOne(Buffer.from(row.entityName), 0, Buffer.byteLength(row.entityName))) &&
    (filter.scopes === undefined || filter.scopes.includes(row.scopeName)) &&
    (filter.scope === undefined || row.scopeName === filter.scope) &&
    (filter.kinds === undefined || filter.kinds.includes(row.kind)) &&
    (filter.category === undefined || row.kind >>> 12 === filter.category) &&
    (filter.correlationTag === undefined || row.correlationTag === filter.correlationTag) &&
    (filter.causationTag === undefined || row.causationTag === filter.causationTag) &&
    within(row.clock, filter.clockFrom, filter.clockTo) &&
    within(row.sequence, filter.sequenceFrom, filter.sequenceTo) &&
    within(row.time, filter.timeFrom, filter.timeTo)
  );
}

function collect(cursor: RowCursor, size: number): number[] {
  const out = new Uint32Array(size);
  const rows: number[] = [];
  for (;;) {
    const count = cursor.next(out);
    if (count === 0) return rows;
    for (let i = 0; i < count; i++) rows.push(out[i]!);
  }
}

/** What a cursor counts, also one that gave rows once before. */
function countAll(cursor: RowCursor, size: number, gaveRows: boolean): number {
  const scratch = new Uint32Array(size);
  let total = gaveRows ? Math.max(0, cursor.next(scratch)) : 0;
  for (let count = cursor.count(scratch); count !== 0; count = cursor.count(scratch)) total += Math.max(0, count);
  return total;
}

function compareCursors(random: RandomNumber, index: SegmentIndex, rows: readonly ModelRow[], entities: Interner, questions: number): void {
  for (let question = 0; question < questions; question++) {
    const filter = randomFilter(random, rows, entities);
    const from = random(3) === 0 ? random(rows.length + 1) : 0;
    const to = random(3) === 0 ? random(rows.length + 1) : rows.length;
    const expected: number[] = [];
    for (let row = from; row < to; row++) if (passes(rows[row]!, filter)) expected.push(row);
    const what = `${JSON.stringify(filter)} in [${from}, ${to})`;
    const size = [1, 7, 100, 5000][random(4)]!;
    const cursor = (direction: "forward" | "backward"): RowCursor => index.cursor(filter, from, to, direction);
    assert.deepEqual(collect(cursor("forward"), size), expected, `forward ${what}`);
    for (const gaveRows of [true, false]) {
      assert.equal(countAll(cursor("forward"), size, gaveRows), expected.length, `count ${what}`);
      assert.equal(countAll(cursor("backward"), size, gaveRows), expected.length, `count backward ${what}`);
    }
    assert.deepEqual(collect(cursor("backward"), size), expected.reverse(), `backward ${what}`);
  }
}

function compareRows(index: SegmentIndex, rows: readonly ModelRow[]): void {
  assert.equal(index.rowCount, rows.length);
  assert.equal(index.firstSequence, FIRST_SEQUENCE);
  const rowsByTag = new Map<number, number[]>();
  for (const [row, { idTag }] of rows.entries()) rowsByTag.set(idTag, [...(rowsByTag.get(idTag) ?? []), row]);
  for (const [row, model] of rows.entries()) {
    assert.equal(index.sequenceAt(row), model.sequence);
    assert.equal(index.clockAt(row), model.clock);
    assert.equal(index.timeAt(row), model.time);
    assert.equal(index.offsetAt(row), model.offset & 0x3fff_ffff);
    assert.equal(endsBatch(index, row), (model.offset & OFFSET_ENDS_BATCH) !== 0);
    assert.equal(index.rowAtSequence(model.sequence), row);
    const after = rows[row + 1];
    assert.equal(index.rowAtSequence(model.sequence + 1), after === undefined ? rows.length : row + 1);
  }
  assert.equal(index.rowAtSequence(0), 0);
  for (let tag = 1; tag <= rows.length; tag++) {
    assert.deepEqual(
      index.rowsByIdTag(tag).sort((a, b) => a - b),
      rowsByTag.get(tag) ?? [],
    );
  }
}

function compareEntities(index: SegmentIndex, rows: readonly ModelRow[], entities: Interner): void {
  const expected = new Map<string, Record<string, number>>();
  for (const row of rows) {
    const known = expected.get(row.entityName);
    const previousSequence = 100 + entities.find(row.entityName);
    expected.set(row.entityName, {
      rows: (known?.rows ?? 0) + 1,
      firstClock: known?.firstClock ?? row.clock,
      lastClock: row.clock,
      lastSequence: row.sequence,
      previousSequence,
    });
  }
  const seen = new Set<string>();
  let ordinal = 0;
  index.entities((name, { rows: count, firstClock, lastClock, lastSequence, previousSequence }) => {
    assert.deepEqual({ rows: count, firstClock, lastClock, lastSequence, previousSequence }, expected.get(name), name);
    assert.equal(index.entity(name)?.lastSequence, lastSequence);
    seen.add(name);
    if (ordinal++ === 3) {
      index.entities((resumed) => {
        assert.equal(resumed, name);
        return false;
      }, 3);
    }
  });
  assert.equal(seen.size, expected.size);
  assert.equal(index.entity("nobody"), null);
  assert.deepEqual(index.scopes().sort(), [...new Set(rows.map((row) => row.scopeName))].sort());
}

function compareSealed(index: SealedSegmentIndex, rows: readonly ModelRow[], entities: Interner): void {
  for (const [row, model] of rows.entries()) {
    if ((model.offset & OFFSET_FOREIGN_ID) !== 0) assert.equal(index.mayHoldForeignId(model.idTag, tag2Of(row)), true);
  }
  let passed = 0;
  for (let i = 0; i < 2000; i++) if (index.mayHoldForeignId(Math.imul(i + 7, 0x85ebca6b) >>> 0, Math.imul(i, 0xc2b2ae35) >>> 0)) passed++;
  assert.ok(passed < 20, `${passed} of 2000 ids that were never added pass the filter`);
  assert.equal(index.nextSequence, rows.length === 0 ? FIRST_SEQUENCE : rows[rows.length - 1]!.sequence + 1);
  assert.deepEqual(
    [...index.root.kinds],
    [...new Set(rows.map((row) => row.kind))].sort((a, b) => a - b),
  );
  const lastRows = new Map(rows.map((row, number) => [row.entityName, number]));
  index.entities((name, { lastHash, lastId }) => {
    assert.deepEqual(lastHash, new Uint8Array(32).fill(entities.find(name) & 0xff));
    assert.deepEqual(lastId, new Uint8Array(16).fill(lastRows.get(name)! & 0xff));
  });
  const records = index.systemRecords();
  assert.deepEqual(
    records.map((record) => record.length),
    [3, 70_000, 0],
  );
  assert.equal(Buffer.from(records[0]!).toString(), "one");
  assert.ok(records[1]!.every((byte) => byte === 3));
  assert.deepEqual(index.root.lastIssuedId, new Uint8Array(16).fill(5));
}

const shapes: Shape[] = [];
for (const dense of [true, false]) {
  for (const timeOrdered of [true, false]) {
    for (const clockOrdered of [true, false]) shapes.push({ rows: 9000, entities: 300, dense, timeOrdered, clockOrdered });
  }
}
shapes.push({ rows: 0, entities: 1, dense: true, timeOrdered: true, clockOrdered: true });
shapes.push({ rows: 1, entities: 1, dense: true, timeOrdered: true, clockOrdered: true });

for (const shape of shapes) {
  test(`an index answers like a plain array of rows: ${JSON.stringify(shape)}`, () => {
    const seed = randomInt(1 << 30);
    console.log(`seed ${seed}`);
    const random = randomFrom(seed);
    const entities = new Interner();
    const scopes = new Interner();
    const rows = modelRows(random, shape, entities, scopes);
    const active = activeIndex(rows, entities, scopes);
    const restored = atOnce(ActiveSegmentIndex.fromColumns(active.columnsForCheckpoint(), entities, scopes));
    assert.ok(restored);
    const roomy = new PageCache(64 * 1024 * 1024);
    const tight = new PageCache(100_000);
    const none = new PageCache(0);
    const sealed = sealedIndex(active, entities, scopes, roomy);
    const starved = sealedIndex(active, entities, scopes, tight);
    const uncached = sealedIndex(active, entities, scopes, none);
    for (const index of [active, restored, sealed]) {
      assert.equal(index.dense, shape.rows < 2 || shape.dense);
      assert.equal(index.timeOrdered, shape.rows < 2 || shape.timeOrdered);
      compareRows(index, rows);
      compareEntities(index, rows, entities);
      compareCursors(random, index, rows, entities, 90);
    }
    compareSealed(sealed, rows, entities);
    compareCursors(random, starved, rows, entities, 40);
    compareCursors(random, uncached, rows, entities, 3);
    assert.ok(tight.bytes <= tight.bytesMax);
    assert.equal(none.bytes, 0);
  });
}
