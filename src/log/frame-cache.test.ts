import assert from "node:assert/strict";
import { test } from "node:test";
import type { Disk, DiskFile } from "../disk/disk.ts";
import { createMemoryDisk } from "../testing/memory-disk.ts";
import { seededRandom } from "../testing/seeded-random.ts";
import { FrameCache } from "./frame-cache.ts";
import { SegmentFiles } from "./segment-files.ts";

async function segmentsOf(sizes: readonly number[]): Promise<{ disk: Disk; files: SegmentFiles; contents: Uint8Array[] }> {
  const disk = createMemoryDisk();
  await disk.makeDirectory("/store");
  const files = new SegmentFiles(disk, "/store");
  const contents: Uint8Array[] = [];
  for (const [i, size] of sizes.entries()) {
    const bytes = Uint8Array.from({ length: size }, (_, at) => (at * 31 + (at >>> 8) * 7 + i) & 0xff);
    contents.push(bytes);
    const file: DiskFile = await disk.open(files.path(i + 1), "create");
    await file.write(bytes, 0, size, 0, false);
    await file.close();
  }
  return { disk, files, contents };
}

/** Copies from a page that was asked for before. */
function copyHeld(cache: FrameCache, segmentId: number, offset: number, length: number, target: Uint8Array, at: number): number {
  cache.copy(segmentId, offset, 1, target, at);
  return cache.copy(segmentId, offset, length, target, at);
}

test("a page is held when it is asked for the second time", async () => {
  const { files } = await segmentsOf([100_000]);
  const cache = new FrameCache(files, 1 << 20);
  const target = new Uint8Array(64);
  assert.equal(cache.copy(1, 5000, 64, target, 0), 0);
  assert.equal(cache.bytes, 0);
  assert.equal(cache.copy(1, 5100, 64, target, 0), 64);
  assert.equal(cache.pagesLoaded, 1);
  files.closeAll();
});

test("what is copied is what the file holds, whatever was held before", async () => {
  const seed = Math.floor(Math.random() * 2 ** 31);
  const fraction = seededRandom(seed);
  const random = (below: number): number => Math.floor(fraction() * below);
  const { files, contents } = await segmentsOf([100_000, 4096, 9_001, 1]);
  // Eight pages, so that nearly every look makes one leave.
  const cache = new FrameCache(files, 8 * 4096);
  const target = new Uint8Array(700);
  for (let look = 0; look < 20_000; look++) {
    const segment = random(contents.length);
    const bytes = contents[segment];
    const offset = random(bytes.length + 50);
    const length = 1 + random(640);
    const count = copyHeld(cache, segment + 1, offset, length, target, 5);
    const expected = bytes.subarray(offset, Math.min(offset + length, (Math.floor(offset / 4096) + 1) * 4096));
    assert.deepEqual(target.subarray(5, 5 + count), expected, `seed ${seed}, look ${look}, offset ${offset}`);
    if (random(500) === 0) cache.forget(segment + 1);
    if (random(100) === 0) cache.drop(segment + 1, offset);
  }
  assert.ok(cache.bytes <= 8 * 4096);
  files.closeAll();
});

test("a page that is held is read once", async () => {
  const { files } = await segmentsOf([1_000_000]);
  const cache = new FrameCache(files, 1 << 20);
  const target = new Uint8Array(64);
  for (let round = 0; round < 3; round++) for (let offset = 0; offset < 900_000; offset += 1000) copyHeld(cache, 1, offset, 64, target, 0);
  assert.equal(cache.pagesLoaded, Math.ceil(899_064 / 4096));
  files.closeAll();
});

test("a page that was dropped shows what the file has by now, and one of a forgotten segment the new file's bytes", async () => {
  const { disk, files } = await segmentsOf([100]);
  const cache = new FrameCache(files, 1 << 20);
  const target = new Uint8Array(200);
  assert.equal(copyHeld(cache, 1, 0, 200, target, 0), 100);
  const file = await disk.open(files.path(1), "write");
  await file.write(new Uint8Array(100).fill(9), 0, 100, 100, false);
  assert.equal(copyHeld(cache, 1, 0, 200, target, 0), 100);
  cache.drop(1, 50);
  assert.equal(copyHeld(cache, 1, 0, 200, target, 0), 200);
  assert.equal(target[150], 9);
  await file.write(new Uint8Array(200).fill(7), 0, 200, 0, false);
  await file.close();
  cache.forget(1);
  assert.equal(copyHeld(cache, 1, 0, 200, target, 0), 200);
  assert.ok(target.every((byte) => byte === 7));
  files.closeAll();
});

test("with no room nothing is held and nothing copied", async () => {
  const { files } = await segmentsOf([100]);
  const cache = new FrameCache(files, 4095);
  assert.equal(copyHeld(cache, 1, 0, 10, new Uint8Array(10), 0), 0);
  assert.equal(cache.bytes, 0);
});

test("a place counts as checked until its page is loaded anew, and no place beside it does", async () => {
  const { files } = await segmentsOf([100_000]);
  const cache = new FrameCache(files, 2 * 4096);
  const target = new Uint8Array(64);
  copyHeld(cache, 1, 5000, 64, target, 0);
  assert.equal(cache.isChecked, false);
  cache.noteChecked();
  assert.equal(cache.isChecked, true);
  for (const offset of [4999, 5001, 5128]) {
    cache.copy(1, offset, 64, target, 0);
    assert.equal(cache.isChecked, false, `offset ${offset}`);
  }
  cache.copy(1, 5000, 64, target, 0);
  assert.equal(cache.isChecked, true);
  cache.drop(1, 5000);
  copyHeld(cache, 1, 5000, 64, target, 0);
  assert.equal(cache.isChecked, false, "the file may hold other bytes by now");
  files.closeAll();
});
