/** Decoding short names quickly. */

interface Utf8Slicing {
  readonly utf8Slice: (this: Uint8Array, start: number, end: number) => string;
}

const { utf8Slice } = Buffer.prototype as unknown as Utf8Slicing;

const SHORT_BYTES = 24;

/** The text of `bytes[start, end)`, which is UTF-8. ASCII of a few bytes is decoded here: cheaper than a call into the runtime. */
export function decodeUtf8(bytes: Uint8Array, start: number, end: number): string {
  if (end - start <= SHORT_BYTES) {
    let text = "";
    let at = start;
    for (; at < end && bytes[at] < 0x80; at++) text += String.fromCharCode(bytes[at]);
    if (at === end) return text;
  }
  return utf8Slice.call(bytes, start, end);
}
