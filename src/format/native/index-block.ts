/**
 * Writes the index block of a sealed segment, page by page. Nothing is held but arrays over the rows; between two pages the caller writes
 * what it was given and lets the event loop rest: no step looks at more than 32,768 rows.
 */
import { assert } from "../../base/assert.ts";
import { bytesOfColumn } from "../../base/column-bytes.ts";
import { blockSeed, type BlockShape, INDEX_BLOCK, INDEX_ENTITY, INDEX_FLAG, pageChecksum } from "./index-block-layout.ts";
import { encodeIndexEnd, type IndexRoot } from "./index-block-root.ts";
import { sortPairs } from "./index-block-sort.ts";
import { filterAdd, filterBytes, filterPage } from "./index-filter.ts";

/** Names by id, as the interner keeps them. */
export interface NameTable {
  /** `nameHash` of the name. */
  hashOf(id: number): number;
  byteLength(id: number): number;
  /** Writes the name's UTF-8 bytes to `target` at `offset`; returns how many. */
  copyName(id: number, target: Uint8Array, offset: number): number;
}

/** The rows, ascending by sequence: the first `rowCount` elements of each column. */
export interface IndexBlockColumns {
  /** Ids of `entityNames`. */
  readonly entity: Uint32Array;
  /** Ids of `scopeNames`. */
  readonly scope: Uint32Array;
  readonly kind: Uint16Array;
  readonly clock: Float64Array;
  /** With flag bits. */
  readonly offset: Uint32Array;
  /** Microseconds. */
  readonly time: Float64Array;
  readonly idTag: Uint32Array;
  readonly correlationTag: Uint32Array;
  readonly causationTag: Uint32Array;
  /** Absent where sequences are dense. */
  readonly sequence: Float64Array | undefined;
}

/** What a block is made of. Nothing of it may change until the block is written. */
export interface IndexBlockSource {
  /** 16 bytes. */
  readonly storeId: Uint8Array;
  readonly segmentId: number;
  readonly generation: number;
  readonly rowCount: number;
  /** Of row 0, or of the next event where there are no rows. */
  readonly firstSequence: number;
  readonly columns: IndexBlockColumns;
  /** The entities that get an entry, distinct: all that have rows, and after compaction those that had. */
  readonly entityIds: Uint32Array;
  readonly entityNames: NameTable;
  /** The scopes of all rows, distinct. */
  readonly scopeIds: Uint32Array;
  readonly scopeNames: NameTable;
  /** 16 bytes: the last id that the writer issued up to the end of this segment; zeros when it never did. */
  readonly lastIssuedId: Uint8Array;
  readonly systemRecords: readonly Uint8Array[];
  /** The bit in `columns.offset` of rows whose id the writer did not issue. */
  readonly foreignIdBit: number;
  /** `idTag2` of the id of such a row. */
  foreignTag2(row: number): number;
  /** Sequence of the entity's last event before the segment; -1 when there is none. */
  previousSequence(entityId: number): number;
  /** Clock of the last event that an entity without rows ever had in the segment's range. */
  emptiedClock(entityId: number): number;
  /** Writes the hash (32 bytes) and then the id (16 bytes) of the entity's last event; `lastRow` is -1 where it has no rows. */
  copyLastHashAndId(entityId: number, lastRow: number, target: Uint8Array, offset: number): void;
  /** How many frames were read for what was asked so far: reading one takes as long as looking at a hundred rows. */
  framesRead(): number;
}

/** So much is done between two rests: small parts of a millisecond, since appends beside wait for as long. */
const ROWS_PER_STEP = 8192;
const FRAMES_PER_STEP = 32;
const ROWS_PER_PAGE = INDEX_BLOCK.rowsPerPage;
const STREAM_PAGE_BYTES = INDEX_BLOCK.streamPageBytes;
/** What is yielded for a rest, with nothing to write. */
const REST = new Uint8Array(0);
const NO_LOCAL = 0xffff_ffff;

type Pages = Generator<Uint8Array, void>;

