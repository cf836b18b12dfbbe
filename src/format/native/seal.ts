/**
 * The seal: the last frame of a segment that is full. It has a frame's shape without names; its clock field counts the frames before it, its
 * sequence field is the next event's. The index block follows it.
 */
import { crc32 } from "node:zlib";
import { getUint64 } from "../../base/u64.ts";
import { blake3 } from "../../kernel/frame-kernel.ts";
import { COMMIT_MARK, FRAME, FRAME_FLAG } from "./frame-layout.ts";
import { frameFlags, frameSeed, stampFrame } from "./frame.ts";

export interface Seal {
  /** Frames before the seal, system records included. */
  readonly frames: number;
  readonly nextSequence: number;
  readonly timeMicros: number;
}

/** The seal frame that stands at `offset` of the segment with this seed, all before it being synced up to `syncedOffset`. */
export function encodeSeal(seal: Seal, seed: number, offset: number, syncedOffset: number): Uint8Array {
  const bytes = new Uint8Array(FRAME.bytesMin);
  const view = new DataView(bytes.buffer);
  view.setUint32(FRAME.length, (FRAME.bytesMin | COMMIT_MARK) >>> 0, true);
  bytes[FRAME.flags] = FRAME_FLAG.seal;
  stampFrame(view, 0, seal.frames, seal.nextSequence, seal.timeMicros, offset - syncedOffset);
  const hashAt = FRAME.bytesMin - FRAME.hashBytes;
  bytes.set(blake3(bytes.subarray(FRAME.body, hashAt)), hashAt);
  view.setUint32(FRAME.crc, crc32(bytes.subarray(FRAME.length), frameSeed(seed, offset)), true);
  return bytes;
}

export function isSeal(view: DataView, at: number): boolean {
  return (frameFlags(view, at) & FRAME_FLAG.seal) !== 0;
}

/** What a checked seal frame says. */
export function decodeSeal(view: DataView, at: number): Seal {
  return {
    frames: getUint64(view, at + FRAME.clock),
    nextSequence: getUint64(view, at + FRAME.sequence),
    timeMicros: getUint64(view, at + FRAME.time),
  };
}
