/**
 * Finds the rows that a query names, segment by segment, through their indexes and without touching a frame. What it yields are candidates:
 * where a filter names a correlation or causation, only the frame can confirm them (`confirms`).
 *
 * Synchronous and in bounded steps, so that the caller decides when to rest: appending finishes its conditions with it, reading awaits
 * between steps.
 */
import { sameBytes } from "../base/hex.ts";
import { isStoreError, type StoreError } from "../base/store-error.ts";
import { categoryOf } from "../events/kind.ts";
import type { FrameFormat } from "../format/frame-format.ts";
import { type EntityHop, type EntityHops, hopsBackward, hopsForward, LOOKS_PER_STEP } from "../index/entity-walk.ts";
import type { RowCursor, RowFilter } from "../index/segment-index.ts";
import { type LostEvents, lostEventsError } from "../index/lost-events.ts";
import type { SegmentEntry, StoreIndex } from "../index/store-index.ts";
import { UnionCursor } from "../index/union-cursor.ts";
import { asksPrefix, entitiesAsked, mergedFilters, withEntities } from "./merged-filters.ts";

/** A filter with its ids in full. */
export interface SearchFilter extends RowFilter {
  correlationId?: Uint8Array;
  causationId?: Uint8Array;
}

export interface SearchBounds {
  /** First sequence looked at. */
  readonly from: number;
  /** First sequence not looked at any more. */
  readonly to: number;
  readonly direction: "forward" | "backward";
}

/** Of so many entities it is looked up where they have events; of more in each segment. */
const ENTITIES_MAX = 2048;
/** The same of entities found by a prefix: there is another way to find the rows of these. */
const FOUND_ENTITIES_MAX = 64;
/** Among so few segments a look at each costs no more than looking up which of them have events. */
const FEW_SEGMENTS = 2;
/** Where they have events in so many segments in a row, or were looked up so often, they are not any further: each look costs as much as one for its rows. */
const DENSE_SEGMENTS = 4;
const HOPS_MAX = 4096;

/** What whoever may rest does before he begins a search, so that entities are found by prefixes: steps of a fraction of a millisecond. Null: nothing. */
export function stepsBefore(index: StoreIndex, filters: readonly SearchFilter[]): Iterator<undefined, void, undefined> | null {
  return index.entityOrder.isDue && filters.some(asksPrefix) ? index.entityOrder.help() : null;
}

export class RowSearch {
  /** The segment of the rows that `next` gave last. */
  segment: SegmentEntry | null = null;
  /** Whether rows are candidates only. */
  readonly needsFrames: boolean;
  readonly #index: StoreIndex;
  readonly #filters: readonly SearchFilter[];
  /** What rows are looked for by. */
  readonly #merged: readonly RowFilter[];
  readonly #bounds: SearchBounds;
  readonly #segments: SegmentSteps;
  /** The next of them, where it has been looked for already. */
  #ahead: SegmentEntry | null = null;
  /** What the search could not pass, and what `next` threw for it: events that damage took, and that may be among those that are looked for. */
  missed: { readonly events: LostEvents; readonly error: StoreError<"CORRUPT"> } | null = null;
  #cursor: RowCursor | null = null;
  /** What the cursor ends before. */
  #lost: LostEvents | null = null;

  constructor(index: StoreIndex, filters: readonly SearchFilter[], bounds: SearchBounds) {
    this.#index = index;
    this.#filters = filters;
    const merged = mergedFilters(filters.map((filter) => behindWhatItNames(index, filter, bounds.to)));
    this.#merged = bounds.from < bounds.to ? withEntities(merged, index, ENTITIES_MAX) : merged;
    this.#bounds = bounds;
    this.needsFrames = filters.some((filter) => filter.correlationId !== undefined || filter.causationId !== undefined);
    this.#segments = segmentsToVisit(index, this.#merged, bounds);
  }

  /**
   * Fills `out` with rows of `this.segment`: 0 is the end, -1 means that a step's work is done and nothing was found yet. Throws `CORRUPT` where it
   * comes to events that are lost.
   */
  next(out: Uint32Array): number {
    const cursor = this.#cursorHere();
    return typeof cursor === "number" ? cursor : cursor.next(out) || this.#pass();
  }

  /** As `next`, for whoever needs only their number: it may be more than fit into `scratch`, which holds anything afterwards. */
  count(scratch: Uint32Array): number {
    const cursor = this.#cursorHere();
    return typeof cursor === "number" ? cursor : cursor.count(scratch) || this.#pass();
  }

