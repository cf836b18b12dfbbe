/** Searching sorted arrays of hashes. */

/** One more than any key. */
export const KEYS = 0x1_0000_0000;
/** Steps from element to element before the rest is searched by halves. */
const STEPS_MAX = 64;

/**
 * The first of the `count` sorted elements that is not below `key`, which lie between `lowest` and `highest`. Keys are hashes, spread evenly:
 * it looks where the key should stand, corrects that by what stands there, and steps from element to element, so that two or three lines of
 * memory are touched. Where keys are not spread evenly, as in a forged block, it ends as a binary search.
 */
export function firstAtOrAfter(values: Uint32Array, count: number, key: number, lowest: number, highest: number): number {
  if (count === 0) return 0;
  const perKey = highest > lowest ? count / (highest - lowest) : 0;
  const guess = Math.max(0, Math.min(count - 1, Math.floor((key - lowest) * perKey)));
  let at = Math.max(0, Math.min(count - 1, guess + Math.trunc((key - values[guess]!) * perKey)));
  let low = 0;
  let high = count;
  if (values[at]! < key) {
    const stop = Math.min(count, at + STEPS_MAX);
    do at++;
    while (at < stop && values[at]! < key);
    if (at < stop || at === count) return at;
    low = at;
  } else {
    const stop = Math.max(0, at - STEPS_MAX);
    while (at > stop && values[at - 1]! >= key) at--;
    if (at > stop || at === 0) return at;
    high = at;
  }
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (values[middle]! < key) low = middle + 1;
    else high = middle;
  }
  return low;
}
