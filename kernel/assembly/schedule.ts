/**
 * Hashes all frames of a group with four lanes that are kept busy.
 *
 * A frame is ready when the frame that it links to is hashed. Each free lane takes a ready frame of the heaviest class, where the weight
 * of a frame is the number of blocks from it to the end of its chain: long chains start first and end together, whatever mixture of
 * chain and body lengths a group holds. A body of 2 to 16 chunks is split into chunks, which are lane jobs of their own; a longer one is
 * hashed by itself (tree), since its chunks fill the lanes. When one lane is left with nothing beside it, it runs alone, row by row.
 *
 * Invariants: a lane whose frame is NONE is idle and its block is the block of zeros. At most one frame is being handed out in chunks, so
 * at most five frames of several chunks are in progress: one for each lane and that one.
 */
import { BLOCK_BYTES, CHUNK_BYTES, CHUNK_END, CHUNK_START, ROOT, initialRow0, initialRow1 } from "./blake3-constants";
import { LANE_COUNTERS, LANE_FLAGS, LANE_LENGTHS, LANE_POINTERS, compressLanes } from "./compress-lanes";
import { compressRows } from "./compress-rows";
import { crc32 } from "./crc32";
import { ALONE_VALUE, COMPUTED_HASHES, LANE_BLOCKS, LANE_RECORDS, READY_HEADS, SCHEDULER_LANES } from "./memory";
import { SPLIT_RECORDS, SPLIT_VALUES, ZERO_BLOCK, children, copyBlock, lengths, links, nexts, offsets, region, weights } from "./memory";
import { FRAME_BODY, FRAME_LENGTH, FRAME_PREVIOUS_HASH, HASH_BYTES } from "./memory";
import { SUBTREE_BYTES, hash, reduceValues } from "./tree";

const NONE: i32 = -1;
/** What a frame has beside its body. */
const FRAME_OVERHEAD: u32 = 44;

/** Fields of a lane's record, 32 bytes each. */
const REMAINING: usize = 0; // u32, bytes of the job from its next block on
const SOURCE: usize = 4; // u32, address of its next block
const START_FLAG: usize = 8; // u32, CHUNK_START before the first block, then 0
const END_FLAGS: usize = 12; // u32
const TARGET: usize = 16; // u32, where the chaining value goes
const FRAME: usize = 20; // i32
const SPLIT: usize = 24; // i32, slot of the split that the job is a chunk of

/** Fields of a split's record, 8 bytes each: chunks not yet hashed (0 when the slot is free), chunks in all. */
const PENDING: usize = 0;
const CHUNKS: usize = 4;
const SPLIT_COUNT: u32 = 8;

let readyClasses: u32 = 0;
let splitFrame: i32 = NONE;
let splitSlot: u32 = 0;
let splitChunk: u32 = 0;
let checking: bool = false;
let crcSeed: u32 = 0;
let positionBase: u32 = 0;
/** First frame whose hash `check` found wrong so far. */
let badFrame: i32 = NONE;

// @ts-ignore: decorator
@inline
function column(address: usize, frame: i32): usize {
  return address + ((frame as usize) << 2);
}

// @ts-ignore: decorator
@inline
function laneRecord(lane: u32): usize {
  return LANE_RECORDS + (lane << 5);
}

/** The CRC of frame `frame`, as the bytes from its length field to its end have it. */
function frameCrc(frame: i32, seed: u32, base: u32): u32 {
  const offset = load<u32>(column(offsets, frame));
  const at = region + offset;
  return crc32(at + FRAME_LENGTH, at + load<u32>(column(lengths, frame)), seed ^ (base + offset));
}

function pushReady(frame: i32): void {
  const heaviness = 31 - clz<u32>(load<u32>(column(weights, frame)));
  const head = READY_HEADS + (heaviness << 2);
  store<i32>(column(nexts, frame), readyClasses & (1 << heaviness) ? load<i32>(head) : NONE);
  store<i32>(head, frame);
  readyClasses |= 1 << heaviness;
}

