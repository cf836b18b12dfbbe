/**
 * Reads a version 2 checkpoint in one pass, in pieces of any size: memory does not grow with the file, and no object is made per entry.
 *
 * 1. The visitor hears strings and entries as they come, before the CRC of the whole is known: what it built counts only if `finish`
 *    (or `decodeCheckpoint`, which looks at the CRC first) answers "ok".
 * 2. Entries come in strictly ascending global sequence, below the allocator; their string ids are in range; they end before the watermark.
 *    A checkpoint that breaks any of this is corrupt, so that the index is rebuilt from the segments.
 * 3. Counts are held against the file's size before anyone is told of them.
 */
import { crc32 } from "node:zlib";
import type { MsgpackReader } from "../../base/msgpack.ts";
import {
  fail,
  isText,
  msgpackReader,
  readArrayHeader,
  readMapHeader,
  readStringSpan,
  readUnsigned,
  textAt,
  viewOf,
} from "../../base/msgpack.ts";
import type { EntryWalker } from "../../kernel/frame-kernel.ts";
import type { CheckpointEntry, CheckpointHead } from "./checkpoint.ts";
import { decodeCheckpointPrefix } from "./checkpoint.ts";
import { emptyEntry, readCheckpointEntry, takeRecord } from "./checkpoint-entry.ts";
import type { MapCursor } from "./key-table.ts";
import { nextField } from "./key-table.ts";
import { CHECKPOINT_ENTRY_BYTES_MIN, CHECKPOINT_KEYS, CHECKPOINT_PREFIX, FRAME_PREFIX } from "./layout.ts";
import type { Corrupt, Torn } from "./outcome.ts";
import { corrupt, torn } from "./outcome.ts";

export interface CheckpointVisitor {
  /** String `index` of the interner, in order from 0 (which is ""). */
  string(text: string, index: number): void;
  /** How many entries follow; the file is large enough for them. */
  entries(count: number): void;
  /** One entry. A returned text is the reason why the checkpoint is not believed; nothing more is visited. */
  entry(entry: CheckpointEntry): string | undefined;
}

export interface DecodedCheckpoint {
  readonly kind: "ok";
  readonly head: CheckpointHead;
  readonly stringCount: number;
  readonly entryCount: number;
}

/** Each takes a place in an array, however short it is. With as many names, the entries would be of gigabytes. */
const STRINGS_MAX = 2 ** 24;

type State = "prefix" | "root" | "key" | "number" | "strings" | "entries" | "end" | "failed";

/**
 * The decoder for pieces. Each call of `push` consumes as much as it can; what it leaves must come first in the next piece, with more
 * behind it.
 */
export class CheckpointDecoder {
  readonly #visitor: CheckpointVisitor;
  readonly #fileBytes: number;
  readonly #entry: CheckpointEntry = emptyEntry();
  readonly #root: MapCursor = { table: CHECKPOINT_KEYS, pairsLeft: 0, seen: 0, expected: 0 };
  /** Of the three numbers in the order of their keys. */
  readonly #numbers = [0, 0, 0];
  #walker: EntryWalker | null = null;
  /** Entries that the walker has described, and how many of them were taken. */
  #described = 0;
  #taken = 0;
  #state: State = "prefix";
  #failure: Torn | Corrupt | null = null;
  #consumed = 0;
  #crcStated = 0;
  #crc = 0;
  #field = 0;
  #stringsLeft = 0;
  #stringCount = -1;
  #stringIdMax = 0;
  #entriesLeft = 0;
  #entryCount = 0;
  #lastSequence = -1;
  #lastSegmentId = 0;
  #lastSegmentEnd = 0;

  /** @param fileBytes the file's size: every count is held against it */
  constructor(fileBytes: number, visitor: CheckpointVisitor) {
    this.#fileBytes = fileBytes;
    this.#visitor = visitor;
  }

  /** How far into the file the decoder has come, in bytes. */
  get consumedBytes(): number {
    return this.#consumed;
  }

  /** Whether `finish` tells a failure, whatever comes. */
  get hasFailed(): boolean {
    return this.#failure !== null;
  }

