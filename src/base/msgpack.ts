/**
 * MessagePack primitives for the formats on disk: what a layout needs to read and write its own maps, no codec for user payloads.
 *
 * 1. A reader never reads past `limit`, never throws on its input and never allocates by a length that it has not checked.
 * 2. A fault is sticky: after the first, `position` stays and every further read returns 0. Callers test `fault` at the ends of structures
 *    and in loops whose count came from the input.
 * 3. `short` tells "the bytes ended" (more of them might help) from "the bytes are wrong".
 * 4. Writers emit shortest forms. They check no room: the caller makes it first with `makeRoom`.
 */
import { isUtf8 } from "node:buffer";
import type { ByteSink } from "./byte-sink.ts";

export interface MsgpackReader {
  bytes: Uint8Array;
  /** Over the same memory as `bytes`: equal offsets. */
  view: DataView;
  position: number;
  /** Exclusive. */
  limit: number;
  /** What was wrong first; null while all is well. */
  fault: string | null;
  /** Whether the fault is that the bytes ended. */
  short: boolean;
  /** How many keys of maps were passed over with their values, since nobody knows them. */
  unknownKeys: number;
}

/** A view with the same offsets as `bytes`. */
export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** A copy of `bytes[start, end)`, also where `bytes` is a `Buffer`, whose own `slice` shares memory. */
export function copyOf(bytes: Uint8Array, start: number, end: number): Uint8Array {
  return new Uint8Array(bytes.subarray(start, end));
}

/** A reader of `bytes[position, limit)`. */
export function msgpackReader(bytes: Uint8Array, view: DataView, position: number, limit: number): MsgpackReader {
  return { bytes, view, position, limit, fault: null, short: false, unknownKeys: 0 };
}

/** Notes the first fault; later ones do not replace it. */
export function fail(reader: MsgpackReader, reason: string, short = false): 0 {
  if (reader.fault === null) {
    reader.fault = reason;
    reader.short = short;
  }
  return 0;
}

function failShort(reader: MsgpackReader): 0 {
  return fail(reader, "the bytes end inside a value", true);
}

/** Moves over `byteCount` bytes and returns where they began; 0 with a fault when fewer are left. */
function take(reader: MsgpackReader, byteCount: number): number {
  const at = reader.position;
  if (reader.fault !== null) return 0;
  if (byteCount > reader.limit - at) return failShort(reader);
  reader.position = at + byteCount;
  return at;
}

/** An integer of any form that is a safe integer of JavaScript. */
export function readInteger(reader: MsgpackReader): number {
  const at = reader.position;
  if (reader.fault !== null) return 0;
  if (at >= reader.limit) return failShort(reader);
  const tag = reader.bytes[at];
  if (tag < 0x80) {
    reader.position = at + 1;
    return tag;
  }
  return readLongInteger(reader, at, tag);
}

function readLongInteger(reader: MsgpackReader, at: number, tag: number): number {
  if (tag >= 0xe0) {
    reader.position = at + 1;
    return tag - 256;
  }
  if (tag < 0xcc || tag > 0xd3) return fail(reader, "an integer is expected");
  const width = 1 << ((tag - 0xcc) & 3);
  if (at + 1 + width > reader.limit) return failShort(reader);
  const { view } = reader;
  let value: number;
  if (tag === 0xcc) value = view.getUint8(at + 1);
  else if (tag === 0xcd) value = view.getUint16(at + 1);
  else if (tag === 0xce) value = view.getUint32(at + 1);
  else if (tag === 0xcf) value = view.getUint32(at + 1) * 0x1_0000_0000 + view.getUint32(at + 5);
  else if (tag === 0xd0) value = view.getInt8(at + 1);
  else if (tag === 0xd1) value = view.getInt16(at + 1);
  else if (tag === 0xd2) value = view.getInt32(at + 1);
  else value = view.getInt32(at + 1) * 0x1_0000_0000 + view.getUint32(at + 5);
  if (!Number.isSafeInteger(value)) return fail(reader, "an integer is too large");
  reader.position = at + 1 + width;
  return value;
}

