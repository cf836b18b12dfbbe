/**
 * Frames of batpak 0.3, in the order and the forms in which the original writes them, made into frames of the native layout
 * (src/format/native/frame-layout.ts): what reads events then finds every field at a place that it knows. What is otherwise, or wrong in any
 * way, is left to the host.
 *
 * The host lays out what stands between the values, in their order: of each 32 bytes and 32 of a mask, then all lengths.
 */
import { crc32 } from "./crc32";
import { hashArrayEnd } from "./hash-array";
import { children, COMPUTED_HASHES, lengths, links, offsets, region } from "./memory";
import { ID_BYTES, ID_TAG, integerBytes, NIL_TAG, unsignedAt } from "./msgpack";
import { hash } from "./tree";

/** Length and CRC, big-endian. */
const PREFIX_BYTES: usize = 8;
const FORM_ROW_BYTES: usize = 64;
const FORM_COUNT: usize = 18;
const U16_MAX: u64 = 0xffff;
const U32_MAX: u64 = 0xffff_ffff;
const I64_MAX: u64 = 0x7fff_ffff_ffff_ffff;
/** The greatest whose microseconds are a safe integer. */
const WALL_MS_MAX: u64 = 9_007_199_254_740;
const HASH_BYTES: usize = 32;
/** The markers of a batch: no events. */
const BATCH_BEGIN: u64 = 6;
const BATCH_COMMIT: u64 = 7;
const HIGH_BITS: u64 = 0x8080_8080_8080_8080;

// Of the native frame.
const LENGTH_AT: usize = 4;
const FLAGS_AT: usize = 12;
const KIND_AT: usize = 14;
const VERSION_AT: usize = 16;
const ENTITY_LENGTH_AT: usize = 18;
const SCOPE_LENGTH_AT: usize = 20;
const CLOCK_AT: usize = 22;
const TIME_AT: usize = 38;
const ID_AT: usize = 46;
const PREVIOUS_HASH_AT: usize = 62;
const VARIABLE_AT: usize = 94;
const HAS_CORRELATION: u32 = 1;
const HAS_CAUSATION: u32 = 2;

/** What `integerEnd` and `nameAt` read last. */
let integer: u64 = 0;
let nameBytes: u32 = 0;

/** Where form `row` ends that is expected at `at`; 0 where it does not stand there, and where nothing can be expected any more. */
// @ts-ignore: decorator
@inline
function formEnd(at: usize, end: usize, forms: usize, row: usize): usize {
  if (at == 0 || at >= end) return 0;
  const expected = forms + row * FORM_ROW_BYTES;
  const first = v128.and(v128.xor(v128.load(at), v128.load(expected)), v128.load(expected, 32));
  const second = v128.and(v128.xor(v128.load(at, 16), v128.load(expected, 16)), v128.load(expected, 48));
  return v128.any_true(v128.or(first, second)) ? 0 : at + load<u32>(forms + FORM_COUNT * FORM_ROW_BYTES + (row << 2));
}

/** Reads the integer of at most `max` behind a form; where it ends, or 0 where there is none. */
function integerEnd(at: usize, end: usize, forms: usize, row: usize, max: u64): usize {
  const start = formEnd(at, end, forms, row);
  if (start == 0) return 0;
  integer = unsignedAt(start);
  return integer <= max ? start + integerBytes(load<u8>(start)) : 0;
}

/** Where the UTF-8 text begins behind a form, `nameBytes` long; 0 where there is none, or nothing in it. */
function nameAt(at: usize, end: usize, forms: usize, row: usize): usize {
  const start = formEnd(at, end, forms, row);
  if (start == 0) return 0;
  const tag = load<u8>(start) as u32;
  const header: usize = tag == 0xda ? 3 : tag == 0xd9 ? 2 : 1;
  if (header == 1 && (tag & 0xe0) != 0xa0) return 0;
  nameBytes = header == 3 ? bswap<u16>(load<u16>(start, 1)) : header == 2 ? load<u8>(start, 1) : tag & 0x1f;
  const name = start + header;
  return nameBytes > 0 && name + nameBytes <= end && isText(name, name + nameBytes) ? name : 0;
}

