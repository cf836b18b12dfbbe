import assert from "node:assert/strict";
import { test } from "node:test";
import type { DiskFile } from "../disk/disk.ts";
import { FRAME } from "../format/native/frame-layout.ts";
import { SEGMENT_HEADER } from "../format/native/segment-header.ts";
import { segmentSeed } from "../format/native/frame.ts";
import { Store } from "../store.ts";
import { SimulatedDisk } from "../testing/sim-disk.ts";
import { TurnCounter } from "../testing/turn-counter.ts";
import { findFrames, type FoundFrame } from "./frame-search.ts";
import { FrameWalker } from "./verify-frames.ts";

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

/** A file of these bytes that counts what is read of it. */
function fileOf(bytes: Uint8Array): { file: DiskFile; bytesRead: () => number } {
  let count = 0;
  const file = {
    size: async () => bytes.length,
    read: async (target: Uint8Array, offset: number, length: number, position: number) => {
      const part = bytes.subarray(position, position + length);
      target.set(part, offset);
      count += part.length;
      return part.length;
    },
  };
  return { file: file as unknown as DiskFile, bytesRead: () => count };
}

/** Bytes in which a frame seems to begin at every so many, each of a length of its own. */
function imitation(bytes: number, every: number, lengthAt: (at: number) => number): Uint8Array {
  const made = new Uint8Array(bytes);
  const view = new DataView(made.buffer);
  for (let at = 0; at + 126 < bytes; at += every) {
    view.setUint32(at + FRAME.length, lengthAt(at), true);
    view.setUint16(at + FRAME.entityLength, 1, true);
    view.setUint16(at + FRAME.scopeLength, 1, true);
  }
  return made;
}

test("bytes that imitate frames of any length are read a few times at the most, and the event loop turns meanwhile", async () => {
  const size = 24 * 1024 * 1024;
  for (const lengthAt of [
    (at: number) => size - at,
    // Each leads just behind what was read for the one before it.
    (at: number) => Math.min(size - at, 4 * 1024 * 1024 + 200 + (at >>> 5)),
    (at: number) => 200 + ((at * 7919) % (size - at)),
  ]) {
    const { file, bytesRead } = fileOf(imitation(size, 48, lengthAt));
    const counter = new TurnCounter();
    await findFrames(file, 1, 0, size, () => assert.fail("no frame is there"));
    const turns = counter.stop();
    assert(bytesRead() < 5 * size, `${bytesRead()} bytes were read of ${size}`);
    assert(turns > 40, `the event loop turned ${turns} times`);
  }
});

test("one search serves all of the damage: what it reads grows with the segment, not with the damaged places", async () => {
  const disk = new SimulatedDisk();
  const store = await Store.open("/store", { disk, segmentBytesMax: 4 * 1024 * 1024, durability: "os" });
  // Every other event's payload imitates frames that end with the segment.
  while (store.segments().length < 2) {
    const left = 4 * 1024 * 1024 - (store.segments().at(-1)?.bytes ?? 0);
    await store.append({ entity: "e", scope: "s" }, { kind: 0x1001, data: imitation(4096, 48, () => Math.max(200, left - 20_000)) });
    await store.append({ entity: "f", scope: "s" }, { kind: 0x1001, data: 1 });
  }
  await store.close();
  const frames = await search(disk, SEGMENT_HEADER.bytes, disk.bytesOf(PATH).length);
  const damaged = frames.filter(({ length }) => length > 4000);
  assert(damaged.length > 500);
  for (const { offset } of damaged) disk.corrupt(PATH, offset + 70, (byte) => byte ^ 1);
  const { file, bytesRead } = fileOf(disk.bytesOf(PATH).slice());
  const found: number[] = [];
  const bad: number[] = [];
  await new FrameWalker().walk(
    {
      file,
      seed: segmentSeed(disk.bytesOf(PATH).slice(SEGMENT_HEADER.storeId, SEGMENT_HEADER.storeId + 16), 1),
      from: SEGMENT_HEADER.bytes,
      to: disk.bytesOf(PATH).length,
    },
    { frame: ({ offset }) => void found.push(offset), damaged: (from) => void bad.push(from), rest: async () => {} },
  );
  assert.deepEqual(
    bad.slice(0, damaged.length),
    damaged.map(({ offset }) => offset),
  );
  assert.deepEqual(
    found,
    frames.filter((frame) => !damaged.includes(frame)).map(({ offset }) => offset),
  );
  const size = disk.bytesOf(PATH).length;
  assert(bytesRead() < 12 * size, `${bytesRead()} bytes were read of ${size}`);
});
