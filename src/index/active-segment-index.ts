/**
 * The index of a segment that still grows: its rows in typed arrays that double. Adding a row writes a dozen numbers. What look-ups need
 * beyond the columns (a table of id tags, the chains of each entity's rows) is built at the first look-up and kept up from then on, so
 * that loading from a checkpoint is copying columns.
 *
 * Invariants:
 * 1. Rows are only added. A reader that took a bound sees the same rows below it for ever.
 * 2. Local ids of entities and scopes are those of the interners given.
 * 3. Entities have ordinals 0, 1, 2, … in the order of their first rows; `#ordinals[entity]` is the ordinal and one, 0 when it has no row.
 * 4. `#columns.sequence` is there exactly when `dense` is false.
 */
import { assert } from "../base/assert.ts";
import type { PrefixSet } from "../base/prefix-set.ts";
import { bytesOfColumn, columnFromBytes, grownColumn, startedWith } from "../base/column-bytes.ts";
import { INDEX_BLOCK } from "../format/native/index-block-layout.ts";
import { ActiveLists } from "./active-lists.ts";
import { type ActiveColumns, grownColumns, newColumns } from "./active-columns.ts";
import { type ActiveSegmentParts, checkedColumns, partsOfColumns, ROW_SUMMARY } from "./active-parts.ts";
import { RowChains } from "./row-chains.ts";
import type { Interner } from "./interner.ts";
import { NotedFrames } from "./noted-frames.ts";
import { createCursor } from "./row-scan.ts";
import { RowSummary } from "./row-summary.ts";
import { RowTable } from "./row-table.ts";
import type { ColumnValues, EntityRows, ScanSource } from "./scan-source.ts";
import { SeenIds } from "./seen-ids.ts";
import {
  type ColumnName,
  type EntitySummary,
  OFFSET_FOREIGN_ID,
  OFFSET_MASK,
  type RowCursor,
  type RowFields,
  type RowFilter,
  type SegmentIndex,
} from "./segment-index.ts";

const NAMES_PER_CALL = 8192;
/** Room for so many rows at first, then for sixteen times as many, then twice as many each time. */
const ROWS_MIN = 64;
const ROWS_NEXT = 1024;

export class ActiveSegmentIndex implements SegmentIndex, ScanSource {
  readonly #entities: Interner;
  readonly #scopes: Interner;
  #columns: ActiveColumns;
  #capacity: number;
  #rowCount = 0;
  #firstSequence: number;
  #nextSequence: number;
  #timeOrdered = true;
  #clockOrdered = true;
  #timeMin = 0;
  #timeMax = 0;
  #lastTime = -Infinity;
  #foreignIds = 0;

  #ordinals = new Uint32Array(64);
  #entityCount = 0;
  #entityIds = new Uint32Array(64);
  #firstRows = new Uint32Array(64);
  #lastRows = new Uint32Array(64);
  #rowCounts = new Uint32Array(64);
  #previousSequences = new Float64Array(64);

  /** Scopes that have rows. */
  readonly #scopesSeen = new SeenIds();

  #chains: RowChains | null = null;
  #ids: RowTable | null = null;
  #rowSummary: RowSummary | null = null;
  readonly notedFrames = new NotedFrames();
  readonly lists = new ActiveLists(this);
  readonly pagesLoaded = 0;

  /** `firstSequence` is that of the next event; `rows` is how many to make room for at the least. */
  constructor(entities: Interner, scopes: Interner, firstSequence: number, rows = 0) {
    this.#entities = entities;
    this.#scopes = scopes;
    this.#firstSequence = firstSequence;
    this.#nextSequence = firstSequence;
    this.#capacity = Math.max(ROWS_MIN, rows);
    this.#columns = newColumns(this.#capacity);
  }

  get rowCount(): number {
    return this.#rowCount;
  }

  get firstSequence(): number {
    return this.#firstSequence;
  }

  /** The last row's sequence and one; `firstSequence` while there are no rows. */
  get nextSequence(): number {
    return this.#nextSequence;
  }

  get dense(): boolean {
    return this.#columns.sequence === undefined;
  }

  get timeOrdered(): boolean {
    return this.#timeOrdered;
  }

