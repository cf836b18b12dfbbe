import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import fc from "fast-check";
import { parseJson } from "./json-parse.ts";
import { payloadFromJson, payloadFromJsonValue, payloadToJson, payloadToJsonValue } from "./payload-json.ts";

const seed = Number(process.env["SEED"] ?? Date.now() % 1_000_000_007);
console.log(`payload JSON tests: SEED=${seed}`);
const invalid = { name: "TypeError", code: "INVALID_ARGUMENT" };

const key = fc
  .oneof(
    fc.string(),
    fc.constantFrom("$date", "$", "$$", "$bytes", "$number", "$x", "constructor", "7"),
    fc.string().map((k) => `$${k}`),
  )
  .filter((k) => k !== "__proto__");
const payload = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 5 },
    fc.constant(null),
    fc.boolean(),
    fc.string({ unit: "grapheme" }),
    fc.double(),
    fc.maxSafeInteger(),
    fc.bigInt().filter((value) => !Number.isSafeInteger(Number(value))),
    fc.date({ noInvalidDate: true }),
    fc.uint8Array(),
    fc.array(tie("value"), { maxLength: 10 }),
    fc.dictionary(key, tie("value"), { maxKeys: 6, noNullPrototype: true }),
  ),
})).value;

test("a payload survives its JSON form, as text and as a value", () => {
  fc.assert(
    fc.property(payload, (value) => {
      assert.deepStrictEqual(payloadFromJson(payloadToJson(value)), value);
      assert.deepStrictEqual(payloadFromJson(` ${payloadToJson(value).replaceAll(":", ": ")}\n`.replaceAll(": ", ":")), value);
      assert.deepStrictEqual(payloadFromJson(JSON.stringify(payloadToJsonValue(value))), value);
    }),
    { seed, numRuns: 1000 },
  );
});

test("each special value has its stated form", () => {
  const forms: [unknown, string][] = [
    [2n ** 64n, "18446744073709551616"],
    [-(2n ** 64n), "-18446744073709551616"],
    [5n, "5"],
    [1e21, "1e+21"],
    [2 ** 53, "9.007199254740992e+15"],
    [new Date(0), '{"$date":"1970-01-01T00:00:00.000Z"}'],
    [new Uint8Array([104, 105]), '{"$bytes":"aGk="}'],
    [-0, "-0"],
    [Number.NaN, '{"$number":"NaN"}'],
    [Number.NEGATIVE_INFINITY, '{"$number":"-Infinity"}'],
    [{ $date: 1, $$x: 2, a: undefined, b: [] }, '{"$$date":1,"$$$x":2,"b":[]}'],
  ];
  for (const [value, text] of forms) assert.equal(payloadToJson(value), text);
  assert.equal(payloadFromJson("5"), 5);
  assert.equal(payloadFromJson('{"$bigint":"5"}'), 5n);
  assert.deepEqual(payloadToJsonValue([5n, 2n ** 64n]), [5, { $bigint: "18446744073709551616" }]);
});

test("a $ that stands for nothing is refused", () => {
  for (const bad of [
    '{"$date":5}',
    '{"$date":"yesterday"}',
    '{"$date":"2024-13-01T00:00:00Z"}',
    '{"$bytes":"a"}',
    '{"$number":"5"}',
    '{"$x":1}',
    '{"$":1}',
    '{"a":1,"$date":"x"}',
    '{"$bigint":"0x5"}',
  ]) {
    assert.throws(() => payloadFromJson(bad), invalid, bad);
  }
  let deep: unknown = [];
  for (let level = 0; level < 101; level++) deep = [deep];
  assert.throws(() => payloadFromJsonValue(deep), invalid);
});

test("the parser agrees with JSON.parse, integers beyond the safe range apart", () => {
  const long = "1234567890123456"; // makes the own parser run
  fc.assert(
    fc.property(fc.jsonValue({ noUnicodeString: false }), fc.constantFrom(undefined, 2, "\t"), (value, space) => {
      const text = JSON.stringify([value, long], null, space);
      // What is a bigint here is an unsafe number there.
      const numbers = JSON.parse(
        JSON.stringify(parseJson(text), (_, member: unknown) => (typeof member === "bigint" ? Number(member) : member)),
      );
      assert.deepStrictEqual(numbers, JSON.parse(text));
    }),
    { seed, numRuns: 1000 },
  );
  assert.deepStrictEqual(parseJson("[9007199254740991,9007199254740992,-9007199254740992,9007199254740992.0,1e16]"), [
    9007199254740991,
    9007199254740992n,
    -9007199254740992n,
    9007199254740992,
    1e16,
  ]);
  assert.deepStrictEqual(parseJson(`["\\u0041\\n\\"\\/",${long}]`), ['A\n"/', 1234567890123456]);
  assert.deepStrictEqual(Object.keys(parseJson(`{"__proto__":${long}}`) as object), ["__proto__"]);
});

