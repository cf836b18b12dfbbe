/**
 * Event ids: 128 bits, most significant byte first. In the API they are lower-case hyphenated text; every id argument takes 32 hex
 * digits as well. Where they come from:
 *
 * - the writer issues UUIDv7, strictly increasing (`IdIssuer`);
 * - a keyed event gets a UUIDv8 derived from its entity and key (`keyedId`), so that a retry finds the first attempt by its id;
 * - a given id is kept as it is, of whatever version.
 */
import { assert } from "../base/assert.ts";
import { hexSlice, latin1Slice } from "../base/buffer-slices.ts";
import type { Random } from "../base/clock.ts";
import { describeValue } from "../base/describe-value.ts";
import { invalidArgument, outOfRange } from "../base/store-error.ts";
import { utf8, utf8Length, writeUtf8 } from "./utf8.ts";

export const ID_BYTES = 16;

const KEY_BYTES_MAX = 1024;
const TIME_MS_MAX = 2 ** 48 - 1;

const HEX = "0123456789abcdef";

/** The two lower-case hex digits of each byte, as characters, the first in the lower half. */
const DIGITS = Uint16Array.from({ length: 256 }, (_, byte) => HEX.charCodeAt(byte >>> 4) | (HEX.charCodeAt(byte & 15) << 8));

/** The value of each hex digit by character code; 255 where it is none. */
const DIGIT = new Uint8Array(128).fill(255);
for (let value = 0; value < 16; value++) {
  DIGIT[value.toString(16).charCodeAt(0)] = value;
  DIGIT[value.toString(16).toUpperCase().charCodeAt(0)] = value;
}

function digitAt(text: string, index: number): number {
  const unit = text.charCodeAt(index);
  return unit < 128 ? DIGIT[unit] : 255;
}

/** The 16 bytes of an id written as UUID text or as 32 hex digits, in either case; null when it is neither. */
export function tryParseId(text: string): Uint8Array | null {
  const hyphenated = text.length === 36;
  if (!hyphenated && text.length !== 32) return null;
  const bytes = new Uint8Array(ID_BYTES);
  let index = 0;
  for (let byte = 0; byte < ID_BYTES; byte++) {
    if (hyphenated && (byte === 4 || byte === 6 || byte === 8 || byte === 10)) {
      if (text.charCodeAt(index) !== 0x2d) return null;
      index++;
    }
    const high = digitAt(text, index);
    const low = digitAt(text, index + 1);
    if (high === 255 || low === 255) return null;
    bytes[byte] = (high << 4) | low;
    index += 2;
  }
  return bytes;
}

/**
 * The 16 bytes of an id argument.
 *
 * @param text UUID text with hyphens or 32 hex digits, in either case
 * @param what what cannot be done otherwise, for the message: "read causedBy"
 * @throws TypeError `INVALID_ARGUMENT` for anything else
 */
export function parseId(text: unknown, what: string): Uint8Array {
  if (typeof text !== "string")
    throw invalidArgument(`Cannot ${what}: the id is ${describeValue(text)}, UUID text or 32 hex digits are allowed`);
  const bytes = tryParseId(text);
  if (bytes === null) throw invalidArgument(`Cannot ${what}: the id is ${describeValue(text)}, UUID text or 32 hex digits are allowed`);
  return bytes;
}

/** Where each byte's digits stand in UUID text. */
const DIGITS_AT = Uint8Array.of(0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34);
/** UUID text in the making: what is put together of pieces would be a rope, which takes more memory and has to be flattened later. */
const uuid = new Uint8Array(36).fill(0x2d);
const uuidView = new DataView(uuid.buffer);

/** The id at `offset` as lower-case hyphenated text. */
export function formatId(bytes: Uint8Array, offset: number): string {
  for (let index = 0; index < ID_BYTES; index++) uuidView.setUint16(DIGITS_AT[index], DIGITS[bytes[offset + index]], true);
  return latin1Slice(uuid, 0, uuid.length);
}

/** The `length` bytes at `offset` as lower-case hex digits: an id in dumps (16), a hash (32). */
export function formatHex(bytes: Uint8Array, offset: number, length: number): string {
  return hexSlice(bytes, offset, offset + length);
}

