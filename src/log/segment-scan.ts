/**
 * Walks the frames of a segment file, block by block, and hands out whole commits: the frames after the previous mark up to a marked one.
 * Judges nothing but frames: what a bad place means is recovery's business.
 */
import type { DiskFile } from "../disk/disk.ts";
import { checkShape, frameLength, isMarked, syncedBefore } from "../format/native/frame.ts";
import { isSeal } from "../format/native/seal.ts";
import { createFrameKernel, type FrameKernel } from "../kernel/frame-kernel.ts";

/** Frames of one commit, in memory that is the visitor's only during the call. */
export interface ScannedCommit {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  /** Where each frame begins in `bytes`. */
  readonly frames: readonly number[];
  /** What to add to a position in `bytes` for its offset in the segment. */
  readonly base: number;
  /** Offset in the segment after the last of them. */
  readonly end: number;
}

export interface ScanResult {
  /** Offset after the last whole commit. */
  readonly end: number;
  /** Offset after the last frame that is right, marked or not. */
  readonly goodEnd: number;
  /** Whether the last commit was the seal. */
  readonly sealed: boolean;
  /** "end": the file ends there, or only zeros follow. "bad": the bytes at `goodEnd` are no frame. */
  readonly outcome: "end" | "bad";
  readonly fileBytes: number;
  /** The furthest position up to which a scanned frame says the segment was synced. */
  readonly provenSynced: number;
}

const BLOCK_BYTES = 1024 * 1024;
/** A block that is walked, the one that is read meanwhile, and room for what is left to be moved to the front seldom. */
const KERNEL_BYTES = 4 * BLOCK_BYTES;
/** One call of the kernel checks so many frames. */
const FRAMES_PER_CHECK = 8192;
/** A commit that does not fit this is no commit of ours: the largest batch is 256 MiB of payload. */
const COMMIT_BYTES_MAX = 640 * 1024 * 1024;

export interface ScanOptions {
  readonly file: DiskFile;
  readonly seed: number;
  /** Offset of the first frame looked at; must be a commit's first. */
  readonly from: number;
  /** Nothing at or past this offset is looked at. */
  readonly to?: number;
  readonly visit: (commit: ScannedCommit) => void;
  /** Called after each block with the offset reached. */
  readonly onProgress?: (offset: number) => void;
}

/** Scans to the first place that is no frame, or to the seal. */
export async function scanSegment(options: ScanOptions): Promise<ScanResult> {
  const { from } = options;
  const fileBytes = Math.min(await options.file.size(), options.to ?? Number.POSITIVE_INFINITY);
  if (fileBytes <= from) return { end: from, goodEnd: from, sealed: false, outcome: "end", fileBytes, provenSynced: 0 };
  // Frames are checked where they are read to.
  const kernel = spareKernel ?? createFrameKernel(KERNEL_BYTES, FRAMES_PER_CHECK);
  spareKernel = null;
  try {
    return await scanWith(kernel, fileBytes, options);
  } finally {
    if (kernel.capacity <= 2 * KERNEL_BYTES) spareKernel = kernel;
  }
}

/** The kernel of the last scan, for the next one: opening scans one segment after the other. */
let spareKernel: FrameKernel | null = null;

