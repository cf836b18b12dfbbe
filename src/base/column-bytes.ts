/**
 * Numeric columns as the little-endian bytes they have on disk, and back, by copying. Needs a little-endian machine, which every
 * platform that Node.js has prebuilt binaries for (but s390x) is; on any other it refuses at the first use.
 */
import { assert } from "./assert.ts";

type Column = Uint16Array | Uint32Array | Float64Array;

const littleEndian = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1;

/** The bytes of the first `count` elements of `column`: a view, valid while its owner leaves the column alone. */
export function bytesOfColumn(column: Column, count: number): Uint8Array {
  assert(littleEndian, "columns are stored on little-endian machines");
  assert(count <= column.length, "a column has as many elements as are asked for");
  return new Uint8Array(column.buffer, column.byteOffset, count * column.BYTES_PER_ELEMENT);
}

interface ColumnKind<Kind> {
  new (length: number): Kind;
  new (buffer: ArrayBufferLike, byteOffset: number, length: number): Kind;
  readonly BYTES_PER_ELEMENT: number;
}

/** The elements that `source` holds, where they lie if they are aligned there, else copied; null when they are not `count`. */
export function columnOfBytes<Kind extends Column>(Kind: ColumnKind<Kind>, source: Uint8Array, count: number): Kind | null {
  assert(littleEndian, "columns are stored on little-endian machines");
  if (source.length !== count * Kind.BYTES_PER_ELEMENT) return null;
  if (source.byteOffset % Kind.BYTES_PER_ELEMENT === 0) return new Kind(source.buffer, source.byteOffset, count);
  const copy = new Kind(count);
  columnFromBytes(copy, source, count);
  return copy;
}

/** A column of `length` elements that begins with those of `column`, zeros behind. */
export function grownColumn(column: Uint32Array, length: number): Uint32Array<ArrayBuffer> {
  return startedWith(new Uint32Array(length), column);
}

/** `longer`, which begins with the elements of `column` now. */
export function startedWith<Source, Longer extends { set(column: Source): void }>(longer: Longer, column: Source): Longer {
  longer.set(column);
  return longer;
}

/** Copies `source` (any alignment) to the start of `column`. False, and nothing copied, unless it is `count` elements that fit. */
export function columnFromBytes(column: Column, source: Uint8Array, count: number): boolean {
  if (source.length !== count * column.BYTES_PER_ELEMENT || count > column.length) return false;
  bytesOfColumn(column, count).set(source);
  return true;
}
