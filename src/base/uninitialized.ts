/**
 * Memory that is not zeroed first. A plain `Uint8Array`, never a `Buffer`: `slice` of a `Buffer` is a view, which is how a view of shared
 * memory escapes unseen.
 */
export function uninitializedBytes(byteLength: number): Uint8Array<ArrayBuffer> {
  const buffer = Buffer.allocUnsafeSlow(byteLength);
  return new Uint8Array(buffer.buffer as ArrayBuffer, buffer.byteOffset, byteLength);
}
