/** How the head of an entity lies in memory (`heads.ts`). */

export const HASH_BYTES = 32;
export const HASH_WORDS = HASH_BYTES / 4;

/** It has eight places of eight bytes: clock, sequence, time, visible sequence, and four for the hash. */
export const PLACES_SHIFT = 3;
export const HEAD_PLACE = { clock: 0, sequence: 1, timeMicros: 2, visibleSequence: 3, hash: 4 } as const;

/** The heads of so many entities, as a power of two, begin to be held at once. */
export const BLOCK_SHIFT = 4;
