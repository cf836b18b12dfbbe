/** The life of a store: closing, being poisoned, definitions that outlive it, stores that are only read. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { isStoreError } from "../../src/base/store-error.ts";
import { type AnyNewEvent, defineEvent, rawEvent, type } from "../../src/events/definition.ts";
import { Store } from "../../src/store.ts";
import { SimulatedDisk } from "../../src/testing/sim-disk.ts";
import { Counted, DIRECTORY, numbersIn, openStore } from "./support/log-image.ts";

const at = { entity: "counter", scope: "test" };
const schema = type<{ n: number }>();

test("close drains what is accepted, makes it durable, and lets go of everything; it is idempotent", async () => {
  const disk = new SimulatedDisk();
  const store = await openStore(disk, { durability: "os" });
  const appends = Array.from({ length: 200 }, (_, n) => store.append(at, Counted({ n })));
  const closing = store.close();
  assert.equal(store.close(), closing);
  assert.equal((await Promise.all(appends)).length, 200);
  await closing;
  assert.equal(disk.openFileCount, 0);
  await assert.rejects(store.append(at, Counted({ n: 1 })), { code: "CLOSED" });
  await assert.rejects(store.get("00000000-0000-7000-8000-000000000000"), { code: "CLOSED" });
  await assert.rejects(store.sync(), { code: "CLOSED" });
  assert.throws(() => store.read(), { code: "CLOSED" });
  const left = await openStore(disk.diskAfterCrash());
  assert.equal(left.openReport.route, "checkpoint");
  assert.deepEqual([await left.count(), left.openReport.eventsReplayed], [200, 0]);
  await left.close();
});

for (const layout of ["native", "batpak-0.3"] as const)
  test(`a store that is closed while it is verified says so (${layout})`, async () => {
    const disk = new SimulatedDisk();
    const options = { disk, layout, segmentBytesMax: 4096 } as const;
    const first = await Store.open(DIRECTORY, options);
    for (let n = 0; n < 100; n++) await first.append(at, rawEvent(0x1001, n));
    await first.close();
    for (let turns = 0; turns < 6; turns++) {
      for (const readOnly of [false, true]) {
        const store = await Store.open(DIRECTORY, { ...options, readOnly });
        const verifying = assert.rejects(store.verify(), { code: "CLOSED" });
        for (let turn = 0; turn < turns; turn++) await new Promise((resolve) => setImmediate(resolve));
        await store.close();
        await verifying;
        assert.equal(disk.openFileCount, 0);
      }
    }
  });

test("close rejects what has no place in the order yet: what waits for room, and what waits for its schema", async () => {
  const disk = new SimulatedDisk();
  const store = await openStore(disk, { queuedBytesMax: 64 * 1024 });
  let letGo = (): void => {};
  const until = new Promise<void>((resolve) => {
    letGo = resolve;
  });
  const never = new Promise<never>(() => {});
  const Waits = defineEvent("Waits", { schema: { "~standard": { version: 1 as const, vendor: "test", validate: () => never } } });
  disk.faults = ({ kind, path, durable }) => (path.endsWith(".fbat") && (kind === "sync" || durable === true) ? { until } : undefined);
  const accepted = store.append(at, Counted({ n: 0, pad: "x".repeat(60_000) }));
  const unanswered = store.append(at, (Waits as unknown as (data: unknown) => AnyNewEvent)({ n: 1 }));
  const waiting = [1, 2, 3].map((n) => store.append(at, Counted({ n, pad: "x".repeat(60_000) })));
  await new Promise((resolve) => setTimeout(resolve, 5));
  const closing = store.close();
  for (const append of [unanswered, ...waiting]) await assert.rejects(append, { code: "CLOSED" });
  letGo();
  assert.equal((await accepted).sequence, 0);
  await closing;
  const again = await openStore(disk);
  assert.deepEqual(await numbersIn(again), [0]);
  await again.close();
});

test("a failed sync poisons: in flight is unknown, later is refused, reads go on, close lets go and rejects", async () => {
  const disk = new SimulatedDisk();
  const store = await openStore(disk);
  await store.append(at, Counted({ n: 0 }));
  disk.faults = ({ kind, path, durable }) =>
    path.endsWith(".fbat") && (kind === "sync" || (kind === "write" && durable === true)) ? { error: "EIO" } : undefined;
  const inFlight = await Promise.allSettled([1, 2, 3].map((n) => store.append(at, Counted({ n }))));
  for (const result of inFlight)
    assert(result.status === "rejected" && isStoreError(result.reason, "COMMIT_UNKNOWN"), JSON.stringify(result));
  disk.faults = undefined;
  await assert.rejects(store.append(at, Counted({ n: 4 })), { code: "POISONED" });
  await assert.rejects(store.sync(), { code: "POISONED" });
  assert.deepEqual(await numbersIn(store), [0]);
  const closing = store.close();
  await assert.rejects(closing, (error) => isStoreError(error));
  assert.equal(store.close(), closing);
  assert.equal(disk.openFileCount, 0);
  const again = await openStore(disk);
  const numbers = await numbersIn(again);
  assert.deepEqual(numbers, [0, 1, 2, 3].slice(0, numbers.length), "what was in flight may be there, in order");
  assert.equal((await again.append(at, Counted({ n: 9 }))).sequence, numbers.length);
  await again.close();
});

test("kinds given by the store are recorded: reopened, each name has its own again, whatever the order and with or without definitions", async () => {
  const disk = new SimulatedDisk();
  const First = defineEvent("First", { schema });
  const Second = defineEvent("Second", { schema, version: 4 });
  const Third = defineEvent("Third", { schema });
  const open = (events: Parameters<typeof Store.open>[1]) => Store.open(DIRECTORY, { ...events, disk });
  const store = await open({ events: [First, Second] });
  const first = await store.append(at, First({ n: 1 }));
  const second = await store.append(at, Second({ n: 2 }));
  await store.close();
  const reordered = await open({ events: [Third, Second, First] });
  const third = await reordered.append(at, Third({ n: 3 }));
  const again = await reordered.append(at, First({ n: 4 }));
  const kindOf = async (id: string) => (await reordered.get(id))?.kind;
  assert.equal(await kindOf(again.id), await kindOf(first.id));
  assert.equal(new Set([await kindOf(first.id), await kindOf(second.id), await kindOf(third.id)]).size, 3);
  assert.deepEqual([(await reordered.get(second.id))?.version, (await reordered.get(first.id))?.version], [4, 1]);
  assert.equal(await reordered.count({ kind: First }), 2);
  await reordered.close();
  for (const checkpoint of [undefined, false] as const) {
    const plain = await open({ readOnly: checkpoint === undefined, ...(checkpoint === false ? { checkpoint } : {}) });
    assert.deepEqual(
      (await plain.read().toArray()).map((event) => event.type),
      ["First", "Second", "Third", "First"],
    );
    await plain.close();
  }
});

test("a kind that the store has recorded under another name, or events of without one, is given to nobody else", async () => {
  const disk = new SimulatedDisk();
  const store = await Store.open(DIRECTORY, { disk });
  await store.append(at, Counted({ n: 1 }));
  await store.append(at, rawEvent(0x1000, 5));
  const Taken = defineEvent("Taken", { schema, kind: { category: 1, type: 7 } });
  await assert.rejects(store.append(at, Taken({ n: 1 })), { code: "INVALID_ARGUMENT" });
  const Renumbered = defineEvent("Counted", { schema, kind: { category: 1, type: 9 } });
  await assert.rejects(store.append(at, Renumbered({ n: 1 })), { code: "INVALID_ARGUMENT" });
  await store.close();
  await assert.rejects(Store.open(DIRECTORY, { disk, events: [Taken] }), { code: "INVALID_ARGUMENT" });
  assert.equal(disk.openFileCount, 0);
  const Free = defineEvent("Free", { schema });
  const again = await Store.open(DIRECTORY, { disk, events: [Free] });
  const receipt = await again.append(at, Free({ n: 1 }));
  const kind = (await again.get(receipt.id))?.kind;
  assert(kind !== 0x1000 && kind !== 0x1007);
  await again.close();
});

test("system records are shown by no read and count for nothing", async () => {
  const disk = new SimulatedDisk();
  const store = await openStore(disk);
  await store.append(at, Counted({ n: 0 }));
  assert.equal(await store.count(), 1);
  assert.deepEqual(await store.entities().toArray(), ["counter"]);
  assert.deepEqual(await store.scopes().toArray(), ["test"]);
  assert.equal((await store.read().toArray()).length, 1);
  await store.close();
  const again = await openStore(disk);
  assert.deepEqual(await again.entities().toArray(), ["counter"]);
  assert.deepEqual(await again.scopes().toArray(), ["test"]);
  assert.equal((await again.stats()).entities, 1);
  await again.close();
});

test("a store that is only read refuses everything that would write", async () => {
  const disk = new SimulatedDisk();
  const store = await openStore(disk);
  await store.append(at, Counted({ n: 0 }));
  await store.close();
  const reader = await openStore(disk, { readOnly: true });
  const operations = disk.operationCount;
  for (const attempt of [
    () => reader.append(at, Counted({ n: 1 })),
    () => reader.appendBatch([{ coordinate: at, event: Counted({ n: 1 }) }]),
    () => reader.import([]),
    () => reader.sync(),
    () => reader.checkpoint(),
  ]) {
    await assert.rejects(attempt, { code: "READ_ONLY" });
  }
  assert.deepEqual(await numbersIn(reader), [0]);
  await reader.close();
  await reader.close();
  assert.equal(disk.operationCount, operations);
  assert.equal(disk.openFileCount, 0);
});

test("an empty store opens, closes and opens again", async () => {
  const disk = new SimulatedDisk();
  for (const route of ["new", "checkpoint", "checkpoint"]) {
    const store = await openStore(disk);
    assert.equal(store.openReport.route, route);
    assert.deepEqual([await store.count(), await store.head("counter"), await store.read().first()], [0, null, null]);
    await store.close();
  }
});

test("a store works, and closes, where a test mocks the timers", { timeout: 20_000 }, async (context) => {
  context.mock.timers.enable({ apis: ["setImmediate", "setTimeout", "setInterval", "Date"] });
  const disk = new SimulatedDisk();
  const store = await openStore(disk, { segmentBytesMax: 16_384 });
  for (let n = 0; n < 9000; n += 3000)
    await store.append(
      at,
      Array.from({ length: 3000 }, (_, i) => Counted({ n: n + i })),
    );
  assert.equal((await store.read().toArray()).length, 9000);
  const consumer = await store.consumer("one");
  await consumer.close();
  await store.checkpoint();
  assert.deepEqual((await store.verify()).problems, []);
  assert.ok((await store.compact({ query: { entity: "counter" }, keepLast: 10 })).removedEvents > 1000);
  await store.close();
});

test("what a store does in the background, and what a reader looks for, goes on where timers are mocked", {
  timeout: 20_000,
}, async (context) => {
  const { setTimeout } = globalThis;
  context.mock.timers.enable({ apis: ["setImmediate", "setTimeout", "setInterval", "Date"] });
  const disk = new SimulatedDisk();
  const store = await openStore(disk, { durability: { everyMs: 1, everyEvents: 1000 } });
  const reader = await openStore(disk, { readOnly: true });
  const subscription = reader.subscribe({})[Symbol.asyncIterator]();
  for (let n = 0; n < 5; n++) {
    const next = subscription.next();
    const { sequence } = await store.append(at, Counted({ n }));
    assert.equal((await next).value?.sequence, sequence);
    for (let synced = false; !synced; ) {
      await new Promise((resolve) => setTimeout(resolve, 1));
      const left = await openStore(disk.diskAfterCrash(), { readOnly: true });
      synced = (await left.count()) > n;
      await left.close();
    }
  }
  await subscription.return(undefined);
  await reader.close();
  await store.close();
});

test("await using closes", async () => {
  const disk = new SimulatedDisk();
  const store = await openStore(disk);
  await store.append(at, Counted({ n: 0 }));
  await store[Symbol.asyncDispose]();
  await assert.rejects(store.append(at, Counted({ n: 1 })), { code: "CLOSED" });
  assert.equal(disk.openFileCount, 0);
});
