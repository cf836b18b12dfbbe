/**
 * What compaction removed from the segments that a merged one replaces, as frames of the merged segment: they stand before its events, each a
 * commit of its own, with the flags `system` and `retention`, entity and scope of the system's own. Their clock counts them from 0; they belong
 * to no chain. Payloads are MessagePack maps whose member `retention` names the sort:
 *
 * | sort | members |
 * | --- | --- |
 * | `sequences` | `runs`: first and last of each run of removed sequences, ascending, in one flat list |
 * | `entities` | `entities`: a list of [name, first clock, last clock, last sequence, hash of the last event, (the next run's four) …] |
 * | `batches` | `batches`: lists of rows, one list for each removed batch with a key; a row is [id, entity, scope, kind, BLAKE3 of the stored payload, sequence, clock, µs, event hash] |
 * | `keys` | `ids`: the foreign ids of such rows, ascending, 16 bytes each; `places`: for each the offset of its `batches` frame and the number of its batch there, u32 each |
 * | `summary` | see `RetentionSummary`. The segment's header says where it stands |
 */
import { crc32 } from "node:zlib";
import { type ByteSink, GrowingSink } from "../../base/byte-sink.ts";
import { sameBytes } from "../../base/hex.ts";
import {
  ARRAY_HEADER_BYTES_MAX,
  INTEGER_BYTES_MAX,
  makeRoom,
  stringBytesMax,
  writeArrayHeader,
  writeBinary8,
  writeInteger,
  writeRaw,
  writeString,
} from "../../base/msgpack.ts";
import { PieceList } from "../../base/piece-list.ts";
import { StoreError } from "../../base/store-error.ts";
import { SYSTEM_CONFIG_CHANGE } from "../../events/kind.ts";
import { encodePayload } from "../../events/payload-encode.ts";
import { blake3 } from "../../kernel/frame-kernel.ts";
import { beginFrame, endFrame, frameSeed, markFrame, stampFrame } from "./frame.ts";
import { FRAME, FRAME_FLAG } from "./frame-layout.ts";
import { SEGMENT_HEADER } from "./segment-header.ts";

/** How the payload of a frame of batches begins: a map of two members, the sort, and the name of the list that follows. */
const BATCHES_START = Buffer.from("\x82\xa9retention\xa7batches\xa7batches", "latin1");
/** What a row takes beyond its names: an id, two hashes, four numbers. */
const ROW_BYTES_MAX = ARRAY_HEADER_BYTES_MAX + 3 * 2 + 16 + 2 * 32 + 4 * INTEGER_BYTES_MAX;

/** A row without a frame: what answers a retry of a batch that was removed. */
export interface RemovedRow {
  readonly id: Uint8Array;
  readonly entity: string;
  readonly scope: string;
  readonly kind: number;
  readonly payloadHash: Uint8Array;
  readonly sequence: number;
  readonly clock: number;
  readonly timeMicros: number;
  readonly hash: Uint8Array;
}

/** Events of one entity, one behind the other, that were removed. */
export interface RemovedRun {
  readonly from: number;
  readonly to: number;
  /** Of the last of them. */
  readonly lastSequence: number;
  readonly lastHash: Uint8Array;
}

/** One compaction's share. */
export interface Removal {
  readonly generation: number;
  readonly count: number;
  /** BLAKE3(hash so far · event hash), from 32 zeros, over the removed events in the order of their sequences; zeros where damage took it. */
  readonly hash: Uint8Array;
}

export interface RetentionSummary {
  /** Oldest first. */
  readonly removals: readonly Removal[];
  /** Removed events in all. */
  readonly removed: number;
  /** Offsets of the frames of each sort. */
  readonly sequences: readonly number[];
  readonly entities: readonly number[];
  readonly batches: readonly number[];
  readonly keys: readonly { readonly firstId: Uint8Array; readonly offset: number }[];
  /** Over the ids in `keys`: `index-filter`, in one page. */
  readonly filter: Uint8Array;
}

/**
 * Makes frames that stand one behind the other, from `offset` of the segment with this seed on. Whoever makes many takes them as they are made; the
 * memory is his then.
 */
