/**
 * How many who wait in a read-only store share one look for more. Where the file system tells of writes, a look follows each; where it does
 * not, or says nothing (a network's, another machine's), one timer looks every few milliseconds. Both end with the last who waits.
 *
 * Invariant: what was written after a look began is seen by the next one, at the latest when the timer ends. A watch begins before the look
 * that it spares nobody, so nothing falls between the two.
 */
import { type Concerns, SequenceGate } from "../index/sequence-gate.ts";

/** Calls `written` whenever there may be more; gives a function that ends it, or null where it cannot be done. */
export type Watch = (written: () => void) => (() => void) | null;

/** The least time from one look to the next: many commits in a row are taken up together. */
const PAUSE_MS = 1;
/** So many times more seldom the timer looks where writes are told of. */
const TOLD_FACTOR = 10;

export class SharedPoll {
  readonly #gate = new SequenceGate();
  readonly #look: () => Promise<boolean>;
  readonly #everyMs: number;
  readonly #watch: Watch | null;
  #timer: NodeJS.Timeout | null = null;
  #looking = false;
  #lookedMs = Number.NEGATIVE_INFINITY;
  #unwatch: (() => void) | null = null;
  /** Whether something may have been written since the last look began. */
  #isFresh = false;
  /** Whether the last that was found had been told of. */
  #isTold = false;

  /**
   * @param look takes up what is new; tells whether those who wait should look for themselves
   * @param everyMs how often the timer looks
   */
  constructor(look: () => Promise<boolean>, everyMs: number, watch: Watch | null = null) {
    this.#look = look;
    this.#everyMs = everyMs;
    this.#watch = watch;
  }

  /** How many wait. */
  get waiting(): number {
    return this.#gate.waiting;
  }

  /** Calls back once when there may be more that concerns it; gives a function that calls it off. */
  onNext(callback: () => void, concerns?: Concerns): () => void {
    const cancel = this.#gate.onNext(callback, concerns);
    if (this.#unwatch === null && this.#watch !== null) {
      this.#unwatch = this.#watch(() => this.#written());
      this.#isFresh ||= this.#unwatch !== null;
    }
    this.#plan();
    return () => {
      cancel();
      if (this.#gate.waiting === 0) this.#stop();
    };
  }

  /** Everybody looks for himself: the end has come. */
  open(): void {
    this.#stop();
    this.#gate.open();
  }

  #written(): void {
    this.#isTold = true;
    if (this.#isFresh) return;
    this.#isFresh = true;
    // To know it once is enough until somebody waits.
    if (this.#gate.waiting === 0) this.#stop();
    else {
      this.#stopTimer();
      this.#plan();
    }
  }

  #plan(): void {
    if (this.#timer !== null || this.#looking || this.#gate.waiting === 0) return;
    if (this.#isFresh && performance.now() - this.#lookedMs >= PAUSE_MS) return void this.#tick();
    const delayMs = this.#isFresh ? PAUSE_MS : this.#isTold ? this.#everyMs * TOLD_FACTOR : this.#everyMs;
    this.#timer = setTimeout(() => void this.#tick(), delayMs);
  }

  async #tick(): Promise<void> {
    this.#timer = null;
    this.#looking = true;
    const wasFresh = this.#isFresh;
    this.#isFresh = false;
    // A look that fails is looked again: what is wrong is told to whoever reads.
    const more = await this.#look().catch(() => false);
    this.#looking = false;
    this.#lookedMs = performance.now();
    if (more && !wasFresh && !this.#isFresh) this.#isTold = false;
    if (more) this.#gate.tell();
    this.#plan();
  }

  #stop(): void {
    this.#stopTimer();
    this.#unwatch?.();
    this.#unwatch = null;
  }

  #stopTimer(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }
}
