/** Decoding short texts quickly. */
import { utf8Slice } from "./buffer-slices.ts";

/** Up to so many characters a loop is cheaper than a call into the runtime. */
const SHORT_BYTES_MAX = 24;

/** For each length a list to gather characters in: what one call makes of them is flat, where joining would make a rope. */
const characters: readonly number[][] = Array.from({ length: SHORT_BYTES_MAX + 1 }, (_, length) => Array.from({ length }, () => 0));

/** The text of `bytes[start, end)` where that is ASCII and short; null where it is not. */
export function decodeShortAscii(bytes: Uint8Array, start: number, end: number): string | null {
  const length = end - start;
  if (length > SHORT_BYTES_MAX) return null;
  const list = characters[length];
  let united = 0;
  for (let index = 0; index < length; index++) {
    const character = bytes[start + index];
    united |= character;
    list[index] = character;
  }
  return united < 0x80 ? String.fromCharCode.apply(null, list) : null;
}

/** The text of `bytes[start, end)`, which is UTF-8. */
export function decodeUtf8(bytes: Uint8Array, start: number, end: number): string {
  return decodeShortAscii(bytes, start, end) ?? utf8Slice(bytes, start, end);
}
