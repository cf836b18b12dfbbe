/**
 * One record of an import: checked, and made an item to append. A record has the keys that `batpak dump` prints; entity, scope, kind and payload are
 * required, ids, the time, name, version, metadata and batch are kept when they are there, and everything else is ignored.
 */
import type { GrowingSink } from "./base/byte-sink.ts";
import { TIME_MICROS_MAX } from "./base/clock.ts";
import { describeValue } from "./base/describe-value.ts";
import { invalidArgument } from "./base/store-error.ts";
import { assertEntity, assertName } from "./events/coordinate.ts";
import type { Metadata } from "./events/event.ts";
import { parseId } from "./events/id.ts";
import { parseJson } from "./events/json-parse.ts";
import { assertPublicKind } from "./events/kind.ts";
import { encodePayload } from "./events/payload-encode.ts";
import { payloadFromJsonValue } from "./events/payload-json.ts";
import { NOTE_BYTES_MAX } from "./given-times.ts";
import { AppendItem } from "./log/append-request.ts";

/**
 * An event to be imported, with the keys of `batpak dump`: of those that a dump has beside these, none is looked at.
 */
export interface ImportRecord {
  readonly entity: string;
  readonly scope: string;
  /** The raw number. With `type`, it is what a name gets that is new in the store, where it is free. */
  readonly kind: number;
  /** The name of the kind in the store that the event comes from: it gets the kind that this store has for the name. */
  readonly type?: string | null | undefined;
  /** 1 to 65535, default 1. */
  readonly version?: number | null | undefined;
  /** A plain object, in the JSON form of payloads. */
  readonly metadata?: Readonly<Record<string, unknown>> | null | undefined;
  /** Any number from 0: records that follow one another with the same one are one batch. Without it, the record is a batch of its own. */
  readonly batch?: number | null | undefined;
  /** In the JSON form of payloads; Dates, bigints and bytes may stand there as such. A name's own leading `$` is doubled. */
  readonly payload: unknown;
  /** UUID text or 32 hex digits, as all ids here. Kept; without it, the writer issues one, and a second import adds the event again. */
  readonly event_id?: string | null | undefined;
  readonly correlation_id?: string | null | undefined;
  readonly causation_id?: string | null | undefined;
  /** Milliseconds since the Unix epoch. A time that would run backwards is clamped, and kept in the metadata as `{ import: { wall_ms } }`. */
  readonly wall_ms?: number | null | undefined;
}

/** A record, checked. */
export interface CheckedRecord {
  /** 1 for the first. */
  readonly line: number;
  readonly item: AppendItem;
  /** The payload as it will be stored. */
  readonly stored: Uint8Array;
  /** At most as many bytes its payload and metadata will have. */
  readonly bytes: number;
  /** Null: it is a batch of its own. */
  readonly batch: number | null;
}

const OPERATION = "import";
const VERSION_MAX = 0xffff;
/** The last whole millisecond that a frame can have. */
const WALL_MS_MAX = Math.floor(TIME_MICROS_MAX / 1000);

/** What a blank line holds. */
export const BLANK: unique symbol = Symbol("blank line");

const UTF8 = new TextDecoder("utf-8", { fatal: true });

/** The value of a line of JSON, given as text or as UTF-8 bytes; `BLANK` where nothing is on it. Anything else is the record itself. */
export function recordOf(given: unknown): unknown {
  const line = given instanceof Uint8Array ? textOf(given) : given;
  if (typeof line !== "string") return line;
  return line.trim() === "" ? BLANK : parseJson(line);
}

function textOf(bytes: Uint8Array): string {
  try {
    return UTF8.decode(bytes);
  } catch {
    // What a decoder says of it differs from runtime to runtime.
    throw invalidArgument(`Cannot ${OPERATION}: the line is no UTF-8, lines of JSON in UTF-8 are allowed`);
  }
}

/**
 * Checks a record.
 *
 * @throws TypeError, RangeError or StoreError, whose message says what is wrong with it
 */
