/**
 * Rows that have a value by which rows are listed: a scope, kinds, a correlation, a cause. The shortest lists that one of the conditions has are
 * followed, and the other conditions checked row by row; where that would cost more than a scan, the rows are scanned.
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
  /** What rows have to be checked for all the same. */
  readonly conditions: readonly Condition[];
}

/** A cursor along lists; null where none of the conditions has any. */
export function listedCursor(source: ScanSource, range: RowRange, scan: () => RowCursor): RowCursor | null {
  let shortest: Listed | null = null;
  for (const condition of range.conditions) {
    const listed = listedBy(source, range, condition);
    if (listed !== null && (shortest === null || listed.rowCount < shortest.rowCount)) shortest = listed;
  }
  return shortest === null ? null : new ListedCursor(source, shortest, range, scan);
}

function listedBy(source: ScanSource, { first, end, conditions }: RowRange, condition: Condition): Listed | null {
  const { column } = condition;
  const values = condition.test === "equal" ? [condition.value] : condition.test === "names" ? undefined : condition.values;
  if (values === undefined || values.length > VALUES_MAX || !isListed(column)) return null;
  const parts: Part[] = [];
  let rowCount = 0;
  for (const value of Array.from(values)) {
    const lists = source.rowsWith?.(column, value) ?? null;
    if (lists === null) return null;
    for (const rows of lists) {
      const part = { rows, from: rows.positionOfRow(first), to: rows.positionOfRow(end) };
      if (part.from >= part.to) continue;
      parts.push(part);
      rowCount += part.to - part.from;
    }
  }
  // A row has one scope and one kind. By a tag others are listed too.
  const isExact = column === "scope" || column === "kind";
  return { parts, rowCount, conditions: isExact ? conditions.filter((other) => other !== condition) : conditions };
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
  readonly #scan: () => RowCursor;
  /** Null until the first rows are asked for. */
  #cursor: RowCursor | null = null;

  constructor(source: ScanSource, listed: Listed, range: RowRange, scan: () => RowCursor) {
    this.#source = source;
    this.#listed = listed;
    this.#range = range;
    this.#scan = scan;
  }

  next(out: Uint32Array): number {
    this.#cursor ??= this.#open();
    return this.#cursor.next(out);
  }

  count(scratch: Uint32Array): number {
    const { conditions, rowCount } = this.#listed;
    if (this.#cursor !== null || conditions.length > 0) return (this.#cursor ??= this.#open()).count(scratch);
    // No row stands in two of these lists, and none has to be looked at.
    this.#cursor = endCursor;
    return rowCount;
  }

  #open(): RowCursor {
    const { parts, rowCount, conditions } = this.#listed;
    const { first, end, direction } = this.#range;
    const isSimple = parts.length === 1 && conditions.length === 0;
    if (!isSimple && rowCount * UNITED_ROWS > end - first) return this.#scan();
    const open = (part: number): RowCursor =>
      new ListCursor(this.#source, parts[part].rows, parts[part].from, parts[part].to, conditions, direction === "forward");
    return parts.length === 1 ? open(0) : new UnionCursor(parts.length, open, direction);
  }
}
