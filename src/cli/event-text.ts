/** Events as lines: for people and as JSON. */
import type { PlainEvent } from "../events/event.ts";
import { payloadToJson } from "../events/payload-json.ts";
import { printable, type Terminal } from "./terminal.ts";

type ReadEvent = PlainEvent;

export function kindText(kind: number): string {
  return `0x${kind.toString(16).padStart(4, "0")}`;
}

/** One event on one line, for people. */
export function eventLine(event: ReadEvent, terminal: Terminal): string {
  const where = terminal.style("dim", `${String(event.sequence).padStart(6)}  ${new Date(event.timestamp).toISOString()}`);
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
    ["time", new Date(event.timestamp).toISOString()],
    ["correlation", event.correlationId],
    ["causation", event.causationId ?? "-"],
    ["hash", event.hash],
    ["previous", event.previousHash],
    ["metadata", event.metadata === null ? "-" : printable(payloadToJson(event.metadata))],
    ["data", printable(payloadToJson(event.data))],
  ];
  return lines.map(([name, value]) => `${name.padEnd(12)}${value}\n`).join("");
}
