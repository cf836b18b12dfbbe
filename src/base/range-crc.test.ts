import assert from "node:assert/strict";
import { test } from "node:test";
import { crc32 } from "node:zlib";
import fc from "fast-check";
import { RangeCrc } from "./range-crc.ts";

test("the CRC of every range of some bytes is what zlib says", () => {
  const bytes = Uint8Array.from({ length: 150 }, (_, i) => (i * 37 + (i >>> 3)) & 255);
  const ranges = new RangeCrc(bytes);
  for (let from = 0; from <= bytes.length; from++) {
    for (let to = from; to <= bytes.length; to++) {
      // zlib takes an empty range as the wish to begin anew.
      const expected = from === to ? 0xdead_beef : crc32(bytes.subarray(from, to), 0xdead_beef);
      assert.equal(ranges.of(from, to, 0xdead_beef), expected, `[${from}, ${to})`);
    }
  }
});

test("long ranges of random bytes, from any initial value", () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ minLength: 1, maxLength: 50_000, size: "max" }),
      fc.nat(),
      fc.nat(),
      fc.nat(),
      (bytes, one, other, initial) => {
        const [from, to] = [one % bytes.length, other % bytes.length].sort((a, b) => a - b);
        assert.equal(new RangeCrc(bytes).of(from, to + 1, initial), crc32(bytes.subarray(from, to + 1), initial));
      },
    ),
    { numRuns: 200 },
  );
});
