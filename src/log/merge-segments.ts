/**
 * Makes one segment of several sealed ones that follow on each other, with the events that are to stay. Bodies and hashes stay as they are; the
 * prefixes (place, mark) are made anew. What is left out is told by retention frames, which come first.
 */
import { crc32 } from "node:zlib";
import { startedWith } from "../base/column-bytes.ts";
import { PieceList } from "../base/piece-list.ts";
import { StoreError } from "../base/store-error.ts";
import type { DiskFile } from "../disk/disk.ts";
import { COMMIT_MARK, FRAME, FRAME_FLAG, LENGTH_MASK } from "../format/native/frame-layout.ts";
import { checkFrame, frameFlags, frameLength, frameSeed, isMarked, segmentSeed } from "../format/native/frame.ts";
import { RetentionFrames } from "../format/native/retention.ts";
import { encodeSeal, isSeal } from "../format/native/seal.ts";
import { encodeSegmentHeader, SEGMENT_HEADER } from "../format/native/segment-header.ts";
import type { FrameSource } from "./frame-source.ts";
import type { RemovedRows } from "./removed-rows.ts";
import { Removed, rowOf, type WalkedEvent } from "./removed.ts";
import { Retention } from "./retention.ts";
import type { SegmentFiles } from "./segment-files.ts";

/** A sealed segment, and which of its events stay. */
export interface SurveyedSegment {
  readonly id: number;
  readonly firstSequence: number;
  readonly nextSequence: number;
  /** The offset after its seal. */
  readonly framesEnd: number;
  readonly kept: KeptEvents;
}

/** Which of a segment's events stay: a bit for each, in order. */
export class KeptEvents {
  /** How many stay. */
  count = 0;
  #events = 0;
  #bits = new Uint8Array(1024);

