/** Events as `dump` prints them, and `import` takes them. */
import type { PlacedEvent } from "../placed-reading.ts";
import { memberJson, type NoteUnreadable } from "./event-text.ts";

/** What a full dump has beside its keys: `batch` is the sequence of the first event of an event's batch, null where it is alone in it. */
export interface FullDump {
  readonly batch: number | null;
}

/**
 * A line of `dump`: its keys, in their order. `payload_error` stands, with the reason, for a payload that cannot be decoded.
 *
 * @param full null for these keys alone; else those that only native stores know stand before the payload, where there is something to say
 */
export function dumpLine({ event, segmentId, offset, length }: PlacedEvent, full: FullDump | null, note: NoteUnreadable): string {
  const { causationId } = event;
  const data = memberJson(event, "data", note);
  return (
    `{"event_id":"${idDigits(event.id)}","correlation_id":"${idDigits(event.correlationId)}",` +
    `"causation_id":${causationId === null ? "null" : `"${idDigits(causationId)}"`},` +
    `"entity":${JSON.stringify(event.entity)},"scope":${JSON.stringify(event.scope)},"kind":${event.kind},` +
    `"wall_ms":${event.timestamp},"clock":${event.clock},"prev_hash":"${event.previousHash}","event_hash":"${event.hash}",` +
    `"segment_id":${segmentId},"offset":${offset},"length":${length},"global_sequence":${event.sequence},` +
    (full === null ? "" : nativeMembers(event, full, note)) +
    (data.reason === undefined ? `"payload":${data.json}}\n` : `"payload_error":${JSON.stringify(data.reason)}}\n`)
  );
}

function nativeMembers(event: PlacedEvent["event"], { batch }: FullDump, note: NoteUnreadable): string {
  const { type, storedVersion } = event;
  const metadata = memberJson(event, "metadata", note);
  return (
    (type === null ? "" : `"type":${JSON.stringify(type)},`) +
    (storedVersion === 1 ? "" : `"version":${storedVersion},`) +
    (metadata.reason === undefined
      ? metadata.json === "null"
        ? ""
        : `"metadata":${metadata.json},`
      : `"metadata_error":${JSON.stringify(metadata.reason)},`) +
    (batch === null ? "" : `"batch":${batch},`)
  );
}

function idDigits(id: string): string {
  return id.slice(0, 8) + id.slice(9, 13) + id.slice(14, 18) + id.slice(19, 23) + id.slice(24);
}

/**
 * Tells of each event, asked in their order, the sequence of the first event of its batch; null where it is alone in it. Where events between are
 * gone, what is behind them is told as a batch apart.
 */
export function batchNumbers(): (placed: PlacedEvent) => number | null {
  let first = -1;
  let next = -1;
  return ({ event: { sequence }, endsBatch }) => {
    const goesOn = first >= 0 && sequence === next;
    if (!goesOn) first = sequence;
    const batch = goesOn || !endsBatch ? first : null;
    next = sequence + 1;
    if (endsBatch) first = -1;
    return batch;
  };
}
