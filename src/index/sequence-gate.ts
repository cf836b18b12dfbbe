/** Tells those who wait that more has become visible. Many waiters share one wake-up; none costs anything while nothing happens. */

/** Whether what has become visible may be of interest: cheap, and true where it cannot tell. */
export type Concerns = () => boolean;

/** Somebody who waits. */
export interface Waiter {
  readonly callback: () => void;
  readonly concerns: Concerns;
}

/** Where those wait whom only certain events can concern: who lets them wait there says at each `tell` which of them these were. */
export interface WaitingPlace {
  /** Gives a function that takes the waiter out again. */
  add(waiter: Waiter): () => void;
}

const ALWAYS: Concerns = () => true;

export class SequenceGate {
  /** Everybody, and how he leaves his place. */
  readonly #waiters = new Map<Waiter, (() => void) | null>();
  /** Those without a place of their own. */
  readonly #asked = new Set<Waiter>();

  /** How many wait. */
  get waiting(): number {
    return this.#waiters.size;
  }

  /** Calls back once: at the next `open`, or at a `tell` that concerns it. Returns a function that calls it off. */
  onNext(callback: () => void, concerns: Concerns = ALWAYS, place: WaitingPlace | null = null): () => void {
    const waiter: Waiter = { callback, concerns };
    this.#waiters.set(waiter, place === null ? null : place.add(waiter));
    if (place === null) this.#asked.add(waiter);
    return () => this.#remove(waiter);
  }

  #remove(waiter: Waiter): void {
    this.#waiters.get(waiter)?.();
    this.#waiters.delete(waiter);
    this.#asked.delete(waiter);
  }

  /** More is visible: those whom it concerns look for themselves. `touched`: of those who have a place, whom it may concern. */
  tell(touched: readonly Waiter[] = []): void {
    if (this.#waiters.size === 0) return;
    const woken = touched.filter((waiter) => waiter.concerns());
    for (const waiter of this.#asked) if (waiter.concerns()) woken.push(waiter);
    for (const waiter of woken) this.#remove(waiter);
    for (const { callback } of woken) callback();
  }

  /** The end has come: everybody looks for himself. */
  open(): void {
    const waiters = [...this.#waiters.keys()];
    for (const waiter of waiters) this.#remove(waiter);
    for (const { callback } of waiters) callback();
  }
}
