/**
 * Short fingerprints of 128-bit ids: what the index keeps in place of the ids themselves. Never 0, which stands for "no id".
 * Candidates found by a tag are always checked against the id in the frame.
 */

const ID_BYTES = 16;
const viewed = new Uint8Array(new ArrayBuffer(ID_BYTES));
const viewOfViewed = new DataView(viewed.buffer);

/** A view of an id's 16 bytes, good until the next call. (A DataView of a small array of its own makes the engine move that out of its heap.) */
export function viewOfId(id: Uint8Array): DataView {
  for (let i = 0; i < ID_BYTES; i++) viewed[i] = id[i];
  return viewOfViewed;
}

/** A 32-bit tag of the 16 bytes at `offset`. */
export function idTag(view: DataView, offset: number): number {
  let hash = Math.imul(view.getUint32(offset, true), 0x9e3779b1) ^ Math.imul(view.getUint32(offset + 4, true), 0x85ebca77);
  hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d);
  hash ^= Math.imul(view.getUint32(offset + 8, true), 0xc2b2ae3d) ^ Math.imul(view.getUint32(offset + 12, true), 0x27d4eb2f);
  hash = Math.imul(hash ^ (hash >>> 13), 0x297a2d39);
  hash = (hash ^ (hash >>> 16)) >>> 0;
  return hash === 0 ? 1 : hash;
}

/** A second tag, independent of the first, for filters. */
export function idTag2(view: DataView, offset: number): number {
  let hash = Math.imul(view.getUint32(offset + 12, true), 0x7feb352d) ^ Math.imul(view.getUint32(offset + 8, true), 0x846ca68b);
  hash = Math.imul(hash ^ (hash >>> 16), 0x45d9f3b3);
  hash ^= Math.imul(view.getUint32(offset + 4, true), 0x68e31da4) ^ Math.imul(view.getUint32(offset, true), 0xb5297a4d);
  hash = Math.imul(hash ^ (hash >>> 15), 0x1b56c4e9);
  return (hash ^ (hash >>> 14)) >>> 0;
}