/** A safe integer from 0 to `max`. */
export function readUnsigned(reader: MsgpackReader, max: number = Number.MAX_SAFE_INTEGER): number {
  const value = readInteger(reader);
  if (value < 0 || value > max) return fail(reader, `a number is out of range: ${value}, at most ${max}`);
  return value;
}

/** An integer of any form, exact to 64 bits. */
export function readBigInteger(reader: MsgpackReader): bigint {
  const at = reader.position;
  if (reader.fault === null && at < reader.limit) {
    const tag = reader.bytes[at];
    if (tag === 0xcf || tag === 0xd3) {
      const start = take(reader, 9) + 1;
      if (reader.fault !== null) return 0n;
      return tag === 0xcf ? reader.view.getBigUint64(start) : reader.view.getBigInt64(start);
    }
  }
  return BigInt(readInteger(reader));
}

/** The same: a bigint only where a number would not be exact. */
export function readWideInteger(reader: MsgpackReader): number | bigint {
  const { view, position: at } = reader;
  const tag = reader.bytes[at];
  if (reader.fault === null && at + 9 <= reader.limit && (tag === 0xcf || tag === 0xd3)) {
    const high = tag === 0xcf ? view.getUint32(at + 1) : view.getInt32(at + 1);
    if (!Number.isSafeInteger(high * 0x1_0000_0000 + view.getUint32(at + 5))) return readBigInteger(reader);
  }
  return readInteger(reader);
}

function readCount(reader: MsgpackReader, fixTag: number, tag16: number, what: string): number {
  const at = take(reader, 1);
  if (reader.fault !== null) return 0;
  const tag = reader.bytes[at];
  if ((tag & 0xf0) === fixTag) return tag & 0x0f;
  if (tag === tag16) return readBigEndian(reader, 2);
  if (tag === tag16 + 1) return readBigEndian(reader, 4);
  reader.position = at;
  return fail(reader, `${what} is expected`);
}

function readBigEndian(reader: MsgpackReader, width: 1 | 2 | 4): number {
  const at = take(reader, width);
  if (reader.fault !== null) return 0;
  return width === 1 ? reader.bytes[at] : width === 2 ? reader.view.getUint16(at) : reader.view.getUint32(at);
}

/** The number of pairs of a map; its keys and values follow. Not yet checked against the bytes that are left. */
export function readMapHeader(reader: MsgpackReader): number {
  return readCount(reader, 0x80, 0xde, "a map");
}

/** The number of elements of an array. Not yet checked against the bytes that are left. */
export function readArrayHeader(reader: MsgpackReader): number {
  return readCount(reader, 0x90, 0xdc, "an array");
}

/** Moves over a string and returns where its UTF-8 begins; it ends at `reader.position`. Does not look at the bytes. */
export function readStringSpan(reader: MsgpackReader): number {
  const at = take(reader, 1);
  if (reader.fault !== null) return 0;
  const tag = reader.bytes[at];
  let length: number;
  if ((tag & 0xe0) === 0xa0) length = tag & 0x1f;
  else if (tag === 0xd9) length = readBigEndian(reader, 1);
  else if (tag === 0xda) length = readBigEndian(reader, 2);
  else if (tag === 0xdb) length = readBigEndian(reader, 4);
  else {
    reader.position = at;
    return fail(reader, "a string is expected");
  }
  return take(reader, length);
}

/** Moves over a bin8 of exactly `length` bytes and returns where they begin. */
export function readFixedBinary(reader: MsgpackReader, length: number): number {
  const at = take(reader, 2 + length);
  if (reader.fault !== null) return 0;
  if (reader.bytes[at] !== 0xc4 || reader.bytes[at + 1] !== length) return fail(reader, `${length} bytes of binary are expected`);
  return at + 2;
}

/** Moves over nil when it is next; says whether it was. */
export function readNil(reader: MsgpackReader): boolean {
  if (reader.fault !== null || reader.position >= reader.limit || reader.bytes[reader.position] !== 0xc0) return false;
  reader.position++;
  return true;
}

