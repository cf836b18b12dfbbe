/** Tells those who wait that more has become visible. Many waiters share one wake-up; none costs anything while nothing happens. */

export class SequenceGate {
  #waiters = new Set<() => void>();

  /** How many wait. */
  get waiting(): number {
    return this.#waiters.size;
  }

  /** Calls back once, at the next `open`; returns a function that calls it off. */
  onNext(callback: () => void): () => void {
    this.#waiters.add(callback);
    return () => this.#waiters.delete(callback);
  }

  /** More is visible, or the end has come: everybody looks for himself. */
  open(): void {
    if (this.#waiters.size === 0) return;
    const waiters = this.#waiters;
    this.#waiters = new Set();
    for (const waiter of waiters) waiter();
  }
}
