/** Reactions: exactly one derived event for each cause, whatever happens between. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { isStoreError } from "../../src/base/store-error.ts";
import { defineEvent, type } from "../../src/events/definition.ts";
import { defineDecider } from "../../src/projections/decider.ts";
import type { Layout } from "../../src/store-options.ts";
import { Store } from "../../src/store.ts";
import { createMemoryDisk } from "../../src/testing/memory-disk.ts";
import { openMemoryStore } from "../../src/testing/memory-store.ts";
import { SimulatedDisk } from "../../src/testing/sim-disk.ts";

const Placed = defineEvent("Placed", { schema: type<{ n: number }>(), kind: { category: 2, type: 1 } });
const Billed = defineEvent("Billed", { schema: type<{ n: number; line: number }>(), kind: { category: 2, type: 2 } });
const OPTIONS = { events: [Placed, Billed] } as const;
type TestStore = Store<typeof OPTIONS.events>;
const orders = { entity: "orders", scope: "shop" };
const bill = (n: number, line: number) => ({ coordinate: { entity: `bill:${n % 7}`, scope: "shop" }, event: Billed({ n, line }) });

async function place(store: TestStore, from: number, count: number): Promise<void> {
  if (count > 0)
    await store.append(
      orders,
      Array.from({ length: count }, (_, i) => Placed({ n: from + i })),
    );
}

/** Runs the reaction until every cause is behind it. */
async function settle(run: (signal: AbortSignal) => Promise<void>, done: () => Promise<boolean>): Promise<void> {
  const stop = new AbortController();
  const running = run(stop.signal);
  let failed = false;
  running.catch(() => {
    failed = true;
  });
  while (!failed && !(await done())) await new Promise((resolve) => setTimeout(resolve, 1));
  stop.abort();
  await running;
}

async function billsOf(store: TestStore): Promise<string[]> {
  const bills: string[] = [];
  for await (const event of store.read({ kind: Billed })) bills.push(`${event.data.n}.${event.data.line}`);
  return bills;
}

test("what is derived is caused by what was seen, in its order, and shares its correlation", async () => {
  const store = await openMemoryStore(OPTIONS);
  await place(store, 0, 300);
  await settle(
    (signal) =>
      store.react("billing", { kind: Placed }, ({ data }) => (data.n % 3 === 0 ? null : [bill(data.n, 0), bill(data.n, 1)]), { signal }),
    async () => (await store.consumers())[0]?.position === 299,
  );
  const expected = Array.from({ length: 300 }, (_, n) => n).filter((n) => n % 3 !== 0);
  assert.deepEqual(
    await billsOf(store),
    expected.flatMap((n) => [`${n}.0`, `${n}.1`]),
  );
  for await (const event of store.read({ kind: Billed })) {
    const cause = await store.get(event.causationId ?? "");
    assert.equal(cause?.correlationId, event.correlationId);
    assert.equal((cause?.data as { n: number } | undefined)?.n, event.data.n);
  }
  await store.close();
});

test("the end that a reaction or a consumer begins at is that of its call", async () => {
  const store = await openMemoryStore(OPTIONS);
  await place(store, 0, 3);
  const consuming = store.consumer("mails", { kind: Placed }, { after: "end" });
  const stop = new AbortController();
  const seen: number[] = [];
  const handler = ({ data }: { data: { n: number } }): null => {
    seen.push(data.n);
    stop.abort();
    return null;
  };
  const reacting = store.react("bills", { kind: Placed }, handler, { after: "end", signal: stop.signal });
  await place(store, 3, 1);
  await reacting;
  assert.deepEqual(seen, [3]);
  for await (const event of await consuming) {
    assert.equal(event.sequence, 3);
    break;
  }
  await store.close();
});

test("done again after a reset it adds nothing, whatever the handler gives now", async () => {
  const store = await openMemoryStore(OPTIONS);
  await place(store, 0, 100);
  const caughtUp = async (): Promise<boolean> => (await store.consumers())[0]?.position === 99;
  let run = 0;
  const react = (signal: AbortSignal): Promise<void> =>
    store.react("billing", { kind: Placed }, ({ data }) => bill(data.n, run), { signal });
  await settle(react, caughtUp);
  const first = await billsOf(store);
  assert.equal(first.length, 100);
  run = 1;
  await (await store.consumer("billing", undefined, { resetTo: "start" })).close();
  await settle(react, caughtUp);
  assert.deepEqual(await billsOf(store), first);
  await store.close();
});

test("done again after a reset it adds nothing of what compaction removed either", async () => {
  const store = await openMemoryStore({ ...OPTIONS, segmentBytesMax: 4096 });
  await place(store, 0, 20);
  const caughtUp = async (): Promise<boolean> => (await store.consumers())[0]?.position === 19;
  const react = (signal: AbortSignal): Promise<void> => store.react("billing", { kind: Placed }, ({ data }) => bill(data.n, 0), { signal });
  await settle(react, caughtUp);
  // Compaction takes neither an entity's last event nor anything of the newest segment.
  for (let n = 0; n < 40; n++) await store.append({ entity: `bill:${n % 7}`, scope: "shop" }, Placed({ n: 100 + n }));
  const { removedEvents } = await store.compact({ query: { kind: Billed } });
  assert.equal(removedEvents, 20);
  // From another cause on than at first: the chunks are cut differently.
  for (const resetTo of ["start", 3] as const) {
    await (await store.consumer("billing", undefined, { resetTo })).close();
    await settle(react, async () => ((await store.consumers())[0]?.position ?? -1) >= 79);
    assert.deepEqual(
      await billsOf(store),
      Array.from({ length: 40 }, (_, n) => `${100 + n}.0`),
    );
  }
  await store.close();
});