/**
 * Yields the block's bytes in order, in buffers that the caller then owns; empty ones (to be left out) only give it a chance to rest.
 * Returns the number of bytes. `source` is trusted; what it returns is checked where that costs nothing.
 *
 * @example
 * for (const bytes of encodeIndexBlock(source)) if (bytes.length > 0) { await file.write(bytes, 0, bytes.length, at, false); at += bytes.length; }
 */
export function* encodeIndexBlock(source: IndexBlockSource): Generator<Uint8Array, number> {
  const pages = new PageMaker(blockSeed(source.storeId, source.segmentId, source.generation));
  const entities = yield* sortedNames(source.entityNames, source.entityIds);
  const scopes = yield* sortedNames(source.scopeNames, source.scopeIds);
  const survey = yield* surveyRows(source, entities, scopes);
  yield* rowPages(pages, source, survey, entities, scopes);
  yield* rowListPages(pages, source.rowCount, survey.rows, (row) => entities.locals[source.columns.entity[row]!]!);
  const firstTags = yield* idPages(pages, source);
  const firstEntityHashes = yield* keyPages(pages, entities.hashes, entities.nameOffsets);
  yield* namePages(pages, entities, source.entityNames);
  yield* detailPages(pages, source, survey, entities);
  const firstScopeHashes = yield* keyPages(pages, scopes.hashes, scopes.nameOffsets);
  yield* namePages(pages, scopes, source.scopeNames);
  yield* filterPages(pages, source, survey.foreignIds);
  const systemBytes = yield* systemPages(pages, source.systemRecords);
  const { scope, kind } = source.columns;
  yield* columnPages(pages, endsOf(survey.scopeRows), survey.scopeRows.length);
  yield* rowListPages(pages, source.rowCount, survey.scopeRows, (row) => scopes.locals[scope[row]!]!);
  yield* columnPages(pages, endsOf(survey.kindRows), survey.kindRows.length);
  yield* rowListPages(pages, source.rowCount, survey.kindRows, (row) => survey.kindRanks[kind[row]!]!);
  const { firstTags: firstLinkTags, count: linkCount } = yield* linkPages(pages, source);
  const shape: BlockShape = {
    rowCount: source.rowCount,
    entityCount: entities.ids.length,
    scopeCount: scopes.ids.length,
    flags: survey.flags,
    entityNameBytes: entities.nameBytes,
    scopeNameBytes: scopes.nameBytes,
    filterBytes: filterBytes(survey.foreignIds),
    systemBytes,
    kindCount: survey.kinds.length,
    linkCount,
  };
  const root: IndexRoot = {
    storeId: source.storeId,
    segmentId: source.segmentId,
    generation: source.generation,
    shape,
    firstSequence: source.firstSequence,
    nextSequence: survey.nextSequence,
    timeMin: survey.timeMin,
    timeMax: survey.timeMax,
    lastIssuedId: source.lastIssuedId,
    foreignIds: survey.foreignIds,
    systemRecords: source.systemRecords.length,
    kinds: survey.kinds,
    firstTags,
    firstEntityHashes,
    firstScopeHashes,
    firstLinkTags,
  };
  const end = encodeIndexEnd(root);
  yield end;
  return pages.bytes + end.length;
}

/** Gives each page its number and its checksum. */
class PageMaker {
  readonly #seed: number;
  #page = 0;
  /** Bytes of all pages so far. */
  bytes = 0;

  constructor(seed: number) {
    this.#seed = seed;
  }

