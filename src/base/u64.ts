/** Unsigned 64-bit integers on disk, safe integers in memory. */
import { assert } from "./assert.ts";

const TWO_32 = 0x1_0000_0000;

/** Writes a safe non-negative integer as u64, little-endian. */
export function setUint64(view: DataView, offset: number, value: number): void {
  view.setUint32(offset, value >>> 0, true);
  view.setUint32(offset + 4, (value / TWO_32) >>> 0, true);
}

/** Reads a u64, little-endian; beyond the safe integers it gives a number that `Number.isSafeInteger` refuses. */
export function getUint64(view: DataView, offset: number): number {
  return view.getUint32(offset + 4, true) * TWO_32 + view.getUint32(offset, true);
}

/** The view's own bytes from `offset`, as an integer that must be safe. */
export function getSafeUint64(view: DataView, offset: number): number {
  const value = getUint64(view, offset);
  assert(Number.isSafeInteger(value), `the u64 at ${offset} is beyond the safe integers`);
  return value;
}
