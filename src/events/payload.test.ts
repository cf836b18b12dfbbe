import assert from "node:assert/strict";
import { test } from "node:test";
import { decode as theirDecode, encode as theirEncode } from "@msgpack/msgpack";
import fc from "fast-check";
import { Packr, Unpackr } from "msgpackr";
import { GrowingSink } from "../base/byte-sink.ts";
import { isStoreError } from "../base/store-error.ts";
import { decodePayload } from "./payload-decode.ts";
import { encodePayload } from "./payload-encode.ts";

function encode(value: unknown, capacity = 64): Uint8Array {
  const sink = new GrowingSink(capacity);
  sink.bytes[0] = 0x55;
  sink.position = 1;
  encodePayload(sink, value);
  assert.equal(sink.bytes[0], 0x55);
  return sink.copy(1);
}

function decode(bytes: Uint8Array): unknown {
  const padded = new Uint8Array(bytes.length + 5).fill(0xff);
  padded.set(bytes, 3);
  return decodePayload(padded, new DataView(padded.buffer), 3, 3 + bytes.length);
}

const hex = (value: unknown): string => Buffer.from(encode(value)).toString("hex");
const fromHex = (text: string): unknown => decode(new Uint8Array(Buffer.from(text.replaceAll(" ", ""), "hex")));
const seed = Number(process.env["SEED"] ?? Date.now() % 1_000_000_007);
const check = <Values extends [unknown, ...unknown[]]>(property: fc.IProperty<Values>, numRuns = 500): void => {
  fc.assert(property, { seed, numRuns });
};
console.log(`payload tests: SEED=${seed}`);

const key = fc
  .oneof(
    fc.string({ maxLength: 12 }),
    fc.string({ unit: "grapheme", maxLength: 40 }),
    fc.constantFrom("constructor", "0", "42", "$date", "toString", ""),
  )
  .filter((k) => k !== "__proto__");
const text = fc.oneof(
  fc.string(),
  fc.string({ unit: "grapheme", maxLength: 60 }),
  fc.string({ unit: "binary", minLength: 30, maxLength: 300 }),
);
const leaf = fc.oneof(
  fc.constant(null),
  fc.boolean(),
  text,
  fc.integer(),
  fc.maxSafeInteger(),
  fc.double(),
  fc.bigInt(),
  fc.bigInt({ min: -(2n ** 200n), max: 2n ** 200n }),
  fc.date({ noInvalidDate: true }),
  fc.uint8Array({ maxLength: 300 }),
);
const payload = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 5, withCrossShrink: true },
    leaf,
    fc.array(tie("value"), { maxLength: 20 }),
    fc.dictionary(key, tie("value"), { maxKeys: 20, noNullPrototype: true }),
  ),
})).value;

test("every payload comes back as it went in, whatever room the sink had", () => {
  check(
    fc.property(payload, fc.integer({ min: 1, max: 40 }), (value, capacity) => {
      const bytes = encode(value, capacity);
      assert.deepStrictEqual(decode(bytes), value);
      assert.deepEqual(encode(decode(bytes)), bytes);
    }),
    1000,
  );
});

test("the same value makes the same bytes however often its names have come", () => {
  const value = { first: 1, größe: [{ second: 2, ["x".repeat(31)]: 3, ["y".repeat(32)]: 4 }], "": { third: null } };
  const written = Array.from({ length: 100 }, () => hex(value));
  assert.deepEqual([...new Set(written)], [Buffer.from(theirEncode(value)).toString("hex")]);
});

test("text of any length and script has the shortest header, where there is room for the longest and where there is not", () => {
  const lengths = [39, 40, 41, 85, 86, 127, 128, 255, 256, 21_845, 21_846, 32_767, 32_768, 65_535, 65_536];
  for (const character of ["a", "é", "語", "🦇"]) {
    for (const length of lengths) {
      const value = ["before", character.repeat(length), `${"a".repeat(length - 1)}${character}`];
      const expected = Buffer.from(theirEncode(value));
      for (const capacity of [1, 6 * length, 20 * length]) {
        const sink = new GrowingSink(capacity);
        encodePayload(sink, value);
        assert.ok(expected.equals(sink.copy()), `${length} times ${character} in ${capacity} bytes`);
      }
    }
  }
});

