/**
 * One entry of a version 2 checkpoint. Files hold a million of them, so there are ways through: straight ones, by the kernel and by loops, for
 * the keys in the order in which the original writes them, and a general one for any other order and for keys that later releases add.
 */
import { sameBytes } from "../../base/hex.ts";
import type { MsgpackReader } from "../../base/msgpack.ts";
import { copyOf, INTEGER_BYTES_MAX, readFixedBinary, readNil, readUnsigned, viewOf } from "../../base/msgpack.ts";
import { createEntryWalker, type EntryForm, type EntryWalker } from "../../kernel/frame-kernel.ts";
import { ENTRY_RECORD } from "../../kernel/entry-record.ts";
import type { CheckpointEntry, CheckpointEntryFields } from "./checkpoint.ts";
import type { Frame } from "./frame.ts";
import { frameEntity, frameScope } from "./frame.ts";
import { expandHash, HASH_ARRAY_BYTES_MAX, hashEquals, readHashSpan, sameHashes } from "./hash-array.ts";
import { nextField, readMap } from "./key-table.ts";
import { CHECKPOINT_ENTRY_KEYS, HASH_BYTES, ID_BYTES, U16_MAX, U32_MAX, ZERO_HASH } from "./layout.ts";

const FIX_MAP_TAG = 0x80 | CHECKPOINT_ENTRY_KEYS.names.length;
const KEYS = CHECKPOINT_ENTRY_KEYS.words;
const KEY_BYTES = CHECKPOINT_ENTRY_KEYS.encoded.map((key) => key.length);
/** No entry with the known keys takes more: three ids, nine integers, two hashes. Within it the straight way checks no limit. */
const STRAIGHT_BYTES_MAX = CHECKPOINT_ENTRY_KEYS.bytesMax + 3 * (2 + ID_BYTES) + 9 * INTEGER_BYTES_MAX + 2 * HASH_ARRAY_BYTES_MAX;
/** The tag and length of an id: bin8 of 16 bytes. */
const ID_TAG = 0xc410;

/** What the kernel knows of entries: those that it describes are what the straight way below would read. */
const ENTRY_FORM: EntryForm = { keys: CHECKPOINT_ENTRY_KEYS.encoded, bytesMax: STRAIGHT_BYTES_MAX };

/** A walker that describes entries in so many bytes of its memory; null where the kernel is not to be had. */
export function openEntryWalker(byteLength: number): EntryWalker | null {
  return createEntryWalker(byteLength, ENTRY_FORM);
}

/** An entry to be filled. */
export function emptyEntry(): CheckpointEntry {
  const bytes = new Uint8Array(0);
  return {
    bytes,
    view: viewOf(bytes),
    eventIdAt: 0,
    correlationIdAt: 0,
    causationIdAt: -1,
    entityId: 0,
    scopeId: 0,
    eventKind: 0,
    wallMs: 0,
    clock: 0,
    prevHashAt: 0,
    eventHashAt: 0,
    segmentId: 0,
    offset: 0,
    length: 0,
    globalSequence: 0,
  };
}

/** Fills `entry` with what a record of the walker says; gives where the entry ends. */
export function takeRecord({ words, numbers }: EntryWalker, record: number, entry: CheckpointEntry): number {
  const at = record * ENTRY_RECORD.words;
  const numbersAt = at / 2;
  entry.eventIdAt = words[at + ENTRY_RECORD.eventId];
  entry.correlationIdAt = words[at + ENTRY_RECORD.correlationId];
  entry.causationIdAt = words[at + ENTRY_RECORD.causationId];
  entry.entityId = words[at + ENTRY_RECORD.entity] >>> 0;
  entry.scopeId = words[at + ENTRY_RECORD.scope] >>> 0;
  entry.eventKind = words[at + ENTRY_RECORD.kind];
  entry.clock = words[at + ENTRY_RECORD.clock] >>> 0;
  entry.prevHashAt = words[at + ENTRY_RECORD.previousHash];
  entry.eventHashAt = words[at + ENTRY_RECORD.hash];
  entry.length = words[at + ENTRY_RECORD.length] >>> 0;
  entry.wallMs = numbers[numbersAt + ENTRY_RECORD.wallMs];
  entry.segmentId = numbers[numbersAt + ENTRY_RECORD.segmentId];
  entry.offset = numbers[numbersAt + ENTRY_RECORD.offset];
  entry.globalSequence = numbers[numbersAt + ENTRY_RECORD.sequence];
  return words[at + ENTRY_RECORD.end];
}

/** Reads the entry at the reader's position into `entry`. After a fault `entry` holds nothing of worth, and the position is anywhere. */
export function readCheckpointEntry(reader: MsgpackReader, entry: CheckpointEntry): void {
  const start = reader.position;
  if (start + STRAIGHT_BYTES_MAX <= reader.limit && reader.bytes[start] === FIX_MAP_TAG) {
    reader.position = start + 1;
    if (readFirstKeys(reader, entry) && readLastKeys(reader, entry)) return;
    // Not wrong, only unusual, or wrong and told better by the general way.
    reader.position = start;
    reader.fault = null;
  }
  const map = readMap(reader, CHECKPOINT_ENTRY_KEYS);
  for (let key = nextField(reader, map); key >= 0; key = nextField(reader, map)) readValue(reader, entry, key);
}