/**
 * Writes as bytes the `count` integers that begin at `from`; where they end, or 0 where they are not bytes or go on past `end`. Reads and writes
 * up to 32 bytes past both ends.
 */
function expandIntegers(from: usize, end: usize, count: u32, to: usize): usize {
  let wrong: u32 = 0;
  for (let done: u32 = 0; done < count; ) {
    if (from >= end) return 0;
    const bytes = v128.load(from);
    if (count - done >= 16 && i8x16.bitmask(bytes) == 0) {
      v128.store(to + done, bytes);
      from += 16;
      done += 16;
      continue;
    }
    for (const stop = min<u32>(count, done + 16); done < stop; done++) {
      const tag = load<u8>(from) as u32;
      const wide = tag >>> 7;
      wrong |= (tag ^ 0xcc) & (0 - wide);
      from += wide;
      store<u8>(to + done, load<u8>(from++));
    }
  }
  return wrong == 0 && from <= end ? from : 0;
}

/** Whether `[at, end)` is UTF-8: no form longer than needed, no halves of pairs, nothing past U+10FFFF. */
function isText(at: usize, end: usize): bool {
  while (at < end) {
    if (at + 8 <= end && (load<u64>(at) & HIGH_BITS) == 0) {
      at += 8;
      continue;
    }
    const first = load<u8>(at) as u32;
    if (first < 0x80) {
      at++;
      continue;
    }
    if (first < 0xc2 || first > 0xf4) return false;
    const next = at + (first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4);
    if (next > end) return false;
    const second = load<u8>(at, 1) as u32;
    if (second < (first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80)) return false;
    if (second > (first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf)) return false;
    for (at += 2; at < next; at++) if ((load<u8>(at) & 0xc0) != 0x80) return false;
  }
  return true;
}

/**
 * Makes the frame of `[at, end)` a native one at `out`. Returns its length; 0 where the frame is not whole and right, or of another form, and then
 * what is at `out` says nothing. Needs twice as much room there as the frame takes.
 */
