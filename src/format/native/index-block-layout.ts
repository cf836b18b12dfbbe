/**
 * The index block of a sealed segment: one table of offsets that encoder and decoder share. Little-endian.
 *
 *   pages of section 0 · pages of section 1 · … · root · trailer
 *
 * - The block stands at the end of its file; the trailer, of fixed size, is the file's last bytes and leads to the root.
 * - Every page is its data (at most 32 KiB) and then the CRC-32 of it, whose initial value is `pageChecksumSeed`: so that a page of
 *   another store, segment, generation or place does not pass. The pages of a section are full but for the last.
 * - Where each section lies follows from the counts in the root (`blockLayout`): there is no list of offsets that could disagree.
 * - Row columns hold `rowsPerPage` rows a page, whatever their width. Numbers up to 2^53 are f64 where they are read in place.
 * - Blocks that were written before there were lists of rows (`INDEX_FLAG.lists`) end with the system records, and are read as they are.
 * - Entities and scopes are dictionaries: keys sorted by `nameHash` (a local id is the rank), the names in that order.
 */
import { crc32 } from "node:zlib";
import { setUint64 } from "../../base/u64.ts";

export const INDEX_BLOCK = {
  version: 1,
  rowsPerPageShift: 12,
  rowsPerPage: 4096,
  pageChecksumBytes: 4,
  /** Data bytes of a page of names, of the filter and of system records. */
  streamPageBytesShift: 15,
  streamPageBytes: 32_768,
  entitiesPerPageShift: 8,
  entitiesPerPage: 256,
  /** Of a filter: probes for each id, bits for each id. */
  filterProbes: 8,
  filterBitsPerId: 16,
  nameBytesMax: 0xffff,
} as const;

/** The last bytes of the file. */
export const INDEX_TRAILER = {
  magic: 0, // 8 bytes
  version: 8, // u32
  rootBytes: 12, // u32
  rootChecksum: 16, // u32, CRC-32 of the root
  reserved: 20, // u32, zero
  blockBytes: 24, // u64, pages, root and trailer
  segmentId: 32, // u64
  generation: 40, // u64
  storeId: 48, // 16 bytes
  checksum: 64, // u32, CRC-32 of the 64 bytes before
  bytes: 68,
} as const;

export const INDEX_TRAILER_MAGIC = Uint8Array.from(Buffer.from("FBATIDX1", "latin1"));

/** The root's fixed fields; after them the kinds (u16, ascending, padded to 4 bytes), then for each page of `ids`, `entityKeys` and
 * `scopeKeys` and `linkTags` its first key (u32). */
export const INDEX_ROOT = {
  storeId: 0, // 16 bytes
  segmentId: 16, // u64
  generation: 24, // u64
  rowCount: 32, // u32
  entityCount: 36, // u32
  scopeCount: 40, // u32
  flags: 44, // u32, INDEX_FLAG
  entityNameBytes: 48, // u32, data bytes of the section entityNames
  scopeNameBytes: 52, // u32
  filterBytes: 56, // u32
  systemBytes: 60, // u32
  firstSequence: 64, // u64, of row 0, or of the next event where there are no rows
  nextSequence: 72, // u64, the last row's and one; firstSequence where there are no rows
  timeMin: 80, // u64, microseconds; 0 where there are no rows
  timeMax: 88, // u64
  lastIssuedId: 96, // 16 bytes: the last id that the writer issued, up to the end of this segment; zeros when it never did
  foreignIds: 112, // u32, rows whose id the writer did not issue
  systemRecords: 116, // u32
  kindCount: 120, // u32
  linkCount: 124, // u32, pairs in the section linkTags; zero without lists
  bytes: 128,
} as const;

export const INDEX_FLAG = {
  dense: 1,
  timeOrdered: 2,
  clockOrdered: 4,
  /** Clocks are f64 instead of u32. */
  wideClock: 8,
  /** Scopes are u32 instead of u16. */
  wideScope: 16,
  /** The sections behind `systemRecords` are there: rows by scope, kind and link. */
  lists: 32,
  all: 63,
} as const;

/** An entity's entry in `entityDetails`. */
export const INDEX_ENTITY = {
  firstPosition: 0, // u32, where its rows begin in `entityRows`
  rows: 4, // u32
  firstClock: 8, // f64; of the first row, -1 when there is none
  lastClock: 16, // f64; of the last event there ever was in the segment
  lastSequence: 24, // f64; of the last row, -1 when there is none
  previousSequence: 32, // f64; of the entity's last event before the segment, -1 when there is none
  lastHash: 40, // 32 bytes
  lastId: 72, // 16 bytes
  bytes: 88,
} as const;

/** The sections, in file order. */
export const INDEX_SECTIONS = [
  "entity", // u32 a row: local id
  "scope", // u16 or u32 a row: local id
  "kind", // u16 a row
  "clock", // u32 or f64 a row
  "offset", // u32 a row, with flag bits
  "time", // f64 a row, microseconds
  "correlationTag", // u32 a row
  "causationTag", // u32 a row
  "sequence", // f64 a row; empty when dense
  "entityRows", // u32: the rows of entity 0, of entity 1, …, each ascending
  "ids", // a page: its tags (u32 each), then their rows (u32 each); sorted by tag, then row
  "entityKeys", // a page: hashes of names (u32 each), then the places of the names in `entityNames` (u32 each)
  "entityNames", // length u16, UTF-8 bytes; none crosses a page
  "entityDetails", // INDEX_ENTITY each
  "scopeKeys",
  "scopeNames",
  "filter", // bits: see `index-filter`
  "systemRecords", // length u32, bytes
  "scopeEnds", // u32 a scope: where its rows end in `scopeRows`
  "scopeRows", // u32: the rows of scope 0, of scope 1, …, each ascending
  "kindEnds", // u32 a kind, in the order of the root's
  "kindRows",
  "linkTags", // as `ids`: tags of causes, and of correlations but for those that are the event's own id; a tag and row once
] as const;

