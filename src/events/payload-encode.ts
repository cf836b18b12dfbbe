/**
 * Writes payloads as MessagePack straight into a frame, judging them on the way: what would not come back as it went in is refused with
 * its path. One pass, no intermediate buffers; every member is looked at once, so an accessor cannot answer twice (its answer is stored).
 *
 * What comes back differs from what went in only here: members that are `undefined` are left out, named properties of arrays and properties
 * that are not enumerable are not looked at, a Buffer comes back as a Uint8Array, and an object without prototype as a plain one.
 * `toJSON` is not called.
 *
 * Invariants:
 * 1. Forms are the shortest: the same value always makes the same bytes, given the same order of keys.
 * 2. After a throw the sink stands where it stood before; what lies past its position is undefined.
 * 3. `path` and `ancestors` belong to the one call that is under way; user code that runs inside it (an accessor, a proxy) cannot start another.
 */
import { isDate, isUint8Array } from "node:util/types";
import type { ByteSink } from "../base/byte-sink.ts";
import { StoreError } from "../base/store-error.ts";
import { BIGINT_EXTENSION, DEPTH_MAX, formatPath } from "./payload-format.ts";
import { FIRST_KEY, findKeyEntry, KEY_ENTRY_BYTES_MAX, type KeyEntry } from "./payload-key-cache.ts";
import { isWellFormed, utf8Length } from "./utf8.ts";

/** Text up to this many UTF-16 units is written by a loop; beyond it the native encoder wins. */
const LOOP_UNITS_MAX = 40;
const MAX_SAFE = BigInt(Number.MAX_SAFE_INTEGER);
const MIN_SAFE = BigInt(Number.MIN_SAFE_INTEGER);
const U64_MAX = 2n ** 64n - 1n;
const I64_MIN = -(2n ** 63n);

const path: (string | number)[] = Array.from({ length: DEPTH_MAX + 1 }, () => "");
/** The arrays and objects that the value being written lies in, outermost first. */
const ancestors: (object | null)[] = Array.from({ length: DEPTH_MAX + 1 }, () => null);
let encoding = false;

/**
 * Writes `value` at `sink.position` and moves it past the last byte.
 *
 * @param value null, boolean, string, number, bigint, valid Date, Uint8Array, or arrays and plain objects of such, up to 100 deep
 * @throws StoreError `PAYLOAD_UNSUPPORTED` with the path of what cannot be stored; whatever the sink's `grow` throws
 *
 * @example
 * const sink = new GrowingSink();
 * encodePayload(sink, { x: 10, y: 20 });
 */
export function encodePayload(sink: ByteSink, value: unknown): void {
  if (encoding) refuse(0, "an accessor that starts another encoding");
  const start = sink.position;
  encoding = true;
  try {
    writeValue(sink, value, 0);
  } catch (error) {
    sink.position = start;
    ancestors.fill(null);
    throw error;
  } finally {
    encoding = false;
  }
}

/** Refuses the value at the path's first `depth` steps. */
function refuse(depth: number, reason: string): never {
  const at = formatPath(path.slice(0, depth));
  const message = `Cannot store the payload: ${at} is ${reason}; null, booleans, strings, numbers, bigints, valid Dates, Uint8Arrays, arrays and plain objects are allowed`;
  throw new StoreError("PAYLOAD_UNSUPPORTED", message, { path: at, reason });
}

function writeValue(sink: ByteSink, value: unknown, depth: number): void {
  if (typeof value === "string") return writeString(sink, value, depth);
  if (typeof value === "number") return writeNumber(sink, value);
  if (typeof value === "object") {
    if (value === null) return writeByte(sink, 0xc0);
    return writeObject(sink, value, depth);
  }
  if (typeof value === "boolean") return writeByte(sink, value ? 0xc3 : 0xc2);
  if (typeof value === "bigint") return writeBigint(sink, value);
  return refuse(depth, value === undefined ? "undefined" : `a ${typeof value}`);
}

function writeByte(sink: ByteSink, byte: number): void {
  if (sink.position === sink.capacity) sink.grow(1);
  sink.bytes[sink.position++] = byte;
}

