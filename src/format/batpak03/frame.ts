/**
 * A frame: length (u32 BE) · CRC-32 of the body (u32 BE) · body, one MessagePack map. It holds one event, or one marker of a batch.
 *
 * 1. Decoding checks the CRC and every length, and walks the whole body: what it returns can be read without further checks.
 * 2. It copies nothing: ids, hashes, names and payload are positions in the bytes that it was given.
 * 3. `length` always means the whole frame, its 8 bytes of prefix included.
 * 4. No frame carries its global sequence. `clock` is the event's number within its entity (`position.sequence` on disk).
 */
import { crc32 } from "node:zlib";
import type { ByteSink } from "../../base/byte-sink.ts";
import type { MsgpackReader } from "../../base/msgpack.ts";
import {
  ARRAY_HEADER_BYTES_MAX,
  copyOf,
  fail,
  INTEGER_BYTES_MAX,
  isText,
  makeRoom,
  msgpackReader,
  readFixedBinary,
  readNil,
  readStringSpan,
  readUnsigned,
  readWideInteger,
  skipValue,
  stringBytesMax,
  textAt,
  writeArrayHeader,
  writeBigInteger,
  writeBinary8,
  writeInteger,
  writeNil,
  writeRaw,
  writeString,
} from "../../base/msgpack.ts";
import { expandHash, HASH_ARRAY_BYTES_MAX, readHashSpan, writeByteIntegers, writeHashArray } from "./hash-array.ts";
import { nextField, readMap, writeKey, writeMapOf } from "./key-table.ts";
import {
  BATCH,
  EVENT_HEADER_KEYS,
  EVENT_KEYS,
  FRAME_KEYS,
  FRAME_PREFIX,
  HASH_BYTES,
  HASH_CHAIN_KEYS,
  ID_BYTES,
  POSITION_KEYS,
  U16_MAX,
  U32_MAX,
} from "./layout.ts";
import type { Corrupt, Torn } from "./outcome.ts";
import { corrupt, torn } from "./outcome.ts";

const I64_MAX = 2n ** 63n - 1n;

/** A decoded frame. Members ending in `At` are positions in `bytes`; those of hashes are for `expandHash`. */
export interface Frame {
  readonly kind: "ok";
  /** Not owned: the memory that the frame was decoded from. */
  bytes: Uint8Array;
  view: DataView;
  offset: number;
  length: number;
  /** 16 bytes, most significant first. */
  eventIdAt: number;
  correlationIdAt: number;
  /** -1 when there is none. */
  causationIdAt: number;
  /** A bigint only where a number would not be exact. */
  timestampUs: number | bigint;
  /** Not exact where it is no safe integer: `unreadableFault` tells. */
  wallMs: number;
  counter: number;
  depth: number;
  lane: number;
  clock: number;
  /** In bytes; of a batch's BEGIN: the number of items. */
  payloadSize: number;
  eventKind: number;
  flags: number;
  contentHashAt: number;
  /** -1 when there is no hash chain: batch markers. */
  prevHashAt: number;
  eventHashAt: number;
  entityAt: number;
  entityLength: number;
  scopeAt: number;
  scopeLength: number;
  /** What stands under `payload`, whichever form it has; see `payloadBytes`. */
  payloadAt: number;
  payloadLength: number;
  /** Keys that only later releases write. */
  unknownKeys: number;
}

/** Reads the frame at `offset`; nothing at or past `limit` belongs to it. */
export function decodeFrame(bytes: Uint8Array, view: DataView, offset: number, limit: number): Frame | Torn | Corrupt {
  const fault = frameFault(bytes, view, offset, limit);
  return fault ?? walkFrame(bytes, view, offset, offset + FRAME_PREFIX.body + view.getUint32(offset + FRAME_PREFIX.length));
}

/** Why no whole frame stands at `offset`, by its length and its CRC; null where one does, whatever is in its body. */
export function frameFault(bytes: Uint8Array, view: DataView, offset: number, limit: number): Torn | Corrupt | null {
  const available = limit - offset - FRAME_PREFIX.body;
  if (available < 0) return torn(`a frame's prefix needs ${FRAME_PREFIX.body} bytes, there are ${limit - offset}`);
  const bodyLength = view.getUint32(offset + FRAME_PREFIX.length);
  if (bodyLength === 0) return corrupt("the frame's length is zero");
  if (bodyLength > available) return torn(`the frame claims a body of ${bodyLength} bytes, there are ${available}`);
  const bodyAt = offset + FRAME_PREFIX.body;
  const isRight = crc32(bytes.subarray(bodyAt, bodyAt + bodyLength)) === view.getUint32(offset + FRAME_PREFIX.crc);
  return isRight ? null : corrupt("the frame's CRC does not match its body");
}

