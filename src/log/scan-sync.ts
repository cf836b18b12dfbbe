/**
 * The rows of a sealed segment from its frames, at once: for a look-up that must not wait and finds the index block unusable. Rare, and
 * blocking for as long as a segment takes to read (about a quarter of a second for 64 MiB).
 */
import { uninitializedBytes } from "../base/uninitialized.ts";
import { getUint64 } from "../base/u64.ts";
import { frameFlags, segmentSeed } from "../format/native/frame.ts";
import { FRAME, FRAME_FLAG } from "../format/native/frame-layout.ts";
import { SEGMENT_HEADER } from "../format/native/segment-header.ts";
import { ActiveSegmentIndex } from "../index/active-segment-index.ts";
import type { LostEvents } from "../index/lost-events.ts";
import type { SegmentEntry, StoreIndex } from "../index/store-index.ts";
import { FrameFinder } from "./frame-search.ts";
import { addRecordInForce } from "./records-in-force.ts";
import { pushFrameRow } from "./replay.ts";
import type { SegmentFiles } from "./segment-files.ts";

export interface ScannedSegment {
  readonly rows: ActiveSegmentIndex;
  /** Its system records in force: whole frames. */
  readonly systemFrames: Uint8Array[];
  /** Whether damage took nothing, neither an event nor a system record. */
  readonly isWhole: boolean;
  /** The events that damage took, ascending. */
  readonly lost: readonly LostEvents[];
}

/** The rows and records of the frames that are whole, and between which of them some are missing. */
export function scanSegmentSync(files: SegmentFiles, segment: SegmentEntry, storeId: Uint8Array, index: StoreIndex): ScannedSegment {
  const file = files.file(segment.id);
  const end = segment.framesEnd;
  const bytes = uninitializedBytes(end);
  const count = file.readSync(bytes, 0, end, 0);
  const view = new DataView(bytes.buffer, bytes.byteOffset, end);
  const finder = new FrameFinder(bytes.subarray(0, count), segmentSeed(storeId, segment.id), 0);
  const rows = new ActiveSegmentIndex(index.entities, index.scopes, segment.firstSequence);
  const previous = new Map<number, number>();
  const systemFrames: Uint8Array[] = [];
  const lost: LostEvents[] = [];
  let frames = 0;
  let due = segment.firstSequence;
  let damagedAt = -1;
  const noteLost = (next: number): void => {
    if (damagedAt >= 0 && next > due) lost.push({ from: due, to: next, offset: damagedAt });
    damagedAt = -1;
  };
  for (let at: number = SEGMENT_HEADER.bytes; at < end; ) {
    const length = finder.lengthAt(at);
    if (length === 0 || at + length > count || !finder.isFrame(at)) {
      if (damagedAt < 0) damagedAt = at;
      at++;
      continue;
    }
    const flags = frameFlags(view, at);
    const sequence = getUint64(view, at + FRAME.sequence);
    if ((flags & FRAME_FLAG.seal) === 0) frames++;
    if ((flags & (FRAME_FLAG.system | FRAME_FLAG.seal)) === 0 && sequence >= due) {
      noteLost(sequence);
      const previousOf = (id: number): number => previous.get(id) ?? lastBefore(index, index.entities.name(id), segment);
      previous.set(pushFrameRow(index, rows, bytes, view, at, at, previousOf), sequence);
      due = sequence + 1;
    }
    if ((flags & (FRAME_FLAG.system | FRAME_FLAG.retention)) === FRAME_FLAG.system)
      addRecordInForce(systemFrames, bytes.slice(at, at + length));
    at += length;
  }
  noteLost(segment.nextSequence);
  // A seal that is damaged takes nothing with it, though sequences may have been skipped before it.
  const isWhole = frames >= segment.frames;
  return { rows, systemFrames, isWhole, lost: isWhole ? [] : lost };
}

/** The sequence of the entity's last event in an earlier segment; -1 when there is none. */
export function lastBefore(index: StoreIndex, name: string, segment: SegmentEntry): number {
  for (let i = index.segments.indexOf(segment) - 1; i >= 0; i--) {
    const summary = index.indexOf(index.segments[i]).entity(name);
    if (summary !== null) return summary.lastSequence >= 0 ? summary.lastSequence : summary.previousSequence;
  }
  return -1;
}