test("what is derived of an event that a compaction removes meanwhile is stored all the same, and names it", async () => {
  const disk = createMemoryDisk();
  const store = await openMemoryStore({ ...OPTIONS, disk, segmentBytesMax: 4096 });
  const root = await store.append({ entity: "root", scope: "shop" }, { kind: 0x1001, data: 0 });
  for (let n = 0; n < 60; n++) await store.append(orders, Placed({ n }), { causedBy: root.id });
  const causes = (await store.read({ kind: Placed }).toArray()).map(({ id }) => id);
  const given: string[] = [];
  const react = (signal: AbortSignal): Promise<void> =>
    store.react(
      "billing",
      { kind: Placed },
      async (event) => {
        if (given.push(event.id) === 3) await store.compact({ query: { kind: Placed }, keepLast: 1 });
        return bill(event.data.n, 0);
      },
      { signal },
    );
  await settle(react, async () => (await store.count({ kind: Billed, causedBy: causes[59] })) === 1);
  // Those that were not given yet when they were removed are not there for anybody.
  assert.ok(given.length >= 4 && given.length <= 60);
  assert.equal(await store.get(given[2]), null);
  const bills = await store.read({ kind: Billed }).toArray();
  assert.deepEqual(
    bills.map(({ causationId, correlationId }) => [causationId, correlationId]),
    given.map((id) => [id, root.id]),
  );
  assert.equal((await store.verify()).ok, true);
  await store.close();
});

test("what depends on what was derived before: commands that are given a consumer's events come to it once", async () => {
  const store = await openMemoryStore(OPTIONS);
  await place(store, 0, 5);
  const Numbering = defineDecider({
    events: [Billed],
    initial: 0,
    decide: (n: number, lines) => Billed({ n, line: lines + 1 }),
    evolve: { Billed: (lines) => lines + 1 },
  });
  const numbered = { entity: "numbered", scope: "shop" };
  for (let run = 0; run < 2; run++) {
    const consumer = await store.consumer("numbering", { kind: Placed }, { resetTo: "start" });
    for await (const { id, data } of consumer) {
      await store.handle(numbered, Numbering, data.n, { commandId: id });
      if (data.n === 4) break;
    }
    await consumer.close();
    assert.deepEqual(await billsOf(store), ["0.1", "1.2", "2.3", "3.4", "4.5"]);
  }
  await store.close();
});

test("a handler that throws ends the reaction; what came before stands, and it is given the event again", async () => {
  const store = await openMemoryStore(OPTIONS);
  await place(store, 0, 50);
  let broken = true;
  const seen: number[] = [];
  const react = (signal?: AbortSignal): Promise<void> =>
    store.react(
      "billing",
      { kind: Placed },
      async ({ data }) => {
        seen.push(data.n);
        await Promise.resolve();
        if (broken && data.n === 20) throw new Error("no paper");
        return bill(data.n, 0);
      },
      signal === undefined ? {} : { signal },
    );
  await assert.rejects(react(), /no paper/);
  assert.equal((await store.consumers())[0].position, 19);
  assert.equal((await billsOf(store)).length, 20);
  broken = false;
  await settle(react, async () => (await store.consumers())[0].position === 49);
  assert.deepEqual(
    await billsOf(store),
    Array.from({ length: 50 }, (_, n) => `${n}.0`),
  );
  assert.equal(seen.filter((n) => n === 20).length, 2);
  assert.equal(seen.length, 51);
  await store.close();
});

test("what is refused ends the reaction with its error, before its event and behind those before", async () => {
  const store = await openMemoryStore(OPTIONS);
  await place(store, 0, 30);
  const conflicting = store.react("billing", { kind: Placed }, ({ data }) =>
    data.n === 12 ? { ...bill(12, 0), expect: { clock: 999 } } : bill(data.n, 0),
  );
  await assert.rejects(conflicting, (error) => isStoreError(error, "CONFLICT"));
  assert.equal((await billsOf(store)).length, 12);
  assert.equal((await store.consumers())[0].position, 11);
  const tooLarge = store.react("billing", { kind: Placed }, ({ data }) =>
    data.n === 25 ? { ...bill(25, 0), event: Billed({ n: 25, line: 0, pad: "x".repeat(17 * 1024 * 1024) } as never) } : bill(data.n, 0),
  );
  await assert.rejects(tooLarge, (error) => isStoreError(error, "TOO_LARGE"));
  assert.equal((await billsOf(store)).length, 25);
  for (const taken of [{ idempotencyKey: "k" }, { causedBy: "x" }, { correlationId: "x" }]) {
    await assert.rejects(
      store.react("billing", { kind: Placed }, ({ data }) => ({ ...bill(data.n, 0), ...taken }) as never),
      { code: "INVALID_ARGUMENT" },
    );
  }
  await assert.rejects(store.react("billing", { kind: Placed }, (() => 5) as never), { code: "INVALID_ARGUMENT" });
  await assert.rejects(store.react("billing", { kind: Placed }, null as never), { code: "INVALID_ARGUMENT" });
  await store.close();
});

