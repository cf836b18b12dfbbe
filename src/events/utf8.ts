/** Small questions about UTF-8 that come up wherever text is measured before it is stored. */

interface WellFormedness {
  isWellFormed(): boolean;
}

/** Whether `text` has no lone surrogate, so that UTF-8 can carry it there and back. */
export function isWellFormed(text: string): boolean {
  return (text as unknown as WellFormedness).isWellFormed();
}

/** How many bytes `text` takes as UTF-8; -1 when it holds a lone surrogate. For short text: one pass in JavaScript. */
export function utf8Length(text: string): number {
  let bytes = text.length;
  for (let index = 0; index < text.length; index++) {
    const unit = text.charCodeAt(index);
    if (unit < 0x80) continue;
    if (unit < 0x800) bytes += 1;
    else if (unit < 0xd800 || unit > 0xdfff) bytes += 2;
    else {
      const next = unit < 0xdc00 ? text.charCodeAt(index + 1) : 0; // NaN past the end
      if (!(next >= 0xdc00 && next <= 0xdfff)) return -1;
      bytes += 2; // four bytes for two units
      index++;
    }
  }
  return bytes;
}

const encoder = new TextEncoder();

/** The UTF-8 bytes of `text`, in memory of their own. */
export function utf8(text: string): Uint8Array {
  return encoder.encode(text);
}

/** Writes well-formed text, for which there is room, at `at`; returns where it ends. Text that is ASCII, as most is, takes no call into the runtime. */
export function writeUtf8(bytes: Uint8Array, at: number, text: string): number {
  const { length } = text;
  for (let i = 0; i < length; i++) {
    const unit = text.charCodeAt(i);
    if (unit > 0x7f) return at + encoder.encodeInto(text, bytes.subarray(at)).written;
    bytes[at + i] = unit;
  }
  return at + length;
}
