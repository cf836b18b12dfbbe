/**
 * One entry of a version 2 checkpoint. Files hold a million of them, so there are two ways through: a straight one for the keys in the
 * order in which the original writes them, and a general one for any other order and for keys that later releases add.
 */
import type { MsgpackReader } from "../../base/msgpack.ts";
import { readFixedBinary, readNil, readUnsigned } from "../../base/msgpack.ts";
import type { CheckpointEntry, CheckpointEntryFields } from "./checkpoint.ts";
import type { Frame } from "./frame.ts";
import { frameEntity, frameScope } from "./frame.ts";
import { expandHash, hashEquals, readHashSpan } from "./hash-array.ts";
import { nextField, readExpectedKey, readMap } from "./key-table.ts";
import { CHECKPOINT_ENTRY_KEYS, HASH_BYTES, ID_BYTES, U16_MAX, U32_MAX } from "./layout.ts";

const FIX_MAP_TAG = 0x80 | CHECKPOINT_ENTRY_KEYS.names.length;

/** Reads the entry at the reader's position into `entry`. After a fault `entry` holds nothing of worth, and the position is anywhere. */
export function readCheckpointEntry(reader: MsgpackReader, entry: CheckpointEntry): void {
  const start = reader.position;
  if (reader.bytes[start] === FIX_MAP_TAG) {
    reader.position = start + 1;
    let key = 0;
    while (key < CHECKPOINT_ENTRY_KEYS.names.length && readExpectedKey(reader, CHECKPOINT_ENTRY_KEYS, key)) readValue(reader, entry, key++);
    if (key === CHECKPOINT_ENTRY_KEYS.names.length || reader.fault !== null) return;
    reader.position = start;
  }
  const map = readMap(reader, CHECKPOINT_ENTRY_KEYS);
  for (let key = nextField(reader, map); key >= 0; key = nextField(reader, map)) readValue(reader, entry, key);
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
    eventId: bytes.slice(entry.eventIdAt, entry.eventIdAt + ID_BYTES),
    correlationId: bytes.slice(entry.correlationIdAt, entry.correlationIdAt + ID_BYTES),
    causationId: entry.causationIdAt < 0 ? null : bytes.slice(entry.causationIdAt, entry.causationIdAt + ID_BYTES),
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

/** What an entry says otherwise than the frame at its place; null when they agree. `entity` and `scope` are those that its ids stand for. */
export function checkpointMismatch(entry: CheckpointEntryFields, entity: string, scope: string, frame: Frame): string | null {
  const sameId = (id: Uint8Array | null, at: number): boolean =>
    id === null || at < 0 ? id === null && at < 0 : id.every((byte, index) => frame.bytes[at + index] === byte);
  const sameHash = (hash: Uint8Array, at: number): boolean => at >= 0 && hashEquals(frame.bytes, at, hash);
  if (entry.offset !== frame.offset || entry.length !== frame.length) return "offset or length";
  if (!sameId(entry.eventId, frame.eventIdAt)) return "event id";
  if (!sameId(entry.correlationId, frame.correlationIdAt)) return "correlation id";
  if (!sameId(entry.causationId, frame.causationIdAt)) return "causation id";
  if (entry.eventKind !== frame.eventKind) return "kind";
  if (entry.wallMs !== frame.wallMs || entry.clock !== frame.clock) return "time or clock";
  if (!sameHash(entry.prevHash, frame.prevHashAt) || !sameHash(entry.eventHash, frame.eventHashAt)) return "hash";
  if (entity !== frameEntity(frame) || scope !== frameScope(frame)) return "entity or scope";
  return null;
}