  /** Finishes a page whose data fills all but the last four bytes. */
  finish(page: Uint8Array): Uint8Array {
    const dataBytes = page.length - INDEX_BLOCK.pageChecksumBytes;
    const checksum = pageChecksum(page.subarray(0, dataBytes), this.#seed, this.#page++);
    new DataView(page.buffer, page.byteOffset).setUint32(dataBytes, checksum, true);
    this.bytes += page.length;
    return page;
  }
}

function newPage(dataBytes: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(dataBytes + INDEX_BLOCK.pageChecksumBytes);
}

/** A dictionary in the order of its hashes. An id's local id is its rank. */
interface SortedNames {
  readonly ids: Uint32Array;
  readonly hashes: Uint32Array;
  /** Local ids by id; `NO_LOCAL` for an id that is not in the dictionary. */
  readonly locals: Uint32Array;
  /** Where each name stands in its section, in bytes. */
  readonly nameOffsets: Uint32Array;
  readonly nameBytes: number;
}

function* sortedNames(names: NameTable, ids: Uint32Array): Generator<Uint8Array, SortedNames> {
  const hashes = new Uint32Array(ids.length);
  let idMax = -1;
  for (let i = 0; i < ids.length; i++) {
    hashes[i] = names.hashOf(ids[i]!);
    if (ids[i]! > idMax) idMax = ids[i]!;
    if ((i + 1) % ROWS_PER_STEP === 0) yield REST;
  }
  const sorted = yield* resting(sortPairs(hashes, ids.slice()));
  const locals = new Uint32Array(idMax + 1).fill(NO_LOCAL);
  const nameOffsets = new Uint32Array(ids.length);
  let offset = 0;
  for (let local = 0; local < ids.length; local++) {
    const id = sorted.values[local]!;
    assert(locals[id] === NO_LOCAL, "an index block's dictionary names each id once");
    locals[id] = local;
    const length = names.byteLength(id);
    assert(length > 0 && length <= INDEX_BLOCK.nameBytesMax, "a name fits an index block");
    const left = STREAM_PAGE_BYTES - (offset % STREAM_PAGE_BYTES);
    if (left < length + 2) offset += left;
    nameOffsets[local] = offset;
    offset += length + 2;
    if ((local + 1) % ROWS_PER_STEP === 0) yield REST;
  }
  assert(offset < NO_LOCAL, "an index block's names stay under 4 GiB");
  return { ids: sorted.values, hashes: sorted.keys, locals, nameOffsets, nameBytes: offset };
}

function* resting<Result>(steps: Generator<undefined, Result>): Generator<Uint8Array, Result> {
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
    yield REST;
  }
}

interface Survey {
  flags: number;
  nextSequence: number;
  timeMin: number;
  timeMax: number;
  foreignIds: number;
  kinds: Uint16Array;
  /** By local entity id. The first and last row mean nothing where there are none. */
  readonly rows: Uint32Array;
  readonly firstRows: Uint32Array;
  readonly lastRows: Uint32Array;
  /** How many rows there are, by local scope id. */
  readonly scopeRows: Uint32Array;
  /** How many rows there are, by place in `kinds`; and these places by kind. */
  readonly kindRows: Uint32Array;
  readonly kindRanks: Uint32Array;
}