function popReady(): i32 {
  const heaviness = 31 - clz<u32>(readyClasses);
  const head = READY_HEADS + (heaviness << 2);
  const frame = load<i32>(head);
  const next = load<i32>(column(nexts, frame));
  store<i32>(head, next);
  if (next == NONE) readyClasses &= ~(1 << heaviness);
  return frame;
}

/** Weighs chains and lists the frames that link to none. False when a link is not to an earlier frame. */
function prepare(count: i32): bool {
  readyClasses = 0;
  for (let frame = 0; frame < count; frame++) {
    store<i32>(column(children, frame), NONE);
    store<u32>(column(weights, frame), ((load<u32>(column(lengths, frame)) as u32) >>> 6) + 1);
  }
  for (let frame = count - 1; frame >= 0; frame--) {
    const link = checking ? NONE : load<i32>(column(links, frame));
    if (link >= frame) return false;
    if (link < 0) {
      pushReady(frame);
      continue;
    }
    store<i32>(column(nexts, frame), load<i32>(column(children, link)));
    store<i32>(column(children, link), frame);
    store<u32>(column(weights, link), load<u32>(column(weights, link)) + load<u32>(column(weights, frame)));
  }
  return true;
}

/** What is left to do for a frame whose hash stands at `target`: compare it, or compute the CRC and set free what links to it. */
function completeFrame(frame: i32, target: usize): void {
  const offset = load<u32>(column(offsets, frame));
  const at = region + offset;
  if (checking) {
    const stored = at + load<u32>(column(lengths, frame)) - HASH_BYTES;
    const low = v128.xor(v128.load(stored), v128.load(target));
    const high = v128.xor(v128.load(stored, 16), v128.load(target, 16));
    if (v128.any_true(v128.or(low, high)) && (badFrame == NONE || frame < badFrame)) badFrame = frame;
    return;
  }
  store<u32>(at, frameCrc(frame, crcSeed, positionBase));
  let child = load<i32>(column(children, frame));
  while (child != NONE) {
    const sibling = load<i32>(column(nexts, child));
    pushReady(child);
    child = sibling;
  }
}

/** Where the hash of a frame goes: into the frame, or beside it when it is only compared. */
// @ts-ignore: decorator
@inline
function hashTarget(frame: i32, lane: u32): usize {
  if (checking) return COMPUTED_HASHES + (lane << 5);
  return region + load<u32>(column(offsets, frame)) + load<u32>(column(lengths, frame)) - HASH_BYTES;
}

function startJob(lane: u32, source: usize, byteCount: u32, counter: u32, endFlags: u32, target: usize, frame: i32, split: i32): void {
  const record = laneRecord(lane);
  store<u32>(record, byteCount, REMAINING);
  store<u32>(record, source as u32, SOURCE);
  store<u32>(record, CHUNK_START, START_FLAG);
  store<u32>(record, CHUNK_END | endFlags, END_FLAGS);
  store<u32>(record, target as u32, TARGET);
  store<i32>(record, frame, FRAME);
  store<i32>(record, split, SPLIT);
  const value = SCHEDULER_LANES + (lane << 2);
  store<u32>(value, 0x6a09_e667);
  store<u32>(value, 0xbb67_ae85, 16);
  store<u32>(value, 0x3c6e_f372, 32);
  store<u32>(value, 0xa54f_f53a, 48);
  store<u32>(value, 0x510e_527f, 64);
  store<u32>(value, 0x9b05_688c, 80);
  store<u32>(value, 0x1f83_d9ab, 96);
  store<u32>(value, 0x5be0_cd19, 112);
  store<u32>(value, counter, LANE_COUNTERS);
}

/** Gives the lane the next chunk of the frame that is being handed out. */
function startChunk(lane: u32): void {
  const record = SPLIT_RECORDS + (splitSlot << 3);
  const from = region + load<u32>(column(offsets, splitFrame)) + FRAME_BODY;
  const byteCount = load<u32>(column(lengths, splitFrame)) - FRAME_OVERHEAD;
  const at = splitChunk * CHUNK_BYTES;
  const target = SPLIT_VALUES + (splitSlot << 9) + (splitChunk << 5);
  startJob(lane, from + at, min<u32>(byteCount - at, CHUNK_BYTES), splitChunk, 0, target, splitFrame, splitSlot);
  splitChunk++;
  if (splitChunk == load<u32>(record, CHUNKS)) splitFrame = NONE;
}