/** Reads the frame of `bytes[offset, end)` as `decodeFrame` does, but for its CRC: for bytes that were checked before. */
export function walkFrame(bytes: Uint8Array, view: DataView, offset: number, end: number): Frame | Corrupt {
  const frame = emptyFrame(bytes, view, offset, end - offset);
  const reader = msgpackReader(bytes, view, offset + FRAME_PREFIX.body, end);
  readBody(reader, frame);
  if (reader.fault !== null) return corrupt(`the frame's body does not decode: ${reader.fault}`);
  if (reader.position !== end) return corrupt(`the frame's body ends ${end - reader.position} bytes early`);
  frame.unknownKeys = reader.unknownKeys;
  return frame;
}

function emptyFrame(bytes: Uint8Array, view: DataView, offset: number, length: number): Frame {
  return {
    kind: "ok",
    bytes,
    view,
    offset,
    length,
    eventIdAt: 0,
    correlationIdAt: 0,
    causationIdAt: -1,
    timestampUs: 0,
    wallMs: 0,
    counter: 0,
    depth: 0,
    lane: 0,
    clock: 0,
    payloadSize: 0,
    eventKind: 0,
    flags: 0,
    contentHashAt: 0,
    prevHashAt: -1,
    eventHashAt: -1,
    entityAt: 0,
    entityLength: 0,
    scopeAt: 0,
    scopeLength: 0,
    payloadAt: 0,
    payloadLength: 0,
    unknownKeys: 0,
  };
}

function readBody(reader: MsgpackReader, frame: Frame): void {
  const map = readMap(reader, FRAME_KEYS);
  for (let field = nextField(reader, map); field >= 0; field = nextField(reader, map)) {
    if (field === 0) readEvent(reader, frame);
    else if (field === 1) {
      frame.entityAt = readName(reader);
      frame.entityLength = reader.position - frame.entityAt;
    } else {
      frame.scopeAt = readName(reader);
      frame.scopeLength = reader.position - frame.scopeAt;
    }
  }
}

function readName(reader: MsgpackReader): number {
  const at = readStringSpan(reader);
  if (reader.fault === null && !isText(reader.bytes, at, reader.position)) return fail(reader, "a name is not UTF-8");
  return at;
}

function readEvent(reader: MsgpackReader, frame: Frame): void {
  const map = readMap(reader, EVENT_KEYS);
  for (let field = nextField(reader, map); field >= 0; field = nextField(reader, map)) {
    if (field === 0) readHeader(reader, frame);
    else if (field === 1) {
      frame.payloadAt = reader.position;
      skipValue(reader);
      frame.payloadLength = reader.position - frame.payloadAt;
    } else if (!readNil(reader)) readHashChain(reader, frame);
  }
}

function readHeader(reader: MsgpackReader, frame: Frame): void {
  const map = readMap(reader, EVENT_HEADER_KEYS);
  for (let field = nextField(reader, map); field >= 0; field = nextField(reader, map)) {
    if (field === 0) frame.eventIdAt = readFixedBinary(reader, ID_BYTES);
    else if (field === 1) frame.correlationIdAt = readFixedBinary(reader, ID_BYTES);
    else if (field === 2) frame.causationIdAt = readNil(reader) ? -1 : readFixedBinary(reader, ID_BYTES);
    else if (field === 3) frame.timestampUs = readTimestamp(reader);
    else if (field === 4) readPosition(reader, frame);
    else if (field === 5) frame.payloadSize = readUnsigned(reader, U32_MAX);
    else if (field === 6) frame.eventKind = readUnsigned(reader, U16_MAX);
    else if (field === 7) frame.flags = readUnsigned(reader, U32_MAX);
    else frame.contentHashAt = readHashSpan(reader);
  }
}

function readPosition(reader: MsgpackReader, frame: Frame): void {
  const map = readMap(reader, POSITION_KEYS);
  for (let field = nextField(reader, map); field >= 0; field = nextField(reader, map)) {
    if (field === 0) frame.wallMs = readWallMs(reader);
    else if (field === 1) frame.counter = readUnsigned(reader, U32_MAX);
    else if (field === 2) frame.depth = readUnsigned(reader, U32_MAX);
    else if (field === 3) frame.lane = readUnsigned(reader, U32_MAX);
    else frame.clock = readUnsigned(reader, U32_MAX);
  }
}

