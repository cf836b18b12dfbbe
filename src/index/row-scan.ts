/**
 * The one scan over row columns, for rows in memory and rows in pages alike. It works a chunk of rows at a time: it selects those that have a
 * value that is asked for, or all rows of the chunk, and lets each condition after that strike out rows, column by column, so that a column (or its page) is
 * looked at only where rows are left. Conditions that rows are sorted by (sequence, and time where it never runs backwards) narrow the range beforehand;
 * one exact entity is followed by its own list of rows (`list-cursor`), a few by theirs (`entities-cursor`), and what has a listed value
 * by the lists of these (`listed-cursor`).
 */
import { assert } from "../base/assert.ts";
import { PrefixSet } from "../base/prefix-set.ts";
import { INDEX_BLOCK } from "../format/native/index-block-layout.ts";
import { areFew, EntitiesCursor, type RowRange } from "./entities-cursor.ts";
import { endCursor, ListCursor } from "./list-cursor.ts";
import { listedCursor, ScopesCursor } from "./listed-cursor.ts";
import { NameMarks, namesOf } from "./name-marks.ts";
import type { ColumnValues, Condition, ScanSource } from "./scan-source.ts";
import type { RowCursor, RowFilter } from "./segment-index.ts";

const CHUNK_ROWS = INDEX_BLOCK.rowsPerPage;
const CHUNK_SHIFT = INDEX_BLOCK.rowsPerPageShift;
/** Looks in one call of `next`, of a chunk each but for the first ones: 64 Ki rows at the most. */
const LOOKS_PER_CALL = 16;
/** A kind's bits below its category. */
const CATEGORY_SHIFT = 12;
const SPAN_MIN = 256;
/** Where names are compared for the rows. */
const SPAN_MIN_NAMED = 16;
const SPAN_GROWTH = 4;
const ALL_ROWS = Uint16Array.from({ length: CHUNK_ROWS }, (_, row) => row);

/** A cursor over the rows of `source` in `[fromRow, toRow)` that pass `filter`. */
export function createCursor(
  source: ScanSource,
  filter: RowFilter,
  fromRow: number,
  toRow: number,
  direction: "forward" | "backward",
): RowCursor {
  let first = Math.max(0, fromRow);
  let end = Math.min(toRow, source.rowCount);
  if (filter.sequenceFrom !== undefined) first = Math.max(first, source.rowAtSequence(filter.sequenceFrom));
  if (filter.sequenceTo !== undefined) end = Math.min(end, source.rowAtSequence(filter.sequenceTo + 1));
  if (first >= end) return endCursor;
  const conditions = conditionsOf(source, filter);
  if (conditions === null) return endCursor;
  if (source.timeOrdered) {
    const { timeFrom = -Infinity, timeTo = Infinity } = filter;
    if (timeFrom > source.timeMin) first = firstRowByTime(source, timeFrom, first, end);
    if (timeTo < source.timeMax) end = firstRowByTime(source, timeTo + 1, first, end);
  }
  if (filter.entity !== undefined) {
    if (filter.entityPrefix !== undefined && !filter.entity.startsWith(filter.entityPrefix)) return endCursor;
    const rows = source.entityRows(filter.entity);
    if (rows === null) return endCursor;
    let from = rows.positionOfRow(first);
    let to = rows.positionOfRow(end);
    if (source.clockOrdered) {
      if (filter.clockFrom !== undefined) from = Math.max(from, rows.positionOfClock(filter.clockFrom));
      if (filter.clockTo !== undefined) to = Math.min(to, rows.positionOfClock(filter.clockTo + 1));
    }
    return new ListCursor(source, rows, from, to, conditions, direction === "forward");
  }
  const { entityPrefix, entityPrefixes = entityPrefix ? new PrefixSet([entityPrefix]) : null, scopes = null } = filter;
  const { entities } = filter;
  const range = { first, end, conditions, direction };
  if (entities !== undefined && scopes === null && areFew(entities.length, source, range)) {
    return new EntitiesCursor(source, entities, range, (marks) => openRange(source, range, { column: "entity", test: "member", marks }));
  }
  if (entityPrefixes !== null) conditions.push({ column: "entity", test: "names", names: new NameMarks(source, entityPrefixes) });
  if (scopes === null) return openRange(source, range, null);
  return new ScopesCursor(source, scopes, (found) => {
    const marks = newMarks(
      found,
      found.reduce((most, scope) => Math.max(most, scope), 0),
    );
    return openRange(source, range, { column: "scope", test: "member", marks, values: found });
  });
}

