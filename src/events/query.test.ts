import assert from "node:assert/strict";
import { test } from "node:test";
import { defineEvent } from "./definition.ts";
import { compileExpectation } from "./expectation.ts";
import type { Expectation } from "./expectation.ts";
import { compileQuery, compileReadOptions, compileSubscribeOptions } from "./query.ts";
import type { Query, ReadOptions, SubscribeOptions } from "./query.ts";

const Moved = defineEvent("Moved");
const Unknown = defineEvent("Unknown");
const kindsOf = (definition: { name: string }): number[] => (definition.name === "Moved" ? [0x1001, 0xf001] : []);
const compile = (query: unknown): unknown => compileQuery(query as Query, kindsOf, "read");
const invalid = { code: "INVALID_ARGUMENT", message: /^Cannot read/ };
const id = "018bcfe5-6800-7fff-9234-567812345678";

test("no query is everything, no filter is nothing, one filter is a list of one", () => {
  assert.deepEqual(compile(undefined), [{}]);
  assert.deepEqual(compile({}), [{}]);
  assert.deepEqual(compile([]), []);
  assert.deepEqual(compile([{ entity: "a" }, { scope: "b" }]), [{ entity: "a" }, { scope: "b" }]);
});

test("each member compiles to plain values", () => {
  const bytes = new Uint8Array(Buffer.from(id.replaceAll("-", ""), "hex"));
  assert.deepEqual(compile({ entityPrefix: "player:", scope: "s" }), [{ entityPrefix: "player:", scope: "s" }]);
  assert.deepEqual(compile({ entityPrefix: "" }), [{}]);
  assert.deepEqual(compile({ correlation: id, causedBy: id.toUpperCase() }), [{ correlationId: bytes, causationId: bytes }]);
  assert.deepEqual(compile({ kind: Moved }), [{ kinds: [0x1001, 0xf001] }]);
  assert.deepEqual(compile({ kind: [0xf001, Moved, 6] }), [{ kinds: [6, 0x1001, 0xf001] }]);
  assert.deepEqual(compile({ category: 15 }), [{ category: 15 }]);
  assert.deepEqual(compile({ category: 15, kind: Moved }), [{ kinds: [0xf001] }]);
});

test("ranges become inclusive, and a millisecond is in or out whole", () => {
  assert.deepEqual(compile({ clock: { from: 3, to: 5 } }), [{ clockFrom: 3, clockTo: 5 }]);
  assert.deepEqual(compile({ clock: { after: 3, before: 5 } }), [{ clockFrom: 4, clockTo: 4 }]);
  assert.deepEqual(compile({ sequence: { after: -1 } }), [{ sequenceFrom: 0 }]);
  assert.deepEqual(compile({ clock: {} }), [{}]);
  assert.deepEqual(compile({ time: { from: 2, to: new Date(2) } }), [{ timeFrom: 2000, timeTo: 2999 }]);
  assert.deepEqual(compile({ time: { after: new Date(2), before: 5 } }), [{ timeFrom: 3000, timeTo: 4999 }]);
});

test("what cannot match is left out", () => {
  for (const nothing of [
    { clock: { from: 5, to: 4 } },
    { clock: { after: 4, before: 5 } },
    { sequence: { before: 0 } },
    { time: { to: -1 } },
    { kind: [] },
    { kind: Unknown },
    { kind: Moved, category: 3 },
    { entity: "a", entityPrefix: "b" },
  ]) {
    assert.deepEqual(compile([nothing, { entity: "x" }]), [{ entity: "x" }]);
  }
});