const PAYLOAD_WIDTH = new Uint8Array(256); // bytes after the tag of values whose size the tag alone tells
const LENGTH_WIDTH = new Uint8Array(256); // width of the length that follows the tag
const ELEMENTS_PER_COUNT = new Uint8Array(256); // 1 for arrays, 2 for maps: the length counts elements, not bytes
for (let tag = 0xa0; tag < 0xc0; tag++) PAYLOAD_WIDTH[tag] = tag & 0x1f;
for (const [tag, width] of [
  [0xca, 4],
  [0xcb, 8],
  [0xcc, 1],
  [0xcd, 2],
  [0xce, 4],
  [0xcf, 8],
  [0xd0, 1],
  [0xd1, 2],
  [0xd2, 4],
  [0xd3, 8],
  [0xd4, 2],
  [0xd5, 3],
  [0xd6, 5],
  [0xd7, 9],
  [0xd8, 17],
  [0xc7, 1],
  [0xc8, 1],
  [0xc9, 1], // an extension's type byte
] as const)
  PAYLOAD_WIDTH[tag] = width;
for (const [tag, width] of [
  [0xc4, 1],
  [0xc5, 2],
  [0xc6, 4],
  [0xc7, 1],
  [0xc8, 2],
  [0xc9, 4],
  [0xd9, 1],
  [0xda, 2],
  [0xdb, 4],
  [0xdc, 2],
  [0xdd, 4],
  [0xde, 2],
  [0xdf, 4],
] as const)
  LENGTH_WIDTH[tag] = width;
for (const tag of [0xdc, 0xdd]) ELEMENTS_PER_COUNT[tag] = 1;
for (const tag of [0xde, 0xdf]) ELEMENTS_PER_COUNT[tag] = 2;

/** Moves over one value of any kind, however deeply nested: no recursion, and no work beyond the bytes that are there. */
export function skipValue(reader: MsgpackReader): void {
  if (reader.fault !== null) return;
  const { bytes, view, limit } = reader;
  let position = reader.position;
  let remaining = 1;
  while (remaining > 0) {
    // Every value takes a byte at least, so a count beyond the bytes that are left is a lie, or a value cut short.
    if (remaining > limit - position) return void failShort(reader);
    const tag = bytes[position++];
    remaining--;
    if (tag < 0x80 || tag >= 0xe0) continue;
    if (tag < 0x90) remaining += (tag & 0x0f) * 2;
    else if (tag < 0xa0) remaining += tag & 0x0f;
    else if (tag === 0xc1) return void fail(reader, "the tag c1 stands for nothing");
    else {
      const lengthWidth = LENGTH_WIDTH[tag];
      let size = PAYLOAD_WIDTH[tag];
      if (lengthWidth !== 0) {
        if (lengthWidth > limit - position) return void failShort(reader);
        const length = lengthWidth === 1 ? bytes[position] : lengthWidth === 2 ? view.getUint16(position) : view.getUint32(position);
        position += lengthWidth;
        if (ELEMENTS_PER_COUNT[tag] === 0) size += length;
        else remaining += length * ELEMENTS_PER_COUNT[tag];
      }
      if (size > limit - position) return void failShort(reader);
      position += size;
    }
  }
  reader.position = position;
}

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const encoder = new TextEncoder();

/** Whether `bytes[start, end)` is UTF-8. Two names that differ only in broken bytes must not become one name. */
export function isText(bytes: Uint8Array, start: number, end: number): boolean {
  for (let at = start; at < end; at++) if (bytes[at] >= 0x80) return isUtf8(bytes.subarray(at, end));
  return true;
}

/** The text of `bytes[start, end)`, which `isText` has accepted. */
export function textAt(bytes: Uint8Array, start: number, end: number): string {
  return decoder.decode(bytes.subarray(start, end));
}

/** Makes room for `byteCount` bytes. */
export function makeRoom(sink: ByteSink, byteCount: number): void {
  if (sink.capacity - sink.position < byteCount) sink.grow(byteCount);
}

export const INTEGER_BYTES_MAX = 9;

/** A safe integer in its shortest form: unsigned when it is not negative. */
export function writeInteger(sink: ByteSink, value: number): void {
  if (value >= 0 && value < 0x80) sink.bytes[sink.position++] = value;
  else if (value < 0 && value >= -32) sink.bytes[sink.position++] = value + 256;
  else writeLongInteger(sink, value);
}