/** The rows of the range, with one more condition before the others if there is any. */
function openRange(source: ScanSource, range: RowRange, condition: Condition | null): RowCursor {
  const asked = condition === null ? range : { ...range, conditions: [condition, ...range.conditions] };
  const scan = (rows: RowRange): RowCursor => new ScanCursor(source, rows);
  return listedCursor(source, asked, scan) ?? scan(asked);
}

/** The first row of `[first, end)` whose time is at or after `time`, where times are ordered. */
function firstRowByTime(source: ScanSource, time: number, first: number, end: number): number {
  let low = first;
  let high = end;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (source.timeAt(middle) < time) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** What is left of the filter once the range of rows is narrowed; null when nothing can pass. Cheap and selective conditions come first. */
function conditionsOf(source: ScanSource, filter: RowFilter): Condition[] | null {
  const conditions: Condition[] = [];
  if (filter.scope !== undefined) {
    const scope = source.findScope(filter.scope);
    if (scope < 0) return null;
    conditions.push({ column: "scope", test: "equal", value: scope });
  }
  if (filter.kinds !== undefined || filter.category !== undefined) {
    const condition = kindCondition(source, filter);
    if (condition === null) return null;
    conditions.push(condition);
  }
  if (filter.correlationTag !== undefined) conditions.push({ column: "correlationTag", test: "equal", value: filter.correlationTag });
  if (filter.causationTag !== undefined) conditions.push({ column: "causationTag", test: "equal", value: filter.causationTag });
  const { clockFrom = 0, clockTo = Infinity, timeFrom = -Infinity, timeTo = Infinity } = filter;
  if (clockFrom > clockTo || timeFrom > timeTo || timeFrom > source.timeMax || timeTo < source.timeMin) return null;
  if ((clockFrom > 0 || clockTo < Infinity) && !(source.clockOrdered && filter.entity !== undefined)) {
    conditions.push({ column: "clock", test: "range", from: clockFrom, to: clockTo });
  }
  if ((filter.timeFrom !== undefined || filter.timeTo !== undefined) && !source.timeOrdered) {
    conditions.push({ column: "time", test: "range", from: timeFrom, to: timeTo });
  }
  return conditions;
}

/** Null where no row has one of these kinds. */
function kindCondition(source: ScanSource, { kinds, category }: RowFilter): Condition | null {
  if (kinds?.length === 1) return source.mayHaveKind(kinds[0]!) ? { column: "kind", test: "equal", value: kinds[0]! } : null;
  if (kinds?.length === 0) return null;
  const marks = kinds === undefined ? null : marksOf(kinds);
  const isAsked = (kind: number): boolean => (marks === null ? kind >>> CATEGORY_SHIFT === category : isMarked(marks, kind));
  // A category has thousands of kinds, a segment few.
  const met = source.kinds?.filter(isAsked);
  if (met?.length === 0) return null;
  if (met?.length === 1) return { column: "kind", test: "equal", value: met[0]! };
  const values = met === undefined ? {} : { values: met };
  if (marks !== null) return { column: "kind", test: "member", marks, ...values };
  const from = (category as number) << CATEGORY_SHIFT;
  return { column: "kind", test: "range", from, to: from | ((1 << CATEGORY_SHIFT) - 1), ...values };
}

function isMarked(marks: Uint32Array, value: number): boolean {
  return ((marks[value >>> 5]! >>> (value & 31)) & 1) === 1;
}

/** A bit for each kind there can be, and the kinds that these were made for last: a fold asks for the same ones again and again. */
let lastKinds: readonly number[] = [];
let lastMarks = new Uint32Array(0);

function marksOf(kinds: readonly number[]): Uint32Array {
  if (kinds !== lastKinds && (kinds.length !== lastKinds.length || !kinds.every((kind, i) => kind === lastKinds[i]))) {
    lastKinds = kinds;
    lastMarks = newMarks(kinds, 0xffff);
  }
  return lastMarks;
}

/** A bit for each value up to `max`, set for these. */
function newMarks(values: readonly number[], max: number): Uint32Array<ArrayBuffer> {
  const marks = new Uint32Array((max >>> 5) + 1);
  for (const value of values) marks[value >>> 5]! |= 1 << (value & 31);
  return marks;
}

class ScanCursor implements RowCursor {
  readonly #source: ScanSource;
  readonly #conditions: readonly Condition[];
  readonly #names: NameMarks | null;
  readonly #forward: boolean;
  /** Rows still to be looked at. */
  #first: number;
  #end: number;
  /** Rows found in the chunk that begins at `#chunkRow`, not given out yet: `#selection[#pendingFrom, #pendingTo)`. Null before the first. */
  #selection: Uint16Array | null = null;
  /** How many rows the next look takes: few at first, since the first match may be all that is asked for. */
  #span: number;
  #chunkRow = 0;
  #pendingFrom = 0;
  #pendingTo = 0;

  constructor(source: ScanSource, range: RowRange) {
    this.#source = source;
    this.#first = range.first;
    this.#end = range.end;
    this.#forward = range.direction === "forward";
    this.#conditions = range.conditions;
    this.#names = namesOf(range.conditions);
    this.#span = this.#names === null ? SPAN_MIN : SPAN_MIN_NAMED;
  }

  next(out: Uint32Array): number {
    if (this.#marksNames()) return -1;
    if (this.#conditions.length === 0) return this.#giveAny(out);
    let written = 0;
    let looks = 0;
    while (written < out.length) {
      if (this.#pendingFrom < this.#pendingTo) written = this.#give(out, written);
      else if (this.#first >= this.#end) return written;
      else if (looks === LOOKS_PER_CALL || this.#names?.isDue === true) return written > 0 ? written : -1;
      else {
        looks++;
        this.#select();
      }
    }
    return written;
  }

  count(): number {
    if (this.#marksNames()) return -1;
    let counted = this.#pendingTo - this.#pendingFrom;
    this.#pendingFrom = this.#pendingTo;
    if (this.#conditions.length === 0) {
      counted += this.#end - this.#first;
      this.#first = this.#end;
    }
    for (let looks = 0; looks < LOOKS_PER_CALL && this.#first < this.#end && this.#names?.isDue !== true; looks++) {
      this.#select();
      counted += this.#pendingTo;
      this.#pendingFrom = this.#pendingTo;
    }
    return counted === 0 && this.#first < this.#end ? -1 : counted;
  }

  /** Compares more names, where all are to be; true while there are more to come. */
  #marksNames(): boolean {
    if (this.#names?.isDue !== true) return false;
    const isGoingOn = this.#names.step();
    if (this.#names.isEmpty) this.#end = this.#first;
    return isGoingOn;
  }

  /** Every row matches. */
  #giveAny(out: Uint32Array): number {
    const count = Math.min(out.length, this.#end - this.#first);
    if (this.#forward) {
      const first = this.#first;
      for (let i = 0; i < count; i++) out[i] = first + i;
      this.#first += count;
    } else {
      const last = this.#end - 1;
      for (let i = 0; i < count; i++) out[i] = last - i;
      this.#end -= count;
    }
    return count;
  }

  #give(out: Uint32Array, from: number): number {
    const selection = this.#selection!;
    const base = this.#chunkRow;
    const count = Math.min(out.length - from, this.#pendingTo - this.#pendingFrom);
    if (this.#forward) {
      const start = this.#pendingFrom;
      for (let i = 0; i < count; i++) out[from + i] = base + selection[start + i]!;
      this.#pendingFrom += count;
    } else {
      const last = this.#pendingTo - 1;
      for (let i = 0; i < count; i++) out[from + i] = base + selection[last - i]!;
      this.#pendingTo -= count;
    }
    return from + count;
  }

  /** Selects the matching rows of the next span, which lies in one chunk. */
  #select(): void {
    const chunk = (this.#forward ? this.#first : this.#end - 1) >>> CHUNK_SHIFT;
    const chunkRow = chunk << CHUNK_SHIFT;
    let start = Math.max(this.#first, chunkRow) - chunkRow;
    let end = Math.min(this.#end - chunkRow, CHUNK_ROWS);
    if (end - start > this.#span) {
      if (this.#forward) end = start + this.#span;
      else start = end - this.#span;
    }
    if (this.#forward) this.#first = chunkRow + end;
    else this.#end = chunkRow + start;
    if (this.#selection === null || this.#selection.length < end - start) this.#selection = new Uint16Array(this.#span);
    const selection = this.#selection;
    this.#span = Math.min(CHUNK_ROWS, this.#span * SPAN_GROWTH);
    const base = this.#source.chunkBase(chunk);
    const conditions = this.#conditions;
    const first = conditions[0];
    let count: number;
    let next = 0;
    if (first?.test === "equal") {
      count = selectEqual(this.#source.chunkValues(first.column, chunk), base, first.value, start, end, selection);
      next = 1;
    } else {
      count = end - start;
      selection.set(ALL_ROWS.subarray(start, end));
    }
    for (; next < conditions.length && count > 0; next++) {
      const condition = conditions[next]!;
      count = strikeOut(condition, this.#source.chunkValues(condition.column, chunk), base, selection, count);
    }
    this.#chunkRow = chunkRow;
    this.#pendingFrom = 0;
    this.#pendingTo = count;
  }
}

/** Selects those of the rows `[start, end)` that have this value, and returns how many. */
function selectEqual(values: ColumnValues, base: number, value: number, start: number, end: number, selection: Uint16Array): number {
  assert(!(values instanceof Float64Array), "kinds, scopes and tags are integers");
  // The engine looks for a value four times as fast as a loop: mostly there is none in a chunk, or none for long.
  const first = values.subarray(base + start, base + end).indexOf(value);
  if (first < 0) return 0;
  if (values instanceof Uint16Array) return selectEqual16(values, base, value, start + first, end, selection);
  return selectEqual32(values, base, value, start + first, end, selection);
}

/** Keeps, in order, those of the first `count` selected rows that meet the condition; returns how many. */
function strikeOut(condition: Condition, values: ColumnValues, base: number, selection: Uint16Array, count: number): number {
  switch (condition.test) {
    case "equal":
      if (values instanceof Uint16Array) return keepEqual16(values, base, condition.value, selection, count);
      if (values instanceof Uint32Array) return keepEqual32(values, base, condition.value, selection, count);
      return keepInRangeFloat(values, base, condition.value, condition.value, selection, count);
    case "range":
      if (values instanceof Float64Array) return keepInRangeFloat(values, base, condition.from, condition.to, selection, count);
      return keepInRange32(values, base, condition.from, condition.to, selection, count);
    case "member":
      if (values instanceof Uint16Array) return keepMembers16(values, base, condition.marks, selection, count);
      return keepMembers32(values, base, condition.marks, selection, count);
    case "names":
      assert(values instanceof Uint32Array, "entities are integers");
      if (condition.names.isComplete) return keepMembers32(values, base, condition.names.marks, selection, count);
      return keepNamed(values, base, condition.names, selection, count);
  }
}

// One loop for each type of array, so that the engine specializes each. A row is written before it is judged: no branch to mispredict.

function selectEqual16(values: Uint16Array, base: number, value: number, start: number, end: number, selection: Uint16Array): number {
  let kept = 0;
  for (let row = start; row < end; row++) {
    selection[kept] = row;
    kept += values[base + row] === value ? 1 : 0;
  }
  return kept;
}

function selectEqual32(values: Uint32Array, base: number, value: number, start: number, end: number, selection: Uint16Array): number {
  let kept = 0;
  for (let row = start; row < end; row++) {
    selection[kept] = row;
    kept += values[base + row] === value ? 1 : 0;
  }
  return kept;
}

function keepEqual16(values: Uint16Array, base: number, value: number, selection: Uint16Array, count: number): number {
  let kept = 0;
  for (let i = 0; i < count; i++) {
    const row = selection[i]!;
    selection[kept] = row;
    kept += values[base + row] === value ? 1 : 0;
  }
  return kept;
}

function keepEqual32(values: Uint32Array, base: number, value: number, selection: Uint16Array, count: number): number {
  let kept = 0;
  for (let i = 0; i < count; i++) {
    const row = selection[i]!;
    selection[kept] = row;
    kept += values[base + row] === value ? 1 : 0;
  }
  return kept;
}

function keepInRangeFloat(values: Float64Array, base: number, from: number, to: number, selection: Uint16Array, count: number): number {
  let kept = 0;
  for (let i = 0; i < count; i++) {
    const row = selection[i]!;
    const value = values[base + row]!;
    selection[kept] = row;
    kept += value >= from && value <= to ? 1 : 0;
  }
  return kept;
}

function keepInRange32(
  values: Uint16Array | Uint32Array,
  base: number,
  from: number,
  to: number,
  selection: Uint16Array,
  count: number,
): number {
  let kept = 0;
  for (let i = 0; i < count; i++) {
    const row = selection[i]!;
    const value = values[base + row]!;
    selection[kept] = row;
    kept += value >= from && value <= to ? 1 : 0;
  }
  return kept;
}

function keepMembers16(values: Uint16Array, base: number, marks: Uint32Array, selection: Uint16Array, count: number): number {
  let kept = 0;
  for (let i = 0; i < count; i++) {
    const row = selection[i]!;
    const value = values[base + row]!;
    selection[kept] = row;
    kept += (marks[value >>> 5]! >>> (value & 31)) & 1;
  }
  return kept;
}

function keepMembers32(
  values: Uint32Array | Float64Array,
  base: number,
  marks: Uint32Array,
  selection: Uint16Array,
  count: number,
): number {
  let kept = 0;
  for (let i = 0; i < count; i++) {
    const row = selection[i]!;
    const value = values[base + row]!;
    selection[kept] = row;
    kept += (marks[value >>> 5]! >>> (value & 31)) & 1;
  }
  return kept;
}

function keepNamed(values: Uint32Array, base: number, names: NameMarks, selection: Uint16Array, count: number): number {
  let kept = 0;
  for (let i = 0; i < count; i++) {
    const row = selection[i]!;
    selection[kept] = row;
    kept += names.has(values[base + row]!) ? 1 : 0;
  }
  return kept;
}
