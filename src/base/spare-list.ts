/** Things that are dear to make and to keep, for whoever of this process needs one next: what rests holds none of them. */
export class SpareList<Item extends { readonly capacity: number }> {
  readonly #countMax: number;
  readonly #capacityMax: number;
  readonly #items: Item[] = [];
  #capacity = 0;

  /** Keeps so many at the most, and of all together no more capacity than that. */
  constructor(countMax: number, capacityMax: number) {
    this.#countMax = countMax;
    this.#capacityMax = capacityMax;
  }

  /** The one that was given back last: the one that is most likely still in the processor's caches. */
  take(): Item | undefined {
    const item = this.#items.pop();
    if (item !== undefined) this.#capacity -= item.capacity;
    return item;
  }

  /** Nobody uses it any more, and its capacity stays as it is until it is taken. One too many is let go. */
  give(item: Item): void {
    if (this.#items.length >= this.#countMax || this.#capacity + item.capacity > this.#capacityMax) return;
    this.#items.push(item);
    this.#capacity += item.capacity;
  }
}