function readFirstKeys(reader: MsgpackReader, entry: CheckpointEntry): boolean {
  const { bytes, view } = reader;
  let at = reader.position;
  if (!startsWith3(view, at, 0)) return false;
  at += KEY_BYTES[0] + 2;
  if (view.getUint16(at - 2) !== ID_TAG) return false;
  entry.eventIdAt = at;
  at += ID_BYTES;
  if (!startsWith4(view, at, 1)) return false;
  at += KEY_BYTES[1] + 2;
  if (view.getUint16(at - 2) !== ID_TAG) return false;
  entry.correlationIdAt = at;
  at += ID_BYTES;
  if (!startsWith4(view, at, 2)) return false;
  at += KEY_BYTES[2];
  if (bytes[at] === 0xc0) {
    entry.causationIdAt = -1;
    at += 1;
  } else {
    if (view.getUint16(at) !== ID_TAG) return false;
    entry.causationIdAt = at + 2;
    at += 2 + ID_BYTES;
  }
  if (!startsWith3(view, at, 3)) return false;
  at += KEY_BYTES[3];
  entry.entityId = unsignedAt(bytes, view, at);
  at += INTEGER_BYTES[bytes[at]];
  if (!startsWith3(view, at, 4)) return false;
  at += KEY_BYTES[4];
  entry.scopeId = unsignedAt(bytes, view, at);
  at += INTEGER_BYTES[bytes[at]];
  if (!startsWith2(view, at, 5)) return false;
  at += KEY_BYTES[5];
  entry.eventKind = unsignedAt(bytes, view, at);
  reader.position = at + INTEGER_BYTES[bytes[at]];
  return entry.entityId <= U32_MAX && entry.scopeId <= U32_MAX && entry.eventKind <= U16_MAX;
}

function readLastKeys(reader: MsgpackReader, entry: CheckpointEntry): boolean {
  const { bytes, view } = reader;
  let at = reader.position;
  if (!startsWith2(view, at, 6)) return false;
  at += KEY_BYTES[6];
  entry.wallMs = unsignedAt(bytes, view, at);
  at += INTEGER_BYTES[bytes[at]];
  if (!startsWith2(view, at, 7)) return false;
  at += KEY_BYTES[7];
  entry.clock = unsignedAt(bytes, view, at);
  at += INTEGER_BYTES[bytes[at]];
  if (!startsWith3(view, at, 8)) return false;
  reader.position = at + KEY_BYTES[8];
  entry.prevHashAt = readHashSpan(reader);
  at = reader.position;
  if (!startsWith3(view, at, 9)) return false;
  reader.position = at + KEY_BYTES[9];
  entry.eventHashAt = readHashSpan(reader);
  at = reader.position;
  if (!startsWith3(view, at, 10)) return false;
  at += KEY_BYTES[10];
  entry.segmentId = unsignedAt(bytes, view, at);
  at += INTEGER_BYTES[bytes[at]];
  if (!startsWith2(view, at, 11)) return false;
  at += KEY_BYTES[11];
  entry.offset = unsignedAt(bytes, view, at);
  at += INTEGER_BYTES[bytes[at]];
  if (!startsWith2(view, at, 12)) return false;
  at += KEY_BYTES[12];
  entry.length = unsignedAt(bytes, view, at);
  at += INTEGER_BYTES[bytes[at]];
  if (!startsWith4(view, at, 13)) return false;
  at += KEY_BYTES[13];
  entry.globalSequence = unsignedAt(bytes, view, at);
  reader.position = at + INTEGER_BYTES[bytes[at]];
  // Infinity stands for what is no unsigned safe integer, so a sum tells of it.
  const sum = entry.wallMs + entry.segmentId + entry.offset + entry.globalSequence;
  return reader.fault === null && sum < Number.POSITIVE_INFINITY && entry.clock <= U32_MAX && entry.length <= U32_MAX;
}

/** Whether key `index`, two words long with its tag, stands at `at`. The number of words is in the name so that each comparison is straight. */
function startsWith2(view: DataView, at: number, index: number): boolean {
  const words = KEYS[index];
  return view.getInt32(at) === words[0] && view.getInt32(at + KEY_BYTES[index] - 4) === words[1];
}

function startsWith3(view: DataView, at: number, index: number): boolean {
  const words = KEYS[index];
  return view.getInt32(at) === words[0] && view.getInt32(at + 4) === words[1] && view.getInt32(at + KEY_BYTES[index] - 4) === words[2];
}

function startsWith4(view: DataView, at: number, index: number): boolean {
  const words = KEYS[index];
  const tail = view.getInt32(at + 8) === words[2] && view.getInt32(at + KEY_BYTES[index] - 4) === words[3];
  return tail && view.getInt32(at) === words[0] && view.getInt32(at + 4) === words[1];
}

