/**
 * The kernel's work done by libraries, one frame after the other: for runtimes without WebAssembly SIMD, and as the reference that tests
 * compare the kernel with. Same results, several times slower.
 */
import { crc32 } from "node:zlib";
import { assert } from "../base/assert.ts";
import type { FrameKernel, Hashing } from "./frame-kernel.ts";

/** Offsets within a frame, those of src/format/native/frame-layout.ts: a test compares them. */
export const KERNEL_FRAME = { crc: 0, length: 4, body: 12, previousHash: 62, hashBytes: 32, bytesMin: 126 } as const;

type Blake3 = (bytes: Uint8Array) => Uint8Array;

class PlainFrameKernel implements FrameKernel {
  bytes: Uint8Array;
  view: DataView;
  capacity: number;
  offsets: Uint32Array;
  lengths: Uint32Array;
  links: Int32Array;
  frameCapacity: number;
  readonly #blake3: Blake3;

  constructor(blake3: Blake3, capacityBytes: number, frameCapacity: number) {
    this.#blake3 = blake3;
    this.capacity = capacityBytes;
    this.bytes = new Uint8Array(capacityBytes);
    this.view = new DataView(this.bytes.buffer);
    this.frameCapacity = frameCapacity;
    this.offsets = new Uint32Array(frameCapacity);
    this.lengths = new Uint32Array(frameCapacity);
    this.links = new Int32Array(frameCapacity);
  }

  reserve(capacityBytes: number): void {
    if (capacityBytes <= this.capacity) return;
    const bytes = new Uint8Array(capacityBytes);
    bytes.set(this.bytes);
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer);
    this.capacity = capacityBytes;
  }

  reserveFrames(count: number): void {
    if (count <= this.frameCapacity) return;
    const { offsets, lengths, links } = this;
    this.offsets = new Uint32Array(count);
    this.lengths = new Uint32Array(count);
    this.links = new Int32Array(count);
    this.offsets.set(offsets);
    this.lengths.set(lengths);
    this.links.set(links);
    this.frameCapacity = count;
  }

  seal(count: number, crcSeed: number, positionBase: number): void {
    const { bytes, view, offsets, lengths, links } = this;
    assert(count <= this.frameCapacity, "the frames to seal are in the table");
    for (let frame = 0; frame < count; frame++) {
      assert(this.#fits(frame) && (links[frame] as number) < frame, "frames lie in the region and link to earlier ones");
    }
    for (let frame = 0; frame < count; frame++) {
      const offset = offsets[frame] as number;
      const link = links[frame] as number;
      if (link >= 0) {
        const linkEnd = (offsets[link] as number) + (lengths[link] as number);
        bytes.copyWithin(offset + KERNEL_FRAME.previousHash, linkEnd - KERNEL_FRAME.hashBytes, linkEnd);
      }
      bytes.set(this.#hashOf(frame), offset + (lengths[frame] as number) - KERNEL_FRAME.hashBytes);
      view.setUint32(offset + KERNEL_FRAME.crc, this.#crcOf(frame, crcSeed, positionBase), true);
    }
  }

  check(count: number, crcSeed: number, positionBase: number, hashes: boolean): number {
    const { bytes, view, offsets, lengths } = this;
    assert(count <= this.frameCapacity, "the frames to check are in the table");
    for (let frame = 0; frame < count; frame++) assert(this.#fits(frame), "frames lie in the region");
    for (let frame = 0; frame < count; frame++) {
      const offset = offsets[frame] as number;
      if (view.getUint32(offset + KERNEL_FRAME.crc, true) !== this.#crcOf(frame, crcSeed, positionBase)) return frame;
      if (!hashes) continue;
      const end = offset + (lengths[frame] as number);
      const stored = bytes.subarray(end - KERNEL_FRAME.hashBytes, end);
      if (Buffer.compare(stored, this.#hashOf(frame)) !== 0) return frame;
    }
    return -1;
  }

  checkPlaced(count: number, crcSeed: number): number {
    assert(count <= this.frameCapacity, "the frames to check are in the table");
    for (let frame = 0; frame < count; frame++) assert(this.#fits(frame), "frames lie in the region");
    for (let frame = 0; frame < count; frame++) {
      const offset = this.offsets[frame] as number;
      const stored = this.view.getUint32(offset + KERNEL_FRAME.crc, true);
      if (stored !== this.#crcOf(frame, crcSeed, (this.links[frame] as number) - offset)) return frame;
    }
    return -1;
  }

  #fits(frame: number): boolean {
    const length = this.lengths[frame] as number;
    return length >= KERNEL_FRAME.bytesMin && (this.offsets[frame] as number) + length <= this.capacity;
  }

  #hashOf(frame: number): Uint8Array {
    const offset = this.offsets[frame] as number;
    const end = offset + (this.lengths[frame] as number) - KERNEL_FRAME.hashBytes;
    return this.#blake3(this.bytes.subarray(offset + KERNEL_FRAME.body, end));
  }

  #crcOf(frame: number, crcSeed: number, positionBase: number): number {
    const offset = this.offsets[frame] as number;
    const covered = this.bytes.subarray(offset + KERNEL_FRAME.length, offset + (this.lengths[frame] as number));
    return crc32(covered, (crcSeed ^ (positionBase + offset)) >>> 0);
  }
}

/** Hashing by hash-wasm and zlib. Rejects where there is no WebAssembly at all. */
export async function createPlainHashing(): Promise<Hashing> {
  // Only here: where the kernel works, nobody pays for loading the library.
  const { createBLAKE3 } = await import("hash-wasm");
  const hasher = await createBLAKE3();
  const blake3: Blake3 = (bytes) => hasher.init().update(bytes).digest("binary");
  return {
    name: "hash-wasm",
    createFrameKernel: (capacityBytes, frameCapacity) => new PlainFrameKernel(blake3, capacityBytes, frameCapacity),
    blake3: (bytes) => blake3(bytes).slice(),
  };
}
