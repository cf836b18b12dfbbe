/**
 * The index of a sealed segment: its index block, read page by page with synchronous reads through the page cache. Only the root is kept.
 *
 * Invariants:
 * 1. A page is used only after its checksum has passed; and since a checksum is no proof, whatever a page leads to (a row, a position, the
 *    place of a name) is checked against the root's counts before it is followed. What does not fit throws `IndexPageError`.
 * 2. Looking up an id, an entity, a scope or an entity's n-th row loads a number of pages that does not depend on the segment's size
 *    (an entity's row at a sequence, or at a clock where its clocks have gaps: logarithmic in the entity's pages).
 */
import { assert } from "../base/assert.ts";
import { turnShare } from "../base/rest.ts";
import type { PrefixSet } from "../base/prefix-set.ts";
import { sameBytes } from "../base/hex.ts";
import {
  type BlockLayout,
  blockSeed,
  INDEX_BLOCK,
  INDEX_FLAG,
  INDEX_TRAILER,
  type IndexSection,
  pageChecksum,
  pageDataBytes,
  pageOffset,
} from "../format/native/index-block-layout.ts";
import { decodeIndexRoot, decodeIndexTrailer, type IndexRoot } from "../format/native/index-block-root.ts";
import { filterMayHold, filterPage } from "../format/native/index-filter.ts";
import { nameKey } from "./name-key.ts";
import type { Page, PageCache, SegmentPages } from "./page-cache.ts";
import { createCursor } from "./row-scan.ts";
import type { ColumnValues, EntityRows, ScanSource } from "./scan-source.ts";
import { SealedEntity, SealedEntityRows } from "./sealed-entity.ts";
import { SealedLists, tagsAndRows } from "./sealed-lists.ts";
import { rowPage } from "./sealed-rows.ts";
import { firstAtOrAfter, KEYS } from "./sorted-keys.ts";
import { type ColumnName, OFFSET_MASK, type RowCursor, type RowFilter, type SegmentIndex } from "./segment-index.ts";

/** Reads up to `length` bytes of the segment's file at `position` into `target` at `offset`; returns how many. */
export type ReadSync = (target: Uint8Array, offset: number, length: number, position: number) => number;

/** Whose block it must be. */
export interface SealedExpectations {
  /** 16 bytes. */
  readonly storeId: Uint8Array;
  readonly segmentId: number;
  /** Checked when given. */
  readonly generation?: number;
  /** Where in the file the block must begin; checked when given. */
  readonly blockStart?: number;
}

export type SealedOutcome = { readonly ok: true; readonly index: SealedSegmentIndex } | { readonly ok: false; readonly reason: string };

/** A page of an index block is bad. The caller rebuilds the block from the frames: this is never damage to the log. */
export class IndexPageError extends Error {
  override readonly name = "IndexPageError";
  readonly segmentId: number;
  /** Number of the page in its block. */
  readonly page: number;
  readonly reason: string;

  constructor(segmentId: number, page: number, reason: string) {
    super(`Cannot use page ${page} of the index of segment ${segmentId}: ${reason}`);
    this.segmentId = segmentId;
    this.page = page;
    this.reason = reason;
  }
}

const NAMES_PER_CALL = 8192;
const ROW_SHIFT = INDEX_BLOCK.rowsPerPageShift;
const ROW_MASK = INDEX_BLOCK.rowsPerPage - 1;
const PLACE_MASK = INDEX_BLOCK.streamPageBytes - 1;

export class SealedSegmentIndex implements SegmentIndex, ScanSource {
  readonly root: IndexRoot;
  /** Where the block begins in its file: the end of the seal frame. */
  readonly blockStart: number;
  readonly rowCount: number;
  readonly firstSequence: number;
  readonly dense: boolean;
  readonly timeOrdered: boolean;
  readonly clockOrdered: boolean;
  readonly entityCount: number;
  readonly #layout: BlockLayout;
  readonly #readSync: ReadSync;
  /** Where its pages are held. */
  readonly cache: PageCache;
  readonly #pages: SegmentPages;
  /** Rows by scope, kind and link; null in a block of an earlier version, which has no such lists. */
  readonly lists: SealedLists | null;
  readonly #seed: number;
  readonly #wideScope: boolean;
  readonly #wideClock: boolean;
  /** Where `#locateName` has found a name. */
  #namePage: Page | null = null;
  #nameStart = 0;
  #nameEnd = 0;
  /** The entity that was looked for last, and its local id: whoever looks whether it is here looks for its rows next. */
  #lastEntity = "";
  #lastLocal = -1;

