/**
 * Following the log: what is there first, then what becomes visible, in one order and without a seam.
 *
 * Invariants:
 * 1. A subscription is its position and nothing else: the next event it gives has a greater sequence than any it gave, and none that matches is
 *    left out. It reads when it is asked, so a slow consumer costs nothing.
 * 2. It looks at a bound of visible events, gives what matches before it, and looks again. It waits only where the look found nothing new, and
 *    begins to wait in the same turn of the event loop: nothing can become visible between the two.
 * 3. It ends when the store is closed, when its iterator's `return` is called, and with its signal's reason when that is aborted.
 */
import { endable, type Ending, whenChanged } from "../base/endable.ts";
import { isStoreError } from "../base/store-error.ts";

/** What a subscription needs of a store. */
export interface SubscriptionSource<Read> {
  /** The sequence before which everything is visible. */
  visible(): number;
  /** Matching events with sequences in `(after, bound)`, ascending. */
  batches(after: number, bound: number): AsyncIterable<readonly Read[]>;
  /** Calls back once when more that matches may be visible behind this sequence, or the store was closed; gives a function that calls it off. */
  onChange(callback: () => void, after: number): () => void;
  isClosed(): boolean;
  /** Whether the store is being closed, or is: its files are closed a little before it is. */
  isClosing(): boolean;
}

/** What `store.subscribe` returns: events that match, past and to come. */
export class Subscription<Read extends { readonly sequence: number }> implements AsyncIterable<Read> {
  readonly #source: SubscriptionSource<Read>;
  readonly #after: number;
  readonly #signal: AbortSignal | undefined;

  /** @param after the sequence of the last event that is not given any more; -1: none */
  constructor(source: SubscriptionSource<Read>, after: number, signal: AbortSignal | undefined) {
    this.#source = source;
    this.#after = after;
    this.#signal = signal;
  }

  /** The same in batches: whatever is there at once, at least one event each. */
  batches(): AsyncGenerator<readonly Read[], undefined> {
    return endable((ending) => this.#batches(ending));
  }

  [Symbol.asyncIterator](): AsyncGenerator<Read, undefined> {
    return endable((ending) => this.#events(ending));
  }

  async *#batches(ending: Ending): AsyncGenerator<readonly Read[], undefined> {
    const source = this.#source;
    let position = this.#after;
    for (;;) {
      this.#signal?.throwIfAborted();
      const bound = source.visible();
      if (source.isClosed() || ending.isEnded) return;
      if (bound > position + 1) {
        if (!(yield* this.#read(position, bound, ending))) return;
        position = bound - 1;
      } else await this.#changed(position, ending);
    }
  }

  async *#events(ending: Ending): AsyncGenerator<Read, undefined> {
    for await (const events of this.#batches(ending)) {
      for (const event of events) {
        this.#signal?.throwIfAborted();
        if (this.#source.isClosed()) return;
        yield event;
      }
    }
  }

  /** False where it was ended, or the store was closed while this one was behind: that ends it here as it does there. */
  async *#read(position: number, bound: number, ending: Ending): AsyncGenerator<readonly Read[], boolean> {
    try {
      for await (const events of this.#source.batches(position, bound)) {
        if (ending.isEnded) return false;
        this.#signal?.throwIfAborted();
        yield events;
      }
      return true;
    } catch (error) {
      if (!this.#source.isClosing() || !isStoreError(error, "CLOSED")) throw error;
      return false;
    }
  }

  /** Resolves when the bound may have moved, or the iteration is ended; rejects when the signal is aborted. */
  #changed(position: number, ending: Ending): Promise<void> {
    return whenChanged((callback) => this.#source.onChange(callback, position), this.#signal, ending);
  }
}
