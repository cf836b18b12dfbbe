/** Flags and sizes of BLAKE3 (the specification's section 2). */
export const CHUNK_START: u32 = 1;
export const CHUNK_END: u32 = 2;
export const PARENT: u32 = 4;
export const ROOT: u32 = 8;

export const BLOCK_BYTES: u32 = 64;
export const CHUNK_BYTES: u32 = 1024;

/** The initial chaining value, in two rows of four words. */
// @ts-ignore: decorator
@inline
export function initialRow0(): v128 {
  return i32x4(0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a);
}

// @ts-ignore: decorator
@inline
export function initialRow1(): v128 {
  return i32x4(0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19);
}

// @ts-ignore: decorator
@inline
export function rotateRight16(x: v128): v128 {
  return i8x16.swizzle(x, i8x16(2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13));
}

// @ts-ignore: decorator
@inline
export function rotateRight8(x: v128): v128 {
  return i8x16.swizzle(x, i8x16(1, 2, 3, 0, 5, 6, 7, 4, 9, 10, 11, 8, 13, 14, 15, 12));
}

// @ts-ignore: decorator
@inline
export function rotateRight12(x: v128): v128 {
  return v128.or(i32x4.shr_u(x, 12), i32x4.shl(x, 20));
}

// @ts-ignore: decorator
@inline
export function rotateRight7(x: v128): v128 {
  return v128.or(i32x4.shr_u(x, 7), i32x4.shl(x, 25));
}
