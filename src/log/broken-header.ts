/**
 * Whose frames a segment holds whose header cannot be believed. The CRC of each frame begins from store, segment and place: a right one tells
 * the store as surely as the header would.
 */
import type { Disk } from "../disk/disk.ts";
import { segmentSeed } from "../format/native/frame.ts";
import { SEGMENT_HEADER, type SegmentHeader } from "../format/native/segment-header.ts";
import type { SegmentFiles } from "./segment-files.ts";
import { findFrames } from "./frame-search.ts";

/** Gives the store, of those given or the one that the bytes of the header name, whose frames stand in the segment's file; null where none do. */
export async function storeOfFrames(
  disk: Disk,
  files: SegmentFiles,
  id: number,
  candidates: readonly (Uint8Array | null | undefined)[],
): Promise<Uint8Array | null> {
  const file = await disk.open(files.path(id), "read");
  try {
    const size = await file.size();
    const named = new Uint8Array(16);
    const hasName = (await file.read(named, 0, 16, SEGMENT_HEADER.storeId)) === 16;
    const tried = new Set<string>();
    for (const storeId of [...candidates, hasName ? named : null]) {
      const text = storeId === null || storeId === undefined ? "" : Buffer.from(storeId).toString("hex");
      if (storeId === null || storeId === undefined || tried.has(text)) continue;
      tried.add(text);
      let found = false;
      await findFrames(file, segmentSeed(storeId, id), 0, size, () => {
        found = true;
        return false;
      });
      if (found) return storeId;
    }
    return null;
  } finally {
    await file.close();
  }
}

/** Where nobody asks whose segment it is. */
export const NO_STORE = new Uint8Array(16);

/** What stands for the header of such a segment: it says no more than its name does. */
export function standInHeader(storeId: Uint8Array, segmentId: number, generation: number): SegmentHeader {
  return { storeId, segmentId, firstSequence: 0, generation, replacesFrom: 0, replacesTo: 0, createdMicros: 0 };
}
