/**
 * Loads the frames of many rows of one segment. Where rows lie close together, one read brings them all, and one call of the kernel checks
 * them; where they lie apart, one read brings each of them, or neighbours.
 *
 * Frames are copied into slabs of 16 KiB before they are handed out, so that an event that is kept pins a slab and never what was read ahead.
 */
import { systemClock } from "../base/clock.ts";
import { SpareList } from "../base/spare-list.ts";
import type { Slab } from "../events/event.ts";
import type { SegmentIndex } from "../index/segment-index.ts";
import { frameEnd, type SegmentEntry, type StoreIndex } from "../index/store-index.ts";
import type { FrameFormat } from "../format/frame-format.ts";
import { nativeFrames } from "../format/native/frame-format.ts";
import {
  createFrameKernel,
  createFrameTranslator,
  type FrameForm,
  type FrameKernel,
  type FrameTranslator,
} from "../kernel/frame-kernel.ts";
import type { FrameSource } from "./frame-source.ts";
import type { SegmentFiles } from "./segment-files.ts";
import { newSlab } from "./slab.ts";
import { SlabFiller } from "./slab-filler.ts";

/** Where a row's frame was put, and what reads it there. */
export interface LoadedFrame {
  readonly slab: Slab;
  readonly at: number;
  readonly row: number;
  readonly format: FrameFormat;
}

/** One read brings at most this much, unless a single frame is larger. */
const READ_BYTES_MAX = 256 * 1024;
/** What is larger on account of such a frame is neither read at once nor made native. */
const BLOCK_BYTES_MAX = 2 * READ_BYTES_MAX;
/** Rows whose frames begin on average further apart than this are not read in one block: what lies between costs more than a read. */
const CLOSE_BYTES = 5120;
/** Among rows that lie apart, neighbours with no more than this between them are read at once. */
const GAP_BYTES_MAX = 2048;
/**
 * Up to this size a block is always read at once, and larger ones as long as they come from the page cache: there a quarter of a megabyte takes 15 µs,
 * asynchronously 50.
 */
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
/** The same of those that make frames native ones. */
const spareTranslators = new SpareList<FrameTranslator>(KERNELS_MAX, 16 * 1024 * 1024);
/** The first bytes of a frame, which say how long it is. */
const LENGTH_BYTES = 8;

/** Where a block is read to: in a kernel's memory, a translator's, or memory of its own. */
interface Block extends Slab {
  readonly kernel: FrameKernel | null;
  readonly translator: FrameTranslator | null;
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

