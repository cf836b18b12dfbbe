/**
 * Single frames by their place: from the file, or from the groups that are accepted and not yet written. Synchronous: a warm read is a
 * copy from a page that is held, or one pread of about a microsecond. Every frame is checked before it is given.
 */
import { StoreError } from "../base/store-error.ts";
import type { FrameCheck, FrameFormat } from "../format/frame-format.ts";
import type { SegmentIndex } from "../index/segment-index.ts";
import { frameEnd, type SegmentEntry } from "../index/store-index.ts";
import type { FrameCache } from "./frame-cache.ts";
import type { SegmentFiles } from "./segment-files.ts";
import { type FrameSlice, newSlab, SLAB_BYTES, SlabAllocator } from "./slab.ts";

/** Frames that are accepted but not written. Slices point into the group's own memory: not to be kept or handed out. */
export interface UnwrittenFrames {
  find(segmentId: number, offset: number): FrameSlice | null;
}

/** So much is read of a frame whose length is not known, and no longer one is looked for among the pages that are held. */
const FIRST_READ_BYTES = 640;
/** What a frame is said to be at the most comes from an index: only what lies between these is believed, and none larger than a slab read at once. */
const HINT_BYTES_MIN = 128;
const HINT_BYTES_MAX = SLAB_BYTES;

export class FrameSource {
  readonly format: FrameFormat;
  readonly #files: SegmentFiles;
  readonly seedOf: (segmentId: number) => number;
  readonly #cache: FrameCache;
  readonly #slabs = new SlabAllocator();
  #lastSegmentId = -1;
  #lastOffset = -1;
  #lastSlice: FrameSlice | null = null;
  /** Set by the writer; readers have none. */
  unwritten: UnwrittenFrames | null = null;
  /** Frames read one by one so far. */
  framesRead = 0;

  constructor(format: FrameFormat, files: SegmentFiles, cache: FrameCache, seedOf: (segmentId: number) => number) {
    this.format = format;
    this.#files = files;
    this.#cache = cache;
    this.seedOf = seedOf;
  }

  /**
   * The frame at this place, in memory that may be kept. Throws `CORRUPT` when there is none. `keepPages`: others near it may be
   * asked for. `bytesMax`: how long it is at the most, where that is known; only a hint.
   */
  read(segmentId: number, offset: number, keepPages = true, bytesMax = FIRST_READ_BYTES): FrameSlice {
    // A look-up by id checks a frame and then gives it: the same one twice in a row.
    if (this.#lastSlice !== null && this.#lastOffset === offset && this.#lastSegmentId === segmentId) return this.#lastSlice;
    this.framesRead++;
    const firstBytes = bytesMax >= HINT_BYTES_MIN && bytesMax <= HINT_BYTES_MAX ? bytesMax : FIRST_READ_BYTES;
    const mayBeHeld = keepPages && firstBytes <= FIRST_READ_BYTES;
    const slice = (mayBeHeld ? this.#readCached(segmentId, offset, firstBytes) : null) ?? this.#readFile(segmentId, offset, firstBytes);
    this.#slabs.keep(slice, this.format.length(slice.view, slice.at));
    this.#lastSegmentId = segmentId;
    this.#lastOffset = offset;
    this.#lastSlice = slice;
    return slice;
  }

  /** The frame of a row, as `read` gives it. */
  readRow(segment: SegmentEntry, index: SegmentIndex, row: number, keepPages = true): FrameSlice {
    const offset = index.offsetAt(row);
    return this.read(segment.id, offset, keepPages, frameEnd(segment, index, row) - offset);
  }

  /** Forgets what it holds: a segment was replaced. */
  forget(): void {
    this.#lastSlice = null;
  }

  /** For a reader: the segment goes on at `offset`. What a page holds past it may be whole frames of a torn commit that recovery has cut since. */
  goesOn(segmentId: number, offset: number): void {
    this.#cache.drop(segmentId, offset);
  }

  /** Null where the pages that are held do not have the frame: only the file can say that it is not there. */
  #readCached(segmentId: number, offset: number, firstBytes: number): FrameSlice | null {
    const slice = this.#slabs.reserve(FIRST_READ_BYTES);
    const seed = this.seedOf(segmentId);
    const cache = this.#cache;
    let count = cache.copy(segmentId, offset, firstBytes, slice.bytes, slice.at);
    if (count === 0) return null;
    if (cache.isChecked && this.format.shape?.(slice.view, slice.at, slice.at + count) === "ok") return slice;
    let outcome = this.format.check(slice.bytes, slice.view, slice.at, slice.at + count, seed, offset);
    if (outcome === "ok") cache.noteChecked();
    else if (outcome === "short") {
      // It goes on in the next page, or is longer than it was said to be.
      const length = count < 12 ? FIRST_READ_BYTES : this.format.length(slice.view, slice.at);
      if (length > FIRST_READ_BYTES) return null;
      const more = cache.copy(segmentId, offset + count, length - count, slice.bytes, slice.at + count);
      if (more === 0) return null;
      count += more;
      outcome = this.format.check(slice.bytes, slice.view, slice.at, slice.at + count, seed, offset);
    }
    if (outcome === "ok") return slice;
    if (outcome !== "short" || count < FIRST_READ_BYTES) this.#dropPages(segmentId, offset);
    return null;
  }

  #dropPages(segmentId: number, offset: number): void {
    this.#cache.drop(segmentId, offset);
    this.#cache.drop(segmentId, offset + FIRST_READ_BYTES - 1);
  }