export function checkRecord(record: unknown, line: number, payloadBytesMax: number, sink: GrowingSink): CheckedRecord {
  if (typeof record !== "object" || record === null || Array.isArray(record)) {
    throw invalidArgument(`Cannot ${OPERATION}: the record is no object, an object with entity, scope, kind and payload is allowed`);
  }
  const given = record as Partial<Record<keyof ImportRecord, unknown>>;
  for (const name of ["entity", "scope", "kind", "payload"] as const) {
    if (given[name] === undefined)
      throw invalidArgument(`Cannot ${OPERATION}: ${name} is missing, entity, scope, kind and payload are required`);
  }
  const { entity, scope, kind } = given;
  assertEntity(entity, OPERATION);
  assertName(scope, "scope", OPERATION);
  assertPublicKind(kind, OPERATION);
  const type = given.type ?? null;
  if (type !== null) assertName(type, "type", OPERATION);
  const id = idOf(given.event_id, "event_id");
  const correlation = idOf(given.correlation_id, "correlation_id");
  const causation = idOf(given.causation_id, "causation_id");
  const version = wholeOf(given.version, "version", 1, VERSION_MAX) ?? 1;
  const wallMs = wholeOf(given.wall_ms, "wall_ms", Number.MIN_SAFE_INTEGER, WALL_MS_MAX);
  const batch = wholeOf(given.batch, "batch", 0, Number.MAX_SAFE_INTEGER);
  const metadata = metadataOf(given.metadata);
  const metadataBytes = metadata === null ? 0 : encodedBytes(sink, metadata, "metadata", payloadBytesMax);
  const payload = payloadFromJsonValue(given.payload);
  const payloadBytes = encodedBytes(sink, payload, "payload", payloadBytesMax);
  // The root of a chain of work is its own correlation, and is stored without.
  const isRoot = id !== null && correlation !== null && Buffer.compare(id, correlation) === 0;
  const root = isRoot ? null : correlation;
  const timeMicros = wallMs === null ? -1 : wallMs * 1000;
  const item = new AppendItem(entity, scope, kind, version, null, payload, id, null, root, causation, metadata, null, timeMicros);
  item.type = type;
  item.givenMs = wallMs;
  const bytes = payloadBytes + metadataBytes + (wallMs === null ? 0 : NOTE_BYTES_MAX);
  return { line, item, stored: sink.copy(), bytes, batch };
}

function idOf(value: unknown, name: string): Uint8Array | null {
  return value === undefined || value === null ? null : parseId(value, `${OPERATION} ${name}`);
}

function wholeOf(value: unknown, name: string, min: number, max: number): number | null {
  if (value === undefined || value === null) return null;
  if (typeof value === "number" && Number.isSafeInteger(value) && value >= min && value <= max) return value;
  const allowed = name === "wall_ms" ? `whole milliseconds up to ${max}` : `whole numbers from ${min} to ${max}`;
  throw invalidArgument(`Cannot ${OPERATION}: ${name} is ${describeValue(value)}, ${allowed} are allowed`);
}

function metadataOf(value: unknown): Metadata | null {
  if (value === undefined || value === null) return null;
  const metadata = payloadFromJsonValue(value);
  const isObject = typeof metadata === "object" && metadata !== null && Object.getPrototypeOf(metadata) === Object.prototype;
  if (!isObject) throw invalidArgument(`Cannot ${OPERATION}: metadata is no plain object, a plain object is allowed`);
  return metadata as Metadata;
}

/** How many bytes the value takes; they are at the sink's beginning then. */
function encodedBytes(sink: GrowingSink, value: unknown, what: string, bytesMax: number): number {
  sink.position = 0;
  encodePayload(sink, value);
  if (sink.position <= bytesMax) return sink.position;
  throw invalidArgument(`Cannot ${OPERATION}: the ${what} is ${sink.position} bytes, at most ${bytesMax} is allowed`);
}
