/** Index blocks of which every page is bad: whoever needs one makes the segment's index anew from its frames. */
import assert from "node:assert/strict";
import { INDEX_TRAILER } from "../../../src/format/native/index-block-layout.ts";
import { decodeIndexTrailer } from "../../../src/format/native/index-block-root.ts";
import type { SimulatedDisk } from "../../../src/testing/sim-disk.ts";

/** Changes bytes in every page of the block that this segment's file ends with; root and trailer stay right. */
export function spoilPages(disk: SimulatedDisk, path: string): void {
  const bytes = disk.bytesOf(path);
  const decoded = decodeIndexTrailer(bytes.subarray(-INDEX_TRAILER.bytes), bytes.length);
  assert(decoded.ok);
  const { blockBytes, rootBytes } = decoded.trailer;
  const rootAt = bytes.length - INDEX_TRAILER.bytes - rootBytes;
  for (let at = bytes.length - blockBytes; at < rootAt; at += 40) disk.corrupt(path, at, (byte) => byte ^ 1);
}
