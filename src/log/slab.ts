/**
 * Memory for frames that are handed to users: slabs of 16 KiB, filled from the front and never used again, so that an event that is kept
 * pins one slab and never a read-ahead block.
 */
import { uninitializedBytes } from "../base/uninitialized.ts";
import type { Slab } from "../events/event.ts";

/** A frame in memory: it begins at `at` and has `length` bytes. */
export interface FrameSlice extends Slab {
  at: number;
  length: number;
}

export const SLAB_BYTES = 16 * 1024;

export function newSlab(byteLength: number): Slab {
  const bytes = uninitializedBytes(byteLength);
  return { bytes, view: new DataView(bytes.buffer, bytes.byteOffset, byteLength) };
}

/** Hands out room in slabs. */
export class SlabAllocator {
  #slab: Slab = newSlab(SLAB_BYTES);
  #used = 0;

  /** Room for `byteCount` bytes; `keep` says how many of them are used in the end. */
  reserve(byteCount: number): FrameSlice {
    if (byteCount > SLAB_BYTES) {
      const own = newSlab(byteCount);
      return { bytes: own.bytes, view: own.view, at: 0, length: byteCount };
    }
    if (this.#used + byteCount > SLAB_BYTES) {
      this.#slab = newSlab(SLAB_BYTES);
      this.#used = 0;
    }
    return { bytes: this.#slab.bytes, view: this.#slab.view, at: this.#used, length: byteCount };
  }

  /** The first `byteCount` bytes of what was reserved last stay in use. */
  keep(slice: FrameSlice, byteCount: number): void {
    slice.length = byteCount;
    if (slice.bytes === this.#slab.bytes) this.#used = slice.at + byteCount;
  }
}