function* surveyRows(source: IndexBlockSource, entities: SortedNames, scopes: SortedNames): Generator<Uint8Array, Survey> {
  const { entity, scope, kind, clock, offset, time, sequence } = source.columns;
  const count = entities.ids.length;
  const rows = new Uint32Array(count);
  const firstRows = new Uint32Array(count);
  const lastRows = new Uint32Array(count);
  const scopeRows = new Uint32Array(scopes.ids.length);
  const rowsOfKind = new Uint32Array(0x1_0000);
  let [timeOrdered, clockOrdered, clockMax, foreignIds] = [true, true, 0, 0];
  let [timeMin, timeMax] = source.rowCount === 0 ? [0, 0] : [time[0]!, time[0]!];
  for (let row = 0; row < source.rowCount; row++) {
    const local = entities.locals[entity[row]!]!;
    assert(local < count, "every row's entity has an entry in the index block");
    if (rows[local]!++ === 0) firstRows[local] = row;
    else if (clock[row]! <= clock[lastRows[local]!]!) clockOrdered = false;
    lastRows[local] = row;
    scopeRows[scopes.locals[scope[row]!]!]!++;
    rowsOfKind[kind[row]!]!++;
    if (clock[row]! > clockMax) clockMax = clock[row]!;
    if ((offset[row]! & source.foreignIdBit) !== 0) foreignIds++;
    if (row > 0 && time[row]! < time[row - 1]!) timeOrdered = false;
    if (time[row]! < timeMin) timeMin = time[row]!;
    if (time[row]! > timeMax) timeMax = time[row]!;
    if ((row + 1) % ROWS_PER_STEP === 0) yield REST;
  }
  const sequences = source.rowCount === 0 ? undefined : sequence;
  const flags =
    (sequences === undefined ? INDEX_FLAG.dense : 0) |
    (timeOrdered ? INDEX_FLAG.timeOrdered : 0) |
    (clockOrdered ? INDEX_FLAG.clockOrdered : 0) |
    (clockMax > 0xffff_ffff ? INDEX_FLAG.wideClock : 0) |
    (source.scopeIds.length > 0x1_0000 ? INDEX_FLAG.wideScope : 0) |
    INDEX_FLAG.lists;
  const nextSequence = sequences === undefined ? source.firstSequence + source.rowCount : sequences[source.rowCount - 1]! + 1;
  const kindsMet: number[] = [];
  const kindRanks = new Uint32Array(rowsOfKind.length);
  for (let number = 0; number < rowsOfKind.length; number++) if (rowsOfKind[number]! > 0) kindRanks[number] = kindsMet.push(number) - 1;
  const kinds = Uint16Array.from(kindsMet);
  const kindRows = Uint32Array.from(kindsMet, (number) => rowsOfKind[number]!);
  return { flags, nextSequence, timeMin, timeMax, foreignIds, kinds, rows, firstRows, lastRows, scopeRows, kindRows, kindRanks };
}

function* rowPages(pages: PageMaker, source: IndexBlockSource, survey: Survey, entities: SortedNames, scopes: SortedNames): Pages {
  const { columns, rowCount } = source;
  const wideClock = (survey.flags & INDEX_FLAG.wideClock) !== 0;
  const wideScope = (survey.flags & INDEX_FLAG.wideScope) !== 0;
  yield* columnPages(pages, localsOf(columns.entity, entities.locals, Uint32Array), rowCount);
  yield* columnPages(pages, localsOf(columns.scope, scopes.locals, wideScope ? Uint32Array : Uint16Array), rowCount);
  yield* columnPages(pages, (from, to) => columns.kind.subarray(from, to), rowCount);
  const clockSlice: ColumnSlice = (from, to) => columns.clock.subarray(from, to);
  yield* columnPages(pages, wideClock ? clockSlice : (from, to) => new Uint32Array(clockSlice(from, to)), rowCount);
  yield* columnPages(pages, (from, to) => columns.offset.subarray(from, to), rowCount);
  yield* columnPages(pages, (from, to) => columns.time.subarray(from, to), rowCount);
  yield* columnPages(pages, (from, to) => columns.correlationTag.subarray(from, to), rowCount);
  yield* columnPages(pages, (from, to) => columns.causationTag.subarray(from, to), rowCount);
  const { sequence } = columns;
  if (sequence !== undefined) yield* columnPages(pages, (from, to) => sequence.subarray(from, to), rowCount);
}

type ColumnSlice = (from: number, to: number) => Uint16Array | Uint32Array | Float64Array;

/** Slices of a column of ids, as local ids. */
function localsOf(ids: Uint32Array, locals: Uint32Array, Column: Uint16ArrayConstructor | Uint32ArrayConstructor): ColumnSlice {
  return (from, to) => {
    const slice = new Column(to - from);
    for (let row = from; row < to; row++) slice[row - from] = locals[ids[row]!]!;
    return slice;
  };
}

function* columnPages(pages: PageMaker, slice: ColumnSlice, rowCount: number): Pages {
  for (let row = 0; row < rowCount; row += ROWS_PER_PAGE) {
    const values = slice(row, Math.min(rowCount, row + ROWS_PER_PAGE));
    const page = newPage(values.byteLength);
    page.set(bytesOfColumn(values, values.length));
    yield pages.finish(page);
  }
}

