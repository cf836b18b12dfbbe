/**
 * Walks the frames of a segment one after the other: which of them are right, where the last whole commit ends, and what taking them up needs of
 * each. The shape of a frame is judged as `checkShape` in src/format/native/frame.ts does; tests compare the two.
 */
import { crc32 } from "./crc32";
import { FRAME_BODY, FRAME_BYTES_MIN, FRAME_LENGTH, HASH_BYTES, offsets, region } from "./memory";

const SYNC_BACK: usize = 8;
const FLAGS: usize = 12;
const ENCODING: usize = 13;
const KIND: usize = 14;
const ENTITY_LENGTH: usize = 18;
const SCOPE_LENGTH: usize = 20;
const CLOCK: usize = 22;
const SEQUENCE: usize = 30;
const TIME: usize = 38;
const ID: usize = 46;
const VARIABLE: u32 = 94;

const COMMIT_MARK: u32 = 0x8000_0000;
const RESERVED_BIT: u32 = 0x4000_0000;
const LENGTH_MASK: u32 = 0x3fff_ffff;

const CORRELATION: u32 = 1;
const CAUSATION: u32 = 2;
const METADATA: u32 = 4;
const SEAL: u32 = 32;
const KNOWN_FLAGS: u32 = 127;

const NAME_BYTES_MAX: u32 = 1024;
const SAFE_INTEGER_MAX: u64 = 0x1f_ffff_ffff_ffff;

/** Why a walk ended: more bytes are needed, what is there is no frame, a marked seal. */
const SHORT: i32 = 0;
const BAD: i32 = 1;
const SEALED: i32 = 2;

/** What the last walk found, as offsets in the region: after the last right frame, after the last marked one. */
export let walkedTo: u32 = 0;
export let commitsTo: u32 = 0;
/** The furthest offset in the segment up to which a frame says it was synced. */
export let syncedTo: u32 = 0;

/** Of a record (src/kernel/frame-record.ts). */
const RECORD_BYTES: usize = 112;

// @ts-ignore: decorator
@inline
function idsLength(flags: u32): u32 {
  return ((flags & CORRELATION) << 4) + ((flags & CAUSATION) << 3);
}

/** The length of the frame that may stand at `from`, with `left` bytes there; 0 where more are needed, -1 where none can be. */
function frameLengthAt(from: usize, left: u32): i32 {
  if (left < (FRAME_BODY as u32)) return left >= 8 && load<u32>(from, FRAME_LENGTH) == 0 ? -1 : 0;
  const word = load<u32>(from, FRAME_LENGTH);
  const length = word & LENGTH_MASK;
  if (length < FRAME_BYTES_MIN || (word & RESERVED_BIT) != 0) return -1;
  if (length > left) return 0;
  const flags = load<u8>(from, FLAGS) as u32;
  if (load<u8>(from, ENCODING) != 0 || (flags & ~KNOWN_FLAGS) != 0) return -1;
  const entityBytes = load<u16>(from, ENTITY_LENGTH) as u32;
  const scopeBytes = load<u16>(from, SCOPE_LENGTH) as u32;
  const isSeal = (flags & SEAL) != 0;
  if (entityBytes > NAME_BYTES_MAX || scopeBytes > NAME_BYTES_MAX || (entityBytes == 0) != isSeal || (scopeBytes == 0) != isSeal) return -1;
  if (
    load<u64>(from, CLOCK) > SAFE_INTEGER_MAX ||
    load<u64>(from, SEQUENCE) > SAFE_INTEGER_MAX ||
    load<u64>(from, TIME) > SAFE_INTEGER_MAX
  ) {
    return -1;
  }
  const metadata = VARIABLE + idsLength(flags) + entityBytes + scopeBytes;
  const end = length - (HASH_BYTES as u32);
  if (metadata > end) return -1;
  if ((flags & METADATA) != 0 && (metadata + 4 > end || load<u32>(from + metadata) > end - metadata - 4)) return -1;
  return length as i32;
}

