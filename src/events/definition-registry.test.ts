import assert from "node:assert/strict";
import { test } from "node:test";
import { defineEvent } from "./definition.ts";
import { DefinitionRegistry } from "./definition-registry.ts";
import type { Resolution } from "./definition-registry.ts";

const invalid = { code: "INVALID_ARGUMENT" };
const plain = ({ name, kind, version, mustRecord }: Resolution): unknown => ({ name, kind, version, mustRecord });

test("a name gets the lowest free kind, and keeps it once committed", () => {
  const [A, B, C] = ["A", "B", "C"].map((name) => defineEvent(name));
  const registry = new DefinitionRegistry([A, defineEvent("Claims", { kind: 0x1002 })], (kind) => kind === 0x1003);
  const first = registry.resolve(A);
  assert.deepEqual(plain(first), { name: "A", kind: 0x1001, version: 1, mustRecord: true });
  assert.deepEqual(registry.resolve(B).kind, 0x1001, "resolving changes nothing");
  assert.deepEqual(registry.kindsOf(A), []);
  assert.equal(registry.nameOf(0x1001), null);
  registry.commit(first);
  registry.commit(first);
  assert.deepEqual(plain(registry.resolve(A)), { name: "A", kind: 0x1001, version: 1, mustRecord: false });
  assert.equal(registry.resolve(A), registry.resolve(A));
  const second = registry.resolve(B);
  assert.equal(second.kind, 0x1004, "claimed and used kinds are passed over");
  assert.equal(registry.resolve(C, [second]).kind, 0x1005, "so are pending ones");
  assert.deepEqual(plain(registry.resolve(B, [second])), { name: "B", kind: 0x1004, version: 1, mustRecord: true });
  assert.equal(registry.isRecorded(second), false);
  registry.commit(second);
  assert.equal(registry.isRecorded(second), true);
  assert.equal(registry.nameOf(0x1001), "A");
  assert.deepEqual(registry.kindsOf("B"), [0x1004]);
  assert.deepEqual(registry.records(), [
    { name: "A", kind: 0x1001, version: 1 },
    { name: "B", kind: 0x1004, version: 1 },
  ]);
});

test("automatic kinds pass over the effect category and end with an error", () => {
  const registry = new DefinitionRegistry([], (kind) => kind < 0xd000);
  assert.equal(registry.resolve(defineEvent("A")).kind, 0xe000);
  assert.throws(() => new DefinitionRegistry([], () => true).resolve(defineEvent("A")), invalid);
});

test("recorded names keep their kind; a newer version is a further record", () => {
  const registry = new DefinitionRegistry();
  registry.restore({ name: "A", kind: 0x1005, version: 1 });
  const A2 = defineEvent("A", { version: 2 });
  const resolution = registry.resolve(A2);
  assert.deepEqual(plain(resolution), { name: "A", kind: 0x1005, version: 2, mustRecord: true });
  registry.commit(resolution);
  assert.deepEqual(registry.records(), [
    { name: "A", kind: 0x1005, version: 1 },
    { name: "A", kind: 0x1005, version: 2 },
  ]);
  assert.equal(registry.versionOf("A"), 2);
  const reopened = new DefinitionRegistry();
  for (const record of registry.records()) reopened.restore(record);
  assert.deepEqual(plain(reopened.resolve(defineEvent("A"))), { name: "A", kind: 0x1005, version: 1, mustRecord: false });
  assert.equal(reopened.versionOf("B"), 0);
});

test("a definition that names another kind moves its name there and still finds the old events", () => {
  const registry = new DefinitionRegistry();
  registry.restore({ name: "A", kind: 0x1001, version: 1 });
  const A = defineEvent("A", { kind: 0xf001 });
  const resolution = registry.resolve(A);
  assert.deepEqual(plain(resolution), { name: "A", kind: 0xf001, version: 1, mustRecord: true });
  assert.deepEqual(registry.kindsOf(A), [0x1001, 0xf001]);
  registry.commit(resolution);
  assert.equal(registry.nameOf(0x1001), "A");
  assert.equal(registry.nameOf(0xf001), "A");
  const reopened = new DefinitionRegistry();
  for (const record of registry.records()) reopened.restore(record);
  assert.equal(reopened.resolve(defineEvent("A")).kind, 0xf001);
});

test("claimed kinds have their name before anything is recorded", () => {
  const A = defineEvent("A", { kind: 0xf001 });
  const registry = new DefinitionRegistry([A, A]);
  assert.equal(registry.nameOf(0xf001), "A");
  assert.deepEqual(registry.kindsOf(A), [0xf001]);
  assert.deepEqual(registry.kindsOf("A"), [0xf001]);
  assert.deepEqual(registry.records(), []);
  assert.deepEqual(new DefinitionRegistry().kindsOf(A), [0xf001]);
});

test("collisions are refused", () => {
  const A = defineEvent("A", { kind: 0xf001 });
  assert.throws(() => new DefinitionRegistry([A, defineEvent("A")]), invalid);
  assert.throws(() => new DefinitionRegistry([A, defineEvent("B", { kind: 0xf001 })]), invalid);
  assert.throws(() => new DefinitionRegistry([{} as typeof A]), invalid);
  const registry = new DefinitionRegistry([A]);
  assert.throws(() => registry.resolve(defineEvent("A")), { ...invalid, message: /^Cannot append A: two definitions/ });
  assert.throws(() => registry.resolve(defineEvent("B", { kind: 0xf001 })), { ...invalid, message: /0xf001/ });
  assert.throws(() => registry.restore({ name: "Z", kind: 0xf001, version: 1 }), { ...invalid, message: /recorded as Z/ });
  registry.restore({ name: "Z", kind: 0xf002, version: 1 });
  assert.throws(() => registry.resolve(defineEvent("B", { kind: 0xf002 })), invalid);
  assert.deepEqual(registry.kindsOf(defineEvent("B", { kind: 0xf002 })), [], "the kind is another's");
  const pending = registry.resolve(defineEvent("C"));
  assert.throws(() => registry.resolve(defineEvent("C"), [pending]), invalid);
  assert.throws(() => registry.resolve(defineEvent("D", { kind: pending.kind }), [pending]), invalid);
});

test("a free kind is found without looking at all those that are taken", () => {
  let looks = 0;
  const registry = new DefinitionRegistry([], (kind) => {
    looks++;
    return kind % 3 === 0;
  });
  const pending: Resolution[] = [];
  for (let n = 0; n < 1000; n++) {
    const resolution = registry.resolve(defineEvent(`Event${n}`), pending);
    if (n % 2 === 0) pending.push(resolution);
    else registry.commit(resolution);
  }
  const kinds = new Set([...pending, ...registry.records()].map(({ kind }) => kind));
  assert.equal(kinds.size, 1000);
  assert.ok(looks < 5000, `${looks} looks`);
  for (const resolution of pending) registry.commit(resolution);
  assert.ok(!kinds.has(registry.resolve(defineEvent("Last")).kind));
});
