/** Follows a list of rows, as an entity has one: reading a stream from its start, its middle or its end never costs its whole length. */
import { INDEX_BLOCK } from "../format/native/index-block-layout.ts";
import { type NameMarks, namesOf } from "./name-marks.ts";
import type { Condition, RowList, ScanSource } from "./scan-source.ts";
import type { RowCursor } from "./segment-index.ts";

const BATCH_ROWS = 1024;
/** Rows looked at in one call of `next` that must check each one. */
const ROWS_PER_CALL = 16_384;
/** Where rows must be checked, so many are taken from the list at the least: each time may cost a walk to where they stand. */
const CONDITION_ROWS = 64;
const NO_ROWS = new Uint32Array(0);
const CHUNK_MASK = INDEX_BLOCK.rowsPerPage - 1;

/** Has no rows. */
export const endCursor: RowCursor = { next: () => 0, count: () => 0 };

export class ListCursor implements RowCursor {
  readonly #source: ScanSource;
  readonly #rows: RowList;
  readonly #conditions: readonly Condition[];
  readonly #names: NameMarks | null;
  readonly #forward: boolean;
  /** Positions still to be looked at. */
  #from: number;
  #to: number;
  /** Rows that are being checked. */
  #batch = NO_ROWS;

  constructor(source: ScanSource, rows: RowList, from: number, to: number, conditions: readonly Condition[], forward: boolean) {
    this.#source = source;
    this.#rows = rows;
    this.#from = from;
    this.#to = to;
    this.#conditions = conditions;
    this.#names = namesOf(conditions);
    this.#forward = forward;
  }

  next(out: Uint32Array): number {
    return this.#conditions.length === 0 ? this.#take(out) : this.#check(out);
  }

  /** Every row is one. */
  #take(out: Uint32Array): number {
    const count = Math.min(out.length, Math.max(0, this.#to - this.#from));
    if (this.#forward) {
      this.#rows.fill(this.#from, this.#from + count, out);
      this.#from += count;
    } else {
      this.#rows.fill(this.#to - count, this.#to, out);
      this.#to -= count;
      out.subarray(0, count).reverse();
    }
    return count;
  }

  #check(out: Uint32Array): number {
    if (this.#names?.step() === true) return -1;
    let written = 0;
    let looked = 0;
    while (written < out.length && this.#from < this.#to) {
      if (looked >= ROWS_PER_CALL || this.#names?.isDue === true) return written > 0 ? written : -1;
      const most = this.#names === null ? BATCH_ROWS : CONDITION_ROWS;
      const filled = Math.min(Math.max(out.length - written, CONDITION_ROWS), this.#to - this.#from, most);
      if (this.#batch.length < filled) this.#batch = new Uint32Array(filled);
      const batch = this.#batch;
      let i = 0;
      if (this.#forward) {
        this.#rows.fill(this.#from, this.#from + filled, batch);
        for (; i < filled && written < out.length; i++) if (this.#passes(batch[i]!)) out[written++] = batch[i]!;
        this.#from += i;
      } else {
        this.#rows.fill(this.#to - filled, this.#to, batch);
        for (; i < filled && written < out.length; i++) {
          const row = batch[filled - 1 - i]!;
          if (this.#passes(row)) out[written++] = row;
        }
        this.#to -= i;
      }
      looked += i;
    }
    return written;
  }

  count(scratch: Uint32Array): number {
    if (this.#conditions.length > 0) return this.next(scratch);
    const left = Math.max(0, this.#to - this.#from);
    this.#from = this.#to;
    return left;
  }

  #passes(row: number): boolean {
    for (const condition of this.#conditions) {
      const chunk = row >>> INDEX_BLOCK.rowsPerPageShift;
      const value = this.#source.chunkValues(condition.column, chunk)[this.#source.chunkBase(chunk) + (row & CHUNK_MASK)]!;
      if (!meets(value, condition)) return false;
    }
    return true;
  }
}

function meets(value: number, condition: Condition): boolean {
  switch (condition.test) {
    case "equal":
      return value === condition.value;
    case "range":
      return value >= condition.from && value <= condition.to;
    case "member":
      return ((condition.marks[value >>> 5]! >>> (value & 31)) & 1) === 1;
    case "names":
      return condition.names.has(value);
  }
}