async function scanWith(kernel: FrameKernel, size: number, options: ScanOptions): Promise<ScanResult> {
  const { file, seed, visit } = options;
  let fileBytes = size;
  /** What to add to a position in the kernel for its offset in the segment; what is not handed out yet begins at `start`. */
  let base = options.from;
  let start = 0;
  let filled = 0;
  let provenSynced = 0;
  const read = async (at: number): Promise<number> => {
    const wanted = Math.min(BLOCK_BYTES, kernel.capacity - at, fileBytes - base - at);
    const count = wanted > 0 ? await file.read(kernel.bytes, at, wanted, base + at) : 0;
    // Somebody has cut it since.
    if (count < wanted) fileBytes = base + at + count;
    return count;
  };
  /** The block behind what is walked, read meanwhile. Nothing moves and nothing is returned before it is there. */
  let ahead: Promise<number> | null = null;
  try {
    for (;;) {
      if (filled - start < BLOCK_BYTES) filled += await read(filled);
      const atFileEnd = base + filled >= fileBytes;
      ahead = atFileEnd ? null : read(filled);
      // Whoever returns before it is awaited is not to hear of it.
      ahead?.catch(() => {});
      const state = walkCommits(kernel, start, filled, base, seed, visit);
      provenSynced = Math.max(provenSynced, state.provenSynced);
      options.onProgress?.(base + state.commitEnd);
      if (state.sealed || state.outcome === "bad" || atFileEnd) {
        const goodEnd = base + state.goodEnd;
        const rest = state.sealed || goodEnd >= fileBytes || (await onlyZeros(file, goodEnd, fileBytes)) ? "end" : "bad";
        return { end: base + state.commitEnd, goodEnd, sealed: state.sealed, outcome: rest, fileBytes, provenSynced };
      }
      filled += (await ahead) ?? 0;
      start = state.commitEnd;
      if (kernel.capacity - filled >= BLOCK_BYTES) continue;
      // Keep the commit that is not whole yet; it must fit the buffer with room to read on.
      const kept = filled - start;
      if (kept > kernel.capacity / 2) {
        if (kept > COMMIT_BYTES_MAX)
          return { end: base + start, goodEnd: base + state.goodEnd, sealed: false, outcome: "bad", fileBytes, provenSynced };
        kernel.reserve(Math.min(kernel.capacity * 2, Math.max(fileBytes - base, BLOCK_BYTES)) + BLOCK_BYTES);
      }
      kernel.bytes.copyWithin(0, start, filled);
      base += start;
      filled = kept;
      start = 0;
    }
  } finally {
    await ahead?.catch(() => {});
  }
}

interface WalkState {
  commitEnd: number;
  goodEnd: number;
  sealed: boolean;
  outcome: "more" | "bad";
  provenSynced: number;
}

function walkCommits(
  kernel: FrameKernel,
  start: number,
  filled: number,
  base: number,
  seed: number,
  visit: ScanOptions["visit"],
): WalkState {
  const state: WalkState = { commitEnd: start, goodEnd: start, sealed: false, outcome: "more", provenSynced: 0 };
  const { bytes, view } = kernel;
  let frames: number[] = [];
  for (;;) {
    const { count, end } = tableOfFrames(kernel, state.goodEnd, filled, base);
    const bad = kernel.check(count, seed, base, false);
    const right = bad < 0 ? count : bad;
    for (let frame = 0; frame < right; frame++) {
      const at = kernel.offsets[frame];
      frames.push(at);
      state.provenSynced = Math.max(state.provenSynced, syncedBefore(view, at, base + at));
      state.goodEnd = at + kernel.lengths[frame];
      if (!isMarked(view, at)) continue;
      visit({ bytes, view, frames, base, end: base + state.goodEnd });
      state.commitEnd = state.goodEnd;
      if (isSeal(view, at)) return { ...state, sealed: true };
      frames = [];
    }
    if (right < count || end === "bad") return { ...state, outcome: "bad" };
    if (end === "short") return state;
  }
}

/** Puts what has a frame's shape from `at` on into the kernel's table, up to a seal; says how many, and why it ended. */
function tableOfFrames(kernel: FrameKernel, at: number, filled: number, base: number): { count: number; end: "full" | "short" | "bad" } {
  const { view, offsets, lengths } = kernel;
  for (let count = 0; ; count++) {
    if (count === FRAMES_PER_CHECK) return { count, end: "full" };
    const shape = checkShape(view, at, filled);
    if (shape === "short") return { count, end: "short" };
    if (shape !== "ok" || syncedBefore(view, at, base + at) < 0) return { count, end: "bad" };
    offsets[count] = at;
    lengths[count] = frameLength(view, at);
    at += lengths[count];
  }
}

/** Whether the file holds nothing but zeros in `[from, to)`. */
export async function onlyZeros(file: DiskFile, from: number, to: number): Promise<boolean> {
  const block = Buffer.allocUnsafe(Math.max(1, Math.min(256 * 1024, to - from)));
  const zeros = Buffer.alloc(block.length);
  for (let at = from; at < to; at += block.length) {
    const count = await file.read(block, 0, Math.min(block.length, to - at), at);
    if (count === 0) return true;
    if (!block.subarray(0, count).equals(zeros.subarray(0, count))) return false;
  }
  return true;
}
