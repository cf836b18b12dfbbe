/** The stores that the original wrote (test/fixtures/batpak-0.3), as tests need them: files, rows of truth, payloads as MessagePack. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { GrowingSink } from "../../src/base/byte-sink.ts";
import { makeRoom, writeArrayHeader, writeBigInteger, writeNil, writeString } from "../../src/base/msgpack.ts";

export const FIXTURES_DIRECTORY: string = fileURLToPath(new URL("../fixtures/batpak-0.3/", import.meta.url));

export interface FixtureRow {
  readonly event_id: string;
  readonly correlation_id: string;
  readonly causation_id: string | null;
  readonly entity: string;
  readonly scope: string;
  readonly kind: number;
  readonly wall_ms: number;
  readonly clock: number;
  readonly prev_hash: string;
  readonly event_hash: string;
  readonly segment_id: number;
  readonly offset: number;
  readonly length: number;
  readonly global_sequence: number;
  readonly read_error?: string;
  readonly header?: {
    readonly event_id: string;
    readonly content_hash: string;
    readonly event_kind: number;
    readonly flags: number;
    readonly payload_size: number;
    readonly timestamp_us: number;
    readonly position: {
      readonly wall_ms: number;
      readonly counter: number;
      readonly depth: number;
      readonly lane: number;
      readonly sequence: number;
    };
  };
  /** The payload as MessagePack; null where the original could not read it. */
  readonly payloadBytes: Uint8Array | null;
}

export interface FixtureSegment {
  readonly name: string;
  readonly segmentId: number;
  readonly bytes: Uint8Array;
}

export interface Fixture {
  readonly name: string;
  readonly segments: readonly FixtureSegment[];
  readonly checkpoint: Uint8Array | null;
  readonly rows: readonly FixtureRow[];
  /** What a frame scan alone can know: differs from `rows` where sequences were burned. */
  readonly scanRows: readonly FixtureRow[];
}

export function fixtureNames(): string[] {
  return readdirSync(FIXTURES_DIRECTORY, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => entry.name)
    .sort();
}

export function loadFixture(name: string): Fixture {
  const directory = join(FIXTURES_DIRECTORY, name);
  const segments = readdirSync(directory)
    .filter((file) => file.endsWith(".fbat"))
    .map((file) => ({ name: file, segmentId: Number.parseInt(file, 10), bytes: new Uint8Array(readFileSync(join(directory, file))) }))
    .sort((left, right) => left.segmentId - right.segmentId);
  const checkpointFile = join(directory, "index.ckpt");
  const scanFile = join(FIXTURES_DIRECTORY, `${name}.scan.jsonl`);
  const rows = readRows(join(FIXTURES_DIRECTORY, `${name}.jsonl`));
  return {
    name,
    segments,
    checkpoint: existsSync(checkpointFile) ? new Uint8Array(readFileSync(checkpointFile)) : null,
    rows,
    scanRows: existsSync(scanFile) ? readRows(scanFile) : rows,
  };
}

function readRows(file: string): FixtureRow[] {
  return readFileSync(file, "utf8")
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => {
      const row = JSON.parse(line) as FixtureRow & { payload?: unknown };
      const exact = JSON.parse(line.replace(TOKEN, (token) => (token.startsWith('"') ? token : `{"$number":"${token}"}`))) as {
        payload?: unknown;
      };
      return { ...row, payloadBytes: "payload" in exact ? jsonToMessagePack(exact.payload) : null };
    });
}

/** A string, or a number: numbers are kept as text, since JSON's own parser would round the 64-bit ones. */
const TOKEN = /"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;

function jsonToMessagePack(value: unknown): Uint8Array {
  const sink = new GrowingSink();
  write(sink, value);
  return sink.copy();
}

function write(sink: GrowingSink, value: unknown): void {
  makeRoom(sink, 16);
  if (value === null) writeNil(sink);
  else if (typeof value === "boolean") sink.bytes[sink.position++] = value ? 0xc3 : 0xc2;
  else if (typeof value === "string") {
    makeRoom(sink, 5 + value.length * 3);
    writeString(sink, value);
  } else if (Array.isArray(value)) {
    writeArrayHeader(sink, value.length);
    for (const element of value) write(sink, element);
  } else writeObject(sink, value as Record<string, unknown>);
}

function writeObject(sink: GrowingSink, value: Record<string, unknown>): void {
  if (typeof value.$number === "string") {
    if (/^-?\d+$/.test(value.$number)) return writeBigInteger(sink, BigInt(value.$number));
    sink.bytes[sink.position] = 0xcb;
    sink.view.setFloat64(sink.position + 1, Number(value.$number));
    sink.position += 9;
    return;
  }
  const pairs = Object.entries(value);
  if (pairs.length > 15) throw new Error("Cannot encode the fixture's payload: it has more than 15 members");
  sink.bytes[sink.position++] = 0x80 | pairs.length;
  for (const [key, member] of pairs) {
    write(sink, key);
    write(sink, member);
  }
}

export function hex(bytes: Uint8Array, at = 0, length: number = bytes.length - at): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset + at, length).toString("hex");
}

export function unhex(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text, "hex"));
}
