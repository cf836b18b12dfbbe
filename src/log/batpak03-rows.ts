/**
 * Puts the events of a batpak 0.3 log into the index, in file order, whichever way they were learnt: from frames, or from the entries of a
 * checkpoint. Batches are put together here, by the frames of their markers, so that every way gives the same events and the same ends of batches.
 *
 * 1. An event of an open batch has no row before its batch is decided; rows come in file order.
 * 2. `fault` tells that claims and frames disagree: something claimed does not count, something counts that is not claimed, or sequences do
 *    not ascend. What was built is then to be thrown away.
 * 3. No object is made per event, apart from those of the largest batch, which are used again.
 */
import { StoreError } from "../base/store-error.ts";
import { BatchTracker } from "../format/batpak03/batch-tracker.ts";
import { type Frame, isBatchMarker } from "../format/batpak03/frame.ts";
import { expandHash, HASH_INTEGERS_BYTES_MAX } from "../format/batpak03/hash-array.ts";
import { HASH_BYTES } from "../format/batpak03/layout.ts";
import { ActiveSegmentIndex } from "../index/active-segment-index.ts";
import { idTag } from "../index/id-tag.ts";
import { OFFSET_ENDS_BATCH, OFFSET_FOREIGN_ID, OFFSET_MASK } from "../index/segment-index.ts";
import type { SegmentEntry, StoreIndex } from "../index/store-index.ts";
import { newSegmentEntry } from "./segment-entry.ts";

/** Sequences past this leave no room to count on. */
export const SEQUENCE_MAX: number = 2 ** 52;

const NO_HASH = new Uint8Array(HASH_BYTES);

/** An event on its way into the index. */
export interface Batpak03Row {
  entityId: number;
  scopeId: number;
  kind: number;
  clock: number;
  offset: number;
  wallMs: number;
  idTag: number;
  correlationTag: number;
  /** 0: no causation. */
  causationTag: number;
  /** -1: the next one. */
  sequence: number;
  /** `claimed`: an entry says that it counts; `unclaimed`: entries are all there, and none names it; `free`: nothing is claimed here. */
  claim: "claimed" | "unclaimed" | "free";
  /** Where its hash stands, as `expandHash` takes it; at -1: it has none. */
  hashIn: Uint8Array;
  hashAt: number;
  /** Position of its segment in the index. */
  slot: number;
}

export class Batpak03Rows {
  readonly index: StoreIndex;
  /** The row that `event` takes. */
  readonly row: Batpak03Row = emptyRow();
  fault: string | null = null;
  /** Whether frames were lost on the way: what is claimed may be dropped with the rest of its batch. */
  damaged = false;
  /** Events that count, so far, and those of them that were claimed. */
  events = 0;
  claimedEvents = 0;
  dropped = 0;
  /** Events without a sequence of their own are numbered from here on at the least: the checkpoint's allocator, past its watermark. */
  nextAtLeast = 0;
  /** Behind the last segment: a next one with a footer would be taken for the rest of a batch, and be dropped with it. */
  carriesBatch = false;
  /** Behind the last segment: what is written next may make an open batch whole, of which nothing is shown. */
  mayGoOn = false;
  /** Where and why the first event was dropped. */
  firstDrop = "";
  readonly #tracker: BatchTracker;
  readonly #held: Batpak03Row[] = [];
  #heldCount = 0;
  #decided = 0;
  /** Per segment, in order. */
  readonly #slots: { readonly id: number; framesEnd: number; sealed: boolean; readonly rows: number }[] = [];
  #entry: SegmentEntry | null = null;
  #entrySlot = -1;