/** The rows of each group (that of an entity, a scope, a kind), one after the other; `rows` says how many each has. */
function* rowListPages(pages: PageMaker, rowCount: number, rows: Uint32Array, groupOf: (row: number) => number): Pages {
  const places = firstPositions(rows);
  const list = new Uint32Array(rowCount);
  for (let row = 0; row < rowCount; row++) {
    list[places[groupOf(row)]!++] = row;
    if ((row + 1) % ROWS_PER_STEP === 0) yield REST;
  }
  yield* columnPages(pages, (from, to) => list.subarray(from, to), list.length);
}

function firstPositions(rows: Uint32Array): Uint32Array {
  const places = new Uint32Array(rows.length);
  let place = 0;
  for (let local = 0; local < rows.length; local++) {
    places[local] = place;
    place += rows[local]!;
  }
  return places;
}

/** Slices of the positions behind the last row of each group. */
function endsOf(rows: Uint32Array): ColumnSlice {
  const ends = new Uint32Array(rows.length);
  let end = 0;
  for (let group = 0; group < rows.length; group++) ends[group] = end += rows[group]!;
  return (from, to) => ends.subarray(from, to);
}

/** The rows by what they were caused by, and by their correlation where that is not their own id. */
function* linkPages(pages: PageMaker, source: IndexBlockSource): Generator<Uint8Array, { firstTags: Uint32Array; count: number }> {
  const { idTag, correlationTag, causationTag } = source.columns;
  let count = 0;
  const keys = new Uint32Array(source.rowCount * 2);
  const rows = new Uint32Array(source.rowCount * 2);
  for (let row = 0; row < source.rowCount; row++) {
    const correlation = correlationTag[row] === idTag[row] ? 0 : correlationTag[row]!;
    const causation = causationTag[row]!;
    if (correlation !== 0) {
      keys[count] = correlation;
      rows[count++] = row;
    }
    if (causation !== 0 && causation !== correlation) {
      keys[count] = causation;
      rows[count++] = row;
    }
    if ((row + 1) % ROWS_PER_STEP === 0) yield REST;
  }
  const sorted = yield* resting(sortPairs(keys.subarray(0, count), rows.subarray(0, count)));
  return { firstTags: yield* keyPages(pages, sorted.keys, sorted.values), count };
}

function* idPages(pages: PageMaker, source: IndexBlockSource): Generator<Uint8Array, Uint32Array> {
  const rows = new Uint32Array(source.rowCount);
  for (let row = 0; row < rows.length; row++) rows[row] = row;
  const sorted = yield* resting(sortPairs(source.columns.idTag.slice(0, source.rowCount), rows));
  return yield* keyPages(pages, sorted.keys, sorted.values);
}

/** Pages of keys and, after them in each page, their values. Returns each page's first key. */
function* keyPages(pages: PageMaker, keys: Uint32Array, values: Uint32Array): Generator<Uint8Array, Uint32Array> {
  const firstKeys: number[] = [];
  for (let from = 0; from < keys.length; from += ROWS_PER_PAGE) {
    const to = Math.min(keys.length, from + ROWS_PER_PAGE);
    const page = newPage((to - from) * 8);
    page.set(bytesOfColumn(keys.subarray(from, to), to - from));
    page.set(bytesOfColumn(values.subarray(from, to), to - from), (to - from) * 4);
    firstKeys.push(keys[from]!);
    yield pages.finish(page);
  }
  return Uint32Array.from(firstKeys);
}

function* namePages(pages: PageMaker, sorted: SortedNames, names: NameTable): Pages {
  let local = 0;
  for (let start = 0; start < sorted.nameBytes; start += STREAM_PAGE_BYTES) {
    const end = Math.min(sorted.nameBytes, start + STREAM_PAGE_BYTES);
    const page = newPage(end - start);
    for (; local < sorted.ids.length && sorted.nameOffsets[local]! < end; local++) {
      const at = sorted.nameOffsets[local]! - start;
      const length = names.copyName(sorted.ids[local]!, page, at + 2);
      page[at] = length & 0xff;
      page[at + 1] = length >>> 8;
    }
    yield pages.finish(page);
  }
}

