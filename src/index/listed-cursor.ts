/**
 * Rows that have a value by which rows are listed: a scope, kinds, a correlation, a cause. The shortest lists that one of the conditions has are
 * followed, and the other conditions checked row by row; where that would cost more than a scan, and behind the rows that are listed, rows are scanned.
 */
import { type RowRange, UNITED_ROWS } from "./entities-cursor.ts";
import { endCursor, ListCursor } from "./list-cursor.ts";
import type { Condition, ListedColumn, RowList, ScanSource } from "./scan-source.ts";
import type { RowCursor } from "./segment-index.ts";
import { UnionCursor } from "./union-cursor.ts";

/** Of a condition that allows more values the lists are not looked at. */
const VALUES_MAX = 512;
/** Scopes looked up in one call of `next`. */
const SCOPES_PER_CALL = 512;
/** A row that is checked for more conditions costs as much as so many that are scanned. */
const CHECKED_ROWS = 32;
/** So few rows are scanned in any case. */
const SCANNED_ROWS = 512;

/** A list, and the positions in it that are in the range. */
interface Part {
  readonly rows: RowList;
  readonly from: number;
  readonly to: number;
}

interface Listed {
  readonly parts: readonly Part[];
  /** Of all parts together. */
  readonly rowCount: number;
  /** Where rows begin that are not listed. */
  readonly end: number;
  /** What listed rows have to be checked for all the same. */
  readonly conditions: readonly Condition[];
}

/** A cursor along lists; null where none of the conditions has any, or it would not pay. `scan` opens one over all rows of a range. */
export function listedCursor(source: ScanSource, range: RowRange, scan: (range: RowRange) => RowCursor): RowCursor | null {
  if (source.lists === null || range.end - range.first <= SCANNED_ROWS) return null;
  let best: Listed | null = null;
  for (const condition of range.conditions) {
    const listed = listedBy(source, range, condition);
    if (listed !== null && (best === null || rowsToVisit(listed, range) < rowsToVisit(best, range))) best = listed;
  }
  return best === null ? null : new ListedCursor(source, best, range, scan);
}

function rowsToVisit({ rowCount, end }: Listed, range: RowRange): number {
  return rowCount + range.end - end;
}

function listedBy({ lists }: ScanSource, { first, end, conditions }: RowRange, condition: Condition): Listed | null {
  const { column } = condition;
  const values = condition.test === "equal" ? [condition.value] : condition.test === "names" ? undefined : condition.values;
  if (lists === null || values === undefined || values.length > VALUES_MAX || !isListed(column)) return null;
  const listedTo = Math.min(end, lists.covered(column));
  if (listedTo <= first) return null;
  const parts: Part[] = [];
  let rowCount = 0;
  for (const value of Array.from(values)) {
    const found = lists.rowsWith(column, value);
    if (found === null) return null;
    for (const rows of found) {
      const part = { rows, from: rows.positionOfRow(first), to: rows.positionOfRow(listedTo) };
      if (part.from >= part.to) continue;
      parts.push(part);
      rowCount += part.to - part.from;
    }
  }
  // A row has one scope and one kind. By a tag others are listed too.
  const isExact = column === "scope" || column === "kind";
  return { parts, rowCount, end: listedTo, conditions: isExact ? conditions.filter((other) => other !== condition) : conditions };
}

function isListed(column: Condition["column"]): column is ListedColumn {
  return column === "scope" || column === "kind" || column === "correlationTag" || column === "causationTag";
}

/** Rows of several scopes, which are looked up some at a time, and of which one that the segment lacks has none. */
export class ScopesCursor implements RowCursor {
  readonly #source: ScanSource;
  readonly #names: readonly string[];
  readonly #open: (found: readonly number[]) => RowCursor;
  #lookedUp = 0;
  readonly #found: number[] = [];
  /** Null until all are looked up. */
  #cursor: RowCursor | null = null;

  /** @param open opens a cursor over the rows of scopes, by their local ids */
  constructor(source: ScanSource, names: readonly string[], open: (found: readonly number[]) => RowCursor) {
    this.#source = source;
    this.#names = names;
    this.#open = open;
  }

  next(out: Uint32Array): number {
    return this.#opened()?.next(out) ?? -1;
  }

  count(scratch: Uint32Array): number {
    return this.#opened()?.count(scratch) ?? -1;
  }

  /** Looks up more scopes; the cursor once all are. */
  #opened(): RowCursor | null {
    if (this.#cursor !== null) return this.#cursor;
    const to = Math.min(this.#names.length, this.#lookedUp + SCOPES_PER_CALL);
    while (this.#lookedUp < to) {
      const scope = this.#source.findScope(this.#names[this.#lookedUp++]!);
      if (scope >= 0) this.#found.push(scope);
    }
    if (to === this.#names.length) this.#cursor = this.#found.length === 0 ? endCursor : this.#open(this.#found);
    return this.#cursor;
  }
}

class ListedCursor implements RowCursor {
  readonly #source: ScanSource;
  readonly #listed: Listed;
  readonly #range: RowRange;
  readonly #scan: (range: RowRange) => RowCursor;
  /** Those that are gone through one after the other; null until the first rows are asked for. */
  #cursors: RowCursor[] | null = null;

  constructor(source: ScanSource, listed: Listed, range: RowRange, scan: (range: RowRange) => RowCursor) {
    this.#source = source;
    this.#listed = listed;
    this.#range = range;
    this.#scan = scan;
  }

  next(out: Uint32Array): number {
    return this.#first((cursor) => cursor.next(out));
  }

  count(scratch: Uint32Array): number {
    const { conditions, rowCount } = this.#listed;
    if (this.#cursors === null && conditions.length === 0) {
      // No row stands in two of these lists, and none has to be looked at.
      this.#cursors = this.#unlisted();
      if (rowCount > 0) return rowCount;
    }
    return this.#first((cursor) => cursor.count(scratch));
  }

  /** What the first cursor gives that has something left. */
  #first(ask: (cursor: RowCursor) => number): number {
    const cursors = (this.#cursors ??= this.#open());
    for (;;) {
      const cursor = cursors[0];
      if (cursor === undefined) return 0;
      const count = ask(cursor);
      if (count !== 0) return count;
      cursors.shift();
    }
  }

  #open(): RowCursor[] {
    const { parts, rowCount, conditions, end } = this.#listed;
    const { first, direction } = this.#range;
    const cost = conditions.length > 0 ? CHECKED_ROWS : parts.length > 1 ? UNITED_ROWS : 0;
    if (rowCount * cost > end - first) return [this.#scan(this.#range)];
    const open = (part: number): RowCursor =>
      new ListCursor(this.#source, parts[part].rows, parts[part].from, parts[part].to, conditions, direction === "forward");
    const listed = parts.length === 0 ? [] : parts.length === 1 ? [open(0)] : [new UnionCursor(parts.length, open, direction)];
    return direction === "forward" ? [...listed, ...this.#unlisted()] : [...this.#unlisted(), ...listed];
  }

  /** The rows behind those that are listed. */
  #unlisted(): RowCursor[] {
    const first = this.#listed.end;
    return first < this.#range.end ? [this.#scan({ ...this.#range, first })] : [];
  }
}
