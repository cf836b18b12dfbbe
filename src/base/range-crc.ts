/**
 * CRC-32 of any range of some bytes, in a time that hardly depends on its length: for whoever must try many ranges that overlap.
 *
 * Without the complements at both ends a CRC is linear over GF(2), and a byte of zeros is a linear step of its register. So a range's register is
 * that at its end, less that at its beginning moved on by as many zeros as the range is long; the moves by powers of two stand in tables. See
 * Ross N. Williams, "A Painless Guide to CRC Error Detection Algorithms" (1993), and `crc32_combine` of zlib.
 */
import { assert } from "./assert.ts";

const POLYNOMIAL = 0xedb8_8320;
/** A register is kept for every so many bytes. */
const STRIDE_SHIFT = 6;
const STRIDES_PER_STEP = 8192;
/** Ranges are shorter than two to this power. */
const LENGTH_BITS = 31;

/** By byte: the register after it, beginning at 0. */
const STEP = Uint32Array.from({ length: 256 }, (_, byte) => {
  let register = byte;
  for (let bit = 0; bit < 8; bit++) register = (register & 1) === 0 ? register >>> 1 : (register >>> 1) ^ POLYNOMIAL;
  return register;
});

/** By power of two: what so many zero bytes make of a register, by each of its four bytes. Made with the first use. */
let moves: Uint32Array[] | null = null;

function makeMoves(): Uint32Array[] {
  const single = new Uint32Array(1024);
  for (let i = 0; i < 1024; i++) {
    const register = ((i & 255) << ((i >>> 8) * 8)) >>> 0;
    single[i] = (register >>> 8) ^ STEP[register & 255];
  }
  const tables = [single];
  while (tables.length < LENGTH_BITS) {
    const half = tables[tables.length - 1];
    tables.push(half.map((register) => move(half, register)));
  }
  return tables;
}

function move(table: Uint32Array, register: number): number {
  return (
    table[register & 255] ^ table[256 + ((register >>> 8) & 255)] ^ table[512 + ((register >>> 16) & 255)] ^ table[768 + (register >>> 24)]
  );
}

export class RangeCrc {
  readonly #bytes: Uint8Array;
  /** The register at each multiple of the stride, beginning at 0. */
  readonly #registers: Uint32Array;
  readonly #moves: readonly Uint32Array[];

  /** `bytes` are fewer than 2 GiB. */
  constructor(bytes: Uint8Array, isMade = true) {
    assert(bytes.length < 2 ** 31, "sums of ranges are made of less than 2 GiB");
    moves ??= makeMoves();
    this.#moves = moves;
    this.#bytes = bytes;
    this.#registers = new Uint32Array((bytes.length >>> STRIDE_SHIFT) + 1);
    if (isMade) this.#make(1, this.#registers.length);
  }

  /** The same, made in steps of a millisecond. */
  static *inSteps(bytes: Uint8Array): Generator<undefined, RangeCrc> {
    const ranges = new RangeCrc(bytes, false);
    const count = ranges.#registers.length;
    for (let from = 1; from < count; from += STRIDES_PER_STEP) {
      ranges.#make(from, Math.min(from + STRIDES_PER_STEP, count));
      yield;
    }
    return ranges;
  }

  #make(from: number, to: number): void {
    for (let i = from; i < to; i++)
      this.#registers[i] = steps(this.#registers[i - 1], this.#bytes, (i - 1) << STRIDE_SHIFT, i << STRIDE_SHIFT);
  }

  /** What zlib's `crc32(bytes.subarray(from, to), initial)` gives. */
  of(from: number, to: number, initial: number): number {
    let register = this.#registerAt(from) ^ ~initial;
    for (let left = to - from, power = 0; left !== 0; left >>>= 1, power++) {
      if ((left & 1) !== 0) register = move(this.#moves[power], register);
    }
    return ~(register ^ this.#registerAt(to)) >>> 0;
  }

  #registerAt(at: number): number {
    const stride = at >>> STRIDE_SHIFT;
    return steps(this.#registers[stride], this.#bytes, stride << STRIDE_SHIFT, at);
  }
}

function steps(initial: number, bytes: Uint8Array, from: number, to: number): number {
  let register = initial;
  for (let i = from; i < to; i++) register = (register >>> 8) ^ STEP[(register ^ bytes[i]) & 255];
  return register;
}
