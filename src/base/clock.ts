/** Where the store gets the time from. */
export interface Clock {
  /** Microseconds since the Unix epoch, an integer. May jump either way: the store clamps. */
  nowMicros(): number;
  /** Milliseconds from any origin, never running backwards; for measuring. */
  monotonicMs(): number;
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
export const systemClock: Clock = {
  nowMicros: () => {
    const wallMs = Date.now();
    const fineMs = monotonicMs();
    if (!(originMs + fineMs >= wallMs && originMs + fineMs < wallMs + 1)) originMs = wallMs - fineMs;
    return Math.floor((originMs + fineMs) * 1000);
  },
  monotonicMs,
};

/** Where the store gets randomness from: fills `target` with random bytes. */
export type Random = (target: Uint8Array) => void;