test("wrong queries are refused by what is wrong", () => {
  const bad: [unknown, RegExp][] = [
    [null, /the query is null/],
    ["a", /the query is "a"/],
    [[[]], /the query is a list/],
    [{ time: new Date() }, /time is a Date, an object is allowed/],
    [new Map(), /an object is allowed/],
    [{ entity: undefined }, /entity of the query is there and undefined, a value is allowed; leave it out where any will do/],
    [{ time: { from: undefined } }, /from of time is there and undefined/],
    [{ limit: 3 }, /unknown member limit/],
    [{ entity: "" }, /entity is empty/],
    [{ entity: 5 }, /entity is 5, text/],
    [{ scope: "\ud800" }, /lone surrogate/],
    [{ kind: "Moved" }, /kind is "Moved"/],
    [{ kind: 65536 }, /kind is 65536/],
    [{ kind: [null] }, /kind is null/],
    [{ category: 16 }, /category is 16/],
    [{ correlation: "x" }, /by correlation: the id is "x"/],
    [{ clock: 5 }, /clock is 5, an object/],
    [{ clock: { from: 1, after: 2 } }, /both from and after/],
    [{ clock: { to: 1, before: 2 } }, /both to and before/],
    [{ clock: { from: 1.5 } }, /clock\.from is 1\.5/],
    [{ sequence: { to: "1" } }, /sequence\.to is "1"/],
    [{ time: { from: new Date(Number.NaN) } }, /time\.from is an invalid Date/],
    [{ time: { since: 1 } }, /time has the unknown member since/],
  ];
  for (const [query, message] of bad) {
    assert.throws(() => compile(query), invalid);
    assert.throws(() => compile(query), message);
  }
});

test("read options are checked", () => {
  assert.deepEqual(compileReadOptions(undefined, "read"), {
    direction: "forward",
    limit: Number.POSITIVE_INFINITY,
    signal: undefined,
    after: undefined,
  });
  const { signal } = new AbortController();
  assert.deepEqual(compileReadOptions({ direction: "backward", limit: 0, signal, after: 7 }, "read"), {
    direction: "backward",
    limit: 0,
    signal,
    after: 7,
  });
  for (const bad of [
    { direction: "up" },
    { limit: -1 },
    { limit: 1.5 },
    { limit: "1" },
    { after: 0.5 },
    { signal: {} },
    { order: 1 },
    5,
    [],
  ]) {
    assert.throws(() => compileReadOptions(bad as ReadOptions, "read"), invalid);
  }
});

test("what a subscription is given is checked", () => {
  const { signal } = new AbortController();
  assert.deepEqual(compileSubscribeOptions({}, 9), { after: -1, signal: undefined });
  assert.deepEqual(compileSubscribeOptions({ after: "start", signal }, 9), { after: -1, signal });
  assert.deepEqual(compileSubscribeOptions({ after: "end" }, 9), { after: 8, signal: undefined });
  assert.deepEqual(compileSubscribeOptions({ after: 3 }, 9), { after: 3, signal: undefined });
  for (const bad of [
    { after: "now" },
    { after: 0.5 },
    { after: null },
    { signal: {} },
    { limit: 1 },
    { direction: "backward" },
    null,
    [],
  ]) {
    assert.throws(() => compileSubscribeOptions(bad as SubscribeOptions, 9), { code: "INVALID_ARGUMENT", message: /^Cannot subscribe/ });
  }
});

test("expectations compile, and wrong ones are refused", () => {
  const expectation = (value: unknown): unknown => compileExpectation(value as Expectation, "append");
  assert.equal(expectation(undefined), null);
  assert.deepEqual(expectation("none"), { kind: "none" });
  assert.deepEqual(expectation("exists"), { kind: "exists" });
  assert.deepEqual(expectation({ clock: 0 }), { kind: "clock", clock: 0 });
  const condition = { noneMatching: { kind: Moved }, after: 12 };
  assert.deepEqual(expectation(condition), {
    kind: "noneMatching",
    query: condition.noneMatching,
    after: 12,
    expected: condition,
  });
  assert.equal((expectation({ noneMatching: {} }) as { after: number }).after, -1);
  for (const bad of [
    null,
    "any",
    5,
    {},
    { clock: -1 },
    { clock: "1" },
    { clock: 1, after: 2 },
    { noneMatching: undefined },
    { noneMatching: {}, after: -2 },
    { after: 1 },
  ]) {
    assert.throws(() => expectation(bad), { code: "INVALID_ARGUMENT", message: /^Cannot append: / });
  }
});
