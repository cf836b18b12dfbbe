import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Interner } from "./index/interner.ts";
import { NameOrder } from "./index/name-order.ts";
import { NameListing } from "./name-listing.ts";

const letter = fc.constantFrom("a", "b", ":", "é", "中", "😀", "😁", "\ufffd");
const text = fc.array(letter, { minLength: 1, maxLength: 5 }).map((letters) => letters.join(""));
// Where a pair of surrogates is cut, in the middle or at the end, it is no text in UTF-8, and still a prefix of names.
const prefix = fc.oneof(text, fc.constantFrom("", "\ud83d", "a\ud83d", "\ude00", "\ud83da"));

test("a listing has the names that begin with the prefix, by their ids, once they are shown, and none that came later", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(text, { maxLength: 120 }), fc.array(prefix, { minLength: 1, maxLength: 12 }), async (texts, prefixes) => {
      const names = new Interner();
      const order = new NameOrder(names);
      for (const name of texts.slice(0, texts.length / 2)) names.intern(name);
      const shows = (id: number): boolean => id % 5 !== 3;
      for (const begin of prefixes) {
        const bound = names.size;
        const listing = new NameListing(names, order, bound, { prefix: begin }, shows);
        for (const name of texts.slice(texts.length / 2)) names.intern(name);
        const expected = Array.from({ length: bound }, (_, id) => id).filter((id) => shows(id) && names.name(id).startsWith(begin));
        assert.deepEqual(
          await listing.toArray(),
          expected.map((id) => names.name(id)),
        );
      }
    }),
    { numRuns: 300 },
  );
});

test("of many names those that begin otherwise are neither decoded nor, once they are in order, looked at", async () => {
  const names = new Interner();
  for (let i = 0; i < 50_000; i++) names.intern(`order:${String(i).padStart(6, "0")}`);
  const order = new NameOrder(names);
  const counted = { decoded: 0, shown: 0 };
  Object.assign(names, {
    name: (id: number): string => {
      counted.decoded++;
      return Interner.prototype.name.call(names, id);
    },
  });
  const shows = (): boolean => ++counted.shown > 0;
  const list = (begin: string): Promise<string[]> => new NameListing(names, order, names.size, { prefix: begin }, shows).toArray();
  for (let question = 0; question < 20; question++) assert.equal((await list("order:01234")).length, 10);
  assert.deepEqual(counted, { decoded: 200, shown: 200 });
  assert.equal(order.isDue, false);
  // More than are taken from the order are gone through, a step at a time.
  const many = await list("order:0");
  assert.equal(many.length, 50_000);
  assert.equal(many[49_999], "order:049999");
});
