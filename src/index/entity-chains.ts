/**
 * Per row of a growing segment: the entity's row before it, a jump further back, and its position among the entity's rows. The jumps are
 * those of a skew-binary list (Myers, "An applicative random-access stack", 1983): any earlier row of the entity is found in a number of
 * steps logarithmic in the distance, and adding a row takes a constant number of steps and changes no earlier one.
 *
 * Invariants: `previous[row] < row`, -1 at an entity's first row; `jump[row] <= previous[row]` but at the first row, which jumps to itself.
 */

export class EntityChains {
  #previous: Int32Array;
  #jump: Int32Array;
  #position: Uint32Array;

  constructor(capacity: number) {
    this.#previous = new Int32Array(capacity);
    this.#jump = new Int32Array(capacity);
    this.#position = new Uint32Array(capacity);
  }

  get memoryBytes(): number {
    return this.#previous.byteLength * 3;
  }

  /** Links `row` behind `previous`, the entity's last row so far, or -1. */
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

  /** How many rows of the entity whose last row is `last` stand before `row`. */
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

  /** Writes the rows at positions `[from, to)` of the entity whose last row is `last` to the start of `target`. */
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
    const grown = new EntityChains(capacity);
    grown.#previous.set(this.#previous);
    grown.#jump.set(this.#jump);
    grown.#position.set(this.#position);
    this.#previous = grown.#previous;
    this.#jump = grown.#jump;
    this.#position = grown.#position;
  }
}