/** Begins to hand out a frame in chunks. */
function startSplit(frame: i32, byteCount: u32): void {
  splitSlot = 0;
  while (load<u32>(SPLIT_RECORDS + (splitSlot << 3), PENDING) != 0) splitSlot++;
  const chunks = (byteCount + CHUNK_BYTES - 1) / CHUNK_BYTES;
  store<u32>(SPLIT_RECORDS + (splitSlot << 3), chunks, PENDING);
  store<u32>(SPLIT_RECORDS + (splitSlot << 3), chunks, CHUNKS);
  splitFrame = frame;
  splitChunk = 0;
}

/** Finds work for an idle lane. False when nothing is ready. */
function fillLane(lane: u32): bool {
  while (true) {
    if (splitFrame != NONE) {
      startChunk(lane);
      return true;
    }
    if (readyClasses == 0) return false;
    const frame = popReady();
    const at = region + load<u32>(column(offsets, frame));
    const link = checking ? NONE : load<i32>(column(links, frame));
    if (link >= 0) {
      const previous = region + load<u32>(column(offsets, link)) + load<u32>(column(lengths, link)) - HASH_BYTES;
      v128.store(at, v128.load(previous), FRAME_PREVIOUS_HASH);
      v128.store(at, v128.load(previous, 16), FRAME_PREVIOUS_HASH + 16);
    }
    const byteCount = load<u32>(column(lengths, frame)) - FRAME_OVERHEAD;
    if (byteCount <= CHUNK_BYTES) {
      startJob(lane, at + FRAME_BODY, byteCount, 0, ROOT, hashTarget(frame, lane), frame, NONE);
      return true;
    }
    if (byteCount <= SUBTREE_BYTES) {
      startSplit(frame, byteCount);
      continue;
    }
    const target = hashTarget(frame, lane);
    hash(at + FRAME_BODY, byteCount, target);
    completeFrame(frame, target);
  }
}

/** The job of the lane has its value at the job's target. */
function completeJob(lane: u32): void {
  const record = laneRecord(lane);
  const frame = load<i32>(record, FRAME);
  const split = load<i32>(record, SPLIT);
  store<i32>(record, NONE, FRAME);
  store<u32>(SCHEDULER_LANES + (lane << 2), ZERO_BLOCK as u32, LANE_POINTERS);
  if (split == NONE) {
    completeFrame(frame, load<u32>(record, TARGET));
    return;
  }
  const pending = load<u32>(SPLIT_RECORDS + (split << 3), PENDING) - 1;
  store<u32>(SPLIT_RECORDS + (split << 3), pending, PENDING);
  if (pending != 0) return;
  const values = SPLIT_VALUES + (split << 9);
  reduceValues(values, load<u32>(SPLIT_RECORDS + (split << 3), CHUNKS), ROOT);
  const target = hashTarget(frame, lane);
  v128.store(target, v128.load(values));
  v128.store(target, v128.load(values, 16), 16);
  completeFrame(frame, target);
}

/** Puts the lane's next block in place. Whether it is the last of its job. */
// @ts-ignore: decorator
@inline
function nextBlock(lane: u32): bool {
  const record = laneRecord(lane);
  const group = SCHEDULER_LANES + (lane << 2);
  const remaining = load<u32>(record, REMAINING);
  const source = load<u32>(record, SOURCE);
  const startFlag = load<u32>(record, START_FLAG);
  if (remaining > BLOCK_BYTES) {
    store<u32>(group, source, LANE_POINTERS);
    store<u32>(group, BLOCK_BYTES, LANE_LENGTHS);
    store<u32>(group, startFlag, LANE_FLAGS);
    store<u32>(record, source + BLOCK_BYTES, SOURCE);
    store<u32>(record, remaining - BLOCK_BYTES, REMAINING);
    store<u32>(record, 0, START_FLAG);
    return false;
  }
  const padded = LANE_BLOCKS + (lane << 6);
  copyBlock(padded, source, remaining);
  store<u32>(group, padded as u32, LANE_POINTERS);
  store<u32>(group, remaining, LANE_LENGTHS);
  store<u32>(group, startFlag | load<u32>(record, END_FLAGS), LANE_FLAGS);
  return true;
}

