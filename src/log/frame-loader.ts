/**
 * Loads the frames of many rows of one segment. Where rows lie close together, one read brings them all, and one call of the kernel checks
 * them; where they lie apart, one read brings each of them, or neighbours.
 *
 * Frames are copied into slabs of 16 KiB before they are handed out, so that an event that is kept pins a slab and never what was read ahead.
 */
import { performance } from "node:perf_hooks";
import { SpareList } from "../base/spare-list.ts";
import type { Slab } from "../events/event.ts";
import type { SegmentIndex } from "../index/segment-index.ts";
import { frameEnd, type SegmentEntry, type StoreIndex } from "../index/store-index.ts";
import { createFrameKernel, type FrameKernel } from "../kernel/frame-kernel.ts";
import type { FrameSource } from "./frame-source.ts";
import type { SegmentFiles } from "./segment-files.ts";
import { newSlab, SLAB_BYTES } from "./slab.ts";

/** Where a row's frame was put. */
export interface LoadedFrame {
  readonly slab: Slab;
  readonly at: number;
  readonly row: number;
}

/** One read brings at most this much, unless a single frame is larger. */
const READ_BYTES_MAX = 256 * 1024;
/** Rows whose frames begin on average further apart than this are not read in one block: what lies between costs more than a read. */
const CLOSE_BYTES = 5120;
/** Among rows that lie apart, neighbours with no more than this between them are read at once. */
const GAP_BYTES_MAX = 2048;
/** Up to this size a read is always made at once, and larger ones as long as they come from the page cache: there a quarter of a megabyte takes 15 µs, asynchronously 50. */
const SYNC_READ_BYTES = 32 * 1024;
/** What takes longer was not in the page cache: a disk was waited for, and the event loop with it. */
const SLOW_READ_MS = 0.25;
/** So many blocks are then read asynchronously before another is read at once, and twice as many each time that this is slow again. */
const AWAITED_BLOCKS_MIN = 16;
const AWAITED_BLOCKS_MAX = 1024;
/** Up to so many rows that lie apart are looked for among the pages that are held, and these kept: a long stream goes by once. */
const KEPT_PAGES_ROWS_MAX = 16;
/** So many rows that lie apart are read in one go at the most: where the page cache has none of them, each waits for the disk. */
const APART_ROWS_MAX = 256;
/** So many loads of a store at once have a kernel each; more of them check frame by frame. Each kernel reserves gigabytes of addresses. */
const KERNELS_MAX = 8;
/** Kernels that no load uses, for the next one of any store. */
const spareKernels = new SpareList<FrameKernel>(KERNELS_MAX, 8 * 1024 * 1024);
const KERNEL_FRAMES = 2048;

/** Where a block is read to: in a kernel's memory, or in memory of its own. */
interface Block extends Slab {
  readonly kernel: FrameKernel | null;
}

export class FrameLoader {
  readonly #index: StoreIndex;
  readonly #frames: FrameSource;
  readonly #files: SegmentFiles;
  #kernelsInUse = 0;
  /** So many of the next large blocks are read asynchronously, and so many after the next slow one. */
  #awaitedBlocks = 0;
  #awaitedAfterSlow = AWAITED_BLOCKS_MIN;
  /** Blocks read so far. */
  blocksRead = 0;

  constructor(index: StoreIndex, frames: FrameSource, files: SegmentFiles) {
    this.#index = index;
    this.#frames = frames;
    this.#files = files;
  }

  /** How many of the ascending rows `[from, to)` of `rows` one load should bring. */
  chunk(segment: SegmentEntry, rows: Uint32Array, from: number, to: number): number {
    const index = this.#index.indexOf(segment);
    const start = index.offsetAt(rows[from]);
    let count = 1;
    while (from + count < to && index.offsetAt(rows[from + count]) - start < READ_BYTES_MAX - 4096) count++;
    if (from + count === to || index.offsetAt(rows[from + count]) - start <= (count + 1) * CLOSE_BYTES) return count;
    // They lie apart: what counts is how long they are themselves, and what is read between neighbours.
    let bytes = 0;
    let end = start;
    for (count = 0; from + count < to && count < APART_ROWS_MAX && bytes < READ_BYTES_MAX; count++) {
      const row = rows[from + count];
      const offset = index.offsetAt(row);
      const readFrom = isNeighbour(end, offset) ? end : offset;
      end = frameEnd(segment, index, row);
      bytes += end - readFrom;
    }
    return count;
  }

