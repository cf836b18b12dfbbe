/**
 * Which entities of a segment have names that begin with one of several prefixes. An entity's name is compared when one of its rows is met, so that who wants
 * few rows compares few names. Once many were looked at, all names are compared in their order, which costs less for each.
 */
import type { PrefixSet } from "../base/prefix-set.ts";
import type { Condition, ScanSource } from "./scan-source.ts";

/** Of so many rows the names are looked at one by one: it takes several times as long as where all are known, … */
const ROWS_MAX = 1024;
/** … and of fewer where they load so many pages: names that are met lie anywhere, and a small cache may load two for each. */
const PAGES_MAX = 64;

/** Those that the conditions ask for: always the last of them. */
export function namesOf(conditions: readonly Condition[]): NameMarks | null {
  const last = conditions.at(-1);
  return last?.test === "names" ? last.names : null;
}

export class NameMarks {
  readonly #source: ScanSource;
  readonly #prefixes: PrefixSet;
  /** By local id: whether the name begins so, where that is known. */
  readonly marks: Uint32Array;
  readonly #known: Uint32Array;
  #rows = 0;
  readonly #pagesBefore: number;
  /** Ordinal of the entity whose name is compared next, in their order. */
  #next = 0;
  /** Whether all names were compared. */
  isComplete = false;

  constructor(source: ScanSource, prefixes: PrefixSet) {
    const words = (source.localEntityLimit + 31) >>> 5;
    this.#source = source;
    this.#prefixes = prefixes;
    this.#pagesBefore = source.pagesLoaded;
    this.marks = new Uint32Array(words);
    this.#known = new Uint32Array(words);
  }

  has(local: number): boolean {
    this.#rows++;
    const word = local >>> 5;
    const bit = 1 << (local & 31);
    if (!this.isComplete && (this.#known[word]! & bit) === 0) {
      if (this.#source.beginsOne(local, this.#prefixes)) this.marks[word]! |= bit;
      this.#known[word]! |= bit;
    }
    return (this.marks[word]! & bit) !== 0;
  }

  /** Whether it costs less now to compare all names, in steps. */
  get isDue(): boolean {
    if (this.isComplete) return false;
    return this.#rows >= ROWS_MAX || this.#source.pagesLoaded - this.#pagesBefore > PAGES_MAX;
  }

  /** Compares some thousand names, where that is due. True: there are more to compare. */
  step(): boolean {
    if (!this.isDue) return false;
    this.#next = this.#source.markPrefixes(this.#prefixes, this.marks, this.#next);
    this.isComplete = this.#next < 0;
    return !this.isComplete;
  }

  /** Whether no name begins so, where all are known. */
  get isEmpty(): boolean {
    return this.isComplete && this.marks.every((word) => word === 0);
  }
}
