/**
 * A segment file's header and name. `FBAT` · u32 BE length · map; frames follow where the map ends, then the footer when the segment was
 * sealed. Ids count from 1.
 */
import type { ByteSink } from "../../base/byte-sink.ts";
import {
  INTEGER_BYTES_MAX,
  makeRoom,
  msgpackReader,
  readBigInteger,
  readUnsigned,
  writeBigInteger,
  writeInteger,
} from "../../base/msgpack.ts";
import { nextField, readMap, writeKey, writeMapOf } from "./key-table.ts";
import { SEGMENT_HEADER, SEGMENT_HEADER_KEYS, U32_MAX } from "./layout.ts";
import type { Corrupt, Foreign, Torn } from "./outcome.ts";
import { corrupt, torn } from "./outcome.ts";

export interface SegmentHeaderFields {
  readonly flags: number;
  /** Nanoseconds since the Unix epoch. */
  readonly createdNs: bigint;
  readonly segmentId: number;
}

export interface SegmentHeader extends SegmentHeaderFields {
  readonly kind: "ok";
  /** Where the first frame stands. */
  readonly end: number;
}

/** Writes the header; frames follow at once. */
export function encodeSegmentHeader(sink: ByteSink, fields: SegmentHeaderFields): void {
  makeRoom(sink, SEGMENT_HEADER.mapAt + SEGMENT_HEADER_KEYS.bytesMax + 4 * INTEGER_BYTES_MAX);
  const start = sink.position;
  sink.view.setUint32(start, SEGMENT_HEADER.magic);
  sink.position = start + SEGMENT_HEADER.mapAt;
  writeMapOf(sink, SEGMENT_HEADER_KEYS);
  writeKey(sink, SEGMENT_HEADER_KEYS, 0);
  writeInteger(sink, SEGMENT_HEADER.version);
  writeKey(sink, SEGMENT_HEADER_KEYS, 1);
  writeInteger(sink, fields.flags);
  writeKey(sink, SEGMENT_HEADER_KEYS, 2);
  writeBigInteger(sink, fields.createdNs);
  writeKey(sink, SEGMENT_HEADER_KEYS, 3);
  writeInteger(sink, fields.segmentId);
  sink.view.setUint32(start + SEGMENT_HEADER.lengthAt, sink.position - start - SEGMENT_HEADER.mapAt);
}

/** No header takes less: its values are a byte each at least. */
const HEADER_BYTES_MIN = SEGMENT_HEADER.mapAt + SEGMENT_HEADER_KEYS.bytesMax;

/** Reads the header at the start of `bytes`, of which `limit` are there: the whole file, or `SEGMENT_HEADER.bytesMax`. */
export function decodeSegmentHeader(bytes: Uint8Array, view: DataView, limit: number): SegmentHeader | Torn | Corrupt | Foreign {
  const start = bytes.subarray(0, Math.min(limit, HEADER_BYTES_MIN));
  if (start.every((byte) => byte === 0)) return torn("the segment header is missing");
  if (limit < SEGMENT_HEADER.mapAt) return torn(`the segment header needs ${SEGMENT_HEADER.mapAt} bytes, there are ${limit}`);
  if (view.getUint32(0) !== SEGMENT_HEADER.magic) {
    const reason = "the file does not begin with FBAT";
    return limit < HEADER_BYTES_MIN ? torn(reason) : { kind: "foreign", reason };
  }
  const mapBytes = view.getUint32(SEGMENT_HEADER.lengthAt);
  const end = SEGMENT_HEADER.mapAt + mapBytes;
  if (end > SEGMENT_HEADER.bytesMax) return { kind: "foreign", reason: `what begins with FBAT claims a header of ${end} bytes` };
  if (end > limit) return torn(`the segment header claims ${mapBytes} bytes, there are ${limit - SEGMENT_HEADER.mapAt}`);
  const reader = msgpackReader(bytes, view, SEGMENT_HEADER.mapAt, end);
  const map = readMap(reader, SEGMENT_HEADER_KEYS);
  let version = 0;
  let flags = 0;
  let createdNs = 0n;
  let segmentId = 0;
  for (let field = nextField(reader, map); field >= 0; field = nextField(reader, map)) {
    if (field === 0) version = readUnsigned(reader, U32_MAX);
    else if (field === 1) flags = readUnsigned(reader);
    else if (field === 2) createdNs = readBigInteger(reader);
    else segmentId = readUnsigned(reader);
  }
  // Whatever else a header of another version holds.
  if (version > SEGMENT_HEADER.version) {
    const reason = `it is of format version ${version}, which a later version writes; ${SEGMENT_HEADER.version} is read here`;
    return { kind: "later", reason };
  }
  if (reader.fault !== null) return corrupt(`the segment header does not decode: ${reader.fault}`);
  if (reader.position !== end)
    return corrupt(`the segment header claims ${mapBytes} bytes and takes ${reader.position - SEGMENT_HEADER.mapAt}`);
  if (version !== SEGMENT_HEADER.version) return corrupt(`the segment is of version ${version}, only ${SEGMENT_HEADER.version} is read`);
  if (segmentId === 0) return corrupt("the segment header names segment 0, ids count from 1");
  return { kind: "ok", flags, createdNs, segmentId, end };
}

/** Whether a header's map begins where it has to: told of a segment whose magic is damaged. */
export function beginsHeaderMap(bytes: Uint8Array): boolean {
  const [key] = SEGMENT_HEADER_KEYS.encoded;
  return key.every((byte, index) => bytes[SEGMENT_HEADER.mapAt + 1 + index] === byte);
}

/** `000001.fbat`; a seventh digit simply appears. */
export function segmentFileName(segmentId: number): string {
  return `${String(segmentId).padStart(6, "0")}.fbat`;
}

/** The id that a file name stands for; null for any other name. */
export function parseSegmentFileName(name: string): number | null {
  const match = /^(\d{6,15})\.fbat$/.exec(name);
  if (match === null) return null;
  const segmentId = Number(match[1]);
  return segmentId > 0 && segmentFileName(segmentId) === name ? segmentId : null;
}
