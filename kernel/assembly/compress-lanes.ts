/**
 * Four independent BLAKE3 compressions at once: every vector lane is another input.
 *
 * A lane group is 192 bytes: the chaining values transposed (8 vectors, word by word), then vectors of block counters, block lengths and
 * flags, then the addresses of the four blocks.
 */
import { rotateRight12, rotateRight16, rotateRight7, rotateRight8 } from "./blake3-constants";
import { MESSAGE_WORDS, ROUND_SCHEDULE } from "./memory";

export const LANE_COUNTERS: usize = 128;
export const LANE_LENGTHS: usize = 144;
export const LANE_FLAGS: usize = 160;
export const LANE_POINTERS: usize = 176;

/** Where word `place` of the message goes in the next round comes from: the permutation of the specification, one nibble a word. */
const PERMUTATION: u64 = 0x8fe9_5cb1_d407_a362;

/** Writes the order of the message words in each round. */
export function prepareSchedule(): void {
  for (let place: usize = 0; place < 16; place++) store<u16>(ROUND_SCHEDULE + 2 * place, (MESSAGE_WORDS + (place << 4)) as u16);
  for (let entry: usize = 16; entry < 112; entry++) {
    const from = ((PERMUTATION >> ((entry & 15) << 2)) & 15) as usize;
    store<u16>(ROUND_SCHEDULE + 2 * entry, load<u16>(ROUND_SCHEDULE + 2 * ((entry & ~15) - 16 + from)));
  }
}

/** Transposes four words of each of the four blocks into four vectors of MESSAGE_WORDS. */
// @ts-ignore: decorator
@inline
function transpose(row0: v128, row1: v128, row2: v128, row3: v128, target: usize): void {
  const low01 = v128.shuffle<i32>(row0, row1, 0, 4, 1, 5);
  const high01 = v128.shuffle<i32>(row0, row1, 2, 6, 3, 7);
  const low23 = v128.shuffle<i32>(row2, row3, 0, 4, 1, 5);
  const high23 = v128.shuffle<i32>(row2, row3, 2, 6, 3, 7);
  v128.store(target, v128.shuffle<i64>(low01, low23, 0, 2));
  v128.store(target, v128.shuffle<i64>(low01, low23, 1, 3), 16);
  v128.store(target, v128.shuffle<i64>(high01, high23, 0, 2), 32);
  v128.store(target, v128.shuffle<i64>(high01, high23, 1, 3), 48);
}

