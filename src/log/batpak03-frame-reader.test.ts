// Lengths that lie, as the reader of frames meets them.
import assert from "node:assert/strict";
import { test } from "node:test";
import { viewOf } from "../base/msgpack.ts";
import type { DiskFile } from "../disk/disk.ts";
import { createMemoryDisk } from "../testing/memory-disk.ts";
import { FrameReader } from "./batpak03-frame-reader.ts";

// Found by looking: a file with a hole in it takes no room on disk, and its checksum can be right. More than 2 GiB cannot be read at once.
test("a frame of more than 2 GiB is none, and is not read", async () => {
  const disk = createMemoryDisk();
  await disk.makeDirectory("/");
  const file = await disk.open("/000001.fbat", "create");
  const start = new Uint8Array(32);
  for (const at of [0, 16]) {
    viewOf(start).setUint32(at, 2 ** 31);
    start.set([0x83, 0xa5], at + 8);
  }
  await file.write(start, 0, start.length, 0, false);
  let reads = 0;
  const readSync: DiskFile["readSync"] = (...place) => {
    reads++;
    return file.readSync(...place);
  };
  const reader = new FrameReader();
  reader.begin({ ...file, readSync } as DiskFile, 0, 2 ** 31 + 32);
  assert.equal(reader.next(), null);
  assert.equal(reader.fault, "the frame takes 2147483656 bytes, at most 2147483647 are read");
  assert.deepEqual([reader.findNext().next().done, reads < 4], [false, true]);
});
