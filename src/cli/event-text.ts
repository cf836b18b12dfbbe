/** Events as lines: for people, as JSON, and as `dump` prints them. */
import type { PlainEvent } from "../events/event.ts";
import { payloadToJson } from "../events/payload-json.ts";
import type { PlacedEvent } from "../placed-reading.ts";
import { printable, type Terminal } from "./terminal.ts";

type ReadEvent = PlainEvent;

export function kindText(kind: number): string {
  return `0x${kind.toString(16).padStart(4, "0")}`;
}

/** As ISO text. A batpak 0.3 store may have times that no date can be of. */
function timeText(milliseconds: number): string {
  const date = new Date(milliseconds);
  return Number.isNaN(date.getTime()) ? `${milliseconds} ms` : date.toISOString();
}

/** One event on one line, for people. */
export function eventLine(event: ReadEvent, terminal: Terminal): string {
  const where = terminal.style("dim", `${String(event.sequence).padStart(6)}  ${timeText(event.timestamp)}`);
  const name = terminal.style("bold", printable(event.entity));
  const type = printable(event.type ?? kindText(event.kind));
  return `${where}  ${name} ${terminal.style("dim", `#${event.clock} ${printable(event.scope)}`)}  ${type} ${printable(payloadToJson(event.data))}\n`;
}

/** One event as a line of JSON: the fields of the API, data and metadata in the JSON form of payloads. */
export function eventJson(event: ReadEvent): string {
  const { id, sequence, entity, scope, kind, type, version, clock, timestamp, correlationId, causationId, hash, previousHash } = event;
  const head = { id, sequence, entity, scope, kind, type, version, clock, timestamp, correlationId, causationId, hash, previousHash };
  const metadata = event.metadata === null ? "null" : payloadToJson(event.metadata);
  return `${JSON.stringify(head).slice(0, -1)},"metadata":${metadata},"data":${payloadToJson(event.data)}}\n`;
}

/** An event with a line for each field, for people. */
export function eventDetails(event: ReadEvent): string {
  const lines: [string, string][] = [
    ["id", event.id],
    ["sequence", String(event.sequence)],
    ["entity", printable(event.entity)],
    ["scope", printable(event.scope)],
    ["type", printable(event.type ?? "-")],
    ["kind", `${kindText(event.kind)} version ${event.version}`],
    ["clock", String(event.clock)],
    ["time", timeText(event.timestamp)],
    ["correlation", event.correlationId],
    ["causation", event.causationId ?? "-"],
    ["hash", event.hash],
    ["previous", event.previousHash],
    ["metadata", event.metadata === null ? "-" : printable(payloadToJson(event.metadata))],
    ["data", printable(payloadToJson(event.data))],
  ];
  return lines.map(([name, value]) => `${name.padEnd(12)}${value}\n`).join("");
}

function idDigits(id: string): string {
  return id.slice(0, 8) + id.slice(9, 13) + id.slice(14, 18) + id.slice(19, 23) + id.slice(24);
}

/** A line of `dump`: its keys, in their order. */
export function dumpLine({ event, segmentId, offset, length }: PlacedEvent): string {
  const { causationId } = event;
  return (
    `{"event_id":"${idDigits(event.id)}","correlation_id":"${idDigits(event.correlationId)}",` +
    `"causation_id":${causationId === null ? "null" : `"${idDigits(causationId)}"`},` +
    `"entity":${JSON.stringify(event.entity)},"scope":${JSON.stringify(event.scope)},"kind":${event.kind},` +
    `"wall_ms":${event.timestamp},"clock":${event.clock},"prev_hash":"${event.previousHash}","event_hash":"${event.hash}",` +
    `"segment_id":${segmentId},"offset":${offset},"length":${length},"global_sequence":${event.sequence},` +
    `"payload":${payloadToJson(event.data)}}\n`
  );
}