  /**
   * The frames of `count` ascending rows, checked. Throws or rejects with `CORRUPT` at the first that is bad.
   *
   * @param form `stored` as they stand in the file; `quick` may make them native ones, for whoever reads by the `format` that they come with
   */
  load(
    segment: SegmentEntry,
    rows: Uint32Array,
    from: number,
    count: number,
    form: "stored" | "quick" = "stored",
  ): LoadedFrame[] | Promise<LoadedFrame[]> {
    const index = this.#index.indexOf(segment);
    const frameForm = form === "quick" ? (this.#frames.format.form ?? null) : null;
    const wanted = { segment, index, rows, from, count, frameForm };
    const start = index.offsetAt(rows[from]);
    const last = rows[from + count - 1];
    const end = frameEnd(segment, index, last);
    if (count === 1 || end <= start || end - start > count * CLOSE_BYTES) {
      return this.#loadTogether(wanted) ?? this.#loadSingly(wanted);
    }
    const block = this.#takeBlock(end - start, wanted);
    this.blocksRead++;
    const isLarge = end - start > SYNC_READ_BYTES;
    if (end - start > BLOCK_BYTES_MAX || (isLarge && this.#awaitedBlocks > 0)) {
      if (this.#awaitedBlocks > 0) this.#awaitedBlocks--;
      return this.#loadBlock(wanted, block, start, end);
    }
    try {
      const began = systemClock.monotonicMs();
      const read = this.#files.file(segment.id).readSync(block.bytes, 0, end - start, start);
      if (isLarge) this.#notePace(systemClock.monotonicMs() - began);
      return this.#takeApart(wanted, block, start, read);
    } finally {
      this.#giveBack(block);
    }
  }

  #notePace(milliseconds: number): void {
    const isSlow = milliseconds > SLOW_READ_MS;
    if (isSlow) this.#awaitedBlocks = this.#awaitedAfterSlow;
    this.#awaitedAfterSlow = isSlow ? Math.min(this.#awaitedAfterSlow * 2, AWAITED_BLOCKS_MAX) : AWAITED_BLOCKS_MIN;
  }

  #takeBlock(byteCount: number, { count, frameForm }: Wanted): Block {
    if (count > KERNEL_FRAMES || this.#kernelsInUse === KERNELS_MAX) return blockOfItsOwn(byteCount);
    if (frameForm !== null && byteCount <= BLOCK_BYTES_MAX) {
      const translator = spareTranslators.take() ?? createFrameTranslator(BLOCK_BYTES_MAX, KERNEL_FRAMES, frameForm);
      if (translator === null) return blockOfItsOwn(byteCount);
      this.#kernelsInUse++;
      return { bytes: translator.region.bytes, view: translator.region.view, kernel: null, translator };
    }
    if (this.#frames.format.shape === undefined) return blockOfItsOwn(byteCount);
    const kernel = spareKernels.take() ?? createFrameKernel(READ_BYTES_MAX, KERNEL_FRAMES);
    kernel.reserve(byteCount);
    this.#kernelsInUse++;
    return { bytes: kernel.bytes, view: kernel.view, kernel, translator: null };
  }

  #giveBack({ kernel, translator }: Block): void {
    if (kernel === null && translator === null) return;
    this.#kernelsInUse--;
    if (kernel !== null) spareKernels.give(kernel);
    if (translator !== null) spareTranslators.give(translator);
  }

  #loadSingly({ segment, index, rows, from, count }: Wanted): LoadedFrame[] {
    const { format } = this.#frames;
    const loaded: LoadedFrame[] = [];
    for (let i = 0; i < count; i++) {
      const row = rows[from + i];
      const slice = this.#frames.readRow(segment, index, row, count <= KEPT_PAGES_ROWS_MAX);
      loaded.push({ slab: slice, at: slice.at, row, format });
    }
    return loaded;
  }

  /**
   * Reads frames that lie apart, neighbours at once, one after the other into a kernel's memory, and checks them together. Null where that is
   * not the way, or one is bad.
   */
  #loadTogether(wanted: Wanted): LoadedFrame[] | null {
    const { segment, index, rows, from, count, frameForm } = wanted;
    if (count <= (frameForm === null ? KEPT_PAGES_ROWS_MAX : 1)) return null;
    const file = this.#files.file(segment.id);
    const block = this.#takeBlock(READ_BYTES_MAX, wanted);
    try {
      const { bytes, view, translator } = block;
      const kernel = translator === null ? block.kernel : translator.region;
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
        const room = translator === null ? bytes.length : translator.blockBytes;
        if (!(end > start && end - start <= room - at)) return null;
        const stop = at + file.readSync(bytes, at, end - start, start);
        for (let frame = first; frame < i; frame++) {
          kernel.offsets[frame] = at + kernel.links[frame] - start;
          kernel.lengths[frame] = this.#lengthWithin(view, kernel.offsets[frame], stop);
          if (kernel.lengths[frame] === 0) return null;
        }
        at = stop;
      }
      if (translator === null) {
        if (kernel.checkPlaced(count, this.#frames.seedOf(segment.id)) >= 0) return null;
        return this.#handOut(wanted, block, kernel, at);
      }
      translator.translate(count);
      return this.#handOutTranslated(wanted, translator);
    } finally {
      this.#giveBack(block);
    }
  }

  /** The length of the frame at `at` by what it says itself, as far as that can be; 0 where it cannot. */
  #lengthWithin(view: DataView, at: number, limit: number): number {
    const { format } = this.#frames;
    if (format.shape !== undefined) return format.shape(view, at, limit) === "ok" ? format.length(view, at) : 0;
    const length = at >= 0 && limit - at >= LENGTH_BYTES ? format.length(view, at) : 0;
    return length <= limit - at ? length : 0;
  }

