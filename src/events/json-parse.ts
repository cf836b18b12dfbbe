/**
 * JSON in which no integer loses digits: one beyond the safe range becomes a bigint. Otherwise it means what `JSON.parse` means (which
 * cannot be told to do this before Node 21), but that a number beyond all that there are is refused, and no infinity. A number with a fraction or an
 * exponent is always a number.
 */
import { invalidArgument } from "../base/store-error.ts";

/** Most arrays and objects inside one another: a payload and the line around it. */
const JSON_DEPTH_MAX = 128;

/**
 * Where no number has so many digits that some could be lost, or so large an exponent that it could be none, the native parser is right. In a text
 * they mostly stand behind other characters.
 */
const LARGE_NUMBER = /(?:^|[:,[\s-])(?:\d{16}|\d+(?:\.\d+)?[eE]\+?\d{3})/;
const NUMBER = /-?(?:0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?/y;
/** Text up to the next quote, escape or control character. */
// oxlint-disable-next-line no-control-regex -- JSON forbids them in text
const PLAIN_TEXT = /[^"\\\u0000-\u001f]*/y;
const ESCAPES: Readonly<Record<string, string>> = { '"': '"', "\\": "\\", "/": "/", b: "\b", f: "\f", n: "\n", r: "\r", t: "\t" };

/**
 * The value of a JSON text.
 *
 * @throws TypeError `INVALID_ARGUMENT` when it is not JSON, with the position in UTF-16 units
 *
 * @example
 * parseJson('{"count":9007199254740993}'); // { count: 9007199254740993n }
 */
export function parseJson(text: string): unknown {
  if (!LARGE_NUMBER.test(text)) {
    try {
      return JSON.parse(text);
    } catch (cause) {
      throw invalidArgument(`Cannot read JSON: ${(cause as Error).message}, one JSON value is allowed`, { cause });
    }
  }
  const source: Source = { text, position: 0 };
  const value = readValue(source, 0);
  skipSpace(source);
  if (source.position !== text.length) fail(source);
  return value;
}

interface Source {
  readonly text: string;
  position: number;
}

function fail(source: Source, reason?: string): never {
  const found = source.position < source.text.length ? `${JSON.stringify(source.text[source.position])} stands` : "the text ends";
  throw invalidArgument(`Cannot read JSON: ${reason ?? found} at position ${source.position}, one JSON value is allowed`);
}

function skipSpace(source: Source): void {
  const text = source.text;
  let position = source.position;
  for (;;) {
    const unit = text.charCodeAt(position);
    if (unit !== 0x20 && unit !== 0x0a && unit !== 0x0d && unit !== 0x09) break;
    position++;
  }
  source.position = position;
}

/** Whether `mark` stands next, space apart; then it is passed over. */
function accept(source: Source, mark: string): boolean {
  skipSpace(source);
  if (source.text[source.position] !== mark) return false;
  source.position++;
  return true;
}

function readValue(source: Source, depth: number): unknown {
  if (depth > JSON_DEPTH_MAX) fail(source, `more than ${JSON_DEPTH_MAX} levels`);
  skipSpace(source);
  switch (source.text[source.position]) {
    case "{":
      return readObject(source, depth);
    case "[":
      return readArray(source, depth);
    case '"':
      return readText(source);
    case "t":
      return readWord(source, "true", true);
    case "f":
      return readWord(source, "false", false);
    case "n":
      return readWord(source, "null", null);
    default:
      return readNumber(source);
  }
}

function readWord<Value>(source: Source, word: string, value: Value): Value {
  if (!source.text.startsWith(word, source.position)) fail(source);
  source.position += word.length;
  return value;
}

function readNumber(source: Source): number | bigint {
  NUMBER.lastIndex = source.position;
  const match = NUMBER.exec(source.text);
  if (match === null) return fail(source);
  source.position = NUMBER.lastIndex;
  const value = Number(match[0]);
  if (!Number.isFinite(value) && /[.eE]/.test(match[0])) {
    source.position = match.index;
    return fail(source, `the number ${match[0]} is larger than any that can be kept`);
  }
  const integer = match[1] === undefined && match[2] === undefined;
  return integer && !Number.isSafeInteger(value) ? BigInt(match[0]) : value;
}

function readText(source: Source): string {
  const text = source.text;
  let result = "";
  source.position++;
  for (;;) {
    PLAIN_TEXT.lastIndex = source.position;
    PLAIN_TEXT.test(text);
    result += text.slice(source.position, PLAIN_TEXT.lastIndex);
    source.position = PLAIN_TEXT.lastIndex;
    const mark = text[source.position];
    if (mark === '"') {
      source.position++;
      return result;
    }
    if (mark !== "\\") fail(source);
    source.position++;
    result += readEscape(source);
  }
}

function readEscape(source: Source): string {
  const letter = source.text[source.position];
  if (letter === "u") {
    const digits = source.text.slice(source.position + 1, source.position + 5);
    if (!/^[0-9a-fA-F]{4}$/.test(digits)) fail(source);
    source.position += 5;
    return String.fromCharCode(Number.parseInt(digits, 16));
  }
  if (letter === undefined || !Object.hasOwn(ESCAPES, letter)) return fail(source);
  source.position++;
  return ESCAPES[letter];
}

function readArray(source: Source, depth: number): unknown[] {
  const items: unknown[] = [];
  source.position++;
  if (accept(source, "]")) return items;
  do items.push(readValue(source, depth + 1));
  while (accept(source, ","));
  if (!accept(source, "]")) fail(source);
  return items;
}

function readObject(source: Source, depth: number): Record<string, unknown> {
  const object: Record<string, unknown> = {};
  source.position++;
  if (accept(source, "}")) return object;
  do {
    skipSpace(source);
    if (source.text[source.position] !== '"') fail(source);
    const key = readText(source);
    if (!accept(source, ":")) fail(source);
    defineMember(object, key, readValue(source, depth + 1));
  } while (accept(source, ","));
  if (!accept(source, "}")) fail(source);
  return object;
}

/** Sets an own member of whatever name; `__proto__` sets no prototype. */
export function defineMember(object: Record<string, unknown>, key: string, value: unknown): void {
  if (key === "__proto__") Object.defineProperty(object, key, { value, writable: true, enumerable: true, configurable: true });
  else object[key] = value;
}
