/** What MessagePack of batpak 0.3 is made of. Tags of two bytes are numbers as they lie in memory. */

export const NIL_TAG: u32 = 0xc0;
/** Binary of 16 bytes. */
export const ID_TAG: u32 = 0x10c4;
export const ID_BYTES: usize = 16;
/** Stands for what is no unsigned integer. */
const NONE: u64 = 0xffff_ffff_ffff_ffff;

/** The bytes of an integer with this tag; 1 for what is none. */
// @ts-ignore: decorator
@inline
export function integerBytes(tag: u32): usize {
  return tag >= 0xcc && tag <= 0xcf ? 1 + ((1 as usize) << (tag - 0xcc)) : 1;
}

/** The unsigned integer at `at`. */
export function unsignedAt(at: usize): u64 {
  const tag = load<u8>(at) as u32;
  if (tag < 0x80) return tag;
  if (tag == 0xcc) return load<u8>(at, 1);
  if (tag == 0xcd) return bswap<u16>(load<u16>(at, 1));
  if (tag == 0xce) return bswap<u32>(load<u32>(at, 1));
  return tag == 0xcf ? bswap<u64>(load<u64>(at, 1)) : NONE;
}
