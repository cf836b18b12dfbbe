/**
 * The 32-bit hash of a name (entity or scope) that index blocks sort by and the interner's table probes by. Part of the block format:
 * FNV-1a over the UTF-8 bytes, then the finalizer of MurmurHash3, which spreads it over all bits.
 */
export function nameHash(bytes: Uint8Array, start: number, end: number): number {
  let hash = 0x811c9dc5;
  for (let at = start; at < end; at++) hash = Math.imul(hash ^ bytes[at]!, 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
