/**
 * Sorts names by their bytes, in steps: by one byte after the other from the first, so that names are compared with each other only where few begin alike.
 * No byte of a name is looked at more than a few times, however much names have in common.
 */
import type { Interner } from "./interner.ts";

/** Of the longest steps, so many looks at a byte: a fraction of a millisecond. */
const LOOKS_PER_STEP = 16_384;
/** So many names are sorted by comparing them. */
const FEW_NAMES = 16;
/** Looks that a name costs which is compared with others, and one whose place is searched. */
const COMPARED_LOOKS = 8;
/** One for each byte, behind the one for names that have ended. */
const GROUPS = 257;
/** A stretch up to this long is copied without a call into the runtime. */
const SHORT_STRETCH = 16;

/** Sorts the ids of different names by the bytes of these. */
export function* sortNames(names: Interner, ids: Uint32Array): Generator<undefined, void> {
  const scratch = new Uint32Array(ids.length);
  const places = new Uint32Array(GROUPS);
  /** Groups that are to be sorted: where each begins and ends, and how many bytes all of it have in common. */
  const groups = [0, ids.length, 0];
  let looks = 0;
  while (groups.length > 0) {
    const depth = groups.pop()!;
    const end = groups.pop()!;
    const start = groups.pop()!;
    if (end - start <= FEW_NAMES) {
      sortFew(names, ids, start, end, depth);
      looks += (end - start) * COMPARED_LOOKS;
    } else {
      places.fill(0);
      for (let from = start; from < end; from += LOOKS_PER_STEP) {
        const to = Math.min(end, from + LOOKS_PER_STEP);
        countBytes(names, ids, from, to, depth, places);
        if ((looks += to - from) >= LOOKS_PER_STEP) looks = yield* pause();
      }
      if (places[groupOf(names, ids[start]!, depth)] === end - start) {
        groups.push(start, end, depth + 1);
        continue;
      }
      for (let group = 0, place = start; group < GROUPS; group++) {
        const count = places[group]!;
        places[group] = place;
        place += count;
      }
      for (let from = start; from < end; from += LOOKS_PER_STEP) {
        const to = Math.min(end, from + LOOKS_PER_STEP);
        placeByBytes(names, ids, from, to, depth, places, scratch);
        if ((looks += to - from) >= LOOKS_PER_STEP) looks = yield* pause();
      }
      ids.set(scratch.subarray(start, end), start);
      // A group's place is behind its last name now.
      for (let group = 0, from = start; group < GROUPS; from = places[group++]!) {
        if (places[group]! - from > 1) groups.push(from, places[group]!, depth + 1);
      }
    }
    if (looks >= LOOKS_PER_STEP) looks = yield* pause();
  }
}

/** Sorted ids and others, sorted as well, as one list. */
export function* mergeNames(names: Interner, sorted: Uint32Array, added: Uint32Array): Generator<undefined, Uint32Array> {
  const merged = new Uint32Array(sorted.length + added.length);
  let from = 0;
  let to = 0;
  let looks = 0;
  const copyUntil = (place: number): void => {
    if (place - from > SHORT_STRETCH) merged.set(sorted.subarray(from, place), to);
    else for (let i = from; i < place; i++) merged[to + i - from] = sorted[i]!;
    to += place - from;
    from = place;
  };
  for (const id of added) {
    copyUntil(firstBehind(names, sorted, from, id));
    merged[to++] = id;
    if ((looks += COMPARED_LOOKS) >= LOOKS_PER_STEP) looks = yield* pause();
  }
  copyUntil(sorted.length);
  return merged;
}

function* pause(): Generator<undefined, 0> {
  yield;
  return 0;
}

/** The first place of `sorted`, from `from` on, whose name comes behind this one. Near places are found soonest. */
function firstBehind(names: Interner, sorted: Uint32Array, from: number, id: number): number {
  let low = from;
  let high = from;
  for (let stride = 1; high < sorted.length && names.compare(sorted[high]!, id, 0) < 0; stride *= 2) {
    low = high + 1;
    high += stride;
  }
  high = Math.min(high, sorted.length);
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (names.compare(sorted[middle]!, id, 0) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

function groupOf(names: Interner, id: number, depth: number): number {
  const { bytes, offsets } = names.text;
  const at = offsets[id]! + depth;
  return at < offsets[id + 1]! ? bytes[at]! + 1 : 0;
}

function countBytes(names: Interner, ids: Uint32Array, from: number, to: number, depth: number, counts: Uint32Array): void {
  const { bytes, offsets } = names.text;
  for (let i = from; i < to; i++) {
    const id = ids[i]!;
    const at = offsets[id]! + depth;
    counts[at < offsets[id + 1]! ? bytes[at]! + 1 : 0]!++;
  }
}

function placeByBytes(
  names: Interner,
  ids: Uint32Array,
  from: number,
  to: number,
  depth: number,
  places: Uint32Array,
  target: Uint32Array,
): void {
  const { bytes, offsets } = names.text;
  for (let i = from; i < to; i++) {
    const id = ids[i]!;
    const at = offsets[id]! + depth;
    target[places[at < offsets[id + 1]! ? bytes[at]! + 1 : 0]!++] = id;
  }
}

/** Sorts `ids[start, end)`, whose names have their first `depth` bytes in common. */
function sortFew(names: Interner, ids: Uint32Array, start: number, end: number, depth: number): void {
  for (let i = start + 1; i < end; i++) {
    const id = ids[i]!;
    let place = i;
    for (; place > start && names.compare(ids[place - 1]!, id, depth) > 0; place--) ids[place] = ids[place - 1]!;
    ids[place] = id;
  }
}
