/** Chains of upcasters: what a definition refuses, and what a store gives of data that an older or newer program wrote. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { inspect } from "node:util";
import { isStoreError } from "../base/store-error.ts";
import { Store } from "../store.ts";
import { createMemoryDisk } from "../testing/memory-disk.ts";
import { type AnyDefinition, defineEvent, type } from "./definition.ts";

const kind = { category: 2, type: 1 };
const MovedV1 = defineEvent("Moved", { kind, schema: type<{ left: number }>() });
const MovedV2 = defineEvent("Moved", { kind, version: 2, schema: type<{ x: number }>() });
const MovedV3 = defineEvent("Moved", {
  kind,
  version: 3,
  schema: type<{ x: number; y: number }>(),
  upcast: {
    1: (old: { left: number }) => ({ x: old.left }),
    // It may change what it is given.
    2: (old: { x: number; y?: number }) => Object.assign(old, { y: 0 }),
  },
});
const at = { entity: "player:1", scope: "test" };

test("a chain has one function for each version before the definition's, and no other", () => {
  const define = (version: number, upcast: Record<number, unknown>) => () =>
    defineEvent("Any", { version, upcast: upcast as Record<number, () => unknown> });
  const step = (): number => 1;
  assert.throws(define(3, { 2: step }), { code: "INVALID_ARGUMENT", message: /no function for version 1/ });
  assert.throws(define(3, { 1: step }), { code: "INVALID_ARGUMENT", message: /no function for version 2/ });
  assert.throws(define(3, { 1: step, 2: step, 3: step }), { code: "INVALID_ARGUMENT", message: /for version 3/ });
  assert.throws(define(2, { 1: step, 0: step }), { code: "INVALID_ARGUMENT", message: /for version 0/ });
  assert.throws(define(2, { 1: "step" }), { code: "INVALID_ARGUMENT", message: /no function for version 1/ });
  assert.doesNotThrow(define(1, {}));
  assert.doesNotThrow(define(2, { 1: step }));
});

/** A store that programs with the first, then the second version have written to. */
async function writtenByOlder(): Promise<ReturnType<typeof createMemoryDisk>> {
  const disk = createMemoryDisk();
  for (const [definition, data] of [[MovedV1, { left: 7 }] as const, [MovedV2, { x: 8 }] as const]) {
    const store = await Store.open("/store", { disk, events: [definition as AnyDefinition] });
    await store.append(at, { definition, data });
    await store.close();
  }
  return disk;
}

test("older data is brought up wherever it is read; versions say so, bytes and hashes stay", async () => {
  const disk = await writtenByOlder();
  const raw = await Store.open("/store", { disk });
  const stored = await raw.read().toArray();
  assert.deepEqual(
    stored.map(({ data, version }) => ({ data, version })),
    [
      { data: { left: 7 }, version: 1 },
      { data: { x: 8 }, version: 2 },
    ],
    "without the definition, as it was written",
  );
  await raw.close();

  const store = await Store.open("/store", { disk, events: [MovedV3] });
  await store.append(at, MovedV3({ x: 9, y: 1 }));
  const events = await store.read({ kind: MovedV3 }).toArray();
  const expected = [
    { x: 7, y: 0 },
    { x: 8, y: 0 },
    { x: 9, y: 1 },
  ];
  assert.deepEqual(
    events.map((event) => event.data),
    expected,
  );
  assert.equal(events[0].data, events[0].data, "once");
  assert.deepEqual(
    events.map((event) => [event.version, event.storedVersion]),
    [
      [3, 1],
      [3, 2],
      [3, 3],
    ],
  );
  assert.deepEqual(
    events.slice(0, 2).map((event) => event.hash),
    stored.map((event) => event.hash),
  );
  assert.deepEqual((await store.get(events[0].id))?.data, expected[0]);
  assert.deepEqual(events[0].toObject().data, expected[0]);
  assert.deepEqual(JSON.parse(JSON.stringify(events[0])).data, expected[0]);
  const followed = [];
  for await (const event of store.subscribe({ kind: MovedV3 })) {
    followed.push(event.data);
    if (followed.length === 3) break;
  }
  assert.deepEqual(followed, expected);
  assert.equal((await store.verify()).ok, true);
  await store.close();
});

test("data is brought up once its definition is learnt from an append", async () => {
  const disk = await writtenByOlder();
  const store = await Store.open("/store", { disk });
  await store.append(at, MovedV3({ x: 9, y: 1 }));
  assert.deepEqual((await store.read().first())?.data, { x: 7, y: 0 });
  await store.close();
});

test("data that is newer than the definition is refused when it is looked at, and printing says why", async () => {
  const disk = await writtenByOlder();
  const store = await Store.open("/store", { disk, events: [MovedV1] });
  const [older, newer] = await store.read({ kind: MovedV1 }).toArray();
  assert.deepEqual(older.data, { left: 7 });
  assert.equal(newer.version, 2);
  assert.throws(
    () => newer.data,
    (error) => {
      assert(isStoreError(error, "NEWER_EVENT_VERSION"));
      assert.deepEqual(error.details, { type: "Moved", storedVersion: 2, knownVersion: 1 });
      return true;
    },
  );
  assert.throws(() => newer.toObject(), { code: "NEWER_EVENT_VERSION" });
  assert.match(inspect(newer), /NEWER_EVENT_VERSION/);
  await store.close();
});

test("what a step throws comes to whoever looks", async () => {
  const disk = await writtenByOlder();
  const Broken = defineEvent("Moved", {
    kind,
    version: 2,
    upcast: {
      1: () => {
        throw new Error("no left");
      },
    },
  });
  const store = await Store.open("/store", { disk, events: [Broken] });
  const event = await store.read().first();
  assert.throws(() => event?.data, { message: "no left" });
  await store.close();
  const Late = defineEvent("Moved", { kind, version: 2, upcast: { 1: () => Promise.reject(new Error("nobody's")) } });
  const another = await Store.open("/store", { disk, events: [Late] });
  const again = await another.read().first();
  assert.throws(() => again?.data, { code: "INVALID_ARGUMENT", message: /its upcast from version 1 returned a promise/ });
  await another.close();
});
