/** The kernel's walk over frames against the loops, which judge by `checkFrame`. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { crc32 } from "node:zlib";
import fc from "fast-check";
import { defineEvent, rawEvent } from "../events/definition.ts";
import { frameLength, frameSeed, isMarked } from "../format/native/frame.ts";
import { FRAME, LENGTH_MASK } from "../format/native/frame-layout.ts";
import { SEGMENT_HEADER } from "../format/native/segment-header.ts";
import { createFrameKernel, createFrameWalker, type FrameWalk, type FrameWalker } from "../kernel/frame-kernel.ts";
import { FRAME_RECORD } from "../kernel/frame-record.ts";
import { Store } from "../store.ts";
import { SimulatedDisk } from "../testing/sim-disk.ts";
import { PlainFrameWalker, runOfFrame } from "./frame-walker.ts";

const REGION_BYTES = 1 << 20;
const SEED = 0x1234_5678;

const kernelWalker = createFrameWalker(REGION_BYTES);
assert(kernelWalker !== null);
const walkers: readonly FrameWalker[] = [kernelWalker, new PlainFrameWalker(createFrameKernel(REGION_BYTES, 1))];

/** Frames of every sort, from a store: names in several scripts, ids given and issued, metadata, causes, definitions, a seal. */
async function framesOfAStore(): Promise<Uint8Array[]> {
  const disk = new SimulatedDisk();
  const Noted = defineEvent("Noted", { kind: 0xf001 });
  const store = await Store.open("/s", { disk, events: [Noted], segmentBytesMax: 16 * 1024 });
  let cause: string | undefined;
  for (let number = 0; number < 160; number++) {
    const entity = ["order:1", "注文:二", "ü".repeat(500), `e${number}`][number % 4];
    const receipts = await store.appendBatch(
      Array.from({ length: 1 + (number % 3) }, (_, i) => ({
        coordinate: { entity, scope: number % 5 === 0 ? "магазин" : "shop" },
        event: number % 8 === 0 ? Noted({ number, i }) : rawEvent(0xf002 + (number % 7), { number, i }),
        ...(number % 6 === 1 ? { metadata: { by: "test", number } } : {}),
        ...(number % 4 === 2 ? { idempotencyKey: `key ${number} ${i}` } : {}),
        ...(cause !== undefined && number % 3 === 0 ? { causedBy: cause } : {}),
        ...(number % 5 === 1 && number % 3 !== 0 && cause !== undefined ? { correlationId: cause } : {}),
      })),
    );
    cause = receipts[0].id;
  }
  await store.close();
  const frames: Uint8Array[] = [];
  for (const name of (await disk.list("/s")).filter((file) => file.endsWith(".fbat"))) {
    const bytes = disk.bytesOf(`/s/${name}`);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    for (let at: number = SEGMENT_HEADER.bytes; at + FRAME.body < bytes.length && frameLength(view, at) >= FRAME.bytesMin; ) {
      const length = frameLength(view, at);
      if (view.getUint8(at + FRAME.encoding) !== 0 || at + length > bytes.length) break;
      frames.push(bytes.slice(at, at + length));
      at += length;
    }
  }
  assert(frames.length > 300 && frames.some((frame) => (frame[FRAME.flags] & 0x20) !== 0));
  return frames;
}

/** Puts the frames at `at` of each region, one after the other, with checksums for there; returns where they end. */
function place(frames: readonly Uint8Array[], at: number, base: number): number {
  for (const frame of frames) {
    const view = new DataView(frame.buffer, frame.byteOffset, frame.length);
    view.setUint32(FRAME.crc, crc32(frame.subarray(FRAME.length), frameSeed(SEED, base + at)), true);
    for (const { region } of walkers) region.bytes.set(frame, at);
    at += frame.length;
  }
  return at;
}

function walkBoth(at: number, limit: number, base: number): FrameWalk {
  const [byKernel, byLoops] = walkers.map((walker) => walker.walk(at, limit, SEED, base));
  assert.deepEqual(byKernel, byLoops);
  assert.deepEqual(recordsOf(walkers[0], at, byKernel.goodEnd), recordsOf(walkers[1], at, byLoops.goodEnd));
  return byLoops;
}

function recordsOf(walker: FrameWalker, at: number, end: number): number[][] {
  const records: number[][] = [];
  while (at < end) {
    const count = walker.describe(at, end);
    assert(count > 0);
    for (let record = 0; record < count; record++) {
      const from = record * FRAME_RECORD.words;
      const words = [
        ...walker.words.subarray(from, from + 10),
        ...walker.words.subarray(from + FRAME_RECORD.hash, from + FRAME_RECORD.words),
      ];
      const numbers = walker.numbers.subarray(from / 2 + FRAME_RECORD.clock, from / 2 + FRAME_RECORD.time + 1);
      records.push([...words, ...numbers]);
      at = walker.words[from + FRAME_RECORD.at] + walker.words[from + FRAME_RECORD.length];
    }
  }
  return records;
}

