/**
 * Hashing and checksumming frames where they lie: one call for a whole group of frames. Behind it stands a WebAssembly kernel of ours
 * (kernel/assembly) or, where the runtime lacks WebAssembly SIMD, hash-wasm and zlib with the same results.
 *
 * The hashing in use is chosen once per process. The kernel is compiled synchronously at its first use; the fallback needs `loadHashing`
 * to have been awaited, so every door into the package awaits it.
 */
import { StoreError } from "../base/store-error.ts";
import { createPlainHashing } from "./plain-kernel.ts";
import { createWasmHashing } from "./wasm-kernel.ts";

/** A region of memory for frames. `bytes` and `view` are replaced by `reserve`: read them afresh after it. */
export interface FrameRegion {
  bytes: Uint8Array;
  view: DataView;
  /** Length of the region in bytes. */
  capacity: number;
  /** Makes the region at least this large, keeping its content. Memory is not resident until it is touched. */
  reserve(capacityBytes: number): void;
}

/**
 * A region to encode frames in, a table that says where they are, and the operations on them. Owned by whoever created it; views into the
 * region never escape to users. Everything is replaced by `reserveFrames`: read it afresh after it.
 */
export interface FrameKernel extends FrameRegion {
  /** The table of frames, in order: offset in the region, length in bytes … */
  offsets: Uint32Array;
  lengths: Uint32Array;
  /** … and the earlier frame of this table whose hash is this frame's previous hash, or -1 when that one is written already. */
  links: Int32Array;
  /** Rows of the table. */
  frameCapacity: number;
  /** Makes the table at least this long, keeping its content and the region's. Past 4,096 it moves the region. */
  reserveFrames(count: number): void;

  /**
   * For frames [0, count): copies linked previous hashes, writes BLAKE3(body) at the frame's end, then at its byte 0 the CRC-32 of the bytes
   * from 4 to its end with the initial value `(crcSeed ^ (positionBase + offset)) >>> 0`, as zlib's `crc32(data, initial)` has it.
   * A frame outside the region or shorter than a frame can be, and a link to the frame itself or a later one, are broken invariants.
   */
  seal(count: number, crcSeed: number, positionBase: number): void;

  /**
   * Index of the first of the frames [0, count) whose CRC or, with `hashes`, whose hash is wrong; -1 when all are right. Links are not
   * looked at. Changes nothing. Lengths that come from a file are the caller's to check: a frame outside the region is a broken invariant.
   */
  check(count: number, crcSeed: number, positionBase: number, hashes: boolean): number;

  /**
   * Index of the first of the frames [0, count) whose CRC is wrong, for frames brought together from places of their own: `links[frame]` is the
   * position (its lower 32 bits) that counts in place of `positionBase + offset`. -1 when all are right.
   */
  checkPlaced(count: number, crcSeed: number): number;
}

/** What a walk over frames found, as offsets in their region. */
export interface FrameWalk {
  /** After the last right frame. */
  readonly goodEnd: number;
  /** After the last marked frame: what is before it is whole commits. */
  readonly commitEnd: number;
  /** The furthest offset in the segment up to which a frame that was walked says it was synced. */
  readonly provenSynced: number;
  /** Why it ended: a frame needs more bytes than there are, what is at `goodEnd` is no frame, the last frame is a marked seal. */
  readonly outcome: "short" | "bad" | "sealed";
}

/** Walks frames of a segment that lie in its region, one after the other, and describes them. */
export interface FrameWalker {
  readonly region: FrameRegion;
  /** Walks the right frames in `[at, limit)` of the region, up to a marked seal. `positionBase` and `at` make a frame's offset in the segment. */
  walk(at: number, limit: number, crcSeed: number, positionBase: number): FrameWalk;
  /** Writes a record (`FRAME_RECORD`) of each of the frames in `[at, limit)`, which were found right, as far as there is room; returns how many. */
  describe(at: number, limit: number): number;
  /** The records, as words and as numbers; read afresh after each `describe`. */
  readonly words: Uint32Array;
  readonly numbers: Float64Array;
}

/** How the entries of a batpak 0.3 checkpoint are written that a walker understands. */
export interface EntryForm {
  /** The 14 keys in their order, as MessagePack writes them, of at most 16 bytes; what sort of value each has the kernel knows. */
  readonly keys: readonly Uint8Array[];
  /** No such entry is longer. */
  readonly bytesMax: number;
}

/** Describes entries of a batpak 0.3 checkpoint that lie in its memory. */
export interface EntryWalker {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /**
   * Writes a record (`ENTRY_RECORD`) of each of the entries from `at` on, at most `entriesMax`, as far as there is room and they are of the
   * usual form, with the `bytesMax` of a longest one before `limit`; returns how many.
   */
  describe(at: number, limit: number, entriesMax: number): number;
  /** The records, as words and as numbers. */
  readonly words: Int32Array;
  readonly numbers: Float64Array;
}

/** How the frames of batpak 0.3 are written that a translator understands. */
export interface FrameForm {
  /** What stands between the 18 values of a frame, in their order, of at most 32 bytes; what sort of value comes behind each the kernel knows. */
  readonly between: readonly Uint8Array[];
}

