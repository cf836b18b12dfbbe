/** Tells those who wait that more has become visible. Many waiters share one wake-up; none costs anything while nothing happens. */

/** Whether what has become visible may be of interest: cheap, and true where it cannot tell. */
export type Concerns = () => boolean;

const ALWAYS: Concerns = () => true;

export class SequenceGate {
  #waiters = new Map<() => void, Concerns>();

  /** How many wait. */
  get waiting(): number {
    return this.#waiters.size;
  }

  /** Calls back once: at the next `open`, or at a `tell` that concerns it. Returns a function that calls it off. */
  onNext(callback: () => void, concerns: Concerns = ALWAYS): () => void {
    this.#waiters.set(callback, concerns);
    return () => this.#waiters.delete(callback);
  }

  /** More is visible: those whom it concerns look for themselves. */
  tell(): void {
    if (this.#waiters.size === 0) return;
    const woken: (() => void)[] = [];
    for (const [callback, concerns] of this.#waiters) if (concerns()) woken.push(callback);
    if (woken.length === this.#waiters.size) this.#waiters.clear();
    else for (const callback of woken) this.#waiters.delete(callback);
    for (const callback of woken) callback();
  }

  /** The end has come: everybody looks for himself. */
  open(): void {
    const waiters = this.#waiters;
    this.#waiters = new Map();
    for (const callback of waiters.keys()) callback();
  }
}
