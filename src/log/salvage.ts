/**
 * What is whole in a damaged segment: frame by frame, found again after each bad place. Batches may come in part; whoever reads knows from
 * the report that something is missing.
 */
import { rest } from "../base/rest.ts";
import type { DiskFile } from "../disk/disk.ts";
import { isSeal } from "../format/native/seal.ts";
import { FrameSearch } from "./frame-search.ts";
import { type FrameRun, runOfFrame } from "./frame-walker.ts";

export interface SalvageInput {
  readonly file: DiskFile;
  readonly seed: number;
  readonly from: number;
  /** Frames that end behind this offset are left out. */
  readonly to: number;
  readonly visit: (frame: FrameRun) => void;
}

/** Frames that are handed out between two rests, some microseconds each. */
const FRAMES_PER_STEP = 1024;

/** Hands out every right frame from `from` on by itself. */
export async function salvageSegment(input: SalvageInput): Promise<void> {
  const { file, seed, from, to, visit } = input;
  const search = new FrameSearch(file, seed, Math.min(to, await file.size()));
  let frames = 0;
  for (let frame = await search.next(from); frame !== null; frame = await search.next(frame.offset + frame.length)) {
    const bytes = search.bytesOf(frame);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    // A seal counts frames that are not all there.
    if (!isSeal(view, 0)) visit(runOfFrame(bytes, view, frame.offset));
    if (++frames % FRAMES_PER_STEP === 0) await rest();
  }
}