function writeNumber(sink: ByteSink, value: number): void {
  if (sink.capacity - sink.position < 9) sink.grow(9);
  const position = sink.position;
  if ((value | 0) === value && (value !== 0 || 1 / value > 0)) {
    const bytes = sink.bytes;
    if (value >= -32 && value < 128) {
      bytes[position] = value;
      sink.position = position + 1;
    } else if (value < 256 && value >= -128) {
      bytes[position] = value < 0 ? 0xd0 : 0xcc;
      bytes[position + 1] = value;
      sink.position = position + 2;
    } else if (value < 65536 && value >= -32768) {
      bytes[position] = value < 0 ? 0xd1 : 0xcd;
      bytes[position + 1] = value >>> 8;
      bytes[position + 2] = value;
      sink.position = position + 3;
    } else {
      bytes[position] = value < 0 ? 0xd2 : 0xce;
      bytes[position + 1] = value >>> 24;
      bytes[position + 2] = value >>> 16;
      bytes[position + 3] = value >>> 8;
      bytes[position + 4] = value;
      sink.position = position + 5;
    }
    return;
  }
  const view = sink.view;
  if (!Number.isSafeInteger(value) || value === 0) {
    view.setUint8(position, 0xcb);
    view.setFloat64(position + 1, value);
    sink.position = position + 9;
  } else if (value > 0 && value <= 0xffff_ffff) {
    view.setUint8(position, 0xce);
    view.setUint32(position + 1, value);
    sink.position = position + 5;
  } else {
    view.setUint8(position, value > 0 ? 0xcf : 0xd3);
    view.setUint32(position + 1, Math.floor(value / 0x1_0000_0000)); // modulo 2^32: two's complement
    view.setUint32(position + 5, value >>> 0);
    sink.position = position + 9;
  }
}

function writeString(sink: ByteSink, text: string, depth: number): void {
  const units = text.length;
  if (units > LOOP_UNITS_MAX) return writeLongString(sink, text, depth);
  if (sink.capacity - sink.position < units + 2) sink.grow(units + 2);
  const bytes = sink.bytes;
  let position = sink.position;
  if (units < 32) bytes[position++] = 0xa0 | units;
  else {
    bytes[position++] = 0xd9;
    bytes[position++] = units;
  }
  // On a unit beyond ASCII nothing was taken yet: the sink's position has not moved.
  let index = 0;
  for (; index + 4 <= units; index += 4) {
    const a = text.charCodeAt(index);
    const b = text.charCodeAt(index + 1);
    const c = text.charCodeAt(index + 2);
    const d = text.charCodeAt(index + 3);
    if ((a | b | c | d) >= 0x80) return writeLongString(sink, text, depth);
    bytes[position] = a;
    bytes[position + 1] = b;
    bytes[position + 2] = c;
    bytes[position + 3] = d;
    position += 4;
  }
  for (; index < units; index++) {
    const unit = text.charCodeAt(index);
    if (unit >= 0x80) return writeLongString(sink, text, depth);
    bytes[position++] = unit;
  }
  sink.position = position;
}

/** The native encoder writes into any Uint8Array; it is not documented, so its absence is provided for. */
interface NativeUtf8Writer {
  utf8Write?: (this: Uint8Array, text: string, offset: number, length: number) => number;
}
const utf8Write = (Buffer.prototype as unknown as NativeUtf8Writer).utf8Write;
const encoder = new TextEncoder();

/** The most bytes that a header takes, and those that one UTF-16 unit takes as UTF-8. */
const HEADER_BYTES_MAX = 5;
const UNIT_BYTES_MAX = 3;

/** Text of any length and content. */
function writeLongString(sink: ByteSink, text: string, depth: number): void {
  const units = text.length;
  const short = units <= LOOP_UNITS_MAX;
  if (!short && utf8Write !== undefined && sink.capacity - sink.position >= HEADER_BYTES_MAX + units * UNIT_BYTES_MAX) {
    return writeWhereRoomIs(sink, text, depth, utf8Write);
  }
  const byteLength = short ? utf8Length(text) : isWellFormed(text) ? Buffer.byteLength(text) : -1;
  if (byteLength < 0) refuseSurrogate(depth);
  writeHeader(sink, byteLength, 0xa0, 32, 0xd9);
  const position = sink.position;
  if (sink.capacity - position < byteLength) sink.grow(byteLength);
  if (short) writeUtf8(sink.bytes, position, text);
  else if (utf8Write !== undefined) utf8Write.call(sink.bytes, text, position, byteLength);
  else encoder.encodeInto(text, sink.bytes.subarray(position, position + byteLength));
  sink.position = position + byteLength;
}

