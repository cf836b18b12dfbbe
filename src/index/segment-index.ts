/**
 * What the index knows of one segment, and how it is asked. Two implementations: rows in memory (`active-segment-index`, grows) and rows in
 * pages of an index block (`sealed-segment-index`, read lazily under the page cache). Both answer through the same columns, so that one
 * scan (`row-scan`) serves both.
 *
 * Row r is the segment's r-th event (system records and seals have no row). Rows stand in file order, which is sequence order.
 */
import type { PrefixSet } from "../base/prefix-set.ts";

/** The row columns. `entity` and `scope` hold ids local to the segment index. */
export interface Columns {
  entity: Uint32Array;
  scope: Uint32Array;
  kind: Uint16Array;
  clock: Float64Array;
  /** Frame offset; bit 31: the last frame of its commit (batch); bit 30: the id was not issued by the writer. */
  offset: Uint32Array;
  /** Microseconds since the Unix epoch. */
  time: Float64Array;
  /** `idTag` of the correlation id. */
  correlationTag: Uint32Array;
  /** `idTag` of the causation id; 0 when there is none. */
  causationTag: Uint32Array;
  /** Only where sequences are not dense; else undefined: `firstSequence + row`. */
  sequence: Float64Array | undefined;
}

export type ColumnName = keyof Columns;

export const OFFSET_MASK = 0x3fff_ffff;
export const OFFSET_ENDS_BATCH = 0x8000_0000;
export const OFFSET_FOREIGN_ID = 0x4000_0000;

/** A row's fields, as given to `ActiveSegmentIndex.push`. */
export interface RowFields {
  entity: number;
  scope: number;
  kind: number;
  clock: number;
  /** With the flag bits of `Columns.offset`. */
  offset: number;
  time: number;
  idTag: number;
  correlationTag: number;
  causationTag: number;
  sequence: number;
}

/** What a segment index knows of one entity that has rows in it (or, after compaction, ever had). */
export interface EntitySummary {
  /** Id local to this segment index. */
  readonly local: number;
  readonly rows: number;
  readonly firstClock: number;
  readonly lastClock: number;
  /** Sequence of the entity's last event in this segment; -1 when it has none left here. */
  readonly lastSequence: number;
  /** Sequence of the entity's last event before this segment; -1 when there is none. */
  readonly previousSequence: number;
}

/** A filter in the index's own terms. Absent members do not constrain. All ranges inclusive, in numbers; tags are candidates only. */
export interface RowFilter {
  entity?: string;
  entityPrefix?: string;
  scope?: string;
  /** Instead of `entityPrefix` and `scope`, and never with `entity`: names that begin with one of these, and scopes of which any will do. */
  entityPrefixes?: PrefixSet;
  scopes?: readonly string[];
  /** Beside prefixes: all entities whose names begin so, where that is known, and they are few. */
  entities?: readonly string[];
  /** Ascending, distinct. */
  kinds?: readonly number[];
  /** Instead of `kinds`: all that a category has. */
  category?: number;
  correlationTag?: number;
  causationTag?: number;
  clockFrom?: number;
  clockTo?: number;
  sequenceFrom?: number;
  sequenceTo?: number;
  /** Microseconds. */
  timeFrom?: number;
  timeTo?: number;
}

/** Yields matching rows, a buffer at a time: ascending, or descending when so asked. */
export interface RowCursor {
  /**
   * Fills `out` from its start with rows; returns how many, which may be fewer than fit; 0 means the end. One call does a bounded amount of work
   * (at most about 64 Ki rows looked at); -1 means none found yet, call again.
   */
  next(out: Uint32Array): number;
  /** As `next`, for whoever needs only their number: it may be more than fit into `scratch`, which holds anything afterwards. */
  count(scratch: Uint32Array): number;
}

export interface SegmentIndex {
  /** Number of rows. In an active index this grows; a reader passes the bound it may see. */
  readonly rowCount: number;
  /** The sequence of row 0, or of the next event where there are no rows. */
  readonly firstSequence: number;
  /** Whether sequences are `firstSequence + row`. */
  readonly dense: boolean;
  /** Whether times never run backwards from row to row. */
  readonly timeOrdered: boolean;

  /** Matching rows among `[fromRow, toRow)`. */
  cursor(filter: RowFilter, fromRow: number, toRow: number, direction: "forward" | "backward"): RowCursor;
  /** The first row whose sequence is at or after `sequence`; `rowCount` when there is none. */
  rowAtSequence(sequence: number): number;
  sequenceAt(row: number): number;
  clockAt(row: number): number;
  timeAt(row: number): number;
  /** Frame offset, without flag bits. */
  offsetAt(row: number): number;
  /** The flag bits of `Columns.offset`. */
  flagsAt(row: number): number;
  /** Rows whose id has this tag, in no order: candidates, to be checked against their frames. */
  rowsByIdTag(tag: number): number[];
  /** Whether an id that the writer did not issue may be here (a filter: false is certain). Loads the filter at the first call. */
  mayHoldForeignId(tag: number, tag2: number): boolean;
  entity(name: string): EntitySummary | null;
  /**
   * Calls `visit` with each entity that has an entry here until it returns false. The order is fixed (new ones come last), so that a long
   * walk can rest: `from` is how many entries to leave out, 0 unless given.
   */
  entities(visit: (name: string, summary: EntitySummary) => boolean | void, from?: number): void;
  /** Its scopes, or so many of them. */
  scopes(from?: number, count?: number): string[];
  /** The local id of a scope; -1 when it has no row here. */
  findScope(name: string): number;
}

/** Whether the row's is the last frame of its batch. */
export function endsBatch(index: SegmentIndex, row: number): boolean {
  return (index.flagsAt(row) & OFFSET_ENDS_BATCH) !== 0;
}
