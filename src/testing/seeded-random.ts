/**
 * Repeatable randomness for tests: the same seed gives the same numbers. Not for keys or ids.
 *
 * @example const random = seededRandom(42); const die = 1 + Math.floor(random() * 6);
 */
export function seededRandom(seed: number): () => number {
  let state = (seed ^ 0x9e37_79b9) >>> 0;
  // The generator known as mulberry32: 32 bits of state, good enough to choose among test cases.
  return () => {
    state = (state + 0x6d2b_79f5) >>> 0;
    let mixed = state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
