/**
 * Names in the order of their bytes: those that begin with a prefix stand side by side, and are found by searching for the first and the last of them.
 * Four bytes a name, and none before somebody has asked.
 *
 * Whoever asks by a prefix and may rest helps with the order before (`help`): it begins to be made where so many names were looked through that
 * it is worth it, and each question does a share of it, so that none waits for all of it, and nothing goes on behind anybody's back. Until it is
 * there, and for names that are newer, names are looked through.
 *
 * Invariants:
 * 1. `#sorted` has the ids below its length, each once, ascending by the bytes of their names. It is replaced as a whole.
 * 2. What is found is right whatever has been sorted. Only its cost differs.
 */
import type { PrefixSet } from "../base/prefix-set.ts";
import type { Interner } from "./interner.ts";
import { mergeNames, sortNames } from "./name-sort.ts";

/** So many names are looked through at once: a quarter of a millisecond. */
const UNSORTED_MAX = 16_384;
/** More prefixes are not looked for one by one. */
const PREFIXES_MAX = 256;
/** Names are sorted once as many were looked through as these times all there are: sorting them costs some more. */
const LOOKS_PER_NAME = 4;
/** Steps that each question does: at least these, and about an eighth of all it takes to sort many names. */
const STEPS_MIN = 8;
const STEP_SHIFT = 13;

const NO_IDS = new Uint32Array(0);

export class NameOrder {
  readonly #names: Interner;
  #sorted: Uint32Array = NO_IDS;
  /** Null where nothing is being sorted. */
  #sorting: Generator<undefined, void> | null = null;
  /** How many names were looked through since names were sorted last. */
  #looked = 0;

  constructor(names: Interner) {
    this.#names = names;
  }

  /** Whether there is something to help with. */
  get isDue(): boolean {
    const { size } = this.#names;
    return this.#sorting !== null || size - this.#sorted.length > UNSORTED_MAX || this.#looked > LOOKS_PER_NAME * size;
  }

  /** A question's share of what is due, in steps of a fraction of a millisecond. */
  *help(): Generator<undefined, void> {
    for (let steps = STEPS_MIN + (this.#names.size >>> STEP_SHIFT); steps > 0 && this.isDue; steps--) {
      this.#sorting ??= this.#sort();
      if (this.#sorting.next().done === true) this.#sorting = null;
      yield;
    }
  }

  /** The ids of all names that begin with one of the prefixes, in no order; null where they are more than `idsMax`, or not to be found at once. */
  find(prefixes: PrefixSet, idsMax: number): number[] | null {
    const { size } = this.#names;
    const sorted = this.#sorted;
    this.#looked += size - sorted.length;
    if (size - sorted.length > UNSORTED_MAX || prefixes.prefixes.length > PREFIXES_MAX) return null;
    const found: number[] = [];
    for (const prefix of prefixes.prefixes) {
      const from = this.#firstPlace(prefix, 0, 0);
      const to = this.#firstPlace(prefix, from, 1);
      if (found.length + to - from > idsMax) return null;
      for (let place = from; place < to; place++) found.push(sorted[place]!);
    }
    for (let id = sorted.length; id < size; id++) {
      if (!this.#names.beginsOne(id, prefixes)) continue;
      if (found.length === idsMax) return null;
      found.push(id);
    }
    return found;
  }

  /** The first place, from `from` on, whose name comes behind all that come before the prefix (0), or behind all that begin with it (1). */
  #firstPlace(prefix: Uint8Array, from: number, above: 0 | 1): number {
    const sorted = this.#sorted;
    let low = from;
    let high = sorted.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#names.compareStart(sorted[middle]!, prefix) < above) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  *#sort(): Generator<undefined, void> {
    this.#looked = 0;
    const before = this.#sorted;
    const added = new Uint32Array(this.#names.size - before.length);
    for (let i = 0; i < added.length; i++) added[i] = before.length + i;
    yield* sortNames(this.#names, added);
    this.#sorted = before.length === 0 ? added : yield* mergeNames(this.#names, before, added);
  }
}
