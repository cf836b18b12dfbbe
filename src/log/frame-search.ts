/**
 * Right frames at places that nobody knows: byte by byte, behind damage. Whatever the bytes are, the search ends, in a time that grows with their
 * number, and lets the event loop turn (docs/decisions/0015):
 *
 * 1. What may be a frame has the whole head of one before anything is read or checksummed for it.
 * 2. Checksums frame by frame have a budget for each window; once it is spent, sums of ranges take over.
 * 3. A window that is read for a frame which then is none makes the next one twice as long, so that no byte is read often.
 */
import { RangeCrc } from "../base/range-crc.ts";
import { inSteps, rest } from "../base/rest.ts";
import { uninitializedBytes } from "../base/uninitialized.ts";
import type { DiskFile } from "../disk/disk.ts";
import { checkFrame, checkHead, checkShape, frameLength, frameSeed, syncedBefore } from "../format/native/frame.ts";
import { FRAME } from "../format/native/frame-layout.ts";

/** A right frame behind a place that is none. */
export interface FoundFrame {
  readonly offset: number;
  readonly length: number;
  readonly syncedBefore: number;
}

const WINDOW_BYTES = 4 * 1024 * 1024;
/** Behind damage the next frame is near: the first window is small. */
const FIRST_WINDOW_BYTES = 64 * 1024;
/** A window never holds more than the largest frame, and what is read with it. */
const WINDOW_BYTES_MAX = 2 ** 30 + WINDOW_BYTES;
/** How many times a window's bytes may be checksummed frame by frame. */
const CHECKSUMS_MAX = 4;
/** What is done between two rests, in places looked at: a millisecond's work or so. */
const WORK_PER_STEP = 250_000;
/** A sum of a range is as much, and a checksum of so many bytes as one place. */
const RANGE_WORK = 64;
const CHECKSUM_WORK_SHIFT = 3;

/** Tells frames in bytes that begin at `base` of their segment. */
export class FrameFinder {
  readonly bytes: Uint8Array;
  readonly base: number;
  readonly #view: DataView;
  readonly #seed: number;
  /** How many bytes may still be checksummed frame by frame. */
  #budget: number;
  #ranges: RangeCrc | null = null;

  constructor(bytes: Uint8Array, seed: number, base: number) {
    this.bytes = bytes;
    this.base = base;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    this.#seed = seed;
    this.#budget = bytes.length * CHECKSUMS_MAX;
  }

  /** Whether the next frame is told by sums of ranges, which are still to be made. */
  get needsRanges(): boolean {
    return this.#budget < 0 && this.#ranges === null;
  }

  get hasRanges(): boolean {
    return this.#ranges !== null;
  }

  /** Makes them, in steps. */
  *makeRanges(): Generator<undefined, void> {
    this.#ranges = yield* RangeCrc.inSteps(this.bytes);
  }

