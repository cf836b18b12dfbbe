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

/** The CRC-32 of the bytes in [from, to), continued from `initial` as zlib's `crc32(data, initial)` does. */
export function crc32(from: usize, to: usize, initial: u32): u32 {
  let value = ~initial;
  const lastStep = to - 16;
  while (from <= lastStep) {
    const first = before12(load<u32>(from) ^ value) ^ before8(load<u32>(from, 4));
    value = first ^ before4(load<u32>(from, 8)) ^ before0(load<u32>(from, 12));
    from += 16;
  }
  if (from + 8 <= to) {
    value = before4(load<u32>(from) ^ value) ^ before0(load<u32>(from, 4));
    from += 8;
  }
  if (from + 4 <= to) {
    value = before0(load<u32>(from) ^ value);
    from += 4;
  }
  while (from < to) value = (value >>> 8) ^ load<u32>(CRC_TABLES + (((value ^ load<u8>(from++)) & 0xff) << 2));
  return ~value;
}
