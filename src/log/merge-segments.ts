/**
 * Makes one segment of several sealed ones that follow on each other, with the events that are to stay. Bodies and hashes stay as they are; the
 * prefixes (place, mark) are made anew. What is left out is told by retention frames, which come first.
 */
import { crc32 } from "node:zlib";
import { StoreError } from "../base/store-error.ts";
import { COMMIT_MARK, FRAME, FRAME_FLAG, LENGTH_MASK } from "../format/native/frame-layout.ts";
import { checkFrame, frameFlags, frameLength, frameSeed, isMarked, segmentSeed } from "../format/native/frame.ts";
import { RetentionFrames } from "../format/native/retention.ts";
import { encodeSeal, isSeal } from "../format/native/seal.ts";
import { encodeSegmentHeader, SEGMENT_HEADER } from "../format/native/segment-header.ts";
import type { FrameSource } from "./frame-source.ts";
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
  /** A bit for each event frame, in order: set where it stays. */
  readonly kept: Uint8Array;
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
  /** Called between two steps: lets the event loop turn, and throws where the work is to end. */
  readonly pause: () => Promise<void>;
}

/** Looked at in one step, unless a frame is larger. */
const READ_BYTES = 256 * 1024;
const PIECE_BYTES = 256 * 1024;

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
  pause: () => Promise<void>,
): AsyncGenerator<FrameBlock, void> {
  const seed = segmentSeed(storeId, segmentId);
  const file = files.pin(segmentId);
  try {
    let wanted = READ_BYTES;
    for (let from: number = SEGMENT_HEADER.bytes; from < framesEnd; ) {
      const bytes = new Uint8Array(Math.min(wanted, framesEnd - from));
      const view = new DataView(bytes.buffer);
      const count = await file.read(bytes, 0, bytes.length, from);
      const frames: number[] = [];
      let at = 0;
      for (;;) {
        const outcome = at < count ? checkFrame(bytes, view, at, count, seed, from + at) : "short";
        if (outcome === "short" && count === bytes.length && from + at < framesEnd && (at > 0 || bytes.length < framesEnd - from)) break;
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
      await pause();
    }
  } finally {
    files.unpin(segmentId);
  }
}

export function isKept(kept: Uint8Array, event: number): boolean {
  return (kept[event >>> 3] & (1 << (event & 7))) !== 0;
}

/** Where the range's retention frames end, and the frames themselves. */
async function retentionOf(input: MergeInput): Promise<{ frames: RetentionFrames; retentionAt: number }> {
  const { files, frames: source, storeId, segments, generation, nowMicros, pause } = input;
  const [first] = segments;
  const removed = new Removed();
  for (const segment of segments) {
    const retention = Retention.of(files, source, segment.id);
    if (retention !== null) await removed.earlier(retention, pause);
    let event = 0;
    let commit: WalkedEvent[] = [];
    let hasForeign = false;
    for await (const { bytes, view, frames } of frameBlocks(files, storeId, segment.id, segment.framesEnd, pause)) {
      for (const at of frames) {
        const flags = frameFlags(view, at);
        if ((flags & FRAME_FLAG.system) === 0 && !isKept(segment.kept, event++)) {
          removed.event({ bytes, view, at });
          commit.push({ bytes, view, at });
          hasForeign ||= (flags & FRAME_FLAG.foreignId) !== 0;
        }
        if (!isMarked(view, at)) continue;
        // A batch with a key goes whole or not at all.
        if (hasForeign) removed.batch(commit.map(rowOf));
        commit = [];
        hasForeign = false;
      }
    }
  }
  const frames = new RetentionFrames(segmentSeed(storeId, first.id), first.firstSequence, nowMicros);
  return { retentionAt: await removed.write(frames, generation, pause), frames };
}

/** The bytes of the merged segment, in pieces: header, retention frames, what stays, seal. Its id is that of the first. */
export async function* mergedSegment(input: MergeInput): AsyncGenerator<Uint8Array, void> {
  const { files, storeId, segments, idBehind, generation, nowMicros, pause } = input;
  const [first] = segments;
  const last = segments[segments.length - 1];
  const { frames: retention, retentionAt } = await retentionOf(input);
  yield encodeSegmentHeader({
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
  yield* retention.pieces;
  const writer = new KeptFrames(segmentSeed(storeId, first.id), retention.offset);
  for (const segment of segments) {
    let event = 0;
    for await (const { bytes, view, frames } of frameBlocks(files, storeId, segment.id, segment.framesEnd, pause)) {
      for (const at of frames) {
        const flags = frameFlags(view, at);
        const isSystem = (flags & FRAME_FLAG.system) !== 0;
        const stays = isSystem ? (flags & FRAME_FLAG.retention) === 0 : isKept(segment.kept, event++);
        if (stays) writer.add(bytes.subarray(at, at + frameLength(view, at)));
        if (isMarked(view, at)) writer.endCommit();
      }
      yield* writer.take(PIECE_BYTES);
    }
  }
  yield* writer.take(0);
  const seal = { frames: retention.pieces.length + writer.frames, nextSequence: last.nextSequence, timeMicros: nowMicros };
  yield encodeSeal(seal, segmentSeed(storeId, first.id), writer.offset, writer.offset);
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
  #ready: Uint8Array[] = [];
  #readyBytes = 0;

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
      this.#readyBytes += bytes.length;
      this.#ready.push(bytes);
    }
    this.frames += commit.length;
    this.#commit = [];
  }

  /** What is ready, once it is more than so many bytes. */
  *take(bytesMin: number): Generator<Uint8Array, void> {
    if (this.#readyBytes <= bytesMin) return;
    yield Buffer.concat(this.#ready);
    this.#ready = [];
    this.#readyBytes = 0;
  }
}