  /** Rows are added to `index`; its segments, if it has any, go on with the last one. */
  constructor(index: StoreIndex) {
    this.index = index;
    for (const { id, framesEnd, sealed } of index.segments) this.#slots.push({ id, framesEnd, sealed, rows: 0 });
    this.#tracker = new BatchTracker({
      accept: (handle, endsCommit) => this.#accept(this.#held[handle], endsCommit),
      drop: (handle, reason) => this.#drop(this.#held[handle], reason),
    });
  }

  /** Whether no batch is open. */
  get idle(): boolean {
    return this.#tracker.idle;
  }

  /** @param rows how many are expected: room is made for them at once */
  beginSegment(id: number, rows = 0): void {
    this.#slots.push({ id, framesEnd: 0, sealed: false, rows });
  }

  /** The segment that was begun is no rest of a batch, unless it ends one. */
  doubtBatch(): void {
    this.#tracker.doubt();
  }

  endSegment(framesEnd: number, sealed: boolean): void {
    this.moveEnd(framesEnd);
    this.#slots[this.#slots.length - 1].sealed = sealed;
    this.#tracker.endSegment(sealed);
    // A segment that never began is removed by the next writer, and then proves nothing any more.
    this.carriesBatch = this.#tracker.carriesBatch || (this.carriesBatch && framesEnd === 0);
    this.mayGoOn = this.#tracker.mayGoOn;
    this.#forgetDecided();
  }

  /** The frames of the segment end here, for now: whoever reads its last event meanwhile looks no further. */
  moveEnd(framesEnd: number): void {
    const slot = this.#slots.length - 1;
    this.#slots[slot].framesEnd = framesEnd;
    const entry = this.index.segments[slot];
    if (entry !== undefined) entry.framesEnd = framesEnd;
  }

  /** Frames were lost here. */
  damage(): void {
    this.damaged = true;
    this.#tracker.damage();
  }

  /** A whole frame, of an event or of a batch's marker. */
  frame(frame: Frame, offset: number, sequence: number, claim: Batpak03Row["claim"]): void {
    if (isBatchMarker(frame)) {
      this.#tracker.push(frame, -1);
      this.#forgetDecided();
      return;
    }
    const { row, index } = this;
    const { bytes, view } = frame;
    row.entityId = index.entities.internBytes(bytes, frame.entityAt, frame.entityAt + frame.entityLength);
    row.scopeId = index.scopes.internBytes(bytes, frame.scopeAt, frame.scopeAt + frame.scopeLength);
    row.kind = frame.eventKind;
    row.clock = frame.clock;
    row.offset = offset;
    row.wallMs = frame.wallMs;
    row.idTag = idTag(view, frame.eventIdAt);
    row.correlationTag = idTag(view, frame.correlationIdAt);
    row.causationTag = frame.causationIdAt < 0 ? 0 : idTag(view, frame.causationIdAt);
    row.sequence = sequence;
    row.claim = claim;
    row.hashIn = bytes;
    row.hashAt = frame.eventHashAt;
    this.event(frame.timestampUs);
  }

  /** The event in `row` comes next. */
  event(timestampUs: number | bigint | null = null): void {
    const { row } = this;
    row.slot = this.#slots.length - 1;
    if (this.#tracker.idle) return this.#accept(row, true);
    let held = this.#held[this.#heldCount];
    if (held === undefined) this.#held.push((held = emptyRow()));
    copyRow(row, held);
    this.#tracker.event(this.#heldCount++, timestampUs);
    this.#forgetDecided();
  }

  #forgetDecided(): void {
    if (this.#decided === this.#heldCount) this.#heldCount = this.#decided = 0;
  }

  #drop(row: Batpak03Row, reason: string): void {
    this.#decided++;
    if (this.dropped++ === 0) this.firstDrop = `segment ${this.#slots[row.slot].id}, offset ${row.offset}: ${reason}`;
    if (row.claim === "claimed" && !this.damaged)
      this.fault ??= `an entry names segment ${this.#slots[row.slot].id}, offset ${row.offset}, where ${reason}`;
  }

  #accept(row: Batpak03Row, endsBatch: boolean): void {
    if (row !== this.row) this.#decided++;
    if (this.fault !== null) return;
    const { index } = this;
    const { entityId, slot } = row;
    const sequence = row.sequence < 0 ? Math.max(index.acceptedSequence, this.nextAtLeast) : row.sequence;
    if (row.claim !== "free") this.#checkClaim(row, sequence);
    if (row.offset > OFFSET_MASK) throw tooLong(this.#slots[slot].id);
    if (slot !== this.#entrySlot) this.#enterSlots(slot);
    const entry = this.#entry as SegmentEntry;
    const { heads } = index;
    heads.ensure(entityId);
    this.#noteScope(row.scopeId, sequence);
    const timeMicros = row.wallMs * 1000;
    (entry.index as ActiveSegmentIndex).pushValues(
      entityId,
      row.scopeId,
      row.kind,
      row.clock,
      (row.offset | (endsBatch ? OFFSET_ENDS_BATCH : 0) | OFFSET_FOREIGN_ID) >>> 0,
      timeMicros,
      row.idTag,
      row.correlationTag,
      row.causationTag,
      sequence,
      heads.sequence(entityId),
    );
    heads.accept(entityId, row.clock, sequence, timeMicros);
    if (row.hashAt >= 0) expandHash(row.hashIn, row.hashAt, heads.bytesToWrite(entityId), heads.hashPlace(entityId));
    else heads.setHashBytes(entityId, NO_HASH);
    heads.setVisible(entityId, sequence);
    index.newest?.note(entityId, row.scopeId, row.kind, sequence);
    if (index.newest?.awaitsLinks === true) index.newest.noteLinks(row.correlationTag, row.causationTag);
    entry.frames++;
    entry.visibleFrames++;
    entry.nextSequence = sequence + 1;
    this.events++;
    index.visibleEvents++;
    index.acceptedSequence = sequence + 1;
    if (timeMicros > index.lastTimeMicros) index.lastTimeMicros = timeMicros;
  }

  #checkClaim(row: Batpak03Row, sequence: number): void {
    if (row.claim === "claimed") this.claimedEvents++;
    else this.fault = `no entry names the event at segment ${this.#slots[row.slot].id}, offset ${row.offset}`;
    if (sequence < this.index.acceptedSequence || sequence >= SEQUENCE_MAX)
      this.fault = `sequence ${sequence} comes after ${this.index.acceptedSequence - 1}`;
  }

  #noteScope(scopeId: number, sequence: number): void {
    const first = this.index.scopeFirstSequence;
    if (scopeId >= first.length || first[scopeId] > sequence) {
      while (first.length < scopeId) first.push(Number.POSITIVE_INFINITY);
      first[scopeId] = sequence;
    }
  }

  /** Makes the index's entries of the segments up to this one: each begins with the next sequence. */
  #enterSlots(slot: number): void {
    const { segments } = this.index;
    while (segments.length <= slot) {
      const { id, framesEnd, sealed, rows } = this.#slots[segments.length];
      const entry = newSegmentEntry(this.index, id, 0);
      const { entities, scopes } = this.index;
      if (rows > 0) entry.index = new ActiveSegmentIndex(entities, scopes, entry.firstSequence, rows);
      segments.push(Object.assign(entry, { framesEnd, sealed }));
    }
    this.#entrySlot = slot;
    this.#entry = segments[slot];
  }

  /** The log is over. */
  finish(): void {
    this.#tracker.end();
    this.#heldCount = this.#decided = this.#held.length = 0;
    this.settle();
  }

  /** Tells the index of every segment where its frames end. */
  settle(): void {
    this.#enterSlots(this.#slots.length - 1);
    const { segments, visible } = this.index;
    for (let slot = 0; slot < segments.length; slot++) {
      segments[slot].framesEnd = this.#slots[slot].framesEnd;
      segments[slot].sealed = this.#slots[slot].sealed;
    }
    const newest = this.index.active;
    visible.segmentId = newest?.id ?? 0;
    visible.offset = newest?.framesEnd ?? 0;
    visible.sequence = this.index.acceptedSequence;
  }
}

