/**
 * The host side of the WebAssembly kernel: one instance with a memory of its own per FrameKernel, all of one compiled module.
 *
 * Memory: page 0 belongs to the kernel (kernel/assembly/memory.ts); then the frame table, 24 bytes a row, column by column; then the frame
 * region up to the memory's end less SLACK_BYTES. The region grows by growing the memory. A table of more than ROWS_BEFORE_MOVING rows moves
 * the region when it grows.
 */
import { assert } from "../base/assert.ts";
import { StoreError } from "../base/store-error.ts";
import type { FrameKernel, FrameWalk, FrameWalker, EntryForm, EntryWalker, FrameForm, FrameTranslator, Hashing } from "./frame-kernel.ts";
import { ENTRY_RECORD } from "./entry-record.ts";
import { FRAME_RECORD } from "./frame-record.ts";
import { kernelBinary } from "./kernel-binary.ts";

const PAGE_BYTES = 65_536;
const TABLE_ADDRESS = PAGE_BYTES;
const ROW_BYTES = 24;
/** The table gets this long without the region having to move. */
const ROWS_BEFORE_MOVING = 4096;
/** The kernel reads whole blocks, so up to this much past a frame's end. */
const SLACK_BYTES = 64;
/** All that 32-bit addresses reach. */
const MEMORY_PAGES_MAX = 65_536;
/** How much of a long input is copied into the kernel's memory at a time: subtrees of 16 KiB, few enough to stay in the cache. */
const SUBTREE_BYTES = 16_384;
const WINDOW_BYTES = 4 * SUBTREE_BYTES;

/** What we use of WebAssembly; Node's types leave it to the DOM's. */
interface WasmMemory {
  readonly buffer: ArrayBuffer;
  grow(pages: number): number;
}
interface WasmGlobal {
  readonly value: number;
}
interface WasmModule {
  readonly [Symbol.toStringTag]: string;
}
interface Wasm {
  Module: new (bytes: Uint8Array) => WasmModule;
  Instance: new (module: WasmModule, imports: object) => { readonly exports: unknown };
}

interface KernelExports {
  memory: WasmMemory;
  prepare(): void;
  layout(table: number, frameCapacity: number, region: number, regionBytes: number): void;
  seal(count: number, crcSeed: number, positionBase: number): number;
  check(count: number, crcSeed: number, positionBase: number, hashes: number): number;
  checkPlaced(count: number, crcSeed: number): number;
  walkFrames(at: number, limit: number, crcSeed: number, positionBase: number): 0 | 1 | 2;
  describeFrames(at: number, limit: number, recordsMax: number): number;
  /** What the last walk found. */
  readonly walkedTo: WasmGlobal;
  readonly commitsTo: WasmGlobal;
  readonly syncedTo: WasmGlobal;
  describeEntries(
    at: number,
    limit: number,
    origin: number,
    keys: number,
    entryBytesMax: number,
    records: number,
    recordsMax: number,
  ): number;
  translateFrames(count: number, forms: number, out: number, outEnd: number): void;
  hashStart(): void;
  hashSubtrees(from: number, count: number): void;
  hashFinish(from: number, byteCount: number, target: number): void;
}

function instantiate(wasm: Wasm, module: WasmModule): KernelExports {
  const exports = new wasm.Instance(module, {}).exports as KernelExports;
  exports.prepare();
  return exports;
}

function growTo(memory: WasmMemory, byteCount: number): void {
  const missing = Math.ceil((byteCount - memory.buffer.byteLength) / PAGE_BYTES);
  if (missing <= 0) return;
  try {
    memory.grow(missing);
  } catch (cause) {
    const bytesMax = MEMORY_PAGES_MAX * PAGE_BYTES;
    const message = `Cannot grow the frame buffer: ${byteCount} bytes are not to be had, at most ${bytesMax} and what the machine gives`;
    throw new StoreError("TOO_LARGE", message, { what: "frame buffer", bytes: byteCount, bytesMax }, { cause });
  }
}

class WasmFrameKernel implements FrameKernel {
  bytes!: Uint8Array;
  view!: DataView;
  capacity = 0;
  offsets!: Uint32Array;
  lengths!: Uint32Array;
  links!: Int32Array;
  frameCapacity: number;
  readonly #exports: KernelExports;
  #region: number;

