/**
 * The writer's side of a batpak 0.3 log: gives groups their place in segments, commits them, makes them visible, and turns to the next segment.
 *
 * Invariants:
 * 1. A group lies in one segment, and so does a batch. Whether a segment is full is asked before a single append or a whole batch.
 * 2. Events become visible in order, whole groups at a time, after they are as durable as was asked and after the mark says so.
 * 3. A segment is made only after the one before it has its footer and is synced whole (`#turnTo`).
 * 4. The mark is synced before a segment's first frame is written, and again within a second of any commit.
 */
import { GrowingSink } from "../base/byte-sink.ts";
import type { Clock } from "../base/clock.ts";
import { clearTimeout, setTimeout } from "../base/timers.ts";
import { SegmentBuilder } from "../format/batpak03/segment-builder.ts";
import type { ActiveSegmentIndex } from "../index/active-segment-index.ts";
import { OFFSET_MASK } from "../index/segment-index.ts";
import type { SequenceGate } from "../index/sequence-gate.ts";
import type { SegmentEntry, StoreIndex } from "../index/store-index.ts";
import type { Batpak03SegmentWriter } from "./batpak03-segment-writer.ts";
import type { CommitGroup } from "./commit-group.ts";
import { CommitQueue } from "./commit-queue.ts";
import type { FramePlacer } from "./frame-placer.ts";
import type { UnwrittenFrames } from "./frame-source.ts";
import type { Durability } from "./log-writer.ts";
import { LogSyncer } from "./log-syncer.ts";
import type { MarkFile } from "./mark-file.ts";
import { newSegmentEntry } from "./segment-entry.ts";
import type { FrameSlice } from "./slab.ts";
import { turnTraced, writeTraced } from "./traced-write.ts";

export interface Batpak03LogParts {
  readonly directory: string;
  readonly index: StoreIndex;
  readonly clock: Clock;
  readonly segments: Batpak03SegmentWriter;
  readonly mark: MarkFile;
  readonly gate: SequenceGate;
  readonly durability: Durability;
  readonly segmentBytesMax: number;
  /** Acceptance goes on, or ends. */
  roomMade(): void;
  poisoned(error: unknown): void;
}

/** A segment of this writer that has no footer yet. */
interface SegmentInTheMaking {
  readonly builder: SegmentBuilder;
  readonly header: Uint8Array;
}

const MARK_SYNC_EVERY_MS = 1000;
const STORE_ID = new Uint8Array(16);

export class Batpak03LogWriter implements UnwrittenFrames {
  readonly queue: CommitQueue;
  readonly #parts: Batpak03LogParts;
  readonly #making = new Map<number, SegmentInTheMaking>();
  #nextSegmentId: number;
  /** The next segment, where it has nothing in it yet and is not in the index. */
  #begun: SegmentEntry | null = null;
  readonly #syncer: LogSyncer;
  #markTimer: NodeJS.Timeout | null = null;
  #markSyncing: Promise<void> = Promise.resolve();