function copyRow(from: Batpak03Row, to: Batpak03Row): void {
  to.entityId = from.entityId;
  to.scopeId = from.scopeId;
  to.kind = from.kind;
  to.clock = from.clock;
  to.offset = from.offset;
  to.wallMs = from.wallMs;
  to.idTag = from.idTag;
  to.correlationTag = from.correlationTag;
  to.causationTag = from.causationTag;
  to.sequence = from.sequence;
  to.claim = from.claim;
  to.slot = from.slot;
  to.hashAt = Math.min(0, from.hashAt);
  if (from.hashAt >= 0) to.hashIn.set(from.hashIn.subarray(from.hashAt, from.hashAt + HASH_INTEGERS_BYTES_MAX));
}

function emptyRow(): Batpak03Row {
  return {
    entityId: 0,
    scopeId: 0,
    kind: 0,
    clock: 0,
    offset: 0,
    wallMs: 0,
    idTag: 0,
    correlationTag: 0,
    causationTag: 0,
    sequence: -1,
    claim: "free",
    hashIn: new Uint8Array(HASH_INTEGERS_BYTES_MAX),
    hashAt: -1,
    slot: 0,
  };
}

function tooLong(segmentId: number): StoreError<"UNSUPPORTED_BY_LAYOUT"> {
  return new StoreError(
    "UNSUPPORTED_BY_LAYOUT",
    `Cannot open the store: segment ${segmentId} is longer than ${OFFSET_MASK + 1} bytes, shorter ones are allowed`,
    { layout: "batpak-0.3", feature: "segments past 1 GiB" },
  );
}
