/**
 * Entries of a batpak 0.3 checkpoint, in the order of keys and the forms in which the original writes them; what is otherwise is left to the
 * host. The host lays out the keys: of each 16 bytes and 16 of a mask, then all lengths.
 */
import { hashArrayEnd } from "./hash-array";
import { ID_BYTES, ID_TAG, integerBytes, NIL_TAG, unsignedAt } from "./msgpack";

const KEY_COUNT: usize = 14;
const KEY_ROW_BYTES: usize = 32;
/** A map of 14 members. */
const MAP_TAG: u32 = 0x8e;
/** An array of 32, as its three bytes lie in memory. */
const HASH_TAG: u32 = 0x2000dc;
const HASH_TAG_BYTES: usize = 3;
const U16_MAX: u64 = 0xffff;
const U32_MAX: u64 = 0xffff_ffff;
const SAFE_INTEGER_MAX: u64 = 0x1f_ffff_ffff_ffff;

/** Of a record (src/kernel/entry-record.ts). */
const RECORD_BYTES: usize = 80;

/** Where the key ends that is expected at `at`; 0 where it does not stand there. */
// @ts-ignore: decorator
@inline
function keyEnd(at: usize, keys: usize, key: usize): usize {
  const expected = keys + key * KEY_ROW_BYTES;
  const differing = v128.and(v128.xor(v128.load(at), v128.load(expected)), v128.load(expected, 16));
  return v128.any_true(differing) ? 0 : at + load<u32>(keys + KEY_COUNT * KEY_ROW_BYTES + (key << 2));
}

/** Where the id begins that is expected behind a key; 0 where it does not stand there. */
// @ts-ignore: decorator
@inline
function idAt(at: usize, keys: usize, key: usize): usize {
  const end = keyEnd(at, keys, key);
  return end != 0 && (load<u16>(end) as u32) == ID_TAG ? end + 2 : 0;
}

/** Stores the integer of at most `max` that is expected behind a key; where it ends, or 0 where it does not stand there. */
// @ts-ignore: decorator
@inline
function wordEnd(at: usize, keys: usize, key: usize, max: u64, target: usize): usize {
  const start = keyEnd(at, keys, key);
  if (start == 0) return 0;
  const value = unsignedAt(start);
  store<u32>(target, value as u32);
  return value <= max ? start + integerBytes(load<u8>(start)) : 0;
}

/** The same of a safe integer, stored as a floating-point number. */
// @ts-ignore: decorator
@inline
function numberEnd(at: usize, keys: usize, key: usize, target: usize): usize {
  const start = keyEnd(at, keys, key);
  if (start == 0) return 0;
  const value = unsignedAt(start);
  store<f64>(target, value as f64);
  return value <= SAFE_INTEGER_MAX ? start + integerBytes(load<u8>(start)) : 0;
}

/** Stores where the integers of the hash begin that is expected behind a key, counted from `origin`; where they end, or 0. */
// @ts-ignore: decorator
@inline
function hashEnd(at: usize, keys: usize, key: usize, origin: usize, target: usize): usize {
  const start = keyEnd(at, keys, key);
  if (start == 0 || (load<u32>(start) & 0xff_ffff) != HASH_TAG) return 0;
  store<u32>(target, start + HASH_TAG_BYTES - origin);
  return hashArrayEnd(start + HASH_TAG_BYTES);
}

/** Writes a record of the entry at `at`, its places counted from `origin`; where the entry ends, or 0, and then the record says nothing. */
function describeEntry(at: usize, origin: usize, keys: usize, record: usize): usize {
  const eventId = idAt(at + 1, keys, 0);
  if (eventId == 0) return 0;
  const correlationId = idAt(eventId + ID_BYTES, keys, 1);
  if (correlationId == 0) return 0;
  const causation = keyEnd(correlationId + ID_BYTES, keys, 2);
  if (causation == 0) return 0;
  const isRoot = (load<u8>(causation) as u32) == NIL_TAG;
  if (!isRoot && (load<u16>(causation) as u32) != ID_TAG) return 0;
  store<u32>(record, eventId - origin, 4);
  store<u32>(record, correlationId - origin, 8);
  store<i32>(record, isRoot ? -1 : ((causation + 2 - origin) as i32), 12);
  at = isRoot ? causation + 1 : causation + 2 + ID_BYTES;
  if ((at = wordEnd(at, keys, 3, U32_MAX, record + 16)) == 0) return 0;
  if ((at = wordEnd(at, keys, 4, U32_MAX, record + 20)) == 0) return 0;
  if ((at = wordEnd(at, keys, 5, U16_MAX, record + 24)) == 0) return 0;
  if ((at = numberEnd(at, keys, 6, record + 48)) == 0) return 0;
  if ((at = wordEnd(at, keys, 7, U32_MAX, record + 28)) == 0) return 0;
  if ((at = hashEnd(at, keys, 8, origin, record + 32)) == 0) return 0;
  if ((at = hashEnd(at, keys, 9, origin, record + 36)) == 0) return 0;
  if ((at = numberEnd(at, keys, 10, record + 56)) == 0) return 0;
  if ((at = numberEnd(at, keys, 11, record + 64)) == 0) return 0;
  if ((at = wordEnd(at, keys, 12, U32_MAX, record + 40)) == 0) return 0;
  if ((at = numberEnd(at, keys, 13, record + 72)) == 0) return 0;
  store<u32>(record, at - origin);
  return at;
}

/**
 * Writes records of the entries from `at` on, at most `recordsMax`, up to the first of another form or without `entryBytesMax` bytes before
 * `limit`. Returns how many. All are addresses; what records say is counted from `origin`.
 */
export function describeEntries(at: u32, limit: u32, origin: u32, keys: u32, entryBytesMax: u32, records: u32, recordsMax: u32): u32 {
  let count: u32 = 0;
  let record = records as usize;
  for (; count < recordsMax && at + entryBytesMax <= limit; count++) {
    if ((load<u8>(at) as u32) != MAP_TAG) break;
    const end = describeEntry(at, origin, keys, record) as u32;
    if (end == 0) break;
    at = end;
    record += RECORD_BYTES;
  }
  return count;
}
