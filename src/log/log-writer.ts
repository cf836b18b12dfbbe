/**
 * The writer's side of the log: gives groups their place in segments, commits them, makes them visible, and turns to the next segment.
 *
 * Invariants:
 * 1. A group lies in one segment. A segment's first group is placed only after the segment before it has had its last.
 * 2. Events become visible in order, whole groups at a time, after they are as durable as was asked and after the mark says so.
 * 3. A segment is made only after the one before it is sealed and synced whole (`#turnTo`).
 */
import type { Clock } from "../base/clock.ts";
import { FRAME, FRAME_FLAG } from "../format/native/frame-layout.ts";
import { causationAt, correlationAt, frameFlags, segmentSeed } from "../format/native/frame.ts";
import { encodeSeal } from "../format/native/seal.ts";
import { SEGMENT_HEADER } from "../format/native/segment-header.ts";
import { idTag } from "../index/id-tag.ts";
import type { NewestEvents } from "../index/newest-events.ts";
import type { SequenceGate } from "../index/sequence-gate.ts";
import type { SegmentEntry, StoreIndex } from "../index/store-index.ts";
import { CommitQueue } from "./commit-queue.ts";
import type { CommitGroup } from "./commit-group.ts";
import type { FramePlacer } from "./frame-placer.ts";
import type { UnwrittenFrames } from "./frame-source.ts";
import { LogSyncer } from "./log-syncer.ts";
import type { MarkFile } from "./mark-file.ts";
import { addRecordInForce } from "./records-in-force.ts";
import { newSegmentEntry } from "./segment-entry.ts";
import type { SegmentWriter } from "./segment-writer.ts";
import type { FrameSlice } from "./slab.ts";
import { turnTraced, writeTraced } from "./traced-write.ts";

/** What a resolved append means. */
export type Durability =
  | { readonly mode: "fsync" }
  | { readonly mode: "os" }
  | { readonly mode: "interval"; readonly everyMs: number; readonly everyEvents: number };

/** The last frame before the visible position. */
export interface LastFrame {
  readonly offset: number;
  readonly hash: Uint8Array;
}

export interface LogWriterParts {
  readonly directory: string;
  readonly index: StoreIndex;
  readonly storeId: Uint8Array;
  /** How many ranges were ever compacted: newer segments and marks bear it. */
  generation(): number;
  readonly clock: Clock;
  readonly segments: SegmentWriter;
  readonly mark: MarkFile;
  readonly gate: SequenceGate;
  readonly durability: Durability;
  readonly segmentBytesMax: number;
  /** The newest id issued for an accepted event: 16 bytes. */
  newestId(): Uint8Array;
  readonly lastFrame: LastFrame | null;
  /** Acceptance goes on, or ends. */
  roomMade(): void;
  poisoned(error: unknown): void;
  /** A segment is full and sealed. */
  sealed(segment: SegmentEntry): void;
  /** What a segment that is to be begun has to wait for; null: nothing. */
  mayTurn(): Promise<void> | null;
  /** A system record is visible: a whole frame of its own memory. */
  recordVisible(frame: Uint8Array): void;
  /** So many frames more are visible, system records among them, in so many bytes; called between two commits. `isQuiet`: nothing is in flight. */
  committed(frames: number, bytes: number, isQuiet: boolean): void;
}

export class LogWriter implements UnwrittenFrames {
  readonly queue: CommitQueue;
  readonly #parts: LogWriterParts;
  /** The newest id issued for a visible event. */
  readonly visibleIssuedId: Uint8Array;
  /** -1 where there is none. */
  #lastFrameOffset = -1;
  readonly #lastFrameHash = new Uint8Array(FRAME.hashBytes);
  readonly #syncer: LogSyncer;
  /** Frames completed and not yet published. */
  #completed = 0;
  #completedBytes = 0;