  get clockOrdered(): boolean {
    return this.#clockOrdered;
  }

  /** The earliest and the latest time of any row, in microseconds; 0 while there are no rows. */
  get timeMin(): number {
    return this.#timeMin;
  }

  get timeMax(): number {
    return this.#timeMax;
  }

  get entityCount(): number {
    return this.#entityCount;
  }

  get localEntityLimit(): number {
    return this.#entities.size;
  }

  /** The columns, of which the first `rowCount` elements count; replaced as they grow, and not to be changed. */
  get columns(): Readonly<ActiveColumns> {
    return this.#columns;
  }

  /** The interners' entity ids by ordinal, of which the first `entityCount` elements count. */
  get entityIds(): Uint32Array {
    return this.#entityIds;
  }

  /** The scopes that have rows, as the interner's ids. */
  get scopeIds(): readonly number[] {
    return this.#scopesSeen.ids;
  }

  /** Makes room for so many rows more: for whoever adds many, since growing in the middle makes the engine throw away what it compiled for that. */
  makeRoom(rows: number): void {
    while (this.#rowCount + rows > this.#capacity) this.#growColumns();
  }

  /** Adds a row. `previousSequence` is that of the entity's last event before this segment (-1: none); it counts at its first row here. */
  push(fields: RowFields, previousSequence = -1): void {
    const { entity, scope, kind, clock, offset, time, idTag, correlationTag, causationTag, sequence } = fields;
    this.pushValues(entity, scope, kind, clock, offset, time, idTag, correlationTag, causationTag, sequence, previousSequence);
  }

  /** `push` without an object. */
  pushValues(
    entity: number,
    scope: number,
    kind: number,
    clock: number,
    offset: number,
    time: number,
    idTag: number,
    correlationTag: number,
    causationTag: number,
    sequence: number,
    previousSequence: number,
  ): void {
    const row = this.#rowCount;
    if (row === this.#capacity) this.#growColumns();
    if (sequence !== this.#nextSequence || this.#columns.sequence !== undefined) this.#noteSequence(row, sequence);
    const columns = this.#columns;
    columns.entity[row] = entity;
    columns.scope[row] = scope;
    columns.kind[row] = kind;
    columns.clock[row] = clock;
    columns.offset[row] = offset;
    columns.time[row] = time;
    columns.idTag[row] = idTag;
    columns.correlationTag[row] = correlationTag;
    columns.causationTag[row] = causationTag;
    this.#nextSequence = sequence + 1;
    this.#noteRow(row, entity, scope, clock, offset, time, previousSequence);
    this.#rowCount = row + 1;
    if (this.#ids !== null) this.#ids.add(row, columns.idTag);
  }

  /** Notes, for the segment's index block, the id at `at` of the row that was added last, where the writer did not issue it. */
  noteForeignId(view: DataView, at: number): void {
    this.notedFrames.noteForeign(this.#rowCount - 1, view, at);
  }

  /** Notes the event of the entity's last row, for the segment's index block: 16 bytes of its id, 32 of its hash. */
  noteLast(entity: number, view: DataView, idAt: number, hashAt: number): void {
    const ordinal = this.#ordinals[entity]! - 1;
    this.notedFrames.noteLast(this.#lastRows[ordinal]!, ordinal, view, idAt, hashAt);
  }

  /** The same from words, 8 of the hash and 4 of the id. */
  noteLastWords(entity: number, words: Uint32Array, from: number): void {
    const ordinal = this.#ordinals[entity]! - 1;
    this.notedFrames.noteLastWords(this.#lastRows[ordinal]!, ordinal, words, from);
  }

  /** Writes hash and id of this row's event, the entity's last, to `target`, where it was noted; tells whether it was. */
  copyNoted(entity: number, row: number, target: Uint8Array, offset: number): boolean {
    return this.notedFrames.copyLast(row, this.#ordinals[entity]! - 1, target, offset);
  }

  cursor(filter: RowFilter, fromRow: number, toRow: number, direction: "forward" | "backward"): RowCursor {
    return createCursor(this, filter, fromRow, toRow, direction);
  }

  rowAtSequence(sequence: number): number {
    const sequences = this.#columns.sequence;
    if (sequences === undefined) return Math.max(0, Math.min(this.#rowCount, sequence - this.#firstSequence));
    let low = 0;
    let high = this.#rowCount;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (sequences[middle]! < sequence) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  sequenceAt(row: number): number {
    const sequences = this.#columns.sequence;
    return sequences === undefined ? this.#firstSequence + row : sequences[row]!;
  }

  clockAt(row: number): number {
    return this.#columns.clock[row]!;
  }

  timeAt(row: number): number {
    return this.#columns.time[row]!;
  }

  offsetAt(row: number): number {
    return this.#columns.offset[row]! & OFFSET_MASK;
  }

  flagsAt(row: number): number {
    return this.#columns.offset[row]! & ~OFFSET_MASK;
  }

  rowsByIdTag(tag: number): number[] {
    return this.#idTable().find(tag, this.#columns.idTag);
  }

  mayHoldForeignId(tag: number, _tag2: number): boolean {
    return this.#foreignIds > 0 && this.#idTable().has(tag, this.#columns.idTag);
  }

  entity(name: string): EntitySummary | null {
    const entity = this.#entities.find(name);
    return entity < 0 ? null : this.entityById(entity);
  }

  /** Like `entity`, by the interner's id. */
  entityById(entity: number): EntitySummary | null {
    const ordinal = entity < this.#ordinals.length ? this.#ordinals[entity]! - 1 : -1;
    return ordinal < 0 ? null : this.#summary(ordinal);
  }

  /** Sequence of an entity's last event before this segment; -1 when there is none, or none is known here. */
  previousSequenceOf(entity: number): number {
    const ordinal = entity < this.#ordinals.length ? this.#ordinals[entity]! - 1 : -1;
    return ordinal < 0 ? -1 : this.#previousSequences[ordinal]!;
  }

  entities(visit: (name: string, summary: EntitySummary) => boolean | void, from = 0): void {
    for (let ordinal = from; ordinal < this.#entityCount; ordinal++) {
      if (visit(this.#entities.name(this.#entityIds[ordinal]!), this.#summary(ordinal)) === false) return;
    }
  }

  scopes(from = 0, count = this.#scopesSeen.ids.length): string[] {
    return this.#scopesSeen.ids.slice(from, from + count).map((scope) => this.#scopes.name(scope));
  }

  chunkValues(column: ColumnName, _chunk: number): ColumnValues {
    const values = this.#columns[column];
    assert(values !== undefined, "a dense segment index has no sequence column");
    return values;
  }

  chunkBase(chunk: number): number {
    return chunk << INDEX_BLOCK.rowsPerPageShift;
  }

  get kinds(): null {
    return null;
  }

  mayHaveKind(_kind: number): boolean {
    return true;
  }

  findScope(name: string): number {
    const scope = this.#scopes.find(name);
    return scope >= 0 && this.#scopesSeen.has(scope) ? scope : -1;
  }

  entityRows(name: string): EntityRows | null {
    const entity = this.#entities.find(name);
    const ordinal = entity >= 0 && entity < this.#ordinals.length ? this.#ordinals[entity]! - 1 : -1;
    if (ordinal < 0) return null;
    const chains = this.#entityChains();
    // The chain is followed from the last row that there is now: rows added later lie past any bound a reader has taken.
    const last = this.#lastRows[ordinal]!;
    return {
      local: entity,
      positionOfRow: (row) => chains.positionOfRow(last, row),
      positionOfClock: (clock) => chains.positionOfClock(last, clock, this.#columns.clock),
      fill: (from, to, target) => chains.fill(last, from, to, target),
    };
  }

  beginsOne(entity: number, prefixes: PrefixSet): boolean {
    return this.#entities.beginsOne(entity, prefixes);
  }

  markPrefixes(prefixes: PrefixSet, marks: Uint32Array, from: number): number {
    const end = Math.min(this.#entityCount, from + NAMES_PER_CALL);
    for (let ordinal = from; ordinal < end; ordinal++) {
      const entity = this.#entityIds[ordinal]!;
      if (this.#entities.beginsOne(entity, prefixes)) marks[entity >>> 5]! |= 1 << (entity & 31);
    }
    return end === this.#entityCount ? -1 : end;
  }

  #summary(ordinal: number): EntitySummary {
    const lastRow = this.#lastRows[ordinal]!;
    return {
      local: this.#entityIds[ordinal]!,
      rows: this.#rowCounts[ordinal]!,
      firstClock: this.#columns.clock[this.#firstRows[ordinal]!]!,
      lastClock: this.#columns.clock[lastRow]!,
      lastSequence: this.sequenceAt(lastRow),
      previousSequence: this.#previousSequences[ordinal]!,
    };
  }

  /** What a checkpoint stores of the first `rowCount` rows: right while rows are added. */
  columnsForCheckpoint(rowCount: number = this.#rowCount): ActiveSegmentParts {
    assert(rowCount <= this.#rowCount, "a checkpoint holds no more rows than there are");
    let entities = this.#entityCount;
    while (entities > 0 && this.#firstRows[entities - 1]! >= rowCount) entities--;
    const summary = this.#summaryOf(rowCount);
    return {
      ...partsOfColumns(this.#columns, rowCount, summary.scopeMax, summary.clockMax),
      ...summary.toParts(),
      firstSequence: this.#firstSequence,
      previousSequences: bytesOfColumn(this.#previousSequences, entities).slice(),
    };
  }

  /**
   * Does a part of what `columnsForCheckpoint(rowCount)` has to do, looking at no more than `rowsMax` rows. Returns whether nothing that takes
   * long is left.
   */
  prepareCheckpoint(rowCount: number, rowsMax: number): boolean {
    const looked = this.#rowSummary === null || this.#rowSummary.rows > rowCount ? 0 : this.#rowSummary.rows;
    const bound = Math.min(rowCount, looked + rowsMax);
    this.#summaryOf(bound);
    return bound === rowCount;
  }

  #summaryOf(rowCount: number): RowSummary {
    if (this.#rowSummary === null || this.#rowSummary.rows > rowCount) this.#rowSummary = new RowSummary();
    this.#rowSummary.advance(this.#columns, rowCount, this.#ordinals);
    return this.#rowSummary;
  }

  /** An index over parts that are handed over, whose ids are those of these interners; null when the parts cannot be right. */
  static *fromColumns(parts: ActiveSegmentParts, entities: Interner, scopes: Interner): Generator<undefined, ActiveSegmentIndex | null> {
    const checked = yield* checkedColumns(parts, entities.size, scopes.size);
    if (checked === null) return null;
    const { columns, previous } = checked;
    const rows = parts.rowCount;
    const index = new ActiveSegmentIndex(entities, scopes, parts.firstSequence);
    index.#columns = columns;
    // The first row that is added moves them all: many stores are opened to be read.
    index.#capacity = rows;
    index.#takeSummary(parts, previous, entities.size);
    index.#rowCount = rows;
    index.#nextSequence = columns.sequence === undefined ? parts.firstSequence + rows : columns.sequence[rows - 1]! + 1;
    return index;
  }

  #takeSummary(parts: ActiveSegmentParts, previous: Float64Array, entityLimit: number): void {
    const count = previous.length;
    const capacity = Math.max(64, count);
    const list = (bytes: Uint8Array): Uint32Array<ArrayBuffer> => {
      const values = new Uint32Array(capacity);
      columnFromBytes(values, bytes, count);
      return values;
    };
    this.#entityCount = count;
    this.#entityIds = list(parts.entityIds);
    this.#firstRows = list(parts.firstRows);
    this.#lastRows = list(parts.lastRows);
    this.#rowCounts = list(parts.rowCounts);
    this.#previousSequences = new Float64Array(capacity);
    this.#previousSequences.set(previous);
    this.#ordinals = new Uint32Array(Math.max(64, entityLimit));
    for (let ordinal = 0; ordinal < count; ordinal++) this.#ordinals[this.#entityIds[ordinal]] = ordinal + 1;
    for (const scope of new Uint32Array(parts.scopeIds.slice().buffer)) this.#scopesSeen.note(scope);
    const summary = new Float64Array(ROW_SUMMARY.length);
    columnFromBytes(summary, parts.summary, ROW_SUMMARY.length);
    this.#timeMin = summary[ROW_SUMMARY.timeMin];
    this.#timeMax = summary[ROW_SUMMARY.timeMax];
    this.#lastTime = summary[ROW_SUMMARY.lastTime];
    this.#timeOrdered = summary[ROW_SUMMARY.timeOrdered] === 1;
    this.#clockOrdered = summary[ROW_SUMMARY.clockOrdered] === 1;
    this.#foreignIds = summary[ROW_SUMMARY.foreignIds];
  }

  /** Everything that is kept by entity, scope and time, for a row whose columns are written. */
  #noteRow(row: number, entity: number, scope: number, clock: number, offset: number, time: number, previousSequence: number): void {
    if (time < this.#lastTime) this.#timeOrdered = false;
    this.#lastTime = time;
    if (row === 0 || time < this.#timeMin) this.#timeMin = time;
    if (row === 0 || time > this.#timeMax) this.#timeMax = time;
    if ((offset & OFFSET_FOREIGN_ID) !== 0) this.#foreignIds++;
    this.#scopesSeen.note(scope);
    if (entity >= this.#ordinals.length) this.#ordinals = grownColumn(this.#ordinals, Math.max(entity + 1, this.#ordinals.length * 2));
    const ordinal = this.#ordinals[entity]! - 1;
    if (ordinal < 0) {
      this.#noteEntity(row, entity, previousSequence);
      if (this.#chains !== null) this.#chains.push(row, -1);
      return;
    }
    const last = this.#lastRows[ordinal]!;
    if (this.#columns.clock[last]! >= clock) this.#clockOrdered = false;
    this.#lastRows[ordinal] = row;
    this.#rowCounts[ordinal]!++;
    if (this.#chains !== null) this.#chains.push(row, last);
  }

  #noteEntity(row: number, entity: number, previousSequence: number): void {
    const ordinal = this.#entityCount++;
    if (ordinal === this.#entityIds.length) {
      const capacity = ordinal * 2;
      this.#entityIds = grownColumn(this.#entityIds, capacity);
      this.#firstRows = grownColumn(this.#firstRows, capacity);
      this.#lastRows = grownColumn(this.#lastRows, capacity);
      this.#rowCounts = grownColumn(this.#rowCounts, capacity);
      this.#previousSequences = startedWith(new Float64Array(capacity), this.#previousSequences);
    }
    this.#ordinals[entity] = ordinal + 1;
    this.#entityIds[ordinal] = entity;
    this.#firstRows[ordinal] = row;
    this.#lastRows[ordinal] = row;
    this.#rowCounts[ordinal] = 1;
    this.#previousSequences[ordinal] = previousSequence;
  }

  /** A sequence that is not the next one in line, or any once one was not. */
  #noteSequence(row: number, sequence: number): void {
    assert(row === 0 || sequence >= this.#nextSequence, "rows are added in the order of their sequences");
    if (row === 0) {
      this.#firstSequence = sequence;
      return;
    }
    if (this.#columns.sequence === undefined) {
      const sequences = new Float64Array(this.#capacity);
      for (let earlier = 0; earlier < row; earlier++) sequences[earlier] = this.#firstSequence + earlier;
      this.#columns.sequence = sequences;
    }
    this.#columns.sequence[row] = sequence;
  }

  #growColumns(): void {
    this.#capacity = this.#capacity < ROWS_MIN / 2 ? ROWS_MIN : Math.max(ROWS_NEXT, this.#capacity * 2);
    this.#columns = grownColumns(this.#columns, this.#capacity);
  }

  #idTable(): RowTable {
    if (this.#ids === null) {
      this.#ids = new RowTable(this.#rowCount);
      for (let row = 0; row < this.#rowCount; row++) this.#ids.add(row, this.#columns.idTag);
    }
    return this.#ids;
  }

  #entityChains(): RowChains {
    this.#chains ??= RowChains.of({
      capacity: this.#capacity,
      rowCount: this.#rowCount,
      entity: this.#columns.entity,
      ordinals: this.#ordinals,
      lastRows: this.#lastRows.subarray(0, this.#entityCount),
      rowCounts: this.#rowCounts,
    });
    return this.#chains;
  }
}