function* detailPages(pages: PageMaker, source: IndexBlockSource, survey: Survey, entities: SortedNames): Pages {
  const { clock } = source.columns;
  const places = firstPositions(survey.rows);
  const count = entities.ids.length;
  let framesRead = source.framesRead();
  for (let from = 0; from < count; from += INDEX_BLOCK.entitiesPerPage) {
    const to = Math.min(count, from + INDEX_BLOCK.entitiesPerPage);
    const page = newPage((to - from) * INDEX_ENTITY.bytes);
    const view = new DataView(page.buffer);
    for (let local = from; local < to; local++) {
      const at = (local - from) * INDEX_ENTITY.bytes;
      const entity = entities.ids[local]!;
      const rows = survey.rows[local]!;
      const lastRow = rows === 0 ? -1 : survey.lastRows[local]!;
      view.setUint32(at + INDEX_ENTITY.firstPosition, places[local]!, true);
      view.setUint32(at + INDEX_ENTITY.rows, rows, true);
      view.setFloat64(at + INDEX_ENTITY.firstClock, rows === 0 ? -1 : clock[survey.firstRows[local]!]!, true);
      view.setFloat64(at + INDEX_ENTITY.lastClock, rows === 0 ? source.emptiedClock(entity) : clock[lastRow]!, true);
      view.setFloat64(at + INDEX_ENTITY.lastSequence, rows === 0 ? -1 : sequenceOf(source, lastRow), true);
      view.setFloat64(at + INDEX_ENTITY.previousSequence, source.previousSequence(entity), true);
      source.copyLastHashAndId(entity, lastRow, page, at + INDEX_ENTITY.lastHash);
      if (source.framesRead() - framesRead < FRAMES_PER_STEP) continue;
      framesRead = source.framesRead();
      yield REST;
    }
    yield pages.finish(page);
  }
}

function sequenceOf(source: IndexBlockSource, row: number): number {
  return source.columns.sequence === undefined ? source.firstSequence + row : source.columns.sequence[row]!;
}

function* filterPages(pages: PageMaker, source: IndexBlockSource, foreignIds: number): Pages {
  const { offset, idTag } = source.columns;
  const bytes = filterBytes(foreignIds);
  const pageCount = Math.ceil(bytes / STREAM_PAGE_BYTES);
  const filter = Array.from({ length: pageCount }, () => newPage(Math.min(bytes, STREAM_PAGE_BYTES)));
  const data = filter.map((page) => page.subarray(0, page.length - INDEX_BLOCK.pageChecksumBytes));
  let framesRead = source.framesRead();
  for (let row = 0; row < source.rowCount && pageCount > 0; row++) {
    if ((offset[row]! & source.foreignIdBit) !== 0) {
      filterAdd(data[filterPage(idTag[row]!, pageCount)]!, idTag[row]!, source.foreignTag2(row));
    }
    if ((row + 1) % ROWS_PER_STEP !== 0 && source.framesRead() - framesRead < FRAMES_PER_STEP) continue;
    framesRead = source.framesRead();
    yield REST;
  }
  for (const page of filter) yield pages.finish(page);
}

function* systemPages(pages: PageMaker, records: readonly Uint8Array[]): Generator<Uint8Array, number> {
  let length = 0;
  for (const record of records) length += 4 + record.length;
  const stream = new Uint8Array(length);
  const view = new DataView(stream.buffer);
  let at = 0;
  for (const record of records) {
    view.setUint32(at, record.length, true);
    stream.set(record, at + 4);
    at += 4 + record.length;
  }
  for (let from = 0; from < length; from += STREAM_PAGE_BYTES) {
    const data = stream.subarray(from, from + STREAM_PAGE_BYTES);
    const page = newPage(data.length);
    page.set(data);
    yield pages.finish(page);
  }
  return length;
}