  /** The frames of `count` ascending rows, checked. Throws or rejects with `CORRUPT` at the first that is bad. */
  load(segment: SegmentEntry, rows: Uint32Array, from: number, count: number): LoadedFrame[] | Promise<LoadedFrame[]> {
    const index = this.#index.indexOf(segment);
    const start = index.offsetAt(rows[from]);
    const last = rows[from + count - 1];
    const end = frameEnd(segment, index, last);
    if (count === 1 || end <= start || end - start > count * CLOSE_BYTES) {
      return this.#loadTogether(segment, index, rows, from, count) ?? this.#loadSingly(segment, index, rows, from, count);
    }
    const block = this.#takeBlock(end - start, count);
    this.blocksRead++;
    const isLarge = end - start > SYNC_READ_BYTES;
    if (isLarge && this.#awaitedBlocks > 0) {
      this.#awaitedBlocks--;
      return this.#loadBlock(segment, index, rows, from, count, block, start, end);
    }
    try {
      const began = performance.now();
      const read = this.#files.file(segment.id).readSync(block.bytes, 0, end - start, start);
      if (isLarge) this.#notePace(performance.now() - began);
      return this.#takeApart(segment, index, rows, from, count, block, start, read);
    } finally {
      this.#giveBack(block);
    }
  }

  #notePace(milliseconds: number): void {
    const isSlow = milliseconds > SLOW_READ_MS;
    if (isSlow) this.#awaitedBlocks = this.#awaitedAfterSlow;
    this.#awaitedAfterSlow = isSlow ? Math.min(this.#awaitedAfterSlow * 2, AWAITED_BLOCKS_MAX) : AWAITED_BLOCKS_MIN;
  }

  #takeBlock(byteCount: number, frames: number): Block {
    if (this.#frames.format.shape === undefined || frames > KERNEL_FRAMES || this.#kernelsInUse === KERNELS_MAX) {
      return { ...newSlab(byteCount), kernel: null };
    }
    const kernel = spareKernels.take() ?? createFrameKernel(READ_BYTES_MAX, KERNEL_FRAMES);
    kernel.reserve(byteCount);
    this.#kernelsInUse++;
    return { bytes: kernel.bytes, view: kernel.view, kernel };
  }

  #giveBack({ kernel }: Block): void {
    if (kernel === null) return;
    this.#kernelsInUse--;
    spareKernels.give(kernel);
  }

  #loadSingly(segment: SegmentEntry, index: SegmentIndex, rows: Uint32Array, from: number, count: number): LoadedFrame[] {
    const loaded: LoadedFrame[] = [];
    for (let i = 0; i < count; i++) {
      const row = rows[from + i];
      const slice = this.#frames.readRow(segment, index, row, count <= KEPT_PAGES_ROWS_MAX);
      loaded.push({ slab: slice, at: slice.at, row });
    }
    return loaded;
  }

  /**
   * Reads frames that lie apart, neighbours at once, one after the other into a kernel's memory, and checks them together. Null where that is
   * not the way, or one is bad.
   */
  #loadTogether(segment: SegmentEntry, index: SegmentIndex, rows: Uint32Array, from: number, count: number): LoadedFrame[] | null {
    const { format } = this.#frames;
    if (count <= KEPT_PAGES_ROWS_MAX || format.shape === undefined) return null;
    const file = this.#files.file(segment.id);
    const block = this.#takeBlock(READ_BYTES_MAX, count);
    try {
      const { bytes, view, kernel } = block;
      if (kernel === null) return null;
      let at = 0;
      let offset = index.offsetAt(rows[from]);
      for (let i = 0; i < count; ) {
        const first = i;
        const start = offset;
        let end = start;
        // Offsets of an index that was forged need not ascend, so a frame's end may lie before it: what is read then is judged by its shape.
        for (; i < count && isNeighbour(end, offset); i++) {
          kernel.links[i] = offset;
          end = Math.max(end, frameEnd(segment, index, rows[from + i]));
          if (i + 1 < count) offset = index.offsetAt(rows[from + i + 1]);
        }
        if (!(end > start && end - start <= block.bytes.length - at)) return null;
        const stop = at + file.readSync(bytes, at, end - start, start);
        for (let frame = first; frame < i; frame++) {
          const frameAt = at + kernel.links[frame] - start;
          if (format.shape(view, frameAt, stop) !== "ok") return null;
          kernel.offsets[frame] = frameAt;
          kernel.lengths[frame] = format.length(view, frameAt);
        }
        at = stop;
      }
      if (kernel.checkPlaced(count, this.#frames.seedOf(segment.id)) >= 0) return null;
      const slabs = new SlabFiller(block, at);
      const loaded = new Array<LoadedFrame>(count);
      for (let i = 0; i < count; i++) loaded[i] = slabs.take(kernel.offsets[i], kernel.lengths[i], rows[from + i]);
      slabs.finish();
      return loaded;
    } finally {
      this.#giveBack(block);
    }
  }

  async #loadBlock(
    segment: SegmentEntry,
    index: SegmentIndex,
    rows: Uint32Array,
    from: number,
    count: number,
    block: Block,
    start: number,
    end: number,
  ): Promise<LoadedFrame[]> {
    try {
      const file = this.#files.pin(segment.id);
      try {
        const read = await file.read(block.bytes, 0, end - start, start);
        return this.#takeApart(segment, index, rows, from, count, block, start, read);
      } finally {
        this.#files.unpin(segment.id);
      }
    } finally {
      this.#giveBack(block);
    }
  }

  #takeApart(
    segment: SegmentEntry,
    index: SegmentIndex,
    rows: Uint32Array,
    from: number,
    count: number,
    block: Block,
    start: number,
    read: number,
  ): LoadedFrame[] {
    const { format } = this.#frames;
    const seed = this.#frames.seedOf(segment.id);
    const { bytes, view, kernel } = block;
    for (let i = 0; i < count; i++) {
      const at = index.offsetAt(rows[from + i]) - start;
      // Offsets of an index that was forged need not ascend.
      if (at < 0) throw this.#frames.fault(segment.id, start + at, "bad");
      const outcome =
        kernel === null || format.shape === undefined
          ? format.check(bytes, view, at, read, seed, start + at)
          : format.shape(view, at, read);
      if (outcome !== "ok") throw this.#frames.fault(segment.id, start + at, outcome);
      if (kernel === null) continue;
      kernel.offsets[i] = at;
      kernel.lengths[i] = format.length(view, at);
    }
    const bad = kernel?.check(count, seed, start, false) ?? -1;
    if (bad >= 0) throw this.#frames.fault(segment.id, index.offsetAt(rows[from + bad]), "bad");
    const loaded = new Array<LoadedFrame>(count);
    const slabs = new SlabFiller(block, read);
    for (let i = 0; i < count; i++) {
      const row = rows[from + i];
      const at = index.offsetAt(row) - start;
      loaded[i] = slabs.take(at, format.length(view, at), row);
    }
    slabs.finish();
    return loaded;
  }
}

