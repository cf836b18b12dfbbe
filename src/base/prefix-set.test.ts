import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { PrefixSet } from "./prefix-set.ts";

test("a name begins with one of the prefixes where it begins with any of them", () => {
  const name = fc.string({ unit: fc.constantFrom("a", "b", "ä", "日"), maxLength: 5 });
  fc.assert(
    fc.property(fc.array(name, { maxLength: 12 }), name, (prefixes, text) => {
      const bytes = Buffer.from(`x${text}x`);
      const begins = new PrefixSet(prefixes).beginsOne(bytes, 1, bytes.length - 1);
      assert.equal(
        begins,
        prefixes.some((prefix) => text.startsWith(prefix)),
      );
    }),
    { numRuns: 2000 },
  );
});
