/**
 * The segments that hold events of one entity, newest or oldest first, each looked up when it is asked for.
 *
 * A segment's index knows the entity's last event before it, so its newest events are found by hopping backwards from its head. Nothing leads forward:
 * its oldest events, and its newest before some sequence, are looked for segment by segment from there on, and for each segment that has none one hop is
 * made from the other side, until the two meet. So a look at the first events costs no look at each segment of a long history, neither of an entity that
 * is everywhere in it nor of one that is hardly anywhere. Where a clock bounds the range, the segments are halved by what they know of clocks before.
 *
 * Invariants:
 * 1. Clocks of an entity do not run backwards from segment to segment.
 * 2. What is found belongs to one `revision` of the index: who goes on with another one begins anew.
 */
import { assert } from "../base/assert.ts";
import { SealedSegmentIndex } from "./sealed-segment-index.ts";
import type { EntitySummary } from "./segment-index.ts";
import type { SegmentEntry, StoreIndex } from "./store-index.ts";

/** Which of its events are looked for. Clocks inclusive. */
export interface EntityRange {
  /** First sequence. */
  readonly from: number;
  /** First sequence that is not looked for any more. */
  readonly bound: number;
  readonly clockFrom?: number | undefined;
  readonly clockTo?: number | undefined;
}

/** A segment, and what it knows of the entity: to be looked at right away. */
export interface EntityHop {
  /** Of the segment among all. */
  readonly position: number;
  readonly segment: SegmentEntry;
  readonly summary: EntitySummary;
}

/** Hops, and null where a step's work was done without one. */
export type EntityHops = Generator<EntityHop | null, void, undefined>;

/** So many segments are a step's work: each may read pages of its index from the disk. */
export const LOOKS_PER_STEP = 8;
/** Among so few segments none is left out by its clocks: halving looks at as many. */
const FEW_SEGMENTS = 8;
/** Halving gives up after so many segments that tell nothing: the entity is rare, and its hops are few. */
const MISSES_MAX = 32;

/** Newest first. */
export function hopsBackward(index: StoreIndex, name: string, range: EntityRange): EntityHops {
  return new EntityWalk(index, name, range).backward();
}

/** Oldest first. */
export function hopsForward(index: StoreIndex, name: string, range: EntityRange): EntityHops {
  return new EntityWalk(index, name, range).forward();
}

class EntityWalk {
  readonly #index: StoreIndex;
  readonly #name: string;
  readonly #range: EntityRange;
  readonly #clockFrom: number;
  readonly #clockTo: number;
  /** Sequence of its newest event, before the bound or not; -1 where it has none. */
  readonly #newest: number;
  /** The positions among which it may lie. */
  readonly #first: number;
  readonly #end: number;
  #looks = 0;