test("an argument that is refused lets what came before it be stored, as any other refusal", async () => {
  const store = await openMemoryStore(OPTIONS);
  await place(store, 0, 5);
  const running = store.react("r", { kind: Placed }, ({ data: { n } }) => {
    const { coordinate, event } = bill(n, 0);
    return { coordinate: n === 3 ? { ...coordinate, entity: "" } : coordinate, event };
  });
  await assert.rejects(running, { code: "INVALID_ARGUMENT" });
  assert.deepEqual(await billsOf(store), ["0.0", "1.0", "2.0"]);
  assert.deepEqual(
    (await store.consumers()).map(({ position }) => position),
    [2],
  );
  await store.close();
});

test("one reaction a name; closing the store ends it, and a reader cannot react", async () => {
  const disk = createMemoryDisk();
  const store = await openMemoryStore({ ...OPTIONS, disk });
  await place(store, 0, 5);
  const running = store.react("billing", { kind: Placed }, ({ data }) => bill(data.n, 0));
  while ((await billsOf(store)).length < 5) await new Promise((resolve) => setTimeout(resolve, 1));
  await assert.rejects(
    store.react("billing", undefined, () => null),
    { code: "LOCKED" },
  );
  await store.close();
  await running;
  const reader = await Store.open("/store", { readOnly: true, disk });
  await assert.rejects(
    reader.react("billing", undefined, () => null),
    { code: "READ_ONLY" },
  );
  await reader.close();
});

const CAUSES = 6;

/** Places orders and reacts to them, as far as the disk goes. Returns whether everything was done. */
async function reactOnce(disk: SimulatedDisk, layout: Layout, run: number): Promise<void> {
  const options = { ...OPTIONS, layout, disk, segmentBytesMax: 4096, checkpoint: { everyEvents: 5 } };
  const store: TestStore = await Store.open("/store", options);
  try {
    const placed = await store.count({ kind: Placed });
    await place(store, placed, CAUSES - placed);
    // What the handler gives differs from run to run: what a crash left must not be derived anew.
    const derive = (n: number) => (n % 3 === 2 ? [] : [bill(n, run * 10), bill(n, run * 10 + 1)]);
    await settle(
      (signal) => store.react("billing", { kind: Placed }, ({ data }) => derive(data.n), { signal }),
      async () => ((await store.consumers())[0]?.position ?? -1) >= CAUSES - 1,
    );
  } finally {
    await store.close().catch(() => {});
  }
}

for (const layout of ["native", "batpak-0.3"] as const) {
  test(`crashed during every disk operation: no cause is derived from twice, none is left out, none by half (${layout})`, () =>
    crashReactions(layout));
}

async function crashReactions(layout: Layout): Promise<void> {
  const whole = new SimulatedDisk();
  await reactOnce(whole, layout, 0);
  let opened = 0;
  for (let operation = 1; operation <= whole.operationCount; operation++) {
    const disk = new SimulatedDisk();
    disk.crashDuring(operation);
    await reactOnce(disk, layout, 0).catch((error: unknown) => assert(disk.crashed, String(error)));
    const lefts = [disk.diskAfterKill(), ...disk.possibleDisks({ limit: 2, seed: operation })];
    for (const left of lefts) {
      opened++;
      await reactOnce(left, layout, 1);
      const store: TestStore = await Store.open("/store", { ...OPTIONS, disk: left });
      const bills = await billsOf(store);
      for (let n = 0; n < CAUSES; n++) {
        const own = bills.filter((text) => text.startsWith(`${n}.`));
        const kept = n % 3 === 2 ? [[]] : [0, 10].map((line) => [`${n}.${line}`, `${n}.${line + 1}`]);
        assert(
          kept.some((lines) => JSON.stringify(lines) === JSON.stringify(own)),
          `operation ${operation}: cause ${n} gave ${JSON.stringify(own)}`,
        );
      }
      if (layout === "native") assert((await store.verify()).ok);
      await store.close();
    }
  }
  assert(opened > whole.operationCount);
}

test("closing the store tells a handler that is under way, and the reaction ends with it", { timeout: 10_000 }, async () => {
  const store = await Store.open("/store", { disk: new SimulatedDisk(), ...OPTIONS });
  await place(store, 0, 1);
  let begun = (): void => {};
  const begins = new Promise<void>((resolve) => {
    begun = resolve;
  });
  const reacting = store.react("billing", { kind: Placed }, async (_, { signal }) => {
    begun();
    await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve()));
  });
  await begins;
  await store.close();
  await reacting;
});