/** Text for which there is room whatever it holds: it need not be measured first, which takes as long as writing it. */
function writeWhereRoomIs(sink: ByteSink, text: string, depth: number, write: NonNullable<NativeUtf8Writer["utf8Write"]>): void {
  const units = text.length;
  // The header that ASCII needs, mostly right.
  const start = sink.position + headerBytes(units, 32, 0xd9);
  const byteLength = write.call(sink.bytes, text, start, units * UNIT_BYTES_MAX);
  if (byteLength !== units) {
    if (!isWellFormed(text)) refuseSurrogate(depth);
    const right = sink.position + headerBytes(byteLength, 32, 0xd9);
    if (right !== start) sink.bytes.copyWithin(right, start, start + byteLength);
  }
  writeHeader(sink, byteLength, 0xa0, 32, 0xd9);
  sink.position += byteLength;
}

function refuseSurrogate(depth: number): never {
  return refuse(depth, "text with a lone surrogate");
}

/** Well-formed text as UTF-8, for short text that is not all ASCII. */
function writeUtf8(bytes: Uint8Array, start: number, text: string): void {
  let position = start;
  for (let index = 0; index < text.length; index++) {
    const unit = text.charCodeAt(index);
    if (unit < 0x80) {
      bytes[position++] = unit;
    } else if (unit < 0x800) {
      bytes[position++] = 0xc0 | (unit >>> 6);
      bytes[position++] = 0x80 | (unit & 0x3f);
    } else if (unit < 0xd800 || unit > 0xdfff) {
      bytes[position++] = 0xe0 | (unit >>> 12);
      bytes[position++] = 0x80 | ((unit >>> 6) & 0x3f);
      bytes[position++] = 0x80 | (unit & 0x3f);
    } else {
      const point = 0x10000 + ((unit - 0xd800) << 10) + (text.charCodeAt(++index) - 0xdc00);
      bytes[position++] = 0xf0 | (point >>> 18);
      bytes[position++] = 0x80 | ((point >>> 12) & 0x3f);
      bytes[position++] = 0x80 | ((point >>> 6) & 0x3f);
      bytes[position++] = 0x80 | (point & 0x3f);
    }
  }
}

/**
 * The shortest header for `count` bytes or members: one byte `fixed | count` below `fixedCount`, else the form `code8` (0 where there is
 * none) with one byte, or the two forms after it with two and four.
 */
function writeHeader(sink: ByteSink, count: number, fixed: number, fixedCount: number, code8: number, code16 = code8 + 1): void {
  if (sink.capacity - sink.position < 5) sink.grow(5);
  const position = sink.position;
  if (count < fixedCount) {
    sink.bytes[position] = fixed | count;
    sink.position = position + 1;
  } else if (count < 0x100 && code8 !== 0) {
    sink.bytes[position] = code8;
    sink.bytes[position + 1] = count;
    sink.position = position + 2;
  } else if (count < 0x1_0000) {
    sink.bytes[position] = code16;
    sink.view.setUint16(position + 1, count);
    sink.position = position + 3;
  } else {
    sink.bytes[position] = code16 + 1;
    sink.view.setUint32(position + 1, count);
    sink.position = position + 5;
  }
}

/** How many bytes `writeHeader` writes for these. */
function headerBytes(count: number, fixedCount: number, code8: number): number {
  if (count < fixedCount) return 1;
  if (count < 0x100 && code8 !== 0) return 2;
  return count < 0x1_0000 ? 3 : 5;
}

function writeObject(sink: ByteSink, value: object, depth: number): void {
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype === Object.prototype) return writeMembers(sink, value as Record<string, unknown>, depth);
  if (Array.isArray(value)) {
    // The prototype of arrays is an array itself, in every realm; that of a subclass is not.
    if (prototype !== Array.prototype && !Array.isArray(prototype)) refuse(depth, describeInstance(value));
    return writeArray(sink, value, depth);
  }
  if (prototype === null) return writeMembers(sink, value as Record<string, unknown>, depth);
  if (isUint8Array(value)) return writeBinary(sink, value, depth);
  if (isDate(value)) return writeDate(sink, value, depth);
  if (isForeignObjectPrototype(prototype)) return writeMembers(sink, value as Record<string, unknown>, depth);
  return refuse(depth, describeInstance(value));
}

