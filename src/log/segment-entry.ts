/** A segment as the index knows it: one that has nothing in it yet, and whether a file can be one that was noted before. */
import type { DiskFile } from "../disk/disk.ts";
import { SEGMENT_HEADER } from "../format/native/segment-header.ts";
import { ActiveSegmentIndex } from "../index/active-segment-index.ts";
import type { SegmentEntry, StoreIndex } from "../index/store-index.ts";
import { headerIn } from "./segment-files.ts";

/** The entry of a segment that begins with the next accepted event. It is not entered in the index yet. */
export function newSegmentEntry(index: StoreIndex, id: number, generation: number): SegmentEntry {
  const firstSequence = index.acceptedSequence;
  // Room for as many rows as the segment before has, and some: growing copies all of them, and memory that is not touched costs nothing.
  const before = index.active?.index;
  const rows = before instanceof ActiveSegmentIndex ? before.rowCount + (before.rowCount >>> 4) : 0;
  return {
    id,
    firstSequence,
    nextSequence: firstSequence,
    generation,
    sealed: false,
    framesEnd: SEGMENT_HEADER.bytes,
    frames: 0,
    visibleFrames: 0,
    lastIssuedId: new Uint8Array(16),
    index: new ActiveSegmentIndex(index.entities, index.scopes, firstSequence, rows),
    indexOnDisk: false,
    systemFrames: [],
  };
}

/** Why the file cannot be the segment that a checkpoint lists so; null where nothing speaks against it. At no frame is looked. */
export function whyUnlike(file: DiskFile, { id, framesEnd, generation }: SegmentEntry): string | null {
  // Its frames may be gone together with the index block behind them. Reading would take the rest for all there is.
  if (file.sizeSync() < framesEnd) return `segment ${id} is shorter than the ${framesEnd} bytes it speaks of`;
  const outcome = headerIn(file);
  // A broken header, or another segment's, does not say. An older copy, as a newer file beside an older checkpoint, has others of the events, and more or fewer keys.
  if (outcome.kind !== "ok" || outcome.header.segmentId !== id || outcome.header.generation === generation) return null;
  return `segment ${id} is of generation ${outcome.header.generation}, it speaks of ${generation}`;
}
