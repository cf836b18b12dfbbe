/** A hash table from id tag to rows, open addressing, at most half full: slots hold `row + 1`, and the tags stay in their column. */

const SLOTS_MIN = 2048;

export class RowTable {
  #slots: Uint32Array;
  #count = 0;

  /** Makes room for `rows` rows. */
  constructor(rows: number) {
    let slots = SLOTS_MIN;
    while (slots < rows * 2) slots *= 2;
    this.#slots = new Uint32Array(slots);
  }

  /** Adds `row`, the next one; `tags` are the tags of all rows up to it. */
  add(row: number, tags: Uint32Array): void {
    this.#count++;
    if (this.#count * 2 > this.#slots.length) this.#grow(tags);
    this.#insert(row, tags[row]!);
  }

  find(tag: number, tags: Uint32Array): number[] {
    const slots = this.#slots;
    const mask = slots.length - 1;
    const rows: number[] = [];
    for (let slot = tag & mask; slots[slot] !== 0; slot = (slot + 1) & mask) {
      if (tags[slots[slot]! - 1] === tag) rows.push(slots[slot]! - 1);
    }
    return rows;
  }

  has(tag: number, tags: Uint32Array): boolean {
    const slots = this.#slots;
    const mask = slots.length - 1;
    for (let slot = tag & mask; slots[slot] !== 0; slot = (slot + 1) & mask) {
      if (tags[slots[slot]! - 1] === tag) return true;
    }
    return false;
  }

  #insert(row: number, tag: number): void {
    const slots = this.#slots;
    const mask = slots.length - 1;
    let slot = tag & mask;
    while (slots[slot] !== 0) slot = (slot + 1) & mask;
    slots[slot] = row + 1;
  }

  #grow(tags: Uint32Array): void {
    const old = this.#slots;
    this.#slots = new Uint32Array(old.length * 2);
    for (let slot = 0; slot < old.length; slot++) {
      const entry = old[slot]!;
      if (entry !== 0) this.#insert(entry - 1, tags[entry - 1]!);
    }
  }
}
