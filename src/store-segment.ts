/** A segment of the log, as tools show it. */
import type { SegmentEntry } from "./index/store-index.ts";

/** A segment of the log, as `store.segments()` tells of it. */
export interface StoreSegment {
  readonly id: number;
  /** Sequence of its first event, or of the one that it would be. */
  readonly firstSequence: number;
  /** The sequence after that of its last visible event. */
  readonly nextSequence: number;
  readonly generation: number;
  /** Whether nothing is appended to it any more. */
  readonly sealed: boolean;
  /** Where its frames end, in bytes. */
  readonly bytes: number;
  /** Visible frames, system records included. */
  readonly frames: number;
  /** Whether its index is a block on disk; else its rows are in memory. */
  readonly indexOnDisk: boolean;
}

export function describeSegment(segment: SegmentEntry, bound: number): StoreSegment {
  const { id, firstSequence, nextSequence, generation, sealed, framesEnd, visibleFrames, indexOnDisk } = segment;
  const next = Math.max(firstSequence, Math.min(nextSequence, bound));
  return { id, firstSequence, nextSequence: next, generation, sealed, bytes: framesEnd, frames: visibleFrames, indexOnDisk };
}
