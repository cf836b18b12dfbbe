/**
 * Right frames at places that nobody knows: byte by byte, behind damage. Whatever the bytes are, the search ends, in a time that grows with their
 * number: where they imitate frames by the thousand, each of which would cost a checksum of its whole length, sums of ranges take over.
 */
import { RangeCrc } from "../base/range-crc.ts";
import { uninitializedBytes } from "../base/uninitialized.ts";
import type { DiskFile } from "../disk/disk.ts";
import { checkFrame, checkShape, frameLength, frameSeed, syncedBefore } from "../format/native/frame.ts";
import { FRAME } from "../format/native/frame-layout.ts";

/** A right frame behind a place that is none. */
export interface FoundFrame {
  readonly offset: number;
  readonly length: number;
  readonly syncedBefore: number;
}

const WINDOW_BYTES = 4 * 1024 * 1024;
/** How many times the bytes may be checksummed frame by frame. */
const CHECKSUMS_MAX = 4;

/** Tells frames in bytes that begin at `base` of their segment. */
export class FrameFinder {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #seed: number;
  readonly #base: number;
  /** How many bytes may still be checksummed frame by frame. */
  #budget: number;
  #ranges: RangeCrc | null = null;

  constructor(bytes: Uint8Array, seed: number, base: number) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    this.#seed = seed;
    this.#base = base;
    this.#budget = bytes.length * CHECKSUMS_MAX;
  }

  /** The length that the frame at this position would have; 0 where none can stand. It may be longer than the bytes. */
  lengthAt(at: number): number {
    const view = this.#view;
    if (at + FRAME.bytesMin > this.#bytes.length) return 0;
    const length = frameLength(view, at);
    const mayBe = length >= FRAME.bytesMin && view.getUint8(at + FRAME.encoding) === 0 && syncedBefore(view, at, this.#base + at) >= 0;
    return mayBe ? length : 0;
  }

  /** Whether a right frame stands there. Its length must be asked for before, and fit. */
  isFrame(at: number): boolean {
    if (checkShape(this.#view, at, this.#bytes.length) !== "ok") return false;
    const length = frameLength(this.#view, at);
    const offset = this.#base + at;
    this.#budget -= length;
    if (this.#budget >= 0) return checkFrame(this.#bytes, this.#view, at, this.#bytes.length, this.#seed, offset) === "ok";
    this.#ranges ??= new RangeCrc(this.#bytes);
    const crc = this.#ranges.of(at + FRAME.length, at + length, frameSeed(this.#seed, offset));
    return crc === this.#view.getUint32(at + FRAME.crc, true);
  }

  found(at: number): FoundFrame {
    const offset = this.#base + at;
    return { offset, length: frameLength(this.#view, at), syncedBefore: syncedBefore(this.#view, at, offset) };
  }
}

/** The frames of this segment that stand somewhere in `[from, to)`, until `visit` returns false. */
export async function findFrames(
  file: DiskFile,
  seed: number,
  from: number,
  to: number,
  visit: (frame: FoundFrame) => boolean,
): Promise<void> {
  let end = Math.min(to, await file.size());
  const read = async (base: number, bytesMin: number): Promise<Uint8Array> => {
    const bytes = uninitializedBytes(Math.min(end - base, bytesMin));
    const count = await file.read(bytes, 0, bytes.length, base);
    if (count < bytes.length) end = base + count;
    return bytes.subarray(0, count);
  };
  for (let base = from; base < end; ) {
    let bytes = await read(base, WINDOW_BYTES);
    let finder = new FrameFinder(bytes, seed, base);
    let at = 0;
    // What the last half of a window holds is looked at again, unless the range ends there: its frames may end behind it.
    while (at < (base + bytes.length === end ? bytes.length : bytes.length - WINDOW_BYTES / 2)) {
      const length = finder.lengthAt(at);
      if (length === 0 || base + at + length > end) {
        at++;
      } else if (at + length > bytes.length) {
        bytes = await read(base, at + length + WINDOW_BYTES);
        finder = new FrameFinder(bytes, seed, base);
      } else if (!finder.isFrame(at)) {
        at++;
      } else {
        if (!visit(finder.found(at))) return;
        at += length;
      }
    }
    base += at;
  }
}
