/**
 * Which system records are in force: of equal definitions, and of each consumer's positions, the latest. So what a segment, its index block and the
 * checkpoint carry of them grows neither with every commit of a position nor with every append that brought a definition which others brought as well.
 */
import { SYSTEM_CHECKPOINT } from "../events/kind.ts";
import { nativeFrames } from "../format/native/frame-format.ts";
import { definitionRecordOf, systemRecordOf } from "./system-records.ts";

/** A consumer's position, as a record tells it; null: the consumer was deleted. */
export interface ConsumerRecord {
  readonly consumer: string;
  readonly position: number | null;
}

/** The payload of a consumer's position. */
export function consumerRecordPayload(record: ConsumerRecord): Readonly<Record<string, unknown>> {
  return { record: "consumer", consumer: record.consumer, position: record.position };
}

interface KnownRecord {
  /** What it is about: of the records about the same the latest is in force. Null where all are. */
  readonly subject: string | null;
  readonly consumer: ConsumerRecord | null;
}

/** What was read of a frame once: it is entered in more than one list. */
const known = new WeakMap<Uint8Array, KnownRecord>();
/** The latest record about each subject in a list; begun when something is added to the list. */
const latest = new WeakMap<Uint8Array[], Map<string, Uint8Array>>();

function knownOf(frame: Uint8Array): KnownRecord {
  let record = known.get(frame);
  if (record === undefined) {
    const consumer = readConsumer(frame);
    record = { subject: consumer === null ? readDefinition(frame) : `consumer ${consumer.consumer}`, consumer };
    known.set(frame, record);
  }
  return record;
}

function readConsumer(frame: Uint8Array): ConsumerRecord | null {
  if (nativeFrames.kind(new DataView(frame.buffer, frame.byteOffset, frame.byteLength), 0) !== SYSTEM_CHECKPOINT) return null;
  const { record, consumer, position } = systemRecordOf(frame) ?? {};
  if (record !== "consumer" || typeof consumer !== "string") return null;
  if (position !== null && !Number.isSafeInteger(position)) return null;
  return { consumer, position: position as number | null };
}

function readDefinition(frame: Uint8Array): string | null {
  const definition = definitionRecordOf(frame);
  return definition === null ? null : `definition ${definition.kind} ${definition.version} ${definition.name}`;
}

/**
 * Adds a record that was written after all of those; what it puts out of force is taken out. It comes last also where it is equal: the newest kind of a
 * name is in use, and the newest record is the head of its entity. Nothing else may change the list from then on.
 */
export function addRecordInForce(records: Uint8Array[], frame: Uint8Array): void {
  const { subject } = knownOf(frame);
  if (subject !== null) {
    const latestHere = latestIn(records);
    const before = latestHere.get(subject);
    // Mostly among the last: what is written over and over.
    if (before !== undefined) records.splice(records.lastIndexOf(before), 1);
    latestHere.set(subject, frame);
  }
  records.push(frame);
}

function latestIn(records: Uint8Array[]): Map<string, Uint8Array> {
  let found = latest.get(records);
  if (found === undefined) {
    found = new Map();
    for (const record of records) {
      const { subject } = knownOf(record);
      if (subject !== null) found.set(subject, record);
    }
    latest.set(records, found);
  }
  return found;
}

/** The positions that these records tell, by consumer. */
export function consumersIn(records: readonly Uint8Array[]): Map<string, number> {
  const positions = new Map<string, number>();
  for (const frame of records) {
    const record = knownOf(frame).consumer;
    if (record === null) continue;
    if (record.position === null) positions.delete(record.consumer);
    else positions.set(record.consumer, record.position);
  }
  return positions;
}