  constructor(parts: LogWriterParts, placer: FramePlacer) {
    this.#parts = parts;
    this.visibleIssuedId = parts.newestId();
    if (parts.lastFrame !== null) {
      this.#lastFrameOffset = parts.lastFrame.offset;
      this.#lastFrameHash.set(parts.lastFrame.hash);
    }
    this.queue = new CommitQueue({
      seal: (group) => placer.seal(group),
      write: (group) => writeTraced(parts.directory, group, this.#write),
      mayOverlap: (group) => this.#mayOverlap(group),
      complete: (group) => this.#complete(group),
      publish: (isQuiet) => this.#publish(isQuiet),
      roomMade: () => parts.roomMade(),
      poisoned: (error) => parts.poisoned(error),
      monotonicMs: () => parts.clock.monotonicMs(),
    });
    this.#syncer = new LogSyncer(this.queue, parts.durability.mode === "interval" ? parts.durability : null, async () => {
      if (parts.segments.segmentId === 0) return;
      await parts.segments.sync();
      if (!this.queue.isPoisoned) this.writeMark();
    });
  }

  /** The last frame before the visible position; null where its segment has none. */
  get lastFrame(): LastFrame | null {
    return this.#lastFrameOffset < 0 ? null : { offset: this.#lastFrameOffset, hash: this.#lastFrameHash.slice() };
  }

  /** Sees to it that the open group, begun if need be, takes `bytes` more. False: not while it is what it is. */
  readonly makeRoom = (bytes: number): boolean => {
    const { open } = this.queue;
    if (open !== null && (open.frames > 0 || open.waiters.length > 0)) {
      return open.takes(bytes) && this.#fitsSegment(open.segment, open.baseOffset + open.position, bytes);
    }
    const group = open ?? this.queue.begin();
    const { active } = this.#parts.index;
    if (active !== undefined && !active.sealed && this.#fitsSegment(active, active.framesEnd, bytes)) {
      group.segment = active;
      group.baseOffset = active.framesEnd;
      group.opensSegment = false;
    } else {
      group.segment = newSegmentEntry(this.#parts.index, (active?.id ?? 0) + 1, this.#parts.generation());
      group.baseOffset = SEGMENT_HEADER.bytes;
      group.opensSegment = true;
    }
    return true;
  };

  #fitsSegment(segment: SegmentEntry, position: number, bytes: number): boolean {
    return segment.frames === 0 || position + bytes + FRAME.bytesMin <= this.#parts.segmentBytesMax;
  }

  /** To be called before frames are placed in the open group. */
  readonly beginPlacing = (group: CommitGroup): void => {
    if (group.frames > 0) return;
    const { index } = this.#parts;
    group.firstSequence = index.acceptedSequence;
    group.nextSequence = index.acceptedSequence;
    group.previousTimeMicros = index.lastTimeMicros;
    if (!group.opensSegment || index.active === group.segment) return;
    if (index.active !== undefined) index.active.lastIssuedId = this.#parts.newestId();
    index.segments.push(group.segment);
  };

  find(segmentId: number, offset: number): FrameSlice | null {
    const { open, flying } = this.queue;
    for (const group of [...flying, open]) {
      if (group === null || group.segment.id !== segmentId || offset < group.baseOffset) continue;
      const at = offset - group.baseOffset;
      if (at < group.position) return { bytes: group.bytes, view: group.view, at, length: group.position - at };
    }
    return null;
  }

  // No asynchronous function: of a small commit's time a part is spent on each promise that it goes through.
  readonly #write = (group: CommitGroup): Promise<void> => {
    if (!group.opensSegment) return this.#writeFrames(group);
    return turnTraced(this.#parts.directory, group.segment, this.#turnTo).then(() => {
      this.queue.assertSound();
      return this.#writeFrames(group);
    });
  };

  #writeFrames(group: CommitGroup): Promise<void> {
    return this.#parts.segments.write(group.bytes, group.position, group.baseOffset, this.#syncsCommits);
  }

  get #syncsCommits(): boolean {
    return this.#parts.durability.mode === "fsync";
  }

  /** Small synced writes into zeros that are there already: nothing else has to be done for them, before or after. */
  #mayOverlap(group: CommitGroup): boolean {
    if (!this.#syncsCommits || group.opensSegment || group.segment.id !== this.#parts.segments.segmentId) return false;
    return this.#parts.segments.isPrepared(group.position, group.baseOffset);
  }

  /** Seals the segment before, if it is not, and makes the next one. Commit point: the new segment's directory sync. */
  readonly #turnTo = async (segment: SegmentEntry): Promise<void> => {
    const { index, storeId, segments, clock } = this.#parts;
    const before = index.segments[index.segments.indexOf(segment) - 1];
    // One that was sealed before the store was opened has its index block, or waits for it already.
    const sealedNow = before?.sealed === false ? before : null;
    if (sealedNow !== null) await this.#seal(sealedNow);
    await this.#parts.mayTurn();
    this.queue.assertSound();
    await segments.create({
      storeId,
      segmentId: segment.id,
      firstSequence: segment.firstSequence,
      // Not that of now: the index, and each checkpoint, has the segment as it was placed.
      generation: segment.generation,
      replacesFrom: 0,
      replacesTo: 0,
      createdMicros: clock.nowMicros(),
    });
    if (sealedNow !== null) this.#parts.sealed(sealedNow);
  };

  /** Ends the newest segment with its seal. Commit point: the sync of the seal. Returns the seal's frame. */
  async #seal(segment: SegmentEntry): Promise<Uint8Array> {
    const { index, storeId, segments, clock } = this.#parts;
    await this.#syncer.underWay;
    const { frames, nextSequence } = segment;
    const seal = { frames, nextSequence, timeMicros: Math.max(clock.nowMicros(), index.lastTimeMicros) };
    const bytes = encodeSeal(seal, segmentSeed(storeId, segment.id), segment.framesEnd, segments.syncedOffset);
    await segments.seal(bytes);
    // A sync of the same file that was beside it may have failed: what that one covered is lost, though the seal's own sync succeeded.
    await this.#syncer.underWay;
    this.queue.assertSound();
    segment.framesEnd += bytes.length;
    segment.sealed = true;
    return bytes;
  }

  /** Ends the newest segment though it is not full, with nothing in flight and everything synced. What comes next begins another one. */
  async sealNewest(): Promise<void> {
    const { index } = this.#parts;
    const segment = index.active as SegmentEntry;
    segment.lastIssuedId = this.#parts.newestId();
    const offset = segment.framesEnd;
    const bytes = await this.#seal(segment);
    index.visible.offset = segment.framesEnd;
    this.#lastFrameOffset = offset;
    this.#lastFrameHash.set(bytes.subarray(bytes.length - FRAME.hashBytes));
    this.writeMark();
    this.#parts.sealed(segment);
  }

  #complete(group: CommitGroup): void {
    this.#parts.segments.noteWritten(group.baseOffset + group.position, group.position, this.#syncsCommits);
    const events = this.#makeVisible(group);
    this.#completed += group.frames;
    this.#completedBytes += group.position;
    this.#syncer.note(events);
  }

  #publish(isQuiet: boolean): void {
    const frames = this.#completed;
    const bytes = this.#completedBytes;
    this.#completed = 0;
    this.#completedBytes = 0;
    this.writeMark();
    this.#parts.committed(frames, bytes, isQuiet);
    this.#parts.gate.tell(this.#parts.index.newest?.takeTouched());
    this.#syncer.plan();
  }

  #makeVisible(group: CommitGroup): number {
    const { index } = this.#parts;
    const { heads, visible, newest } = index;
    const { sequences, entityIds, scopeIds, kinds, view, bytes, kernel } = group;
    let events = 0;
    for (let frame = 0; frame < group.frames; frame++) {
      const sequence = sequences[frame];
      if (sequence >= 0) {
        heads.setVisible(entityIds[frame], sequence);
        newest?.note(entityIds[frame], scopeIds[frame], kinds[frame], sequence);
        if (newest?.awaitsLinks === true) noteLinks(newest, view, kernel.offsets[frame]);
        events++;
      } else {
        const at = kernel.offsets[frame];
        const record = bytes.slice(at, at + kernel.lengths[frame]);
        addRecordInForce(group.segment.systemFrames, record);
        this.#parts.recordVisible(record);
      }
    }
    if (group.frames > 0) {
      const last = group.frames - 1;
      const hashAt = kernel.offsets[last] + kernel.lengths[last] - FRAME.hashBytes;
      this.#lastFrameOffset = group.baseOffset + kernel.offsets[last];
      for (let i = 0; i < FRAME.hashBytes; i++) this.#lastFrameHash[i] = bytes[hashAt + i];
      this.#noteIssued(group, view);
    }
    index.visibleEvents += events;
    group.segment.visibleFrames += group.frames;
    visible.segmentId = group.segment.id;
    visible.offset = group.baseOffset + group.position;
    visible.sequence = group.nextSequence;
    return events;
  }

  #noteIssued(group: CommitGroup, view: DataView): void {
    for (let frame = group.frames - 1; frame >= 0; frame--) {
      const at = group.kernel.offsets[frame];
      if ((frameFlags(view, at) & FRAME_FLAG.foreignId) !== 0) continue;
      for (let i = 0; i < 16; i++) this.visibleIssuedId[i] = group.bytes[at + FRAME.id + i];
      return;
    }
  }

  /** Notes for other processes what is visible and what is synced. */
  writeMark(): void {
    const { index, storeId, segments, mark } = this.#parts;
    // Opened behind a seal, with nothing written yet: everything visible was there, and opening has seen to it that it is synced.
    const isAsOpened = segments.segmentId === 0;
    mark.write({
      storeId,
      generation: this.#parts.generation(),
      visibleSegment: index.visible.segmentId,
      visibleOffset: index.visible.offset,
      visibleSequence: index.visible.sequence,
      syncedSegment: isAsOpened ? index.visible.segmentId : segments.segmentId,
      syncedOffset: isAsOpened ? index.visible.offset : segments.syncedOffset,
    });
  }

  /** Resolves when everything visible now is on stable storage. A failure poisons the store. */
  sync(): Promise<void> {
    return this.#syncer.sync();
  }

  stopTimers(): void {
    this.#syncer.stop();
  }
}

function noteLinks(newest: NewestEvents, view: DataView, at: number): void {
  const causation = causationAt(view, at);
  newest.noteLinks(idTag(view, correlationAt(view, at)), causation < 0 ? 0 : idTag(view, causation));
}
