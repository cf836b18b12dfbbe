import assert from "node:assert/strict";
import { test } from "node:test";
import { encode } from "@msgpack/msgpack";
import fc from "fast-check";
import { GrowingSink } from "./byte-sink.ts";
import {
  isText,
  makeRoom,
  msgpackReader,
  readArrayHeader,
  readBigInteger,
  readFixedBinary,
  readInteger,
  readMapHeader,
  readNil,
  readStringSpan,
  readUnsigned,
  skipValue,
  stringBytesMax,
  textAt,
  viewOf,
  writeArrayHeader,
  writeBigInteger,
  writeBinary8,
  writeInteger,
  writeString,
} from "./msgpack.ts";
import type { MsgpackReader } from "./msgpack.ts";

function reader(bytes: Uint8Array): MsgpackReader {
  return msgpackReader(bytes, viewOf(bytes), 0, bytes.length);
}

function written(write: (sink: GrowingSink) => void): Uint8Array {
  const sink = new GrowingSink(16);
  write(sink);
  return sink.copy();
}

const EDGES = [0, 0x7f, 0x80, 0xff, 0x100, 0xffff, 0x1_0000, 0xffff_ffff, 0x1_0000_0000, Number.MAX_SAFE_INTEGER];
const integers = [
  ...EDGES,
  ...EDGES.map((edge) => -edge - 1).filter(Number.isSafeInteger),
  -32,
  -33,
  -127,
  -128,
  -129,
  -32768,
  -32769,
  Number.MIN_SAFE_INTEGER,
];

test("integers take the shortest form, as another codec writes them, and come back", () => {
  for (const value of integers) {
    const bytes = written((sink) => writeInteger(sink, value));
    assert.deepEqual(bytes, encode(value), `${value}`);
    assert.equal(readInteger(reader(bytes)), value);
    assert.equal(readBigInteger(reader(bytes)), BigInt(value));
    assert.deepEqual(
      written((sink) => writeBigInteger(sink, BigInt(value))),
      bytes,
    );
  }
  fc.assert(fc.property(fc.maxSafeInteger(), (value) => readInteger(reader(written((sink) => writeInteger(sink, value)))) === value));
  fc.assert(
    fc.property(
      fc.bigInt(-(2n ** 63n), 2n ** 64n - 1n),
      (value) => readBigInteger(reader(written((sink) => writeBigInteger(sink, value)))) === value,
    ),
  );
});

test("an integer past the safe ones, or out of its range, is a fault", () => {
  const large = reader(written((sink) => writeBigInteger(sink, 2n ** 53n)));
  assert.equal(readInteger(large), 0);
  assert.match(large.fault ?? "", /too large/);
  const negative = reader(Uint8Array.of(0xff));
  readUnsigned(negative);
  assert.match(negative.fault ?? "", /out of range/);
});

test("strings, binary and headers come back", () => {
  for (const text of ["", "a", "é", "\ufeff", "x".repeat(31), "x".repeat(32), "é".repeat(200), "x".repeat(70_000)]) {
    const bytes = written((sink) => {
      makeRoom(sink, stringBytesMax(text));
      writeString(sink, text);
    });
    assert.deepEqual(bytes, encode(text));
    const read = reader(bytes);
    const start = readStringSpan(read);
    assert.equal(isText(bytes, start, read.position), true);
    assert.equal(textAt(bytes, start, read.position), text);
    assert.equal(read.position, bytes.length);
  }
  for (const count of [0, 15, 16, 0xffff, 0x1_0000])
    assert.equal(readArrayHeader(reader(written((sink) => writeArrayHeader(sink, count)))), count);
  assert.equal(readMapHeader(reader(encode({ a: 1, b: 2 }))), 2);
  const id = Uint8Array.from({ length: 16 }, (_, index) => index);
  const read = reader(
    written((sink) => {
      makeRoom(sink, 20);
      writeBinary8(sink, id);
    }),
  );
  assert.equal(readFixedBinary(read, 16), 2);
  assert.equal(readNil(reader(Uint8Array.of(0xc0))), true);
  assert.equal(readNil(reader(Uint8Array.of(0xc2))), false);
});

test("bytes that are not UTF-8 are not text", () => {
  assert.equal(isText(Uint8Array.of(0x61, 0xff), 0, 2), false);
  assert.equal(isText(Uint8Array.of(0xed, 0xa0, 0x80), 0, 3), false);
});

test("a value of any kind is skipped to its end, and never past what is there", () => {
  const values = fc.jsonValue();
  fc.assert(
    fc.property(values, fc.uint8Array({ maxLength: 300 }), fc.double(), (value, binary, double) => {
      const bytes = encode([value, binary, double, new Date(0), "x".repeat(binary.length * 3)]);
      const read = reader(bytes);
      skipValue(read);
      assert.equal(read.position, bytes.length);
      const followed = reader(Buffer.concat([bytes, binary, bytes]));
      skipValue(followed);
      assert.equal(followed.position, bytes.length);
      const cut = reader(bytes.subarray(0, -1));
      skipValue(cut);
      assert.equal(cut.short, true);
    }),
  );
});

test("counts and depths that lie cost nothing", () => {
  for (const bytes of [
    [0xdd, 0xff, 0xff, 0xff, 0xff],
    [0xdf, 0xff, 0xff, 0xff, 0xff, 0],
    [0xdb, 0xff, 0xff, 0xff, 0xff],
    [0xc9, 0xff, 0xff, 0xff, 0xff, 1],
    [0xc1],
    [],
  ]) {
    const read = reader(Uint8Array.from(bytes));
    skipValue(read);
    assert.notEqual(read.fault, null);
  }
  const deep = new Uint8Array(1_000_000).fill(0x91);
  deep[deep.length - 1] = 0xc0;
  const read = reader(deep);
  skipValue(read);
  assert.equal(read.fault, null);
  assert.equal(read.position, deep.length);
});

test("the first fault stays", () => {
  const read = reader(Uint8Array.of(0xc2));
  readInteger(read);
  const { fault } = read;
  readStringSpan(read);
  readArrayHeader(read);
  skipValue(read);
  assert.equal(read.fault, fault);
  assert.equal(read.position, 0);
});