/** The id at `offset` as 32 lower-case hex digits. */
export function formatIdHex(bytes: Uint8Array, offset: number): string {
  return formatHex(bytes, offset, ID_BYTES);
}

/** Throws `INVALID_ARGUMENT` unless `key` is well-formed text of 1 to 1,024 UTF-8 bytes. */
export function assertKey(key: unknown, what: string): asserts key is string {
  if (typeof key !== "string") throw invalidArgument(`Cannot ${what}: the key is ${describeValue(key)}, text is allowed`);
  if (key.length === 0) throw outOfRange(`Cannot ${what}: the key is empty, 1 to ${KEY_BYTES_MAX} UTF-8 bytes are allowed`);
  const byteLength = key.length > KEY_BYTES_MAX ? Buffer.byteLength(key) : utf8Length(key);
  if (byteLength < 0) throw invalidArgument(`Cannot ${what}: the key holds a lone surrogate, well-formed Unicode is allowed`);
  if (byteLength > KEY_BYTES_MAX) {
    throw outOfRange(`Cannot ${what}: the key takes ${byteLength} bytes, 1 to ${KEY_BYTES_MAX} UTF-8 bytes are allowed`);
  }
}

const KEY_DOMAIN = utf8("batpak key 1");

/**
 * The UUIDv8 of the `item`-th event that `key` covers on an entity: the first 16 bytes of
 * hash("batpak key 1" · u32 LE byte length of the entity · entity · u32 LE item · key), with version and variant set.
 *
 * @param entity the entity's name, well-formed
 * @param item counts from 0 the events that one key covers
 * @param key 1 to 1,024 UTF-8 bytes of well-formed text
 * @param hash BLAKE3
 * @throws TypeError or RangeError `INVALID_ARGUMENT` for a wrong key
 */
export function keyedId(entity: string, item: number, key: string, hash: (bytes: Uint8Array) => Uint8Array): Uint8Array {
  assertKey(key, "append");
  const bytesMax = KEY_DOMAIN.length + 8 + 3 * (entity.length + key.length);
  const input = bytesMax <= keyInput.length ? keyInput : keyInputOf(bytesMax);
  const entityAt = KEY_DOMAIN.length + 4;
  const entityEnd = writeUtf8(input, entityAt, entity);
  writeUint32(input, KEY_DOMAIN.length, entityEnd - entityAt);
  writeUint32(input, entityEnd, item);
  const end = writeUtf8(input, entityEnd + 4, key);
  const id = hash(input.subarray(0, end)).slice(0, ID_BYTES);
  id[6] = (id[6] & 0x0f) | 0x80;
  id[8] = (id[8] & 0x3f) | 0x80;
  return id;
}

/** What is hashed is put together here, unless it is longer than any that is allowed: nothing that could begin another key runs meanwhile. */
const keyInput = keyInputOf(8192);

function keyInputOf(byteLength: number): Uint8Array {
  const input = new Uint8Array(byteLength);
  input.set(KEY_DOMAIN);
  return input;
}

function writeUint32(bytes: Uint8Array, at: number, value: number): void {
  for (let i = 0; i < 4; i++) bytes[at + i] = value >>> (8 * i);
}

/** Random bytes of one draw: 74 bits, from ten bytes. */
const DRAW_BYTES = 10;

/**
 * Issues UUIDv7 ids.
 *
 * Invariants:
 * 1. Each id is greater, byte by byte, than every one issued or resumed after before it, also when time stands still or goes backwards.
 * 2. The 74 random bits are drawn anew at each new millisecond; within one they count up by one.
 * 3. When they overflow, the next millisecond is taken, ahead of the clock.
 */
export class IdIssuer {
  private readonly random: Random;
  private readonly pool = new Uint8Array(DRAW_BYTES * 64);
  private poolPosition = this.pool.length;
  /** Milliseconds in the newest id; -1 before the first. */
  private timeMs = -1;
  /** The 12 random bits after the version. */
  private high = 0;
  /** The 30 random bits after the variant. */
  private middle = 0;
  /** The last 32 bits. */
  private low = 0;

  /** @param random where the random bits come from, asked for 640 bytes at a time */
  constructor(random: Random) {
    this.random = random;
  }

