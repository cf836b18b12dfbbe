/** Unsigned 64-bit integers on disk, safe integers in memory. */
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