/** Runs the job of the only busy lane to its end. */
function runAlone(lane: u32): void {
  const record = laneRecord(lane);
  const group = SCHEDULER_LANES + (lane << 2);
  for (let word: usize = 0; word < 8; word++) store<u32>(ALONE_VALUE + 4 * word, load<u32>(group + 16 * word));
  const counter = load<u32>(group, LANE_COUNTERS);
  let last = false;
  while (!last) {
    last = nextBlock(lane);
    compressRows(ALONE_VALUE, load<u32>(group, LANE_POINTERS), load<u32>(group, LANE_LENGTHS), counter, load<u32>(group, LANE_FLAGS));
  }
  const target: usize = load<u32>(record, TARGET);
  v128.store(target, v128.load(ALONE_VALUE));
  v128.store(target, v128.load(ALONE_VALUE, 16), 16);
  completeJob(lane);
}

/** One block in every busy lane. */
function runLanes(): void {
  let finished: u32 = 0;
  for (let lane: u32 = 0; lane < 4; lane++) {
    if (load<i32>(laneRecord(lane), FRAME) != NONE && nextBlock(lane)) finished |= 1 << lane;
  }
  compressLanes(SCHEDULER_LANES);
  for (let lane: u32 = 0; lane < 4; lane++) {
    if (!(finished & (1 << lane))) continue;
    const value = SCHEDULER_LANES + (lane << 2);
    const target: usize = load<u32>(laneRecord(lane), TARGET);
    for (let word: usize = 0; word < 8; word++) store<u32>(target + 4 * word, load<u32>(value + 16 * word));
    completeJob(lane);
  }
}

/** Hashes frames [0, count). False when the links are wrong; then nothing was changed. */
function run(count: i32): bool {
  if (!prepare(count)) return false;
  splitFrame = NONE;
  for (let slot: u32 = 0; slot < SPLIT_COUNT; slot++) store<u32>(SPLIT_RECORDS + (slot << 3), 0, PENDING);
  for (let lane: u32 = 0; lane < 4; lane++) {
    store<i32>(laneRecord(lane), NONE, FRAME);
    store<u32>(SCHEDULER_LANES + (lane << 2), ZERO_BLOCK as u32, LANE_POINTERS);
  }
  while (true) {
    let busy = 0;
    let someLane: u32 = 0;
    for (let lane: u32 = 0; lane < 4; lane++) {
      if (load<i32>(laneRecord(lane), FRAME) == NONE && !fillLane(lane)) continue;
      busy++;
      someLane = lane;
    }
    if (busy == 0) return true;
    if (busy == 1) runAlone(someLane);
    else runLanes();
  }
}

/** See FrameKernel.seal. */
export function sealFrames(count: i32, seed: u32, base: u32): bool {
  checking = false;
  crcSeed = seed;
  positionBase = base;
  return run(count);
}

/** Index of the first of the frames [0, count) whose hash is wrong, or -1. */
export function firstWrongHash(count: i32): i32 {
  checking = true;
  badFrame = NONE;
  run(count);
  return badFrame;
}

/** Index of the first of the frames [0, count) whose CRC is wrong, or -1. */
export function firstWrongCrc(count: i32, seed: u32, base: u32): i32 {
  for (let frame = 0; frame < count; frame++) {
    if (load<u32>(region + load<u32>(column(offsets, frame))) != frameCrc(frame, seed, base)) return frame;
  }
  return NONE;
}

/** The same for frames that were brought together from places of their own: where each stands is in the column of links. */
export function firstWrongCrcPlaced(count: i32, seed: u32): i32 {
  for (let frame = 0; frame < count; frame++) {
    const at = load<u32>(column(offsets, frame));
    if (load<u32>(region + at) != frameCrc(frame, seed, load<u32>(column(links, frame)) - at)) return frame;
  }
  return NONE;
}
