/** Loads segment indexes and looks at frames for the index, which reads no file itself. */
import { scanSegmentSync } from "./log/scan-sync.ts";
import type { FrameSource } from "./log/frame-source.ts";
import { openBlock } from "./log/block-files.ts";
import type { PageCache } from "./index/page-cache.ts";
import type { SegmentIndex } from "./index/segment-index.ts";
import type { IndexSource, SegmentEntry, StoreIndex } from "./index/store-index.ts";
import { Retention } from "./log/retention.ts";
import type { SegmentFiles } from "./log/segment-files.ts";

export interface IndexSourceParts {
  readonly files: SegmentFiles;
  readonly frames: FrameSource;
  readonly cache: PageCache;
  storeId(): Uint8Array;
  index(): StoreIndex;
  /** An index block could not be used; why. */
  rebuilt(segmentId: number, reason: string): void;
}

export function createIndexSource(parts: IndexSourceParts): IndexSource {
  const retentions = new WeakMap<SegmentEntry, { readonly retention: Retention | null }>();
  const rebuild = (segment: SegmentEntry, reason: string): SegmentIndex => {
    parts.rebuilt(segment.id, reason);
    const index = parts.index();
    const { rows, systemFrames, isWhole, lost } = scanSegmentSync(parts.files, segment, parts.storeId(), index);
    segment.lost = lost;
    segment.systemFrames = systemFrames;
    segment.blockIsBad = true;
    // Rows without what was lost are in no checkpoint, which would make them all there is: whoever opens the store next is to miss it again. Nor
    // are rows that follow on such: an entity's lead past its event that was lost, and to the one before.
    segment.indexOnDisk = !isWhole || index.segments.some((before) => before.id < segment.id && (before.lost?.length ?? 0) > 0);
    return rows;
  };
  return {
    removedBatch(segment: SegmentEntry, id: Uint8Array) {
      let known = retentions.get(segment);
      if (known === undefined) {
        known = { retention: segment.sealed ? Retention.of(parts.files, parts.frames, segment.id) : null };
        if (segment.sealed) retentions.set(segment, known);
      }
      return known.retention?.batchOf(id) ?? null;
    },
    hasId: (segment, offset, id, bytesMax) => parts.frames.hasId(segment.id, offset, id, bytesMax),
    loadIndex(segment: SegmentEntry): SegmentIndex {
      const opened = openBlock(parts.files, segment.id, parts.storeId(), parts.cache);
      if (opened.kind === "ok") return opened.block.index;
      return rebuild(segment, opened.reason);
    },
    rebuildIndex: (segment: SegmentEntry) => rebuild(segment, "a page of its index block is bad"),
  };
}
