/** Fuzz targets: the small files and records beside the events. Consumers' positions, projections' snapshots, what compaction removed. */
import { crc32 } from "node:zlib";
import { GrowingSink } from "../../src/base/byte-sink.ts";
import { isStoreError } from "../../src/base/store-error.ts";
import { decodePayload } from "../../src/events/payload-decode.ts";
import { encodePayload } from "../../src/events/payload-encode.ts";
import { CONSUMER_SLOT_BYTES, decodeConsumerPosition, encodeConsumerPosition } from "../../src/format/consumer-position.ts";
import { readBatches, readEntities, readKeys, readSequences, readSummary, summaryPayload } from "../../src/format/native/retention.ts";
import { decodeSnapshot, encodeSnapshot } from "../../src/projections/snapshot-format.ts";
import type { FuzzInput, FuzzTarget } from "./fuzz-run.ts";
import { text } from "./native-targets.ts";

const ORIGIN = {
  store: "0123456789abcdef0123456789abcdef",
  generation: 1,
  projection: "accounts",
  version: 2,
  events: ["Deposited@1"],
  kinds: [0x1000, 0x1001],
  target: "account:1",
};
const POSITION = { sequence: 12, hash: "ab".repeat(32), timestamp: 1_700_000_000_000, events: 3 };
/** Where the checksum of a snapshot lies, and from where on it counts. */
const SNAPSHOT_CRC = { at: 8, from: 12 } as const;

export function recordTargets(): FuzzTarget[] {
  const record = (name: string, i: number, turn: number): Uint8Array =>
    encodeConsumerPosition({
      storeId: new Uint8Array(16).fill(i),
      name,
      position: i * 7 - 1,
      hash: i === 0 ? null : "cd".repeat(32),
      turn,
    });
  const positions = ["mailer", "straße 道", ""].map((name, i) => record(name, i, i));
  const both = new Uint8Array(CONSUMER_SLOT_BYTES + positions[0].length);
  both.set(positions[0]);
  both.set(record("mailer", 1, 1), CONSUMER_SLOT_BYTES);
  positions.push(both);
  const snapshots = [null, 1, { cents: 12n, list: [1, 2] }].map((state) => encodeSnapshot(ORIGIN, POSITION, state));
  return [
    { name: "consumer-position", weight: 6, corpus: positions, mend: mendPosition, run: runPosition },
    { name: "projection-snapshot", weight: 6, corpus: snapshots, mend: mendSnapshot, run: runSnapshot },
    { name: "retention-record", weight: 10, corpus: retentionPayloads(), run: runRetention },
  ];
}

function mendPosition(bytes: Uint8Array): Uint8Array {
  const copy = bytes.slice();
  const last = copy.length > CONSUMER_SLOT_BYTES ? copy.subarray(CONSUMER_SLOT_BYTES) : copy;
  if (last.length < 76) return bytes;
  const view = new DataView(copy.buffer, last.byteOffset);
  view.setUint16(10, last.length - 76, true);
  view.setUint32(last.length - 4, crc32(last.subarray(0, last.length - 4)), true);
  return copy;
}

function runPosition({ bytes }: FuzzInput): string {
  const outcome = decodeConsumerPosition(bytes);
  if (outcome.kind !== "ok") return `corrupt ${outcome.reason}`;
  const again = decodeConsumerPosition(encodeConsumerPosition(outcome.content));
  if (text(again) !== text(outcome)) throw new Error("written again, it reads otherwise");
  return `ok ${text(outcome.content)}`;
}

function mendSnapshot(bytes: Uint8Array): Uint8Array {
  if (bytes.length < 20) return bytes;
  const copy = bytes.slice();
  new DataView(copy.buffer).setUint32(SNAPSHOT_CRC.at, crc32(copy.subarray(SNAPSHOT_CRC.from)), true);
  return copy;
}

function runSnapshot({ bytes }: FuzzInput): string {
  const decoded = decodeSnapshot(bytes, ORIGIN);
  return "reason" in decoded ? `ignored ${decoded.reason}` : `ok ${text(decoded)}`;
}

function retentionPayloads(): Uint8Array[] {
  const hash = new Uint8Array(32).fill(7);
  const id = new Uint8Array(16).fill(3);
  const row = [id, "e", "s", 0x1000, hash, 4, 2, 9, hash];
  const summary = {
    removals: [{ generation: 1, count: 3, hash }],
    removed: 3,
    sequences: [128],
    entities: [300],
    batches: [500],
    keys: [{ firstId: id, offset: 700 }],
    filter: new Uint8Array(8),
  };
  const payloads: unknown[] = [
    summaryPayload(summary),
    { retention: "sequences", runs: [0, 3, 7, 7] },
    { retention: "entities", entities: [["e", 0, 2, 4, hash]] },
    { retention: "batches", batches: [[row, row]] },
    { retention: "keys", ids: new Uint8Array(32), places: new Uint8Array(16) },
  ];
  return payloads.map((payload) => {
    const sink = new GrowingSink(64);
    encodePayload(sink, payload);
    return sink.copy();
  });
}

function runRetention({ at, bytes, view, whole }: FuzzInput): string {
  const said: string[] = [];
  let fitting = "none";
  for (const [name, read] of Object.entries({ readSummary, readSequences, readEntities, readBatches, readKeys })) {
    try {
      said.push(text(read(decodePayload(whole, view, at, at + bytes.length))));
      fitting = name;
    } catch (error) {
      if (!isStoreError(error, "CORRUPT")) throw error;
      said.push(String(error.details.reason));
    }
  }
  return `${fitting} ${said.join("; ")}`;
}