  async #loadBlock(wanted: Wanted, block: Block, start: number, end: number): Promise<LoadedFrame[]> {
    const { id } = wanted.segment;
    try {
      const file = this.#files.pin(id);
      try {
        const read = await file.read(block.bytes, 0, end - start, start);
        return this.#takeApart(wanted, block, start, read);
      } finally {
        this.#files.unpin(id);
      }
    } finally {
      this.#giveBack(block);
    }
  }

  #takeApart(wanted: Wanted, block: Block, start: number, read: number): LoadedFrame[] {
    const { segment, index, rows, from, count } = wanted;
    const { format } = this.#frames;
    const seed = this.#frames.seedOf(segment.id);
    const { bytes, view, kernel, translator } = block;
    const table = translator?.region ?? kernel;
    const places = table ?? { offsets: new Uint32Array(count), lengths: new Uint32Array(count) };
    for (let i = 0; i < count; i++) {
      const at = index.offsetAt(rows[from + i]) - start;
      // Offsets of an index that was forged need not ascend.
      if (at < 0) throw this.#frames.fault(segment.id, start + at, "bad");
      places.offsets[i] = at;
      if (translator !== null) {
        places.lengths[i] = this.#lengthWithin(view, at, read);
        continue;
      }
      const outcome =
        kernel === null || format.shape === undefined
          ? format.check(bytes, view, at, read, seed, start + at)
          : format.shape(view, at, read);
      if (outcome !== "ok") throw this.#frames.fault(segment.id, start + at, outcome);
      places.lengths[i] = format.length(view, at);
    }
    if (translator !== null) {
      translator.translate(count);
      return this.#handOutTranslated(wanted, translator);
    }
    const bad = kernel?.check(count, seed, start, false) ?? -1;
    if (bad >= 0) throw this.#frames.fault(segment.id, index.offsetAt(rows[from + bad]), "bad");
    return this.#handOut(wanted, block, places, read);
  }

  /** Frames that were checked where they lie. */
  #handOut({ rows, from, count }: Wanted, block: Block, { offsets, lengths }: FramePlaces, blockBytes: number): LoadedFrame[] {
    const { format } = this.#frames;
    const loaded = new Array<LoadedFrame>(count);
    const slabs = new SlabFiller(block, blockBytes);
    for (let i = 0; i < count; i++) {
      const { slab, at } = slabs.take(offsets[i], lengths[i]);
      loaded[i] = { slab, at, row: rows[from + i], format };
    }
    slabs.finish();
    return loaded;
  }

  /** Frames that were made native ones, and as they stand those that were not, where they are right. */
  #handOutTranslated({ segment, index, rows, from, count }: Wanted, translator: FrameTranslator): LoadedFrame[] {
    const { region, translated } = translator;
    const { bytes, offsets, lengths, links } = region;
    const loaded = new Array<LoadedFrame>(count);
    const slabs = new SlabFiller(region, links[count - 1] + translated[count - 1]);
    for (let i = 0; i < count; i++) {
      const row = rows[from + i];
      if (translated[i] > 0) {
        const place = slabs.take(links[i], translated[i]);
        loaded[i] = { slab: place.slab, at: place.at, row, format: nativeFrames };
        continue;
      }
      // A copy is checked: who reads it remembers where a frame stood, and this memory is used again.
      const slab = newSlab(lengths[i]);
      slab.bytes.set(bytes.subarray(offsets[i], offsets[i] + lengths[i]));
      const { format } = this.#frames;
      const offset = index.offsetAt(row);
      const outcome = format.check(slab.bytes, slab.view, 0, lengths[i], this.#frames.seedOf(segment.id), offset);
      if (outcome !== "ok") throw this.#frames.fault(segment.id, offset, outcome);
      loaded[i] = { slab, at: 0, row, format };
    }
    slabs.finish();
    return loaded;
  }
}

/** What is to be loaded, and the form of frames that are to be made native ones. */
interface Wanted {
  readonly segment: SegmentEntry;
  readonly index: SegmentIndex;
  readonly rows: Uint32Array;
  readonly from: number;
  readonly count: number;
  readonly frameForm: FrameForm | null;
}

/** By frame: where it begins in a block, and its length. */
type FramePlaces = Pick<FrameKernel, "offsets" | "lengths">;

function blockOfItsOwn(byteCount: number): Block {
  return { ...newSlab(byteCount), kernel: null, translator: null };
}

/** Whether a frame that begins at `offset` is read with the one that ends at `end`. */
function isNeighbour(end: number, offset: number): boolean {
  return offset >= end && offset - end <= GAP_BYTES_MAX;
}
