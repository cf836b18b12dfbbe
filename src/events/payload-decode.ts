/**
 * Reads payloads: MessagePack of any writer, into plain values. Strict and bounded: every length is checked against the bytes that are
 * there before anything is allocated, depth is limited, and exactly the given range is consumed. Whatever is wrong is `CORRUPT`.
 *
 * What other encoders write reads as follows: integers of any width as a number when safe, else as a bigint; float32 as a number;
 * timestamps to the millisecond below; integer keys of a map as their decimal text; of a key that comes twice the last value.
 *
 * Invariants:
 * 1. What is returned holds no view of `bytes`.
 * 2. The reading state below belongs to the one call under way (no user code runs inside it) and lets go of the bytes when it ends.
 */
import { utf8Slice } from "../base/buffer-slices.ts";
import { StoreError } from "../base/store-error.ts";
import { decodeShortAscii } from "../base/utf8-decode.ts";
import { BIGINT_EXTENSION, DATE_MS_MAX, DEPTH_MAX, TIMESTAMP_EXTENSION } from "./payload-format.ts";
import { PLAIN_MEMBERS_MAX, ROOMY_MEMBERS_MAX, roomyObject } from "./roomy-object.ts";
import { CACHED_BYTES_MAX, TextCache } from "./text-cache.ts";

/** The engine makes a hash table of an empty array with room for very many items. */
const ROOMY_ITEMS_MAX = 1024;
/** How a float of 64 bits begins. */
const DOUBLE = 0xcb;

const NO_BYTES = new Uint8Array(0);
const NO_VIEW = new DataView(NO_BYTES.buffer);

let bytes: Uint8Array = NO_BYTES;
let view: DataView = NO_VIEW;
let position = 0;
let end = 0;

/**
 * The value in `source[start, stop)`.
 *
 * @param sourceView a view of the same memory as `source`, with the same origin
 * @throws StoreError `CORRUPT` when these bytes are not one whole MessagePack value that has a form in JavaScript
 */
export function decodePayload(source: Uint8Array, sourceView: DataView, start: number, stop: number): unknown {
  bytes = source;
  view = sourceView;
  position = start;
  end = stop;
  try {
    if (start < 0 || start > stop || stop > source.length) corrupt("the range lies outside the bytes");
    const value = readValue(0);
    if (position !== end) corrupt(`${end - position} bytes follow the value`);
    return value;
  } finally {
    bytes = NO_BYTES;
    view = NO_VIEW;
  }
}

function corrupt(reason: string): never {
  throw new StoreError("CORRUPT", `Cannot read the payload: ${reason}, one whole MessagePack value is expected`, { reason });
}

/** Checks that `count` more bytes are there, and returns where they begin; the position moves past them. */
function take(count: number): number {
  const at = position;
  if (count > end - at) corrupt("it ends too early");
  position = at + count;
  return at;
}

function readValue(depth: number): unknown {
  if (position >= end) corrupt("it ends too early");
  const head = bytes[position++];
  if (head < 0x80) return head;
  if (head >= 0xa0 && head < 0xc0) return readString(head & 0x1f);
  if (head < 0x90) return readMap(head & 0x0f, depth);
  if (head < 0xa0) return readArray(head & 0x0f, depth);
  if (head >= 0xe0) return head - 0x100;
  if (head >= 0xcc && head <= 0xd3) return readInteger(head);
  return readLong(head, depth);
}

function readLong(head: number, depth: number): unknown {
  switch (head) {
    case 0xc0:
      return null;
    case 0xc2:
      return false;
    case 0xc3:
      return true;
    case 0xc4:
    case 0xc5:
    case 0xc6:
      return readBinary(readLength(head - 0xc4));
    case 0xc7:
    case 0xc8:
    case 0xc9:
      return readExtension(readLength(head - 0xc7));
    case 0xca:
      return view.getFloat32(take(4));
    case DOUBLE:
      return view.getFloat64(take(8));
    case 0xd4:
    case 0xd5:
    case 0xd6:
    case 0xd7:
    case 0xd8:
      return readExtension(1 << (head - 0xd4));
    case 0xd9:
    case 0xda:
    case 0xdb:
      return readString(readLength(head - 0xd9));
    case 0xdc:
    case 0xdd:
      return readArray(readLength(head - 0xdb), depth);
    case 0xde:
    case 0xdf:
      return readMap(readLength(head - 0xdd), depth);
    default:
      return corrupt("it holds the byte 0xc1");
  }
}

/** A length of one (width 0), two (1) or four bytes (2). */
function readLength(width: number): number {
  if (width === 0) return bytes[take(1)];
  return width === 1 ? view.getUint16(take(2)) : view.getUint32(take(4));
}

function readInteger(head: number): number | bigint {
  switch (head) {
    case 0xcc:
      return bytes[take(1)];
    case 0xcd:
      return view.getUint16(take(2));
    case 0xce:
      return view.getUint32(take(4));
    case 0xd0:
      return view.getInt8(take(1));
    case 0xd1:
      return view.getInt16(take(2));
    case 0xd2:
      return view.getInt32(take(4));
    default: {
      const at = take(8);
      const high = head === 0xcf ? view.getUint32(at) : view.getInt32(at);
      const value = high * 0x1_0000_0000 + view.getUint32(at + 4);
      if (Number.isSafeInteger(value)) return value;
      return head === 0xcf ? view.getBigUint64(at) : view.getBigInt64(at);
    }
  }
}

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** What comes as a key again and again, and what as a value. */
const keys = new TextCache();
const values = new TextCache();

function readString(byteLength: number): string {
  return readText(take(byteLength), byteLength, values);
}

