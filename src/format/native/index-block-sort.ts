/** A radix sort that rests: no step looks at more than `STEP` elements, so that sorting a million leaves the event loop free in between. */

const DIGIT_BITS = 11;
const DIGITS = 1 << DIGIT_BITS;
const STEP = 8192;

export interface Pairs {
  readonly keys: Uint32Array;
  readonly values: Uint32Array;
}

/**
 * Sorts pairs of key and value by key; equal keys keep their order. Yields to rest. Both arrays are used as scratch: the sorted ones are
 * the result.
 */
export function* sortPairs(keys: Uint32Array, values: Uint32Array): Generator<undefined, Pairs> {
  const count = keys.length;
  let from: Pairs = { keys, values };
  let to: Pairs = { keys: new Uint32Array(count), values: new Uint32Array(count) };
  for (let shift = 0; shift < 32; shift += DIGIT_BITS) {
    const places = new Uint32Array(DIGITS);
    for (let start = 0; start < count; start += STEP) {
      countDigits(from.keys, start, Math.min(count, start + STEP), shift, places);
      if (count > STEP) yield;
    }
    let place = 0;
    for (let digit = 0; digit < DIGITS; digit++) {
      const here = places[digit]!;
      places[digit] = place;
      place += here;
    }
    for (let start = 0; start < count; start += STEP) {
      scatter(from, to, start, Math.min(count, start + STEP), shift, places);
      if (count > STEP) yield;
    }
    [from, to] = [to, from];
  }
  return from;
}

function countDigits(keys: Uint32Array, start: number, end: number, shift: number, places: Uint32Array): void {
  for (let at = start; at < end; at++) places[(keys[at]! >>> shift) & (DIGITS - 1)]!++;
}

function scatter(from: Pairs, to: Pairs, start: number, end: number, shift: number, places: Uint32Array): void {
  const { keys, values } = from;
  const { keys: toKeys, values: toValues } = to;
  for (let at = start; at < end; at++) {
    const key = keys[at]!;
    const place = places[(key >>> shift) & (DIGITS - 1)]!++;
    toKeys[place] = key;
    toValues[place] = values[at]!;
  }
}
