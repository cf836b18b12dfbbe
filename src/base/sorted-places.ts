/** Sorting what lies in flat memory, in steps with pauses between them: the places are sorted, nothing is moved. */

const PLACES_PER_STEP = 4096;

/** The places 0, 1, 2, … below `count` in the order that `compare` says; those that are equal stay as they are. */
export async function sortedPlaces(
  count: number,
  compare: (one: number, other: number) => number,
  pause: () => Promise<void>,
): Promise<Uint32Array> {
  let places = new Uint32Array(count);
  for (let from = 0; from < count; from += PLACES_PER_STEP) {
    const end = Math.min(count, from + PLACES_PER_STEP);
    for (let place = from; place < end; place++) places[place] = place;
    places.subarray(from, end).sort(compare);
    await pause();
  }
  let merged = new Uint32Array(count > PLACES_PER_STEP ? count : 0);
  for (let width = PLACES_PER_STEP; width < count; width *= 2) {
    for (let from = 0; from < count; from += 2 * width) {
      const middle = Math.min(count, from + width);
      await mergeRuns(places, from, middle, Math.min(count, middle + width), merged, compare, pause);
    }
    [places, merged] = [merged, places];
  }
  return places;
}

/** Merges `source[from, middle)` and `source[middle, end)`, both sorted, into the same places of `target`. */
async function mergeRuns(
  source: Uint32Array,
  from: number,
  middle: number,
  end: number,
  target: Uint32Array,
  compare: (one: number, other: number) => number,
  pause: () => Promise<void>,
): Promise<void> {
  if (middle === end || compare(source[middle - 1], source[middle]) <= 0) {
    target.set(source.subarray(from, end), from);
    return;
  }
  let [left, right] = [from, middle];
  for (let to = from; to < end; ) {
    for (const stop = Math.min(end, to + PLACES_PER_STEP); to < stop; to++) {
      const takesLeft = right === end || (left < middle && compare(source[left], source[right]) <= 0);
      target[to] = takesLeft ? source[left++] : source[right++];
    }
    await pause();
  }
}