  /** The cursor of the segment that the search has come to; 0 at the end, -1 where a step's work is done before it has come to one. */
  #cursorHere(): RowCursor | 0 | -1 {
    if (this.#cursor !== null) return this.#cursor;
    const segment = this.#ahead ?? this.#nextSegment();
    if (typeof segment === "number") return segment;
    this.#ahead = null;
    this.segment = segment;
    this.#cursor = this.#openCursor(segment);
    return this.#cursor;
  }

  #nextSegment(): SegmentEntry | 0 | -1 {
    const { value, done } = this.#segments.next();
    return done === true ? 0 : (value ?? -1);
  }

  /** Leaves a segment that has no more rows. */
  #pass(): number {
    if (this.#lost !== null) {
      this.missed = { events: this.#lost, error: lostEventsError((this.segment as SegmentEntry).id, this.#lost) };
      throw this.missed.error;
    }
    this.#cursor = null;
    const segment = this.#nextSegment();
    this.#ahead = typeof segment === "number" ? null : segment;
    return segment === 0 ? 0 : -1;
  }

  #openCursor(segment: SegmentEntry): RowCursor {
    const index = this.#index.indexOf(segment);
    const { from, to, direction } = this.#bounds;
    let fromRow = from <= segment.firstSequence ? 0 : index.rowAtSequence(from);
    let toRow = this.#index.rowsBefore(segment, to);
    this.#lost = this.#lostIn(segment);
    if (this.#lost !== null) {
      if (direction === "forward") toRow = Math.min(toRow, index.rowAtSequence(this.#lost.from));
      else fromRow = Math.max(fromRow, index.rowAtSequence(this.#lost.to));
    }
    const open = (filter: number): RowCursor => index.cursor(this.#merged[filter], fromRow, toRow, direction);
    return this.#merged.length === 1 ? open(0) : new UnionCursor(this.#merged.length, open, direction);
  }

  /** The first that the search comes to. */
  #lostIn({ lost }: SegmentEntry): LostEvents | null {
    if (lost === undefined) return null;
    const { from, to, direction } = this.#bounds;
    const first = Math.max(from, minimumSequence(this.#filters));
    const last = Math.min(to - 1, maximumSequence(this.#filters));
    const inRange = lost.filter((events) => events.from <= last && events.to > first);
    return (direction === "forward" ? inRange[0] : inRange.at(-1)) ?? null;
  }

  /** Whether the event whose frame this is matches, for rows that are candidates only. */
  confirms(format: FrameFormat, bytes: Uint8Array, view: DataView, at: number, sequence: number): boolean {
    return this.#filters.some((filter) => frameMatches(filter, format, bytes, view, at, sequence));
  }
}

/** The filter, from the event on that it names as cause or correlation, if the writer issued its id: no event before it names it. */
function behindWhatItNames(index: StoreIndex, filter: SearchFilter, bound: number): SearchFilter {
  const named = filter.causationId ?? filter.correlationId;
  if (named === undefined) return filter;
  try {
    const sequenceFrom = index.issuedAt(named, bound);
    return sequenceFrom > (filter.sequenceFrom ?? 0) ? { ...filter, sequenceFrom } : filter;
  } catch (error) {
    // The event itself is damaged: those that it caused may be whole.
    if (isStoreError(error, "CORRUPT")) return filter;
    throw error;
  }
}

/** The segments that a search visits, in order; null where a step's work is done before the next is found. */
type SegmentSteps = Iterator<SegmentEntry | null, void, undefined>;

function* segmentsToVisit(
  index: StoreIndex,
  filters: readonly RowFilter[],
  bounds: SearchBounds,
): Generator<SegmentEntry | null, void, undefined> {
  const { from, to, direction } = bounds;
  if (filters.length === 0 || from >= to) return;
  const first = Math.max(0, index.segmentAt(Math.max(from, minimumSequence(filters))));
  const last = index.segmentAt(Math.min(to - 1, maximumSequence(filters)));
  const isForward = direction === "forward";
  let position = isForward ? first : last;
  if (areWalked(index, filters, last - first + 1)) position = yield* segmentsOfSome(index, filters, bounds);
  for (; first <= position && position <= last; position += isForward ? 1 : -1) {
    const segment = index.segments[position];
    if (segment.firstSequence < to && segment.nextSequence > from) yield segment;
  }
}

/** Whether it is worth while to look up where the entities have events: others are not asked for, they are not many, and the segments are not few. */
function areWalked(index: StoreIndex, filters: readonly RowFilter[], segments: number): boolean {
  let entities = 0;
  let foundEntities = 0;
  for (const filter of filters) {
    entities += entitiesAsked(filter)?.length ?? Number.POSITIVE_INFINITY;
    foundEntities += filter.entities?.length ?? 0;
  }
  if (entities > ENTITIES_MAX || foundEntities > FOUND_ENTITIES_MAX || index.hasLost) return false;
  return segments > FEW_SEGMENTS || !filters.some((filter) => entitiesAsked(filter)?.some((entity) => index.entities.find(entity) >= 0));
}

function walk(index: StoreIndex, filter: RowFilter, entity: string, bounds: SearchBounds): EntityHops {
  const { sequenceFrom = 0, sequenceTo = Number.MAX_SAFE_INTEGER, clockFrom, clockTo } = filter;
  const range = { from: Math.max(bounds.from, sequenceFrom), bound: Math.min(bounds.to, sequenceTo + 1), clockFrom, clockTo };
  return bounds.direction === "forward" ? hopsForward(index, entity, range) : hopsBackward(index, entity, range);
}

/**
 * The segments in which some of the entities have events, each looked for when the search comes to it: who wants the first or the newest events looks at few
 * of however many. Gives the position from which on none is looked for any more: -1 where all are found, else, of several entities, the one behind a few
 * segments in a row, since what is everywhere need not be looked for.
 */
function* segmentsOfSome(
  index: StoreIndex,
  filters: readonly RowFilter[],
  bounds: SearchBounds,
): Generator<SegmentEntry | null, number, undefined> {
  const sign = bounds.direction === "forward" ? 1 : -1;
  let walks = filters.flatMap((filter) =>
    (entitiesAsked(filter) ?? []).map((entity) => ({ hops: walk(index, filter, entity, bounds), at: -1 })),
  );
  let due = walks;
  let looks = 0;
  let before = -1;
  let inARow = 0;
  for (;;) {
    for (const one of due) {
      let next = one.hops.next();
      while (next.done !== true && next.value === null) {
        yield null;
        next = one.hops.next();
      }
      one.at = next.done === true ? -1 : (next.value as EntityHop).position;
      if (++looks % LOOKS_PER_STEP === 0) yield null;
    }
    walks = walks.filter(({ at }) => at >= 0);
    if (walks.length === 0) return -1;
    const nearest = walks.reduce((least, { at }) => (at * sign < least * sign ? at : least), walks[0].at);
    yield index.segments[nearest];
    inARow = nearest === before + sign ? inARow + 1 : 1;
    if (walks.length > 1 && (inARow >= DENSE_SEGMENTS || looks > HOPS_MAX)) return nearest + sign;
    before = nearest;
    due = walks.filter(({ at }) => at === nearest);
  }
}

// Not `Math.min(...)`: a query may have more filters than a call can have arguments.

function minimumSequence(filters: readonly SearchFilter[]): number {
  return filters.reduce((least, { sequenceFrom = 0 }) => Math.min(least, sequenceFrom), Number.POSITIVE_INFINITY);
}

function maximumSequence(filters: readonly SearchFilter[]): number {
  return filters.reduce((most, { sequenceTo = Number.MAX_SAFE_INTEGER }) => Math.max(most, sequenceTo), Number.NEGATIVE_INFINITY);
}

function frameMatches(filter: SearchFilter, format: FrameFormat, bytes: Uint8Array, view: DataView, at: number, sequence: number): boolean {
  if (filter.correlationId !== undefined && !sameBytes(bytes, format.correlationAt(view, at), filter.correlationId, 0, 16)) return false;
  if (filter.causationId !== undefined) {
    const causation = format.causationAt(view, at);
    if (causation < 0 || !sameBytes(bytes, causation, filter.causationId, 0, 16)) return false;
  }
  const within = (value: number, from: number | undefined, to: number | undefined): boolean =>
    value >= (from ?? Number.NEGATIVE_INFINITY) && value <= (to ?? Number.POSITIVE_INFINITY);
  const entity = filter.entity === undefined && filter.entityPrefix === undefined ? "" : format.entity(bytes, view, at);
  return (
    (filter.entity === undefined || entity === filter.entity) &&
    (filter.entityPrefix === undefined || entity.startsWith(filter.entityPrefix)) &&
    (filter.scope === undefined || format.scope(bytes, view, at) === filter.scope) &&
    (filter.kinds === undefined || filter.kinds.includes(format.kind(view, at))) &&
    (filter.category === undefined || categoryOf(format.kind(view, at)) === filter.category) &&
    within(format.clock(view, at), filter.clockFrom, filter.clockTo) &&
    within(format.timeMicros(view, at), filter.timeFrom, filter.timeTo) &&
    within(sequence, filter.sequenceFrom, filter.sequenceTo)
  );
}
