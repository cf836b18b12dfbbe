/**
 * `durable.mark`: what the writer has made visible and what it has synced, rewritten in place after each commit and not itself synced.
 * Readers in other processes use the visible position, recovery only the synced one. A mark that is torn, of another store, or of
 * an older generation than the segments counts for nothing. Little-endian.
 */
import { crc32 } from "node:zlib";
import { sameBytes } from "../../base/hex.ts";
import { getUint64, setUint64 } from "../../base/u64.ts";

export const DURABLE_MARK = {
  magic: 0, // 8 bytes
  storeId: 8, // 16 bytes
  generation: 24, // u64
  visibleSegment: 32, // u64
  visibleOffset: 40, // u64
  visibleSequence: 48, // u64: the next event's
  syncedSegment: 56, // u64
  syncedOffset: 64, // u64
  crc: 72, // u32: CRC-32 of what precedes it
  bytes: 76,
} as const;

export const DURABLE_MARK_FILE = "durable.mark";

const MAGIC = Uint8Array.from(Buffer.from("BATPAKDM", "latin1"));

export interface DurableMark {
  storeId: Uint8Array;
  generation: number;
  visibleSegment: number;
  visibleOffset: number;
  visibleSequence: number;
  syncedSegment: number;
  syncedOffset: number;
}

/** Writes the mark into `bytes`, which has `DURABLE_MARK.bytes` bytes. */
export function encodeDurableMark(mark: DurableMark, bytes: Uint8Array, view: DataView): void {
  bytes.set(MAGIC, DURABLE_MARK.magic);
  bytes.set(mark.storeId, DURABLE_MARK.storeId);
  setUint64(view, DURABLE_MARK.generation, mark.generation);
  setUint64(view, DURABLE_MARK.visibleSegment, mark.visibleSegment);
  setUint64(view, DURABLE_MARK.visibleOffset, mark.visibleOffset);
  setUint64(view, DURABLE_MARK.visibleSequence, mark.visibleSequence);
  setUint64(view, DURABLE_MARK.syncedSegment, mark.syncedSegment);
  setUint64(view, DURABLE_MARK.syncedOffset, mark.syncedOffset);
  view.setUint32(DURABLE_MARK.crc, crc32(bytes.subarray(0, DURABLE_MARK.crc)), true);
}

/** The mark in these bytes, or null where there is none that can be believed. */
export function decodeDurableMark(bytes: Uint8Array): DurableMark | null {
  if (bytes.length < DURABLE_MARK.bytes || !sameBytes(bytes, 0, MAGIC, 0, MAGIC.length)) return null;
  const view = new DataView(bytes.buffer, bytes.byteOffset, DURABLE_MARK.bytes);
  if (crc32(bytes.subarray(0, DURABLE_MARK.crc)) !== view.getUint32(DURABLE_MARK.crc, true)) return null;
  const mark = {
    storeId: bytes.slice(DURABLE_MARK.storeId, DURABLE_MARK.storeId + 16),
    generation: getUint64(view, DURABLE_MARK.generation),
    visibleSegment: getUint64(view, DURABLE_MARK.visibleSegment),
    visibleOffset: getUint64(view, DURABLE_MARK.visibleOffset),
    visibleSequence: getUint64(view, DURABLE_MARK.visibleSequence),
    syncedSegment: getUint64(view, DURABLE_MARK.syncedSegment),
    syncedOffset: getUint64(view, DURABLE_MARK.syncedOffset),
  };
  return Object.values(mark).every((value) => typeof value !== "number" || Number.isSafeInteger(value)) ? mark : null;
}
