/**
 * A consumer's position in a file of its own: `consumers/<name>/position`, the same for both layouts. Little-endian.
 *
 * The file has one record, as it is first written, or two: at its start and `CONSUMER_SLOT_BYTES` behind it. They are overwritten by turns, so
 * that one of them is whole whatever becomes of the other; that of the later turn is in force.
 *
 * The event's hash says which event stands at the position, so that a log that was restored from a backup and went on with other events is
 * noticed. Zeros where the position is no event's.
 */
import { isUtf8 } from "node:buffer";
import { crc32 } from "node:zlib";
import { sameBytes } from "../base/hex.ts";
import { getUint64, setUint64 } from "../base/u64.ts";

export const CONSUMER_POSITION = {
  magic: 0, // 8 bytes
  version: 8, // u16
  nameLength: 10, // u16: UTF-8 bytes
  turn: 12, // u32: one more with each record that is written, modulo 2^32
  storeId: 16, // 16 bytes: zeros in the batpak 0.3 layout, which has none
  next: 32, // u64: the position and one
  hash: 40, // 32 bytes
  name: 72, // UTF-8; then CRC-32 of what precedes it, u32
} as const;

const MAGIC = Uint8Array.from(Buffer.from("BATPAKCP", "latin1"));
const VERSION = 1;
const CRC_BYTES = 4;
const HASH_BYTES = 32;

/** Where the second record begins: so far behind the first that no sector or page has parts of both. */
export const CONSUMER_SLOT_BYTES = 4096;
/** A file that is longer is none of these. */
export const CONSUMER_FILE_BYTES_MAX = 2 * CONSUMER_SLOT_BYTES;

export interface ConsumerPositionContent {
  readonly storeId: Uint8Array;
  readonly name: string;
  /** Sequence of the last event that is done; -1 before the first. */
  readonly position: number;
  /** Its hash as hex; null where it is not known. */
  readonly hash: string | null;
  readonly turn: number;
}

/** One record. */
export function encodeConsumerPosition(content: ConsumerPositionContent): Uint8Array {
  const name = Buffer.from(content.name);
  const bytes = new Uint8Array(CONSUMER_POSITION.name + name.length + CRC_BYTES);
  const view = new DataView(bytes.buffer);
  bytes.set(MAGIC, CONSUMER_POSITION.magic);
  view.setUint16(CONSUMER_POSITION.version, VERSION, true);
  view.setUint16(CONSUMER_POSITION.nameLength, name.length, true);
  view.setUint32(CONSUMER_POSITION.turn, content.turn, true);
  bytes.set(content.storeId, CONSUMER_POSITION.storeId);
  setUint64(view, CONSUMER_POSITION.next, content.position + 1);
  if (content.hash !== null) bytes.set(Buffer.from(content.hash, "hex"), CONSUMER_POSITION.hash);
  bytes.set(name, CONSUMER_POSITION.name);
  const end = CONSUMER_POSITION.name + name.length;
  view.setUint32(end, crc32(bytes.subarray(0, end)), true);
  return bytes;
}

export type ConsumerPositionOutcome =
  | { readonly kind: "ok"; readonly content: ConsumerPositionContent }
  | { readonly kind: "corrupt"; readonly reason: string };

/** What a file of one record or two says. Where one is not whole, as a crash leaves it, the other is in force. */
export function decodeConsumerPosition(bytes: Uint8Array): ConsumerPositionOutcome {
  if (bytes.length > CONSUMER_FILE_BYTES_MAX) return corrupt(`it has more than ${CONSUMER_FILE_BYTES_MAX} bytes`);
  const first = decodeRecord(bytes.subarray(0, CONSUMER_SLOT_BYTES));
  if (bytes.length <= CONSUMER_SLOT_BYTES) return first;
  const second = decodeRecord(bytes.subarray(CONSUMER_SLOT_BYTES));
  if (first.kind !== "ok") return second.kind === "ok" ? second : first;
  if (second.kind !== "ok") return first;
  return ((second.content.turn - first.content.turn) | 0) > 0 ? second : first;
}

/** A record, and nothing but zeros behind it. */
function decodeRecord(bytes: Uint8Array): ConsumerPositionOutcome {
  if (bytes.length < CONSUMER_POSITION.name + CRC_BYTES) return corrupt(`it has ${bytes.length} bytes`);
  if (!sameBytes(bytes, 0, MAGIC, 0, MAGIC.length)) return corrupt("it does not begin as a position does");
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const version = view.getUint16(CONSUMER_POSITION.version, true);
  const end = CONSUMER_POSITION.name + view.getUint16(CONSUMER_POSITION.nameLength, true);
  if (end + CRC_BYTES > bytes.length || bytes.subarray(end + CRC_BYTES).some((byte) => byte !== 0))
    return corrupt("its length is not what it says");
  if (crc32(bytes.subarray(0, end)) !== view.getUint32(end, true)) return corrupt("its checksum does not match");
  if (version !== VERSION) return corrupt(`its version is ${version}, ${VERSION} is known`);
  const name = bytes.subarray(CONSUMER_POSITION.name, end);
  if (!isUtf8(name)) return corrupt("its name is not UTF-8");
  const next = getUint64(view, CONSUMER_POSITION.next);
  if (!Number.isSafeInteger(next)) return corrupt("its position is too large");
  const hash = Buffer.from(bytes.subarray(CONSUMER_POSITION.hash, CONSUMER_POSITION.hash + HASH_BYTES));
  return {
    kind: "ok",
    content: {
      storeId: bytes.slice(CONSUMER_POSITION.storeId, CONSUMER_POSITION.storeId + 16),
      name: Buffer.from(name).toString("utf8"),
      position: next - 1,
      hash: hash.every((byte) => byte === 0) ? null : hash.toString("hex"),
      turn: view.getUint32(CONSUMER_POSITION.turn, true),
    },
  };
}

function corrupt(reason: string): ConsumerPositionOutcome {
  return { kind: "corrupt", reason };
}
