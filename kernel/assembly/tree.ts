/**
 * BLAKE3 of one long input: chunks four at a time, then the tree above them.
 *
 * A subtree is 16 whole chunks. Values of subtrees wait on a stack, where equal heights merge at once: that is right because more input
 * always follows a subtree (`hashFinish` wants at least one byte, unless there is no input at all), so none of them is the root.
 */
import { BLOCK_BYTES, CHUNK_BYTES, CHUNK_END, CHUNK_START, PARENT, ROOT, initialRow0, initialRow1 } from "./blake3-constants";
import { LANE_COUNTERS, LANE_FLAGS, LANE_LENGTHS, LANE_POINTERS, compressLanes } from "./compress-lanes";
import { compressRows } from "./compress-rows";
import { ALONE_VALUE, CHUNK_VALUES, LAST_BLOCK, SUBTREE_STACK, TREE_LANES, ZERO_BLOCK, copyBlock } from "./memory";

export const SUBTREE_CHUNKS: u32 = 16;
export const SUBTREE_BYTES: u32 = 16384;

let subtreeCount: u32 = 0;
let stackCount: u32 = 0;

// @ts-ignore: decorator
@inline
function copyValue(target: usize, source: usize): void {
  v128.store(target, v128.load(source));
  v128.store(target, v128.load(source, 16), 16);
}

/** Starts every lane of a group with the initial chaining value. */
function startLanes(lanes: usize): void {
  for (let word: usize = 0; word < 4; word++) {
    v128.store(lanes + 16 * word, i8x16.swizzle(initialRow0(), i32x4.splat(0x0302_0100 + 0x0404_0404 * (word as i32))));
    v128.store(lanes + 16 * word, i8x16.swizzle(initialRow1(), i32x4.splat(0x0302_0100 + 0x0404_0404 * (word as i32))), 64);
  }
}

/** Writes the first `count` lanes' chaining values at `target`, 32 bytes each. */
function storeLanes(lanes: usize, target: usize, count: u32): void {
  for (let lane: u32 = 0; lane < count; lane++) {
    const from = lanes + (lane << 2);
    const to = target + (lane << 5);
    for (let word: usize = 0; word < 8; word++) store<u32>(to + 4 * word, load<u32>(from + 16 * word));
  }
}

/** Writes the chaining value of one chunk of at most 1,024 bytes at `target`; `endFlags` is ROOT when it is the whole input. */
export function hashChunk(from: usize, byteCount: u32, counter: u32, endFlags: u32, target: usize): void {
  v128.store(target, initialRow0());
  v128.store(target, initialRow1(), 16);
  let flags = CHUNK_START;
  while (byteCount > BLOCK_BYTES) {
    compressRows(target, from, BLOCK_BYTES, counter, flags);
    from += BLOCK_BYTES;
    byteCount -= BLOCK_BYTES;
    flags = 0;
  }
  copyBlock(LAST_BLOCK, from, byteCount);
  compressRows(target, LAST_BLOCK, byteCount, counter, flags | CHUNK_END | endFlags);
}

/** Writes the chaining values of up to four whole chunks at `target`. */
function hashChunks(from: usize, count: u32, counter: u32, target: usize): void {
  startLanes(TREE_LANES);
  v128.store(TREE_LANES, i32x4.add(i32x4.splat(counter), i32x4(0, 1, 2, 3)), LANE_COUNTERS);
  v128.store(TREE_LANES, i32x4.splat(BLOCK_BYTES), LANE_LENGTHS);
  for (let lane: u32 = 0; lane < 4; lane++) {
    store<u32>(TREE_LANES + (lane << 2), (lane < count ? from + lane * CHUNK_BYTES : ZERO_BLOCK) as u32, LANE_POINTERS);
  }
  for (let at: u32 = 0; at < CHUNK_BYTES; at += BLOCK_BYTES) {
    const flags = (at == 0 ? CHUNK_START : 0) | (at == CHUNK_BYTES - BLOCK_BYTES ? CHUNK_END : 0);
    v128.store(TREE_LANES, i32x4.splat(flags), LANE_FLAGS);
    compressLanes(TREE_LANES);
    v128.store(TREE_LANES, i32x4.add(v128.load(TREE_LANES, LANE_POINTERS), i32x4.splat(BLOCK_BYTES)), LANE_POINTERS);
  }
  storeLanes(TREE_LANES, target, count);
}

/** Writes the value of the parent of the two values at `children` at `target`, which may be the same place. */
function hashParent(children: usize, flags: u32, target: usize): void {
  v128.store(ALONE_VALUE, initialRow0());
  v128.store(ALONE_VALUE, initialRow1(), 16);
  compressRows(ALONE_VALUE, children, BLOCK_BYTES, 0, flags);
  copyValue(target, ALONE_VALUE);
}