/** Walks right frames in [at, limit) of the region, up to a marked seal. `positionBase` and `at` make a frame's offset in its segment. */
export function walkFrames(at: u32, limit: u32, crcSeed: u32, positionBase: u32): i32 {
  walkedTo = at;
  commitsTo = at;
  syncedTo = 0;
  while (true) {
    const from = region + at;
    const length = frameLengthAt(from, limit - at);
    if (length == 0) return SHORT;
    const offset = positionBase + at;
    const syncBack = load<u32>(from, SYNC_BACK);
    if (length < 0 || syncBack > offset) return BAD;
    if (load<u32>(from) != crc32(from + FRAME_LENGTH, from + length, crcSeed ^ offset)) return BAD;
    syncedTo = max<u32>(syncedTo, offset - syncBack);
    at += length;
    walkedTo = at;
    if ((load<u32>(from, FRAME_LENGTH) & COMMIT_MARK) == 0) continue;
    commitsTo = at;
    if ((load<u8>(from, FLAGS) & (SEAL as u8)) != 0) return SEALED;
  }
}

/** Writes a record of each of the right frames in [at, limit), at most `recordsMax`, to where the frame table lies. Returns how many. */
export function describeFrames(at: u32, limit: u32, recordsMax: u32): u32 {
  let record = offsets;
  let count: u32 = 0;
  for (; count < recordsMax && at < limit; count++) {
    const from = region + at;
    const word = load<u32>(from, FRAME_LENGTH);
    const length = word & LENGTH_MASK;
    const flags = load<u8>(from, FLAGS) as u32;
    const entity = VARIABLE + idsLength(flags);
    const scope = entity + load<u16>(from, ENTITY_LENGTH);
    const own = idTag(from + ID);
    store<u32>(record, at);
    store<u32>(record, length, 4);
    store<u32>(record, flags | ((word & COMMIT_MARK) >>> 23) | ((load<u16>(from, KIND) as u32) << 16), 8);
    store<u32>(record, at + entity, 12);
    store<u32>(record, at + scope, 16);
    store<u32>(record, at + scope + load<u16>(from, SCOPE_LENGTH), 20);
    store<u32>(record, nameHash(from + entity, from + scope), 24);
    store<u32>(record, own, 28);
    store<u32>(record, (flags & CORRELATION) == 0 ? own : idTag(from + VARIABLE), 32);
    store<u32>(record, (flags & CAUSATION) == 0 ? 0 : idTag(from + entity - 16), 36);
    store<f64>(record, load<u64>(from, CLOCK) as f64, 40);
    store<f64>(record, load<u64>(from, SEQUENCE) as f64, 48);
    store<f64>(record, load<u64>(from, TIME) as f64, 56);
    const hash = from + length - HASH_BYTES;
    v128.store(record, v128.load(hash), 64);
    v128.store(record, v128.load(hash, 16), 80);
    v128.store(record, v128.load(from + ID), 96);
    record += RECORD_BYTES;
    at += length;
  }
  return count;
}

/** As `idTag` in src/index/id-tag.ts has it. */
function idTag(at: usize): u32 {
  let hash = (load<u32>(at) * 0x9e37_79b1) ^ (load<u32>(at, 4) * 0x85eb_ca77);
  hash = (hash ^ (hash >>> 15)) * 0x2c1b_3c6d;
  hash ^= (load<u32>(at, 8) * 0xc2b2_ae3d) ^ (load<u32>(at, 12) * 0x27d4_eb2f);
  hash = (hash ^ (hash >>> 13)) * 0x297a_2d39;
  hash ^= hash >>> 16;
  return hash == 0 ? 1 : hash;
}

/** As src/format/native/name-hash.ts has it. */
function nameHash(from: usize, to: usize): u32 {
  let hash: u32 = 0x811c_9dc5;
  for (; from < to; from++) hash = (hash ^ load<u8>(from)) * 0x0100_0193;
  hash = (hash ^ (hash >>> 16)) * 0x85eb_ca6b;
  hash = (hash ^ (hash >>> 13)) * 0xc2b2_ae35;
  return hash ^ (hash >>> 16);
}
