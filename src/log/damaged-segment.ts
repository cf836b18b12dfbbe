/**
 * A damaged segment: what of it is whole, and the bytes that repair puts in its place. Bodies and hashes of frames stay as they are; the prefixes
 * (place, mark), header and seal are made anew, and so are the frames that tell what compaction removed, of what of them is whole.
 */
import { crc32 } from "node:zlib";
import { assert } from "../base/assert.ts";
import { rest } from "../base/rest.ts";
import { getUint64 } from "../base/u64.ts";
import { uninitializedBytes } from "../base/uninitialized.ts";
import type { Disk } from "../disk/disk.ts";
import { FRAME, FRAME_FLAG } from "../format/native/frame-layout.ts";
import { frameFlags, frameLength, frameSeed, isMarked, markFrame, segmentSeed } from "../format/native/frame.ts";
import { RetentionFrames } from "../format/native/retention.ts";
import { decodeSeal, encodeSeal, type Seal } from "../format/native/seal.ts";
import { decodeSegmentHeader, encodeSegmentHeader, SEGMENT_HEADER, type SegmentHeader } from "../format/native/segment-header.ts";
import { findFrames } from "./frame-search.ts";
import type { RemovedRows } from "./removed-rows.ts";
import { Removed } from "./removed.ts";
import { RetentionSalvage, type SalvagedRecord } from "./retention-salvage.ts";

export interface RightFrame {
  readonly offset: number;
  readonly length: number;
}

export interface DamagedSegment {
  readonly bytes: Uint8Array;
  /** The right frames in order, but for the seal and those of the record of what compaction removed. */
  readonly frames: readonly RightFrame[];
  /** The sequences of the events among them. */
  readonly events: readonly number[];
  /** The furthest next sequence that a system record among them repeats; 0 where there is none. */
  readonly nextOfRecords: number;
  readonly seal: Seal | null;
  /** What is whole of that record; null where no frame of it is. */
  readonly retention: RetentionSalvage | null;
}

/** Reads what is whole of the segment's file. */
export async function readDamagedSegment(disk: Disk, path: string, seed: number): Promise<DamagedSegment> {
  const file = await disk.open(path, "read");
  try {
    const room = uninitializedBytes(await file.size());
    const bytes = room.subarray(0, await file.read(room, 0, room.length, 0));
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const frames: RightFrame[] = [];
    const events: number[] = [];
    let nextOfRecords = 0;
    let seal: Seal | null = null;
    let retention: RetentionSalvage | null = null;
    await findFrames(file, seed, SEGMENT_HEADER.bytes, bytes.length, ({ offset, length }) => {
      const flags = frameFlags(view, offset);
      if ((flags & FRAME_FLAG.seal) !== 0) seal = decodeSeal(view, offset);
      else if ((flags & FRAME_FLAG.retention) !== 0) (retention ??= new RetentionSalvage()).take(bytes, view, offset);
      else {
        frames.push({ offset, length });
        const sequence = getUint64(view, offset + FRAME.sequence);
        if ((flags & FRAME_FLAG.system) === 0) events.push(sequence);
        else nextOfRecords = Math.max(nextOfRecords, sequence);
      }
      return true;
    });
    return { bytes, frames, events, nextOfRecords, seal, retention };
  } finally {
    await file.close();
  }
}

export interface RebuiltSegment extends Pick<DamagedSegment, "bytes" | "frames"> {
  /** Where the record stands follows. */
  readonly header: SegmentHeader;
  /** Null where nothing is known to have been removed. */
  readonly record: SalvagedRecord | null;
  /** What the seal names; null: the segment is not sealed. */
  readonly nextSequence: number | null;
}

/** What is done between two rests, in bytes that are copied and checksummed: a millisecond's work or so. A frame counts for some by itself. */
const BYTES_PER_STEP = 1024 * 1024;
const BYTES_A_FRAME = 256;

/** The segment anew. */
export async function rebuildSegment({ bytes, frames, header, record, nextSequence }: RebuiltSegment): Promise<Uint8Array> {
  const { createdMicros, firstSequence, generation } = header;
  const seed = segmentSeed(header.storeId, header.segmentId);
  const retention = new RetentionFrames(seed, firstSequence, createdMicros);
  const removed = new Removed();
  if (record !== null) await removed.earlier(record, rest);
  const tellRows = async (rows: RemovedRows): Promise<void> => {
    for (const batch of record?.batches() ?? []) rows.batch(batch);
    await rest();
  };
  const retentionAt = await removed.write(retention, generation, tellRows, rest);
  const length = frames.reduce<number>((sum, frame) => sum + frame.length, retention.offset);
  const made = new Uint8Array(length + (nextSequence === null ? 0 : FRAME.bytesMin));
  const view = new DataView(made.buffer);
  made.set(encodeSegmentHeader({ ...header, retentionAt }));
  made.set(retention.take(0), SEGMENT_HEADER.bytes);
  let at: number = retention.offset;
  let work = 0;
  for (const [i, frame] of frames.entries()) {
    made.set(bytes.subarray(frame.offset, frame.offset + frame.length), at);
    const following = frames[i + 1];
    // A commit that lost its end, or what followed it, ends where it now ends.
    if (!isMarked(view, at) && following?.offset !== frame.offset + frame.length) markFrame(view, at);
    // The whole file is synced before it has its name: each frame proves that what stands before it was.
    view.setUint32(at + FRAME.syncBack, 0, true);
    const end = at + frameLength(view, at);
    view.setUint32(at + FRAME.crc, crc32(made.subarray(at + FRAME.length, end), frameSeed(seed, at)), true);
    at = end;
    work += frame.length + BYTES_A_FRAME;
    if (work < BYTES_PER_STEP) continue;
    work = 0;
    await rest();
  }
  if (nextSequence !== null) {
    const seal = { frames: retention.count + frames.length, nextSequence, timeMicros: createdMicros };
    made.set(encodeSeal(seal, seed, at, at), at);
  }
  return made;
}

/** A whole segment in another generation, in its own bytes. */
export function inGeneration(segment: Uint8Array, generation: number): Uint8Array {
  const outcome = decodeSegmentHeader(segment.subarray(0, SEGMENT_HEADER.bytes));
  assert(outcome.kind === "ok", "a segment that was made has a whole header");
  segment.set(encodeSegmentHeader({ ...outcome.header, generation }));
  return segment;
}