  /**
   * Takes `bytes[start, end)`, the file's next bytes; returns where it stopped. After a failure it takes everything and does nothing.
   *
   * @param walker whose `bytes` these are, where there is one
   */
  push(bytes: Uint8Array, view: DataView, start: number, end: number, walker: EntryWalker | null = null): number {
    if (this.#state === "failed") return end;
    const reader = msgpackReader(bytes, view, start, end);
    this.#entry.bytes = bytes;
    this.#entry.view = view;
    this.#walker = walker;
    this.#described = this.#taken = 0;
    let position = start;
    let covered = start;
    if (this.#state === "prefix") {
      const prefix = decodeCheckpointPrefix(bytes.subarray(start, end));
      if (prefix.kind === "torn" && this.#fileBytes >= CHECKPOINT_PREFIX.body) return start;
      if (prefix.kind !== "ok") return this.#fail(prefix, end);
      this.#crcStated = prefix.crc;
      this.#state = "root";
      position = start + CHECKPOINT_PREFIX.body;
      covered = position;
      reader.position = position;
    }
    while (this.#state !== "end" && position < end) {
      const fileBytesLeft = this.#fileBytes - this.#consumed - (position - start);
      this.#step(reader, fileBytesLeft);
      if (reader.fault !== null) {
        if (reader.short && end - position < fileBytesLeft) break;
        return this.#fail(
          reader.short ? torn(`the checkpoint ends early: ${reader.fault}`) : corrupt(`the checkpoint does not decode: ${reader.fault}`),
          end,
        );
      }
      position = reader.position;
    }
    this.#crc = crc32(bytes.subarray(covered, position), this.#crc);
    this.#consumed += position - start;
    if (this.#state === "end" && position < end)
      return this.#fail(corrupt(`${end - position} bytes or more follow the checkpoint's body`), end);
    return position;
  }

  #fail(outcome: Torn | Corrupt, end: number): number {
    this.#failure = outcome;
    this.#state = "failed";
    return end;
  }

  /** Reads one thing, or leaves the state as it was when the bytes end inside it. */
  #step(reader: MsgpackReader, fileBytesLeft: number): void {
    switch (this.#state) {
      case "entries":
        return this.#readEntry(reader);
      case "strings":
        return this.#readString(reader);
      case "number": {
        const value = readUnsigned(reader);
        if (reader.fault !== null) return;
        this.#numbers[this.#field] = value;
        this.#nextKey();
        return;
      }
      case "root":
        this.#root.pairsLeft = readMapHeader(reader);
        if (reader.fault === null) this.#nextKey();
        return;
      default:
        return this.#readKey(reader, fileBytesLeft);
    }
  }

