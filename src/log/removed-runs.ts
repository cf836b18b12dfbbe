/**
 * The runs of removed events of each entity, as a record tells of them (`format/native/retention.ts`), in flat memory: where every other event goes there
 * are as many as events. A run costs 64 bytes.
 *
 * Invariants:
 * 1. An entity's runs are a chain, in the order in which they were added but for those that `order` has sorted.
 * 2. A run that begins where the one before it in the chain ends is a part of that.
 */
import { grownColumn } from "../base/column-bytes.ts";
import { RecordList } from "../base/record-list.ts";
import { sortedPlaces } from "../base/sorted-places.ts";
import type { RemovedRun } from "../format/native/retention.ts";
import { Interner } from "../index/interner.ts";

/** Words of a run; that of `next` is the next run's place and one, 0 at the end of the chain. */
const RUN = { next: 0, from: 1, to: 2, lastSequence: 3, lastHash: 4, words: 8 } as const;
const HASH_BYTES = 32;
/** So few are sorted without a list of their own. */
const FEW_RUNS = 16;

export class RemovedRuns {
  readonly #names = new Interner();
  readonly #runs = new RecordList(RUN.words);
  /** By entity: its first and its last run's place and one, and whether its clocks do not ascend. */
  #first = new Uint32Array(64);
  #last = new Uint32Array(64);
  #unordered = new Uint32Array(64);
  readonly #few = new Uint32Array(FEW_RUNS);
  /** How many entities have runs. */
  entitiesWithRuns = 0;

  /** How many entities have or had runs: their numbers are below. */
  get entities(): number {
    return this.#names.size;
  }

  name(entity: number): string {
    return this.#names.name(entity);
  }

  /** The number of the entity of this name, a new one where it has none. */
  entity(name: string): number {
    const entity = this.#names.intern(name);
    this.#makeRoom(entity);
    return entity;
  }

  /** The same for the name `bytes[start, end)`, which is UTF-8. */
  entityOfBytes(bytes: Uint8Array, start: number, end: number): number {
    const entity = this.#names.internBytes(bytes, start, end);
    this.#makeRoom(entity);
    return entity;
  }

  #makeRoom(entity: number): void {
    if (entity < this.#first.length) return;
    this.#first = grownColumn(this.#first, this.#first.length * 2);
    this.#last = grownColumn(this.#last, this.#last.length * 2);
    this.#unordered = grownColumn(this.#unordered, this.#unordered.length * 2);
  }

  /** Adds a run; the hash of its last event is at `hashAt` of `bytes`. */
  add(entity: number, from: number, to: number, lastSequence: number, bytes: Uint8Array, hashAt: number): void {
    const runs = this.#runs;
    const last = this.#last[entity] - 1;
    let run = last;
    if (last < 0 || runs.number(last, RUN.to) + 1 !== from) {
      run = runs.add();
      runs.setNumber(run, RUN.from, from);
      if (last < 0) {
        this.#first[entity] = run + 1;
        this.entitiesWithRuns++;
      } else {
        runs.setNumber(last, RUN.next, run + 1);
        if (from < runs.number(last, RUN.from)) this.#unordered[entity] = 1;
      }
      this.#last[entity] = run + 1;
    }
    runs.setNumber(run, RUN.to, to);
    runs.setNumber(run, RUN.lastSequence, lastSequence);
    runs.setBytes(run, RUN.lastHash, bytes, hashAt, HASH_BYTES);
  }

  /** Puts the entity's runs in the order of their clocks; null where that was done at once. */
  order(entity: number, pause: () => Promise<void>): Promise<void> | null {
    if (this.#unordered[entity] === 0) return null;
    this.#unordered[entity] = 0;
    const few = this.#few;
    let count = 0;
    for (let run = this.first(entity); run >= 0; run = this.next(run)) {
      if (count === FEW_RUNS) return this.#orderMany(entity, pause);
      let place = count++;
      for (; place > 0 && this.#compare(few[place - 1], run) > 0; place--) few[place] = few[place - 1];
      few[place] = run;
    }
    for (let place = 0; place < count; place++) this.#link(entity, few[place], place === 0);
    return null;
  }

  async #orderMany(entity: number, pause: () => Promise<void>): Promise<void> {
    let count = 0;
    for (let run = this.first(entity); run >= 0; run = this.next(run)) count++;
    const list = new Uint32Array(count);
    for (let run = this.first(entity), place = 0; run >= 0; run = this.next(run)) list[place++] = run;
    const places = await sortedPlaces(count, (one, other) => this.#compare(list[one], list[other]), pause);
    for (const [i, place] of places.entries()) this.#link(entity, list[place], i === 0);
  }

  #compare(one: number, other: number): number {
    return this.#runs.number(one, RUN.from) - this.#runs.number(other, RUN.from);
  }

  /** The run becomes the last of its entity's chain, or goes into the one that is. */
  #link(entity: number, run: number, isFirst: boolean): void {
    const runs = this.#runs;
    const last = this.#last[entity] - 1;
    if (!isFirst && runs.number(last, RUN.to) + 1 === runs.number(run, RUN.from)) {
      runs.setNumber(last, RUN.to, runs.number(run, RUN.to));
      runs.setNumber(last, RUN.lastSequence, runs.number(run, RUN.lastSequence));
      runs.setBytes(last, RUN.lastHash, runs.bytes(run, RUN.lastHash, HASH_BYTES), 0, HASH_BYTES);
      return;
    }
    if (isFirst) this.#first[entity] = run + 1;
    else runs.setNumber(last, RUN.next, run + 1);
    runs.setNumber(run, RUN.next, 0);
    this.#last[entity] = run + 1;
  }

  /** The first run of the entity, -1 where it has none. */
  first(entity: number): number {
    return this.#first[entity] - 1;
  }

  /** The one that follows in its entity's chain, -1 where none does. */
  next(run: number): number {
    return this.#runs.number(run, RUN.next) - 1;
  }

  /** What the run says; its hash is a view for as long as no run is added. */
  run(run: number): RemovedRun {
    const runs = this.#runs;
    return {
      from: runs.number(run, RUN.from),
      to: runs.number(run, RUN.to),
      lastSequence: runs.number(run, RUN.lastSequence),
      lastHash: runs.bytes(run, RUN.lastHash, HASH_BYTES),
    };
  }

  /** The first run of the entity of this name that was not taken, if it begins within clocks `[from, bound)`; null when it does not. */
  take(name: string, from: number, bound: number): RemovedRun | null {
    const entity = this.#names.find(name);
    const first = entity < 0 ? -1 : this.first(entity);
    if (first < 0) return null;
    const begin = this.#runs.number(first, RUN.from);
    if (begin < from || begin >= bound) return null;
    this.#first[entity] = this.next(first) + 1;
    if (this.#first[entity] === 0) this.entitiesWithRuns--;
    return this.run(first);
  }
}
