import assert from "node:assert/strict";
import { test } from "node:test";
import { z } from "zod";
import { isStoreError } from "../base/store-error.ts";
import { checkNewEvent, defineEvent, isDefinition, PendingData, rawEvent, type, validateData } from "./definition.ts";
import type { DefinitionOptions } from "./definition.ts";

const invalid = { code: "INVALID_ARGUMENT" };

test("a definition is a function that makes new events", () => {
  const PlayerMoved = defineEvent("PlayerMoved", { schema: type<{ x: number }>() });
  const made = PlayerMoved({ x: 1 });
  assert.deepEqual(made, { definition: PlayerMoved, data: { x: 1 } });
  assert.equal(PlayerMoved.name, "PlayerMoved");
  assert.equal(PlayerMoved.version, 1);
  assert.equal(PlayerMoved.kind, undefined);
  assert.equal(PlayerMoved.schema, null);
  assert.equal(PlayerMoved.is({ type: "PlayerMoved" }), true);
  assert.equal(PlayerMoved.is({ type: "Other" }), false);
  assert.equal(PlayerMoved.is({ type: null }), false);
  assert.ok(isDefinition(PlayerMoved));
  assert.ok(!isDefinition(() => made));
  const Joined = defineEvent("Joined", { version: 2, kind: { category: 0xf, type: 1 } });
  assert.equal(Joined.kind, 0xf001);
  assert.equal(Joined.version, 2);
  assert.throws(() => Object.assign(Joined, { kind: 5 }), TypeError);
});

test("wrong definitions are refused", () => {
  const bad: [string, unknown][] = [
    ["", {}],
    ["\ud800", {}],
    ["x".repeat(1025), {}],
    ["A", { version: 0 }],
    ["A", { version: 65536 }],
    ["A", { version: "1" }],
    ["A", { kind: 6 }],
    ["A", { kind: 0xd003 }],
    ["A", { kind: { category: 16, type: 0 } }],
    ["A", { kind: "1" }],
    ["A", { schema: {} }],
    ["A", { schema: null }],
    ["A", { schemas: z.string() }],
  ];
  for (const [name, options] of bad) {
    assert.throws(
      () => defineEvent(name, options as DefinitionOptions<never>),
      { ...invalid, message: /^Cannot (define|make)/ },
      JSON.stringify(options),
    );
  }
});

test("raw events carry kind and version", () => {
  assert.deepEqual(rawEvent(0xf001, 5), { kind: 0xf001, data: 5, version: 1 });
  assert.deepEqual(rawEvent({ category: 1, type: 0 }, null, 7), { kind: 0x1000, data: null, version: 7 });
  assert.throws(() => rawEvent(7, 1), invalid);
  assert.throws(() => rawEvent(0xf001, 1, 0), invalid);
});

test("what is no new event is refused", () => {
  const A = defineEvent("A");
  for (const good of [A(1), rawEvent(0xf001, 1), { kind: 0x1000, data: 1 }]) assert.equal(checkNewEvent(good, "append").data, 1);
  for (const bad of [null, undefined, A, 5, {}, { kind: 6, data: 1 }, { definition: {}, data: 1 }, { kind: 0x1000, version: 0, data: 1 }]) {
    assert.throws(() => checkNewEvent(bad, "append"), { ...invalid, message: /^Cannot append: / });
  }
  assert.throws(() => checkNewEvent(A, "append"), /the definition A itself/);
  for (const good of [{ kind: 0x1000, data: 1, version: 2, type: undefined, definition: undefined }, { ...A(1) }])
    assert.equal(checkNewEvent(good, "append").data, 1);
  for (const [bad, member] of [
    [{ kind: 0x1000, data: 1, versoin: 2 }, "versoin"],
    [{ ...A(1), metadata: { user: "u" } }, "metadata"],
    [{ ...A(1), idempotencyKey: undefined }, "idempotencyKey"],
    [{ ...A(1), kind: 0xf001 }, "kind"],
  ] as const) {
    assert.throws(() => checkNewEvent(bad, "append"), { ...invalid, message: new RegExp(`the event has the unknown member ${member}, `) });
  }
});

test("data is validated, and the schema's output is what counts", async () => {
  const Trimmed = defineEvent("Trimmed", { schema: z.object({ nick: z.string().trim(), age: z.string().transform(Number) }) });
  assert.deepEqual(validateData(Trimmed, { nick: " bob ", age: "7", extra: 1 }), { nick: "bob", age: 7 });
  assert.throws(
    () => validateData(Trimmed, { nick: 5, age: "7" }),
    (error) => {
      assert.ok(isStoreError(error, "INVALID_EVENT"));
      assert.equal(error.details.type, "Trimmed");
      assert.deepEqual(error.details.issues[0].path, ["nick"]);
      assert.match(error.message, /^Cannot append Trimmed: /);
      return true;
    },
  );
  const free = { anything: 1 };
  assert.equal(validateData(defineEvent("Free", { schema: type<unknown>() }), free), free);
  const Checked = defineEvent("Checked", {
    schema: {
      "~standard": {
        version: 1,
        vendor: "test",
        validate: (value: unknown) =>
          Promise.resolve(value === 1 ? { value: "one" } : { issues: [{ message: "not one", path: [{ key: "a" }, 0] }] }),
      },
    },
  });
  const pending = validateData(Checked, 1);
  assert.ok(pending instanceof PendingData);
  assert.equal(await pending.output, "one");
  const refused = validateData(Checked, 2);
  assert.ok(refused instanceof PendingData);
  await assert.rejects(refused.output, {
    code: "INVALID_EVENT",
    details: { type: "Checked", issues: [{ message: "not one", path: ["a", 0] }] },
  });
});