  #readKey(reader: MsgpackReader, fileBytesLeft: number): void {
    const before = { ...this.#root };
    const start = reader.position;
    const field = nextField(reader, this.#root);
    let count = 0;
    if (field === 3 || field === 4) count = readArrayHeader(reader);
    if (reader.fault !== null) return void Object.assign(this.#root, before);
    this.#field = field;
    if (field < 0) this.#state = "end";
    else if (field < 3) this.#state = "number";
    else {
      const bytesLeft = fileBytesLeft - (reader.position - start);
      if (count * (field === 3 ? 1 : CHECKPOINT_ENTRY_BYTES_MIN) > bytesLeft)
        return void fail(reader, `${count} are announced where ${bytesLeft} bytes are left`);
      if (field === 3 && count > STRINGS_MAX) return void fail(reader, `${count} strings are announced, at most ${STRINGS_MAX} are read`);
      if (field === 3) {
        this.#stringsLeft = count;
        this.#stringCount = count;
      } else {
        this.#entriesLeft = count;
        this.#entryCount = count;
        this.#visitor.entries(count);
      }
      this.#state = field === 3 ? "strings" : "entries";
    }
    this.#leaveEmptyArray();
  }

  /** An array without elements, or without any more, is left at once: no further byte may come. */
  #leaveEmptyArray(): void {
    if ((this.#state === "strings" && this.#stringsLeft === 0) || (this.#state === "entries" && this.#entriesLeft === 0)) this.#nextKey();
  }

  #nextKey(): void {
    this.#state = this.#root.pairsLeft === 0 ? "end" : "key";
  }

  #readString(reader: MsgpackReader): void {
    const start = readStringSpan(reader);
    if (reader.fault !== null) return;
    const index = this.#stringCount - this.#stringsLeft;
    if (!isText(reader.bytes, start, reader.position)) return void fail(reader, `string ${index} is not UTF-8`);
    this.#visitor.string(textAt(reader.bytes, start, reader.position), index);
    this.#stringsLeft--;
    this.#leaveEmptyArray();
  }

  #readEntry(reader: MsgpackReader): void {
    const entry = this.#entry;
    const walker = this.#walker;
    if (walker !== null && this.#taken === this.#described) {
      this.#described = walker.describe(reader.position, reader.limit, this.#entriesLeft);
      this.#taken = 0;
    }
    if (walker !== null && this.#taken < this.#described) reader.position = takeRecord(walker, this.#taken++, entry);
    else readCheckpointEntry(reader, entry);
    if (reader.fault !== null) return;
    const reason = this.#doubt(entry) ?? this.#visitor.entry(entry);
    if (reason !== undefined) return void fail(reader, `entry ${this.#entryCount - this.#entriesLeft}: ${reason}`);
    this.#entriesLeft--;
    if (this.#entriesLeft === 0) this.#leaveEmptyArray();
  }

  /** Why an entry is not believed, and a note of what can only be judged at the end. */
  #doubt(entry: CheckpointEntry): string | undefined {
    if (entry.globalSequence <= this.#lastSequence) return `sequence ${entry.globalSequence} after ${this.#lastSequence}`;
    this.#lastSequence = entry.globalSequence;
    const stringIdMin = Math.min(entry.entityId, entry.scopeId);
    const stringIdMax = Math.max(entry.entityId, entry.scopeId);
    if (stringIdMin === 0 || (this.#stringCount >= 0 && stringIdMax >= this.#stringCount)) {
      return `string ids ${entry.entityId} and ${entry.scopeId} where there are ${this.#stringCount} strings`;
    }
    if (stringIdMax > this.#stringIdMax) this.#stringIdMax = stringIdMax;
    if (entry.length <= FRAME_PREFIX.body) return `a frame of ${entry.length} bytes`;
    const end = entry.offset + entry.length;
    if (entry.segmentId > this.#lastSegmentId) {
      this.#lastSegmentId = entry.segmentId;
      this.#lastSegmentEnd = end;
    } else if (entry.segmentId === this.#lastSegmentId && end > this.#lastSegmentEnd) this.#lastSegmentEnd = end;
    return undefined;
  }

  /** What the file was, once all its bytes have been pushed. */
  finish(): DecodedCheckpoint | Torn | Corrupt {
    if (this.#failure !== null) return this.#failure;
    if (this.#state !== "end") return torn(`the checkpoint ends early, after ${this.#consumed} bytes`);
    const missing = CHECKPOINT_KEYS.names.filter((_, index) => (this.#root.seen & (1 << index)) === 0);
    if (missing.length > 0) return corrupt(`the checkpoint lacks ${missing.join(", ")}`);
    if (this.#crc !== this.#crcStated) return corrupt("the checkpoint's CRC does not match its body");
    const [globalSequence, watermarkSegmentId, watermarkOffset] = this.#numbers;
    if (this.#stringIdMax >= Math.max(this.#stringCount, 1))
      return corrupt(`an entry names string ${this.#stringIdMax} of ${this.#stringCount}`);
    if (this.#lastSequence >= globalSequence)
      return corrupt(`the last entry has sequence ${this.#lastSequence}, the allocator stands at ${globalSequence}`);
    if (
      this.#lastSegmentId > watermarkSegmentId ||
      (this.#lastSegmentId === watermarkSegmentId && this.#lastSegmentEnd > watermarkOffset)
    ) {
      return corrupt(`an entry lies past the watermark, segment ${watermarkSegmentId} offset ${watermarkOffset}`);
    }
    const head = { globalSequence, watermarkSegmentId, watermarkOffset };
    return { kind: "ok", head, stringCount: this.#stringCount, entryCount: this.#entryCount };
  }
}

/** Reads a whole file. Its CRC is looked at first: the visitor hears nothing of a file that was damaged. */
export function decodeCheckpoint(bytes: Uint8Array, visitor: CheckpointVisitor): DecodedCheckpoint | Torn | Corrupt {
  const prefix = decodeCheckpointPrefix(bytes);
  if (prefix.kind !== "ok") return prefix;
  if (crc32(bytes.subarray(CHECKPOINT_PREFIX.body)) !== prefix.crc) return corrupt("the checkpoint's CRC does not match its body");
  const decoder = new CheckpointDecoder(bytes.length, visitor);
  decoder.push(bytes, viewOf(bytes), 0, bytes.length);
  return decoder.finish();
}

/** The numbers at the beginning of a checkpoint that is known to be whole; null where they do not come first. */
export function readCheckpointHead(bytes: Uint8Array): CheckpointHead | null {
  const reader = msgpackReader(bytes, viewOf(bytes), CHECKPOINT_PREFIX.body, bytes.length);
  const map = { table: CHECKPOINT_KEYS, pairsLeft: readMapHeader(reader), seen: 0, expected: 0 };
  const numbers: number[] = [];
  for (let key = 0; key < 3; key++) {
    if (nextField(reader, map) !== key) return null;
    numbers.push(readUnsigned(reader));
  }
  if (reader.fault !== null) return null;
  const [globalSequence, watermarkSegmentId, watermarkOffset] = numbers;
  return { globalSequence, watermarkSegmentId, watermarkOffset };
}