  #readFile(segmentId: number, offset: number, firstBytes: number): FrameSlice {
    const file = this.#files.file(segmentId);
    let slice = this.#slabs.reserve(firstBytes);
    let count = file.readSync(slice.bytes, slice.at, firstBytes, offset);
    const seed = this.seedOf(segmentId);
    let outcome = this.format.check(slice.bytes, slice.view, slice.at, slice.at + count, seed, offset);
    if (outcome === "short" && count >= 12) {
      const length = this.format.length(slice.view, slice.at);
      // Checked against the file before anything is allocated.
      if (length > count && length <= file.sizeSync() - offset) {
        const slab = newSlab(length);
        slice = { bytes: slab.bytes, view: slab.view, at: 0, length };
        count = file.readSync(slice.bytes, 0, length, offset);
        outcome = this.format.check(slice.bytes, slice.view, 0, count, seed, offset);
      }
    }
    if (outcome !== "ok") throw this.fault(segmentId, offset, outcome);
    return slice;
  }

  /** The same, also among the frames not yet written: for a look, not to be kept. */
  peek(segmentId: number, offset: number, bytesMax?: number): FrameSlice {
    return this.unwritten?.find(segmentId, offset) ?? this.read(segmentId, offset, true, bytesMax);
  }

  /** What is wrong where a frame is not whole: it is `CORRUPT`, unless the segment has been made anew since this log was read. */
  fault(segmentId: number, offset: number, outcome: FrameCheck): StoreError {
    this.#files.assertNameKept(segmentId);
    return frameError(segmentId, offset, outcome);
  }

  hasId(segmentId: number, offset: number, id: Uint8Array, bytesMax: number): boolean {
    const slice = this.peek(segmentId, offset, bytesMax);
    return this.format.hasId(slice.bytes, slice.view, slice.at, id);
  }
}

const REASONS: Readonly<Partial<Record<FrameCheck, string>>> = {
  bad: "its checksum does not match",
  unreadable: "its checksum matches, and what it holds cannot be read",
};

function frameError(segmentId: number, offset: number, outcome: FrameCheck): StoreError<"CORRUPT"> {
  const reason = REASONS[outcome] ?? "no whole frame is there";
  return new StoreError("CORRUPT", `Cannot read the event at segment ${segmentId}, offset ${offset}: ${reason}; run batpak verify`, {
    segmentId,
    offset,
    reason,
  });
}
