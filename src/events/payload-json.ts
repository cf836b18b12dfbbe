/**
 * Payloads as JSON, for `dump`, `import` and for people. Export and import agree:
 *
 * | payload | JSON |
 * | --- | --- |
 * | bigint | bare digits; read back as a bigint when beyond the safe range, else as a number |
 * | an integer number beyond the safe range | with an exponent (`1e+21`), so that it stays a number |
 * | Date | `{"$date":"2024-01-31T12:00:00.000Z"}` |
 * | Uint8Array | `{"$bytes":"aGk="}` (base64) |
 * | -0 | `-0` |
 * | NaN, infinities | `{"$number":"NaN"}`, `"Infinity"`, `"-Infinity"` |
 * | a member whose own name begins with `$` | one more `$` before it |
 *
 * A JSON value, as `toJSON` of an event gives it, cannot hold the bare forms. It has `{"$bigint":"18446744073709551616"}`,
 * `{"$number":"1e+21"}` and `{"$number":"-0"}` for them, which are read as well.
 */
import { isRealDate } from "../base/calendar.ts";
import { describeValue } from "../base/describe-value.ts";
import { invalidArgument } from "../base/store-error.ts";
import { defineMember, parseJson } from "./json-parse.ts";
import { DEPTH_MAX } from "./payload-format.ts";

/**
 * A payload in its JSON form, as one line of text.
 *
 * @param value a payload that was read or could be stored
 *
 * @example
 * payloadToJson({ at: new Date(0), big: 2n ** 64n }); // {"at":{"$date":"1970-01-01T00:00:00.000Z"},"big":18446744073709551616}
 */
export function payloadToJson(value: unknown): string {
  return isPlainJson(value, 0) ? JSON.stringify(value) : write(value, 0);
}

/**
 * A payload in its JSON form, as a value that `JSON.stringify` takes: as the text, but for integers beyond the safe range: `{"$bigint": …}`,
 * `{"$number": …}`.
 */
export function payloadToJsonValue(value: unknown): unknown {
  return simplify(value, 0);
}

/**
 * The payload of a JSON text.
 *
 * @throws TypeError `INVALID_ARGUMENT` when it is not JSON, or not the JSON form of a payload
 */
export function payloadFromJson(text: string): unknown {
  return payloadFromJsonValue(parseJson(text));
}

/**
 * The payload of a JSON value, as `parseJson` gives it. Changes and shares nothing of it but primitives. A Date or bytes that stand in it as
 * such pass as they are.
 */
export function payloadFromJsonValue(value: unknown): unknown {
  return restore(value, 0);
}

function isSpecialNumber(value: number): boolean {
  return !Number.isFinite(value) || Object.is(value, -0);
}

/** The object that stands for a value without a JSON form of its own; null for any other value. */
function markedForm(value: unknown): Record<string, string> | null {
  if (typeof value === "number") return isSpecialNumber(value) ? { $number: Object.is(value, -0) ? "-0" : String(value) } : null;
  if (value instanceof Date) return { $date: value.toISOString() };
  if (value instanceof Uint8Array) {
    return { $bytes: Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString("base64") };
  }
  return null;
}

function assertDepth(depth: number): void {
  if (depth > DEPTH_MAX)
    throw invalidArgument(`Cannot convert the payload: it is nested deeper than ${DEPTH_MAX} levels, fewer are allowed`);
}

function write(value: unknown, depth: number): string {
  if (Object.is(value, -0)) return "-0";
  const marked = markedForm(value);
  if (marked !== null) return JSON.stringify(marked);
  if (typeof value === "bigint") return String(value);
  if (typeof value === "number" && Number.isInteger(value) && !Number.isSafeInteger(value)) return value.toExponential();
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  assertDepth(depth);
  if (Array.isArray(value)) return `[${value.map((item) => write(item, depth + 1)).join(",")}]`;
  const members: string[] = [];
  for (const [key, member] of Object.entries(value)) {
    if (member === undefined) continue;
    members.push(`${JSON.stringify(key.startsWith("$") ? `$${key}` : key)}:${write(member, depth + 1)}`);
  }
  return `{${members.join(",")}}`;
}

