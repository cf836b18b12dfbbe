// A mutation whose text the code has moved away from is tried no more: holds each to the code as it is.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

interface Mutation {
  readonly name: string;
  readonly file: string;
  readonly edits: readonly (readonly [string, string])[];
  readonly suites: readonly string[];
}

const load = async (name: string): Promise<unknown> => await import(new URL(`../../scripts/mutations/${name}`, import.meta.url).href);
const { mutations } = (await load("list.mjs")) as { mutations: readonly Mutation[] };
const { suites } = (await load("suites.mjs")) as { suites: Record<string, unknown> };

test("each mutation's text stands once in its file, and its suites exist", () => {
  assert.ok(mutations.length > 0);
  for (const { name, file, edits, suites: named } of mutations) {
    let text = readFileSync(new URL(`../../${file}`, import.meta.url), "utf8");
    for (const [from, to] of edits) {
      assert.equal(text.split(from).length - 1, 1, `${name}: ${from}`);
      text = text.replace(from, () => to);
    }
    for (const suite of named) assert.ok(Object.hasOwn(suites, suite), `${name}: ${suite}`);
  }
});
