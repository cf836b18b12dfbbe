/**
 * Walking the frames of a segment, and describing them in records for whoever takes them up (`replay.ts`). The kernel does both where it is
 * there; the same by loops stands here, for runtimes without it and for frames that lie elsewhere. Tests compare the two.
 */
import { getUint64 } from "../base/u64.ts";
import {
  causationAt,
  checkFrame,
  correlationAt,
  entityStart,
  frameFlags,
  frameLength,
  isMarked,
  metadataStart,
  scopeStart,
  syncedBefore,
} from "../format/native/frame.ts";
import { FRAME } from "../format/native/frame-layout.ts";
import { nameHash } from "../format/native/name-hash.ts";
import { isSeal } from "../format/native/seal.ts";
import { idTag } from "../index/id-tag.ts";
import { createFrameKernel, createFrameWalker, type FrameRegion, type FrameWalk, type FrameWalker } from "../kernel/frame-kernel.ts";
import { FRAME_RECORD, RECORD_KIND_SHIFT, RECORD_MARKED } from "../kernel/frame-record.ts";

/** Frames of whole commits, in memory that is the visitor's only during the call: several commits, or a part of one whose rest follows. */
export interface FrameRun {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  /** A record (`FRAME_RECORD`) of each frame, as words and as numbers. */
  readonly words: Uint32Array;
  readonly numbers: Float64Array;
  readonly count: number;
  /** What to add to a position in `bytes` for its offset in the segment. */
  readonly base: number;
  /** Offset in the segment after the last of them. */
  readonly end: number;
}

/** A walker with a region of at least so many bytes. */
export function openFrameWalker(capacityBytes: number): FrameWalker {
  return createFrameWalker(capacityBytes) ?? new PlainFrameWalker(createFrameKernel(capacityBytes, 1));
}

const RECORDS_MAX = 256;

export class PlainFrameWalker implements FrameWalker {
  readonly region: FrameRegion;
  readonly numbers = new Float64Array((RECORDS_MAX * FRAME_RECORD.words) / 2);
  readonly words = new Uint32Array(this.numbers.buffer);

  constructor(region: FrameRegion) {
    this.region = region;
  }

  walk(at: number, limit: number, crcSeed: number, positionBase: number): FrameWalk {
    const { bytes, view } = this.region;
    let [goodEnd, commitEnd, provenSynced] = [at, at, 0];
    for (;;) {
      const check = checkFrame(bytes, view, goodEnd, limit, crcSeed, positionBase + goodEnd);
      if (check === "short") return { goodEnd, commitEnd, provenSynced, outcome: "short" };
      const synced = check === "ok" ? syncedBefore(view, goodEnd, positionBase + goodEnd) : -1;
      if (synced < 0) return { goodEnd, commitEnd, provenSynced, outcome: "bad" };
      provenSynced = Math.max(provenSynced, synced);
      const frame = goodEnd;
      goodEnd += frameLength(view, frame);
      if (!isMarked(view, frame)) continue;
      commitEnd = goodEnd;
      if (isSeal(view, frame)) return { goodEnd, commitEnd, provenSynced, outcome: "sealed" };
    }
  }

  describe(at: number, limit: number): number {
    const { bytes, view } = this.region;
    let count = 0;
    for (; count < RECORDS_MAX && at < limit; at += frameLength(view, at))
      describeFrame(bytes, view, at, this.words, this.numbers, count++);
    return count;
  }
}

/** The run of a single frame, which stands at the beginning of `bytes` and at `offset` of its segment. */
export function runOfFrame(bytes: Uint8Array, view: DataView, offset: number): FrameRun {
  const numbers = new Float64Array(FRAME_RECORD.words / 2);
  const words = new Uint32Array(numbers.buffer);
  describeFrame(bytes, view, 0, words, numbers, 0);
  return { bytes, view, words, numbers, count: 1, base: offset, end: offset + frameLength(view, 0) };
}

function describeFrame(bytes: Uint8Array, view: DataView, at: number, words: Uint32Array, numbers: Float64Array, record: number): void {
  const to = record * FRAME_RECORD.words;
  const length = frameLength(view, at);
  const [entity, scope, causation] = [entityStart(view, at), scopeStart(view, at), causationAt(view, at)];
  const marked = isMarked(view, at) ? RECORD_MARKED : 0;
  words[to + FRAME_RECORD.at] = at;
  words[to + FRAME_RECORD.length] = length;
  words[to + FRAME_RECORD.flags] = frameFlags(view, at) | marked | (view.getUint16(at + FRAME.kind, true) << RECORD_KIND_SHIFT);
  words[to + FRAME_RECORD.entity] = entity;
  words[to + FRAME_RECORD.scope] = scope;
  words[to + FRAME_RECORD.scopeEnd] = metadataStart(view, at);
  words[to + FRAME_RECORD.entityHash] = nameHash(bytes, entity, scope);
  words[to + FRAME_RECORD.idTag] = idTag(view, at + FRAME.id);
  words[to + FRAME_RECORD.correlationTag] = idTag(view, correlationAt(view, at));
  words[to + FRAME_RECORD.causationTag] = causation < 0 ? 0 : idTag(view, causation);
  numbers[to / 2 + FRAME_RECORD.clock] = getUint64(view, at + FRAME.clock);
  numbers[to / 2 + FRAME_RECORD.sequence] = getUint64(view, at + FRAME.sequence);
  numbers[to / 2 + FRAME_RECORD.time] = getUint64(view, at + FRAME.time);
  const hash = at + length - FRAME.hashBytes;
  for (let word = 0; word < 8; word++) words[to + FRAME_RECORD.hash + word] = view.getUint32(hash + word * 4, true);
  for (let word = 0; word < 4; word++) words[to + FRAME_RECORD.id + word] = view.getUint32(at + FRAME.id + word * 4, true);
}
