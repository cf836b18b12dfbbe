/** Numbers about an open store. */
import type { StoreAccess } from "./store-access.ts";

/** What a store holds and what it holds in memory. */
export interface StoreStats {
  /** Visible events. */
  readonly events: number;
  /** Entities with a visible event. */
  readonly entities: number;
  readonly segments: number;
  /** Bytes of frames in all segments. */
  readonly bytes: number;
  /** The next event's sequence. */
  readonly nextSequence: number;
  /** Bytes of appends that are not settled; 0 in a read-only store. */
  readonly queuedBytes: number;
  /** The most that there ever were since opening. */
  readonly queuedBytesPeak: number;
  /** Bytes of index pages in memory. */
  readonly indexCacheBytes: number;
  /** Index pages loaded since opening. */
  readonly indexPagesLoaded: number;
  /** Frames read one by one since opening. */
  readonly framesRead: number;
  /** Blocks of frames read since opening. */
  readonly blocksRead: number;
  /** Groups committed since opening. */
  readonly commits: number;
  /** Checkpoints written since opening. */
  readonly checkpoints: number;
  /** Why the last checkpoint could not be written; null when it could. */
  readonly checkpointError: unknown;
}

export function statsOf({ parts, writer }: StoreAccess): StoreStats {
  const { cache, frames, loader } = parts;
  const { index } = parts.log;
  return {
    events: index.visibleEvents,
    entities: index.heads.liveEntities,
    segments: index.segments.length,
    bytes: index.segments.reduce((total, segment) => total + segment.framesEnd, 0),
    nextSequence: index.visible.sequence,
    queuedBytes: writer?.acceptance.queuedBytes ?? 0,
    queuedBytesPeak: writer?.acceptance.queuedBytesPeak ?? 0,
    indexCacheBytes: cache.bytes,
    indexPagesLoaded: cache.pagesLoaded,
    framesRead: frames.framesRead,
    blocksRead: loader.blocksRead,
    commits: writer?.log.queue.commits ?? 0,
    checkpoints: writer?.checkpointer.written ?? 0,
    checkpointError: writer?.checkpointer.lastError ?? null,
  };
}