  /**
   * Writes the next id.
   *
   * @param timeMs milliseconds since the Unix epoch, an integer
   * @param target 16 bytes from `offset` are overwritten
   */
  issue(timeMs: number, target: Uint8Array, offset: number): void {
    if (timeMs > this.timeMs) this.begin(timeMs);
    else this.increment();
    this.write(target, offset);
  }

  /** The newest id issued or resumed after, as 16 bytes; zeros before the first. */
  newest(): Uint8Array {
    const id = new Uint8Array(ID_BYTES);
    if (this.timeMs >= 0) this.write(id, 0);
    return id;
  }

  private write(target: Uint8Array, offset: number): void {
    const time = this.timeMs;
    const timeHigh = Math.floor(time / 0x1_0000);
    const middle = this.middle;
    const low = this.low;
    target[offset] = timeHigh >>> 24;
    target[offset + 1] = timeHigh >>> 16;
    target[offset + 2] = timeHigh >>> 8;
    target[offset + 3] = timeHigh;
    target[offset + 4] = (time - timeHigh * 0x1_0000) >>> 8;
    target[offset + 5] = time - timeHigh * 0x1_0000;
    target[offset + 6] = 0x70 | (this.high >>> 8);
    target[offset + 7] = this.high;
    target[offset + 8] = 0x80 | (middle >>> 24);
    target[offset + 9] = middle >>> 16;
    target[offset + 10] = middle >>> 8;
    target[offset + 11] = middle;
    target[offset + 12] = low >>> 24;
    target[offset + 13] = low >>> 16;
    target[offset + 14] = low >>> 8;
    target[offset + 15] = low;
  }

  /** Continues after `idBytes` (16 bytes, of any version): no id issued from now on is less than or equal to it. */
  resumeAfter(idBytes: Uint8Array): void {
    const view = new DataView(idBytes.buffer, idBytes.byteOffset, ID_BYTES);
    const timeMs = view.getUint32(0) * 0x1_0000 + view.getUint16(4);
    const ours = view.getUint8(6) >>> 4 === 7 && view.getUint8(8) >>> 6 === 2;
    // An id of another version may compare greater than any of ours in its millisecond: all of that is passed over.
    const high = ours ? view.getUint16(6) & 0xfff : 0xfff;
    const middle = ours ? view.getUint32(8) & 0x3fff_ffff : 0x3fff_ffff;
    const low = ours ? view.getUint32(12) : 0xffff_ffff;
    if (timeMs < this.timeMs) return;
    if (timeMs === this.timeMs && !isGreater(high, middle, low, this.high, this.middle, this.low)) return;
    this.timeMs = timeMs;
    this.high = high;
    this.middle = middle;
    this.low = low;
  }

  private begin(timeMs: number): void {
    assert(timeMs <= TIME_MS_MAX, "the milliseconds of an id fit 48 bits");
    if (this.poolPosition === this.pool.length) {
      this.random(this.pool);
      this.poolPosition = 0;
    }
    const pool = this.pool;
    const at = this.poolPosition;
    this.poolPosition = at + DRAW_BYTES;
    this.timeMs = timeMs;
    this.high = ((pool[at] << 8) | pool[at + 1]) & 0xfff;
    this.middle = ((pool[at + 2] << 24) | (pool[at + 3] << 16) | (pool[at + 4] << 8) | pool[at + 5]) & 0x3fff_ffff;
    this.low = ((pool[at + 6] << 24) | (pool[at + 7] << 16) | (pool[at + 8] << 8) | pool[at + 9]) >>> 0;
  }

  private increment(): void {
    if (this.timeMs < 0) return this.begin(0); // a clock from before 1970 counts as 1970
    if (this.low < 0xffff_ffff) {
      this.low++;
      return;
    }
    this.low = 0;
    if (this.middle < 0x3fff_ffff) {
      this.middle++;
      return;
    }
    this.middle = 0;
    if (this.high < 0xfff) this.high++;
    else this.begin(this.timeMs + 1);
  }
}

function isGreater(high: number, middle: number, low: number, high2: number, middle2: number, low2: number): boolean {
  if (high !== high2) return high > high2;
  if (middle !== middle2) return middle > middle2;
  return low > low2;
}
