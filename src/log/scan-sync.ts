/**
 * The rows of a sealed segment from its frames, at once: for a look-up that must not wait and finds the index block unusable. Rare, and
 * blocking for as long as a segment takes to read (about a quarter of a second for 64 MiB).
 */
import { uninitializedBytes } from "../base/uninitialized.ts";
import { getUint64 } from "../base/u64.ts";
import { checkFrame, frameFlags, frameLength, segmentSeed } from "../format/native/frame.ts";
import { FRAME, FRAME_FLAG } from "../format/native/frame-layout.ts";
import { SEGMENT_HEADER } from "../format/native/segment-header.ts";
import { ActiveSegmentIndex } from "../index/active-segment-index.ts";
import type { SegmentEntry, StoreIndex } from "../index/store-index.ts";
import { pushFrameRow } from "./replay.ts";
import type { SegmentFiles } from "./segment-files.ts";

/** The segment's rows. Where each entity's event before the segment stands is found by `previousOf`. */
export function scanSegmentSync(files: SegmentFiles, segment: SegmentEntry, storeId: Uint8Array, index: StoreIndex): ActiveSegmentIndex {
  const file = files.file(segment.id);
  const end = segment.framesEnd;
  const bytes = uninitializedBytes(end);
  const count = file.readSync(bytes, 0, end, 0);
  const view = new DataView(bytes.buffer, bytes.byteOffset, end);
  const seed = segmentSeed(storeId, segment.id);
  const rows = new ActiveSegmentIndex(index.entities, index.scopes, segment.firstSequence);
  const previous = new Map<number, number>();
  for (let at = SEGMENT_HEADER.bytes; at < count && checkFrame(bytes, view, at, count, seed, at) === "ok"; at += frameLength(view, at)) {
    if ((frameFlags(view, at) & (FRAME_FLAG.system | FRAME_FLAG.seal)) !== 0) continue;
    const sequence = getUint64(view, at + FRAME.sequence);
    const entityId = pushFrameRow(
      index,
      rows,
      bytes,
      view,
      at,
      at,
      (id) => previous.get(id) ?? lastBefore(index, index.entities.name(id), segment),
    );
    previous.set(entityId, sequence);
  }
  return rows;
}

/** The sequence of the entity's last event in an earlier segment; -1 when there is none. */
export function lastBefore(index: StoreIndex, name: string, segment: SegmentEntry): number {
  for (let i = index.segments.indexOf(segment) - 1; i >= 0; i--) {
    const summary = index.indexOf(index.segments[i]).entity(name);
    if (summary !== null) return summary.lastSequence >= 0 ? summary.lastSequence : summary.previousSequence;
  }
  return -1;
}
