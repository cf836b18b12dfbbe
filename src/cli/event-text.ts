/**
 * Events as lines: for people and as JSON. Data or metadata that cannot be decoded is passed over with the reason in its place, and everything
 * else of the event is printed all the same.
 */
import { isStoreError } from "../base/store-error.ts";
import type { PlainEvent } from "../events/event.ts";
import { payloadToJson } from "../events/payload-json.ts";
import { printable, type Terminal } from "./terminal.ts";

/** Told of data and metadata that cannot be given. */
export type NoteUnreadable = (event: PlainEvent, member: "data" | "metadata", reason: string) => void;

/** The JSON of data or metadata, or why there is none. */
export function memberJson(
  event: PlainEvent,
  member: "data" | "metadata",
  note: NoteUnreadable,
): { readonly json: string; readonly reason?: undefined } | { readonly reason: string } {
  try {
    return { json: payloadToJson(event[member]) };
  } catch (error) {
    const reason = isStoreError(error, "CORRUPT") ? error.details.reason : (error as Error).message;
    note(event, member, reason);
    return { reason };
  }
}

/** The member with the name, or with `NAMEError` where it cannot be decoded. */
function jsonMember(name: "data" | "metadata", event: PlainEvent, note: NoteUnreadable): string {
  const shown = memberJson(event, name, note);
  return shown.reason === undefined ? `"${name}":${shown.json}` : `"${name}Error":${JSON.stringify(shown.reason)}`;
}

function textOf(member: "data" | "metadata", event: PlainEvent, note: NoteUnreadable): string {
  const shown = memberJson(event, member, note);
  return printable(shown.reason === undefined ? shown.json : `(cannot be decoded: ${shown.reason})`);
}

export function kindText(kind: number): string {
  return `0x${kind.toString(16).padStart(4, "0")}`;
}

/** As ISO text. A batpak 0.3 store may have times that no date can be of. */
function timeText(milliseconds: number): string {
  const date = new Date(milliseconds);
  return Number.isNaN(date.getTime()) ? `${milliseconds} ms` : date.toISOString();
}

/** One event on one line, for people. */
export function eventLine(event: PlainEvent, terminal: Terminal, note: NoteUnreadable): string {
  const where = terminal.style("dim", `${String(event.sequence).padStart(6)}  ${timeText(event.timestamp)}`);
  const name = terminal.style("bold", printable(event.entity));
  const type = printable(event.type ?? kindText(event.kind));
  return `${where}  ${name} ${terminal.style("dim", `#${event.clock} ${printable(event.scope)}`)}  ${type} ${textOf("data", event, note)}\n`;
}

/** One event as a line of JSON: the fields of the API, data and metadata in the JSON form of payloads. */
export function eventJson(event: PlainEvent, note: NoteUnreadable): string {
  const { id, sequence, entity, scope, kind, type, version, clock, timestamp, correlationId, causationId, hash, previousHash } = event;
  const head = { id, sequence, entity, scope, kind, type, version, clock, timestamp, correlationId, causationId, hash, previousHash };
  return `${JSON.stringify(head).slice(0, -1)},${jsonMember("metadata", event, note)},${jsonMember("data", event, note)}}\n`;
}

/** An event with a line for each field, for people. */
export function eventDetails(event: PlainEvent, note: NoteUnreadable): string {
  const metadata = textOf("metadata", event, note);
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
    ["metadata", metadata === "null" ? "-" : metadata],
    ["data", textOf("data", event, note)],
  ];
  return lines.map(([name, value]) => `${name.padEnd(12)}${value}\n`).join("");
}
