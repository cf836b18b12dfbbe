// What a footer may claim before anything is made of it.
import assert from "node:assert/strict";
import { test } from "node:test";
import { atOnce } from "../../base/rest.ts";
import { decodeFooter, Footer } from "./footer.ts";

/** A footer without entries, whose table has so many names of a letter each. */
function footerOf(names: number): ReturnType<typeof decodeFooter> {
  const table = Buffer.alloc(5 + names * 2, 0xa1);
  table[0] = 0xdd;
  table.writeUInt32BE(names, 1);
  for (let name = 0; name < names; name++) table[6 + name * 2] = 33 + name;
  const region = Buffer.concat([table, new Uint8Array(16)]);
  return decodeFooter(region, { kind: "ok", tableOffset: 57, entriesOffset: 57 + table.length, entryCount: 0 });
}

// Found by looking: a table of 40 million names is no more than 200 MB of a file, and took opening with it.
test("a table of more names than its entries can have is refused before one is read", () => {
  assert.ok(atOnce(footerOf(0)) instanceof Footer);
  const refused = atOnce(footerOf(3));
  assert.ok(!(refused instanceof Footer));
  assert.equal(refused.reason, "the footer has 3 names, its 0 entries can have 0");
});
