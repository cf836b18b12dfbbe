/**
 * The bytes of a projection's snapshot: a state, and what it is a state of. Little-endian.
 *
 * | offset | bytes | |
 * | --- | --- | --- |
 * | 0 | 8 | magic `BATPAKPS` |
 * | 8 | 4 | CRC-32 of everything behind it |
 * | 12 | 2 | version of this format: 1 |
 * | 14 | 2 | 0 |
 * | 16 | 4 | length of the origin in bytes |
 * | 20 | | the origin, then the state: MessagePack as in payloads |
 *
 * A snapshot is never the truth: whatever is odd about one is a reason to fold anew.
 */
import { crc32 } from "node:zlib";
import { GrowingSink } from "../base/byte-sink.ts";
import { decodePayload } from "../events/payload-decode.ts";
import { encodePayload } from "../events/payload-encode.ts";

const SNAPSHOT = { magic: 0, crc: 8, version: 12, reserved: 14, originLength: 16, origin: 20 } as const;
const MAGIC = Buffer.from("BATPAKPS", "latin1");
const FORMAT_VERSION = 1;

/** What a state is a state of. All of it has to be as it is now for the state to be used; but kinds may have come to it since. */
export interface SnapshotOrigin {
  /** 32 hex digits. */
  readonly store: string;
  /** Of the log: compaction makes another. */
  readonly generation: number;
  readonly projection: string;
  readonly version: number;
  /** Names and versions of the events. */
  readonly events: readonly string[];
  /** The kinds under which they are stored, ascending. */
  readonly kinds: readonly number[];
  /** What was folded: an entity or a query. */
  readonly target: string;
}

/** Up to where the state speaks. */
export interface SnapshotPosition {
  /** Of the newest event in it. */
  readonly sequence: number;
  /** That event's hash, 64 hex digits. */
  readonly hash: string;
  /** That event's time, in milliseconds. */
  readonly timestamp: number;
  /** How many events are in it. */
  readonly events: number;
}

export interface Snapshot {
  readonly position: SnapshotPosition;
  /** The kinds that it was folded of, all of which are kinds of the origin. */
  readonly kinds: readonly number[];
  readonly state: unknown;
}

/** Throws `PAYLOAD_UNSUPPORTED` where the state holds what no payload may hold. */
export function encodeSnapshot(origin: SnapshotOrigin, position: SnapshotPosition, state: unknown): Uint8Array {
  const sink = new GrowingSink();
  sink.position = SNAPSHOT.origin;
  encodePayload(sink, { ...origin, position: { ...position } });
  const originEnd = sink.position;
  encodePayload(sink, state);
  sink.bytes.set(MAGIC, SNAPSHOT.magic);
  sink.view.setUint16(SNAPSHOT.version, FORMAT_VERSION, true);
  sink.view.setUint16(SNAPSHOT.reserved, 0, true);
  sink.view.setUint32(SNAPSHOT.originLength, originEnd - SNAPSHOT.origin, true);
  sink.view.setUint32(SNAPSHOT.crc, crc32(sink.bytes.subarray(SNAPSHOT.version, sink.position)), true);
  return sink.bytes.subarray(0, sink.position);
}

/** The snapshot in these bytes, or the reason why it is none of this origin. */
export function decodeSnapshot(bytes: Uint8Array, origin: SnapshotOrigin): Snapshot | { readonly reason: string } {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < SNAPSHOT.origin || !MAGIC.equals(bytes.subarray(0, MAGIC.length))) return { reason: "it is no snapshot" };
  if (crc32(bytes.subarray(SNAPSHOT.version)) !== view.getUint32(SNAPSHOT.crc, true)) return { reason: "its checksum does not match" };
  const version = view.getUint16(SNAPSHOT.version, true);
  if (version !== FORMAT_VERSION) return { reason: `its format is version ${version}` };
  const originEnd = SNAPSHOT.origin + view.getUint32(SNAPSHOT.originLength, true);
  if (originEnd > bytes.length) return { reason: "it ends too early" };
  try {
    const { position, ...found } = decodePayload(bytes, view, SNAPSHOT.origin, originEnd) as SnapshotOrigin & {
      position: SnapshotPosition;
    };
    const reason = differenceOf(found, origin);
    return reason === null ? { position, kinds: found.kinds, state: decodePayload(bytes, view, originEnd, bytes.length) } : { reason };
  } catch (error) {
    return { reason: `it cannot be decoded: ${String(error)}` };
  }
}

const DIFFERENCES: Readonly<Record<keyof SnapshotOrigin, string>> = {
  store: "it belongs to another store",
  generation: "the store was compacted or repaired since",
  projection: "it belongs to another projection",
  version: "the projection has another version",
  events: "the projection's events are others",
  kinds: "one of its kinds is none of the events' any more",
  target: "it was folded of something else",
};

function differenceOf(found: SnapshotOrigin, origin: SnapshotOrigin): string | null {
  for (const [member, difference] of Object.entries(DIFFERENCES)) {
    const name = member as keyof SnapshotOrigin;
    if (
      name === "kinds"
        ? found.kinds.every((kind) => origin.kinds.includes(kind))
        : JSON.stringify(found[name]) === JSON.stringify(origin[name])
    )
      continue;
    return difference;
  }
  return null;
}
