/** What the host calls (src/kernel/wasm-kernel.ts). Nothing here allocates, and nothing is kept between calls but the layout and a hash in progress. */
import { translateFrames } from "./batpak03-frame";
import { describeEntries } from "./checkpoint-entry";
import { prepareSchedule } from "./compress-lanes";
import { prepareCrc32 } from "./crc32";
import { framesFit, setLayout } from "./memory";
import { firstWrongCrc, firstWrongCrcPlaced, firstWrongHash, sealFrames } from "./schedule";
import { hashFinish, hashStart, hashSubtrees } from "./tree";
import { commitsTo, describeFrames, syncedTo, walkedTo, walkFrames } from "./walk";

export {
  commitsTo,
  describeEntries,
  describeFrames,
  hashFinish,
  hashStart,
  hashSubtrees,
  syncedTo,
  translateFrames,
  walkedTo,
  walkFrames,
};

/** Fills the constant tables. Once, before anything else. */
export function prepare(): void {
  prepareCrc32();
  prepareSchedule();
}

/** Says where the frame table (24 bytes a frame) and the frame region begin. The host keeps 64 bytes after the region. */
export function layout(table: u32, frameCapacity: u32, region: u32, regionBytes: u32): void {
  setLayout(table, frameCapacity, region, regionBytes);
}

/**
 * Links, hashes and checksums frames [0, count). 0 when a frame does not lie in the region or links to
 * one that is not earlier; then nothing was changed.
 */
export function seal(count: i32, crcSeed: u32, positionBase: u32): i32 {
  return framesFit(count) && sealFrames(count, crcSeed, positionBase) ? 1 : 0;
}

/**
 * Index of the first of the frames [0, count) whose CRC or, when `hashes` is not 0, whose hash is wrong; -1 when there is none,
 * -2 when a frame does not lie in the region.
 */
export function check(count: i32, crcSeed: u32, positionBase: u32, hashes: i32): i32 {
  if (!framesFit(count)) return -2;
  const wrongCrc = firstWrongCrc(count, crcSeed, positionBase);
  const wrongHash = hashes == 0 ? -1 : firstWrongHash(wrongCrc < 0 ? count : wrongCrc);
  return wrongHash < 0 ? wrongCrc : wrongHash;
}

/** Index of the first of the frames [0, count) whose CRC is wrong, each at the position that stands in place of its link; -1 and -2 as above. */
export function checkPlaced(count: i32, crcSeed: u32): i32 {
  return framesFit(count) ? firstWrongCrcPlaced(count, crcSeed) : -2;
}