const frames = await framesOfAStore();

test("frames of every sort are walked to the end and described alike, as many as there are", () => {
  const withoutSeals = frames.filter((frame) => (frame[FRAME.flags] & 0x20) === 0);
  const many = Array.from({ length: 1500 }, (_, i) => withoutSeals[i % withoutSeals.length].slice());
  const end = place(many, 100, 60_000);
  const walk = walkBoth(100, end, 60_000);
  assert.equal(walk.goodEnd, end);
  assert.equal(walk.outcome, "short");
  assert.equal(recordsOf(walkers[0], 100, end).length, 1500);
  assert.equal(walkBoth(100, end - 1, 60_000).goodEnd, end - (many[1499]?.length ?? 0));
});

test("a marked seal ends the walk, and what is not marked is no commit", () => {
  const seal = frames.find((frame) => (frame[FRAME.flags] & 0x20) !== 0) as Uint8Array;
  const unmarked = frames[0].slice();
  new DataView(unmarked.buffer).setUint32(FRAME.length, unmarked.length, true);
  const sealEnd = place([unmarked, seal.slice()], 0, 10_000_000);
  const end = place([unmarked.slice()], sealEnd, 10_000_000);
  assert.deepEqual(walkBoth(0, end, 10_000_000), {
    ...walkBoth(0, sealEnd, 10_000_000),
    goodEnd: sealEnd,
    commitEnd: sealEnd,
    outcome: "sealed",
  });
  const walk = walkBoth(0, unmarked.length, 10_000_000);
  assert.deepEqual([walk.goodEnd, walk.commitEnd], [unmarked.length, 0]);
});

test("whatever a frame's fields hold, with a right checksum or not, both judge it alike", () => {
  const edge = fc.constantFrom(0, 1, 3, 4, 31, 32, 125, 126, 127, 1023, 1024, 1025, 0xffff, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff);
  const change = fc.record({
    place: fc.oneof(fc.constantFrom(4, 7, 8, 12, 13, 14, 18, 20, 22, 28, 30, 36, 38, 44, 94, 110, 126), fc.nat(400)),
    width: fc.constantFrom(1, 2, 4),
    value: fc.oneof(edge, fc.nat(0xffff_ffff)),
  });
  let right = 0;
  let bad = 0;
  fc.assert(
    fc.property(
      fc.array(fc.nat(frames.length - 1), { minLength: 1, maxLength: 4 }),
      fc.nat(3),
      fc.array(change, { maxLength: 3 }),
      fc.boolean(),
      fc.nat(200),
      fc.nat(2000),
      fc.integer({ min: -40, max: 40 }),
      (chosen, changed, changes, isSummed, at, base, cut) => {
        const some = chosen.map((number) => frames[number].slice());
        const frame = some[changed % some.length];
        const view = new DataView(frame.buffer);
        // A small distance, so that it leads to a place in the segment.
        for (const one of some) new DataView(one.buffer).setUint32(FRAME.syncBack, at % 50, true);
        const apply = (): void => {
          for (const { place: to, width, value } of changes) {
            if (to + width > frame.length) continue;
            if (width === 1) view.setUint8(to, value & 0xff);
            else if (width === 2) view.setUint16(to, value & 0xffff, true);
            else view.setUint32(to, value, true);
          }
        };
        if (isSummed) apply();
        const end = place(some, at, base);
        if (!isSummed) {
          apply();
          const from = at + some.slice(0, changed % some.length).reduce((sum, one) => sum + one.length, 0);
          for (const { region } of walkers) region.bytes.set(frame, from);
        }
        const walk = walkBoth(at, Math.max(at, end + cut), base);
        if (walk.outcome === "bad") bad++;
        if (walk.goodEnd === end) right++;
      },
    ),
    { numRuns: 20_000 },
  );
  assert(right > 2000 && bad > 2000, `${right} right, ${bad} bad`);
});

test("noise is judged alike", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400 }), fc.nat(300), (bytes, at) => {
      for (const { region } of walkers) region.bytes.set(bytes, at);
      walkBoth(at, at + bytes.length, 0);
    }),
    { numRuns: 5000 },
  );
});

test("a frame by itself is described as in a row", () => {
  for (const frame of frames.slice(0, 50)) {
    const end = place([frame], 0, 5000);
    const run = runOfFrame(frame, new DataView(frame.buffer, frame.byteOffset, frame.length), 5000);
    walkers[1].describe(0, end);
    assert.deepEqual([...run.words], [...walkers[1].words.subarray(0, FRAME_RECORD.words)]);
    assert.deepEqual([run.count, run.base, run.end], [1, 5000, 5000 + frame.length]);
    assert.equal(isMarked(run.view, 0), (frame[FRAME.length + 3] & 0x80) !== 0);
    assert.equal(run.words[FRAME_RECORD.length], new DataView(frame.buffer).getUint32(FRAME.length, true) & LENGTH_MASK);
  }
});
