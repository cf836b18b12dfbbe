/** CRC-32 (reflected polynomial 0xEDB88320, as zlib's), sixteen bytes a step by table. */
import { CRC_TABLES } from "./memory";

/** Fills the tables: table k gives what a byte contributes that k further bytes follow. */
export function prepareCrc32(): void {
  for (let byte: u32 = 0; byte < 256; byte++) {
    let value = byte;
    for (let bit = 0; bit < 8; bit++) value = (value >>> 1) ^ (0xedb8_8320 & (0 - (value & 1)));
    store<u32>(CRC_TABLES + (byte << 2), value);
  }
  for (let entry: u32 = 256; entry < 4096; entry++) {
    const before = load<u32>(CRC_TABLES + ((entry - 256) << 2));
    store<u32>(CRC_TABLES + (entry << 2), (before >>> 8) ^ load<u32>(CRC_TABLES + ((before & 0xff) << 2)));
  }
}

/** What the four bytes of `word` contribute when 12 further bytes of the step follow. */
// @ts-ignore: decorator
@inline
function before12(word: u32): u32 {
  const low = load<u32>((word << 2) & 0x3fc, CRC_TABLES + 0x3c00) ^ load<u32>((word >>> 6) & 0x3fc, CRC_TABLES + 0x3800);
  return low ^ load<u32>((word >>> 14) & 0x3fc, CRC_TABLES + 0x3400) ^ load<u32>((word >>> 22) & 0x3fc, CRC_TABLES + 0x3000);
}

/** What the four bytes of `word` contribute when 8 further bytes of the step follow. */
// @ts-ignore: decorator
@inline
function before8(word: u32): u32 {
  const low = load<u32>((word << 2) & 0x3fc, CRC_TABLES + 0x2c00) ^ load<u32>((word >>> 6) & 0x3fc, CRC_TABLES + 0x2800);
  return low ^ load<u32>((word >>> 14) & 0x3fc, CRC_TABLES + 0x2400) ^ load<u32>((word >>> 22) & 0x3fc, CRC_TABLES + 0x2000);
}

/** What the four bytes of `word` contribute when 4 further bytes of the step follow. */
// @ts-ignore: decorator
@inline
function before4(word: u32): u32 {
  const low = load<u32>((word << 2) & 0x3fc, CRC_TABLES + 0x1c00) ^ load<u32>((word >>> 6) & 0x3fc, CRC_TABLES + 0x1800);
  return low ^ load<u32>((word >>> 14) & 0x3fc, CRC_TABLES + 0x1400) ^ load<u32>((word >>> 22) & 0x3fc, CRC_TABLES + 0x1000);
}

/** What the four bytes of `word` contribute when no further bytes of the step follow. */
// @ts-ignore: decorator
@inline
function before0(word: u32): u32 {
  const low = load<u32>((word << 2) & 0x3fc, CRC_TABLES + 0xc00) ^ load<u32>((word >>> 6) & 0x3fc, CRC_TABLES + 0x800);
  return low ^ load<u32>((word >>> 14) & 0x3fc, CRC_TABLES + 0x400) ^ load<u32>((word >>> 22) & 0x3fc, CRC_TABLES + 0x0);
}

/** The CRC's state after 16 bytes, given as four words. `first` has the state before mixed in: it is looked up last, being known last. */
// @ts-ignore: decorator
@inline
function step(first: u32, second: u32, third: u32, fourth: u32): u32 {
  const early = before8(second) ^ before4(third) ^ before0(fourth);
  return before12(first) ^ early;
}

/**
 * The CRC-32 of the bytes in [from, to), continued from `initial` as zlib's `crc32(data, initial)` does. Reads 16 bytes even where there
 * are fewer.
 */
export function crc32(from: usize, to: usize, initial: u32): u32 {
  let value = ~initial;
  const odd = ((to - from) & 15) as u32;
  if (odd != 0) {
    // The odd bytes come first, as the end of a block of zeros: zeros before the first byte leave a state of zero as it is. So the state
    // is mixed into the bytes beforehand, and what of it falls behind fewer than four bytes, into the result.
    const mixed = v128.xor(v128.load(from), i32x4.replace_lane(i32x4.splat(0), 0, value));
    const places = i8x16(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    const block = i8x16.swizzle(mixed, i8x16.sub(places, i8x16.splat((16 - odd) as i8)));
    const behind = ((value as u64) >>> (odd << 3)) as u32;
    value = step(i32x4.extract_lane(block, 0), i32x4.extract_lane(block, 1), i32x4.extract_lane(block, 2), i32x4.extract_lane(block, 3));
    if (odd < 4) value ^= behind;
    from += odd;
  }
  for (; from < to; from += 16) value = step(load<u32>(from) ^ value, load<u32>(from, 4), load<u32>(from, 8), load<u32>(from, 12));
  return ~value;
}
