/**
 * Where everything lies in the kernel's linear memory. There is no heap: the first page has fixed places, the frame table and the frame
 * region follow, and the host says where (`layout`). The last 64 bytes of the memory belong to nobody, because whole blocks are
 * read even where a frame ends inside one.
 */

/** Slicing tables: 16 of 256 u32. */
export const CRC_TABLES: usize = 0;
/** For each of the 7 rounds the 16 message words, as byte offsets into MESSAGE_WORDS: u16. */
export const ROUND_SCHEDULE: usize = 0x4000;
/** The message of the running four-lane compression, transposed: 16 vectors. */
export const MESSAGE_WORDS: usize = 0x4100;
/** A lane group (see compress-lanes) for the scheduler, one for the tree. */
export const SCHEDULER_LANES: usize = 0x4200;
export const TREE_LANES: usize = 0x4300;
/** What the scheduler knows of its four lanes (schedule). */
export const LANE_RECORDS: usize = 0x4400;
/** The last, padded block of each lane: 4 of 64 bytes. */
export const LANE_BLOCKS: usize = 0x4500;
/** Padded block of the one-shot routines. */
export const LAST_BLOCK: usize = 0x4600;
/** Chaining value of a lane that runs alone. */
export const ALONE_VALUE: usize = 0x4640;
/** Where `check` has hashes written, to compare them. */
export const COMPUTED_HASHES: usize = 0x4680;
/** Lists of frames that are ready, by weight: 32 of i32. */
export const READY_HEADS: usize = 0x4700;
/** Frames of several chunks in progress: records of 16 bytes. */
export const SPLIT_RECORDS: usize = 0x4800;
/** Chaining values of their chunks: SPLIT_COUNT of 16 times 32 bytes. */
export const SPLIT_VALUES: usize = 0x5000;
/** Chaining values of the chunks of one subtree, 16 of 32 bytes, and of the subtrees not yet merged, 32 of 32 bytes. */
export const CHUNK_VALUES: usize = 0x6000;
export const SUBTREE_STACK: usize = 0x6200;
/** One block of zeros, for lanes that idle. */
export const ZERO_BLOCK: usize = 0x6600;

/** Offsets within a frame. The host's tests compare them with its own table. */
export const FRAME_LENGTH: usize = 4;
export const FRAME_BODY: usize = 12;
export const FRAME_PREVIOUS_HASH: usize = 62;
export const HASH_BYTES: usize = 32;
export const FRAME_BYTES_MIN: u32 = 126;

/** The table of frames: columns of four bytes each. The host fills the first three. */
export let offsets: usize = 0;
export let lengths: usize = 0;
export let links: usize = 0;
/** Scratch columns: first frame that links to this one, next in a list of siblings or of ready frames, blocks from here to the chain's end. */
export let children: usize = 0;
export let nexts: usize = 0;
export let weights: usize = 0;
/** The frame region. */
export let region: usize = 0;
let regionBytes: u32 = 0;

export function setLayout(table: usize, frameCapacity: usize, regionAddress: usize, capacityBytes: u32): void {
  const column = frameCapacity << 2;
  offsets = table;
  lengths = table + column;
  links = table + 2 * column;
  children = table + 3 * column;
  nexts = table + 4 * column;
  weights = table + 5 * column;
  region = regionAddress;
  regionBytes = capacityBytes;
}

/** Whether frames [0, count) lie within the region and are no shorter than a frame can be. */
export function framesFit(count: i32): bool {
  for (let frame: usize = 0; frame < (count as usize); frame++) {
    const length = load<u32>(lengths + (frame << 2));
    if (length < FRAME_BYTES_MIN || (load<u32>(offsets + (frame << 2)) as u64) + length > regionBytes) return false;
  }
  return true;
}

/** Copies `byteCount` bytes, at most 64, and zeros the rest of the block. Reads 64 bytes from `source` whatever the count. */
// @ts-ignore: decorator
@inline
export function copyBlock(target: usize, source: usize, byteCount: u32): void {
  const count = i8x16.splat(byteCount as i8);
  const places = i8x16(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  v128.store(target, v128.and(v128.load(source), i8x16.lt_u(places, count)));
  v128.store(target, v128.and(v128.load(source, 16), i8x16.lt_u(i8x16.add(places, i8x16.splat(16)), count)), 16);
  v128.store(target, v128.and(v128.load(source, 32), i8x16.lt_u(i8x16.add(places, i8x16.splat(32)), count)), 32);
  v128.store(target, v128.and(v128.load(source, 48), i8x16.lt_u(i8x16.add(places, i8x16.splat(48)), count)), 48);
}