  constructor(root: IndexRoot, layout: BlockLayout, blockStart: number, readSync: ReadSync, cache: PageCache) {
    const { flags } = root.shape;
    this.root = root;
    this.blockStart = blockStart;
    this.rowCount = root.shape.rowCount;
    this.firstSequence = root.firstSequence;
    this.dense = (flags & INDEX_FLAG.dense) !== 0;
    this.timeOrdered = (flags & INDEX_FLAG.timeOrdered) !== 0;
    this.clockOrdered = (flags & INDEX_FLAG.clockOrdered) !== 0;
    this.entityCount = root.shape.entityCount;
    this.#layout = layout;
    this.#readSync = readSync;
    this.cache = cache;
    this.#pages = cache.segment(layout.pageCount);
    this.#seed = blockSeed(root.storeId, root.segmentId, root.generation);
    this.#wideScope = (flags & INDEX_FLAG.wideScope) !== 0;
    this.#wideClock = (flags & INDEX_FLAG.wideClock) !== 0;
    const page = (section: IndexSection, number: number): Page => this.#page(section, number);
    this.lists = (flags & INDEX_FLAG.lists) === 0 ? null : new SealedLists(this, layout, page);
  }

  /**
   * Opens the index block that ends at `blockEnd`: reads its trailer and its root, and no page. What `readSync` throws passes through;
   * it is called for as long as the index is used.
   */
  static open(readSync: ReadSync, blockEnd: number, cache: PageCache, expected: SealedExpectations): SealedOutcome {
    const trailerBytes = new Uint8Array(INDEX_TRAILER.bytes);
    if (blockEnd < trailerBytes.length) return { ok: false, reason: "the file is too short for an index block" };
    const trailerAt = blockEnd - trailerBytes.length;
    const read = readSync(trailerBytes, 0, trailerBytes.length, trailerAt);
    const outcome = decodeIndexTrailer(trailerBytes.subarray(0, read), blockEnd);
    if (!outcome.ok) return outcome;
    const { trailer } = outcome;
    const blockStart = blockEnd - trailer.blockBytes;
    if (!sameBytes(trailer.storeId, 0, expected.storeId, 0, 16)) return { ok: false, reason: "the index block is of another store" };
    if (trailer.segmentId !== expected.segmentId) return { ok: false, reason: "the index block is of another segment" };
    if (expected.generation !== undefined && trailer.generation !== expected.generation) {
      return { ok: false, reason: "the index block is of another generation" };
    }
    if (expected.blockStart !== undefined && blockStart !== expected.blockStart) {
      return { ok: false, reason: "the index block does not begin where the frames end" };
    }
    const rootBytes = new Uint8Array(trailer.rootBytes);
    const rootRead = readSync(rootBytes, 0, rootBytes.length, trailerAt - rootBytes.length);
    const decoded = decodeIndexRoot(rootBytes.subarray(0, rootRead), trailer);
    if (!decoded.ok) return decoded;
    return { ok: true, index: new SealedSegmentIndex(decoded.root, decoded.layout, blockStart, readSync, cache) };
  }

  get nextSequence(): number {
    return this.root.nextSequence;
  }

  get timeMin(): number {
    return this.root.timeMin;
  }

  get timeMax(): number {
    return this.root.timeMax;
  }

  get localEntityLimit(): number {
    return this.entityCount;
  }

