/** A segment that has nothing in it yet, as the index knows it. */
import { SEGMENT_HEADER } from "../format/native/segment-header.ts";
import { ActiveSegmentIndex } from "../index/active-segment-index.ts";
import type { SegmentEntry, StoreIndex } from "../index/store-index.ts";

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
