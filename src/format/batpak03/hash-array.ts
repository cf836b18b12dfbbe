/**
 * 32-byte hashes as this layout writes them: an array16 of 32 integers, one byte below 0x80, `cc XX` from there on. So a hash takes 35 to
 * 67 bytes, and its end is known only by walking it. The walk is free of branches: half of all bytes go either way.
 */
import type { ByteSink } from "../../base/byte-sink.ts";
import type { MsgpackReader } from "../../base/msgpack.ts";
import { fail } from "../../base/msgpack.ts";
import { HASH_BYTES } from "./layout.ts";

/** The integers of a hash, and with the tag before them. */
export const HASH_INTEGERS_BYTES_MAX = HASH_BYTES * 2;
export const HASH_ARRAY_BYTES_MAX = 3 + HASH_INTEGERS_BYTES_MAX;

/** Moves over a hash and returns where its first integer stands; `expandHash` turns it into 32 bytes. */
export function readHashSpan(reader: MsgpackReader): number {
  if (reader.fault !== null) return 0;
  const { bytes, limit } = reader;
  const start = reader.position + 3;
  if (start + HASH_BYTES > limit) return fail(reader, "the bytes end inside a hash", true);
  if (bytes[start - 3] !== 0xdc || bytes[start - 2] !== 0 || bytes[start - 1] !== HASH_BYTES)
    return fail(reader, "a hash of 32 integers is expected");
  let at = start;
  let wrong = 0;
  // Reading past `limit` inside the loop is harmless (a typed array gives undefined, which becomes 0); the check below tells it.
  for (let index = 0; index < HASH_BYTES; index++) {
    const tag = bytes[at];
    const wide = tag >> 7;
    wrong |= (tag ^ 0xcc) & -wide;
    at += 1 + wide;
  }
  if (at > limit) return fail(reader, "the bytes end inside a hash", true);
  if (wrong !== 0) return fail(reader, "a hash holds something that is no byte");
  reader.position = at;
  return start;
}

/** Writes the 32 bytes of the hash whose integers begin at `start` (from `readHashSpan`) to `target` at `offset`. */
export function expandHash(bytes: Uint8Array, start: number, target: Uint8Array, offset: number): void {
  let at = start;
  for (let index = 0; index < HASH_BYTES; index++) {
    at += bytes[at] >> 7;
    target[offset + index] = bytes[at++];
  }
}

/** Whether the hash whose integers begin at `start` is `hash[offset, offset + 32)`. */
export function hashEquals(bytes: Uint8Array, start: number, hash: Uint8Array, offset = 0): boolean {
  let at = start;
  for (let index = 0; index < HASH_BYTES; index++) {
    at += bytes[at] >> 7;
    if (bytes[at++] !== hash[offset + index]) return false;
  }
  return true;
}

/** Whether two hashes are the same, whose integers begin at `start` and `otherStart`. */
export function sameHashes(bytes: Uint8Array, start: number, other: Uint8Array, otherStart: number): boolean {
  let [at, otherAt] = [start, otherStart];
  for (let index = 0; index < HASH_BYTES; index++) {
    at += bytes[at] >> 7;
    otherAt += other[otherAt] >> 7;
    if (bytes[at++] !== other[otherAt++]) return false;
  }
  return true;
}

/** Writes 32 bytes as an array of integers; the room must be there. */
export function writeHashArray(sink: ByteSink, hash: Uint8Array): void {
  const { bytes, position: at } = sink;
  bytes[at] = 0xdc;
  bytes[at + 1] = 0;
  bytes[at + 2] = HASH_BYTES;
  sink.position = at + 3;
  writeByteIntegers(sink, hash);
}

/** Writes each byte as an integer in its shortest form; room for twice their number must be there. */
export function writeByteIntegers(sink: ByteSink, source: Uint8Array): void {
  const { bytes } = sink;
  let at = sink.position;
  for (let index = 0; index < source.length; index++) {
    const byte = source[index];
    if (byte >= 0x80) bytes[at++] = 0xcc;
    bytes[at++] = byte;
  }
  sink.position = at;
}