export class RetentionFrames {
  /** How many were made. */
  count = 0;
  /** Where the next frame will stand. */
  offset: number = SEGMENT_HEADER.bytes;
  readonly #seed: number;
  readonly #sequence: number;
  readonly #timeMicros: number;
  readonly #sink = new GrowingSink();
  readonly #made = new PieceList();

  constructor(seed: number, sequence: number, timeMicros: number) {
    this.#seed = seed;
    this.#sequence = sequence;
    this.#timeMicros = timeMicros;
  }

  /** Adds a frame; gives its offset. */
  add(payload: Readonly<Record<string, unknown>>): number {
    return this.#frame((sink) => encodePayload(sink, payload));
  }

  /** Adds the frame of so many batches, whose bytes are MessagePack: of each a list of rows (`writeRow`); gives its offset. */
  addBatches(count: number, batches: Uint8Array): number {
    return this.#frame((sink) => {
      makeRoom(sink, BATCHES_START.length + ARRAY_HEADER_BYTES_MAX + batches.length);
      writeRaw(sink, BATCHES_START);
      writeArrayHeader(sink, count);
      writeRaw(sink, batches);
    });
  }

  #frame(writePayload: (sink: ByteSink) => void): number {
    const sink = this.#sink;
    // What is not written is zero.
    sink.bytes.fill(0, 0, FRAME.variable);
    sink.position = 0;
    const flags = FRAME_FLAG.system | FRAME_FLAG.retention;
    const start = beginFrame(sink, { flags, kind: SYSTEM_CONFIG_CHANGE, version: 1, entity: "_batpak", scope: "_system" });
    writePayload(sink);
    const length = endFrame(sink, start);
    const { bytes, view } = sink;
    const { offset } = this;
    // The whole file is synced before it has its name.
    stampFrame(view, start, this.count, this.#sequence, this.#timeMicros, 0);
    markFrame(view, start);
    const hashAt = start + length - FRAME.hashBytes;
    bytes.set(blake3(bytes.subarray(start + FRAME.body, hashAt)), hashAt);
    view.setUint32(start + FRAME.crc, crc32(bytes.subarray(start + FRAME.length, start + length), frameSeed(this.#seed, offset)), true);
    this.#made.add(sink.copy(start));
    this.count++;
    this.offset += length;
    return offset;
  }

  /** The bytes of the frames that were made and not taken, where they are more than so many; else none. */
  take(bytesMin: number): Uint8Array {
    return this.#made.take(bytesMin);
  }
}

export function summaryPayload(summary: RetentionSummary): Readonly<Record<string, unknown>> {
  return {
    retention: "summary",
    removals: summary.removals.map(({ generation, count, hash }) => [generation, count, hash]),
    removed: summary.removed,
    sequences: summary.sequences,
    entities: summary.entities,
    batches: summary.batches,
    keys: summary.keys.map(({ firstId, offset }) => [firstId, offset]),
    filter: summary.filter,
  };
}

/** A row as MessagePack, in the shortest forms. */
export function writeRow(sink: ByteSink, row: RemovedRow): void {
  makeRoom(sink, ROW_BYTES_MAX + stringBytesMax(row.entity) + stringBytesMax(row.scope));
  writeArrayHeader(sink, 9);
  writeBinary8(sink, row.id);
  writeString(sink, row.entity);
  writeString(sink, row.scope);
  writeInteger(sink, row.kind);
  writeBinary8(sink, row.payloadHash);
  writeInteger(sink, row.sequence);
  writeInteger(sink, row.clock);
  writeInteger(sink, row.timeMicros);
  writeBinary8(sink, row.hash);
}

// Reading: whatever does not fit is damage.

type Payload = Readonly<Record<string, unknown>>;

function unfit(what: string): StoreError<"CORRUPT"> {
  const reason = `its record of what was removed does not fit (${what})`;
  return new StoreError("CORRUPT", `Cannot read a compacted segment: ${reason}`, { reason });
}

function list(value: unknown, what: string): readonly unknown[] {
  if (!Array.isArray(value)) throw unfit(what);
  return value;
}

function count(value: unknown, what: string): number {
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 0) throw unfit(what);
  return value;
}

function bytes(value: unknown, length: number, what: string): Uint8Array {
  if (!(value instanceof Uint8Array) || (length >= 0 && value.length !== length)) throw unfit(what);
  return value;
}

/** A name. */
function text(value: unknown, what: string): string {
  if (typeof value !== "string" || value === "") throw unfit(what);
  return value;
}

function member(payload: unknown, sort: string, name: string): unknown {
  if (typeof payload !== "object" || payload === null || (payload as Payload).retention !== sort) throw unfit(sort);
  return (payload as Payload)[name];
}

/** Which sort of frame this is the payload of; undefined where it is none of ours. */
export function retentionSort(payload: unknown): unknown {
  return typeof payload === "object" && payload !== null ? (payload as Payload).retention : undefined;
}

/** Whether the payload at `start` is one of batches, of which most of a record is made: a look that decodes nothing. */
export function holdsBatches(bytes: Uint8Array, start: number): boolean {
  return sameBytes(bytes, start, BATCHES_START, 0, BATCHES_START.length);
}

export function readSummary(payload: unknown): RetentionSummary {
  const counts = (name: string): number[] => list(member(payload, "summary", name), name).map((value) => count(value, name));
  return {
    removals: list(member(payload, "summary", "removals"), "removals").map((value) => {
      const [generation, events, hash] = list(value, "removals");
      return { generation: count(generation, "removals"), count: count(events, "removals"), hash: bytes(hash, 32, "removals") };
    }),
    removed: count(member(payload, "summary", "removed"), "removed"),
    sequences: counts("sequences"),
    entities: counts("entities"),
    batches: counts("batches"),
    keys: list(member(payload, "summary", "keys"), "keys").map((value) => {
      const [firstId, offset] = list(value, "keys");
      return { firstId: bytes(firstId, 16, "keys"), offset: count(offset, "keys") };
    }),
    filter: bytes(member(payload, "summary", "filter"), -1, "filter"),
  };
}

/** Runs of sequences, `[from, to]`. */
export function readSequences(payload: unknown): [number, number][] {
  const flat = list(member(payload, "sequences", "runs"), "runs").map((value) => count(value, "runs"));
  if (flat.length % 2 !== 0) throw unfit("runs");
  return Array.from({ length: flat.length / 2 }, (_, i) => [flat[2 * i], flat[2 * i + 1]]);
}

export function readEntities(payload: unknown): [string, RemovedRun[]][] {
  return list(member(payload, "entities", "entities"), "entities").map((value) => {
    const [name, ...rest] = list(value, "entities");
    if (rest.length === 0 || rest.length % 4 !== 0) throw unfit("entities");
    const runs: RemovedRun[] = [];
    for (let i = 0; i < rest.length; i += 4) {
      const [from, to, lastSequence] = rest.slice(i, i + 3).map((number) => count(number, "entities"));
      runs.push({ from, to, lastSequence, lastHash: bytes(rest[i + 3], 32, "entities") });
    }
    return [text(name, "entities"), runs];
  });
}

export function readBatches(payload: unknown): RemovedRow[][] {
  return list(member(payload, "batches", "batches"), "batches").map((batch) =>
    list(batch, "batches").map((value) => {
      const [id, entity, scope, kind, payloadHash, sequence, clock, timeMicros, hash] = list(value, "batches");
      return {
        id: bytes(id, 16, "batches"),
        entity: text(entity, "batches"),
        scope: text(scope, "batches"),
        kind: count(kind, "batches"),
        payloadHash: bytes(payloadHash, 32, "batches"),
        sequence: count(sequence, "batches"),
        clock: count(clock, "batches"),
        timeMicros: count(timeMicros, "batches"),
        hash: bytes(hash, 32, "batches"),
      };
    }),
  );
}

export function readKeys(payload: unknown): { readonly ids: Uint8Array; readonly places: DataView } {
  const ids = bytes(member(payload, "keys", "ids"), -1, "keys");
  const places = bytes(member(payload, "keys", "places"), -1, "keys");
  if (ids.length % 16 !== 0 || places.length * 2 !== ids.length) throw unfit("keys");
  return { ids, places: new DataView(places.buffer, places.byteOffset, places.byteLength) };
}
