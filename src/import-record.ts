/**
 * One record of an import: checked, and made an item to append. A record has the keys that `batpak dump` prints; entity, scope, kind and payload are
 * required, ids and the time are kept when they are there, and everything else is ignored.
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
import { AppendItem } from "./log/append-request.ts";

/**
 * An event to be imported, with the keys of `batpak dump`: of those that a dump has beside these, none is looked at.
 */
export interface ImportRecord {
  readonly entity: string;
  readonly scope: string;
  /** The raw number. */
  readonly kind: number;
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
  readonly entity: string;
  readonly scope: string;
  readonly kind: number;
  readonly payload: unknown;
  /** The payload as it will be stored. */
  readonly stored: Uint8Array;
  readonly id: Uint8Array | null;
  readonly correlation: Uint8Array | null;
  readonly causation: Uint8Array | null;
  /** Null for now. */
  readonly wallMs: number | null;
}

const OPERATION = "import";
/** The last whole millisecond that a frame can have. */
const WALL_MS_MAX = Math.floor(TIME_MICROS_MAX / 1000);

/** What a blank line holds. */
export const BLANK: unique symbol = Symbol("blank line");

const UTF8 = new TextDecoder("utf-8", { fatal: true });

/** The value of a line of JSON, given as text or as UTF-8 bytes; `BLANK` where nothing is on it. Anything else is the record itself. */
export function recordOf(given: unknown): unknown {
  const line = given instanceof Uint8Array ? UTF8.decode(given) : given;
  if (typeof line !== "string") return line;
  return line.trim() === "" ? BLANK : parseJson(line);
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
  const id = idOf(given.event_id, "event_id");
  const correlation = idOf(given.correlation_id, "correlation_id");
  const causation = idOf(given.causation_id, "causation_id");
  const wallMs = wallMsOf(given.wall_ms);
  const payload = payloadFromJsonValue(given.payload);
  sink.position = 0;
  encodePayload(sink, payload);
  if (sink.position > payloadBytesMax) {
    throw invalidArgument(`Cannot ${OPERATION}: the payload is ${sink.position} bytes, at most ${payloadBytesMax} is allowed`);
  }
  // The root of a chain of work is its own correlation, and is stored without.
  const isRoot = id !== null && correlation !== null && Buffer.compare(id, correlation) === 0;
  return { line, entity, scope, kind, payload, stored: sink.copy(), id, correlation: isRoot ? null : correlation, causation, wallMs };
}

function idOf(value: unknown, name: string): Uint8Array | null {
  return value === undefined || value === null ? null : parseId(value, `${OPERATION} ${name}`);
}

function wallMsOf(value: unknown): number | null {
  if (value === undefined || value === null) return null;
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value > WALL_MS_MAX) {
    throw invalidArgument(`Cannot ${OPERATION}: wall_ms is ${describeValue(value)}, whole milliseconds up to ${WALL_MS_MAX} are allowed`);
  }
  return value;
}

/**
 * A record as an event to be appended.
 *
 * @param lastMs the time of the event before it: nothing is stored with an earlier one
 */
export function itemOf(record: CheckedRecord, lastMs: number): AppendItem {
  const { entity, scope, kind, payload, id, correlation, causation, wallMs } = record;
  const clamped = wallMs !== null && wallMs < lastMs;
  const metadata: Metadata | null = clamped ? { import: { wall_ms: wallMs } } : null;
  const timeMicros = wallMs === null ? -1 : Math.max(wallMs, lastMs) * 1000;
  return new AppendItem(entity, scope, kind, 1, null, payload, id, null, correlation, causation, metadata, null, timeMicros);
}