test("text with a lone surrogate is refused wherever it stands, and the replacement character is not", () => {
  for (const length of [3, 50, 5000]) {
    const text = `${"語".repeat(length)}\ufffd${"a".repeat(length)}`;
    for (const capacity of [1, 100_000]) {
      assert.equal(decode(encode(text, capacity)), text);
      for (const at of [0, length, text.length]) {
        const broken = `${text.slice(0, at)}\udc00${text.slice(at)}`;
        assert.throws(() => encode(broken, capacity), /lone surrogate/);
      }
    }
  }
});

test("golden bytes", () => {
  const golden: [unknown, string][] = [
    [null, "c0"],
    [false, "c2"],
    [true, "c3"],
    [0, "00"],
    [127, "7f"],
    [128, "cc80"],
    [255, "ccff"],
    [256, "cd0100"],
    [65535, "cdffff"],
    [65536, "ce00010000"],
    [2 ** 31, "ce80000000"],
    [2 ** 32 - 1, "ceffffffff"],
    [2 ** 32, "cf0000000100000000"],
    [Number.MAX_SAFE_INTEGER, "cf001fffffffffffff"],
    [2 ** 53, "cb4340000000000000"],
    [-1, "ff"],
    [-32, "e0"],
    [-33, "d0df"],
    [-128, "d080"],
    [-129, "d1ff7f"],
    [-32768, "d18000"],
    [-32769, "d2ffff7fff"],
    [-(2 ** 31), "d280000000"],
    [-(2 ** 31) - 1, "d3ffffffff7fffffff"],
    [Number.MIN_SAFE_INTEGER, "d3ffe0000000000001"],
    [-0, "cb8000000000000000"],
    [0.5, "cb3fe0000000000000"],
    [Number.NaN, "cb7ff8000000000000"],
    [Number.POSITIVE_INFINITY, "cb7ff0000000000000"],
    [Number.NEGATIVE_INFINITY, "cbfff0000000000000"],
    ["", "a0"],
    ["hi", "a26869"],
    ["é", "a2c3a9"],
    ["a".repeat(31), `bf${"61".repeat(31)}`],
    ["a".repeat(32), `d920${"61".repeat(32)}`],
    ["é".repeat(16), `d920${"c3a9".repeat(16)}`],
    ["🦇€", "a7f09fa687e282ac"],
    ["a".repeat(256), `da0100${"61".repeat(256)}`],
    [new Uint8Array([1, 2]), "c4020102"],
    [Buffer.from([1, 2]), "c4020102"],
    [[], "90"],
    [[1, [2]], "92019102"],
    [{}, "80"],
    [{ a: 1, b: "x" }, "82a16101a162a178"],
    [0n, "d46e00"],
    [127n, "d46e7f"],
    [128n, "d56e0080"],
    [-1n, "d46eff"],
    [-128n, "d46e80"],
    [-129n, "d56eff7f"],
    [2n ** 63n, "cf8000000000000000"],
    [-(2n ** 63n), "d38000000000000000"],
    [2n ** 64n, "c7096e010000000000000000"],
    [-(2n ** 63n) - 1n, "c7096eff7fffffffffffffff"],
    [8388608n, "d66e00800000".replace("00800000", "00800000")],
    [32768n, "c7036e008000"],
    [new Date(0), "d6ff00000000"],
    [new Date(1000 * (2 ** 32 - 1)), "d6ffffffffff"],
    [new Date(1000 * 2 ** 32), "d7ff0000000100000000"],
    [new Date(1), "d7ff003d090000000000"],
    [new Date(-1), "c70cff3b8b87c0ffffffffffffffff"],
    [new Date(1000 * 2 ** 34), "c70cff000000000000000400000000"],
  ];
  for (const [value, bytes] of golden) {
    assert.equal(hex(value), bytes, String(value));
    const back = fromHex(bytes);
    assert.deepStrictEqual(back, Buffer.isBuffer(value) ? new Uint8Array(value) : value);
  }
});