function translateFrame(at: usize, end: usize, forms: usize, out: usize): u32 {
  if (crc32(at + PREFIX_BYTES, end, 0) != bswap<u32>(load<u32>(at, 4))) return 0;
  const eventId = formEnd(at + PREFIX_BYTES, end, forms, 0);
  if (eventId == 0) return 0;
  const correlation = formEnd(eventId + ID_BYTES, end, forms, 1);
  if (correlation == 0) return 0;
  const causation = formEnd(correlation + ID_BYTES, end, forms, 2);
  if (causation == 0) return 0;
  const isRoot = (load<u8>(causation) as u32) == NIL_TAG;
  if (!isRoot && (load<u16>(causation) as u32) != ID_TAG) return 0;
  let next = isRoot ? causation + 1 : causation + 2 + ID_BYTES;
  next = integerEnd(next, end, forms, 3, I64_MAX);
  next = integerEnd(next, end, forms, 4, WALL_MS_MAX);
  store<u64>(out, integer * 1000, TIME_AT);
  next = integerEnd(next, end, forms, 5, U32_MAX);
  next = integerEnd(next, end, forms, 6, U32_MAX);
  next = integerEnd(next, end, forms, 7, U32_MAX);
  next = integerEnd(next, end, forms, 8, U32_MAX);
  store<u64>(out, integer, CLOCK_AT);
  next = integerEnd(next, end, forms, 9, U32_MAX);
  const payloadBytes = integer as u32;
  next = integerEnd(next, end, forms, 10, U16_MAX);
  if (next == 0 || integer == BATCH_BEGIN || integer == BATCH_COMMIT) return 0;
  store<u16>(out, integer as u16, KIND_AT);
  next = integerEnd(next, end, forms, 11, U32_MAX);
  next = formEnd(next, end, forms, 12);
  if (next == 0 || (next = hashArrayEnd(next)) == 0) return 0;
  next = formEnd(next, end, forms, 13);
  if (next == 0) return 0;

  const tag = load<u8>(next) as u32;
  const count = (tag & 0xf0) == 0x90 ? tag & 0xf : tag == 0xdc ? bswap<u16>(load<u16>(next, 1)) : tag == 0xdd ? bswap<u32>(load<u32>(next, 1)) : 0;
  next += tag == 0xdc ? 3 : tag == 0xdd ? 5 : 1;
  // There is no payload without a byte.
  if (count == 0 || count != payloadBytes || count > end - next) return 0;
  // It gets its place once the names are known, which stand behind it.
  const payload = out + (end - at);
  next = expandIntegers(next, end, count, payload);

  const previousHash = formEnd(next, end, forms, 14);
  if (previousHash == 0 || (next = hashArrayEnd(previousHash)) == 0) return 0;
  const eventHash = formEnd(next, end, forms, 15);
  if (eventHash == 0 || (next = hashArrayEnd(eventHash)) == 0) return 0;
  const entity = nameAt(next, end, forms, 16);
  if (entity == 0) return 0;
  const entityBytes = nameBytes;
  const scope = nameAt(entity + entityBytes, end, forms, 17);
  if (scope == 0 || scope + nameBytes != end) return 0;

  store<u64>(out, 0);
  store<u32>(out, 0, 8);
  store<u16>(out, (HAS_CORRELATION | (isRoot ? 0 : HAS_CAUSATION)) as u16, FLAGS_AT);
  store<u16>(out, 1, VERSION_AT);
  store<u16>(out, entityBytes as u16, ENTITY_LENGTH_AT);
  store<u16>(out, nameBytes as u16, SCOPE_LENGTH_AT);
  store<u64>(out, 0, CLOCK_AT + 8);
  v128.store(out, v128.load(eventId), ID_AT);
  expandIntegers(previousHash, end, HASH_BYTES as u32, out + PREVIOUS_HASH_AT);
  let to = out + VARIABLE_AT;
  v128.store(to, v128.load(correlation));
  to += ID_BYTES;
  if (!isRoot) {
    v128.store(to, v128.load(causation + 2));
    to += ID_BYTES;
  }
  memory.copy(to, entity, entityBytes);
  memory.copy(to + entityBytes, scope, nameBytes);
  to += entityBytes + nameBytes;
  memory.copy(to, payload, count);
  to += count;
  expandIntegers(eventHash, end, HASH_BYTES as u32, to);
  hash(payload, count, COMPUTED_HASHES);
  const differing = v128.or(
    v128.xor(v128.load(to), v128.load(COMPUTED_HASHES)),
    v128.xor(v128.load(to, 16), v128.load(COMPUTED_HASHES, 16)),
  );
  if (v128.any_true(differing)) return 0;
  const length = (to + HASH_BYTES - out) as u32;
  store<u32>(out, length, LENGTH_AT);
  return length;
}

/**
 * Makes each of the frames [0, count) a native one, one after the other from `out` on, as long as there is room before `outEnd`. In the table then
 * stands, in place of a frame's link, where it is in the region, and in the column behind that what `translateFrame` says of it. `out`, `outEnd` and
 * `forms` are addresses.
 */
export function translateFrames(count: i32, forms: u32, out: u32, outEnd: u32): void {
  for (let frame: usize = 0; frame < (count as usize); frame++) {
    const column = frame << 2;
    const byteCount = load<u32>(lengths + column);
    const at = region + load<u32>(offsets + column);
    const fits = byteCount > (PREFIX_BYTES as u32) && 2 * (byteCount as u64) <= outEnd - out;
    const length = fits ? translateFrame(at, at + byteCount, forms, out) : 0;
    store<u32>(links + column, out - (region as u32));
    store<u32>(children + column, length);
    out += length;
  }
}
