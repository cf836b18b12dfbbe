/**
 * The index of the whole store: names, heads, and the segments with their own indexes, newest last.
 *
 * Invariants:
 * 1. `segments` ascends by id and by sequence; only the last one grows.
 * 2. `visible` never runs ahead of `accepted`. Rows from `visible.sequence` on are accepted only: no reader may see them.
 * 3. A sealed segment's index is loaded when it is first asked and holds its pages under the page cache; nothing here costs memory per event
 *    but the rows of segments that have no index block yet.
 */
import { assert } from "../base/assert.ts";
import type { RemovedRow } from "../format/native/retention.ts";
import { ForeignIds } from "./foreign-ids.ts";
import { Heads } from "./heads.ts";
import { idTag, idTag2, viewOfId } from "./id-tag.ts";
import { Interner } from "./interner.ts";
import { type LostEvents, lostEventsError } from "./lost-events.ts";
import { NameOrder } from "./name-order.ts";
import { NewestEvents } from "./newest-events.ts";
import { RecentRows } from "./recent-rows.ts";
import { IndexPageError, SealedSegmentIndex } from "./sealed-segment-index.ts";
import { OFFSET_FOREIGN_ID, type SegmentIndex } from "./segment-index.ts";

export interface SegmentEntry {
  readonly id: number;
  readonly firstSequence: number;
  /** The sequence after that of its last accepted event. */
  nextSequence: number;
  readonly generation: number;
  /** Whether its seal frame is written: nothing is appended to it any more. */
  sealed: boolean;
  /** The offset after its last accepted frame, seal included. */
  framesEnd: number;
  /** Number of accepted frames, system records included, the seal not. */
  frames: number;
  /** The same of the visible ones. */
  visibleFrames: number;
  /** The newest id that the writer had issued when the segment ended: 16 bytes. */
  lastIssuedId: Uint8Array;
  /** Null until it is first needed. */
  index: SegmentIndex | null;
  /** Whether the index is an index block on disk, or rows in memory. */
  indexOnDisk: boolean;
  /** Whether a block that is there was found bad, and the index made anew from the frames. */
  blockIsBad?: boolean;
  /** Events that its index lacks, since damage took the index block as well; not there where it has all. */
  lost?: readonly LostEvents[];
  /** System records of this segment: whole frames. */
  systemFrames: Uint8Array[];
}

/** A position in the log: the end of what is accepted, visible or synced. */
export interface LogPosition {
  segmentId: number;
  offset: number;
  /** The next event's sequence. */
  sequence: number;
}

export interface RowPlace {
  readonly segment: SegmentEntry;
  readonly row: number;
}

export interface FoundRow extends RowPlace {
  /** Where the row's frame begins in the segment. */
  readonly offset: number;
}

/** What the index needs of the log: it never reads files itself. */
export interface IndexSource {
  /** Loads the index of a segment that has none in memory. */
  loadIndex(segment: SegmentEntry): SegmentIndex;
  /** Reads the rows of a segment whose index block is bad from its frames. Blocks for as long as that takes. */
  rebuildIndex(segment: SegmentEntry): SegmentIndex;
  /** Whether the event whose frame stands there, `bytesMax` long at the most, has this id. */
  hasId(segment: SegmentEntry, offset: number, id: Uint8Array, bytesMax: number): boolean;
  /** The batch, removed by compaction from where this segment stands, that has the event with this id; null when there is none. */
  removedBatch?(segment: SegmentEntry, id: Uint8Array): readonly RemovedRow[] | null;
}

const UUID_VERSION_BYTE = 6;
const ISSUED_VERSION = 7;

const SCOPE_GUESSES = 256;
/** Segments looked at in a step: their pages may have to be read. */
const SEGMENTS_PER_STEP = 64;