test("undefined members are left out and the count is right on both sides of a header's width", () => {
  assert.equal(hex({ a: undefined, b: 1, c: undefined }), "81a16201");
  for (const [members, undefineds] of [
    [16, 1],
    [17, 1],
    [20, 20],
    [65536, 1],
    [65537, 1],
    [65540, 65530],
  ]) {
    const object: Record<string, unknown> = {};
    const expected: Record<string, unknown> = {};
    for (let index = 0; index < members; index++) {
      object[`k${index}`] = index < undefineds ? undefined : index;
      if (index >= undefineds) expected[`k${index}`] = index;
    }
    assert.deepStrictEqual(decode(encode(object)), expected);
    assert.deepEqual(encode(object), encode(expected));
  }
});

test("objects without prototype and of other realms are plain, accessors are looked at once", async () => {
  const bare: Record<string, unknown> = Object.assign(Object.create(null), { a: 1 });
  assert.deepStrictEqual(decode(encode(bare)), { a: 1 });
  const { runInNewContext } = await import("node:vm");
  assert.deepStrictEqual(decode(encode(runInNewContext("({ a: [1, new Date(5), new Uint8Array([7])] })"))), {
    a: [1, new Date(5), new Uint8Array([7])],
  });
  let looks = 0;
  const once = {
    get a() {
      return ++looks;
    },
  };
  assert.deepStrictEqual(decode(encode(once)), { a: 1 });
  assert.deepStrictEqual(decode(encode(Object.create(Object.prototype, { hidden: { value: 1 }, shown: { value: 2, enumerable: true } }))), {
    shown: 2,
  });
  assert.deepStrictEqual(decode(encode({ toJSON: null, a: 1 })), { toJSON: null, a: 1 });
});

test("members that came to Object.prototype are not written", () => {
  Object.defineProperty(Object.prototype, "polluted", { value: 1, enumerable: true, configurable: true });
  try {
    assert.equal(hex({ a: 1, b: undefined }), "81a16101");
  } finally {
    Reflect.deleteProperty(Object.prototype, "polluted");
  }
});

function refused(value: unknown, path: string, reason: RegExp): void {
  const sink = new GrowingSink(64);
  sink.position = 3;
  assert.throws(
    () => encodePayload(sink, value),
    (error) => {
      assert.ok(isStoreError(error, "PAYLOAD_UNSUPPORTED"), String(error));
      assert.equal(error.details.path, path);
      assert.match(error.details.reason, reason);
      assert.match(error.message, /^Cannot store the payload: \$/);
      return true;
    },
  );
  assert.equal(sink.position, 3);
}

test("what would not come back is refused with its path", () => {
  class Point {
    x = 1;
  }
  const cycle: Record<string, unknown> = { list: [] };
  (cycle["list"] as unknown[]).push({ back: cycle });
  const holes: unknown[] = [1, 2];
  holes[3] = 4;
  refused(undefined, "$", /undefined/);
  refused({ items: [1, 2, 3, { price: undefined, odd: () => 1 }] }, "$.items[3].odd", /function/);
  refused([1, undefined], "$[1]", /undefined in an array/);
  refused(holes, "$[2]", /hole/);
  refused({ a: Symbol("s") }, "$.a", /symbol/);
  refused({ a: { [Symbol("s")]: 1 } }, "$.a", /symbol as key/);
  refused({ "a b": new Map() }, '$["a b"]', /instance of Map/);
  refused(new Set(), "$", /instance of Set/);
  refused({ a: /x/ }, "$.a", /RegExp/);
  refused({ a: new Point() }, "$.a", /instance of Point/);
  refused({ a: Object(1) }, "$.a", /Number/);
  refused({ a: Object("x") }, "$.a", /String/);
  refused({ a: new Error("x") }, "$.a", /Error/);
  refused({ a: Promise.resolve() }, "$.a", /Promise/);
  refused({ a: new Float64Array(1) }, "$.a", /Float64Array/);
  refused({ a: new ArrayBuffer(1) }, "$.a", /ArrayBuffer/);
  const sent = new Uint8Array(8);
  structuredClone(sent.buffer, { transfer: [sent.buffer] });
  refused({ a: [1, sent] }, "$.a[1]", /transferred/);
  refused({ a: new (class List extends Array {})() }, "$.a", /List/);
  refused({ a: new Date(Number.NaN) }, "$.a", /invalid Date/);
  refused({ a: JSON.parse('{"__proto__":1}') as unknown }, "$.a.__proto__", /__proto__/);
  refused({ a: "\ud800" }, "$.a", /lone surrogate/);
  refused({ a: `${"x".repeat(100)}\udc00` }, "$.a", /lone surrogate/);
  refused({ a: { ["k\ud800"]: 1 } }, '$.a["k\\ud800"]', /lone surrogate/);
  refused(cycle, "$.list[0].back", /what it lies in/);
  refused(Math, "$", /symbol as key/);
  refused(
    (function (this: void) {
      // oxlint-disable-next-line prefer-rest-params -- the object itself is under test
      return arguments;
    })(),
    "$",
    /symbol as key/,
  );
  const again = {
    get a() {
      encodePayload(new GrowingSink(8), 1);
      return 1;
    },
  };
  refused(again, "$", /another encoding/);
  assert.equal(hex({ a: 1 }), "81a16101");
});