/** Whether `prototype` is the Object.prototype of another realm, as under `node:vm` and in some test runners. */
function isForeignObjectPrototype(prototype: unknown): boolean {
  return (
    typeof prototype === "object" &&
    prototype !== null &&
    Object.getPrototypeOf(prototype) === null &&
    Object.hasOwn(prototype, "isPrototypeOf") &&
    Object.hasOwn(prototype, "__proto__")
  );
}

function describeInstance(value: object): string {
  const prototype: unknown = Object.getPrototypeOf(value);
  const maker: unknown =
    typeof prototype === "object" && prototype !== null ? Object.getOwnPropertyDescriptor(prototype, "constructor")?.value : undefined;
  const name: unknown = typeof maker === "function" ? Object.getOwnPropertyDescriptor(maker, "name")?.value : undefined;
  return typeof name === "string" && name !== "" ? `an instance of ${name}` : "an instance of a class";
}

/** Notes that `value` is being written at `depth`; refuses what is too deep or contains itself. */
function enter(value: object, depth: number): void {
  if (depth >= DEPTH_MAX) refuse(depth, `nested deeper than ${DEPTH_MAX} levels`);
  for (let level = 0; level < depth; level++) {
    if (ancestors[level] === value) refuse(depth, "a reference to what it lies in");
  }
  ancestors[depth] = value;
}

function writeMembers(sink: ByteSink, value: Record<string, unknown>, depth: number): void {
  enter(value, depth);
  if (Object.getOwnPropertySymbols(value).length !== 0) refuse(depth, "an object with a symbol as key");
  // for-in reads members by the enumeration cache, three times faster than by the names of Object.keys. Own names come first and in the
  // same order: counting them keeps inherited ones out.
  const count = Object.keys(value).length;
  const header = sink.position;
  writeHeader(sink, count, 0x80, 16, 0, 0xde);
  let seen = 0;
  let written = 0;
  let previous = FIRST_KEY;
  for (const key in value) {
    if (seen++ === count) break;
    const member = value[key];
    if (member === undefined) continue;
    path[depth] = key;
    if (key === "__proto__") refuse(depth + 1, "a member named __proto__");
    let entry = previous.next;
    if (entry === null || entry.key !== key) entry = findKeyEntry(key, previous);
    if (entry === null) writeString(sink, key, depth + 1);
    else {
      writeKey(sink, entry);
      previous = entry;
    }
    writeValue(sink, member, depth + 1);
    written++;
  }
  if (written !== count) correctCount(sink, header, count, written);
  ancestors[depth] = null;
}

function writeKey(sink: ByteSink, entry: KeyEntry): void {
  if (sink.capacity - sink.position < KEY_ENTRY_BYTES_MAX) sink.grow(KEY_ENTRY_BYTES_MAX);
  const view = sink.view;
  const words = entry.words;
  const position = sink.position;
  for (let index = 0; index < words.length; index++) view.setUint32(position + index * 4, words[index], true);
  sink.position = position + entry.byteLength;
}

/** Some members were undefined: writes the header anew, and closes the gap where it has become shorter. */
function correctCount(sink: ByteSink, header: number, counted: number, written: number): void {
  const end = sink.position;
  const countedBytes = headerBytes(counted, 16, 0);
  const body = header + countedBytes;
  const gap = countedBytes - headerBytes(written, 16, 0);
  sink.position = header;
  if (gap === 0) writeHeader(sink, written, 0x80, 16, 0, 0xde);
  else {
    sink.bytes.copyWithin(body - gap, body, end);
    writeHeader(sink, written, 0x80, 16, 0, 0xde);
  }
  sink.position = end - gap;
}

function writeArray(sink: ByteSink, items: readonly unknown[], depth: number): void {
  enter(items, depth);
  const count = items.length;
  writeHeader(sink, count, 0x90, 16, 0, 0xdc);
  for (let index = 0; index < count; index++) {
    const item = items[index];
    path[depth] = index;
    if (item === undefined) refuse(depth + 1, index in items ? "undefined in an array" : "a hole in a sparse array");
    writeValue(sink, item, depth + 1);
  }
  ancestors[depth] = null;
}