/** An i64. */
function readTimestamp(reader: MsgpackReader): number | bigint {
  const value = readWideInteger(reader);
  return typeof value === "bigint" && value > I64_MAX ? fail(reader, `a number is out of range: ${value}, at most ${I64_MAX}`) : value;
}

/** A u64. */
function readWallMs(reader: MsgpackReader): number {
  const value = readWideInteger(reader);
  return value < 0 ? fail(reader, `a number is out of range: ${value}, at least 0`) : Number(value);
}

function readHashChain(reader: MsgpackReader, frame: Frame): void {
  const map = readMap(reader, HASH_CHAIN_KEYS);
  for (let field = nextField(reader, map); field >= 0; field = nextField(reader, map)) {
    if (field === 0) frame.prevHashAt = readHashSpan(reader);
    else frame.eventHashAt = readHashSpan(reader);
  }
}

/** Whether the frame is a batch's BEGIN or COMMIT: no event, no sequence, in no index. */
export function isBatchMarker(frame: Frame): boolean {
  return frame.eventKind === BATCH.beginKind || frame.eventKind === BATCH.commitKind;
}

/** Why the event of a whole frame cannot be shown; null where it can be. */
export function unreadableFault(frame: Frame): string | null {
  if (frame.entityLength === 0 || frame.scopeLength === 0) return "it has no entity or no scope";
  return Number.isSafeInteger(frame.wallMs) ? null : `its wall_ms is past ${Number.MAX_SAFE_INTEGER}, the last time that is read here`;
}

export function frameEntity(frame: Frame): string {
  return textAt(frame.bytes, frame.entityAt, frame.entityAt + frame.entityLength);
}

export function frameScope(frame: Frame): string {
  return textAt(frame.bytes, frame.scopeAt, frame.scopeAt + frame.scopeLength);
}

/** A frame's content for `encodeFrame`. The byte arrays are only read during the call. */
export interface FrameFields {
  /** 16 bytes each, most significant first. */
  readonly eventId: Uint8Array;
  readonly correlationId: Uint8Array;
  readonly causationId: Uint8Array | null;
  readonly timestampUs: number | bigint;
  readonly wallMs: number;
  readonly counter: number;
  readonly depth: number;
  readonly lane: number;
  readonly clock: number;
  readonly payloadSize: number;
  readonly eventKind: number;
  readonly flags: number;
  /** 32 bytes each. */
  readonly contentHash: Uint8Array;
  readonly hashChain: { readonly prevHash: Uint8Array; readonly eventHash: Uint8Array } | null;
  readonly entity: string;
  readonly scope: string;
  /** `bytes`: written as an array of integers, as all live frames are. `value`: MessagePack that stands as it is (retention compaction). */
  readonly payloadForm: "bytes" | "value";
  readonly payload: Uint8Array;
}

const FIXED_BYTES_MAX =
  FRAME_PREFIX.body +
  [FRAME_KEYS, EVENT_KEYS, EVENT_HEADER_KEYS, POSITION_KEYS, HASH_CHAIN_KEYS].reduce((sum, table) => sum + table.bytesMax, 0) +
  3 * (2 + ID_BYTES) +
  9 * INTEGER_BYTES_MAX +
  3 * HASH_ARRAY_BYTES_MAX +
  ARRAY_HEADER_BYTES_MAX;

/** What a frame with these names and so many bytes of payload takes at most. */
export function frameBytesMax(entity: string, scope: string, payloadBytes: number): number {
  return FIXED_BYTES_MAX + payloadBytes * 2 + stringBytesMax(entity) + stringBytesMax(scope);
}

