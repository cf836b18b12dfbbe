/** Lists of rows as an index block has them: part of a section of rows, page by page. */
import { INDEX_BLOCK } from "../format/native/index-block-layout.ts";
import type { Page } from "./page-cache.ts";
import type { RowList } from "./scan-source.ts";

const SHIFT = INDEX_BLOCK.rowsPerPageShift;
const MASK = INDEX_BLOCK.rowsPerPage - 1;

/** The rows of one page of a section: `rows[from]` is its first. */
export interface RowPage {
  readonly number: number;
  readonly rows: Uint32Array;
  readonly from: number;
}

/** Those of a page, from its `from`-th value on. */
export function rowPage({ number, u32 }: Page, from = 0): RowPage {
  return { number, rows: u32, from };
}

/** What a list asks of its segment index. */
export interface RowOwner {
  readonly rowCount: number;
  badPage(page: number, reason: string): Error;
}

export class SealedRows implements RowList {
  readonly length: number;
  readonly #owner: RowOwner;
  readonly #start: number;
  readonly #page: (page: number) => RowPage;

  /** The rows at `length` positions of the section, from `start` on. */
  constructor(owner: RowOwner, start: number, length: number, page: (page: number) => RowPage) {
    this.length = length;
    this.#owner = owner;
    this.#start = start;
    this.#page = page;
  }

  positionOfRow(row: number): number {
    if (row <= 0) return 0;
    if (row >= this.#owner.rowCount) return this.length;
    return this.search((other) => other < row);
  }

  fill(from: number, to: number, target: Uint32Array): void {
    for (let position = from; position < to; ) {
      const at = this.#start + position;
      const { rows, from: first, number } = this.#page(at >>> SHIFT);
      const stop = Math.min(to, position + INDEX_BLOCK.rowsPerPage - (at & MASK));
      for (let next = first + (at & MASK); position < stop; position++) target[position - from] = this.#checked(rows[next++]!, number);
    }
  }

  /** The first position whose row is not before what is looked for. */
  protected search(isBefore: (row: number) => boolean): number {
    let low = 0;
    let high = this.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const at = this.#start + middle;
      const { rows, from, number } = this.#page(at >>> SHIFT);
      if (isBefore(this.#checked(rows[from + (at & MASK)]!, number))) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #checked(row: number, page: number): number {
    if (row >= this.#owner.rowCount) throw this.#owner.badPage(page, "a row past the last");
    return row;
  }
}

/** Rows that are known already, ascending. */
export class KnownRows implements RowList {
  readonly #rows: readonly number[];

  constructor(rows: readonly number[]) {
    this.#rows = rows;
  }

  positionOfRow(row: number): number {
    const position = this.#rows.findIndex((other) => other >= row);
    return position < 0 ? this.#rows.length : position;
  }

  fill(from: number, to: number, target: Uint32Array): void {
    for (let position = from; position < to; position++) target[position - from] = this.#rows[position]!;
  }
}