  /** The length that the frame at this position would have; 0 where none can stand. It may be longer than the bytes. */
  lengthAt(at: number): number {
    if (at + FRAME.bytesMin > this.bytes.length || !checkHead(this.#view, at)) return 0;
    return syncedBefore(this.#view, at, this.base + at) < 0 ? 0 : frameLength(this.#view, at);
  }

  /** Whether a right frame stands there. Its length must be asked for before, and fit. */
  isFrame(at: number): boolean {
    const length = frameLength(this.#view, at);
    const offset = this.base + at;
    if (this.#budget >= 0) {
      this.#budget -= length;
      return checkFrame(this.bytes, this.#view, at, this.bytes.length, this.#seed, offset) === "ok";
    }
    if (checkShape(this.#view, at, this.bytes.length) !== "ok") return false;
    this.#ranges ??= new RangeCrc(this.bytes);
    const crc = this.#ranges.of(at + FRAME.length, at + length, frameSeed(this.#seed, offset));
    return crc === this.#view.getUint32(at + FRAME.crc, true);
  }

  found(at: number): FoundFrame {
    const offset = this.base + at;
    return { offset, length: frameLength(this.#view, at), syncedBefore: syncedBefore(this.#view, at, offset) };
  }
}

/** One search through a segment: what it has read serves the next question, which must be about a place further on. */
export class FrameSearch {
  readonly #file: DiskFile;
  readonly #seed: number;
  #end: number;
  #finder: FrameFinder | null = null;
  #windowBytes = FIRST_WINDOW_BYTES;
  /** The offset for whose frame a window was read last, until there is one; -1: there was, or no window was read for a frame yet. */
  #readInVainFor = -1;
  #work = 0;

  /** Nothing at or past `to` is looked at, nor a frame that ends there. */
  constructor(file: DiskFile, seed: number, to: number) {
    this.#file = file;
    this.#seed = seed;
    this.#end = to;
  }

  /** The first right frame at or behind this offset; null where there is none. */
  async next(from: number): Promise<FoundFrame | null> {
    for (let offset = from; offset + FRAME.bytesMin <= this.#end; ) {
      const finder = this.#finder;
      if (finder === null || offset < finder.base || offset + FRAME.bytesMin > finder.base + finder.bytes.length) {
        await this.#read(offset, this.#windowBytes);
        continue;
      }
      const at = this.#nextCandidate(finder, offset - finder.base);
      offset = finder.base + at;
      if (this.#work > WORK_PER_STEP) await this.#rest();
      if (at + FRAME.bytesMin > finder.bytes.length) continue;
      const length = finder.lengthAt(at);
      if (length === 0 || offset + length > this.#end) {
        offset++;
      } else if (at + length > finder.bytes.length) {
        const bytes = this.#readInVainFor >= 0 ? 2 * finder.bytes.length : 0;
        await this.#read(offset, Math.max(bytes, length + WINDOW_BYTES));
        this.#readInVainFor = offset;
      } else if (await this.#isFrame(finder, at, length)) {
        if (this.#readInVainFor === offset) this.#readInVainFor = -1;
        return finder.found(at);
      } else {
        offset++;
      }
    }
    return null;
  }

  /** The bytes of the frame that was found last. Nobody writes there any more. */
  bytesOf({ offset, length }: FoundFrame): Uint8Array {
    const { base, bytes } = this.#finder as FrameFinder;
    return bytes.subarray(offset - base, offset - base + length);
  }

  async #isFrame(finder: FrameFinder, at: number, length: number): Promise<boolean> {
    if (finder.needsRanges) await inSteps(finder.makeRanges());
    this.#work += finder.hasRanges ? RANGE_WORK : length >>> CHECKSUM_WORK_SHIFT;
    return finder.isFrame(at);
  }

  /** The next position where a frame may stand that ends before the search does, or where the step or the window ends. */
  #nextCandidate(finder: FrameFinder, from: number): number {
    const last = Math.min(finder.bytes.length - FRAME.bytesMin + 1, from + WORK_PER_STEP);
    let at = from;
    for (; at < last; at++) {
      const length = finder.lengthAt(at);
      if (length > 0 && finder.base + at + length <= this.#end) break;
    }
    this.#work += at - from;
    return at;
  }

  async #read(offset: number, wanted: number): Promise<void> {
    const bytes = uninitializedBytes(Math.min(wanted, WINDOW_BYTES_MAX, this.#end - offset));
    const count = await this.#file.read(bytes, 0, bytes.length, offset);
    if (count < bytes.length) this.#end = offset + count;
    this.#finder = new FrameFinder(bytes.subarray(0, count), this.#seed, offset);
    this.#windowBytes = Math.min(WINDOW_BYTES, this.#windowBytes * 2);
  }

  async #rest(): Promise<void> {
    this.#work = 0;
    await rest();
  }
}

/** The right frames of a segment that stand somewhere in `[from, to)`, until `visit` returns false. */
export async function findFrames(
  file: DiskFile,
  seed: number,
  from: number,
  to: number,
  visit: (frame: FoundFrame) => boolean,
): Promise<void> {
  const search = new FrameSearch(file, seed, Math.min(to, await file.size()));
  for (let frame = await search.next(from); frame !== null && visit(frame); ) frame = await search.next(frame.offset + frame.length);
}
