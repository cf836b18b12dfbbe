/**
 * The first 128 bytes of a native segment: whose it is and where it stands. Its magic differs from the original's, so that an older
 * reader refuses the file instead of misreading it. Little-endian.
 */
import { crc32 } from "node:zlib";
import { getUint64, setUint64 } from "../../base/u64.ts";

export const SEGMENT_HEADER = {
  magic: 0, // 8 bytes
  version: 8, // u16
  headerBytes: 10, // u16
  flags: 12, // u32, reserved, zero
  storeId: 16, // 16 bytes
  segmentId: 32, // u64
  firstSequence: 40, // u64: of the next event when the segment was made
  generation: 48, // u64: how many compactions and repairs the store had seen
  replacesFrom: 56, // u64: first segment id that this one replaces; 0 when none
  replacesTo: 64, // u64: last one
  createdMicros: 72, // u64
  retention: 80, // u64: where the frame stands that tells what was removed; 0 when nothing was
  reserved: 88, // zero
  crc: 124, // u32: CRC-32 of what precedes it
  bytes: 128,
} as const;

export const SEGMENT_MAGIC = Uint8Array.from(Buffer.from("BATPAKSG", "latin1"));
export const SEGMENT_VERSION = 1;

export interface SegmentHeader {
  readonly storeId: Uint8Array;
  readonly segmentId: number;
  readonly firstSequence: number;
  readonly generation: number;
  readonly replacesFrom: number;
  readonly replacesTo: number;
  readonly createdMicros: number;
  /** Offset of the summary of what was removed (`retention.ts`); 0, as when left out, where nothing was. */
  readonly retentionAt?: number;
}

export type SegmentHeaderOutcome =
  | { readonly kind: "ok"; readonly header: SegmentHeader }
  /** Shorter than a header, or all zeros. */
  | { readonly kind: "torn"; readonly reason: string }
  /** The file of another program. */
  | { readonly kind: "foreign"; readonly reason: string }
  /** Whole, as its CRC says, and of a version that is not read here. */
  | { readonly kind: "later"; readonly reason: string }
  | { readonly kind: "corrupt"; readonly reason: string };

export function encodeSegmentHeader(header: SegmentHeader): Uint8Array {
  const bytes = new Uint8Array(SEGMENT_HEADER.bytes);
  const view = new DataView(bytes.buffer);
  bytes.set(SEGMENT_MAGIC, SEGMENT_HEADER.magic);
  view.setUint16(SEGMENT_HEADER.version, SEGMENT_VERSION, true);
  view.setUint16(SEGMENT_HEADER.headerBytes, SEGMENT_HEADER.bytes, true);
  bytes.set(header.storeId, SEGMENT_HEADER.storeId);
  setUint64(view, SEGMENT_HEADER.segmentId, header.segmentId);
  setUint64(view, SEGMENT_HEADER.firstSequence, header.firstSequence);
  setUint64(view, SEGMENT_HEADER.generation, header.generation);
  setUint64(view, SEGMENT_HEADER.replacesFrom, header.replacesFrom);
  setUint64(view, SEGMENT_HEADER.replacesTo, header.replacesTo);
  setUint64(view, SEGMENT_HEADER.createdMicros, header.createdMicros);
  setUint64(view, SEGMENT_HEADER.retention, header.retentionAt ?? 0);
  view.setUint32(SEGMENT_HEADER.crc, crc32(bytes.subarray(0, SEGMENT_HEADER.crc)), true);
  return bytes;
}

/** Reads a header from the first bytes of a file. */
export function decodeSegmentHeader(bytes: Uint8Array): SegmentHeaderOutcome {
  const start = bytes.subarray(0, Math.min(bytes.length, SEGMENT_HEADER.bytes));
  if (start.every((byte) => byte === 0)) return { kind: "torn", reason: "the header is missing" };
  const whole = bytes.length >= SEGMENT_HEADER.bytes;
  for (let i = 0; i < Math.min(SEGMENT_MAGIC.length, start.length); i++) {
    if (start[i] !== SEGMENT_MAGIC[i]) {
      return whole
        ? { kind: "foreign", reason: "the magic is not that of a native segment" }
        : { kind: "torn", reason: "the header is short" };
    }
  }
  if (!whole) return { kind: "torn", reason: "the header is short" };
  const view = new DataView(bytes.buffer, bytes.byteOffset, SEGMENT_HEADER.bytes);
  if (crc32(start.subarray(0, SEGMENT_HEADER.crc)) !== view.getUint32(SEGMENT_HEADER.crc, true)) {
    return { kind: "corrupt", reason: "the header's CRC does not match" };
  }
  const version = view.getUint16(SEGMENT_HEADER.version, true);
  if (version > SEGMENT_VERSION) {
    const reason = `it is of format version ${version}, which a later version writes; ${SEGMENT_VERSION} is read here`;
    return { kind: "later", reason };
  }
  if (version !== SEGMENT_VERSION)
    return { kind: "foreign", reason: `it is of format version ${version}, ${SEGMENT_VERSION} is the first` };
  const headerBytes = view.getUint16(SEGMENT_HEADER.headerBytes, true);
  if (headerBytes !== SEGMENT_HEADER.bytes) {
    return { kind: "foreign", reason: `its header claims ${headerBytes} bytes, one of version ${version} has ${SEGMENT_HEADER.bytes}` };
  }
  const header = {
    storeId: start.slice(SEGMENT_HEADER.storeId, SEGMENT_HEADER.storeId + 16),
    segmentId: getUint64(view, SEGMENT_HEADER.segmentId),
    firstSequence: getUint64(view, SEGMENT_HEADER.firstSequence),
    generation: getUint64(view, SEGMENT_HEADER.generation),
    replacesFrom: getUint64(view, SEGMENT_HEADER.replacesFrom),
    replacesTo: getUint64(view, SEGMENT_HEADER.replacesTo),
    createdMicros: getUint64(view, SEGMENT_HEADER.createdMicros),
    retentionAt: getUint64(view, SEGMENT_HEADER.retention),
  };
  for (const value of Object.values(header)) {
    if (typeof value === "number" && !Number.isSafeInteger(value)) return { kind: "corrupt", reason: "a number is out of range" };
  }
  return { kind: "ok", header };
}
