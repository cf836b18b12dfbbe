/**
 * How many who wait in a read-only store share one look for more. Where the file system tells of writes, a look follows each; where it does
 * not, or says nothing (a network's, another machine's), one timer looks every few milliseconds, as long as somebody waits.
 *
 * Invariants:
 * 1. What was written after a look began is seen by the next one, at the latest when the timer ends. A watch is followed by a look, so nothing falls
 *    between the two.
 * 2. Beside a busy writer, as long as each look finds more, looks rest longer, up to the timer's time, and nothing is watched: each write that is told of costs
 *    something, and it is known that there are some.
 * 3. Nothing is watched either once something was written while nobody waits. Until then the watch stays: who waits again and again has one.
 */
import { systemClock } from "../base/clock.ts";
import { clearTimeout, setTimeout } from "../base/timers.ts";
import { type Concerns, SequenceGate, type Waiter, type WaitingPlace } from "../index/sequence-gate.ts";

/** Calls `written` whenever there may be more, `isGone` where it will not any more; gives a function that ends it, or null where it cannot be done. */
export type Watch = (written: (isGone: boolean) => void) => (() => void) | null;

/** The least time from one look to the next, where it is not known to find more. */
const PAUSE_MS = 1;
/** So many times more seldom the timer looks where writes are told of. */
const TOLD_FACTOR = 10;

export class SharedPoll {
  readonly #gate = new SequenceGate();
  readonly #look: () => Promise<boolean>;
  readonly #everyMs: number;
  readonly #watch: Watch | null;
  readonly #touched: () => readonly Waiter[];
  #timer: NodeJS.Timeout | null = null;
  #looking = false;
  #lookedMs = Number.NEGATIVE_INFINITY;
  #pauseMs = PAUSE_MS;
  /** Whether looks find more each time, and nothing is watched. */
  #isBusy = false;
  #unwatch: (() => void) | null = null;
  /** Whether something may have been written since the last look began. */
  #isFresh = false;
  /** Whether the last that was found had been told of. */
  #isTold = false;

  /**
   * @param look takes up what is new; tells whether those who wait should look for themselves
   * @param everyMs how often the timer looks
   * @param touched of those who wait at a place, whom the last look may concern
   */
  constructor(look: () => Promise<boolean>, everyMs: number, watch: Watch | null = null, touched: () => readonly Waiter[] = () => []) {
    this.#look = look;
    this.#everyMs = everyMs;
    this.#watch = watch;
    this.#touched = touched;
  }

  /** How many wait. */
  get waiting(): number {
    return this.#gate.waiting;
  }

  /** Calls back once when there may be more that concerns it; gives a function that calls it off. */
  onNext(callback: () => void, concerns?: Concerns, place?: WaitingPlace | null): () => void {
    const cancel = this.#gate.onNext(callback, concerns, place);
    this.#beginWatching();
    this.#plan();
    return () => {
      cancel();
      if (this.#gate.waiting === 0) this.#stopTimer();
    };
  }

  /** Everybody looks for himself: the end has come. */
  open(): void {
    this.#stopTimer();
    this.#stopWatching();
    this.#gate.open();
  }

  #beginWatching(): void {
    if (this.#unwatch !== null || this.#watch === null || this.#isBusy) return;
    this.#unwatch = this.#watch((isGone) => this.#written(isGone));
    this.#isFresh ||= this.#unwatch !== null;
  }

  #written(isGone: boolean): void {
    const wasFresh = this.#isFresh;
    this.#isFresh = true;
    this.#isTold = !isGone;
    // To know it once is enough until somebody waits.
    if (isGone || this.#gate.waiting === 0) this.#stopWatching();
    if (this.#gate.waiting === 0) this.#stopTimer();
    else if (!wasFresh) {
      this.#stopTimer();
      this.#plan();
    }
  }

  #plan(): void {
    if (this.#timer !== null || this.#looking || this.#gate.waiting === 0) return;
    const restedMs = systemClock.monotonicMs() - this.#lookedMs;
    const isSoon = this.#isFresh || this.#isBusy;
    if (isSoon && restedMs >= this.#pauseMs) return void this.#tick();
    const delayMs = isSoon ? this.#pauseMs - restedMs : this.#isTold ? this.#everyMs * TOLD_FACTOR : this.#everyMs;
    this.#timer = setTimeout(() => void this.#tick(), delayMs);
  }

  async #tick(): Promise<void> {
    this.#timer = null;
    this.#looking = true;
    const wasFresh = this.#isFresh;
    this.#isFresh = false;
    // A look that fails is looked again soon: what is wrong is told to whoever reads.
    const more = await this.#look().catch(() => {
      this.#isTold = false;
      return false;
    });
    this.#looking = false;
    this.#lookedMs = systemClock.monotonicMs();
    if (more && !wasFresh && !this.#isFresh && !this.#isBusy) this.#isTold = false;
    this.#isBusy = more && (this.#isBusy || this.#isFresh);
    if (this.#isBusy) this.#stopWatching();
    this.#pauseMs = this.#isBusy ? Math.min(this.#pauseMs * 2, this.#everyMs) : PAUSE_MS;
    if (more) this.#gate.tell(this.#touched());
    if (this.#gate.waiting > 0) this.#beginWatching();
    this.#plan();
  }

  #stopWatching(): void {
    this.#unwatch?.();
    this.#unwatch = null;
  }

  #stopTimer(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }
}
