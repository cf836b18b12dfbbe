/**
 * Closing descriptors through the thread pool, one after the other: of large files without a name, whose space the file system gives back then. Several
 * at a time would hold up commits, which want a thread as well; and those that still wait are closed at once where a descriptor is needed.
 */
type Done = (error: Error | null) => void;

export class LateClosing {
  readonly #close: (descriptor: number, done: Done) => void;
  readonly #closeSync: (descriptor: number) => void;
  readonly #waiting: { readonly descriptor: number; readonly done: Done }[] = [];
  #isUnderWay = false;

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
      this.#next();
      next.done(error);
    });
  }

  /** Closes one that waits, blocking; false where none does. */
  closeOne(): boolean {
    const next = this.#waiting.shift();
    if (next === undefined) return false;
    try {
      this.#closeSync(next.descriptor);
      next.done(null);
    } catch (error) {
      next.done(error as Error);
    }
    return true;
  }
}