test("a number that is larger than any is refused with its place, and no infinity", () => {
  const right = ["1e308", "1.7976931348623157e308", "-1e+308", "0e999", "1e-999", '"1e400"', '{"a":"x,1e400"}'];
  for (const text of right) assert.deepEqual(parseJson(text), JSON.parse(text), text);
  const wrong: [string, string, number][] = [
    ["1e400", "1e400", 0],
    ['{"a":[1, -2.5E+309]}', "-2.5E+309", 9],
    ["[100000000000000000000e300]", "100000000000000000000e300", 1],
  ];
  for (const [text, number, at] of wrong) {
    const message = `Cannot read JSON: the number ${number} is larger than any that can be kept at position ${at}, one JSON value is allowed`;
    assert.throws(() => parseJson(text), { message }, text);
  }
});

test("a form with the wrong content is told what it wants", () => {
  const wrong: [string, RegExp][] = [
    ['{"$date":1577836800000}', /\$date has 1577836800000, ISO text with the date, the time and the zone/],
    ['{"$date":"2020-01-01"}', /\$date has "2020-01-01", ISO text with/],
    ['{"$date":"2024-02-30T00:00:00Z"}', /\$date has "2024-02-30T00:00:00Z", ISO text .* of a day that exists/],
    ['{"$bytes":"AQ"}', /\$bytes has "AQ", padded base64/],
    ['{"$number":"5"}', /\$number has "5", "NaN"/],
    ['{"$bigint":5}', /\$bigint has 5, text of decimal digits/],
    ['{"$other":5}', /"\$other" stands for no value here/],
    ['{"$date":"2024-02-29T00:00:00Z","b":1}', /"\$date" stands for no value here/],
  ];
  for (const [text, message] of wrong) assert.throws(() => payloadFromJson(text), { code: "INVALID_ARGUMENT", message }, text);
  assert.deepEqual(payloadFromJson('{"$date":"+012024-02-29T00:00:00Z"}'), new Date("+012024-02-29T00:00:00Z"));
});

test("the forms are those of the table in docs/cli.md", () => {
  const table = readFileSync(new URL("../../docs/cli.md", import.meta.url), "utf8");
  const values: [string, unknown][] = [
    ["2 ** 53", 2 ** 53],
    ["5n", 5n],
    ["2n ** 64n", 2n ** 64n],
    ["-0", -0],
    ["new Date(0)", new Date(0)],
    ["Uint8Array.of(104, 105)", Uint8Array.of(104, 105)],
    ["{ $a: 1 }", { $a: 1 }],
  ];
  for (const [expression, value] of values) {
    const text = payloadToJson(value);
    const plain = JSON.stringify(payloadToJsonValue(value));
    const row = table.split("\n").find((line) => line.split("|")[1]?.includes(`\`${expression}\``)) ?? "";
    const [, , printed, stringified, back] = row.split("|").map((cell) => cell.trim());
    assert.deepEqual(
      [printed, stringified],
      [`\`${text}\``, plain === text && stringified === "the same" ? stringified : `\`${plain}\``],
      expression,
    );
    for (const form of [text, plain]) assert.deepEqual(payloadFromJson(form), back === "a number" ? Number(value) : value);
  }
});

test("what is not JSON is refused", () => {
  const long = "1234567890123456";
  for (const bad of [
    "",
    "{",
    "[1,]",
    "01",
    "+1",
    "1.",
    ".5",
    "'a'",
    '"\t"',
    '"\\x"',
    '"\\u12"',
    "tru",
    "{a:1}",
    '{"a"}',
    "[1 2]",
    "1 1",
    '"a',
    "NaN",
  ]) {
    assert.throws(() => parseJson(bad), invalid, bad);
    assert.throws(() => parseJson(`[${long},${bad}`), invalid, bad);
    assert.throws(() => parseJson(`[${long},${bad === "" ? "," : bad}]`), invalid, bad);
  }
  assert.throws(() => parseJson(`${"[".repeat(200)}${long}${"]".repeat(200)}`), invalid);
});
