/** Bytes as lower-case hex digits, and back. */

/** `length` bytes of `bytes` from `offset`, as `2 × length` lower-case hex digits. */
export function toHex(bytes: Uint8Array, offset = 0, length = bytes.length - offset): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset + offset, length).toString("hex");
}

/** The bytes that `text` names; null unless it is exactly `byteLength` bytes of hex digits. */
export function fromHex(text: string, byteLength: number): Uint8Array | null {
  if (text.length !== byteLength * 2 || !/^[0-9a-fA-F]*$/.test(text)) return null;
  return Uint8Array.from(Buffer.from(text, "hex"));
}

/** Whether `length` bytes at the two places are the same. */
export function sameBytes(a: Uint8Array, aOffset: number, b: Uint8Array, bOffset: number, length: number): boolean {
  for (let i = 0; i < length; i++) if (a[aOffset + i] !== b[bOffset + i]) return false;
  return true;
}