/** Writes one frame and returns its length in bytes. */
export function encodeFrame(sink: ByteSink, fields: FrameFields): number {
  makeRoom(sink, frameBytesMax(fields.entity, fields.scope, fields.payload.length));
  const start = sink.position;
  const bodyAt = start + FRAME_PREFIX.body;
  sink.position = bodyAt;
  writeMapOf(sink, FRAME_KEYS);
  writeKey(sink, FRAME_KEYS, 0);
  writeMapOf(sink, EVENT_KEYS);
  writeKey(sink, EVENT_KEYS, 0);
  writeHeader(sink, fields);
  writeKey(sink, EVENT_KEYS, 1);
  if (fields.payloadForm === "bytes") {
    writeArrayHeader(sink, fields.payload.length);
    writeByteIntegers(sink, fields.payload);
  } else writeRaw(sink, fields.payload);
  writeKey(sink, EVENT_KEYS, 2);
  if (fields.hashChain === null) writeNil(sink);
  else {
    writeMapOf(sink, HASH_CHAIN_KEYS);
    writeKey(sink, HASH_CHAIN_KEYS, 0);
    writeHashArray(sink, fields.hashChain.prevHash);
    writeKey(sink, HASH_CHAIN_KEYS, 1);
    writeHashArray(sink, fields.hashChain.eventHash);
  }
  writeKey(sink, FRAME_KEYS, 1);
  writeString(sink, fields.entity);
  writeKey(sink, FRAME_KEYS, 2);
  writeString(sink, fields.scope);
  sink.view.setUint32(start + FRAME_PREFIX.length, sink.position - bodyAt);
  sink.view.setUint32(start + FRAME_PREFIX.crc, crc32(sink.bytes.subarray(bodyAt, sink.position)));
  return sink.position - start;
}

function writeHeader(sink: ByteSink, fields: FrameFields): void {
  writeMapOf(sink, EVENT_HEADER_KEYS);
  writeKey(sink, EVENT_HEADER_KEYS, 0);
  writeBinary8(sink, fields.eventId);
  writeKey(sink, EVENT_HEADER_KEYS, 1);
  writeBinary8(sink, fields.correlationId);
  writeKey(sink, EVENT_HEADER_KEYS, 2);
  if (fields.causationId === null) writeNil(sink);
  else writeBinary8(sink, fields.causationId);
  writeKey(sink, EVENT_HEADER_KEYS, 3);
  if (typeof fields.timestampUs === "bigint") writeBigInteger(sink, fields.timestampUs);
  else writeInteger(sink, fields.timestampUs);
  writeKey(sink, EVENT_HEADER_KEYS, 4);
  writeMapOf(sink, POSITION_KEYS);
  const position = [fields.wallMs, fields.counter, fields.depth, fields.lane, fields.clock];
  for (let index = 0; index < position.length; index++) {
    writeKey(sink, POSITION_KEYS, index);
    writeInteger(sink, position[index]);
  }
  writeKey(sink, EVENT_HEADER_KEYS, 5);
  writeInteger(sink, fields.payloadSize);
  writeKey(sink, EVENT_HEADER_KEYS, 6);
  writeInteger(sink, fields.eventKind);
  writeKey(sink, EVENT_HEADER_KEYS, 7);
  writeInteger(sink, fields.flags);
  writeKey(sink, EVENT_HEADER_KEYS, 8);
  writeHashArray(sink, fields.contentHash);
}

/** A decoded frame's content, copied out, so that `encodeFrame` writes the same bytes. `payload` is as `payloadBytes` gives it. */
export function frameFields(frame: Frame, payload: { readonly form: "bytes" | "value"; readonly bytes: Uint8Array }): FrameFields {
  const idAt = (at: number): Uint8Array => copyOf(frame.bytes, at, at + ID_BYTES);
  return {
    eventId: idAt(frame.eventIdAt),
    correlationId: idAt(frame.correlationIdAt),
    causationId: frame.causationIdAt < 0 ? null : idAt(frame.causationIdAt),
    timestampUs: frame.timestampUs,
    wallMs: frame.wallMs,
    counter: frame.counter,
    depth: frame.depth,
    lane: frame.lane,
    clock: frame.clock,
    payloadSize: frame.payloadSize,
    eventKind: frame.eventKind,
    flags: frame.flags,
    contentHash: hashBytes(frame, frame.contentHashAt),
    hashChain:
      frame.eventHashAt < 0 ? null : { prevHash: hashBytes(frame, frame.prevHashAt), eventHash: hashBytes(frame, frame.eventHashAt) },
    entity: frameEntity(frame),
    scope: frameScope(frame),
    payloadForm: payload.form,
    payload: payload.bytes,
  };
}

/** One of a frame's hashes (`contentHashAt`, `prevHashAt`, `eventHashAt`) as 32 bytes of its own. */
export function hashBytes(frame: Frame, hashAt: number): Uint8Array {
  const hash = new Uint8Array(HASH_BYTES);
  expandHash(frame.bytes, hashAt, hash, 0);
  return hash;
}
