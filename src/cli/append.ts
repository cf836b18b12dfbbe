/** `batpak append DIR ENTITY SCOPE NAME|KIND JSON|-`: appends one event. */
import type { Command } from "commander";
import { GrowingSink } from "../base/byte-sink.ts";
import type { AppendOptions } from "../events/append-types.ts";
import { assertCoordinate, type Coordinate } from "../events/coordinate.ts";
import { defineEvent, rawEvent } from "../events/definition.ts";
import type { Metadata } from "../events/event.ts";
import type { Expectation } from "../events/expectation.ts";
import { assertKey, parseId } from "../events/id.ts";
import { encodePayload } from "../events/payload-encode.ts";
import { payloadFromJson } from "../events/payload-json.ts";
import { UsageError } from "./exit-code.ts";
import { kindNumber, wholeNumber } from "./filters.ts";
import { standardInput } from "./lines.ts";
import { addWait, type WaitFlags, withWriter } from "./open-directory.ts";
import type { Terminal } from "./terminal.ts";

interface AppendFlags extends WaitFlags {
  readonly create?: boolean;
  readonly expect?: string;
  readonly key?: string;
  readonly causedBy?: string;
  readonly correlation?: string;
  readonly metadata?: string;
  readonly eventVersion?: string;
}

export function addAppend(program: Command, terminal: Terminal): void {
  addWait(program.command("append"))
    .argument("<dir>", "the store's directory")
    .argument("<entity>", "the entity: order:507")
    .argument("<scope>", "the scope: shop:eu")
    .argument("<name|kind>", "the event's name, or its kind as a number: 4096, 0x1000")
    .argument("<json|->", "the payload as JSON; - reads it from standard input")
    .description("append one event, and print its receipt")
    .option("--create", "make the store where there is none")
    .option("--expect <what>", "none, exists, or the entity's latest clock")
    .option("--key <key>", "idempotency key: the same append again returns the first receipt")
    .option("--caused-by <id>", "the event that causes this one")
    .option("--correlation <id>", "the event that began the chain of work")
    .option("--metadata <json>", "a JSON object, noted beside the event")
    .option("--event-version <number>", "the version of the event's shape, default 1")
    .action(async (directory: string, entity: string, scope: string, name: string, json: string, flags: AppendFlags) => {
      const data = payloadFromJson(json === "-" ? await standardInput() : json);
      const version = flags.eventVersion === undefined ? 1 : wholeNumber(flags.eventVersion, "--event-version");
      const kind = kindNumber(name);
      const event = kind === null ? defineEvent(name, { version })(data) : rawEvent(kind, data, version);
      const options = appendOptions(flags);
      assertArguments({ entity, scope }, data, options);
      await withWriter(directory, flags.create === true, flags, async (store) => {
        const receipt = await store.append({ entity, scope }, event, options);
        const text = `sequence ${receipt.sequence}  clock ${receipt.clock}  id ${receipt.id}`;
        await terminal.printDone(`${terminal.json ? JSON.stringify(receipt) : text}\n`, `the event is stored: ${text}`);
      });
    });
}

/** Checks what no store is needed for: none is made for an append that is given wrongly. */
function assertArguments(coordinate: Coordinate, data: unknown, options: AppendOptions): void {
  const { idempotencyKey, causedBy, correlationId, metadata } = options;
  assertCoordinate(coordinate, "append");
  if (idempotencyKey !== undefined) assertKey(idempotencyKey, "append");
  if (causedBy !== undefined) parseId(causedBy, "append with --caused-by");
  if (correlationId !== undefined) parseId(correlationId, "append with --correlation");
  if (causedBy !== undefined && correlationId !== undefined)
    throw new UsageError("Cannot append: --caused-by and --correlation are both given, one of them is allowed");
  for (const value of [data, metadata ?? null]) encodePayload(new GrowingSink(), value);
}

function appendOptions(flags: AppendFlags): AppendOptions {
  const { expect, key, causedBy, correlation, metadata } = flags;
  return {
    ...(expect === undefined ? {} : { expect: expectation(expect) }),
    ...(key === undefined ? {} : { idempotencyKey: key }),
    ...(causedBy === undefined ? {} : { causedBy }),
    ...(correlation === undefined ? {} : { correlationId: correlation }),
    ...(metadata === undefined ? {} : { metadata: metadataOf(metadata) }),
  };
}

function metadataOf(json: string): Metadata {
  const value = payloadFromJson(json);
  const isObject = typeof value === "object" && value !== null && Object.getPrototypeOf(value) === Object.prototype;
  if (!isObject) throw new UsageError(`Cannot use --metadata ${json}: it is no object, a JSON object is allowed`);
  return value as Metadata;
}

function expectation(text: string): Expectation {
  if (text === "none" || text === "exists") return text;
  if (!/^\d+$/.test(text)) throw new UsageError(`Cannot use --expect ${text}: none, exists and a clock from 0 are allowed`);
  return { clock: wholeNumber(text, "--expect") };
}