/** Whether `JSON.stringify` writes the payload's JSON form of this value. */
function isPlainJson(value: unknown, depth: number): boolean {
  if (typeof value === "string" || typeof value === "boolean" || value === null) return true;
  if (typeof value === "number") return (Number.isSafeInteger(value) || !Number.isInteger(value)) && !isSpecialNumber(value);
  if (typeof value !== "object" || depth > DEPTH_MAX) return false;
  if (typeof (value as { toJSON?: unknown }).toJSON === "function") return false;
  if (Array.isArray(value)) return value.every((item) => isPlainJson(item, depth + 1));
  if (Object.getPrototypeOf(value) !== Object.prototype) return false;
  for (const key in value) if (key.startsWith("$") || !isPlainJson((value as Record<string, unknown>)[key], depth + 1)) return false;
  return true;
}

function simplify(value: unknown, depth: number): unknown {
  if (typeof value === "string" || typeof value === "boolean" || value === null) return value;
  const marked = markedForm(value);
  if (marked !== null) return marked;
  if (typeof value === "bigint") {
    const number = Number(value);
    return Number.isSafeInteger(number) ? number : { $bigint: String(value) };
  }
  // Bare, these digits would be read back as a bigint.
  if (typeof value === "number" && Number.isInteger(value) && !Number.isSafeInteger(value)) return { $number: value.toExponential() };
  if (typeof value !== "object") return value;
  assertDepth(depth);
  if (Array.isArray(value)) return value.map((item) => simplify(item, depth + 1));
  const object: Record<string, unknown> = {};
  for (const key of Object.keys(value)) {
    const member = (value as Record<string, unknown>)[key];
    if (member !== undefined) defineMember(object, key.startsWith("$") ? `$${key}` : key, simplify(member, depth + 1));
  }
  return object;
}

function restore(value: unknown, depth: number): unknown {
  if (typeof value !== "object" || value === null) return value;
  assertDepth(depth);
  if (Array.isArray(value)) return value.map((item) => restore(item, depth + 1));
  // A Date, bytes, or what no payload may hold: as it is, for the encoder to take or refuse.
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) return value;
  const entries = Object.entries(value);
  if (entries.length === 1 && /^\$[^$]/.test(entries[0][0])) return restoreMarked(entries[0][0], entries[0][1]);
  const object: Record<string, unknown> = {};
  for (const [key, member] of entries) {
    if (/^\$(?!\$)/.test(key)) throw unknownForm(key);
    defineMember(object, key.startsWith("$") ? key.slice(1) : key, restore(member, depth + 1));
  }
  return object;
}

const SPECIAL_NUMBERS: ReadonlyMap<string, number> = new Map([
  ["-0", -0],
  ["NaN", Number.NaN],
  ["Infinity", Number.POSITIVE_INFINITY],
  ["-Infinity", Number.NEGATIVE_INFINITY],
]);
const EXPONENTIAL = /^-?\d(?:\.\d+)?e[+-]\d+$/;
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;
const ISO_TIME = /^(?:\d{4}|[+-]\d{6})-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,3})?(?:Z|[+-]\d\d:\d\d)$/;

function restoreMarked(key: string, content: unknown): unknown {
  if (typeof content === "string") {
    if (key === "$date" && ISO_TIME.test(content) && isRealDate(content)) {
      const date = new Date(content);
      if (!Number.isNaN(date.getTime())) return date;
    }
    if (key === "$bytes" && BASE64.test(content)) return new Uint8Array(Buffer.from(content, "base64"));
    if (key === "$number") {
      const number = SPECIAL_NUMBERS.get(content);
      if (number !== undefined) return number;
      if (EXPONENTIAL.test(content) && Number.isFinite(Number(content))) return Number(content);
    }
    if (key === "$bigint" && /^-?(?:0|[1-9]\d*)$/.test(content)) return BigInt(content);
  }
  throw unknownForm(key, content);
}

/** What each form has for its content. */
const CONTENTS: Readonly<Record<string, string>> = {
  $date: "ISO text with the date, the time and the zone (2020-01-31T12:00:00Z) of a day that exists",
  $bytes: "padded base64 text (aGk=)",
  $number: '"NaN", "Infinity", "-Infinity", "-0" and text with an exponent (1e+21)',
  $bigint: "text of decimal digits",
};

function unknownForm(key: string, content?: unknown): TypeError {
  const wanted = content === undefined ? undefined : CONTENTS[key];
  if (wanted !== undefined)
    return invalidArgument(`Cannot read the payload's JSON: ${key} has ${describeValue(content)}, ${wanted} is allowed`);
  return invalidArgument(
    `Cannot read the payload's JSON: ${JSON.stringify(key)} stands for no value here, $date, $bytes, $number and $bigint with their text are allowed, and a name's own $ is doubled`,
  );
}
