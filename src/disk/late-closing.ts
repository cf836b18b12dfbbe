/**
 * Closing descriptors through the thread pool, one after the other: of large files without a name, whose space the file system gives back then. Several
 * at a time would hold up commits, which want a thread as well; and those that still wait are closed at once where a descriptor is needed.
 */
import { isOutOfDescriptors } from "./system-error.ts";

type Done = (error: Error | null) => void;

export class LateClosing {
  readonly #close: (descriptor: number, done: Done) => void;
  readonly #closeSync: (descriptor: number) => void;
  readonly #waiting: { readonly descriptor: number; readonly done: Done }[] = [];
  #isUnderWay = false;
  /** How many were closed. */
  #closed = 0;
  readonly #awaitEnd: (() => void)[] = [];

  constructor(close: (descriptor: number, done: Done) => void, closeSync: (descriptor: number) => void) {
    this.#close = close;
    this.#closeSync = closeSync;
  }

  close(descriptor: number, done: Done): void {
    this.#waiting.push({ descriptor, done });
    if (!this.#isUnderWay) this.#next();
  }

  #next(): void {
    const next = this.#waiting.shift();
    this.#isUnderWay = next !== undefined;
    if (next === undefined) return;
    this.#close(next.descriptor, (error) => {
      this.#closed++;
      this.#next();
      next.done(error);
      for (const ended of this.#awaitEnd.splice(0)) ended();
    });
  }

  /** Does what takes a descriptor, and again where none was left and one that waits was closed for it. */
  atOnce<Result>(take: () => Result): Result {
    for (;;) {
      try {
        return take();
      } catch (error) {
        if (!isOutOfDescriptors(error) || !this.#closeOne()) throw error;
      }
    }
  }

  /** The same for what does not block: the one that is being closed is waited for as well. */
  async later<Result>(take: () => Promise<Result>): Promise<Result> {
    for (;;) {
      const closed = this.#closed;
      try {
        return await take();
      } catch (error) {
        if (!isOutOfDescriptors(error)) throw error;
        // One may have been closed since it was refused.
        if (this.#closed !== closed || this.#closeOne()) continue;
        if (!this.#isUnderWay) throw error;
        await new Promise<void>((resolve) => this.#awaitEnd.push(resolve));
      }
    }
  }

  /** Closes one that waits, blocking; false where none does. */
  #closeOne(): boolean {
    const next = this.#waiting.shift();
    if (next === undefined) return false;
    this.#closed++;
    try {
      this.#closeSync(next.descriptor);
      next.done(null);
    } catch (error) {
      next.done(error as Error);
    }
    return true;
  }
}