/** Bytes of an integer by its tag; 1 for whatever else, which `unsignedAt` refuses. */
const INTEGER_BYTES = new Uint8Array(256).fill(1);
INTEGER_BYTES.set([2, 3, 5, 9], 0xcc);

/** The unsigned integer at `at`; Infinity when there is none, or none that is safe. */
function unsignedAt(bytes: Uint8Array, view: DataView, at: number): number {
  const tag = bytes[at];
  if (tag < 0x80) return tag;
  if (tag === 0xcc) return bytes[at + 1];
  if (tag === 0xcd) return view.getUint16(at + 1);
  if (tag === 0xce) return view.getUint32(at + 1);
  if (tag !== 0xcf) return Number.POSITIVE_INFINITY;
  const value = view.getUint32(at + 1) * 0x1_0000_0000 + view.getUint32(at + 5);
  return value <= Number.MAX_SAFE_INTEGER ? value : Number.POSITIVE_INFINITY;
}

function readValue(reader: MsgpackReader, entry: CheckpointEntry, key: number): void {
  switch (key) {
    case 0:
      entry.eventIdAt = readFixedBinary(reader, ID_BYTES);
      break;
    case 1:
      entry.correlationIdAt = readFixedBinary(reader, ID_BYTES);
      break;
    case 2:
      entry.causationIdAt = readNil(reader) ? -1 : readFixedBinary(reader, ID_BYTES);
      break;
    case 3:
      entry.entityId = readUnsigned(reader, U32_MAX);
      break;
    case 4:
      entry.scopeId = readUnsigned(reader, U32_MAX);
      break;
    case 5:
      entry.eventKind = readUnsigned(reader, U16_MAX);
      break;
    case 6:
      entry.wallMs = readUnsigned(reader);
      break;
    case 7:
      entry.clock = readUnsigned(reader, U32_MAX);
      break;
    case 8:
      entry.prevHashAt = readHashSpan(reader);
      break;
    case 9:
      entry.eventHashAt = readHashSpan(reader);
      break;
    case 10:
      entry.segmentId = readUnsigned(reader);
      break;
    case 11:
      entry.offset = readUnsigned(reader);
      break;
    case 12:
      entry.length = readUnsigned(reader, U32_MAX);
      break;
    default:
      entry.globalSequence = readUnsigned(reader);
  }
}

/** A copy of an entry that outlives the visitor's call. */
export function checkpointEntryFields(entry: CheckpointEntry): CheckpointEntryFields {
  const { bytes } = entry;
  const hash = (at: number): Uint8Array => {
    const target = new Uint8Array(HASH_BYTES);
    expandHash(bytes, at, target, 0);
    return target;
  };
  return {
    eventId: copyOf(bytes, entry.eventIdAt, entry.eventIdAt + ID_BYTES),
    correlationId: copyOf(bytes, entry.correlationIdAt, entry.correlationIdAt + ID_BYTES),
    causationId: entry.causationIdAt < 0 ? null : copyOf(bytes, entry.causationIdAt, entry.causationIdAt + ID_BYTES),
    entityId: entry.entityId,
    scopeId: entry.scopeId,
    eventKind: entry.eventKind,
    wallMs: entry.wallMs,
    clock: entry.clock,
    prevHash: hash(entry.prevHashAt),
    eventHash: hash(entry.eventHashAt),
    segmentId: entry.segmentId,
    offset: entry.offset,
    length: entry.length,
    globalSequence: entry.globalSequence,
  };
}

/** What an entry says otherwise than the frame at its offset; null when they agree. `entity` and `scope` are those that its ids stand for. */
export function checkpointMismatch(entry: CheckpointEntry, entity: string, scope: string, frame: Frame): string | null {
  const sameId = (at: number, frameAt: number): boolean =>
    at < 0 || frameAt < 0 ? at < 0 && frameAt < 0 : sameBytes(entry.bytes, at, frame.bytes, frameAt, ID_BYTES);
  const sameHash = (at: number, frameAt: number): boolean =>
    frameAt < 0 ? hashEquals(entry.bytes, at, ZERO_HASH) : sameHashes(entry.bytes, at, frame.bytes, frameAt);
  if (entry.length !== frame.length) return "length";
  if (!sameId(entry.eventIdAt, frame.eventIdAt)) return "event id";
  if (!sameId(entry.correlationIdAt, frame.correlationIdAt)) return "correlation id";
  if (!sameId(entry.causationIdAt, frame.causationIdAt)) return "causation id";
  if (entry.eventKind !== frame.eventKind) return "kind";
  if (entry.wallMs !== frame.wallMs || entry.clock !== frame.clock) return "time or clock";
  if (!sameHash(entry.prevHashAt, frame.prevHashAt) || !sameHash(entry.eventHashAt, frame.eventHashAt)) return "hash";
  if (entity !== frameEntity(frame) || scope !== frameScope(frame)) return "entity or scope";
  return null;
}