/** Whether a frame that begins at `offset` is read with the one that ends at `end`. */
function isNeighbour(end: number, offset: number): boolean {
  return offset >= end && offset - end <= GAP_BYTES_MAX;
}

/** Copies frames out of a block, neighbours together, a slab at a time. */
class SlabFiller {
  readonly #block: Slab;
  readonly #blockBytes: number;
  #slab: Slab | null = null;
  #used = 0;
  #runStart = 0;
  #runEnd = 0;
  #runTarget = 0;

  constructor(block: Slab, blockBytes: number) {
    this.#block = block;
    this.#blockBytes = blockBytes;
  }

  take(at: number, length: number, row: number): LoadedFrame {
    if (this.#slab === null || this.#used + length > this.#slab.bytes.length) {
      this.#copyRun();
      this.#slab = newSlab(Math.max(length, Math.min(SLAB_BYTES, this.#blockBytes - at)));
      this.#used = 0;
      this.#runStart = this.#runEnd = at;
      this.#runTarget = 0;
    } else if (at !== this.#runEnd) {
      this.#copyRun();
      this.#runStart = this.#runEnd = at;
      this.#runTarget = this.#used;
    }
    const target = this.#used;
    this.#used += length;
    this.#runEnd = at + length;
    return { slab: this.#slab, at: target, row };
  }

  #copyRun(): void {
    if (this.#slab === null || this.#runEnd === this.#runStart) return;
    this.#slab.bytes.set(this.#block.bytes.subarray(this.#runStart, this.#runEnd), this.#runTarget);
  }

  finish(): void {
    this.#copyRun();
  }
}
