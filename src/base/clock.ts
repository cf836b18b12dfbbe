/** Where the store gets the time from. */
export interface Clock {
  /** Microseconds since the Unix epoch, an integer. May jump either way: the store clamps. */
  nowMicros(): number;
  /** Milliseconds from any origin, never running backwards; for measuring. */
  monotonicMs(): number;
}

/** The machine's clock. */
export const systemClock: Clock = {
  nowMicros: () => Math.floor((performance.timeOrigin + performance.now()) * 1000),
  monotonicMs: () => performance.now(),
};

/** Where the store gets randomness from: fills `target` with random bytes. */
export type Random = (target: Uint8Array) => void;