export type IndexSectionName = (typeof INDEX_SECTIONS)[number];

/** The counts from which the places of all sections follow. */
export interface BlockShape {
  readonly rowCount: number;
  readonly entityCount: number;
  readonly scopeCount: number;
  readonly flags: number;
  readonly entityNameBytes: number;
  readonly scopeNameBytes: number;
  readonly filterBytes: number;
  readonly systemBytes: number;
  readonly kindCount: number;
  readonly linkCount: number;
}

/** Where a section lies in its block. */
export interface IndexSection {
  /** Offset of its first page from the block's start, in bytes. */
  readonly offset: number;
  /** Bytes of data in all its pages together. */
  readonly dataBytes: number;
  /** Bytes of data in each page but the last. */
  readonly pageBytes: number;
  readonly pageCount: number;
  /** Number of its first page among all pages of the block. */
  readonly firstPage: number;
}

export type BlockLayout = Readonly<Record<IndexSectionName, IndexSection>> & {
  /** Bytes of all pages together: where the root begins. */
  readonly pagesBytes: number;
  readonly pageCount: number;
};

/** Where everything lies in a block of this shape. */
export function blockLayout(shape: BlockShape): BlockLayout {
  const rows = shape.rowCount;
  const clockBytes = (shape.flags & INDEX_FLAG.wideClock) !== 0 ? 8 : 4;
  const scopeBytes = (shape.flags & INDEX_FLAG.wideScope) !== 0 ? 4 : 2;
  const sequenceBytes = (shape.flags & INDEX_FLAG.dense) !== 0 ? 0 : 8;
  const listed = (shape.flags & INDEX_FLAG.lists) !== 0 ? 4 : 0;
  const perPage = INDEX_BLOCK.rowsPerPage;
  const stream = INDEX_BLOCK.streamPageBytes;
  const sizes: Record<IndexSectionName, readonly [dataBytes: number, pageBytes: number]> = {
    entity: [rows * 4, perPage * 4],
    scope: [rows * scopeBytes, perPage * scopeBytes],
    kind: [rows * 2, perPage * 2],
    clock: [rows * clockBytes, perPage * clockBytes],
    offset: [rows * 4, perPage * 4],
    time: [rows * 8, perPage * 8],
    correlationTag: [rows * 4, perPage * 4],
    causationTag: [rows * 4, perPage * 4],
    sequence: [rows * sequenceBytes, perPage * 8],
    entityRows: [rows * 4, perPage * 4],
    ids: [rows * 8, perPage * 8],
    entityKeys: [shape.entityCount * 8, perPage * 8],
    entityNames: [shape.entityNameBytes, stream],
    entityDetails: [shape.entityCount * INDEX_ENTITY.bytes, INDEX_BLOCK.entitiesPerPage * INDEX_ENTITY.bytes],
    scopeKeys: [shape.scopeCount * 8, perPage * 8],
    scopeNames: [shape.scopeNameBytes, stream],
    filter: [shape.filterBytes, stream],
    systemRecords: [shape.systemBytes, stream],
    scopeEnds: [shape.scopeCount * listed, perPage * 4],
    scopeRows: [rows * listed, perPage * 4],
    kindEnds: [shape.kindCount * listed, perPage * 4],
    kindRows: [rows * listed, perPage * 4],
    linkTags: [shape.linkCount * 2 * listed, perPage * 8],
  };
  const sections: Partial<Record<IndexSectionName, IndexSection>> = {};
  let offset = 0;
  let firstPage = 0;
  for (const name of INDEX_SECTIONS) {
    const [dataBytes, pageBytes] = sizes[name];
    const pageCount = Math.ceil(dataBytes / pageBytes);
    sections[name] = { offset, dataBytes, pageBytes, pageCount, firstPage };
    offset += dataBytes + pageCount * INDEX_BLOCK.pageChecksumBytes;
    firstPage += pageCount;
  }
  return { ...(sections as Record<IndexSectionName, IndexSection>), pagesBytes: offset, pageCount: firstPage };
}

/** Bytes of data in page `page` (counted from the section's first). */
export function pageDataBytes(section: IndexSection, page: number): number {
  return Math.min(section.pageBytes, section.dataBytes - page * section.pageBytes);
}

/** Offset of page `page` (counted from the section's first) from the block's start. */
export function pageOffset(section: IndexSection, page: number): number {
  return section.offset + page * (section.pageBytes + INDEX_BLOCK.pageChecksumBytes);
}

/** Length of the root of a block with this many kinds. */
export function rootBytes(layout: BlockLayout, kindCount: number): number {
  const firstKeys = layout.ids.pageCount + layout.entityKeys.pageCount + layout.scopeKeys.pageCount + layout.linkTags.pageCount;
  return INDEX_ROOT.bytes + ((kindCount * 2 + 3) & ~3) + firstKeys * 4;
}

/** What the checksums of a block's pages begin from: `blockSeed XOR number of the page in the block`. */
export function blockSeed(storeId: Uint8Array, segmentId: number, generation: number): number {
  const bytes = new Uint8Array(32);
  const view = new DataView(bytes.buffer);
  bytes.set(storeId.subarray(0, 16));
  setUint64(view, 16, segmentId);
  setUint64(view, 24, generation);
  return crc32(bytes);
}

/** The checksum of a page's data. */
export function pageChecksum(data: Uint8Array, seed: number, page: number): number {
  return crc32(data, (seed ^ page) >>> 0);
}
