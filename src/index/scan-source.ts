/** What the cursors (`row-scan`, `list-cursor`) ask of a segment index, whether its rows are in memory or in pages. */
import type { PrefixSet } from "../base/prefix-set.ts";
import type { NameMarks } from "./name-marks.ts";
import type { ColumnName } from "./segment-index.ts";

export type ColumnValues = Uint16Array | Uint32Array | Float64Array;

/** What the scan asks of a segment index. */
export interface ScanSource {
  readonly rowCount: number;
  readonly timeOrdered: boolean;
  /** No row's time, in microseconds, is before or after these. */
  readonly timeMin: number;
  readonly timeMax: number;
  /** Whether the clocks of each entity rise from row to row. */
  readonly clockOrdered: boolean;
  /** How many entities have an entry here: those with rows, and after compaction those that ever had. */
  readonly entityCount: number;
  /** One more than the largest local entity id. */
  readonly localEntityLimit: number;
  /** An array that holds a column's values for the rows of a chunk; that of its first row stands at `chunkBase(chunk)`. */
  chunkValues(column: ColumnName, chunk: number): ColumnValues;
  chunkBase(chunk: number): number;
  rowAtSequence(sequence: number): number;
  timeAt(row: number): number;
  /** Whether a row may have this kind; false is certain. */
  mayHaveKind(kind: number): boolean;
  /** The kinds that rows have; null where that is not known. */
  readonly kinds: Uint16Array | null;
  /** The local id of a scope; -1 when it has no row here. */
  findScope(name: string): number;
  entityRows(name: string): EntityRows | null;
  /** How many pages were loaded so far, its own and others'. */
  readonly pagesLoaded: number;
  /** Whether an entity's name, by its local id, begins with one of the prefixes. */
  beginsOne(local: number, prefixes: PrefixSet): boolean;
  /** Null where there are none. */
  readonly lists: RowLists | null;
  /**
   * Sets the bits, in `marks`, of the local ids of entities whose names begin with one of `prefixes`, looking at a bounded number of names from
   * ordinal `from`. Returns the ordinal to go on from, or -1 when it has seen all.
   */
  markPrefixes(prefixes: PrefixSet, marks: Uint32Array, from: number): number;
}

/** A condition on one column. */
export type Condition =
  | { readonly column: ColumnName; readonly test: "equal"; readonly value: number }
  | { readonly column: ColumnName; readonly test: "range"; readonly from: number; readonly to: number; readonly values?: Values }
  /** Bit `v & 31` of `marks[v >>> 5]`. */
  | { readonly column: ColumnName; readonly test: "member"; readonly marks: Uint32Array; readonly values?: Values }
  | { readonly column: "entity"; readonly test: "names"; readonly names: NameMarks };

/** Those that rows of the segment have of what a condition allows, where that is known. */
type Values = ArrayLike<number>;

/** Columns by whose values rows are listed. */
export type ListedColumn = "scope" | "kind" | "correlationTag" | "causationTag";

/** Rows by the values of some columns. */
export interface RowLists {
  /** The rows before this one are listed by that column; the others are not. */
  covered(column: ListedColumn): number;
  /**
   * Lists that together name each of these rows that has this value, and of tags some others too; a row may stand in two of them. Null where there are no
   * lists of this value.
   */
  rowsWith(column: ListedColumn, value: number): readonly RowList[] | null;
}

/** Rows of one segment that have something in common, ascending, by position from 0. */
export interface RowList {
  /** The first position whose row is at or after `row`; the number of rows when there is none. */
  positionOfRow(row: number): number;
  /** Writes the rows at positions `[from, to)` to the start of `target`. */
  fill(from: number, to: number, target: Uint32Array): void;
}

/** The rows of one entity. */
export interface EntityRows extends RowList {
  /** The entity's local id. */
  readonly local: number;
  /** The first position whose clock is at or after `clock`. Only where clocks are ordered. */
  positionOfClock(clock: number): number;
}