  constructor(parts: Batpak03LogParts, placer: FramePlacer, nextSegmentId: number) {
    this.#parts = parts;
    this.#nextSegmentId = nextSegmentId;
    this.queue = new CommitQueue({
      seal: (group) => placer.seal(group),
      write: (group) => writeTraced(parts.directory, group, this.#write),
      // No room is laid out beforehand in this layout.
      mayOverlap: () => false,
      complete: (group) => this.#complete(group),
      publish: () => this.#publish(),
      roomMade: () => parts.roomMade(),
      poisoned: (error) => parts.poisoned(error),
      monotonicMs: () => parts.clock.monotonicMs(),
    });
    this.#syncer = new LogSyncer(this.queue, parts.durability.mode === "interval" ? parts.durability : null, async () => {
      await parts.segments.sync();
      if (!this.queue.isPoisoned) this.writeMark();
    });
  }

  /** The segment of this writer that a group is written to, in the making. */
  readonly builderOf = (group: CommitGroup): SegmentBuilder => this.#inTheMaking(group.segment).builder;

  /** The segment that is being written, as far as it was placed; undefined before the first, or after the footer. */
  builder(segmentId: number): SegmentBuilder | undefined {
    return this.#making.get(segmentId)?.builder;
  }

  #inTheMaking(segment: SegmentEntry): SegmentInTheMaking {
    const making = this.#making.get(segment.id);
    if (making === undefined) throw new Error(`Segment ${segment.id} is not in the making`);
    return making;
  }

  /** Sees to it that the open group, begun if need be, takes `bytes` more. False: not while it is what it is. */
  readonly makeRoom = (bytes: number): boolean => {
    const { open } = this.queue;
    if (open !== null && (open.frames > 0 || open.waiters.length > 0)) {
      return open.takes(bytes) && this.#takes(open.segment, bytes);
    }
    const { active } = this.#parts.index;
    const goesOn = active !== undefined && this.#making.has(active.id) && this.#takes(active, bytes);
    // Before the group: what fails here leaves no open one behind, which nobody would ever write.
    const segment = goesOn ? active : this.#beginSegment();
    const group = open ?? this.queue.begin();
    group.segment = segment;
    group.opensSegment = !goesOn;
    group.baseOffset = this.#inTheMaking(group.segment).builder.writtenBytes;
    return true;
  };

  /** The original's rule, and ours: rows keep offsets below 1 GiB. */
  #takes(segment: SegmentEntry, bytes: number): boolean {
    const { builder } = this.#inTheMaking(segment);
    return !builder.isFull && (builder.eventCount === 0 || builder.writtenBytes + bytes <= OFFSET_MASK);
  }

  #beginSegment(): SegmentEntry {
    const { index, clock, segmentBytesMax } = this.#parts;
    // The one that was begun for a group that nothing was accepted into.
    if (this.#begun !== null && this.#begun.firstSequence === index.acceptedSequence) return this.#begun;
    const segment = newSegmentEntry(index, this.#nextSegmentId, 0);
    const sink = new GrowingSink(128);
    const createdNs = BigInt(clock.nowMicros()) * 1000n;
    const builder = new SegmentBuilder(sink, { segmentId: segment.id, createdNs, segmentBytesMax });
    segment.framesEnd = builder.writtenBytes;
    this.#making.set(segment.id, { builder, header: sink.copy() });
    this.#begun = segment;
    return segment;
  }

  /** Makes the first segment of a new directory. */
  async createFirst(): Promise<void> {
    const { index } = this.#parts;
    const segment = this.#beginSegment();
    this.#enter(segment);
    index.visible.segmentId = segment.id;
    index.visible.offset = segment.framesEnd;
    await this.#create(segment);
  }

  #enter(segment: SegmentEntry): void {
    this.#parts.index.segments.push(segment);
    this.#nextSegmentId = segment.id + 1;
    this.#begun = null;
  }

  /** To be called before frames are placed in the open group. */
  readonly beginPlacing = (group: CommitGroup): void => {
    if (group.frames > 0) return;
    const { index } = this.#parts;
    group.firstSequence = index.acceptedSequence;
    group.nextSequence = index.acceptedSequence;
    group.previousTimeMicros = index.lastTimeMicros;
    if (group.opensSegment && index.active !== group.segment) this.#enter(group.segment);
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

  readonly #write = async (group: CommitGroup): Promise<void> => {
    if (group.opensSegment) await turnTraced(this.#parts.directory, group.segment, this.#turnTo);
    this.queue.assertSound();
    await this.#parts.segments.write(group.bytes, group.position, group.baseOffset, this.#parts.durability.mode === "fsync");
  };

  readonly #turnTo = async (segment: SegmentEntry): Promise<void> => {
    await this.sealActive(segment);
    this.queue.assertSound();
    await this.#create(segment);
  };

  /** Ends the segment that is being written with its footer, if there is one before `next`; with null, whichever it is. False: there is none. */
  async sealActive(next: SegmentEntry | null): Promise<boolean> {
    const { index, segments } = this.#parts;
    const before = index.segments.find(({ id }) => this.#making.has(id) && id !== next?.id);
    if (before === undefined) return false;
    await this.#syncer.underWay;
    await segments.seal(this.#inTheMaking(before).builder.seal());
    // A sync of the same file that was beside it may have failed: what that one covered is lost, though the footer's own sync succeeded.
    await this.#syncer.underWay;
    this.queue.assertSound();
    before.sealed = true;
    this.#making.delete(before.id);
    return true;
  }

  /** Commit point of a rotation: the new segment's directory sync, in `create`. */
  async #create(segment: SegmentEntry): Promise<void> {
    const { segments, mark } = this.#parts;
    await segments.create(segment.id, this.#inTheMaking(segment).header);
    this.writeMark();
    await mark.sync();
  }

  #complete(group: CommitGroup): void {
    this.#makeVisible(group);
    this.#syncer.note(group.frames);
  }

  #publish(): void {
    this.writeMark();
    this.#parts.gate.tell(this.#parts.index.newest?.takeTouched());
    this.#syncer.plan();
    this.#markTimer ??= setTimeout(this.#syncMark, MARK_SYNC_EVERY_MS).unref();
  }

  #makeVisible(group: CommitGroup): void {
    const { index } = this.#parts;
    const { heads, visible, newest } = index;
    const { sequences, entityIds, scopeIds, kinds, frames } = group;
    const rows = group.segment.index as ActiveSegmentIndex;
    for (let frame = 0; frame < frames; frame++) {
      heads.setVisible(entityIds[frame], sequences[frame]);
      newest?.note(entityIds[frame], scopeIds[frame], kinds[frame], sequences[frame]);
      if (newest?.awaitsLinks === true) {
        const { columns } = rows;
        const row = rows.rowAtSequence(sequences[frame]);
        newest.noteLinks(columns.correlationTag[row], columns.causationTag[row]);
      }
    }
    index.visibleEvents += frames;
    group.segment.visibleFrames += frames;
    visible.segmentId = group.segment.id;
    visible.offset = group.baseOffset + group.position;
    visible.sequence = group.nextSequence;
  }

  /** Notes for other processes what is visible, and for recovery what is synced. */
  writeMark(): void {
    const { index, segments, mark } = this.#parts;
    mark.write({
      storeId: STORE_ID,
      generation: 0,
      visibleSegment: index.visible.segmentId,
      visibleOffset: index.visible.offset,
      visibleSequence: index.visible.sequence,
      syncedSegment: segments.segmentId,
      syncedOffset: segments.syncedOffset,
    });
  }

  readonly #syncMark = (): void => {
    this.#markTimer = null;
    this.#markSyncing = this.#parts.mark.sync().catch((error: unknown) => this.queue.poison(error));
  };

  /** Resolves when everything visible now is on stable storage. A failure poisons the store. */
  sync(): Promise<void> {
    return this.#syncer.sync();
  }

  /** Nothing is planned any more, and nothing is under way. */
  async rest(): Promise<void> {
    this.#syncer.stop();
    if (this.#markTimer !== null) clearTimeout(this.#markTimer);
    this.#markTimer = null;
    while (this.#syncer.underWay !== null) await this.#syncer.underWay.catch(() => {});
    await this.#markSyncing;
  }
}
