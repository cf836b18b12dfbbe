/**
 * The rows of a growing segment by scope and by kind. Nothing is kept up while rows are added: each look-up takes up some thousand of those that came since,
 * and what is not taken up yet is scanned. So who never asks pays nothing, and the first question takes hardly longer than a scan.
 */
import { startedWith } from "../base/column-bytes.ts";
import { RowChains } from "./row-chains.ts";
import type { ListedColumn, RowList, RowLists } from "./scan-source.ts";
import type { Columns } from "./segment-index.ts";

/** Taken up at one look-up: a small part of a millisecond's work. */
const ROWS_PER_LOOK_UP = 16_384;
/** Of a segment with more rows, the first. Each row takes twelve bytes a column that is asked for. */
const ROWS_MAX = 1 << 20;

interface GrowingRows {
  readonly rowCount: number;
  readonly columns: Pick<Columns, "scope" | "kind">;
}

export class ActiveLists implements RowLists {
  readonly #rows: GrowingRows;
  #scopes: ValueChains | null = null;
  #kinds: ValueChains | null = null;

  constructor(rows: GrowingRows) {
    this.#rows = rows;
  }

  covered(column: ListedColumn): number {
    if (column === "scope") return (this.#scopes ??= new ValueChains()).takeUp(this.#rows.columns.scope, this.#rows.rowCount);
    if (column === "kind") return (this.#kinds ??= new ValueChains()).takeUp(this.#rows.columns.kind, this.#rows.rowCount);
    return 0;
  }

  rowsWith(column: ListedColumn, value: number): readonly RowList[] {
    const chains = column === "scope" ? this.#scopes : column === "kind" ? this.#kinds : null;
    return chains?.listsOf(value) ?? [];
  }
}

/** The rows of each value of a column. */
class ValueChains {
  readonly #chains = new RowChains(1024);
  /** By value; -1 where it has none. */
  #lastRows = new Int32Array(64).fill(-1);
  #rows = 0;

  /** Takes up more of the rows; gives how many are. */
  takeUp(values: Uint32Array | Uint16Array, rowCount: number): number {
    const end = Math.min(rowCount, this.#rows + ROWS_PER_LOOK_UP, ROWS_MAX);
    for (let row = this.#rows; row < end; row++) {
      const value = values[row]!;
      if (value >= this.#lastRows.length) this.#grow(value + 1);
      this.#chains.push(row, this.#lastRows[value]!);
      this.#lastRows[value] = row;
    }
    this.#rows = Math.max(this.#rows, end);
    return this.#rows;
  }

  listsOf(value: number): readonly RowList[] {
    const last = value < this.#lastRows.length ? this.#lastRows[value]! : -1;
    if (last < 0) return [];
    // Followed from the last row that there is now: rows taken up later lie past what was covered.
    return [
      {
        positionOfRow: (row) => this.#chains.positionOfRow(last, row),
        fill: (from, to, target) => this.#chains.fill(last, from, to, target),
      },
    ];
  }

  #grow(values: number): void {
    const grown = new Int32Array(Math.max(values, this.#lastRows.length * 2)).fill(-1);
    this.#lastRows = startedWith(grown, this.#lastRows);
  }
}
