/**
 * Which system records are in force: every definition, and of each consumer's positions the latest. So what a segment, its index block and the
 * checkpoint carry of them does not grow with every commit of a position.
 */
import { SYSTEM_CHECKPOINT } from "../events/kind.ts";
import { nativeFrames } from "../format/native/frame-format.ts";

/** A consumer's position, as a record tells it; null: the consumer was deleted. */
export interface ConsumerRecord {
  readonly consumer: string;
  readonly position: number | null;
}

/** The payload of a consumer's position. */
export function consumerRecordPayload(record: ConsumerRecord): Readonly<Record<string, unknown>> {
  return { record: "consumer", consumer: record.consumer, position: record.position };
}

/** What was read of a frame once: a record is compared with each one after it. */
const known = new WeakMap<Uint8Array, ConsumerRecord | "other">();

/** The position that a system record tells of; null for any other record. */
export function consumerRecordOf(frame: Uint8Array): ConsumerRecord | null {
  let record = known.get(frame);
  if (record === undefined) {
    record = readRecord(frame) ?? "other";
    known.set(frame, record);
  }
  return record === "other" ? null : record;
}

function readRecord(frame: Uint8Array): ConsumerRecord | null {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  if (nativeFrames.kind(view, 0) !== SYSTEM_CHECKPOINT) return null;
  const payload = nativeFrames.payload(frame, view, 0);
  if (typeof payload !== "object" || payload === null) return null;
  const { record, consumer, position } = payload as Record<string, unknown>;
  if (record !== "consumer" || typeof consumer !== "string") return null;
  if (position !== null && !Number.isSafeInteger(position)) return null;
  return { consumer, position: position as number | null };
}

/** Adds a record that was written after all of those; what it puts out of force is taken out. */
export function addRecordInForce(records: Uint8Array[], frame: Uint8Array): void {
  const added = consumerRecordOf(frame);
  if (added !== null) {
    const before = records.findIndex((record) => consumerRecordOf(record)?.consumer === added.consumer);
    if (before >= 0) records.splice(before, 1);
  }
  records.push(frame);
}

/** The positions that these records tell, by consumer. */
export function consumersIn(records: readonly Uint8Array[]): Map<string, number> {
  const positions = new Map<string, number>();
  for (const frame of records) {
    const record = consumerRecordOf(frame);
    if (record === null) continue;
    if (record.position === null) positions.delete(record.consumer);
    else positions.set(record.consumer, record.position);
  }
  return positions;
}
