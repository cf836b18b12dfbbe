import assert from "node:assert/strict";
import { test } from "node:test";
import { SEGMENT_HEADER } from "../format/native/segment-header.ts";
import { segmentSeed } from "../format/native/frame.ts";
import { Store } from "../store.ts";
import { SimulatedDisk } from "../testing/sim-disk.ts";
import { findFrames, type FoundFrame } from "./frame-search.ts";

const PATH = "/store/000001.fbat";

/** One segment of more than two windows, with frames of a few bytes and of most of a window. */
async function largeSegment(): Promise<SimulatedDisk> {
  const disk = new SimulatedDisk();
  const store = await Store.open("/store", { disk, segmentBytesMax: 32 * 1024 * 1024 });
  // Any even place within looks like the beginning of a frame of some hundred thousand bytes.
  const imitating = new Uint8Array(Uint16Array.from({ length: 300_000 }, (_, i) => 1 + (i % 7)).buffer);
  for (let i = 0; i < 8; i++) {
    await store.append({ entity: "e", scope: "s" }, { kind: 0x1001, data: new Uint8Array(1_000_000 + i * 7919).fill(i) });
    await store.append({ entity: "e", scope: "s" }, { kind: 0x1001, data: i === 2 ? imitating : { i } });
  }
  await store.close();
  return disk;
}

async function search(disk: SimulatedDisk, from: number, to: number): Promise<FoundFrame[]> {
  const file = await disk.open(PATH, "read");
  const header = disk.bytesOf(PATH).slice(SEGMENT_HEADER.storeId, SEGMENT_HEADER.storeId + 16);
  const found: FoundFrame[] = [];
  await findFrames(file, segmentSeed(header, 1), from, to, (frame) => found.push(frame) > 0);
  await file.close();
  return found;
}

test("the search finds every right frame across its windows, and only those, wherever it begins", async () => {
  const disk = await largeSegment();
  const { length } = disk.bytesOf(PATH);
  const whole = await search(disk, SEGMENT_HEADER.bytes, length);
  // With the record that defines a kind, and the seal or not: more than the appended ones may be there, fewer may not.
  assert(whole.length >= 16, String(whole.length));
  assert(length > 2 * 4 * 1024 * 1024, String(length));
  for (const [i, frame] of whole.entries()) {
    if (i > 0) assert.equal(frame.offset, whole[i - 1].offset + whole[i - 1].length);
  }
  for (const broken of [0, 3, 5, 8]) {
    const frame = whole[broken];
    disk.corrupt(PATH, frame.offset + Math.floor(frame.length / 2), (byte) => byte ^ 1);
    assert.deepEqual(await search(disk, SEGMENT_HEADER.bytes, length), whole.toSpliced(broken, 1));
    assert.deepEqual(
      await search(disk, frame.offset, length),
      whole.filter(({ offset }) => offset > frame.offset),
    );
    disk.corrupt(PATH, frame.offset + Math.floor(frame.length / 2), (byte) => byte ^ 1);
  }
  // A frame that does not end in the range is none of it.
  const last = whole[whole.length - 2];
  assert.deepEqual(await search(disk, SEGMENT_HEADER.bytes, last.offset + last.length - 1), whole.slice(0, -2));
  // Nor does the search wait for what a file that is shorter than the range has not got.
  assert.deepEqual(await search(disk, SEGMENT_HEADER.bytes, 2 * length), whole);
});