  constructor(exports: KernelExports, capacityBytes: number, frameCapacity: number) {
    this.#exports = exports;
    this.frameCapacity = frameCapacity;
    this.#region = regionAddress(frameCapacity);
    this.#place(capacityBytes);
  }

  reserve(capacityBytes: number): void {
    if (capacityBytes > this.capacity) this.#place(capacityBytes);
  }

  reserveFrames(count: number): void {
    if (count <= this.frameCapacity) return;
    const { offsets, lengths, links } = this;
    const rows = { offsets: offsets.slice(), lengths: lengths.slice(), links: links.slice() };
    const from = this.#region;
    const to = regionAddress(count);
    if (to !== from) {
      growTo(this.#exports.memory, to + this.capacity + SLACK_BYTES);
      new Uint8Array(this.#exports.memory.buffer).copyWithin(to, from, from + this.capacity);
    }
    this.frameCapacity = count;
    this.#region = to;
    this.#place(this.capacity);
    this.offsets.set(rows.offsets);
    this.lengths.set(rows.lengths);
    this.links.set(rows.links);
  }

  seal(count: number, crcSeed: number, positionBase: number): void {
    assert(count <= this.frameCapacity, "the frames to seal are in the table");
    assert(this.#exports.seal(count, crcSeed, positionBase) === 1, "frames lie in the region and link to earlier ones");
  }

  check(count: number, crcSeed: number, positionBase: number, hashes: boolean): number {
    assert(count <= this.frameCapacity, "the frames to check are in the table");
    const bad = this.#exports.check(count, crcSeed, positionBase, hashes ? 1 : 0);
    assert(bad >= -1, "frames lie in the region");
    return bad;
  }

  checkPlaced(count: number, crcSeed: number): number {
    assert(count <= this.frameCapacity, "the frames to check are in the table");
    const bad = this.#exports.checkPlaced(count, crcSeed);
    assert(bad >= -1, "frames lie in the region");
    return bad;
  }

  /** Makes room for a region of this size at its address, and the views over table and region afresh. */
  #place(capacityBytes: number): void {
    const { memory } = this.#exports;
    const region = this.#region;
    growTo(memory, region + capacityBytes + SLACK_BYTES);
    const rows = this.frameCapacity;
    const { buffer } = memory;
    this.capacity = buffer.byteLength - region - SLACK_BYTES;
    this.bytes = new Uint8Array(buffer, region, this.capacity);
    this.view = new DataView(buffer, region, this.capacity);
    this.offsets = new Uint32Array(buffer, TABLE_ADDRESS, rows);
    this.lengths = new Uint32Array(buffer, TABLE_ADDRESS + 4 * rows, rows);
    this.links = new Int32Array(buffer, TABLE_ADDRESS + 8 * rows, rows);
    this.#exports.layout(TABLE_ADDRESS, rows, region, this.capacity);
  }
}

/** The region starts on a cache line of its own, behind as many rows as most tables ever get: untouched, they cost addresses only. */
function regionAddress(frameCapacity: number): number {
  return Math.ceil((TABLE_ADDRESS + ROW_BYTES * Math.max(frameCapacity, ROWS_BEFORE_MOVING)) / 64) * 64;
}

const WALK_OUTCOMES = ["short", "bad", "sealed"] as const;
/** So many records lie in the place of the frame table, which has rows enough: with their frames, what a processor's cache holds. */
const RECORDS_MAX = 1024;
const RECORDS_ROWS = Math.ceil((RECORDS_MAX * FRAME_RECORD.words * 4) / ROW_BYTES);

class WasmFrameWalker implements FrameWalker {
  readonly region: FrameKernel;
  words!: Uint32Array;
  numbers!: Float64Array;
  readonly #exports: KernelExports;

  constructor(exports: KernelExports, capacityBytes: number) {
    this.#exports = exports;
    this.region = new WasmFrameKernel(exports, capacityBytes, RECORDS_ROWS);
  }

  walk(at: number, limit: number, crcSeed: number, positionBase: number): FrameWalk {
    const exports = this.#exports;
    assert(at >= 0 && at <= limit && limit <= this.region.capacity, "what is walked lies in the region");
    const outcome = WALK_OUTCOMES[exports.walkFrames(at, limit, crcSeed, positionBase)];
    // Globals of 32 bits are read as signed.
    const [goodEnd, commitEnd, provenSynced] = [exports.walkedTo, exports.commitsTo, exports.syncedTo].map(({ value }) => value >>> 0);
    return { goodEnd, commitEnd, provenSynced, outcome };
  }

  describe(at: number, limit: number): number {
    assert(at >= 0 && limit <= this.region.capacity, "what is described lies in the region");
    const count = this.#exports.describeFrames(at, limit, RECORDS_MAX);
    const { buffer } = this.#exports.memory;
    if (this.words?.buffer !== buffer) {
      this.words = new Uint32Array(buffer, TABLE_ADDRESS, RECORDS_MAX * FRAME_RECORD.words);
      this.numbers = new Float64Array(buffer, TABLE_ADDRESS, (RECORDS_MAX * FRAME_RECORD.words) / 2);
    }
    return count;
  }
}

/** So many entries are described in one call: their records stay in the processor's cache. */
const ENTRIES_MAX = 256;
/** The members of an entry; the kernel compares how their keys are written, and knows what comes behind each. */
const ENTRY_KEYS = 14;
const KEY_BYTES = 16;

/** Lays out texts to compare with, each of at most `width` bytes: zeros behind it and as many ones as it has bytes; and behind all, their lengths. */
function layTexts(buffer: ArrayBuffer, address: number, texts: readonly Uint8Array[], width: number): void {
  const table = new Uint8Array(buffer, address, texts.length * 2 * width);
  const lengths = new Uint32Array(buffer, address + table.length, texts.length);
  texts.forEach((text, index) => {
    assert(text.length <= width, "what is compared is short");
    table.set(text, index * 2 * width);
    table.fill(0xff, (index * 2 + 1) * width, (index * 2 + 1) * width + text.length);
    lengths[index] = text.length;
  });
}

function textsBytes(count: number, width: number): number {
  return Math.ceil((count * (2 * width + 4)) / 64) * 64;
}

/** Memory: the bytes that are walked, the keys, the records. */
class WasmEntryWalker implements EntryWalker {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly words: Int32Array;
  readonly numbers: Float64Array;
  readonly #exports: KernelExports;
  readonly #keys: number;
  readonly #records: number;
  readonly #entryBytesMax: number;

  constructor(exports: KernelExports, byteLength: number, { keys, bytesMax }: EntryForm) {
    this.#exports = exports;
    this.#entryBytesMax = bytesMax;
    this.#keys = Math.ceil((TABLE_ADDRESS + byteLength + SLACK_BYTES) / 64) * 64;
    this.#records = this.#keys + textsBytes(keys.length, KEY_BYTES);
    growTo(exports.memory, this.#records + ENTRIES_MAX * ENTRY_RECORD.words * 4);
    const { buffer } = exports.memory;
    this.bytes = new Uint8Array(buffer, TABLE_ADDRESS, byteLength);
    this.words = new Int32Array(buffer, this.#records, ENTRIES_MAX * ENTRY_RECORD.words);
    this.numbers = new Float64Array(buffer, this.#records, (ENTRIES_MAX * ENTRY_RECORD.words) / 2);
    assert(keys.length === ENTRY_KEYS, "the kernel knows what sort of value each key of an entry has");
    layTexts(buffer, this.#keys, keys, KEY_BYTES);
  }

  describe(at: number, limit: number, entriesMax: number): number {
    assert(at >= 0 && limit <= this.bytes.length, "the entries lie in the walker's memory");
    const [from, to] = [TABLE_ADDRESS + at, TABLE_ADDRESS + limit];
    const recordsMax = Math.min(entriesMax, ENTRIES_MAX);
    return this.#exports.describeEntries(from, to, TABLE_ADDRESS, this.#keys, this.#entryBytesMax, this.#records, recordsMax);
  }
}

/** The values of a frame; the kernel compares what stands between them. */
const FRAME_FORMS = 18;
const FORM_BYTES = 32;

/** Memory: the table and the frames of a kernel's; behind the frames as many bytes twice for what they are made, then what stands between their values. */
class WasmFrameTranslator implements FrameTranslator {
  readonly region: WasmFrameKernel;
  readonly blockBytes: number;
  readonly capacity: number;
  readonly translated: Uint32Array;
  readonly #exports: KernelExports;
  readonly #forms: number;
  readonly #out: number;

  constructor(exports: KernelExports, blockBytes: number, framesMax: number, { between }: FrameForm) {
    assert(between.length === FRAME_FORMS, "the kernel knows what sort of value each member of a frame has");
    this.#exports = exports;
    this.blockBytes = Math.ceil(blockBytes / 64) * 64;
    const gap = 4 * SLACK_BYTES;
    const capacity = 3 * (this.blockBytes + gap) + textsBytes(FRAME_FORMS, FORM_BYTES);
    this.region = new WasmFrameKernel(exports, capacity, framesMax);
    const { buffer, byteOffset } = this.region.bytes;
    this.capacity = exports.memory.buffer.byteLength;
    this.#out = byteOffset + this.blockBytes + gap;
    this.#forms = this.#out + 2 * (this.blockBytes + gap);
    layTexts(buffer as ArrayBuffer, this.#forms, between, FORM_BYTES);
    this.translated = new Uint32Array(buffer, TABLE_ADDRESS + 12 * framesMax, framesMax);
  }

  translate(count: number): void {
    const { offsets, lengths, frameCapacity } = this.region;
    assert(count <= frameCapacity, "the frames to translate are in the table");
    for (let frame = 0; frame < count; frame++) {
      assert(lengths[frame] === 0 || offsets[frame] + lengths[frame] <= this.blockBytes, "frames lie in the block");
    }
    this.#exports.translateFrames(count, this.#forms, this.#out, this.#forms - SLACK_BYTES);
  }
}

/** BLAKE3 of inputs of any length, through a window of the instance's memory. */
function createBlake3(exports: KernelExports): (bytes: Uint8Array) => Uint8Array {
  growTo(exports.memory, TABLE_ADDRESS + WINDOW_BYTES + SLACK_BYTES);
  const memory = new Uint8Array(exports.memory.buffer);
  return (bytes) => {
    exports.hashStart();
    let from = 0;
    // The last piece is never empty, and never more than a subtree.
    while (bytes.length - from > SUBTREE_BYTES) {
      const subtrees = Math.min(Math.ceil((bytes.length - from) / SUBTREE_BYTES) - 1, WINDOW_BYTES / SUBTREE_BYTES);
      memory.set(bytes.subarray(from, from + subtrees * SUBTREE_BYTES), TABLE_ADDRESS);
      exports.hashSubtrees(TABLE_ADDRESS, subtrees);
      from += subtrees * SUBTREE_BYTES;
    }
    memory.set(from === 0 ? bytes : bytes.subarray(from), TABLE_ADDRESS);
    exports.hashFinish(TABLE_ADDRESS, bytes.length - from, TABLE_ADDRESS);
    return memory.slice(TABLE_ADDRESS, TABLE_ADDRESS + 32);
  };
}

/** Hashing by the kernel, or null where the runtime does not compile it (no WebAssembly, or none with SIMD). `wasm` is for tests. */
export function createWasmHashing(wasm = (globalThis as { WebAssembly?: Wasm }).WebAssembly): Hashing | null {
  if (wasm === undefined) return null;
  let module: WasmModule;
  let hash: ReturnType<typeof createBlake3> | null = null;
  try {
    module = new wasm.Module(Buffer.from(kernelBinary, "base64"));
  } catch {
    return null;
  }
  return {
    name: "kernel",
    createFrameKernel: (capacityBytes, frameCapacity) => new WasmFrameKernel(instantiate(wasm, module), capacityBytes, frameCapacity),
    createFrameWalker: (capacityBytes) => new WasmFrameWalker(instantiate(wasm, module), capacityBytes),
    createEntryWalker: (byteLength, form) => new WasmEntryWalker(instantiate(wasm, module), byteLength, form),
    createFrameTranslator: (blockBytes, framesMax, form) => new WasmFrameTranslator(instantiate(wasm, module), blockBytes, framesMax, form),
    // Made when it is first needed: opening a store hashes nothing.
    blake3: (bytes) => (hash ??= createBlake3(instantiate(wasm, module)))(bytes),
  };
}