test("the same object twice is no cycle; depth ends at 100", () => {
  const shared = { x: 1 };
  assert.deepStrictEqual(decode(encode([shared, shared, { shared }])), [{ x: 1 }, { x: 1 }, { shared: { x: 1 } }]);
  let deep: unknown = 1;
  for (let level = 0; level < 100; level++) deep = level % 2 === 0 ? [deep] : { d: deep };
  assert.deepStrictEqual(decode(encode(deep)), deep);
  refused([deep], `$[0]${".d[0]".repeat(49)}.d`, /deeper than 100/);
  const nested = new Uint8Array(102).fill(0x91);
  nested[101] = 0;
  assert.throws(() => decode(nested), { code: "CORRUPT" });
});

test("an error of the sink leaves it where it was and the encoder usable", () => {
  const sink = new GrowingSink(8);
  sink.grow = () => {
    throw new RangeError("full");
  };
  sink.position = 2;
  assert.throws(() => encodePayload(sink, { a: "0123456789" }), RangeError);
  assert.equal(sink.position, 2);
  assert.equal(hex([1]), "9101");
});

/** What both other libraries can carry. */
const common = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 4 },
    fc.oneof(
      fc.constant(null),
      fc.boolean(),
      text,
      fc.integer(),
      fc.integer({ min: 0, max: 2 ** 32 - 1 }),
      fc.double({ noNaN: true, noInteger: true }),
      fc.date({ noInvalidDate: true, min: new Date(0), max: new Date("2500-01-01") }),
      fc.uint8Array({ maxLength: 70 }),
    ),
    fc.array(tie("value"), { maxLength: 20 }),
    fc.dictionary(key, tie("value"), { maxKeys: 20, noNullPrototype: true }),
  ),
})).value;

test("@msgpack/msgpack and msgpackr read ours, and we read theirs", () => {
  const packr = new Packr({ useRecords: false, encodeUndefinedAsNil: true, mapsAsObjects: true, variableMapSize: true });
  const unpackr = new Unpackr({ useRecords: false, mapsAsObjects: true });
  const plainBytes = (value: unknown): unknown => {
    if (value instanceof Uint8Array) return new Uint8Array(value);
    if (Array.isArray(value)) return value.map(plainBytes);
    if (typeof value === "object" && value !== null && !(value instanceof Date)) {
      return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, plainBytes(v)]));
    }
    return value;
  };
  check(
    fc.property(common, (value) => {
      const ours = encode(value);
      assert.deepStrictEqual(theirDecode(ours), value);
      assert.deepStrictEqual(decode(theirEncode(value)), value);
      assert.deepStrictEqual(plainBytes(unpackr.unpack(ours)), value);
      assert.deepStrictEqual(decode(new Uint8Array(packr.pack(value))), value);
    }),
  );
});

