/** Fuzz targets: what comes from outside as values and text. Payloads, JSON, import lines, lock files, options of the command line. */
import { GrowingSink } from "../../src/base/byte-sink.ts";
import { isStoreError } from "../../src/base/store-error.ts";
import { filterOf, kindNumber } from "../../src/cli/filters.ts";
import { UsageError } from "../../src/cli/exit-code.ts";
import { decodeLockRecord, encodeLockRecord, parseClaimName } from "../../src/disk/lock-record.ts";
import { parseJson } from "../../src/events/json-parse.ts";
import { decodePayload } from "../../src/events/payload-decode.ts";
import { encodePayload } from "../../src/events/payload-encode.ts";
import { payloadFromJson, payloadFromJsonValue, payloadToJson, payloadToJsonValue } from "../../src/events/payload-json.ts";
import { compileQuery } from "../../src/events/query.ts";
import { checkRecord, recordOf } from "../../src/import-record.ts";
import type { FuzzInput, FuzzTarget } from "./fuzz-run.ts";
import { text } from "./native-targets.ts";

const VALUES: readonly unknown[] = [
  null,
  true,
  0,
  -1,
  2 ** 40,
  2 ** 53 - 1,
  0.1,
  -0,
  Number.NaN,
  2n ** 63n,
  -(2n ** 90n),
  "worth keeping",
  "straße 道 😀",
  new Date(1_700_000_000_123),
  new Date(-1),
  Uint8Array.of(1, 2, 3),
  new Uint8Array(300),
  [],
  [1, [2, [3, [4]]]],
  { n: 1, text: "a", list: Array.from({ length: 20 }, (_, i) => i), nested: { at: new Date(0), big: 2n ** 64n, $price: 3 } },
  Object.fromEntries(Array.from({ length: 20 }, (_, i) => [`key${i}`, `value ${i}`])),
];
const utf8 = new TextEncoder();
const decoder = new TextDecoder();

function encoded(value: unknown): Uint8Array {
  const sink = new GrowingSink(64);
  encodePayload(sink, value);
  return sink.copy();
}

export function valueTargets(): FuzzTarget[] {
  const json = VALUES.map((value) => utf8.encode(payloadToJson(value)));
  const record = { event_id: "018c8a0e-6f2b-7000-8000-000000000001", entity: "e", scope: "s", kind: 4097, wall_ms: 1_700_000_000_000 };
  const lines = VALUES.map((value) =>
    utf8.encode(JSON.stringify({ ...record, correlation_id: record.event_id, causation_id: null, payload: payloadToJsonValue(value) })),
  );
  const identity = { pid: 12, startTime: "34", bootId: "0e6f-2b70" };
  const lock = encodeLockRecord({ identity, since: new Date(1_700_000_000_000) });
  const options = ["5..9", "..9", "5..", "2024-01-31..2024-02-01T12:00:00Z", "0x1001", "4097", "018c8a0e6f2b70008000000000000001", "e:1"];
  return [
    { name: "payload", weight: 20, corpus: VALUES.map(encoded), run: runPayload },
    { name: "payload-json", weight: 10, corpus: json, run: runJson },
    { name: "import-line", weight: 10, corpus: lines, run: runLine },
    { name: "lock-file", weight: 4, corpus: [lock, utf8.encode("lock.claim.12.34.0e6f-2b70.1")], run: runLock },
    { name: "cli-filters", weight: 4, corpus: options.map((option) => utf8.encode(option)), run: runFilters },
  ];
}

function runPayload({ bytes, whole, view, at }: FuzzInput): string {
  let value: unknown;
  try {
    value = decodePayload(whole, view, at, at + bytes.length);
  } catch (error) {
    if (isStoreError(error, "CORRUPT")) return `corrupt ${error.details.reason}`;
    throw error;
  }
  // What any writer wrote, written by ours, reads the same.
  const again = encoded(value);
  const said = text(value);
  if (text(decodePayload(again, new DataView(again.buffer), 0, again.length)) !== said)
    throw new Error("written again, it reads otherwise");
  return `ok ${said}`;
}

/** The value, or the one error that wrong text gives. */
function parsed(read: () => unknown): { value: unknown } | string {
  try {
    return { value: read() };
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "INVALID_ARGUMENT") return `refused ${error.message}`;
    throw error;
  }
}

function runJson({ bytes }: FuzzInput): string {
  const line = decoder.decode(bytes);
  const outcome = parsed(() => payloadFromJson(line));
  if (typeof outcome === "string") return outcome;
  const json = payloadToJson(outcome.value);
  if (payloadToJson(payloadFromJson(json)) !== json) throw new Error(`${json} does not come back as it was`);
  const tagged = JSON.stringify(payloadToJsonValue(outcome.value));
  const back = payloadToJson(payloadFromJsonValue(parseJson(tagged)));
  if (back !== json) throw new Error(`as a value ${json} comes back as ${back}`);
  return `ok ${json}`;
}

const sink = new GrowingSink(1024);

function runLine({ bytes }: FuzzInput): string {
  try {
    const value = recordOf(bytes);
    if (typeof value === "symbol") return "blank";
    return `ok ${text(checkRecord(value, 1, 1024 * 1024, sink))}`;
  } catch (error) {
    // Whatever its type, it becomes INVALID_LINE with this message: but it must be about the line.
    const wanted = error instanceof Error && (isStoreError(error) || ("code" in error && typeof error.code === "string"));
    if (wanted) return `refused ${error.message}`;
    throw error;
  }
}

function runLock({ bytes }: FuzzInput): string {
  const holder = decodeLockRecord(bytes);
  if (holder !== null && text(decodeLockRecord(encodeLockRecord(holder))) !== text(holder))
    throw new Error("it does not come back as it was");
  return `${holder === null ? "nobody" : "holder"} ${text([holder, parseClaimName(decoder.decode(bytes))])}`;
}

function runFilters({ bytes }: FuzzInput): string {
  const option = decoder.decode(bytes);
  const said: string[] = [];
  for (const name of ["entity", "prefix", "scope", "category", "correlation", "causedBy", "clock", "sequence", "time"]) {
    try {
      compileQuery(filterOf({ [name]: option }), () => [1], "read");
      said.push("ok");
    } catch (error) {
      const wanted = error instanceof UsageError || (error instanceof Error && "code" in error && error.code === "INVALID_ARGUMENT");
      if (!wanted) throw error;
      said.push("refused");
    }
  }
  return `${said.filter((one) => one === "ok").length}-accepted ${said.join()} ${kindNumber(option)}`;
}