  add(stays: boolean): void {
    const event = this.#events++;
    if (event >>> 3 === this.#bits.length) this.#bits = startedWith(new Uint8Array(2 * this.#bits.length), this.#bits);
    if (!stays) return;
    this.#bits[event >>> 3] |= 1 << (event & 7);
    this.count++;
  }

  has(event: number): boolean {
    return event < this.#events && (this.#bits[event >>> 3] & (1 << (event & 7))) !== 0;
  }
}

export interface MergeInput {
  readonly files: SegmentFiles;
  readonly frames: FrameSource;
  readonly storeId: Uint8Array;
  readonly generation: number;
  readonly nowMicros: number;
  /** Ascending, without a gap. */
  readonly segments: readonly SurveyedSegment[];
  /** Of the segment that follows on them: the newest is never compacted. */
  readonly idBehind: number;
  readonly pause: Pause;
}

/**
 * Called between two steps, with the bytes that were read in the one before: lets the event loop turn where that is due, and throws where the work is
 * to end.
 */
export type Pause = (bytes?: number) => Promise<void>;

/** Looked at in one step, unless a frame is larger. */
const READ_BYTES = 256 * 1024;
/** So little is read at once: whoever comes to a small segment opens its file so as well, which takes longer. */
const SMALL_BYTES = 64 * 1024;
const PIECE_BYTES = 256 * 1024;
const BATCHES_PER_STEP = 256;

export interface FrameBlock {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  /** Where the block begins in its file. */
  readonly from: number;
  /** Where frames begin in the block. */
  readonly frames: readonly number[];
}

/** Every frame of a sealed segment up to its seal, in blocks, with a pause after each. Throws `CORRUPT` at one that is none. */
export async function* frameBlocks(
  files: SegmentFiles,
  storeId: Uint8Array,
  segmentId: number,
  framesEnd: number,
  pause: Pause,
): AsyncGenerator<FrameBlock, void> {
  const seed = segmentSeed(storeId, segmentId);
  const file = files.pin(segmentId);
  try {
    let wanted = READ_BYTES;
    for (let from: number = SEGMENT_HEADER.bytes; from < framesEnd; ) {
      const bytes = new Uint8Array(Math.min(wanted, framesEnd - from));
      const view = new DataView(bytes.buffer);
      const { length } = bytes;
      const count = length <= SMALL_BYTES ? file.readSync(bytes, 0, length, from) : await file.read(bytes, 0, length, from);
      const frames: number[] = [];
      let at = 0;
      for (;;) {
        const outcome = at < count ? checkFrame(bytes, view, at, count, seed, from + at) : "short";
        if (outcome === "short" && count === length && from + at < framesEnd && (at > 0 || length < framesEnd - from)) break;
        if (outcome !== "ok") {
          if (at === count && from + at === framesEnd) break;
          const reason = "a frame there is not right";
          throw new StoreError("CORRUPT", `Cannot compact segment ${segmentId}: ${reason} (offset ${from + at}), run batpak verify`, {
            segmentId,
            offset: from + at,
            reason,
          });
        }
        if (!isSeal(view, at)) frames.push(at);
        at += frameLength(view, at);
      }
      // A frame that is larger than what is read at once.
      wanted = at === 0 ? wanted * 4 : READ_BYTES;
      if (frames.length > 0) yield { bytes, view, from, frames };
      from += at;
      await pause(length);
    }
  } finally {
    files.unpin(segmentId);
  }
}

/** The removed events of a commit, and whether its batch had a key or a given id. */
type VisitCommit = (events: readonly WalkedEvent[], hasForeign: boolean) => void;

/** Goes over the commits of a segment that lose events, in order. */
async function eachRemoved({ files, storeId, pause }: MergeInput, segment: SurveyedSegment, visit: VisitCommit): Promise<void> {
  let event = 0;
  let commit: WalkedEvent[] = [];
  let hasForeign = false;
  for await (const { bytes, view, frames } of frameBlocks(files, storeId, segment.id, segment.framesEnd, pause)) {
    for (const at of frames) {
      const flags = frameFlags(view, at);
      if ((flags & FRAME_FLAG.system) === 0 && !segment.kept.has(event++)) {
        commit.push({ bytes, view, at });
        hasForeign ||= (flags & FRAME_FLAG.foreignId) !== 0;
      }
      if (!isMarked(view, at)) continue;
      if (commit.length > 0) visit(commit, hasForeign);
      commit = [];
      hasForeign = false;
    }
  }
}

/**
 * Writes the range's retention frames; gives where the summary stands. The events that go are gone over twice where there are rows among them: these are
 * as large as the events, and stand behind what is known only when the last one was met.
 */
async function writeRetention(input: MergeInput, frames: RetentionFrames, pause: Pause): Promise<number> {
  const { files, frames: source, segments, generation } = input;
  const removed = new Removed();
  const earlier = new Map<number, Retention>();
  const haveRows = new Set<number>();
  for (const segment of segments) {
    const retention = Retention.of(files, source, segment.id);
    if (retention !== null) {
      earlier.set(segment.id, retention);
      await removed.earlier(retention, pause);
    }
    await eachRemoved(input, segment, (events, hasForeign) => {
      for (const event of events) removed.event(event);
      if (hasForeign) haveRows.add(segment.id);
    });
  }
  const tellRows = async (rows: RemovedRows): Promise<void> => {
    for (const segment of segments) {
      let batches = 0;
      for (const batch of earlier.get(segment.id)?.batches() ?? []) {
        rows.batch(batch);
        if (++batches % BATCHES_PER_STEP === 0) await pause();
      }
      if (!haveRows.has(segment.id)) continue;
      // A batch with a key goes whole or not at all.
      const take: VisitCommit = (events, hasForeign) => void (hasForeign && rows.batch(events.map(rowOf)));
      await eachRemoved({ ...input, pause }, segment, take);
    }
  };
  return await removed.write(frames, generation, tellRows, pause);
}

/** Writes the merged segment: retention frames, what stays, seal, and at last the header, which says where the record stands. Its id is that of the first. */
export async function writeMergedSegment(input: MergeInput, file: DiskFile): Promise<void> {
  const { files, storeId, segments, idBehind, generation, nowMicros, pause } = input;
  const [first] = segments;
  const last = segments[segments.length - 1];
  const seed = segmentSeed(storeId, first.id);
  let position: number = SEGMENT_HEADER.bytes;
  const put = async (piece: Uint8Array): Promise<void> => {
    if (piece.length > 0) await file.write(piece, 0, piece.length, position, false);
    position += piece.length;
  };
  const retention = new RetentionFrames(seed, first.firstSequence, nowMicros);
  const retentionAt = await writeRetention(input, retention, async (bytes) => {
    await put(retention.take(PIECE_BYTES));
    await pause(bytes);
  });
  await put(retention.take(0));
  const writer = new KeptFrames(seed, retention.offset);
  for (const segment of segments) {
    let event = 0;
    for await (const { bytes, view, frames } of frameBlocks(files, storeId, segment.id, segment.framesEnd, pause)) {
      for (const at of frames) {
        const flags = frameFlags(view, at);
        const isSystem = (flags & FRAME_FLAG.system) !== 0;
        const stays = isSystem ? (flags & FRAME_FLAG.retention) === 0 : segment.kept.has(event++);
        if (stays) writer.add(bytes.subarray(at, at + frameLength(view, at)));
        if (isMarked(view, at)) writer.endCommit();
      }
      await put(writer.take(PIECE_BYTES));
    }
  }
  await put(writer.take(0));
  const seal = { frames: retention.count + writer.frames, nextSequence: last.nextSequence, timeMicros: nowMicros };
  await put(encodeSeal(seal, seed, writer.offset, writer.offset));
  const header = encodeSegmentHeader({
    storeId,
    segmentId: first.id,
    firstSequence: first.firstSequence,
    generation,
    replacesFrom: first.id,
    // What was compacted before stands for a range itself, and what has come behind since may have a number of it: nothing beyond is missing.
    replacesTo: idBehind - 1,
    createdMicros: nowMicros,
    retentionAt,
  });
  await file.write(header, 0, header.length, 0, false);
}

/**
 * Gives frames their new places and marks. The whole file is synced before it has its name: each frame proves that what stands before it was.
 */
class KeptFrames {
  frames = 0;
  /** Where the next frame will stand. */
  offset: number;
  readonly #seed: number;
  #commit: Uint8Array[] = [];
  readonly #ready = new PieceList();

  constructor(seed: number, offset: number) {
    this.#seed = seed;
    this.offset = offset;
  }

  add(frame: Uint8Array): void {
    this.#commit.push(Uint8Array.from(frame));
  }

  endCommit(): void {
    const commit = this.#commit;
    for (const [i, bytes] of commit.entries()) {
      const view = new DataView(bytes.buffer);
      const mark = i === commit.length - 1 ? COMMIT_MARK : 0;
      view.setUint32(FRAME.length, ((view.getUint32(FRAME.length, true) & LENGTH_MASK) | mark) >>> 0, true);
      view.setUint32(FRAME.syncBack, 0, true);
      view.setUint32(FRAME.crc, crc32(bytes.subarray(FRAME.length), frameSeed(this.#seed, this.offset)), true);
      this.offset += bytes.length;
      this.#ready.add(bytes);
    }
    this.frames += commit.length;
    this.#commit = [];
  }

  /** What is ready, once it is more than so many bytes; else nothing. */
  take(bytesMin: number): Uint8Array {
    return this.#ready.take(bytesMin);
  }
}
