/**
 * One BLAKE3 compression with the four columns of its state as vector lanes: the shortest way through a single block, used where there
 * are no other blocks to work on at the same time.
 *
 * The four message vectors of a round hold the words in the order in which the lanes use them: A and B for the columns, C and D for the
 * diagonals. Diagonals leave the second row in place, which is the last to be known, and turn the other three around it; so C and D
 * start with the words of the diagonal that has the row's first word.
 */
import { initialRow0, rotateRight12, rotateRight16, rotateRight7, rotateRight8 } from "./blake3-constants";

/** Replaces the chaining value at `value` (8 words) by that after the 64 bytes at `block`. */
export function compressRows(value: usize, block: usize, blockLength: u32, counter: u32, flags: u32): void {
  const input0 = v128.load(value);
  const input1 = v128.load(value, 16);
  let row0 = input0;
  let row1 = input1;
  let row2 = initialRow0();
  let row3 = i32x4.replace_lane(i32x4.replace_lane(i32x4.replace_lane(i32x4.splat(0), 0, counter), 2, blockLength), 3, flags);
  const words0 = v128.load(block);
  const words1 = v128.load(block, 16);
  const words2 = v128.load(block, 32);
  const words3 = v128.load(block, 48);
  let a = v128.shuffle<i32>(words0, words1, 0, 2, 4, 6);
  let b = v128.shuffle<i32>(words0, words1, 1, 3, 5, 7);
  let c = v128.shuffle<i32>(words2, words3, 6, 0, 2, 4);
  let d = v128.shuffle<i32>(words2, words3, 7, 1, 3, 5);
  for (let round = 0; ; round++) {
    row0 = i32x4.add(i32x4.add(row0, a), row1);
    row3 = rotateRight16(v128.xor(row3, row0));
    row2 = i32x4.add(row2, row3);
    row1 = rotateRight12(v128.xor(row1, row2));
    row0 = i32x4.add(i32x4.add(row0, b), row1);
    row3 = rotateRight8(v128.xor(row3, row0));
    row2 = i32x4.add(row2, row3);
    row1 = rotateRight7(v128.xor(row1, row2));
    // To the diagonals.
    row0 = v128.shuffle<i32>(row0, row0, 3, 0, 1, 2);
    row3 = v128.shuffle<i32>(row3, row3, 2, 3, 0, 1);
    row2 = v128.shuffle<i32>(row2, row2, 1, 2, 3, 0);
    row0 = i32x4.add(i32x4.add(row0, c), row1);
    row3 = rotateRight16(v128.xor(row3, row0));
    row2 = i32x4.add(row2, row3);
    row1 = rotateRight12(v128.xor(row1, row2));
    row0 = i32x4.add(i32x4.add(row0, d), row1);
    row3 = rotateRight8(v128.xor(row3, row0));
    row2 = i32x4.add(row2, row3);
    row1 = rotateRight7(v128.xor(row1, row2));
    // And back.
    row0 = v128.shuffle<i32>(row0, row0, 1, 2, 3, 0);
    row3 = v128.shuffle<i32>(row3, row3, 2, 3, 0, 1);
    row2 = v128.shuffle<i32>(row2, row2, 3, 0, 1, 2);
    if (round == 6) break;
    // The message words in their next order.
    const nextA = v128.shuffle<i32>(a, b, 1, 5, 7, 2);
    const nextB = v128.shuffle<i32>(v128.shuffle<i32>(a, c, 3, 6, 0, 0), d, 0, 1, 2, 7);
    const nextC = v128.shuffle<i32>(v128.shuffle<i32>(d, c, 0, 0, 7, 1), b, 0, 4, 2, 3);
    d = v128.shuffle<i32>(v128.shuffle<i32>(c, d, 1, 6, 0, 0), b, 0, 1, 6, 3);
    a = nextA;
    b = nextB;
    c = nextC;
  }
  v128.store(value, v128.xor(row0, row2));
  v128.store(value, v128.xor(row1, row3), 16);
}
