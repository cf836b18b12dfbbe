/**
 * Makes index entries from frames: what appending did when they were written. Used for the tail past a checkpoint, for segments without an
 * index block, and by readers that follow a writer.
 */
import { getUint64 } from "../base/u64.ts";
import { StoreError } from "../base/store-error.ts";
import { causationAt, correlationAt, entityStart, frameFlags, frameLength, isMarked, scopeStart } from "../format/native/frame.ts";
import { nativeFrames } from "../format/native/frame-format.ts";
import { FRAME, FRAME_FLAG } from "../format/native/frame-layout.ts";
import { decodeSeal } from "../format/native/seal.ts";
import type { ActiveSegmentIndex } from "../index/active-segment-index.ts";
import { HEAD_PLACE, headPlaces } from "../index/heads.ts";
import { idTag } from "../index/id-tag.ts";
import { OFFSET_ENDS_BATCH, OFFSET_FOREIGN_ID } from "../index/segment-index.ts";
import type { SegmentEntry, StoreIndex } from "../index/store-index.ts";
import { addRecordInForce } from "./records-in-force.ts";
import type { ScannedCommit } from "./segment-scan.ts";

export interface ReplayTarget {
  readonly index: StoreIndex;
  /** Called with each system record, as a whole frame of its own memory. */
  systemRecord(frame: Uint8Array): void;
  /** The newest id that the writer issued: 16 bytes, kept up to date. */
  readonly lastIssuedId: Uint8Array;
  /** Events replayed. */
  events: number;
}

const NO_EVENT = FRAME_FLAG.seal | FRAME_FLAG.system | FRAME_FLAG.retention;

/** Enters a whole commit of a segment whose index is in memory. */
export function replayCommit(target: ReplayTarget, segment: SegmentEntry, commit: ScannedCommit): void {
  const { bytes, view, frames, base } = commit;
  for (const at of frames) {
    const flags = frameFlags(view, at);
    if ((flags & NO_EVENT) === 0) {
      segment.frames++;
      replayEvent(target, segment, bytes, view, at, base + at, (flags & FRAME_FLAG.foreignId) !== 0);
      continue;
    }
    if ((flags & FRAME_FLAG.seal) !== 0) {
      const seal = decodeSeal(view, at);
      const { index } = target;
      // What compaction removed at the end of a segment had sequences too.
      const isSequenceRight =
        segment.generation > 0 ? seal.nextSequence >= index.acceptedSequence : seal.nextSequence === index.acceptedSequence;
      if (!isSequenceRight || seal.frames !== segment.frames) {
        throw replayError(
          segment,
          base + at,
          `the seal counts ${seal.frames} frames up to sequence ${seal.nextSequence}, ${segment.frames} are there`,
        );
      }
      index.acceptedSequence = segment.nextSequence = seal.nextSequence;
      segment.sealed = true;
      segment.lastIssuedId = target.lastIssuedId.slice();
      continue;
    }
    segment.frames++;
    if ((flags & FRAME_FLAG.retention) === 0) replaySystemRecord(target, segment, bytes, view, at);
  }
  segment.framesEnd = commit.end;
}

function replaySystemRecord(target: ReplayTarget, segment: SegmentEntry, bytes: Uint8Array, view: DataView, at: number): void {
  const frame = bytes.slice(at, at + frameLength(view, at));
  enterSystemHead(target.index, frame);
  addRecordInForce(segment.systemFrames, frame);
  target.systemRecord(frame);
}

/** Moves the head of the system's own entity on to this record. */
export function enterSystemHead(index: StoreIndex, frame: Uint8Array): void {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  const entity = entityStart(view, 0);
  const entityId = index.entities.internBytes(frame, entity, scopeStart(view, 0));
  index.heads.ensure(entityId);
  index.heads.accept(entityId, getUint64(view, FRAME.clock), index.heads.sequence(entityId), getUint64(view, FRAME.time));
  index.heads.setHash(entityId, view, frame.length - FRAME.hashBytes);
}

function replayEvent(
  target: ReplayTarget,
  segment: SegmentEntry,
  bytes: Uint8Array,
  view: DataView,
  at: number,
  offset: number,
  isForeign: boolean,
): void {
  const { index } = target;
  const { heads } = index;
  const sequence = getUint64(view, at + FRAME.sequence);
  if (sequence < index.acceptedSequence)
    throw replayError(segment, offset, `its sequence is ${sequence}, at least ${index.acceptedSequence} is due`);
  const entityId = pushFrameRow(index, segment.index as ActiveSegmentIndex, bytes, view, at, offset, null);
  const timeMicros = getUint64(view, at + FRAME.time);
  if (!isForeign) nativeFrames.copyId(bytes, view, at, target.lastIssuedId, 0);
  const head = heads.numbersToWrite(entityId);
  const headAt = headPlaces(entityId);
  head[headAt + HEAD_PLACE.clock] = getUint64(view, at + FRAME.clock);
  head[headAt + HEAD_PLACE.sequence] = sequence;
  head[headAt + HEAD_PLACE.timeMicros] = timeMicros;
  heads.setHash(entityId, view, at + frameLength(view, at) - FRAME.hashBytes);
  heads.setVisible(entityId, sequence);
  index.visibleEvents++;
  index.acceptedSequence = sequence + 1;
  if (timeMicros > index.lastTimeMicros) index.lastTimeMicros = timeMicros;
  segment.nextSequence = sequence + 1;
  target.events++;
}

/**
 * Adds the row of the event whose frame stands at `offset` of its segment, and gives its entity. `previousOf` tells the sequence of an entity's
 * event before this one, once the entity has its place in the heads; null: the heads tell.
 */
export function pushFrameRow(
  index: StoreIndex,
  rows: ActiveSegmentIndex,
  bytes: Uint8Array,
  view: DataView,
  at: number,
  offset: number,
  previousOf: ((entityId: number) => number) | null,
): number {
  const sequence = getUint64(view, at + FRAME.sequence);
  const scopeAt = scopeStart(view, at);
  const scopeEnd = scopeAt + view.getUint16(at + FRAME.scopeLength, true);
  const entityId = index.entities.internBytes(bytes, entityStart(view, at), scopeAt);
  const scopeId = index.internScopeBytes(bytes, scopeAt, scopeEnd, sequence);
  index.heads.ensure(entityId);
  const foreign = (frameFlags(view, at) & FRAME_FLAG.foreignId) !== 0;
  const causation = causationAt(view, at);
  const flagged = (offset | (isMarked(view, at) ? OFFSET_ENDS_BATCH : 0) | (foreign ? OFFSET_FOREIGN_ID : 0)) >>> 0;
  rows.pushValues(
    entityId,
    scopeId,
    view.getUint16(at + FRAME.kind, true),
    getUint64(view, at + FRAME.clock),
    flagged,
    getUint64(view, at + FRAME.time),
    idTag(view, at + FRAME.id),
    idTag(view, correlationAt(view, at)),
    causation < 0 ? 0 : idTag(view, causation),
    sequence,
    previousOf === null ? index.heads.sequence(entityId) : previousOf(entityId),
  );
  rows.noteId(view, at + FRAME.id);
  return entityId;
}

function replayError(segment: SegmentEntry, offset: number, reason: string): StoreError<"CORRUPT"> {
  return new StoreError("CORRUPT", `Cannot take up the frame at segment ${segment.id}, offset ${offset}: ${reason}`, {
    segmentId: segment.id,
    offset,
    reason,
  });
}
