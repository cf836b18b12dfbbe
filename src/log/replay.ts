/**
 * Makes index entries from frames: what appending did when they were written. Used for the tail past a checkpoint, for segments without an
 * index block, and by readers that follow a writer.
 */
import { assert } from "../base/assert.ts";
import { getUint64 } from "../base/u64.ts";
import { StoreError } from "../base/store-error.ts";
import { causationAt, correlationAt, entityStart, frameFlags, frameLength, isMarked, scopeStart } from "../format/native/frame.ts";
import { nativeFrames } from "../format/native/frame-format.ts";
import { FRAME, FRAME_FLAG } from "../format/native/frame-layout.ts";
import { decodeSeal } from "../format/native/seal.ts";
import type { ActiveSegmentIndex } from "../index/active-segment-index.ts";
import { HEAD_PLACE } from "../index/head-layout.ts";
import { idTag } from "../index/id-tag.ts";
import { OFFSET_ENDS_BATCH, OFFSET_FOREIGN_ID, OFFSET_MASK } from "../index/segment-index.ts";
import type { SegmentEntry, StoreIndex } from "../index/store-index.ts";
import { FRAME_RECORD, RECORD_KIND_SHIFT, RECORD_MARKED } from "../kernel/frame-record.ts";
import type { FrameRun } from "./frame-walker.ts";
import { addRecordInForce } from "./records-in-force.ts";

export interface ReplayTarget {
  readonly index: StoreIndex;
  /** Called with each system record, as a whole frame of its own memory. */
  systemRecord(frame: Uint8Array): void;
  /** The newest id that the writer issued: 16 bytes, kept up to date. */
  readonly lastIssuedId: Uint8Array;
  /** Events replayed. */
  events: number;
  /** Whether frames are left out up to the next marked one: one of their commit cannot stand where it stands. */
  leavesOut: boolean;
}

const NO_EVENT = FRAME_FLAG.seal | FRAME_FLAG.system | FRAME_FLAG.retention;
/** Of frames whose id the writer did not issue, or that have none. */
const NOT_ISSUED = NO_EVENT | FRAME_FLAG.foreignId;

/**
 * Enters the frames of a run, of a segment whose index is in memory. `leftOut` is told of a right frame that cannot stand where it stands; the
 * rest of its commit is left out as well, unless it throws. Returns the record of the last frame that was entered; -1 where none was.
 */
export function replayRun(
  target: ReplayTarget,
  segment: SegmentEntry,
  run: FrameRun,
  leftOut: (error: StoreError<"CORRUPT">) => void,
): number {
  const { words, count, base } = run;
  const rows = segment.index as ActiveSegmentIndex;
  let hasRoom = false;
  let entered = -1;
  let issued = -1;
  try {
    for (let record = 0; record < count; record++) {
      const to = record * FRAME_RECORD.words;
      const at = words[to + FRAME_RECORD.at];
      const flags = words[to + FRAME_RECORD.flags];
      if (!target.leavesOut) {
        if (!hasRoom && (flags & NO_EVENT) === 0) {
          rows.makeRoom(count - record);
          hasRoom = true;
        }
        if ((flags & FRAME_FLAG.seal) !== 0) noteIssued(target, run, issued);
        const problem = replayFrame(target, segment, run, record);
        if (problem === null) {
          entered = record;
          if ((flags & NOT_ISSUED) === 0) issued = record;
          segment.framesEnd = base + at + words[to + FRAME_RECORD.length];
        } else {
          leftOut(replayError(segment, base + at, problem));
          target.leavesOut = true;
        }
      }
      if ((flags & RECORD_MARKED) !== 0) target.leavesOut = false;
    }
  } finally {
    // Whoever is told of what a frame throws goes on from here, and from the frame before it.
    noteIssued(target, run, issued);
  }
  return entered;
}

/** Notes the id of this record's event as the newest one that the writer issued. */
function noteIssued(target: ReplayTarget, { bytes, view, words }: FrameRun, record: number): void {
  if (record < 0) return;
  nativeFrames.copyId(bytes, view, words[record * FRAME_RECORD.words + FRAME_RECORD.at], target.lastIssuedId, 0);
}

/** Enters a frame, or tells why it cannot stand there. */
function replayFrame(target: ReplayTarget, segment: SegmentEntry, run: FrameRun, record: number): string | null {
  const { bytes, view, words, numbers } = run;
  const to = record * FRAME_RECORD.words;
  const flags = words[to + FRAME_RECORD.flags];
  const at = words[to + FRAME_RECORD.at];
  if ((flags & FRAME_FLAG.seal) !== 0) return replaySeal(target, segment, view, at);
  if ((flags & NO_EVENT) === 0) {
    const sequence = numbers[(to >>> 1) + FRAME_RECORD.sequence];
    const due = target.index.acceptedSequence;
    if (run.base + at > OFFSET_MASK) return `it stands behind ${OFFSET_MASK + 1} bytes, where no segment has one`;
    if (sequence >= due) replayEvent(target, segment, run, record, sequence);
    segment.frames++;
    return sequence >= due ? null : `its sequence is ${sequence}, at least ${due} is due`;
  }
  if ((flags & FRAME_FLAG.retention) === 0) replaySystemRecord(target, segment, bytes, view, at);
  segment.frames++;
  return null;
}

