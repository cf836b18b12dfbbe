/**
 * Rows of several entities of a segment, known by their names: the lists of rows that these have, united. Where they have much of all rows there, a scan
 * that knows whom it looks for costs less.
 */
import { ListCursor } from "./list-cursor.ts";
import type { Condition, EntityRows, ScanSource } from "./scan-source.ts";
import type { RowCursor } from "./segment-index.ts";
import { UnionCursor } from "./union-cursor.ts";

/** Names looked up in one call of `next`. */
const NAMES_PER_CALL = 64;
/** A row that lists are united for costs as much as so many that are scanned. */
export const UNITED_ROWS = 16;
/** To look up a name costs as much as to compare so many with a prefix, or to scan so many times so many rows: it may take pages of its own. */
const LOOKED_UP_NAMES = 64;

/** Where rows may be, and what they must be. */
export interface RowRange {
  readonly first: number;
  readonly end: number;
  readonly conditions: readonly Condition[];
  readonly direction: "forward" | "backward";
}

interface FoundRows {
  readonly rows: EntityRows;
  /** Positions in the range. */
  readonly from: number;
  readonly to: number;
}

/** Whether so many entities are to be looked up, instead of matching all names of the segment and scanning its rows. */
export function areFew(entities: number, source: ScanSource, { first, end }: RowRange): boolean {
  return entities * LOOKED_UP_NAMES <= source.entityCount + (end - first) / LOOKED_UP_NAMES;
}

export class EntitiesCursor implements RowCursor {
  readonly #source: ScanSource;
  readonly #names: readonly string[];
  readonly #range: RowRange;
  readonly #scan: (marks: Uint32Array) => RowCursor;
  /** How many names were looked up. */
  #lookedUp = 0;
  readonly #found: FoundRows[] = [];
  #foundRows = 0;
  /** Null until the first rows are asked for. */
  #cursor: RowCursor | null = null;

  /** @param scan a scan of the range for entities whose local ids have their bits set */
  constructor(source: ScanSource, names: readonly string[], range: RowRange, scan: (marks: Uint32Array) => RowCursor) {
    this.#source = source;
    this.#names = names;
    this.#range = range;
    this.#scan = scan;
  }

  next(out: Uint32Array): number {
    if (this.#looksUp()) return -1;
    this.#cursor ??= this.#openCursor();
    return this.#cursor.next(out);
  }

  count(scratch: Uint32Array): number {
    if (this.#looksUp()) return -1;
    if (this.#cursor !== null || this.#range.conditions.length > 0) return (this.#cursor ??= this.#openCursor()).count(scratch);
    // No row is of two entities, and none has to be looked at.
    const counted = this.#foundRows;
    this.#found.length = 0;
    this.#foundRows = 0;
    return counted;
  }

  /** Looks up more names; true while there are more to come. */
  #looksUp(): boolean {
    const { first, end } = this.#range;
    const to = Math.min(this.#names.length, this.#lookedUp + NAMES_PER_CALL);
    while (this.#lookedUp < to) {
      const rows = this.#source.entityRows(this.#names[this.#lookedUp++]);
      if (rows === null) continue;
      const from = rows.positionOfRow(first);
      const found = { rows, from, to: rows.positionOfRow(end) };
      if (found.from >= found.to) continue;
      this.#found.push(found);
      this.#foundRows += found.to - found.from;
    }
    return to < this.#names.length;
  }

  #openCursor(): RowCursor {
    const found = this.#found;
    const { first, end, conditions, direction } = this.#range;
    if (this.#foundRows * UNITED_ROWS > end - first) {
      const marks = new Uint32Array((this.#source.localEntityLimit + 31) >>> 5);
      for (const { rows } of found) marks[rows.local >>> 5] |= 1 << (rows.local & 31);
      return this.#scan(marks);
    }
    const open = (i: number): RowCursor =>
      new ListCursor(this.#source, found[i].rows, found[i].from, found[i].to, conditions, direction === "forward");
    return found.length === 1 ? open(0) : new UnionCursor(found.length, open, direction);
  }
}
