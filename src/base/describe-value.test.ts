import assert from "node:assert/strict";
import { test } from "node:test";
import { describeValue } from "./describe-value.ts";

test("what was given is named by what tells it apart", () => {
  for (const [value, named] of [
    ["any", '"any"'],
    ["x".repeat(61), `"${"x".repeat(60)}…"`],
    [12.5, "12.5"],
    [Number.NaN, "NaN"],
    [7n, "7n"],
    [null, "null"],
    [undefined, "undefined"],
    [true, "true"],
    [describeValue, "a function"],
    [Symbol("s"), "a symbol"],
    [[1, 2], "a list of 2"],
    [new Uint8Array(20_000_000), "20000000 bytes"],
    [{ ["m".repeat(61)]: 1 }, `an object with ${"m".repeat(60)}…`],
    [{}, "an object without members"],
    [{ clok: 1, after: 2 }, "an object with clok, after"],
    [{ a: 1, b: 1, c: 1, d: 1, e: 1, f: 1 }, "an object with a, b, c, d, e and more"],
  ] as const) {
    assert.equal(describeValue(value), named);
  }
});
