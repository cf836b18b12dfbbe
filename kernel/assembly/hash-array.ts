/**
 * Hashes as batpak 0.3 writes them: 32 MessagePack integers, one byte below 0x80, the tag 0xcc and a byte from there on. Their end is known
 * only by walking them; here all are looked at together, as bits of one word.
 */

const EVEN_PLACES: u64 = 0x5555_5555_5555_5555;
const INTEGERS: u32 = 32;

/** Where the 32 integers end whose first stands at `at`; 0 when they are none. Reads 64 bytes, as many as they may take. */
export function hashArrayEnd(at: usize): usize {
  const tag = i8x16.splat(0xcc as i8);
  let high: u64 = 0;
  let tagged: u64 = 0;
  for (let block: u32 = 0; block < 4; block++) {
    const bytes = v128.load(at + (block << 4));
    high |= (i8x16.bitmask(bytes) as u32 as u64) << (block << 4);
    tagged |= (i8x16.bitmask(i8x16.eq(bytes, tag)) as u32 as u64) << (block << 4);
  }
  // In a run of bytes from 0x80 on every other one is a tag, beginning with the first. A sum carries through each run that begins at an even place.
  const fromEven = high & ~(high + (high & ~(high << 1) & EVEN_PLACES));
  const tags = (fromEven & EVEN_PLACES) | (high & ~fromEven & ~EVEN_PLACES);
  let length = INTEGERS;
  for (;;) {
    const next = INTEGERS + (popcnt(tags & below(length)) as u32);
    if (next == length) break;
    length = next;
  }
  return (tags & ~tagged & below(length)) == 0 ? at + length : 0;
}

/** The lowest `count` bits, up to all 64. */
// @ts-ignore: decorator
@inline
function below(count: u32): u64 {
  return (0 as u64) - 1 >>> (64 - count);
}