export class StoreIndex {
  /** By how a scope ends: the id of one that ends so, and one. */
  readonly #scopeGuesses = new Uint32Array(SCOPE_GUESSES);
  readonly entities: Interner;
  readonly entityOrder: NameOrder;
  readonly scopes: Interner;
  readonly scopeOrder: NameOrder;
  /** Sequence of the first event in each scope, by scope id. */
  readonly scopeFirstSequence: number[] = [];
  readonly heads: Heads;
  readonly segments: SegmentEntry[] = [];
  readonly visible: LogPosition = { segmentId: 0, offset: 0, sequence: 0 };
  /** The next accepted event's sequence. */
  acceptedSequence = 0;
  /** Time of the newest accepted event. */
  lastTimeMicros = 0;
  /** Events that are visible: less than the sequence where numbers were skipped or events removed. */
  visibleEvents = 0;
  /** Another one once what was found before leads nowhere any more: rows, places and pages of segments that were replaced, rows behind lost ones. */
  revision = Symbol("index");
  /** Of what became visible since somebody first waited for events of his; null before. */
  newest: NewestEvents | null = null;
  readonly #source: IndexSource;
  readonly #recent = new RecentRows();
  readonly #foreignIds = new ForeignIds();

  constructor(source: IndexSource, entities = new Interner(), scopes = new Interner(), heads = new Heads()) {
    this.#source = source;
    this.entities = entities;
    this.entityOrder = new NameOrder(entities);
    this.scopes = scopes;
    this.scopeOrder = new NameOrder(scopes);
    this.heads = heads;
  }

  /** From here on it is noted what becomes visible in which scope, and of which kind. */
  noteNewest(): NewestEvents {
    this.newest ??= new NewestEvents(this);
    return this.newest;
  }

  /** The newest segment; undefined in a store without any. */
  get active(): SegmentEntry | undefined {
    return this.segments[this.segments.length - 1];
  }

  /** The segment's index, loaded if need be. */
  indexOf(segment: SegmentEntry): SegmentIndex {
    if (segment.index === null) {
      segment.index = this.#source.loadIndex(segment);
      this.#foreignIds.isStale = true;
    }
    return segment.index;
  }

  /**
   * Runs `look`, and again where it met a bad page of an index block, after that segment's index was rebuilt from its frames: an index block
   * is never the truth. `look` must be free of side effects until it returns.
   */
  withSoundIndex<Result>(look: () => Result): Result {
    for (let rebuilt = 0; ; rebuilt++) {
      try {
        return look();
      } catch (error) {
        if (!(error instanceof IndexPageError) || rebuilt > this.segments.length) throw error;
        this.rebuildIndex(error.segmentId);
      }
    }
  }

  /** Replaces a segment's index by one made of its frames, after those of earlier segments that this leads to and that are bad as well. */
  rebuildIndex(segmentId: number): void {
    this.withSoundIndex(() => this.#rebuild(segmentId));
  }

  #rebuild(segmentId: number): void {
    const segment = this.segmentWithId(segmentId);
    assert(segment !== undefined, `segment ${segmentId} is in the index`);
    if (segment.index instanceof SealedSegmentIndex) segment.index.release();
    this.#foreignIds.isStale = true;
    segment.index = this.#source.rebuildIndex(segment);
    if (segment.lost === undefined || segment.lost.length === 0) return;
    // Behind what was lost each event is in another row than it was.
    this.revision = Symbol("index");
    this.#recent.forget();
  }

  /**
   * Puts a merged segment in the place of those that it replaces, `removedEvents` of which it lacks. All at once: nobody ever sees both, or
   * neither. Whoever holds rows or cursors of before compares `revision`.
   */
  replaceSegments(replaced: readonly SegmentEntry[], merged: SegmentEntry, removedEvents: number): void {
    const position = this.segments.indexOf(replaced[0]);
    assert(
      position >= 0 && replaced.every((segment, i) => segment.sealed && this.segments[position + i] === segment),
      "sealed segments that follow on each other are replaced",
    );
    assert(position + replaced.length < this.segments.length, "the newest segment is never replaced");
    this.segments.splice(position, replaced.length, merged);
    this.visibleEvents -= removedEvents;
    this.revision = Symbol("index");
  }