/** Makes frames of batpak 0.3 that lie in its memory native ones, beside them. */
export interface FrameTranslator {
  /** Where frames are read to, up to `blockBytes`, and the table of them; behind that stands what they are made. */
  readonly region: FrameKernel;
  readonly blockBytes: number;
  /** How much memory it holds. */
  readonly capacity: number;
  /**
   * Makes each of the frames [0, count) of the table that is whole, right (its CRC, and that its payload hashes to the event's hash) and written in the
   * usual form a native one: at offset `links[frame]` of the region, `translated[frame]` bytes long. 0 stands for all others, for those of no length, and
   * for what there is no room for, where frames overlap.
   */
  translate(count: number): void;
  readonly translated: Uint32Array;
}

/** One way of hashing. */
export interface Hashing {
  readonly name: "kernel" | "hash-wasm";
  createFrameKernel(capacityBytes: number, frameCapacity: number): FrameKernel;
  /** Left out where nothing is faster than a loop. */
  createFrameWalker?(capacityBytes: number): FrameWalker;
  /** Left out where nothing is faster than a loop. */
  createEntryWalker?(byteLength: number, form: EntryForm): EntryWalker;
  /** Left out where nothing is faster than a loop. */
  createFrameTranslator?(blockBytes: number, framesMax: number, form: FrameForm): FrameTranslator;
  blake3(bytes: Uint8Array): Uint8Array;
}

let chosen: Hashing | null = null;
let loading: Promise<Hashing> | null = null;

/** The kernel where `makeKernel` finds that it works, else the fallback. Rejects with `UNSUPPORTED_RUNTIME` when neither does. */
export async function chooseHashing(makeKernel: () => Hashing | null, makeFallback: () => Promise<Hashing>): Promise<Hashing> {
  const kernel = makeKernel();
  if (kernel !== null) return kernel;
  try {
    return await makeFallback();
  } catch (cause) {
    const reason = "WebAssembly is not available";
    throw new StoreError("UNSUPPORTED_RUNTIME", `Cannot hash: ${reason}, batpak needs it for BLAKE3`, { reason }, { cause });
  }
}

/**
 * Makes sure that `createFrameKernel` and `blake3` work, and says by what. Resolves at once when the kernel does; rejects with
 * `UNSUPPORTED_RUNTIME` in a runtime without any WebAssembly.
 *
 * @example
 * await loadHashing();
 * blake3(new Uint8Array(0));
 */
export async function loadHashing(): Promise<"kernel" | "hash-wasm"> {
  loading ??= chooseHashing(() => createWasmHashing(), createPlainHashing);
  chosen ??= await loading;
  return chosen.name;
}

function hashing(): Hashing {
  chosen ??= createWasmHashing();
  if (chosen !== null) return chosen;
  const reason = "the fallback for runtimes without WebAssembly SIMD is not loaded";
  throw new StoreError("UNSUPPORTED_RUNTIME", `Cannot hash: ${reason}, await loadHashing() first`, { reason });
}

/**
 * A kernel with memory of its own: a region of at least `capacityBytes` and a table of `frameCapacity` rows (24 bytes each). Making one
 * takes about 0.1 ms. Begin with a small region (1 MiB): memory that is not resident counts for the garbage collector all the same.
 *
 * @example
 * const kernel = createFrameKernel(1 << 20, 4096);
 * kernel.offsets[0] = 0;
 * kernel.lengths[0] = encodeFrame(kernel.bytes);
 * kernel.links[0] = -1;
 * kernel.seal(1, segmentSeed, fileOffset);
 */
export function createFrameKernel(capacityBytes: number, frameCapacity: number): FrameKernel {
  return hashing().createFrameKernel(capacityBytes, frameCapacity);
}

/** A walker with a region of at least so many bytes; null where nothing is faster than a loop. */
export function createFrameWalker(capacityBytes: number): FrameWalker | null {
  return hashing().createFrameWalker?.(capacityBytes) ?? null;
}

/** A walker with so many bytes of memory; null where nothing is faster than a loop, or the memory cannot be had. */
export function createEntryWalker(byteLength: number, form: EntryForm): EntryWalker | null {
  return ifToBeHad(() => hashing().createEntryWalker?.(byteLength, form));
}

/** A translator of up to `framesMax` frames in so many bytes at once; null where nothing is faster than a loop, or the memory cannot be had. */
export function createFrameTranslator(blockBytes: number, framesMax: number, form: FrameForm): FrameTranslator | null {
  return ifToBeHad(() => hashing().createFrameTranslator?.(blockBytes, framesMax, form));
}

function ifToBeHad<Item>(make: () => Item | undefined): Item | null {
  try {
    return make() ?? null;
  } catch {
    // A WebAssembly memory takes gigabytes of addresses, whatever its size. Who only reads can do without.
    return null;
  }
}

/** BLAKE3 of any number of bytes: 32 bytes in a fresh array. */
export function blake3(bytes: Uint8Array): Uint8Array {
  return hashing().blake3(bytes);
}
