/**
 * Reads the frames of a batpak 0.3 segment one after another through a window of bounded size, whatever the segment's size and whatever
 * its lengths claim: a frame larger than the window is checksummed piece by piece before room is made for it.
 *
 * Reading is blocking, a window at a time; the generators rest between windows, so that a caller may let others run.
 */
import { crc32 } from "node:zlib";
import { viewOf } from "../base/msgpack.ts";
import type { DiskFile } from "../disk/disk.ts";
import { decodeFrame, type Frame } from "../format/batpak03/frame.ts";
import { FRAME_PREFIX } from "../format/batpak03/layout.ts";
import { mayBeginFrame } from "../format/batpak03/resync.ts";

const WINDOW_BYTES = 1024 * 1024;
/** No more can be read at once. A file of holes claims it at no cost, and its checksum may be right. */
const FRAME_BYTES_MAX = 2 ** 31 - 1;
/** A candidate for a frame needs this much to be looked at. */
const CANDIDATE_BYTES = FRAME_PREFIX.body + 2;
/** While looking for the next frame, so much may be checksummed in vain, as a multiple of what is searched; then a frame is assumed. */
const CHECKED_RATIO_MAX = 8;
const CHECKED_BYTES_MIN = 1 << 24;

export class FrameReader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #file: DiskFile | null = null;
  /** Where the window begins in the file, and how much it holds. */
  #base = 0;
  #count = 0;
  #to = 0;
  /** How many bytes may still be checksummed in vain. */
  #checkable = 0;
  /** Where the next frame is looked for. */
  position = 0;
  /** Why `next` gave no frame although `position` has not come to the end. */
  fault = "";
  /** Windows read so far. */
  windows = 0;

  /** @param windowBytes how much is read at once */
  constructor(windowBytes: number = WINDOW_BYTES) {
    this.#bytes = new Uint8Array(windowBytes);
    this.#view = viewOf(this.#bytes);
  }

  /** Begins with `[from, to)` of a file. */
  begin(file: DiskFile, from: number, to: number): void {
    this.#file = file;
    this.#base = from;
    this.#count = 0;
    this.#to = to;
    this.#checkable = Math.max(CHECKED_BYTES_MIN, (to - from) * CHECKED_RATIO_MAX);
    this.position = from;
    this.fault = "";
  }

  /**
   * The frame at `position`, which is moved behind it: valid until the next call, and its `offset` is that in its `bytes`. Null at the end
   * (`position` is `to`) and where no whole frame stands.
   */
  next(): Frame | null {
    const left = this.#to - this.position;
    if (left <= 0) return null;
    let at = this.position - this.#base;
    if (!this.#holdsFrame(at)) {
      this.#fill(this.position);
      at = 0;
    }
    const bodyBytes = this.#count - at < FRAME_PREFIX.body ? 0 : this.#view.getUint32(at + FRAME_PREFIX.length);
    const length = bodyBytes + FRAME_PREFIX.body;
    if (length > this.#count - at && bodyBytes > 0 && length <= left) return this.#nextLarge(length);
    const frame = decodeFrame(this.#bytes, this.#view, at, Math.min(this.#count, at + left));
    if (frame.kind !== "ok") {
      this.fault = frame.reason;
      return null;
    }
    this.position += frame.length;
    return frame;
  }

  #holdsFrame(at: number): boolean {
    const held = this.#count - at;
    return at >= 0 && held >= FRAME_PREFIX.body && this.#view.getUint32(at + FRAME_PREFIX.length) + FRAME_PREFIX.body <= held;
  }

  #fill(from: number): void {
    const file = this.#file as DiskFile;
    this.#base = from;
    this.#count = file.readSync(this.#bytes, 0, Math.max(0, Math.min(this.#bytes.length, this.#to - from)), from);
    this.windows++;
  }

  #nextLarge(length: number): Frame | null {
    const { position } = this;
    if (length > FRAME_BYTES_MAX) {
      this.fault = `the frame takes ${length} bytes, at most ${FRAME_BYTES_MAX} are read`;
      return null;
    }
    if (!this.#isWhole(position, length)) {
      this.fault = "the frame's CRC does not match its body";
      return null;
    }
    const bytes = new Uint8Array(length);
    (this.#file as DiskFile).readSync(bytes, 0, length, position);
    const frame = decodeFrame(bytes, viewOf(bytes), 0, length);
    if (frame.kind !== "ok") {
      this.fault = frame.reason;
      return null;
    }
    this.position += length;
    return frame;
  }

  /** Whether the CRC of a frame that is larger than the window matches, read in pieces through the window. */
  #isWhole(position: number, length: number): boolean {
    this.#fill(position);
    if (this.#count <= FRAME_PREFIX.body) return false;
    const stated = this.#view.getUint32(FRAME_PREFIX.crc);
    const end = position + length;
    let crc = crc32(this.#bytes.subarray(FRAME_PREFIX.body, Math.min(this.#count, length)));
    for (let at = position + this.#count; at < end; at += this.#count) {
      this.#fill(at);
      if (this.#count === 0) return false;
      crc = crc32(this.#bytes.subarray(0, Math.min(this.#count, end - at)), crc);
    }
    return crc === stated;
  }

  /**
   * Moves `position` to the next whole frame behind it. "unknown": so many false candidates were met in this segment that it was given up; a
   * frame has to be assumed.
   */
  *findNext(): Generator<void, "found" | "none" | "unknown", undefined> {
    const end = this.#to;
    for (let from = this.position + 1; end - from >= CANDIDATE_BYTES; ) {
      this.#fill(from);
      const last = this.#count - CANDIDATE_BYTES;
      if (last < 0) return "none";
      for (let at = 0; at <= last; at++) {
        if (!mayBeginFrame(this.#bytes, at)) continue;
        const length = this.#view.getUint32(at + FRAME_PREFIX.length) + FRAME_PREFIX.body;
        if (length === FRAME_PREFIX.body || length > Math.min(FRAME_BYTES_MAX, end - from - at)) continue;
        this.#checkable -= length;
        if (this.#checkable < 0) return "unknown";
        this.position = from + at;
        if (length <= this.#count - at) {
          if (decodeFrame(this.#bytes, this.#view, at, this.#count).kind === "ok") return "found";
          continue;
        }
        if (this.#isWhole(this.position, length)) return "found";
        yield;
        // Looking at it has moved the window.
        this.#fill(from);
      }
      from += last + 1;
      yield;
    }
    return "none";
  }
}
