/**
 * Writes the index blocks of sealed segments in the background, one at a time: first those of segments that were sealed since the store was opened, the
 * oldest first, then those that were missing when it was.
 *
 * Invariant: so many segments sealed by this writer wait at the most, if a segment is begun only after `mayTurn`: their rows are in memory.
 */
import type { SegmentEntry } from "../index/store-index.ts";

/** A segment's rows take 40 bytes an event and 120 an entity, in memory, until they are in its index block. */
const BEHIND_MAX = 4;

interface Waiting {
  readonly segment: SegmentEntry;
  /** Resolves when its block is written, or cannot be. */
  readonly done: Promise<void>;
  readonly finish: () => void;
}

export class BlockWriter {
  /** Writes a block; never rejects. */
  readonly #write: (segment: SegmentEntry) => Promise<void>;
  /** That of the block being written stays until it is. */
  readonly #sealed: Waiting[] = [];
  readonly #missing: Waiting[] = [];
  #isRunning = false;

  constructor(write: (segment: SegmentEntry) => Promise<void>) {
    this.#write = write;
  }

  /** A segment was sealed. */
  add(segment: SegmentEntry): void {
    this.#enter(this.#sealed, segment);
  }

  /** A segment was sealed before the store was opened, and has no usable block. */
  addMissing(segment: SegmentEntry): void {
    this.#enter(this.#missing, segment);
  }

  /** Whether segments are sealed faster than their blocks are written. */
  get isBehind(): boolean {
    return this.#sealed.length > 1;
  }

  /** What the next segment has to wait for; null: nothing. */
  mayTurn(): Promise<void> | null {
    return this.#sealed[this.#sealed.length - BEHIND_MAX]?.done ?? null;
  }

  /** Resolves when all that wait now have their blocks, or cannot have them. */
  async written(): Promise<void> {
    await Promise.all([...this.#sealed, ...this.#missing].map(({ done }) => done));
  }

  #enter(list: Waiting[], segment: SegmentEntry): void {
    let finish = (): void => {};
    const done = new Promise<void>((resolve) => {
      finish = resolve;
    });
    list.push({ segment, done, finish });
    if (!this.#isRunning) void this.#run();
  }

  async #run(): Promise<void> {
    this.#isRunning = true;
    // Whoever sealed, or opened, goes on first.
    await Promise.resolve();
    for (;;) {
      const list = this.#sealed.length > 0 ? this.#sealed : this.#missing;
      if (list.length === 0) break;
      const [{ segment, finish }] = list;
      await this.#write(segment);
      list.shift();
      finish();
    }
    this.#isRunning = false;
  }
}
