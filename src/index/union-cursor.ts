/** Several cursors over the rows of one segment as one: for a query of several filters, of which there may be thousands. */
import type { RowCursor } from "./segment-index.ts";

/** Of each source so many rows are taken at once, and of many sources fewer: of all together about as many. */
const UNION_BUFFER_ROWS = 512;
const UNION_BUFFER_ROWS_MIN = 16;
const UNION_ROWS = 32_768;
/** So many sources are asked in one step: each may look at 64 Ki rows for its next one. */
const SOURCES_PER_STEP = 16;

const NO_ROWS = new Uint32Array(0);

interface UnionSource {
  readonly cursor: RowCursor;
  /** Empty before it had any. */
  rows: Uint32Array;
  count: number;
  at: number;
}

/** Merges cursors in row order; a row that several yield comes once. Those whose next row is known stand in a heap by it, so many sources cost little each. */
export class UnionCursor implements RowCursor {
  readonly #heap: UnionSource[] = [];
  /** Those whose next row is not known: it may come before all others, so nothing is yielded until it is. So are those not opened yet. */
  readonly #pending: UnionSource[] = [];
  readonly #open: (source: number) => RowCursor;
  #unopened: number;
  /** What a source is asked with that has no rows yet: it is its own once it has some. */
  #rows: Uint32Array;
  readonly #isForward: boolean;
  /** The row that was yielded last; -1 before the first. */
  #last = -1;
  /** How many sources were asked in this step. */
  #asked = 0;

  /** @param open opens the cursor of one of so many sources */
  constructor(sources: number, open: (source: number) => RowCursor, direction: "forward" | "backward") {
    this.#isForward = direction === "forward";
    this.#open = open;
    this.#unopened = sources;
    this.#rows = new Uint32Array(Math.max(UNION_BUFFER_ROWS_MIN, Math.min(UNION_BUFFER_ROWS, Math.floor(UNION_ROWS / sources))));
  }

  next(out: Uint32Array): number {
    this.#asked = 0;
    if (!this.#askPending()) return -1;
    let filled = 0;
    while (filled < out.length) {
      const source = this.#heap[0];
      if (source === undefined) return filled;
      const row = source.rows[source.at++];
      if (row !== this.#last) out[filled++] = row;
      this.#last = row;
      if (source.at < source.count) this.#sink(source);
      else {
        this.#dropFirst();
        this.#pending.push(source);
        if (!this.#askPending()) return filled > 0 ? filled : -1;
      }
    }
    return filled;
  }

  count(scratch: Uint32Array): number {
    return this.next(scratch);
  }

  /** Asks for the next rows of those that have none left. False: some cannot tell in this step. */
  #askPending(): boolean {
    const pending = this.#pending;
    for (;;) {
      if (pending.length === 0) {
        if (this.#unopened === 0) return true;
        pending.push({ cursor: this.#open(--this.#unopened), rows: NO_ROWS, count: 0, at: 0 });
      }
      const source = pending[pending.length - 1];
      const count = this.#asked++ === SOURCES_PER_STEP ? -1 : source.cursor.next(source.rows === NO_ROWS ? this.#rows : source.rows);
      if (count === -1) return false;
      pending.pop();
      if (count === 0) continue;
      if (source.rows === NO_ROWS) {
        source.rows = this.#rows;
        this.#rows = new Uint32Array(this.#rows.length);
      }
      source.at = 0;
      source.count = count;
      this.#rise(source);
    }
  }

  #comesBefore(one: UnionSource, other: UnionSource): boolean {
    const [row, otherRow] = [one.rows[one.at], other.rows[other.at]];
    return this.#isForward ? row < otherRow : row > otherRow;
  }

  /** Enters a source at the end of the heap, and moves it up to its place. */
  #rise(source: UnionSource): void {
    const heap = this.#heap;
    let place = heap.length;
    heap.push(source);
    while (place > 0) {
      const above = (place - 1) >> 1;
      if (!this.#comesBefore(source, heap[above])) break;
      heap[place] = heap[above];
      place = above;
    }
    heap[place] = source;
  }

  /** Puts a source at the top of the heap, and moves it down to its place. */
  #sink(source: UnionSource): void {
    const heap = this.#heap;
    let place = 0;
    for (;;) {
      let below = 2 * place + 1;
      if (below >= heap.length) break;
      if (below + 1 < heap.length && this.#comesBefore(heap[below + 1], heap[below])) below++;
      if (!this.#comesBefore(heap[below], source)) break;
      heap[place] = heap[below];
      place = below;
    }
    heap[place] = source;
  }

  #dropFirst(): void {
    const last = this.#heap.pop();
    if (last !== undefined && this.#heap.length > 0) this.#sink(last);
  }
}
