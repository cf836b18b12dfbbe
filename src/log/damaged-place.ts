/**
 * Where a damaged segment stands in the log: the sequences that it begins and ends with, and the range of segments that it stands for. Its header, its
 * seal and its record of what compaction removed tell more than the events that are left. They are believed as far as the neighbours do not
 * contradict them: opening takes a segment that begins before the end of the one before it for damaged.
 */
import { SEGMENT_HEADER, type SegmentHeader } from "../format/native/segment-header.ts";
import type { DamagedSegment } from "./damaged-segment.ts";

/** What a segment that is damaged or missing becomes. */
export interface DamagedPlace {
  readonly id: number;
  readonly isNewest: boolean;
  /** False: an empty segment takes the place of a missing one. */
  readonly isThere: boolean;
  /** The sequences that it begins with, and that follows on it. */
  readonly first: number;
  readonly next: number;
  /** The same, of the segment as it was; null where nothing tells. */
  readonly nextBefore: number | null;
  /** Every sequence before this one was given, as the segment itself tells. */
  readonly given: number;
  readonly isSealed: boolean;
  /** The range that it stands for, where compaction made it; zeros where it did not. */
  readonly replacesFrom: number;
  readonly replacesTo: number;
  /** What of its record of what compaction removed is lost, in words. */
  readonly lost: readonly string[];
}

/** A segment of the log whose file is there. Each leads to those behind it: of very many, none is looked for among all. */
export interface SegmentThere {
  readonly id: number;
  /** The sequence that it begins with; of a damaged one that of its first event, null where it has none. */
  readonly first: number | null;
  /** Null where it is not whole, or not this segment's. */
  readonly header: SegmentHeader | null;
  /** The next one, and the next one whose `first` is known. */
  readonly next: SegmentThere | null;
  readonly nextWithFirst: SegmentThere | null;
}

export interface DamagedPlaceInput {
  readonly there: SegmentThere;
  readonly segment: DamagedSegment;
  /** The sequence that follows on the segments before. */
  readonly due: number;
  /** The newest generation that the log knows. */
  readonly generation: number;
  /** Whether compaction may have made any of its segments: false only where something tells that none was. */
  readonly mayBeCompacted: boolean;
  /** Whether segments came behind it, though none of them is left: the newest is never compacted. */
  readonly hadBehind: boolean;
}

const WITHOUT = "(a retry of removed events with keys or given ids appends them again, and verify takes removed events for lost)";
const ALL = `all of it ${WITHOUT}`;
const ALL_OF_ANY = `all of it, if it had one ${WITHOUT}`;

export function missingPlace(id: number, due: number, mayBeCompacted: boolean): DamagedPlace {
  const lost = mayBeCompacted ? [ALL_OF_ANY] : [];
  return {
    id,
    isNewest: false,
    isThere: false,
    first: due,
    next: due,
    nextBefore: due,
    given: due,
    isSealed: true,
    replacesFrom: 0,
    replacesTo: 0,
    lost,
  };
}

export function damagedPlace(input: DamagedPlaceInput): DamagedPlace {
  const { there, segment, due, generation, mayBeCompacted } = input;
  const { id, header } = there;
  const { events, retention, seal, frames } = segment;
  const bound = behind(input, "nextWithFirst")?.first ?? Number.POSITIVE_INFINITY;
  const told = header?.firstSequence ?? retention?.firstSequence ?? due;
  const first = told >= due && told <= Math.min(bound, events[0] ?? bound) ? told : due;
  const afterEvents = events.reduce((next, sequence) => Math.max(next, sequence + 1), first);
  const sealed = seal !== null && seal.nextSequence >= afterEvents && seal.nextSequence <= bound ? seal.nextSequence : null;
  const nextBefore = sealed ?? (Number.isFinite(bound) ? bound : null);
  const record = retention?.record({ events, first, next: nextBefore, generation });
  const recorded = record !== undefined && record.end <= bound ? record.end : 0;
  const isCompacted = retention !== null || (header?.replacesFrom ?? 0) > 0;
  const isNewest = there.next === null;
  // The newest is never compacted.
  const mayLack =
    isCompacted || (header === null && mayBeCompacted && (!isNewest || input.hadBehind) && frames[0]?.offset !== SEGMENT_HEADER.bytes);
  return {
    id,
    isNewest,
    isThere: true,
    first,
    // In a log that was never compacted a seal that names more than the events before it is damage.
    next: generation === 0 ? afterEvents : Math.max(afterEvents, sealed ?? 0, recorded),
    nextBefore,
    given: Math.max(afterEvents, recorded, sealed ?? 0, segment.nextOfRecords),
    // Only in a sealed segment is the record asked.
    isSealed: !isNewest || seal !== null || isCompacted,
    replacesFrom: isCompacted ? id : 0,
    replacesTo: isCompacted ? replacedTo(input) : 0,
    lost: record?.lost ?? (mayLack ? [isCompacted ? ALL : ALL_OF_ANY] : []),
  };
}

/** The first behind the segment that is in the log. */
function behind(input: DamagedPlaceInput, step: "next" | "nextWithFirst"): SegmentThere | null {
  let other = input.there[step];
  while (other !== null && isReplaced(input, other)) other = other[step];
  return other;
}

/** Whether a segment without its header has replaced this one: then a compaction was cut off before it had removed the file. */
function isReplaced({ there, segment: { retention } }: DamagedPlaceInput, other: SegmentThere): boolean {
  if (there.header !== null || retention === null || other.header === null) return false;
  return other.header.generation < retention.generation && other.header.firstSequence < retention.end;
}

/** The last segment that this one stands for: none that is in the log. Without its header, all that are missing behind it. */
function replacedTo(input: DamagedPlaceInput): number {
  const { id, header } = input.there;
  const next = behind(input, "next");
  if (header === null || header.replacesFrom === 0) return next === null ? lastOf(input.there).id : next.id - 1;
  return next === null ? header.replacesTo : Math.max(id, Math.min(header.replacesTo, next.id - 1));
}

function lastOf(there: SegmentThere): SegmentThere {
  let last = there;
  while (last.next !== null) last = last.next;
  return last;
}
