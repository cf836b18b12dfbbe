/** Changes bytes the way broken media, bugs and enemies do. Repeatable: all choices come from the generator that is given. */

const NUMBERS = [0, 1, 2, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0xffff, 0x10000, 0x3fff_ffff, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff];
const WIDE_NUMBERS = [0n, 1n, 2n ** 31n, 2n ** 32n, 2n ** 53n - 1n, 2n ** 53n, 2n ** 63n - 1n, 2n ** 63n, 2n ** 64n - 1n];
/** Tags of MessagePack that promise much, and what JSON is made of. */
const BYTES = [
  0x00, 0xff, 0x80, 0x8f, 0x90, 0x9f, 0xc0, 0xc1, 0xc4, 0xc6, 0xc7, 0xc9, 0xcb, 0xcf, 0xd3, 0xd6, 0xd8, 0xdb, 0xdc, 0xdd, 0xde, 0xdf,
];
const TEXTS = [
  '"',
  "{",
  "}",
  "[",
  "]",
  ",",
  ":",
  "\\",
  "\\u0000",
  "\\ud800",
  "$",
  '"$date":',
  '"$bytes":',
  '"$number":',
  "1e400",
  "-0",
  "..",
  "99999999999999999999",
  "__proto__",
];

export type Random = () => number;

export function below(random: Random, limit: number): number {
  return Math.floor(random() * limit);
}

export function pick<Item>(random: Random, items: readonly Item[]): Item {
  return items[below(random, items.length)];
}

/** A changed copy; sometimes unchanged. `corpus` gives what is spliced in. */
export function mutate(random: Random, original: Uint8Array, corpus: readonly Uint8Array[]): Uint8Array {
  let bytes = Uint8Array.from(original);
  const changes = below(random, 5);
  for (let change = 0; change < changes; change++) bytes = changeOnce(random, bytes, corpus);
  return bytes;
}

function changeOnce(random: Random, bytes: Uint8Array<ArrayBuffer>, corpus: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  if (bytes.length === 0) return Uint8Array.of(below(random, 256));
  const at = below(random, bytes.length);
  switch (below(random, 10)) {
    case 0:
    case 1:
      bytes[at] ^= 1 << below(random, 8);
      return bytes;
    case 2:
      bytes[at] = below(random, 256);
      return bytes;
    case 3:
      bytes[at] = pick(random, BYTES);
      return bytes;
    case 4:
    case 5:
      return setNumber(random, bytes);
    case 6:
      return bytes.slice(0, at);
    case 7: {
      const other = pick(random, corpus);
      const from = below(random, other.length + 1);
      return joined(bytes.subarray(0, at), other.subarray(from, from + below(random, 200)), bytes.subarray(at + below(random, 50)));
    }
    case 8:
      bytes.copyWithin(at, below(random, bytes.length), below(random, bytes.length) + 40);
      return bytes;
    default:
      return joined(bytes.subarray(0, at), new TextEncoder().encode(pick(random, TEXTS)), bytes.subarray(at));
  }
}

function setNumber(random: Random, bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  const width = pick(random, [2, 4, 4, 8]);
  if (bytes.length < width) return bytes;
  const view = new DataView(bytes.buffer);
  // Lengths and counts stand early.
  const at = below(random, random() < 0.5 ? Math.min(160, bytes.length - width + 1) : bytes.length - width + 1);
  const little = random() < 0.5;
  if (width === 8) view.setBigUint64(at, pick(random, WIDE_NUMBERS), little);
  else if (width === 4) {
    const number = random() < 0.3 ? view.getUint32(at, little) + below(random, 5) - 2 : pick(random, NUMBERS);
    view.setUint32(at, number >>> 0, little);
  } else view.setUint16(at, pick(random, NUMBERS) & 0xffff, little);
  return bytes;
}

export function joined(...pieces: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    bytes.set(piece, at);
    at += piece.length;
  }
  return bytes;
}
