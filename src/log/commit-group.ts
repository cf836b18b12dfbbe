/**
 * The frames that one write commits together, in the memory of a hash kernel: encoded, hashed and written from where they lie.
 *
 * Life: open (appends are accepted into it) -> sealed (hashes and CRCs written, being written to disk) -> settled, then reused, by any store
 * of the process. At most one group of a store is open and a few are sealed at any time. Its bytes belong to the commit queue; no view of them
 * leaves `log/`.
 */
import type { ByteSink } from "../base/byte-sink.ts";
import { startedWith } from "../base/column-bytes.ts";
import { SpareList } from "../base/spare-list.ts";
import { StoreError } from "../base/store-error.ts";
import type { SegmentEntry } from "../index/store-index.ts";
import { createFrameKernel, type FrameKernel } from "../kernel/frame-kernel.ts";

/** Somebody who waits for the group: told once, either way. */
export interface Waiter {
  /** Frames [firstFrame, firstFrame + frames) are the waiter's own events; none where it only waits. */
  readonly firstFrame: number;
  readonly frames: number;
  committed(group: CommitGroup): void;
  failed(error: unknown): void;
}

/**
 * A group does not grow past these while another is in flight, unless a single batch is larger. Those who wait for it are all told in one turn
 * of the event loop, and may all append again in it.
 */
const BYTES_MAX = 4 * 1024 * 1024;
const WAITERS_MAX = 4096;
/** A group that grew past this is let go after use. */
const KEPT_CAPACITY_BYTES = 8 * 1024 * 1024;
const INITIAL_CAPACITY_BYTES = 32 * 1024;
const INITIAL_FRAMES = 256;
/** Groups that no store uses: as many as a busy one can have, and more where they are small. */
const spareGroups = new SpareList<CommitGroup>(1024, 64 * 1024 * 1024);

const NO_SEGMENT: SegmentEntry = {
  id: 0,
  firstSequence: 0,
  nextSequence: 0,
  generation: 0,
  sealed: true,
  framesEnd: 0,
  frames: 0,
  visibleFrames: 0,
  lastIssuedId: new Uint8Array(16),
  index: null,
  indexOnDisk: false,
  systemFrames: [],
};

export class CommitGroup implements ByteSink {
  bytes!: Uint8Array;
  view!: DataView;
  position = 0;
  capacity = 0;
  /** `grow` refuses to go past this position: the bound of the item that is being encoded. */
  limit = Number.POSITIVE_INFINITY;
  /** What the item being encoded may have, in bytes, and what has them: for the message when it is too large. */
  limitBytesMax = 0;
  limitName = "the payload";

  segment: SegmentEntry = NO_SEGMENT;
  /** Where the group's first byte stands in its segment. */
  baseOffset = 0;
  /** Whether its segment must be made before it can be written. */
  opensSegment = false;
  /** Whether its write may overlap with others; known from the launch on. */
  overlaps = false;
  /** Whether its write was begun. Until then, none of it can have been stored. */
  isBegun = false;
  /** Whether its write is done. Those before it may not be. */
  isWritten = false;
  frames = 0;
  firstSequence = 0;
  nextSequence = 0;
  /** Time of the newest event before the group, in microseconds. Begins as no integer: the engine makes code anew where a field outgrows small ones. */
  previousTimeMicros = Number.NaN;
  waiters: Waiter[] = [];
  /** Per frame: the entity's id, and what its head was before, so that a picture of the visible state can be taken. */
  entityIds = new Int32Array(INITIAL_FRAMES);
  previousSequences = new Float64Array(INITIAL_FRAMES);
  previousTimes = new Float64Array(INITIAL_FRAMES);
  /** Per frame: its sequence, or -1 for a system record; its scope's id and its kind. */
  sequences = new Float64Array(INITIAL_FRAMES);
  scopeIds = new Int32Array(INITIAL_FRAMES);
  kinds = new Uint16Array(INITIAL_FRAMES);
  readonly #kernel: FrameKernel;

  /** An empty one, made where none is spare. */
  static take(): CommitGroup {
    return spareGroups.take() ?? new CommitGroup();
  }

  private constructor() {
    this.#kernel = createFrameKernel(INITIAL_CAPACITY_BYTES, INITIAL_FRAMES);
    this.#refresh();
  }

  get kernel(): FrameKernel {
    return this.#kernel;
  }

  #refresh(): void {
    this.bytes = this.#kernel.bytes;
    this.view = this.#kernel.view;
    this.capacity = this.#kernel.capacity;
  }

  /** Whether an append of so many bytes may join those that are there. */
  takes(byteCount: number): boolean {
    return this.waiters.length < WAITERS_MAX && this.position + byteCount <= BYTES_MAX;
  }

  grow(byteCount: number): void {
    const needed = this.position + byteCount;
    if (needed > this.limit) {
      // It is not encoded to its end.
      const { limitName: what, limitBytesMax: bytesMax } = this;
      const bytes = bytesMax + needed - this.limit;
      throw new StoreError("TOO_LARGE", `Cannot append: ${what} is at least ${bytes} bytes, at most ${bytesMax} is allowed`, {
        what,
        bytes,
        bytesMax,
      });
    }
    this.#kernel.reserve(Math.max(needed, Math.min(this.capacity * 2, this.capacity + 16 * 1024 * 1024)));
    this.#refresh();
  }

  /** Makes room for `count` more frames in the tables. */
  reserveFrames(count: number): void {
    const needed = this.frames + count;
    if (needed > this.#kernel.frameCapacity) this.#kernel.reserveFrames(Math.max(needed, this.#kernel.frameCapacity * 2));
    // The table may lie before the frames in the same memory.
    this.#refresh();
    if (needed <= this.entityIds.length) return;
    const length = Math.max(needed, this.entityIds.length * 2);
    this.entityIds = startedWith(new Int32Array(length), this.entityIds);
    this.previousSequences = startedWith(new Float64Array(length), this.previousSequences);
    this.previousTimes = startedWith(new Float64Array(length), this.previousTimes);
    this.sequences = startedWith(new Float64Array(length), this.sequences);
    this.scopeIds = startedWith(new Int32Array(length), this.scopeIds);
    this.kinds = startedWith(new Uint16Array(length), this.kinds);
  }

  /** It is settled, and no write of it is under way: makes it new again, for whoever takes one next. */
  giveBack(): void {
    this.position = 0;
    this.limit = Number.POSITIVE_INFINITY;
    this.frames = 0;
    this.waiters = [];
    this.opensSegment = false;
    this.overlaps = false;
    this.isBegun = false;
    this.isWritten = false;
    // A spare group must not keep a closed store's index.
    this.segment = NO_SEGMENT;
    if (this.capacity <= KEPT_CAPACITY_BYTES) spareGroups.give(this);
  }
}
