/** Where the store gets the time from. */
export interface Clock {
  /** Microseconds since the Unix epoch, an integer. May jump either way: the store clamps. */
  nowMicros(): number;
  /** Milliseconds from any origin, never running backwards; for measuring. */
  monotonicMs(): number;
}

/** `performance`, once it was needed: asking the global object for it each time costs as much as reading the time. */
let fine: { now(): number } | null = null;
/** What `performance.now` counts from, as milliseconds since the Unix epoch by the wall clock as it goes now. */
let originMs = Number.NaN;

/**
 * The machine's clock: the wall clock's millisecond, and within it the microseconds of the finer one, which alone would not follow when the
 * wall clock is set or the machine sleeps.
 */
export const systemClock: Clock = {
  nowMicros: () => {
    const wallMs = Date.now();
    fine ??= performance;
    const fineMs = fine.now();
    if (!(originMs + fineMs >= wallMs && originMs + fineMs < wallMs + 1)) originMs = wallMs - fineMs;
    return Math.floor((originMs + fineMs) * 1000);
  },
  // Not `performance`: the first look at that loads a module, which takes a millisecond of opening a store.
  monotonicMs: () => {
    const [seconds, nanoseconds] = process.hrtime();
    return seconds * 1000 + nanoseconds / 1e6;
  },
};

/** Where the store gets randomness from: fills `target` with random bytes. */
export type Random = (target: Uint8Array) => void;
