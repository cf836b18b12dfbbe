/** The kernel's way to the end of a hash of the batpak 0.3 layout, against the loop that says what is one. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { msgpackReader, viewOf } from "../base/msgpack.ts";
import { readHashSpan } from "../format/batpak03/hash-array.ts";
import { createHashArrayWalker } from "./frame-kernel.ts";

/** Where the loop finds the end of the integers that begin at 0; -1 where they are no hash. */
function endByLoop(integers: Uint8Array): number {
  const bytes = Buffer.concat([Buffer.from([0xdc, 0, 32]), integers]);
  const reader = msgpackReader(bytes, viewOf(bytes), 0, bytes.length);
  readHashSpan(reader);
  return reader.fault === null ? reader.position - 3 : -1;
}

const BYTES = 1000;
const found = createHashArrayWalker(BYTES);
assert(found !== null);
const walker = found;

function endByKernel(integers: Uint8Array, at: number, filler: number): number {
  walker.bytes.fill(filler);
  walker.bytes.set(integers, at);
  return Math.max(-1, walker.end(at) - at);
}

/** 64 bytes, as many as a hash may take, of the sorts between which the two have to tell. */
const integers = fc.oneof(
  fc.uint8Array({ minLength: 64, maxLength: 64 }),
  fc.array(fc.constantFrom(0, 0x7f, 0x80, 0xcc, 0xcd, 0xff), { minLength: 64, maxLength: 64 }).map((list) => Uint8Array.from(list)),
  // A right one, and what comes behind it; or with one byte changed.
  fc
    .tuple(fc.uint8Array({ minLength: 32, maxLength: 32 }), fc.uint8Array({ minLength: 32, maxLength: 32 }), fc.nat(63), fc.boolean())
    .map(([hash, behind, place, isWrong]) => {
      const encoded = [...hash].flatMap((byte) => (byte < 0x80 && byte % 7 > 0 ? [byte] : [0xcc, byte]));
      const bytes = Uint8Array.from([...encoded, ...behind].slice(0, 64));
      if (isWrong) bytes[place] ^= 0x81;
      return bytes;
    }),
);

test("the kernel finds the end where the loop does, and none where it finds none", () => {
  let right = 0;
  fc.assert(
    fc.property(integers, fc.nat(BYTES - 64), fc.nat(255), (bytes, at, filler) => {
      const expected = endByLoop(bytes);
      if (expected >= 0) right++;
      assert.equal(endByKernel(bytes, at, filler), expected);
    }),
    { numRuns: 20_000 },
  );
  assert(right > 5000);
});

test("every pattern of short and long integers is walked", () => {
  for (let bits = 0; bits < 1 << 12; bits++) {
    const encoded = Array.from({ length: 32 }, (_, i) => ((bits >>> (i % 12)) & 1) === 1).flatMap((isLong) =>
      isLong ? [0xcc, 0xcc] : [1],
    );
    const bytes = Uint8Array.from([...encoded, ...new Array<number>(64).fill(0xcc)].slice(0, 64));
    assert.equal(endByKernel(bytes, bits % 64, 0xcc), encoded.length);
  }
});

test("a hash that ends with the memory is found", () => {
  const bytes = new Uint8Array(32).fill(5);
  walker.bytes.set(bytes, BYTES - 32);
  assert.equal(walker.end(BYTES - 32), BYTES);
});

test("where the memory cannot be had there is no walker, and no error", () => {
  assert.equal(createHashArrayWalker(2 ** 40), null);
});
