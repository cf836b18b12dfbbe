/**
 * What is whole in a damaged segment: frame by frame, found again after each bad place. Batches may come in part; whoever reads knows from
 * the report that something is missing.
 */
import { uninitializedBytes } from "../base/uninitialized.ts";
import type { DiskFile } from "../disk/disk.ts";
import { isSeal } from "../format/native/seal.ts";
import { findFrames } from "./frame-search.ts";
import { type FrameRun, runOfFrame } from "./frame-walker.ts";

export interface SalvageInput {
  readonly file: DiskFile;
  readonly seed: number;
  readonly from: number;
  readonly visit: (frame: FrameRun) => void;
}

/** Hands out every right frame from `from` on by itself. */
export async function salvageSegment(input: SalvageInput): Promise<void> {
  const { file, seed, from, visit } = input;
  const places: { offset: number; length: number }[] = [];
  await findFrames(file, seed, from, await file.size(), ({ offset, length }) => places.push({ offset, length }) > 0);
  for (const { offset, length } of places) {
    const bytes = uninitializedBytes(length);
    await file.read(bytes, 0, length, offset);
    const view = new DataView(bytes.buffer, bytes.byteOffset, length);
    // A seal counts frames that are not all there.
    if (!isSeal(view, 0)) visit(runOfFrame(bytes, view, offset));
  }
}