/** Replaces the chaining values of the lane group by those after its four blocks. */
export function compressLanes(lanes: usize): void {
  const block0: usize = load<u32>(lanes, LANE_POINTERS);
  const block1: usize = load<u32>(lanes, LANE_POINTERS + 4);
  const block2: usize = load<u32>(lanes, LANE_POINTERS + 8);
  const block3: usize = load<u32>(lanes, LANE_POINTERS + 12);
  transpose(v128.load(block0), v128.load(block1), v128.load(block2), v128.load(block3), MESSAGE_WORDS);
  transpose(v128.load(block0, 16), v128.load(block1, 16), v128.load(block2, 16), v128.load(block3, 16), MESSAGE_WORDS + 64);
  transpose(v128.load(block0, 32), v128.load(block1, 32), v128.load(block2, 32), v128.load(block3, 32), MESSAGE_WORDS + 128);
  transpose(v128.load(block0, 48), v128.load(block1, 48), v128.load(block2, 48), v128.load(block3, 48), MESSAGE_WORDS + 192);
  let v0 = v128.load(lanes, 0);
  let v1 = v128.load(lanes, 16);
  let v2 = v128.load(lanes, 32);
  let v3 = v128.load(lanes, 48);
  let v4 = v128.load(lanes, 64);
  let v5 = v128.load(lanes, 80);
  let v6 = v128.load(lanes, 96);
  let v7 = v128.load(lanes, 112);
  let v8 = i32x4.splat(0x6a09_e667);
  let v9 = i32x4.splat(0xbb67_ae85);
  let v10 = i32x4.splat(0x3c6e_f372);
  let v11 = i32x4.splat(0xa54f_f53a);
  let v12 = v128.load(lanes, LANE_COUNTERS);
  let v13 = i32x4.splat(0);
  let v14 = v128.load(lanes, LANE_LENGTHS);
  let v15 = v128.load(lanes, LANE_FLAGS);
  for (let schedule = ROUND_SCHEDULE; schedule < ROUND_SCHEDULE + 224; schedule += 32) {
    v0 = i32x4.add(i32x4.add(v0, v128.load(load<u16>(schedule, 0))), v4);
    v1 = i32x4.add(i32x4.add(v1, v128.load(load<u16>(schedule, 4))), v5);
    v2 = i32x4.add(i32x4.add(v2, v128.load(load<u16>(schedule, 8))), v6);
    v3 = i32x4.add(i32x4.add(v3, v128.load(load<u16>(schedule, 12))), v7);
    v12 = rotateRight16(v128.xor(v12, v0));
    v13 = rotateRight16(v128.xor(v13, v1));
    v14 = rotateRight16(v128.xor(v14, v2));
    v15 = rotateRight16(v128.xor(v15, v3));
    v8 = i32x4.add(v8, v12);
    v9 = i32x4.add(v9, v13);
    v10 = i32x4.add(v10, v14);
    v11 = i32x4.add(v11, v15);
    v4 = rotateRight12(v128.xor(v4, v8));
    v5 = rotateRight12(v128.xor(v5, v9));
    v6 = rotateRight12(v128.xor(v6, v10));
    v7 = rotateRight12(v128.xor(v7, v11));
    v0 = i32x4.add(i32x4.add(v0, v128.load(load<u16>(schedule, 2))), v4);
    v1 = i32x4.add(i32x4.add(v1, v128.load(load<u16>(schedule, 6))), v5);
    v2 = i32x4.add(i32x4.add(v2, v128.load(load<u16>(schedule, 10))), v6);
    v3 = i32x4.add(i32x4.add(v3, v128.load(load<u16>(schedule, 14))), v7);
    v12 = rotateRight8(v128.xor(v12, v0));
    v13 = rotateRight8(v128.xor(v13, v1));
    v14 = rotateRight8(v128.xor(v14, v2));
    v15 = rotateRight8(v128.xor(v15, v3));
    v8 = i32x4.add(v8, v12);
    v9 = i32x4.add(v9, v13);
    v10 = i32x4.add(v10, v14);
    v11 = i32x4.add(v11, v15);
    v4 = rotateRight7(v128.xor(v4, v8));
    v5 = rotateRight7(v128.xor(v5, v9));
    v6 = rotateRight7(v128.xor(v6, v10));
    v7 = rotateRight7(v128.xor(v7, v11));
    v0 = i32x4.add(i32x4.add(v0, v128.load(load<u16>(schedule, 16))), v5);
    v1 = i32x4.add(i32x4.add(v1, v128.load(load<u16>(schedule, 20))), v6);
    v2 = i32x4.add(i32x4.add(v2, v128.load(load<u16>(schedule, 24))), v7);
    v3 = i32x4.add(i32x4.add(v3, v128.load(load<u16>(schedule, 28))), v4);
    v15 = rotateRight16(v128.xor(v15, v0));
    v12 = rotateRight16(v128.xor(v12, v1));
    v13 = rotateRight16(v128.xor(v13, v2));
    v14 = rotateRight16(v128.xor(v14, v3));
    v10 = i32x4.add(v10, v15);
    v11 = i32x4.add(v11, v12);
    v8 = i32x4.add(v8, v13);
    v9 = i32x4.add(v9, v14);
    v5 = rotateRight12(v128.xor(v5, v10));
    v6 = rotateRight12(v128.xor(v6, v11));
    v7 = rotateRight12(v128.xor(v7, v8));
    v4 = rotateRight12(v128.xor(v4, v9));
    v0 = i32x4.add(i32x4.add(v0, v128.load(load<u16>(schedule, 18))), v5);
    v1 = i32x4.add(i32x4.add(v1, v128.load(load<u16>(schedule, 22))), v6);
    v2 = i32x4.add(i32x4.add(v2, v128.load(load<u16>(schedule, 26))), v7);
    v3 = i32x4.add(i32x4.add(v3, v128.load(load<u16>(schedule, 30))), v4);
    v15 = rotateRight8(v128.xor(v15, v0));
    v12 = rotateRight8(v128.xor(v12, v1));
    v13 = rotateRight8(v128.xor(v13, v2));
    v14 = rotateRight8(v128.xor(v14, v3));
    v10 = i32x4.add(v10, v15);
    v11 = i32x4.add(v11, v12);
    v8 = i32x4.add(v8, v13);
    v9 = i32x4.add(v9, v14);
    v5 = rotateRight7(v128.xor(v5, v10));
    v6 = rotateRight7(v128.xor(v6, v11));
    v7 = rotateRight7(v128.xor(v7, v8));
    v4 = rotateRight7(v128.xor(v4, v9));
  }
  v128.store(lanes, v128.xor(v0, v8), 0);
  v128.store(lanes, v128.xor(v1, v9), 16);
  v128.store(lanes, v128.xor(v2, v10), 32);
  v128.store(lanes, v128.xor(v3, v11), 48);
  v128.store(lanes, v128.xor(v4, v12), 64);
  v128.store(lanes, v128.xor(v5, v13), 80);
  v128.store(lanes, v128.xor(v6, v14), 96);
  v128.store(lanes, v128.xor(v7, v15), 112);
}
