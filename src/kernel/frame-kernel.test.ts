/** Both ways of hashing against libraries and against each other, on random groups of frames with chains. */
import assert from "node:assert/strict";
import { randomInt } from "node:crypto";
import { describe, test } from "node:test";
import { crc32 } from "node:zlib";
import { blake3 as nobleBlake3 } from "@noble/hashes/blake3.js";
import { blake3 as wasmBlake3 } from "hash-wasm";
import { FRAME } from "../format/native/frame-layout.ts";
import { blake3, chooseHashing, createFrameKernel, type FrameKernel, loadHashing } from "./frame-kernel.ts";
import { createPlainHashing, KERNEL_FRAME } from "./plain-kernel.ts";
import { createWasmHashing } from "./wasm-kernel.ts";

/** A small generator of pseudo-random numbers (mulberry32), so that a seed repeats a run. */
function generator(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

const noise = new Uint8Array(1 << 20);
const nextNoise = generator(1);
for (let at = 0; at < noise.length; at++) noise[at] = nextNoise(256);

const hex = (bytes: Uint8Array): string => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("hex");

interface Shape {
  frames: number;
  chains: number;
  bytesMax: number;
  gapMax: number;
}

/** Fills a kernel with frames of noise: chains in the given number of entities, some of them begun in earlier groups. */
function fill(kernel: FrameKernel, shape: Shape, random: (below: number) => number): number {
  const newest = new Map<number, number>();
  let offset = random(shape.gapMax + 1);
  kernel.reserveFrames(shape.frames);
  for (let frame = 0; frame < shape.frames; frame++) {
    const length = FRAME.bytesMin + random(random(8) === 0 ? shape.bytesMax : Math.min(shape.bytesMax, 400));
    kernel.reserve(offset + length);
    const from = random(noise.length - length);
    kernel.bytes.set(noise.subarray(from, from + length), offset);
    const entity = random(shape.chains);
    kernel.offsets[frame] = offset;
    kernel.lengths[frame] = length;
    kernel.links[frame] = newest.get(entity) ?? -1;
    newest.set(entity, frame);
    offset += length + random(shape.gapMax + 1);
  }
  return offset;
}

/** What `seal` must make of the region, with the libraries alone. */
function sealedReference(kernel: FrameKernel, count: number, end: number, seed: number, base: number): Uint8Array {
  const bytes = kernel.bytes.slice(0, end);
  const view = new DataView(bytes.buffer);
  const hashes: Uint8Array[] = [];
  for (let frame = 0; frame < count; frame++) {
    const offset = kernel.offsets[frame] as number;
    const hashAt = offset + (kernel.lengths[frame] as number) - FRAME.hashBytes;
    const link = kernel.links[frame] as number;
    if (link >= 0) bytes.set(hashes[link] as Uint8Array, offset + FRAME.previousHash);
    const hash = nobleBlake3(bytes.subarray(offset + FRAME.body, hashAt));
    hashes.push(hash);
    bytes.set(hash, hashAt);
    const covered = bytes.subarray(offset + FRAME.length, hashAt + FRAME.hashBytes);
    view.setUint32(offset + FRAME.crc, crc32(covered, (seed ^ (base + offset)) >>> 0), true);
  }
  return bytes;
}

test("the kernel's frame offsets are those of the frame layout", () => {
  for (const name of ["crc", "length", "body", "previousHash", "hashBytes", "bytesMin"] as const)
    assert.equal(KERNEL_FRAME[name], FRAME[name]);
});

test("the kernel is in use here, and is loaded at once", async () => {
  assert.equal(hex(blake3(new Uint8Array(0))).slice(0, 16), "af1349b9f5f9a1a6");
  assert.equal(await loadHashing(), "kernel");
  assert.ok(createFrameKernel(1, 1).capacity >= 1);
});

test("hashing falls back without SIMD, and says so without any WebAssembly", async () => {
  const withoutSimd = {
    Module: function refuse() {
      throw new Error("CompileError: SIMD unsupported");
    },
  };
  assert.equal(createWasmHashing(withoutSimd as never), null);
  const fallback = await chooseHashing(() => null, createPlainHashing);
  assert.equal(fallback.name, "hash-wasm");
  const unavailable = chooseHashing(
    () => null,
    () => Promise.reject(new Error("no WebAssembly")),
  );
  await assert.rejects(unavailable, { code: "UNSUPPORTED_RUNTIME" });
});

test("blake3 agrees with hash-wasm and @noble/hashes at every length from 0 to 5,000", async () => {
  for (let length = 0; length <= 5000; length++) {
    const input = noise.subarray(length, 2 * length);
    const actual = hex(blake3(input));
    if (actual !== hex(nobleBlake3(input)) || actual !== (await wasmBlake3(input))) assert.fail(`wrong at ${length} bytes`);
  }
});

test("blake3 agrees at long lengths", async () => {
  const kibibytes = [5, 8, 15, 16, 17, 31, 32, 33, 47, 48, 49, 64, 65, 127, 128, 129, 255, 256, 511, 512, 768, 1023];
  for (const length of [...kibibytes.flatMap((size) => [-1, 0, 1, 100].map((more) => 1024 * size + more)), 1 << 20]) {
    const input = noise.subarray(0, length);
    assert.equal(hex(blake3(input)), await wasmBlake3(input), `at ${length} bytes`);
  }
});

test("blake3 returns an array of its own", () => {
  const first = blake3(noise.subarray(0, 10));
  const before = hex(first);
  blake3(noise.subarray(0, 11));
  assert.equal(hex(first), before);
  assert.equal(first.buffer.byteLength, 32);
});

const kernels = { kernel: createWasmHashing(), "hash-wasm": await createPlainHashing() };

for (const [name, hashing] of Object.entries(kernels)) {
  assert.ok(hashing);
  describe(`frames by ${name}`, () => {
    test("seal and check agree with the libraries on random groups", () => {
      const seed = randomInt(2 ** 31);
      console.log(`seed ${seed}`);
      const random = generator(seed);
      const kernel = hashing.createFrameKernel(1000, 1);
      for (let round = 0; round < 120; round++) {
        const frames = random(8) === 0 ? 1 + random(300) : 1 + random(12);
        const shape = { frames, chains: 1 + random(frames), bytesMax: [600, 4000, 40_000][random(3)] as number, gapMax: random(2) * 70 };
        const end = fill(kernel, shape, random);
        const [crcSeed, base] = [random(2 ** 31) * 2 + 1, random(2 ** 30)];
        const expected = sealedReference(kernel, frames, end, crcSeed, base);
        kernel.seal(frames, crcSeed, base);
        assert.ok(Buffer.compare(kernel.bytes.subarray(0, end), expected) === 0, `seed ${seed}, round ${round}: wrong bytes`);
        assert.equal(kernel.check(frames, crcSeed, base, true), -1, `seed ${seed}, round ${round}: check refuses`);
        checkFindsDamage(kernel, frames, crcSeed, base, random, `seed ${seed}, round ${round}`);
      }
    });

    test("frames brought together are checked against the places that they come from", () => {
      const seed = randomInt(2 ** 31);
      console.log(`seed ${seed}`);
      const random = generator(seed);
      const kernel = hashing.createFrameKernel(1000, 1);
      for (let round = 0; round < 60; round++) {
        const frames = 1 + random(40);
        fill(kernel, { frames, chains: frames, bytesMax: 600, gapMax: random(2) * 70 }, random);
        const crcSeed = random(2 ** 31) * 2 + 1;
        const places = Array.from({ length: frames }, () => random(2 ** 30));
        for (let frame = 0; frame < frames; frame++) {
          const [offset, length] = [kernel.offsets[frame] as number, kernel.lengths[frame] as number];
          const covered = kernel.bytes.subarray(offset + KERNEL_FRAME.length, offset + length);
          kernel.view.setUint32(offset, crc32(covered, (crcSeed ^ (places[frame] as number)) >>> 0), true);
        }
        kernel.links.set(places);
        assert.equal(kernel.checkPlaced(frames, crcSeed), -1, `seed ${seed}, round ${round}`);
        const bad = random(frames);
        kernel.links[bad] = ((places[bad] as number) + 1) | 0;
        assert.equal(kernel.checkPlaced(frames, crcSeed), bad, `seed ${seed}, round ${round}: another place`);
      }
      assert.throws(() => kernel.checkPlaced(kernel.frameCapacity + 1, 0), { name: "InvariantError" });
    });

    test("frames of every length, in one group", () => {
      const kernel = hashing.createFrameKernel(4 << 20, 2500);
      let offset = 0;
      for (let frame = 0; frame < 2500; frame++) {
        const length = FRAME.bytesMin + frame;
        kernel.bytes.set(noise.subarray(frame, frame + length), offset);
        kernel.offsets[frame] = offset;
        kernel.lengths[frame] = length;
        kernel.links[frame] = frame % 3 === 0 ? -1 : frame - 1;
        offset += length;
      }
      const expected = sealedReference(kernel, 2500, offset, 7, 0xffff_fff0);
      kernel.seal(2500, 7, 0xffff_fff0);
      assert.ok(Buffer.compare(kernel.bytes.subarray(0, offset), expected) === 0);
    });

    test("several frames may link to one", () => {
      const random = generator(5);
      const kernel = hashing.createFrameKernel(1 << 16, 64);
      const end = fill(kernel, { frames: 64, chains: 1, bytesMax: 3000, gapMax: 0 }, random);
      for (let frame = 1; frame < 64; frame++) kernel.links[frame] = random(frame);
      const expected = sealedReference(kernel, 64, end, 1, 2);
      kernel.seal(64, 1, 2);
      assert.ok(Buffer.compare(kernel.bytes.subarray(0, end), expected) === 0);
    });

    test("reserve and reserveFrames keep region and table", () => {
      const kernel = hashing.createFrameKernel(100, 2);
      kernel.bytes.set(noise.subarray(0, 100));
      kernel.offsets.set([1, 2]);
      kernel.lengths.set([3, 4]);
      kernel.links.set([-1, 0]);
      kernel.reserve(1 << 20);
      kernel.reserveFrames(1000);
      kernel.reserveFrames(100_000);
      kernel.reserve(5 << 20);
      assert.ok(kernel.capacity >= 5 << 20 && kernel.bytes.length === kernel.capacity && kernel.view.byteLength === kernel.capacity);
      assert.ok(kernel.frameCapacity >= 100_000 && kernel.links.length === kernel.frameCapacity);
      assert.equal(hex(kernel.bytes.subarray(0, 100)), hex(noise.subarray(0, 100)));
      assert.equal(kernel.view.getUint8(99), noise[99]);
      assert.deepEqual([...kernel.offsets.subarray(0, 2)], [1, 2]);
      assert.deepEqual([...kernel.lengths.subarray(0, 2)], [3, 4]);
      assert.deepEqual([...kernel.links.subarray(0, 2)], [-1, 0]);
    });

    test("an empty group is fine; a link forward or a frame outside the region is a broken invariant", () => {
      const kernel = hashing.createFrameKernel(1000, 2);
      kernel.seal(0, 0, 0);
      assert.equal(kernel.check(0, 0, 0, true), -1);
      fill(kernel, { frames: 2, chains: 2, bytesMax: 10, gapMax: 0 }, generator(3));
      kernel.links[0] = 1;
      assert.throws(() => kernel.seal(2, 0, 0), { name: "InvariantError" });
      assert.throws(() => kernel.seal(3, 0, 0), { name: "InvariantError" });
      kernel.links[0] = -1;
      kernel.seal(2, 0, 0);
      const lengthBefore = kernel.lengths[1] as number;
      for (const length of [0, 125, kernel.capacity + 1, 0xffff_ffff]) {
        kernel.lengths[1] = length;
        assert.throws(() => kernel.seal(2, 0, 0), { name: "InvariantError" });
        assert.throws(() => kernel.check(2, 0, 0, false), { name: "InvariantError" });
      }
      kernel.lengths[1] = lengthBefore;
      assert.equal(kernel.check(2, 0, 0, true), -1);
    });
  });
}

/** Changes one frame in turn: its checksum only, its hash with a right checksum. */
function checkFindsDamage(
  kernel: FrameKernel,
  frames: number,
  seed: number,
  base: number,
  random: (n: number) => number,
  what: string,
): void {
  const bad = random(frames);
  const offset = kernel.offsets[bad] as number;
  const length = kernel.lengths[bad] as number;
  const at = offset + FRAME.body + random(length - FRAME.body);
  const [before, crcBefore] = [kernel.bytes[at] as number, kernel.view.getUint32(offset, true)];
  kernel.bytes[at] = before ^ (1 << random(8));
  assert.equal(kernel.check(frames, seed, base, false), bad, `${what}: bad CRC not found`);
  assert.equal(kernel.check(frames, seed, base, true), bad, `${what}: bad CRC not found with hashes`);
  kernel.view.setUint32(offset, crc32(kernel.bytes.subarray(offset + 4, offset + length), (seed ^ (base + offset)) >>> 0), true);
  assert.equal(kernel.check(frames, seed, base, false), -1, `${what}: right CRC refused`);
  assert.equal(kernel.check(frames, seed, base, true), bad, `${what}: bad hash not found`);
  kernel.bytes[at] = before;
  kernel.view.setUint32(offset, crcBefore, true);
  assert.equal(kernel.check(frames, seed, base, true), -1, `${what}: restored frames refused`);
}
