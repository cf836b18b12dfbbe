// docs/errors.md has a heading for each error code and no other, each with the same three answers.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import type { StoreErrorCode } from "../../src/base/store-error.ts";

// The compiler holds this list complete: a code that is missing here, or one too many, is a type error.
const codes: Record<StoreErrorCode | "INVALID_ARGUMENT", true> = {
  INVALID_ARGUMENT: true,
  CONFLICT: true,
  IDEMPOTENCY_MISMATCH: true,
  INVALID_EVENT: true,
  PAYLOAD_UNSUPPORTED: true,
  TOO_LARGE: true,
  LOCKED: true,
  NOT_FOUND: true,
  LAYOUT_MISMATCH: true,
  UNSUPPORTED_BY_LAYOUT: true,
  COMMIT_UNKNOWN: true,
  POISONED: true,
  CLOSED: true,
  CORRUPT: true,
  IO: true,
  READ_ONLY: true,
  COMPACTED: true,
  STORE_REPLACED: true,
  INVALID_LINE: true,
  UNSUPPORTED_RUNTIME: true,
  POSITION_MISMATCH: true,
  NEWER_EVENT_VERSION: true,
};

// What stands under "Problems" is none.
const [page] = readFileSync(new URL("../../docs/errors.md", import.meta.url), "utf8").split(/^# Problems$/m);
const sections = page.split(/^## /m).slice(1);
const headingOf = (section: string): string => section.slice(0, section.indexOf("\n")).trim();

test("every error code has one heading, and every heading is an error code", () => {
  assert.deepEqual(sections.map(headingOf).sort(), Object.keys(codes).sort());
});

for (const section of sections) {
  test(`${headingOf(section)} says what happened, what is safe and what to do`, () => {
    const answers = [...section.matchAll(/^\*\*(.+?)\*\* +\S/gm)].map((match) => match[1]);
    assert.deepEqual(answers, ["What happened.", "What is safe.", "What to do."]);
  });
}
