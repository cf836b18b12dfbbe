/** Copies frames out of a block that is used again, neighbours together, a slab at a time. */
import type { Slab } from "../events/event.ts";
import { newSlab, SLAB_BYTES } from "./slab.ts";

/** Where a frame was put. */
interface FramePlace {
  readonly slab: Slab;
  readonly at: number;
}

export class SlabFiller {
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

  /** The frame's place in its slab. Its bytes are there after `finish`. */
  take(at: number, length: number): FramePlace {
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
    return { slab: this.#slab, at: target };
  }

  #copyRun(): void {
    if (this.#slab === null || this.#runEnd === this.#runStart) return;
    this.#slab.bytes.set(this.#block.bytes.subarray(this.#runStart, this.#runEnd), this.#runTarget);
  }

  finish(): void {
    this.#copyRun();
  }
}
