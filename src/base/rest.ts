/** Work that lets the event loop turn: steps with rests between them, and when to rest. */
import { systemClock } from "./clock.ts";
import { Fifo, type Queued } from "./fifo.ts";
import { setImmediate } from "./timers.ts";

/** Lets the event loop turn: what takes long is done in steps with a rest between them. */
export function rest(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** Goes through the steps, with a rest after each; gives the result. */
export async function inSteps<Result>(steps: Iterator<unknown, Result, undefined>): Promise<Result> {
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
    await rest();
  }
}

/** How much longer a rest takes than the work between two. */
const REST_SHARE = 3;
/** The longest that is worked between two rests, but for a step that takes longer by itself. */
const WORK_MS_MAX = 3;
/** So many times as much is worked where the work is behind. */
const BEHIND_FACTOR = 2;

/**
 * When to rest, for work beside others': a rest that took long tells that they keep the event loop busy, and so long a part of it may be worked.
 * So the work gets on under load, and is not felt where there is none.
 */
export class Pace {
  readonly #now: () => number;
  readonly #isBehind: () => boolean;
  #workMs = 0;
  #since: number;

  /** `now` tells milliseconds, `isBehind` whether more of this work comes than is done. */
  constructor(now: () => number = () => systemClock.monotonicMs(), isBehind: () => boolean = () => false) {
    this.#now = now;
    this.#isBehind = isBehind;
    this.#since = now();
  }

  /** Whether it is time to rest. */
  get isDue(): boolean {
    return this.#now() - this.#since >= this.#workMs;
  }

  async rest(): Promise<void> {
    const start = this.#now();
    await rest();
    this.#since = this.#now();
    const workMs = Math.min(WORK_MS_MAX, (this.#since - start) / REST_SHARE);
    this.#workMs = this.#isBehind() ? workMs * BEHIND_FACTOR : workMs;
  }
}

/** Goes through the steps beside others' work, with a rest whenever one is due; gives the result. */
export async function besideOthers<Result>(steps: Iterator<unknown, Result, undefined>): Promise<Result> {
  const pace = new Pace();
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
    if (pace.isDue) await pace.rest();
  }
}

/** The result of the steps, without a rest. */
export function atOnce<Result>(steps: Iterator<unknown, Result, undefined>): Result {
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
  }
}

/** So many who wait for a turn are let go on before it is looked at what they took of it. */
const LET_ON = 16;
/** So often that work was counted it is looked at how long it takes. */
const SPENDS_PER_LOOK = 16;
/** What work of a turn may take where it takes longer than it should, since a disk is waited for. */
const TURN_MS_MAX = 8;
const SETTLED = Promise.resolve();
const NOTHING = (): void => {};

interface WaitsForTurn extends Queued {
  readonly goOn: () => void;
}

/**
 * What may be done in one turn of the event loop by all who find at once what they look for: awaiting what is there already lets nobody else have a
 * turn, nor does it where a thousand do so side by side, each of them little. Counted in events that are read, about a microsecond or two each,
 * and in what they are long (`bytesShare`). Where the disk is waited for in between, that says little: so it is looked at the clock now and then.
 *
 *   there is some left ──spent──> everybody waits ──the event loop has turned──> those who wait go on, in their order, some at a time
 *            └──────────────────────── nobody waits any more ────────────────────────────┘      └── spent again: the next turn
 */
export class TurnShare {
  readonly #share: number;
  readonly #now: () => number;
  #left: number;
  #isSpent = false;
  #spends = 0;
  /** When it was first looked at the clock in this turn, in milliseconds; -1 where it was not. */
  #lookedMs = -1;
  readonly #waiting = new Fifo<WaitsForTurn>();

  /** `now` tells milliseconds. */
  constructor(share: number, now: () => number = () => systemClock.monotonicMs()) {
    this.#share = share;
    this.#now = now;
    this.#left = share;
  }

  /** What is to be waited for before more is done; null: nothing. Who has waited goes on without asking again. */
  wait(): Promise<void> | null {
    return this.#isSpent ? new Promise((goOn) => this.#waiting.push({ goOn, isGone: false })) : null;
  }

  /** So much was done. What is begun already goes on. */
  spend(work: number): void {
    this.#left -= work;
    if (this.#isSpent) return;
    if (this.#left <= 0) this.#spendAll();
    else if (++this.#spends % SPENDS_PER_LOOK === 0) this.lookAtClock();
  }

  /** After something that a disk may have been waited for: where this turn lasts for long already, its share is spent. */
  lookAtClock(): void {
    if (this.#isSpent) return;
    const now = this.#now();
    if (this.#lookedMs < 0) {
      this.#lookedMs = now;
      setImmediate(this.#forget);
    } else if (now - this.#lookedMs >= TURN_MS_MAX) this.#spendAll();
  }

  readonly #forget = (): void => {
    this.#lookedMs = -1;
  };

  #spendAll(): void {
    this.#isSpent = true;
    setImmediate(this.#turned);
  }

  readonly #turned = (): void => {
    this.#left = this.#share;
    this.#lookedMs = this.#now();
    this.#letOn();
  };

  readonly #letOn = (): void => {
    if (this.#left <= 0 || this.#now() - this.#lookedMs >= TURN_MS_MAX) return void setImmediate(this.#turned);
    for (let count = 0; count < LET_ON; count++) {
      const { first } = this.#waiting;
      if (first === undefined) break;
      this.#waiting.remove(first);
      first.goOn();
    }
    // Behind the steps that they take when they go on.
    if (this.#waiting.length > 0) return void SETTLED.then(NOTHING).then(NOTHING).then(this.#letOn);
    this.#isSpent = false;
    this.#lookedMs = -1;
  };
}

/** So many bytes of frames take about as long to read and to check as an event of a few bytes. */
const BYTES_PER_EVENT = 1024;

/** What so many bytes of frames take of a turn, beside what is counted for each event. */
export function bytesShare(byteCount: number): number {
  return byteCount / BYTES_PER_EVENT;
}

/** That of this process. */
export const turnShare = new TurnShare(4096);