  constructor(index: StoreIndex, name: string, range: EntityRange) {
    const id = index.entities.find(name);
    const { from, bound, clockFrom = 0, clockTo = Number.POSITIVE_INFINITY } = range;
    this.#index = index;
    this.#name = name;
    this.#range = range;
    this.#clockFrom = clockFrom;
    this.#clockTo = clockTo;
    if (id < 0) this.#newest = -1;
    else this.#newest = bound > index.visible.sequence ? index.heads.sequence(id) : index.heads.visibleSequence(id);
    const last = Math.min(this.#newest, bound - 1);
    this.#first = Math.max(0, index.segmentAt(from));
    this.#end = last < from ? 0 : index.segmentAt(last) + 1;
  }

  *backward(): EntityHops {
    const { segments } = this.#index;
    if (this.#end === 0) return;
    let { bound } = this.#range;
    if (this.#clockTo < Number.POSITIVE_INFINITY) {
      const [, high] = yield* this.#halve(({ firstClock }) => firstClock <= this.#clockTo);
      if (high < this.#end) bound = Math.min(bound, segments[high].firstSequence);
    }
    let sequence = Math.min(this.#newest, bound - 1);
    for (let position = yield* this.#newestBefore(bound); position >= 0; position = this.#index.segmentAt(sequence)) {
      // A segment that compaction emptied may share its first sequence with the one that holds the event; and where damage took the event, also
      // after a repair, the blocks of later segments go on leading there.
      let summary = this.#lookAt(position);
      while (summary === null && position > 0) {
        if (this.#isStep()) yield null;
        summary = this.#lookAt(--position);
      }
      if (summary === null) return;
      this.#assertBackward(position, summary, sequence);
      sequence = summary.previousSequence;
      // Read before anybody goes on: a page that holds it may not be held any more.
      const isLast = sequence < this.#range.from || (summary.rows > 0 && summary.firstClock <= this.#clockFrom);
      if (this.#hasSome(segments[position], summary)) yield { position, segment: segments[position], summary };
      else if (this.#isStep()) yield null;
      if (isLast) return;
    }
  }

  *forward(): EntityHops {
    const { segments } = this.#index;
    let position = this.#first;
    let end = this.#end;
    if (this.#clockFrom > 0) [position] = yield* this.#halve(({ lastClock }) => lastClock < this.#clockFrom);
    let hops: EntityHops | null = null;
    /** Where hops from the other side have found it, newest first. */
    const behind: number[] = [];
    for (; position < end; position++) {
      const summary = this.#lookAt(position);
      if (summary !== null && summary.rows > 0) {
        const isLast = summary.lastClock >= this.#clockTo;
        if (this.#hasSome(segments[position], summary)) yield { position, segment: segments[position], summary };
        else if (this.#isStep()) yield null;
        if (isLast) return;
        continue;
      }
      if (this.#isStep()) yield null;
      hops ??= hopsBackward(this.#index, this.#name, this.#range);
      const { value: hop, done } = hops.next();
      if (done === true) break;
      if (hop === null) yield null;
      else behind.push((end = hop.position));
    }
    for (const later of behind.reverse()) {
      const summary = later < position ? null : this.#lookAt(later);
      if (summary !== null) yield { position: later, segment: segments[later], summary };
    }
  }

  /** Where its newest event before the bound may lie at the latest; -1 where it has none. */
  *#newestBefore(bound: number): Generator<null, number, undefined> {
    let sequence = this.#newest;
    for (let position = this.#index.segmentAt(bound - 1); sequence >= bound; position--) {
      if (position < 0 || this.#lookAt(position) !== null) return position;
      const hop = this.#index.segmentAt(sequence);
      const summary = this.#lookAt(hop);
      if (this.#isStep()) yield null;
      // Damage took what later segments lead to.
      if (summary === null) continue;
      this.#assertBackward(hop, summary, sequence);
      sequence = summary.previousSequence;
    }
    return this.#index.segmentAt(sequence);
  }

  /** All segments that have it are `isBefore` in front of the first position, and none is from the second on; there are few in between. */
  *#halve(isBefore: (summary: EntitySummary) => boolean): Generator<null, readonly [low: number, high: number], undefined> {
    let low = this.#first;
    let high = this.#end;
    for (let misses = 0; high - low > FEW_SEGMENTS && misses < MISSES_MAX; ) {
      const middle = (low + high) >>> 1;
      let position = middle;
      let summary = this.#lookAt(position);
      while (summary === null && misses++ < MISSES_MAX && position + 1 < high) summary = this.#lookAt(++position);
      if (summary !== null && isBefore(summary)) low = position + 1;
      else if (summary !== null || position + 1 === high) high = middle;
      if (this.#isStep()) yield null;
    }
    return [low, high];
  }

  #lookAt(position: number): EntitySummary | null {
    this.#looks++;
    return this.#index.indexOf(this.#index.segments[position]).entity(this.#name);
  }

  /** Whether so much was looked at that whoever may rest is asked. */
  #isStep(): boolean {
    if (this.#looks < LOOKS_PER_STEP) return false;
    this.#looks = 0;
    return true;
  }

  #hasSome({ firstSequence, nextSequence }: SegmentEntry, { rows, firstClock, lastClock }: EntitySummary): boolean {
    const { from, bound } = this.#range;
    return rows > 0 && firstSequence < bound && nextSequence > from && firstClock <= this.#clockTo && lastClock >= this.#clockFrom;
  }

  #assertBackward(position: number, { previousSequence, local }: EntitySummary, sequence: number): void {
    if (previousSequence < sequence) return;
    const index = this.#index.indexOf(this.#index.segments[position]);
    assert(index instanceof SealedSegmentIndex, `the index of ${this.#name} leads backwards from ${sequence}`);
    throw index.badEntity(local, "an entity's entry that leads to a later event");
  }
}