/** Enters a seal, or tells why it cannot stand there. */
function replaySeal(target: ReplayTarget, segment: SegmentEntry, view: DataView, at: number): string | null {
  const seal = decodeSeal(view, at);
  const { index } = target;
  // What compaction removed at the end of a segment had sequences too.
  const isSequenceRight =
    segment.generation > 0 ? seal.nextSequence >= index.acceptedSequence : seal.nextSequence === index.acceptedSequence;
  if (!isSequenceRight || seal.frames !== segment.frames)
    return `the seal counts ${seal.frames} frames up to sequence ${seal.nextSequence}, ${segment.frames} are there`;
  index.acceptedSequence = segment.nextSequence = seal.nextSequence;
  segment.sealed = true;
  segment.lastIssuedId = target.lastIssuedId.slice();
  return null;
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

function replayEvent(target: ReplayTarget, segment: SegmentEntry, run: FrameRun, record: number, sequence: number): void {
  const { bytes, view, words, numbers, base } = run;
  const { index } = target;
  const { heads } = index;
  const rows = segment.index as ActiveSegmentIndex;
  const to = record * FRAME_RECORD.words;
  const flags = words[to + FRAME_RECORD.flags];
  const at = words[to + FRAME_RECORD.at];
  const scope = words[to + FRAME_RECORD.scope];
  const clock = numbers[(to >>> 1) + FRAME_RECORD.clock];
  const timeMicros = numbers[(to >>> 1) + FRAME_RECORD.time];
  const isForeign = (flags & FRAME_FLAG.foreignId) !== 0;
  const entityId = index.entities.internHashed(bytes, words[to + FRAME_RECORD.entity], scope, words[to + FRAME_RECORD.entityHash]);
  heads.ensure(entityId);
  const head = heads.numbersToWrite(entityId);
  const headAt = heads.places(entityId);
  const scopeId = index.internScopeBytes(bytes, scope, words[to + FRAME_RECORD.scopeEnd], sequence);
  const kind = flags >>> RECORD_KIND_SHIFT;
  index.newest?.note(entityId, scopeId, kind, sequence);
  if (index.newest?.awaitsLinks === true)
    index.newest.noteLinks(words[to + FRAME_RECORD.correlationTag], words[to + FRAME_RECORD.causationTag]);
  rows.pushValues(
    entityId,
    scopeId,
    kind,
    clock,
    flaggedOffset(base + at, (flags & RECORD_MARKED) !== 0, isForeign),
    timeMicros,
    words[to + FRAME_RECORD.idTag],
    words[to + FRAME_RECORD.correlationTag],
    words[to + FRAME_RECORD.causationTag],
    sequence,
    head[headAt + HEAD_PLACE.sequence],
  );
  rows.noteLastWords(entityId, words, to + FRAME_RECORD.hash);
  if (isForeign) rows.noteForeignId(view, at + FRAME.id);
  head[headAt + HEAD_PLACE.clock] = clock;
  head[headAt + HEAD_PLACE.sequence] = sequence;
  head[headAt + HEAD_PLACE.timeMicros] = timeMicros;
  heads.setHashWords(entityId, words, to + FRAME_RECORD.hash);
  heads.setVisible(entityId, sequence);
  index.visibleEvents++;
  index.acceptedSequence = sequence + 1;
  if (timeMicros > index.lastTimeMicros) index.lastTimeMicros = timeMicros;
  segment.nextSequence = sequence + 1;
  target.events++;
}

function flaggedOffset(offset: number, isMarked: boolean, isForeign: boolean): number {
  return (offset | (isMarked ? OFFSET_ENDS_BATCH : 0) | (isForeign ? OFFSET_FOREIGN_ID : 0)) >>> 0;
}

/**
 * Adds the row of the event whose frame stands at `offset` of its segment, and gives its entity. `previousOf` tells the sequence of an entity's
 * event before this one, once the entity has its place in the heads.
 */
export function pushFrameRow(
  index: StoreIndex,
  rows: ActiveSegmentIndex,
  bytes: Uint8Array,
  view: DataView,
  at: number,
  offset: number,
  previousOf: (entityId: number) => number,
): number {
  assert(offset <= OFFSET_MASK, "a frame stands where a row's offset can tell");
  const sequence = getUint64(view, at + FRAME.sequence);
  const scopeAt = scopeStart(view, at);
  const scopeEnd = scopeAt + view.getUint16(at + FRAME.scopeLength, true);
  const entityId = index.entities.internBytes(bytes, entityStart(view, at), scopeAt);
  const scopeId = index.internScopeBytes(bytes, scopeAt, scopeEnd, sequence);
  index.heads.ensure(entityId);
  const isForeign = (frameFlags(view, at) & FRAME_FLAG.foreignId) !== 0;
  const causation = causationAt(view, at);
  rows.pushValues(
    entityId,
    scopeId,
    view.getUint16(at + FRAME.kind, true),
    getUint64(view, at + FRAME.clock),
    flaggedOffset(offset, isMarked(view, at), isForeign),
    getUint64(view, at + FRAME.time),
    idTag(view, at + FRAME.id),
    idTag(view, correlationAt(view, at)),
    causation < 0 ? 0 : idTag(view, causation),
    sequence,
    previousOf(entityId),
  );
  rows.noteLast(entityId, view, at + FRAME.id, at + frameLength(view, at) - FRAME.hashBytes);
  if (isForeign) rows.noteForeignId(view, at + FRAME.id);
  return entityId;
}

function replayError(segment: SegmentEntry, offset: number, reason: string): StoreError<"CORRUPT"> {
  return new StoreError("CORRUPT", `Cannot take up the frame at segment ${segment.id}, offset ${offset}: ${reason}`, {
    segmentId: segment.id,
    offset,
    reason,
  });
}
