/** First in, first out, where any may leave before its turn. Each step takes the same time however many wait: an array's `shift` moves all the others. */
export interface Queued {
  /** It had its turn, or left before. Changed by its queue alone. */
  isGone: boolean;
}

/** Places of those that are gone are given up when there are so many, and half of all are. */
const GONE_MIN = 1024;

export class Fifo<Item extends Queued> {
  /** Those before `#head` are gone; the one there is not, and of those behind it `#goneBehind` are. */
  #items: Item[] = [];
  #head = 0;
  #goneBehind = 0;

  get length(): number {
    return this.#items.length - this.#head - this.#goneBehind;
  }

  /** The one whose turn it is. */
  get first(): Item | undefined {
    return this.#items[this.#head];
  }

  some(isIt: (item: Item) => boolean): boolean {
    return this.#items.some((item) => !item.isGone && isIt(item));
  }

  push(item: Item): void {
    this.#items.push(item);
  }

  /** Takes one of this queue out of it, the first or any other; false where it is gone already. */
  remove(item: Item): boolean {
    if (item.isGone) return false;
    item.isGone = true;
    this.#goneBehind++;
    const items = this.#items;
    while (this.#head < items.length && items[this.#head].isGone) {
      this.#head++;
      this.#goneBehind--;
    }
    const gone = this.#head + this.#goneBehind;
    if (this.#head === items.length) this.#clear();
    else if (gone >= GONE_MIN && gone * 2 >= items.length) {
      this.#items = items.filter(({ isGone }) => !isGone);
      this.#head = 0;
      this.#goneBehind = 0;
    }
    return true;
  }

  /** Takes all that wait, in their order. */
  takeAll(): Item[] {
    const waiting = this.#items.filter(({ isGone }) => !isGone);
    for (const item of waiting) item.isGone = true;
    this.#clear();
    return waiting;
  }

  #clear(): void {
    this.#items = [];
    this.#head = 0;
    this.#goneBehind = 0;
  }
}
