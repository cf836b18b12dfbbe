/**
 * The rows of a sealed segment from its frames, at once: for a look-up that must not wait and finds the index block unusable. Rare, and
 * blocking for as long as a segment takes to read (about a quarter of a second for 64 MiB).
 */
import { uninitializedBytes } from "../base/uninitialized.ts";
import { getUint64 } from "../base/u64.ts";
import {
  causationAt,
  checkFrame,
  correlationAt,
  entityStart,
  frameFlags,
  frameLength,
  isMarked,
  scopeStart,
  segmentSeed,
} from "../format/native/frame.ts";
import { FRAME, FRAME_FLAG } from "../format/native/frame-layout.ts";
import { SEGMENT_HEADER } from "../format/native/segment-header.ts";
import { ActiveSegmentIndex } from "../index/active-segment-index.ts";
import { idTag } from "../index/id-tag.ts";
import { OFFSET_ENDS_BATCH, OFFSET_FOREIGN_ID } from "../index/segment-index.ts";
import type { SegmentEntry, StoreIndex } from "../index/store-index.ts";
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
    pushRow(rows, bytes, view, at, index, segment, previous);
  }
  return rows;
}

function pushRow(
  rows: ActiveSegmentIndex,
  bytes: Uint8Array,
  view: DataView,
  at: number,
  index: StoreIndex,
  segment: SegmentEntry,
  previous: Map<number, number>,
): void {
  const entityAt = entityStart(view, at);
  const scopeAt = scopeStart(view, at);
  const entityId = index.entities.internBytes(bytes, entityAt, scopeAt);
  const sequence = getUint64(view, at + FRAME.sequence);
  const scopeId = index.internScopeBytes(bytes, scopeAt, scopeAt + view.getUint16(at + FRAME.scopeLength, true), sequence);
  let before = previous.get(entityId);
  if (before === undefined) before = lastBefore(index, index.entities.name(entityId), segment);
  previous.set(entityId, sequence);
  const causation = causationAt(view, at);
  const foreign = (frameFlags(view, at) & FRAME_FLAG.foreignId) !== 0;
  const offset = (at | (isMarked(view, at) ? OFFSET_ENDS_BATCH : 0) | (foreign ? OFFSET_FOREIGN_ID : 0)) >>> 0;
  const kind = view.getUint16(at + FRAME.kind, true);
  const clock = getUint64(view, at + FRAME.clock);
  const time = getUint64(view, at + FRAME.time);
  const causationTag = causation < 0 ? 0 : idTag(view, causation);
  rows.pushValues(
    entityId,
    scopeId,
    kind,
    clock,
    offset,
    time,
    idTag(view, at + FRAME.id),
    idTag(view, correlationAt(view, at)),
    causationTag,
    sequence,
    before,
  );
}

/** The sequence of the entity's last event in an earlier segment; -1 when there is none. */
function lastBefore(index: StoreIndex, name: string, segment: SegmentEntry): number {
  for (let i = index.segments.indexOf(segment) - 1; i >= 0; i--) {
    const summary = index.indexOf(index.segments[i]).entity(name);
    if (summary !== null) return summary.lastSequence >= 0 ? summary.lastSequence : summary.previousSequence;
  }
  return -1;
}
