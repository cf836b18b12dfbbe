/**
 * Walks the frames of a segment file, block by block, and hands out whole commits: the frames after the previous mark up to a marked one.
 * Judges nothing but frames: what a bad place means is recovery's business.
 */
import { systemClock } from "../base/clock.ts";
import { rest } from "../base/rest.ts";
import type { DiskFile } from "../disk/disk.ts";
import type { FrameWalker } from "../kernel/frame-kernel.ts";
import { FRAME_RECORD, RECORD_MARKED } from "../kernel/frame-record.ts";
import { type FrameRun, openFrameWalker } from "./frame-walker.ts";

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
const REGION_BYTES = 4 * BLOCK_BYTES;
/** A visitor that needs longer is given the rest of a block in another turn of the event loop: names and heads may be cold. */
const TURN_MS_MAX = 8;
/** A commit that does not fit this is no commit of ours: the largest batch is 256 MiB of payload. */
const COMMIT_BYTES_MAX = 640 * 1024 * 1024;

export interface ScanOptions {
  readonly file: DiskFile;
  readonly seed: number;
  /** Offset of the first frame looked at; must be a commit's first. */
  readonly from: number;
  /** Nothing at or past this offset is looked at. */
  readonly to?: number;
  /** Called with all frames of whole commits, in order, some at a time; a commit that takes several calls gets them without a rest between. */
  readonly visit: (run: FrameRun) => void;
}

/** Scans to the first place that is no frame, or to the seal. */
export async function scanSegment(options: ScanOptions): Promise<ScanResult> {
  const { from } = options;
  const fileBytes = Math.min(await options.file.size(), options.to ?? Number.POSITIVE_INFINITY);
  if (fileBytes <= from) return { end: from, goodEnd: from, sealed: false, outcome: "end", fileBytes, provenSynced: 0 };
  const walker = spareWalker ?? openFrameWalker(REGION_BYTES);
  spareWalker = null;
  try {
    return await scanWith(walker, fileBytes, options);
  } finally {
    if (walker.region.capacity <= 2 * REGION_BYTES) spareWalker = walker;
  }
}

/** The walker of the last scan, for the next one: opening scans one segment after the other. */
let spareWalker: FrameWalker | null = null;

async function scanWith(walker: FrameWalker, size: number, options: ScanOptions): Promise<ScanResult> {
  const { file, seed } = options;
  const { region } = walker;
  let fileBytes = size;
  /** What to add to a position in the region for its offset in the segment. */
  let base = options.from;
  /** What is not handed out yet begins here, and what has not been walked. */
  let start = 0;
  let walked = 0;
  let filled = 0;
  let provenSynced = 0;
  const read = async (at: number): Promise<number> => {
    const wanted = Math.min(BLOCK_BYTES, region.capacity - at, fileBytes - base - at);
    const count = wanted > 0 ? await file.read(region.bytes, at, wanted, base + at) : 0;
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
      const walk = walker.walk(walked, filled, seed, base);
      if (walk.commitEnd > walked) {
        await handOut(walker, start, walk.commitEnd, base, options.visit);
        start = walk.commitEnd;
      }
      walked = walk.goodEnd;
      provenSynced = Math.max(provenSynced, walk.provenSynced);
      const goodEnd = base + walked;
      if (walk.outcome !== "short" || atFileEnd) {
        const sealed = walk.outcome === "sealed";
        const outcome = sealed || goodEnd >= fileBytes || (await onlyZeros(file, goodEnd, fileBytes)) ? "end" : "bad";
        return { end: base + start, goodEnd, sealed, outcome, fileBytes, provenSynced };
      }
      filled += (await ahead) ?? 0;
      if (region.capacity - filled >= BLOCK_BYTES) continue;
      // Keep the commit that is not whole yet; it must fit the region with room to read on.
      const kept = filled - start;
      if (kept > region.capacity / 2) {
        if (kept > COMMIT_BYTES_MAX) return { end: base + start, goodEnd, sealed: false, outcome: "bad", fileBytes, provenSynced };
        region.reserve(Math.min(region.capacity * 2, Math.max(fileBytes - base, BLOCK_BYTES)) + BLOCK_BYTES);
      }
      region.bytes.copyWithin(0, start, filled);
      base += start;
      filled = kept;
      walked -= start;
      start = 0;
    }
  } finally {
    await ahead?.catch(() => {});
  }
}

/** Hands out the frames in `[at, end)` of the region, which were found right; rests between two commits where the visitor takes long. */
async function handOut(walker: FrameWalker, at: number, end: number, base: number, visit: ScanOptions["visit"]): Promise<void> {
  const { bytes, view } = walker.region;
  let since = systemClock.monotonicMs();
  while (at < end) {
    let count = walker.describe(at, end);
    const { words, numbers } = walker;
    const isDue = systemClock.monotonicMs() - since >= TURN_MS_MAX;
    const ofWholeCommits = isDue ? countUpToMark(words, count) : 0;
    if (ofWholeCommits > 0) count = ofWholeCommits;
    const last = (count - 1) * FRAME_RECORD.words;
    at = words[last + FRAME_RECORD.at] + words[last + FRAME_RECORD.length];
    visit({ bytes, view, words, numbers, count, base, end: base + at });
    if (ofWholeCommits === 0 || at >= end) continue;
    await rest();
    since = systemClock.monotonicMs();
  }
}

/** How many of the records belong to commits that end among them. */
function countUpToMark(words: Uint32Array, count: number): number {
  while (count > 0 && (words[(count - 1) * FRAME_RECORD.words + FRAME_RECORD.flags] & RECORD_MARKED) === 0) count--;
  return count;
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