/** Reduces `count` (at least two) neighbouring values to one, in place: the first. `rootFlag` goes with the last parent. */
export function reduceValues(values: usize, count: u32, rootFlag: u32): void {
  while (count > 1) {
    const pairs = count >> 1;
    const flags = PARENT | (count == 2 ? rootFlag : 0);
    for (let first: u32 = 0; first < pairs; first += 4) {
      const width = min<u32>(pairs - first, 4);
      const children = values + (first << 6);
      if (width == 1) {
        hashParent(children, flags, values + (first << 5));
        break;
      }
      startLanes(TREE_LANES);
      v128.store(TREE_LANES, i32x4.splat(0), LANE_COUNTERS);
      v128.store(TREE_LANES, i32x4.splat(BLOCK_BYTES), LANE_LENGTHS);
      v128.store(TREE_LANES, i32x4.splat(flags), LANE_FLAGS);
      // Lanes past the width work on whatever follows; nobody looks at what they make of it.
      v128.store(TREE_LANES, i32x4.add(i32x4.splat(children as i32), i32x4(0, 64, 128, 192)), LANE_POINTERS);
      compressLanes(TREE_LANES);
      storeLanes(TREE_LANES, values + (first << 5), width);
    }
    if (count & 1) copyValue(values + (pairs << 5), values + ((count - 1) << 5));
    count = pairs + (count & 1);
  }
}

export function hashStart(): void {
  subtreeCount = 0;
  stackCount = 0;
}

/** Takes whole subtrees. More input must follow. */
export function hashSubtrees(from: usize, count: u32): void {
  for (; count > 0; count--) {
    const counter = subtreeCount * SUBTREE_CHUNKS;
    for (let chunk: u32 = 0; chunk < SUBTREE_CHUNKS; chunk += 4) {
      hashChunks(from + chunk * CHUNK_BYTES, 4, counter + chunk, CHUNK_VALUES + (chunk << 5));
    }
    reduceValues(CHUNK_VALUES, SUBTREE_CHUNKS, 0);
    copyValue(SUBTREE_STACK + (stackCount << 5), CHUNK_VALUES);
    stackCount++;
    subtreeCount++;
    for (let merged = subtreeCount; (merged & 1) == 0; merged >>= 1) {
      stackCount--;
      const pair = SUBTREE_STACK + ((stackCount - 1) << 5);
      hashParent(pair, PARENT, pair);
    }
    from += SUBTREE_BYTES;
  }
}

/** Takes the last 1 to 16,384 bytes (0 only when they are the whole input) and writes the hash at `target`. */
export function hashFinish(from: usize, byteCount: u32, target: usize): void {
  const counter = subtreeCount * SUBTREE_CHUNKS;
  const rootFlag = stackCount == 0 ? ROOT : 0;
  const whole = byteCount / CHUNK_BYTES;
  const chunks = max<u32>((byteCount + CHUNK_BYTES - 1) / CHUNK_BYTES, 1);
  if (chunks == 1) {
    hashChunk(from, byteCount, counter, rootFlag, CHUNK_VALUES);
  } else {
    let chunk: u32 = 0;
    for (; chunk + 1 < whole; chunk += 4) {
      hashChunks(from + chunk * CHUNK_BYTES, min<u32>(whole - chunk, 4), counter + chunk, CHUNK_VALUES + (chunk << 5));
    }
    for (chunk = min<u32>(chunk, whole); chunk < chunks; chunk++) {
      const rest = min<u32>(byteCount - chunk * CHUNK_BYTES, CHUNK_BYTES);
      hashChunk(from + chunk * CHUNK_BYTES, rest, counter + chunk, 0, CHUNK_VALUES + (chunk << 5));
    }
    reduceValues(CHUNK_VALUES, chunks, rootFlag);
  }
  copyValue(SUBTREE_STACK + (stackCount << 5), CHUNK_VALUES);
  for (; stackCount > 0; stackCount--) {
    const pair = SUBTREE_STACK + ((stackCount - 1) << 5);
    hashParent(pair, PARENT | (stackCount == 1 ? ROOT : 0), pair);
  }
  copyValue(target, SUBTREE_STACK);
}

/** BLAKE3 of `byteCount` bytes, written at `target` (32 bytes). */
export function hash(from: usize, byteCount: u32, target: usize): void {
  hashStart();
  const subtrees = byteCount == 0 ? 0 : (byteCount - 1) / SUBTREE_BYTES;
  hashSubtrees(from, subtrees);
  hashFinish(from + subtrees * SUBTREE_BYTES, byteCount - subtrees * SUBTREE_BYTES, target);
}
