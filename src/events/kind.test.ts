import assert from "node:assert/strict";
import { test } from "node:test";
import { assertKind, assertPublicKind, categoryOf, DATA, EFFECT_CONFLICT, isPublicKind, kindOf, publicKindOf, TOMBSTONE } from "./kind.ts";

const invalid = { code: "INVALID_ARGUMENT" };

test("a kind is category and type", () => {
  assert.equal(kindOf({ category: 0xf, type: 1 }), 0xf001);
  assert.equal(kindOf({ category: 1, type: 0 }), DATA);
  assert.equal(categoryOf(0xf001), 0xf);
  assert.equal(publicKindOf({ category: 0xf, type: 1 }, "define"), 0xf001);
  for (const parts of [
    { category: 16, type: 0 },
    { category: 1, type: 4096 },
    { category: -1, type: 0 },
    { category: 1.5, type: 0 },
    { category: 1, type: Number.NaN },
  ]) {
    assert.throws(() => kindOf(parts), invalid);
  }
});

test("of the reserved categories only the named constants pass, batch markers never", () => {
  const passing: number[] = [];
  for (let kind = 0; kind <= 0xffff; kind++) if (isPublicKind(kind) && [0, 0xd].includes(kind >>> 12)) passing.push(kind);
  assert.deepEqual(passing, [1, 2, 3, 4, 5, TOMBSTONE, 0xd001, 0xd002, 0xd004, 0xd005, 0xd006, EFFECT_CONFLICT]);
  assert.throws(() => assertPublicKind(6), invalid);
  assert.throws(() => assertPublicKind(7), {
    code: "INVALID_ARGUMENT",
    message:
      /^Cannot append: the kind 0x0007 is of a category that the library reserves, categories .* are allowed, and of its own 0x0001, .*, 0xd007$/,
  });
  assert.throws(() => assertPublicKind(0xd003), invalid);
  for (const bad of [-1, 65536, 1.5, Number.NaN, "1", null, undefined]) assert.throws(() => assertKind(bad, "read"), invalid);
});
