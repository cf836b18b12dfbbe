/**
 * Walks the frames of one segment for `verify` and `repair`: every frame's CRC and hash, many in one call of the kernel. A place that is no
 * frame is told, and the walk goes on at the next right frame, so that damage in one place hides nothing behind it.
 *
 * Memory: one block (256 KiB, or the largest frame), whatever the segment's size, and behind damage a window of the search (`frame-search`). No
 * step looks at more than a block.
 */
import type { DiskFile } from "../disk/disk.ts";
import { checkFrame, checkShape, frameLength, syncedBefore } from "../format/native/frame.ts";
import { isSeal } from "../format/native/seal.ts";
import { createFrameKernel, type FrameKernel } from "../kernel/frame-kernel.ts";
import { FrameSearch } from "./frame-search.ts";
import { onlyZeros } from "./segment-scan.ts";

const BLOCK_BYTES = 256 * 1024;
/** The first blocks are smaller: all of this code is still cold, and takes several times as long for a frame. */
const FIRST_BLOCK_BYTES = 64 * 1024;
/** Where one place is damaged the next one may be near, and what was read and checked behind it is read again. */
const DAMAGED_BLOCK_BYTES = 16 * 1024;
const FRAMES_PER_BLOCK = 2048;

/** A frame that is there, in memory that is the visitor's only during the call. */
export interface WalkedFrame {
  bytes: Uint8Array;
  view: DataView;
  at: number;
  length: number;
  /** In the segment. */
  offset: number;
  /** False: its CRC is right and its hash is not. */
  hashRight: boolean;
}

export interface WalkVisitor {
  frame(frame: WalkedFrame): void;
  /** Bytes `[from, to)` of the segment are no frames. */
  damaged(from: number, to: number): void;
  /** Called after each block. */
  rest(): Promise<void>;
}

export interface WalkInput {
  readonly file: DiskFile;
  readonly seed: number;
  readonly from: number;
  /** Nothing at or past this offset is looked at. */
  readonly to: number;
}

export interface WalkResult {
  readonly sealed: boolean;
  /** After the last frame that is there. */
  readonly end: number;
}

export class FrameWalker {
  readonly #kernel: FrameKernel = createFrameKernel(BLOCK_BYTES, FRAMES_PER_BLOCK);
  /** So much is read next. */
  #blockBytes = FIRST_BLOCK_BYTES;
  readonly #frame: WalkedFrame = {
    bytes: this.#kernel.bytes,
    view: this.#kernel.view,
    at: 0,
    length: 0,
    offset: 0,
    hashRight: true,
  };

  /** Walks to the seal, or to `to`. */
  async walk(input: WalkInput, visitor: WalkVisitor): Promise<WalkResult> {
    const kernel = this.#kernel;
    const { file, seed, to } = input;
    let base = input.from;
    let end = base;
    // One for all of the damage: what it has read serves the next place as well.
    let search: FrameSearch | null = null;
    while (base < to) {
      const count = await file.read(kernel.bytes, 0, Math.min(this.#blockBytes, to - base), base);
      const found = this.#collect(count, base, base + count >= to || count === 0);
      this.#blockBytes = Math.max(this.#blockBytes, Math.min(BLOCK_BYTES, this.#blockBytes * 2));
      const right = this.#visit(found.frames, seed, base, visitor);
      if (right > 0) end = base + kernel.offsets[right - 1] + kernel.lengths[right - 1];
      await visitor.rest();
      if (right === found.frames) {
        if (found.sealed) return { sealed: true, end };
        if (found.state === "more") {
          base += found.at;
          continue;
        }
        if (base + found.at >= to || (found.state === "zero" && (await onlyZeros(file, base + found.at, to)))) break;
      }
      const bad = right === found.frames ? base + found.at : base + kernel.offsets[right];
      search ??= new FrameSearch(file, seed, to);
      const next = (await search.next(bad + 1))?.offset ?? to;
      visitor.damaged(bad, next);
      this.#blockBytes = DAMAGED_BLOCK_BYTES;
      base = next;
    }
    return { sealed: false, end };
  }

  /** Fills the kernel's table with what has the shape of frames, one behind the other. */
  #collect(count: number, base: number, last: boolean): { frames: number; at: number; state: "more" | "zero" | "bad"; sealed: boolean } {
    const kernel = this.#kernel;
    const { view } = kernel;
    let at = 0;
    let frames = 0;
    while (frames < FRAMES_PER_BLOCK) {
      const shape = at >= count ? "short" : checkShape(view, at, count);
      if (shape !== "ok") {
        if (shape !== "short") return { frames, at, state: shape, sealed: false };
        if (last) return { frames, at, state: "bad", sealed: false };
        // Whole frames are larger than the region only where one payload is: room is made for it.
        if (at === 0) {
          this.#blockBytes = Math.max(this.#blockBytes * 2, frameLength(view, at));
          kernel.reserve(this.#blockBytes);
        }
        return { frames, at, state: "more", sealed: false };
      }
      if (syncedBefore(view, at, base + at) < 0) return { frames, at, state: "bad", sealed: false };
      const length = frameLength(view, at);
      kernel.offsets[frames] = at;
      kernel.lengths[frames] = length;
      kernel.links[frames++] = -1;
      at += length;
      if (isSeal(view, at - length)) return { frames, at, state: "more", sealed: true };
    }
    return { frames, at, state: "more", sealed: false };
  }

  /** Visits the frames of the table up to the first that is none; gives its number, or how many there are. */
  #visit(frames: number, seed: number, base: number, visitor: WalkVisitor): number {
    const kernel = this.#kernel;
    const frame = this.#frame;
    frame.bytes = kernel.bytes;
    frame.view = kernel.view;
    const wrong = frames === 0 ? -1 : kernel.check(frames, seed, base, true);
    for (let i = 0; i < frames; i++) {
      const at = kernel.offsets[i];
      const length = kernel.lengths[i];
      frame.hashRight = true;
      // From the first wrong one on each is looked at by itself, so that one wrong hash does not end the block.
      if (wrong >= 0 && i >= wrong) {
        if (checkFrame(kernel.bytes, kernel.view, at, at + length, seed, base + at) !== "ok") return i;
        frame.hashRight = this.#isHashRight(at, length, seed, base);
      }
      frame.at = at;
      frame.length = length;
      frame.offset = base + at;
      visitor.frame(frame);
    }
    return frames;
  }

  #isHashRight(at: number, length: number, seed: number, base: number): boolean {
    const kernel = this.#kernel;
    const [offset, size] = [kernel.offsets[0], kernel.lengths[0]];
    kernel.offsets[0] = at;
    kernel.lengths[0] = length;
    const right = kernel.check(1, seed, base, true) < 0;
    kernel.offsets[0] = offset;
    kernel.lengths[0] = size;
    return right;
  }
}