function writeBinary(sink: ByteSink, value: Uint8Array, depth: number): void {
  const byteLength = value.length;
  if (byteLength === 0 && isDetached(value)) refuse(depth, "a Uint8Array whose bytes were transferred to another thread or array");
  writeHeader(sink, byteLength, 0, 0, 0xc4);
  if (sink.capacity - sink.position < byteLength) sink.grow(byteLength);
  sink.bytes.set(value, sink.position);
  sink.position += byteLength;
}

/** `ArrayBuffer.prototype.detached` is not there before Node 22. */
function isDetached({ buffer }: Uint8Array): boolean {
  try {
    return new Uint8Array(buffer).length < 0;
  } catch {
    return true;
  }
}

function writeDate(sink: ByteSink, value: Date, depth: number): void {
  const timeMs = Date.prototype.getTime.call(value);
  if (Number.isNaN(timeMs)) refuse(depth, "an invalid Date");
  if (sink.capacity - sink.position < 15) sink.grow(15);
  const position = sink.position;
  const view = sink.view;
  const seconds = Math.floor(timeMs / 1000);
  const nanoseconds = (timeMs - seconds * 1000) * 1_000_000;
  if (seconds >= 0 && seconds < 0x4_0000_0000) {
    if (nanoseconds === 0 && seconds <= 0xffff_ffff) {
      view.setUint16(position, 0xd6ff);
      view.setUint32(position + 2, seconds);
      sink.position = position + 6;
    } else {
      view.setUint16(position, 0xd7ff);
      view.setUint32(position + 2, nanoseconds * 4 + Math.floor(seconds / 0x1_0000_0000));
      view.setUint32(position + 6, seconds >>> 0);
      sink.position = position + 10;
    }
    return;
  }
  view.setUint16(position, 0xc70c);
  view.setUint8(position + 2, 0xff);
  view.setUint32(position + 3, nanoseconds);
  view.setUint32(position + 7, Math.floor(seconds / 0x1_0000_0000)); // modulo 2^32: two's complement
  view.setUint32(position + 11, seconds >>> 0);
  sink.position = position + 15;
}

/** 64 bits beyond what a number holds exactly: MessagePack's own form comes back a bigint, and every other reader knows it. */
function writeWideInteger(sink: ByteSink, value: bigint): void {
  if (sink.capacity - sink.position < 9) sink.grow(9);
  const { position } = sink;
  sink.bytes[position] = value < 0n ? 0xd3 : 0xcf;
  sink.view.setBigUint64(position + 1, BigInt.asUintN(64, value));
  sink.position = position + 9;
}

/** As many bytes as the value needs, its sign bit included, most significant first. */
function bigintBytes(value: bigint): Uint8Array {
  // A negative number takes as many bytes as its complement, which has the same significant bits and none of the sign's.
  const digits = (value < 0n ? -value - 1n : value).toString(16);
  const length = Math.floor((bitLength(digits) + 8) / 8);
  const hex = (value < 0n ? (1n << BigInt(length * 8)) + value : value).toString(16).padStart(length * 2, "0");
  return Buffer.from(hex, "hex");
}

function bitLength(hexDigits: string): number {
  return hexDigits.length * 4 - (Math.clz32(Number.parseInt(hexDigits[0], 16)) - 28);
}

function writeBigint(sink: ByteSink, value: bigint): void {
  if (value < MIN_SAFE ? value >= I64_MIN : value > MAX_SAFE && value <= U64_MAX) return writeWideInteger(sink, value);
  const content = bigintBytes(value);
  const length = content.length;
  if (sink.capacity - sink.position < length + 6) sink.grow(length + 6);
  const fixed = length === 1 || length === 2 || length === 4 || length === 8 || length === 16;
  if (fixed) sink.bytes[sink.position++] = 0xd4 + 31 - Math.clz32(length);
  else writeHeader(sink, length, 0, 0, 0xc7);
  if (sink.capacity - sink.position < length + 1) sink.grow(length + 1);
  sink.bytes[sink.position++] = BIGINT_EXTENSION;
  sink.bytes.set(content, sink.position);
  sink.position += length;
}