function readText(at: number, byteLength: number, known: TextCache): string {
  if (byteLength > CACHED_BYTES_MAX || byteLength === 0) return readUtf8(at, byteLength);
  const isWorth = known.isWorth(byteLength);
  const cached = isWorth ? known.find(bytes, view, at, byteLength) : null;
  if (cached !== null) return cached;
  const text = decodeShortAscii(bytes, at, at + byteLength) ?? readUtf8(at, byteLength);
  if (isWorth) known.note(text, bytes, view, at, byteLength);
  return text;
}

function readUtf8(at: number, byteLength: number): string {
  const text = utf8Slice(bytes, at, at + byteLength);
  // Only the replacement character can stand for malformed bytes; where there is one, the strict decoder decides.
  if (!text.includes("\ufffd")) return text;
  try {
    return decoder.decode(bytes.subarray(at, at + byteLength));
  } catch {
    return corrupt("it holds text that is not UTF-8");
  }
}

function readKey(): string {
  if (position >= end) corrupt("it ends too early");
  const head = bytes[position];
  if (head < 0xa0 || head >= 0xc0) return readUncommonKey();
  position++;
  const length = head & 0x1f;
  return readText(take(length), length, keys);
}

/** Whether the key that comes next is a name that came before. Of objects from ids to values, whose names are ever new, it is not. */
function isKnownKey(): boolean {
  const length = bytes[position] - 0xa0;
  return length > 0 && length <= 31 && length < end - position && keys.find(bytes, view, position + 1, length) !== null;
}

function readUncommonKey(): string {
  const head = bytes[position++];
  if (head >= 0xd9 && head <= 0xdb) return readString(readLength(head - 0xd9));
  if (head < 0x80) return String(head);
  if (head >= 0xe0) return String(head - 0x100);
  if ((head >= 0xcc && head <= 0xcf) || (head >= 0xd0 && head <= 0xd3)) return String(readInteger(head));
  return corrupt("it holds a map key that is neither text nor an integer");
}

function readMap(count: number, depth: number): Record<string, unknown> {
  if (depth >= DEPTH_MAX) corrupt(`it is nested deeper than ${DEPTH_MAX} levels`);
  if (count * 2 > end - position) corrupt("a map has more members than bytes are left");
  const isRoomy = count > PLAIN_MEMBERS_MAX && count <= ROOMY_MEMBERS_MAX && isKnownKey();
  const object: Record<string, unknown> = isRoomy ? roomyObject(count) : {};
  for (let index = 0; index < count; index++) {
    const key = readKey();
    const value = readValue(depth + 1);
    if (key === "__proto__") Object.defineProperty(object, key, { value, writable: true, enumerable: true, configurable: true });
    else object[key] = value;
  }
  return object;
}

function readArray(count: number, depth: number): unknown[] {
  if (depth >= DEPTH_MAX) corrupt(`it is nested deeper than ${DEPTH_MAX} levels`);
  if (count > end - position) corrupt("an array has more items than bytes are left");
  if (bytes[position] === DOUBLE) return readVector(count, depth);
  const items: unknown[] = emptyArray(count);
  for (let index = 0; index < count; index++) items[index] = readValue(depth + 1);
  return items;
}

/** An array with room for exactly so many items, where they are not very many: one that grows ends up with more. */
function emptyArray(count: number): unknown[] {
  return count <= ROOMY_ITEMS_MAX ? new Array<unknown>(count) : [];
}

/** An array that begins with a double, as vectors do. */
function readVector(count: number, depth: number): unknown[] {
  const items: unknown[] = emptyArray(count);
  let index = 0;
  for (; index < count && bytes[position] === DOUBLE && end - position > 8; position += 9) items[index++] = view.getFloat64(position + 1);
  for (; index < count; index++) items[index] = readValue(depth + 1);
  return items;
}

function readBinary(byteLength: number): Uint8Array {
  const at = take(byteLength);
  const copy = new Uint8Array(byteLength);
  copy.set(bytes.subarray(at, at + byteLength));
  return copy;
}

function readExtension(byteLength: number): Date | bigint {
  const type = view.getInt8(take(1));
  const at = take(byteLength);
  if (type === TIMESTAMP_EXTENSION) return readTimestamp(at, byteLength);
  if (type === BIGINT_EXTENSION) return readBigint(at, byteLength);
  return corrupt(`it holds a value of the unknown extension type ${type}`);
}

function readTimestamp(at: number, byteLength: number): Date {
  let seconds = 0;
  let nanoseconds = 0;
  if (byteLength === 4) seconds = view.getUint32(at);
  else if (byteLength === 8) {
    const high = view.getUint32(at);
    nanoseconds = high >>> 2;
    seconds = (high & 3) * 0x1_0000_0000 + view.getUint32(at + 4);
  } else if (byteLength === 12) {
    nanoseconds = view.getUint32(at);
    seconds = view.getInt32(at + 4) * 0x1_0000_0000 + view.getUint32(at + 8);
  } else corrupt(`it holds a timestamp of ${byteLength} bytes`);
  if (nanoseconds > 999_999_999) corrupt("it holds a timestamp of a second or more of nanoseconds");
  const timeMs = seconds * 1000 + Math.floor(nanoseconds / 1_000_000);
  if (Math.abs(timeMs) > DATE_MS_MAX) corrupt("it holds a timestamp beyond the range of Date");
  return new Date(timeMs);
}

function readBigint(at: number, byteLength: number): bigint {
  if (byteLength === 0) return corrupt("it holds a bigint of no bytes");
  if (byteLength === 8) return view.getBigInt64(at);
  const hex = Buffer.from(bytes.buffer, bytes.byteOffset + at, byteLength).toString("hex");
  return BigInt.asIntN(byteLength * 8, BigInt(`0x${hex}`));
}
