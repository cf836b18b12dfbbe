/**
 * Writes a version 2 checkpoint in chunks, whatever its size. The CRC stands before what it covers, so the first chunk holds a placeholder;
 * `finish` returns the true prefix, which the caller writes over the file's first 12 bytes before it syncs and renames the file.
 */
import { crc32 } from "node:zlib";
import { assert } from "../../base/assert.ts";
import { GrowingSink } from "../../base/byte-sink.ts";
import {
  ARRAY_HEADER_BYTES_MAX,
  INTEGER_BYTES_MAX,
  makeRoom,
  stringBytesMax,
  writeArrayHeader,
  writeBinary8,
  writeInteger,
  writeNil,
  writeString,
} from "../../base/msgpack.ts";
import type { CheckpointEntryFields, CheckpointHead } from "./checkpoint.ts";
import { encodeCheckpointPrefix } from "./checkpoint.ts";
import { HASH_ARRAY_BYTES_MAX, writeHashArray } from "./hash-array.ts";
import { writeKey, writeMapOf } from "./key-table.ts";
import { CHECKPOINT_ENTRY_KEYS, CHECKPOINT_KEYS, CHECKPOINT_PREFIX, ID_BYTES } from "./layout.ts";

const ENTRY_BYTES_MAX = CHECKPOINT_ENTRY_KEYS.bytesMax + 3 * (2 + ID_BYTES) + 9 * INTEGER_BYTES_MAX + 2 * HASH_ARRAY_BYTES_MAX;
const CHUNK_BYTES = 1 << 20;

/**
 * Push exactly `stringCount` strings, then exactly `entryCount` entries in sequence order, and take chunks in between.
 *
 *   const encoder = new CheckpointEncoder(head, strings.length, entryCount);
 *   for (…) encoder.pushString(text);
 *   for (…) { encoder.push(entry); if (encoder.chunkReady) await write(encoder.takeChunk()); }
 *   await write(encoder.takeChunk());
 *   await writeAt(0, encoder.finish());
 */
export class CheckpointEncoder {
  #sink = new GrowingSink(CHUNK_BYTES + ENTRY_BYTES_MAX);
  #crc = 0;
  #stringsLeft: number;
  #entriesLeft: number;
  /** The first chunk begins with the prefix, which the CRC does not cover. */
  #uncovered: number = CHECKPOINT_PREFIX.body;

  /** @param stringCount one at least: the first is "" */
  constructor(head: CheckpointHead, stringCount: number, entryCount: number) {
    this.#stringsLeft = stringCount;
    this.#entriesLeft = entryCount;
    const sink = this.#sink;
    sink.position = CHECKPOINT_PREFIX.body;
    writeMapOf(sink, CHECKPOINT_KEYS);
    const numbers = [head.globalSequence, head.watermarkSegmentId, head.watermarkOffset];
    for (let index = 0; index < numbers.length; index++) {
      writeKey(sink, CHECKPOINT_KEYS, index);
      writeInteger(sink, numbers[index]);
    }
    writeKey(sink, CHECKPOINT_KEYS, 3);
    writeArrayHeader(sink, stringCount);
  }

  /** Whether a chunk of useful size is waiting. */
  get chunkReady(): boolean {
    return this.#sink.position >= CHUNK_BYTES;
  }

  /** The interner's strings, in order of their ids. */
  pushString(text: string): void {
    assert(this.#stringsLeft > 0, "a checkpoint gets as many strings as it was announced");
    const sink = this.#sink;
    makeRoom(sink, stringBytesMax(text));
    writeString(sink, text);
    if (--this.#stringsLeft > 0) return;
    makeRoom(sink, CHECKPOINT_KEYS.bytesMax + ARRAY_HEADER_BYTES_MAX);
    writeKey(sink, CHECKPOINT_KEYS, 4);
    writeArrayHeader(sink, this.#entriesLeft);
  }

  push(entry: CheckpointEntryFields): void {
    assert(this.#stringsLeft === 0 && this.#entriesLeft > 0, "a checkpoint gets as many entries as it was announced");
    this.#entriesLeft--;
    const sink = this.#sink;
    makeRoom(sink, ENTRY_BYTES_MAX);
    writeMapOf(sink, CHECKPOINT_ENTRY_KEYS);
    let key = 0;
    writeKey(sink, CHECKPOINT_ENTRY_KEYS, key++);
    writeBinary8(sink, entry.eventId);
    writeKey(sink, CHECKPOINT_ENTRY_KEYS, key++);
    writeBinary8(sink, entry.correlationId);
    writeKey(sink, CHECKPOINT_ENTRY_KEYS, key++);
    if (entry.causationId === null) writeNil(sink);
    else writeBinary8(sink, entry.causationId);
    writeKey(sink, CHECKPOINT_ENTRY_KEYS, key++);
    writeInteger(sink, entry.entityId);
    writeKey(sink, CHECKPOINT_ENTRY_KEYS, key++);
    writeInteger(sink, entry.scopeId);
    writeKey(sink, CHECKPOINT_ENTRY_KEYS, key++);
    writeInteger(sink, entry.eventKind);
    writeKey(sink, CHECKPOINT_ENTRY_KEYS, key++);
    writeInteger(sink, entry.wallMs);
    writeKey(sink, CHECKPOINT_ENTRY_KEYS, key++);
    writeInteger(sink, entry.clock);
    writeKey(sink, CHECKPOINT_ENTRY_KEYS, key++);
    writeHashArray(sink, entry.prevHash);
    writeKey(sink, CHECKPOINT_ENTRY_KEYS, key++);
    writeHashArray(sink, entry.eventHash);
    writeKey(sink, CHECKPOINT_ENTRY_KEYS, key++);
    writeInteger(sink, entry.segmentId);
    writeKey(sink, CHECKPOINT_ENTRY_KEYS, key++);
    writeInteger(sink, entry.offset);
    writeKey(sink, CHECKPOINT_ENTRY_KEYS, key++);
    writeInteger(sink, entry.length);
    writeKey(sink, CHECKPOINT_ENTRY_KEYS, key);
    writeInteger(sink, entry.globalSequence);
  }

  /** What has been encoded since the last chunk; the caller owns it. */
  takeChunk(): Uint8Array {
    const chunk = this.#sink.bytes.subarray(0, this.#sink.position);
    this.#crc = crc32(chunk.subarray(this.#uncovered), this.#crc);
    this.#uncovered = 0;
    this.#sink = new GrowingSink(CHUNK_BYTES + ENTRY_BYTES_MAX);
    return chunk;
  }

  /** The prefix, to be written over the file's first bytes. All entries must have been pushed and all chunks taken. */
  finish(): Uint8Array {
    assert(this.#entriesLeft === 0 && this.#sink.position === 0 && this.#uncovered === 0, "a checkpoint is whole when it is finished");
    return encodeCheckpointPrefix(this.#crc);
  }
}

export interface CheckpointSource {
  readonly head: CheckpointHead;
  readonly strings: readonly string[];
  readonly entryCount: number;
  readonly entries: Iterable<CheckpointEntryFields>;
}

/** Yields a checkpoint's chunks, to be written one after another; returns the prefix, to be written over the first 12 bytes. */
export function* encodeCheckpoint(source: CheckpointSource): Generator<Uint8Array, Uint8Array, undefined> {
  const encoder = new CheckpointEncoder(source.head, source.strings.length, source.entryCount);
  for (const text of source.strings) encoder.pushString(text);
  for (const entry of source.entries) {
    encoder.push(entry);
    if (encoder.chunkReady) yield encoder.takeChunk();
  }
  yield encoder.takeChunk();
  return encoder.finish();
}