test("other encoders' widths and forms are read", () => {
  assert.equal(fromHex("cf0000000000000005"), 5);
  assert.equal(fromHex("d3ffffffffffffffff"), -1);
  assert.equal(fromHex("cfffffffffffffffff"), 2n ** 64n - 1n);
  assert.equal(fromHex("d38000000000000000"), -(2n ** 63n));
  assert.equal(fromHex("cf0020000000000000"), 2n ** 53n);
  assert.equal(fromHex("ca3f000000"), 0.5);
  assert.deepStrictEqual(fromHex("dd00000002 c7046e00000005 db00000001 61"), [5n, "a"]);
  assert.deepStrictEqual(fromHex("df00000001 da000161 c600000001 07"), { a: new Uint8Array([7]) });
  assert.deepStrictEqual(fromHex("83 01c0 ffc0 cf0000000100000000c0"), { 1: null, "-1": null, 4294967296: null });
  assert.deepStrictEqual(fromHex("82 a16101 a16102"), { a: 2 });
  const prototype = fromHex("81 a95f5f70726f746f5f5f 81a16101") as object;
  assert.equal(Object.getPrototypeOf(prototype), Object.prototype);
  assert.deepStrictEqual(Object.keys(prototype), ["__proto__"]);
  assert.equal(fromHex("a3efbfbd"), "\ufffd");
  assert.equal(fromHex("a3efbbbf"), "\ufeff");
});

test("malformed bytes are CORRUPT", () => {
  for (const bad of [
    "",
    "c1",
    "c0c0",
    "a2ff",
    "a1ff",
    "a261",
    "d9",
    "d905",
    "daffff",
    "dbffffffff",
    "c6ffffffff",
    "ddffffffff",
    "dfffffffff",
    "9201",
    "81a161",
    "cb00",
    "cf00",
    "81c0c0",
    "8180c0",
    "81c0",
    "d40100",
    "d5ff0000",
    "d7ffffffffff00000000",
    "c70cff000000007fffffffffffffff",
    "c7006e",
    "81a2c3c3c0",
    "d801",
  ]) {
    assert.throws(() => fromHex(bad), { name: "StoreError", code: "CORRUPT" }, bad);
  }
  const four = new Uint8Array(4);
  assert.throws(() => decodePayload(four, new DataView(four.buffer), 2, 9), { code: "CORRUPT" });
});

function decodesOrIsCorrupt(bytes: Uint8Array): void {
  try {
    decode(bytes);
  } catch (error) {
    assert.ok(isStoreError(error, "CORRUPT"), String(error));
  }
}

test("no bytes crash the decoder", () => {
  check(fc.property(fc.uint8Array({ maxLength: 200 }), decodesOrIsCorrupt), 20_000);
  check(
    fc.property(payload, fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 5 }), (value, changes) => {
      const bytes = encode(value);
      for (const [at, byte] of changes) bytes[at % bytes.length] = byte;
      decodesOrIsCorrupt(bytes);
      decodesOrIsCorrupt(bytes.subarray(0, changes[0][0] % (bytes.length + 1)));
    }),
    2000,
  );
});

test("bigints of 64 bits past the safe integers are MessagePack's own integers, and come back bigints; all others are the extension", () => {
  const hex = (value: bigint): string => Buffer.from(encode(value)).toString("hex");
  assert.equal(hex(2n ** 64n - 1n), "cfffffffffffffffff");
  assert.equal(hex(2n ** 53n), "cf0020000000000000");
  assert.equal(hex(-(2n ** 53n)), "d3ffe0000000000000");
  assert.equal(hex(-(2n ** 63n)), "d38000000000000000");
  for (const extended of [0n, -1n, 2n ** 53n - 1n, -(2n ** 53n) + 1n, 2n ** 64n, -(2n ** 63n) - 1n])
    assert.match(hex(extended), /^(?:d[4-8]|c7..)6e/);
  for (const value of [
    2n ** 64n - 1n,
    2n ** 63n,
    2n ** 53n,
    2n ** 53n - 1n,
    0n,
    -(2n ** 53n) + 1n,
    -(2n ** 53n),
    -(2n ** 63n),
    -(2n ** 63n) - 1n,
  ]) {
    assert.equal(fromHex(hex(value)), value);
  }
});