  /** Lets go of the pages held. The index can still be used. */
  release(): void {
    this.cache.drop(this.#pages);
  }

  cursor(filter: RowFilter, fromRow: number, toRow: number, direction: "forward" | "backward"): RowCursor {
    return createCursor(this, filter, fromRow, toRow, direction);
  }

  rowAtSequence(sequence: number): number {
    if (this.dense) return Math.max(0, Math.min(this.rowCount, sequence - this.firstSequence));
    if (sequence <= this.firstSequence) return 0;
    let low = 0;
    let high = this.rowCount;
    if (sequence >= this.nextSequence) return high;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.sequenceAt(middle) < sequence) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  sequenceAt(row: number): number {
    return this.dense ? this.firstSequence + row : this.#page(this.#layout.sequence, row >>> ROW_SHIFT).f64[row & ROW_MASK]!;
  }

  clockAt(row: number): number {
    const page = this.#page(this.#layout.clock, row >>> ROW_SHIFT);
    return this.#wideClock ? page.f64[row & ROW_MASK]! : page.u32[row & ROW_MASK]!;
  }

  timeAt(row: number): number {
    return this.#page(this.#layout.time, row >>> ROW_SHIFT).f64[row & ROW_MASK]!;
  }

  offsetAt(row: number): number {
    return this.#page(this.#layout.offset, row >>> ROW_SHIFT).u32[row & ROW_MASK]! & OFFSET_MASK;
  }

  flagsAt(row: number): number {
    return this.#page(this.#layout.offset, row >>> ROW_SHIFT).u32[row & ROW_MASK]! & ~OFFSET_MASK;
  }

  rowsByIdTag(tag: number): number[] {
    const rows: number[] = [];
    this.#eachValue(this.#layout.ids, this.root.firstTags, tag, (row, page) => {
      if (row >= this.rowCount) throw this.badPage(page.number, "a row past the last");
      rows.push(row);
      return true;
    });
    return rows;
  }

  mayHoldForeignId(tag: number, tag2: number): boolean {
    const { filter } = this.#layout;
    if (filter.pageCount === 0) return false;
    return filterMayHold(this.#page(filter, filterPage(tag, filter.pageCount)).bytes, tag, tag2);
  }

  /** Pages and bytes of the filter over ids that the writer did not issue. */
  get filterPages(): number {
    return this.#layout.filter.pageCount;
  }

  get filterBytes(): number {
    return this.#layout.filter.dataBytes;
  }

  /** A page of that filter, if it is held. */
  heldFilterPage(page: number): Page | undefined {
    return this.cache.get(this.#pages, this.#layout.filter.firstPage + page);
  }

  entity(name: string): SealedEntity | null {
    if (name !== this.#lastEntity) {
      this.#lastLocal = this.#findName(name, this.#layout.entityKeys, this.root.firstEntityHashes, this.#layout.entityNames);
      this.#lastEntity = name;
    }
    return this.#lastLocal < 0 ? null : this.#entityAt(this.#lastLocal);
  }

  entities(visit: (name: string, summary: SealedEntity) => boolean | void, from = 0): void {
    this.entityNames((bytes, start, end, _hash, summary) => visit(bytes.toString("utf8", start, end), summary), from);
  }

  /** As `entities`, with the bytes of each name and what the block says is their `nameHash`: most names are known, and a string of each costs more. */
  entityNames(
    visit: (bytes: Buffer, start: number, end: number, hash: number, summary: SealedEntity) => boolean | void,
    from = 0,
    to = this.entityCount,
  ): void {
    const { entityKeys, entityNames, entityDetails } = this.#layout;
    let keys: Page | null = null;
    let details: Page | null = null;
    for (let local = from; local < to; local++) {
      keys = this.#pageAgain(keys, entityKeys, local >>> ROW_SHIFT);
      details = this.#pageAgain(details, entityDetails, local >>> INDEX_BLOCK.entitiesPerPageShift);
      this.#locateName(keys, entityNames, local);
      const summary = this.#entityIn(details, local);
      if (visit(this.#namePage!.bytes, this.#nameStart, this.#nameEnd, keys.u32[local & ROW_MASK]!, summary) === false) return;
    }
  }

  scopes(from = 0, count = Number.POSITIVE_INFINITY): string[] {
    const { scopeKeys, scopeNames } = this.#layout;
    const length = Math.max(0, Math.min(count, this.root.shape.scopeCount - from));
    return Array.from({ length }, (_, i) => this.#nameAt(scopeKeys, scopeNames, from + i));
  }

  /** Pages of the list of ids. */
  get idPageCount(): number {
    return this.#layout.ids.pageCount;
  }

  /** A page of the list of ids: tags, ascending, and their rows. Views, to be looked at right away. */
  idPage(page: number): { tags: Uint32Array; rows: Uint32Array } {
    return tagsAndRows(this.#page(this.#layout.ids, page));
  }

  /** The system records that the block carries, as they were given. Read anew at each call, and not cached. */
  systemRecords(): Uint8Array[] {
    const section = this.#layout.systemRecords;
    const stream = new Uint8Array(section.dataBytes);
    for (let page = 0; page < section.pageCount; page++) {
      stream.set(new Uint8Array(this.#load(section, page), 0, pageDataBytes(section, page)), page * section.pageBytes);
    }
    const view = new DataView(stream.buffer);
    const records: Uint8Array[] = [];
    let at = 0;
    for (let index = 0; index < this.root.systemRecords; index++) {
      const length = at + 4 <= stream.length ? view.getUint32(at, true) : Infinity;
      if (at + 4 + length > stream.length) throw this.badPage(section.firstPage, "a system record past the last byte");
      records.push(stream.slice(at + 4, at + 4 + length));
      at += 4 + length;
    }
    return records;
  }

  chunkValues(column: ColumnName, chunk: number): ColumnValues {
    const page = this.#page(this.#layout[column], chunk);
    switch (column) {
      case "kind":
        return page.u16;
      case "scope":
        return this.#wideScope ? page.u32 : page.u16;
      case "clock":
        return this.#wideClock ? page.f64 : page.u32;
      case "time":
      case "sequence":
        return page.f64;
      default:
        return page.u32;
    }
  }

  chunkBase(_chunk: number): number {
    return 0;
  }

  get kinds(): Uint16Array {
    return this.root.kinds;
  }

  mayHaveKind(kind: number): boolean {
    return this.kindRank(kind) >= 0;
  }

  /** Its place among the kinds that rows have; -1 when none has it. */
  kindRank(kind: number): number {
    const { kinds } = this.root;
    let low = 0;
    let high = kinds.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (kinds[middle]! < kind) low = middle + 1;
      else high = middle;
    }
    return kinds[low] === kind ? low : -1;
  }

  findScope(name: string): number {
    return this.#findName(name, this.#layout.scopeKeys, this.root.firstScopeHashes, this.#layout.scopeNames);
  }

  entityRows(name: string): EntityRows | null {
    const entity = this.entity(name);
    if (entity === null) return null;
    return new SealedEntityRows(this, entity, (page) => rowPage(this.#page(this.#layout.entityRows, page)));
  }

  get pagesLoaded(): number {
    return this.cache.pagesLoaded;
  }

  beginsOne(local: number, prefixes: PrefixSet): boolean {
    const { entityKeys, entityNames } = this.#layout;
    if (local >= this.entityCount) throw this.badPage(entityKeys.firstPage, "an entity past the last");
    this.#locateName(this.#page(entityKeys, local >>> ROW_SHIFT), entityNames, local);
    return prefixes.beginsOne(this.#namePage!.bytes, this.#nameStart, this.#nameEnd);
  }

  markPrefixes(prefixes: PrefixSet, marks: Uint32Array, from: number): number {
    const { entityKeys, entityNames } = this.#layout;
    const end = Math.min(this.entityCount, from + NAMES_PER_CALL);
    let keys: Page | null = null;
    for (let local = from; local < end; local++) {
      keys = this.#pageAgain(keys, entityKeys, local >>> ROW_SHIFT);
      this.#locateName(keys, entityNames, local);
      if (prefixes.beginsOne(this.#namePage!.bytes, this.#nameStart, this.#nameEnd)) marks[local >>> 5]! |= 1 << (local & 31);
    }
    return end === this.entityCount ? -1 : end;
  }

  /** The page with this entity's entry is bad. */
  badEntity(local: number, reason: string): IndexPageError {
    return this.badPage(this.#layout.entityDetails.firstPage + (local >>> INDEX_BLOCK.entitiesPerPageShift), reason);
  }

  /** The error for a page (by its number in the block) that leads nowhere. */
  badPage(page: number, reason: string): IndexPageError {
    return new IndexPageError(this.root.segmentId, page, reason);
  }

  #entityAt(local: number): SealedEntity {
    return this.#entityIn(this.#page(this.#layout.entityDetails, local >>> INDEX_BLOCK.entitiesPerPageShift), local);
  }

  /** The entity's entry, in its page. */
  #entityIn(page: Page, local: number): SealedEntity {
    const entity = new SealedEntity(local, page);
    if (entity.firstPosition + entity.rows > this.rowCount) throw this.badPage(page.number, "an entity's rows past the last");
    return entity;
  }

  /** The local id of a name in a dictionary; -1 when it is not there. */
  #findName(name: string, keys: IndexSection, firstHashes: Uint32Array, names: IndexSection): number {
    const { bytes, hash } = nameKey(name);
    let found = -1;
    this.#eachValue(keys, firstHashes, hash, (place, page, local) => {
      this.#locatePlace(names, place, page);
      const length = this.#nameEnd - this.#nameStart;
      if (length !== bytes.length || !sameBytes(this.#namePage!.bytes, this.#nameStart, bytes, 0, length)) return true;
      found = local;
      return false;
    });
    return found;
  }

  #nameAt(keys: IndexSection, names: IndexSection, local: number): string {
    this.#locateName(this.#page(keys, local >>> ROW_SHIFT), names, local);
    return this.#namePage!.bytes.toString("utf8", this.#nameStart, this.#nameEnd);
  }

  /** `keys` is the page of the keys that has the name's. */
  #locateName(keys: Page, names: IndexSection, local: number): void {
    const count = keys.u32.length >>> 1;
    this.#locatePlace(names, keys.u32[count + (local & ROW_MASK)]!, keys);
  }

  /** Finds the name at this place of its section; `from` is the page that led there. */
  #locatePlace(names: IndexSection, place: number, from: Page): void {
    if (place >= names.dataBytes) throw this.badPage(from.number, "a name past the last byte");
    const page = this.#pageAgain(this.#namePage, names, place >>> INDEX_BLOCK.streamPageBytesShift);
    const start = (place & PLACE_MASK) + 2;
    const end = start <= page.bytes.length ? start + (page.bytes[start - 2]! | (page.bytes[start - 1]! << 8)) : Infinity;
    if (end > page.bytes.length || end === start) throw this.badPage(from.number, "a name that does not fit its page");
    this.#namePage = page;
    this.#nameStart = start;
    this.#nameEnd = end;
  }

  /**
   * Visits the values under `key` in a section of sorted keys, with the page and the position in the whole section, until `visit` returns
   * false. Loads one page, and the next one only where equal keys run on into it or end just at its edge.
   */
  #eachValue(
    section: IndexSection,
    firstKeys: Uint32Array,
    key: number,
    visit: (value: number, page: Page, position: number) => boolean,
  ): void {
    // Equal keys may begin in the page before the first that begins with one.
    for (
      let index = Math.max(0, firstAtOrAfter(firstKeys, firstKeys.length, key, 0, KEYS) - 1);
      index < firstKeys.length && firstKeys[index]! <= key;
      index++
    ) {
      const page = this.#page(section, index);
      const values = page.u32;
      const count = values.length >>> 1;
      const next = index + 1 < firstKeys.length ? firstKeys[index + 1]! : KEYS;
      for (let at = firstAtOrAfter(values, count, key, firstKeys[index]!, next); at < count && values[at] === key; at++) {
        if (!visit(values[count + at]!, page, (index << ROW_SHIFT) + at)) return;
      }
    }
  }

  /**
   * The same page, where `held` is that one. Whoever goes through pages of several sections side by side holds on to them: a small cache may have
   * no room for all of them, and would load one for each name.
   */
  #pageAgain(held: Page | null, section: IndexSection, page: number): Page {
    return held !== null && held.number === section.firstPage + page ? held : this.#page(section, page);
  }

  /** Page `page` of a section, from the cache or the file. */
  #page(section: IndexSection, page: number): Page {
    const number = section.firstPage + page;
    const held = this.cache.get(this.#pages, number);
    if (held !== undefined && page < section.pageCount) return held;
    assert(page < section.pageCount, "only rows and entities that an index block has are looked up");
    return this.cache.put(this.#pages, number, this.#load(section, page), pageDataBytes(section, page));
  }

  #load(section: IndexSection, page: number): ArrayBuffer {
    const number = section.firstPage + page;
    const dataBytes = pageDataBytes(section, page);
    const length = dataBytes + INDEX_BLOCK.pageChecksumBytes;
    const memory = new ArrayBuffer(length);
    const bytes = new Uint8Array(memory);
    if (this.#readSync(bytes, 0, length, this.blockStart + pageOffset(section, page)) !== length)
      throw this.badPage(number, "it is cut short");
    turnShare.lookAtClock();
    const checksum = new DataView(memory).getUint32(dataBytes, true);
    if (checksum !== pageChecksum(bytes.subarray(0, dataBytes), this.#seed, number))
      throw this.badPage(number, "its checksum does not match");
    return memory;
  }
}
