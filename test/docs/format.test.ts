// docs/format.md tells the layout tables and the bytes of a real store as the code has them. `npm run docs:format` writes it anew.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { exampleFiles, withGeneratedParts } from "./format-dump.ts";

test("docs/format.md is what the code says: else run npm run docs:format, and say in the changelog what changed", async () => {
  const page = readFileSync(new URL("../../docs/format.md", import.meta.url), "utf8");
  assert.equal(page, await withGeneratedParts(page));
});

test("the example store comes out the same each time", async () => {
  assert.deepEqual(await exampleFiles(), await exampleFiles());
});
