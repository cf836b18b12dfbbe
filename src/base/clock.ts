/** Time and randomness: what the store is given of them, or the machine's. */
import { assertPart } from "./arguments.ts";

/** Where the store gets the time from. */
export interface Clock {
  /** Microseconds since the Unix epoch, an integer. May jump either way: the store clamps. */
  nowMicros(): number;
  /** Milliseconds from any origin, never running backwards; for measuring. */
  monotonicMs(): number;
}

/** The last time that a frame can have, in microseconds: in the year 2255. A frame with a later one is none when it is read. */
export const TIME_MICROS_MAX = Number.MAX_SAFE_INTEGER;

/**
 * A clock of whole microseconds that stands still while the one behind it tells what is no time: none that a frame can hold (before 1970, or
 * after the year 2255), or not a number. The store never lets time run backwards, so one such reading would otherwise be the time of all that comes
 * later, and of events that nobody can read.
 */
export function believableClock(clock: Clock): Clock {
  let last = 0;
  return {
    nowMicros: () => {
      const now = Math.floor(clock.nowMicros());
      if (now >= 0 && now <= TIME_MICROS_MAX) last = now;
      return last;
    },
    monotonicMs: () => clock.monotonicMs(),
  };
}

/** What `process.hrtime` counts from, as milliseconds since the Unix epoch by the wall clock as it goes now. */
let originMs = Number.NaN;

// Held, so that an append looks up no global.
const { hrtime } = process;

/**
 * Not by `performance`: the first look at that loads a module, which takes milliseconds of opening a store. Asked for each append: taking the pair
 * apart as a list would double what it takes.
 */
function monotonicMs(): number {
  const time = hrtime();
  return time[0] * 1000 + time[1] / 1e6;
}

/**
 * The machine's clock: the wall clock's millisecond, and within it the microseconds of the finer one, which alone would not follow when the
 * wall clock is set or the machine sleeps.
 */
export const systemClock: Clock = believableClock({
  nowMicros: () => {
    const wallMs = Date.now();
    const fineMs = monotonicMs();
    if (!(originMs + fineMs >= wallMs && originMs + fineMs < wallMs + 1)) originMs = wallMs - fineMs;
    return Math.floor((originMs + fineMs) * 1000);
  },
  monotonicMs,
});

const CLOCK_FUNCTIONS = ["nowMicros", "monotonicMs"] satisfies (keyof Clock)[];

/** A clock, or none. Throws TypeError `INVALID_ARGUMENT`. */
export function assertClock(clock: unknown, operation: string): asserts clock is Clock | undefined {
  assertPart(clock, CLOCK_FUNCTIONS, "clock", operation);
}

/** The clock that was given, as far as it can be believed, or the machine's. */
export function clockOrSystem(given: Clock | undefined): Clock {
  return given === undefined ? systemClock : believableClock(given);
}

/** Where the store gets randomness from: fills `target` with random bytes. */
export type Random = (target: Uint8Array) => void;
