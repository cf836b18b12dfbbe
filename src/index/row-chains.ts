/**
 * Per row of a growing segment: the row before it of its group (an entity, a scope, a kind), a jump further back, and its position among the group's rows.
 * The jumps are those of a skew-binary list (Myers, "An applicative random-access stack", 1983): any earlier row of the group is found in a number of
 * steps logarithmic in the distance, and adding a row takes a constant number of steps and changes no earlier one.
 *
 * Invariants: `previous[row] < row`, -1 at a group's first row; `jump[row] <= previous[row]` but at the first row, which jumps to itself.
 */
import { startedWith } from "../base/column-bytes.ts";
import { StoreError } from "../base/store-error.ts";

/** Rows that are there already, and what is said of each entity: by the ordinal that `ordinals` gives (and one) for its id. */
interface ExistingRows {
  readonly capacity: number;
  readonly rowCount: number;
  readonly entity: Uint32Array;
  readonly ordinals: Uint32Array;
  readonly lastRows: Uint32Array;
  readonly rowCounts: Uint32Array;
}

export class RowChains {
  #previous: Int32Array;
  #jump: Int32Array;
  #position: Uint32Array;

  constructor(capacity: number) {
    this.#previous = new Int32Array(capacity);
    this.#jump = new Int32Array(capacity);
    this.#position = new Uint32Array(capacity);
  }

  /**
   * The chains of entities' rows that are there. Throws `CORRUPT` where they are not what is said of their entities: a checkpoint's rows are taken
   * unseen, on the word of its CRC, and a chain that does not lead where it should would be followed without end.
   */
  static of(rows: ExistingRows): RowChains {
    const { rowCount, lastRows } = rows;
    const chains = new RowChains(rows.capacity);
    const last = new Int32Array(lastRows.length).fill(-1);
    let right = true;
    for (let row = 0; row < rowCount && right; row++) {
      const ordinal = rows.ordinals[rows.entity[row]!]! - 1;
      right = ordinal >= 0 && ordinal < last.length;
      if (!right) break;
      chains.push(row, last[ordinal]!);
      last[ordinal] = row;
    }
    for (let ordinal = 0; ordinal < last.length && right; ordinal++) {
      const end = last[ordinal]!;
      right = end === lastRows[ordinal] && chains.#position[end] === rows.rowCounts[ordinal]! - 1;
    }
    if (right) return chains;
    const reason = "the rows in the checkpoint contradict one another";
    throw new StoreError("CORRUPT", `Cannot read by entity: ${reason}; remove index.ckpt, it is made anew`, { file: "index.ckpt", reason });
  }

  /** Links `row` behind `previous`, the group's last row so far, or -1. */
  push(row: number, previous: number): void {
    if (row >= this.#previous.length) this.#grow(Math.max(1024, row * 2));
    const jump = this.#jump;
    const position = this.#position;
    this.#previous[row] = previous;
    if (previous < 0) {
      jump[row] = row;
      position[row] = 0;
      return;
    }
    const near = jump[previous]!;
    const far = jump[near]!;
    const equalSteps = position[previous]! - position[near]! === position[near]! - position[far]!;
    jump[row] = equalSteps ? far : previous;
    position[row] = position[previous]! + 1;
  }

  /** How many rows of the group whose last row is `last` stand before `row`. */
  positionOfRow(last: number, row: number): number {
    let at = last;
    while (at >= row) {
      const jump = this.#jump[at]!;
      at = jump >= row && jump < at ? jump : this.#previous[at]!;
    }
    return at < 0 ? 0 : this.#position[at]! + 1;
  }

  /** How many rows of the entity whose last row is `last` have a clock below `clock`, where its clocks rise. */
  positionOfClock(last: number, clock: number, clocks: Float64Array): number {
    let at = last;
    while (at >= 0 && clocks[at]! >= clock) {
      const jump = this.#jump[at]!;
      at = clocks[jump]! >= clock && jump < at ? jump : this.#previous[at]!;
    }
    return at < 0 ? 0 : this.#position[at]! + 1;
  }

  /** Writes the rows at positions `[from, to)` of the group whose last row is `last` to the start of `target`. */
  fill(last: number, from: number, to: number, target: Uint32Array): void {
    if (from >= to) return;
    const previous = this.#previous;
    let at = last;
    while (this.#position[at]! >= to) {
      const jump = this.#jump[at]!;
      at = this.#position[jump]! >= to - 1 ? jump : previous[at]!;
    }
    for (let index = to - from - 1; index >= 0; index--) {
      target[index] = at;
      at = previous[at]!;
    }
  }

  #grow(capacity: number): void {
    this.#previous = startedWith(new Int32Array(capacity), this.#previous);
    this.#jump = startedWith(new Int32Array(capacity), this.#jump);
    this.#position = startedWith(new Uint32Array(capacity), this.#position);
  }
}