  /**
   * Takes the scope out of those that have events, unless a segment still holds one of it. In steps, since there may be any number of segments; between
   * two of them none is replaced. What is left of a scope mostly lies in the segment `near`, or behind it.
   */
  *dropEmptyScope(name: string, near: SegmentEntry): Generator<void, void> {
    const { segments } = this;
    const from = segments.indexOf(near);
    let looks = 0;
    const isIn = (segment: SegmentEntry): boolean => this.withSoundIndex(() => this.indexOf(segment).findScope(name) >= 0);
    // Each step begins with the pause: no event comes between the look at the newest segment and what follows from it.
    let newest = from;
    for (let position = from; position < segments.length; position++) {
      if (looks++ % SEGMENTS_PER_STEP === 0) yield;
      newest = position;
      if (isIn(segments[position])) return;
    }
    for (let position = from - 1; position >= 0; position--) {
      if (looks++ % SEGMENTS_PER_STEP === 0) yield;
      if (isIn(segments[position])) return;
    }
    for (; newest < segments.length; newest++) if (isIn(segments[newest])) return;
    const id = this.scopes.find(name);
    // The next event of it is the first one again.
    if (id >= 0) this.scopeFirstSequence[id] = Number.POSITIVE_INFINITY;
  }

  /** The id of a scope; its first event's sequence is kept for `scopes()`. */
  internScope(name: string, sequence: number): number {
    return this.#noteScope(this.scopes.intern(name), sequence);
  }

  /** The same for a name as UTF-8 bytes. */
  internScopeBytes(source: Uint8Array, start: number, end: number, sequence: number): number {
    // Scopes are few, and mostly told apart by how they end: of names of one length no two that end in digits share a slot for these.
    const slot = (source[end - 1] ^ (source[end - 2] << 4) ^ ((end - start) * 67)) & (SCOPE_GUESSES - 1);
    const guess = this.#scopeGuesses[slot] - 1;
    if (guess >= 0 && this.scopeFirstSequence[guess] <= sequence && this.scopes.isName(guess, source, start, end)) return guess;
    const id = this.#noteScope(this.scopes.internBytes(source, start, end), sequence);
    this.#scopeGuesses[slot] = id + 1;
    return id;
  }

