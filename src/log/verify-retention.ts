/** Holds what a merged segment says was removed against the events that are there: every gap must be told of, and nothing else. */
import { RecordList } from "../base/record-list.ts";
import type { RemovedRun } from "../format/native/retention.ts";
import { RemovedRuns } from "./removed-runs.ts";
import type { Retention } from "./retention.ts";

/** Looked at in one step: a record may tell of as many events as a segment held. A frame of rows has some more. */
const ITEMS_PER_STEP = 384;

export class RetentionCheck {
  /** Events removed, as the summary says. */
  readonly removed: number;
  /** Those that were not taken yet. */
  readonly #runs = new RemovedRuns();
  /** First and last of each run of sequences. */
  readonly #sequences = new RecordList(2);
  #nextSequences = 0;
  #contradiction: string | null = null;

  private constructor(removed: number) {
    this.removed = removed;
  }

  /** Reads the record, with a pause after each step. */
  static async of(retention: Retention, pause: () => Promise<void>): Promise<RetentionCheck> {
    const check = new RetentionCheck(retention.summary.removed);
    let items = 0;
    for (const step of check.#read(retention)) {
      items += step;
      if (items < ITEMS_PER_STEP) continue;
      items = 0;
      await pause();
    }
    return check;
  }

  /** Gives how many items each step took. */
  *#read(retention: Retention): Generator<number, void> {
    let byClock = 0;
    let bySequence = 0;
    for (const [name, runs] of retention.entities()) {
      // An entity of many runs is told of in several frames.
      const entity = this.#runs.entity(name);
      for (const { from, to, lastSequence, lastHash } of runs) {
        this.#runs.add(entity, from, to, lastSequence, lastHash, 0);
        byClock += to - from + 1;
      }
      yield runs.length;
    }
    for (const [from, to] of retention.sequences()) {
      const run = this.#sequences.add();
      this.#sequences.setNumber(run, 0, from);
      this.#sequences.setNumber(run, 1, to);
      bySequence += to - from + 1;
      yield 1;
    }
    let unknown = 0;
    for (const rows of retention.batches()) {
      for (const { sequence } of rows) if (!this.#isListed(sequence)) unknown++;
      yield rows.length;
    }
    if (byClock !== this.removed || bySequence !== this.removed)
      this.#contradiction = `it counts ${this.removed} removed events, ${byClock} by clocks and ${bySequence} by sequences`;
    else if (unknown > 0) this.#contradiction = `${unknown} rows of removed events are of none that it lists`;
  }

  #isListed(sequence: number): boolean {
    const list = this.#sequences;
    let low = 0;
    let high = list.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (list.number(middle, 1) < sequence) low = middle + 1;
      else high = middle;
    }
    return low < list.length && list.number(low, 0) <= sequence;
  }

  /** The first sequence of the next removed run that was not taken yet; infinity where there is none. */
  get nextRemoved(): number {
    return this.#nextSequences < this.#sequences.length ? this.#sequences.number(this.#nextSequences, 0) : Number.POSITIVE_INFINITY;
  }

  /** Takes the removed runs that follow on `next` without a gap, up to the sequence `bound`; gives what is due then. */
  passSequences(next: number, bound: number): number {
    let due = next;
    while (due < bound && this.nextRemoved === due) due = this.#sequences.number(this.#nextSequences++, 1) + 1;
    return due;
  }

  /** The next removed run of this entity, if it lies within clocks `[from, bound)`; null when there is none. Each is given once. */
  takeRun(name: string, from: number, bound: number): RemovedRun | null {
    return this.#runs.take(name, from, bound);
  }

  /** The entities with runs that were not taken yet. */
  *left(): Generator<string, void> {
    const runs = this.#runs;
    for (let entity = 0; entity < runs.entities && runs.entitiesWithRuns > 0; entity++)
      if (runs.first(entity) >= 0) yield runs.name(entity);
  }

  /** What is wrong once everything was taken; null when nothing is. */
  problem(): string | null {
    if (this.#contradiction !== null) return this.#contradiction;
    for (const name of this.left()) return `what it says was removed of ${name} does not fit the events that are there`;
    if (this.#nextSequences < this.#sequences.length) return `sequence ${this.nextRemoved}, which it lists as removed, does not fit`;
    return null;
  }
}