function writeLongInteger(sink: ByteSink, value: number): void {
  const { bytes, view, position: at } = sink;
  const negative = value < 0;
  // The largest magnitude that each width holds; a negative value -n takes the width of n - 1 with a sign bit.
  const magnitude = negative ? (-1 - value) * 2 + 1 : value;
  const high = Math.floor(value / 0x1_0000_0000);
  if (magnitude <= 0xff) {
    bytes[at] = negative ? 0xd0 : 0xcc;
    bytes[at + 1] = value;
    sink.position = at + 2;
  } else if (magnitude <= 0xffff) {
    bytes[at] = negative ? 0xd1 : 0xcd;
    view.setInt16(at + 1, value);
    sink.position = at + 3;
  } else if (magnitude <= 0xffff_ffff) {
    bytes[at] = negative ? 0xd2 : 0xce;
    view.setInt32(at + 1, value);
    sink.position = at + 5;
  } else {
    bytes[at] = negative ? 0xd3 : 0xcf;
    view.setInt32(at + 1, high);
    view.setUint32(at + 5, value - high * 0x1_0000_0000);
    sink.position = at + 9;
  }
}

/** A 64-bit integer in its shortest form. */
export function writeBigInteger(sink: ByteSink, value: bigint): void {
  if (value >= BigInt(Number.MIN_SAFE_INTEGER) && value <= BigInt(Number.MAX_SAFE_INTEGER)) return writeInteger(sink, Number(value));
  sink.bytes[sink.position] = value < 0n ? 0xd3 : 0xcf;
  sink.view.setBigUint64(sink.position + 1, BigInt.asUintN(64, value));
  sink.position += 9;
}

export function writeNil(sink: ByteSink): void {
  sink.bytes[sink.position++] = 0xc0;
}

/** Up to 15 pairs: more are not needed here. */
export function writeFixMapHeader(sink: ByteSink, pairs: number): void {
  sink.bytes[sink.position++] = 0x80 | pairs;
}

export const ARRAY_HEADER_BYTES_MAX = 5;

export function writeArrayHeader(sink: ByteSink, count: number): void {
  const { bytes, view, position: at } = sink;
  if (count < 16) {
    bytes[at] = 0x90 | count;
    sink.position = at + 1;
  } else if (count <= 0xffff) {
    bytes[at] = 0xdc;
    view.setUint16(at + 1, count);
    sink.position = at + 3;
  } else {
    bytes[at] = 0xdd;
    view.setUint32(at + 1, count);
    sink.position = at + 5;
  }
}

/** Bytes that are MessagePack already. */
export function writeRaw(sink: ByteSink, bytes: Uint8Array): void {
  sink.bytes.set(bytes, sink.position);
  sink.position += bytes.length;
}

/** Up to 255 bytes as bin8. */
export function writeBinary8(sink: ByteSink, bytes: Uint8Array): void {
  const at = sink.position;
  sink.bytes[at] = 0xc4;
  sink.bytes[at + 1] = bytes.length;
  for (let index = 0; index < bytes.length; index++) sink.bytes[at + 2 + index] = bytes[index];
  sink.position = at + 2 + bytes.length;
}

/** The most bytes that `writeString` takes for `text`. */
export function stringBytesMax(text: string): number {
  return 5 + text.length * 3;
}

export function writeString(sink: ByteSink, text: string): void {
  const length = Buffer.byteLength(text);
  const { bytes, view, position: at } = sink;
  let start: number;
  if (length < 32) {
    bytes[at] = 0xa0 | length;
    start = at + 1;
  } else if (length <= 0xff) {
    bytes[at] = 0xd9;
    bytes[at + 1] = length;
    start = at + 2;
  } else if (length <= 0xffff) {
    bytes[at] = 0xda;
    view.setUint16(at + 1, length);
    start = at + 3;
  } else {
    bytes[at] = 0xdb;
    view.setUint32(at + 1, length);
    start = at + 5;
  }
  if (length === text.length) for (let index = 0; index < length; index++) bytes[start + index] = text.charCodeAt(index);
  else encoder.encodeInto(text, bytes.subarray(start, start + length));
  sink.position = start + length;
}