  #noteScope(id: number, sequence: number): number {
    if (id >= this.scopeFirstSequence.length || this.scopeFirstSequence[id] > sequence) this.scopeFirstSequence[id] = sequence;
    return id;
  }

  /** The position in `segments` of the segment that holds the sequence, or would; -1 before all of them. */
  segmentAt(sequence: number): number {
    let low = 0;
    let high = this.segments.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.segments[middle].firstSequence <= sequence) low = middle + 1;
      else high = middle;
    }
    // Segments without events share their first sequence with the next one: the last of them is found.
    return low - 1;
  }

  segmentWithId(id: number): SegmentEntry | undefined {
    return this.segments[this.#positionOf(id)];
  }

  /** The position in `segments` of the segment with this id; -1 when there is none. */
  #positionOf(id: number): number {
    let low = 0;
    let high = this.segments.length - 1;
    while (low <= high) {
      const middle = (low + high) >>> 1;
      const segment = this.segments[middle];
      if (segment.id === id) return middle;
      if (segment.id < id) low = middle + 1;
      else high = middle - 1;
    }
    return -1;
  }

  /** Number of the segment's rows whose sequence is before `sequenceBound`. */
  rowsBefore(segment: SegmentEntry, sequenceBound: number): number {
    if (segment.firstSequence >= sequenceBound) return 0;
    const index = this.indexOf(segment);
    return segment.nextSequence <= sequenceBound ? index.rowCount : index.rowAtSequence(sequenceBound);
  }

  /** The row of the event with this sequence, visible or not; null when there is none. */
  findBySequence(sequence: number): RowPlace | null {
    const segment = this.segments[this.segmentAt(sequence)];
    if (segment === undefined) return null;
    const index = this.indexOf(segment);
    const row = index.rowAtSequence(sequence);
    return row < index.rowCount && index.sequenceAt(row) === sequence ? { segment, row } : null;
  }

  /** The row of the event with this id among those before `sequenceBound`; null when there is none. */
  findById(id: Uint8Array, sequenceBound: number): FoundRow | null {
    const tag = idTag(viewOfId(id), 0);
    const recent = this.#recent.find(tag, this.segments);
    if (recent !== null && this.indexOf(recent.segment).sequenceAt(recent.row) < sequenceBound) {
      if (this.#source.hasId(recent.segment, recent.offset, id, recent.bytesMax)) return recent;
    }
    const likely = id[UUID_VERSION_BYTE] >>> 4 === ISSUED_VERSION ? this.#segmentOfIssuedId(id) : -1;
    if (likely >= 0) {
      const segment = this.segments[likely];
      const found = this.#findIn(segment, tag, id, sequenceBound);
      if (found !== null) return found;
    }
    const tag2 = idTag2(viewOfId(id), 0);
    this.#foreignIds.follow(this.segments, this.revision);
    for (const segment of this.#foreignIds.others) {
      if (segment.nextSequence === segment.firstSequence && segment.index === null) continue;
      const mayHold = this.indexOf(segment).mayHoldForeignId(tag, tag2);
      const found = mayHold ? this.#findIn(segment, tag, id, sequenceBound) : null;
      if (found !== null) return found;
    }
    for (const group of this.#foreignIds.groups) {
      for (const segment of group.mayHold(tag, tag2)) {
        const found = this.#findIn(segment, tag, id, sequenceBound);
        if (found !== null) return found;
      }
    }
    // A segment of which events were lost is among these.
    for (const segment of this.#foreignIds.others) assertNothingLost(segment, sequenceBound);
    return null;
  }

  /**
   * Where the event with this id stands, if the writer issued it: nobody could name it in an event before. -1 where it did not, or no such event is there
   * before `sequenceBound`.
   */
  issuedAt(id: Uint8Array, sequenceBound: number): number {
    const likely = id[UUID_VERSION_BYTE] >>> 4 === ISSUED_VERSION ? this.#segmentOfIssuedId(id) : -1;
    const found = likely < 0 ? null : this.#findIn(this.segments[likely], idTag(viewOfId(id), 0), id, sequenceBound);
    if (found === null) return -1;
    const index = this.indexOf(found.segment);
    return (index.flagsAt(found.row) & OFFSET_FOREIGN_ID) === 0 ? index.sequenceAt(found.row) : -1;
  }

  /** The removed batch with a key that had the event with this id, which the writer did not issue; null when there is none. */
  findRemoved(id: Uint8Array): readonly RemovedRow[] | null {
    this.#foreignIds.follow(this.segments, this.revision);
    for (const segment of this.#foreignIds.compacted) {
      const batch = this.#source.removedBatch?.(segment, id) ?? null;
      if (batch !== null) return batch;
    }
    return null;
  }

  #findIn(segment: SegmentEntry, tag: number, id: Uint8Array, sequenceBound: number): FoundRow | null {
    const index = this.indexOf(segment);
    for (const row of index.rowsByIdTag(tag)) {
      if (index.sequenceAt(row) >= sequenceBound) continue;
      const offset = index.offsetAt(row);
      const bytesMax = frameEnd(segment, index, row) - offset;
      if (!this.#source.hasId(segment, offset, id, bytesMax)) continue;
      const found = { segment, row, offset, bytesMax };
      this.#recent.note(tag, this.#positionOf(segment.id), found);
      return found;
    }
    return null;
  }

  /** Ids that the writer issues ascend, so each segment holds a range of them: the first segment whose last one is not before `id`. */
  #segmentOfIssuedId(id: Uint8Array): number {
    let low = 0;
    let high = this.segments.length - 1;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (isBefore(this.segments[middle].lastIssuedId, id)) low = middle + 1;
      else high = middle;
    }
    return high < 0 ? -1 : low;
  }

  /** Whether damage took events: whose they were, nobody knows. */
  get hasLost(): boolean {
    return this.segments.some(({ lost }) => lost !== undefined && lost.length > 0);
  }

  /** Whether the entity has a visible event. */
  isVisible(entityId: number): boolean {
    return this.heads.visibleSequence(entityId) >= 0;
  }
}

/** What is not found may be among what was lost. */
function assertNothingLost(segment: SegmentEntry, sequenceBound: number): void {
  const lost = segment.lost?.find(({ from }) => from < sequenceBound);
  if (lost !== undefined) throw lostEventsError(segment.id, lost);
}

/** Whether the one id comes before the other, byte by byte: ids of one time differ early, and a call into the runtime costs more. */
function isBefore(one: Uint8Array, other: Uint8Array): boolean {
  for (let i = 0; i < one.length; i++) {
    if (one[i] !== other[i]) return one[i] < other[i];
  }
  return false;
}

/** Where the row's frame ends at the latest. A hint for reading: an index that was forged may say anything. */
export function frameEnd(segment: SegmentEntry, index: SegmentIndex, row: number): number {
  return row + 1 < index.rowCount ? index.offsetAt(row + 1) : segment.framesEnd;
}
