/** Projections of a store: what is folded, what an earlier state was, how a fold is stopped, watched, and what it reads. */
import assert from "node:assert/strict";
import { tracingChannel } from "node:diagnostics_channel";
import { setImmediate as turn } from "node:timers/promises";
import { test } from "node:test";
import { runInNewContext } from "node:vm";
import { defineDecider, defineEvent, defineProjection, Store, type } from "../../src/index.ts";
import { SimulatedDisk } from "../../src/testing/sim-disk.ts";
import { accountProjection, at, Deposited, events, Noted, openAccounts, snapshotPaths, Withdrawn } from "./support.ts";

const Balance = accountProjection({ snapshot: false });

test("a stream, a query and the whole store are folded; events of other kinds are not read", async () => {
  const store = await openAccounts(new SimulatedDisk());
  await store.append(at("a"), [Deposited({ cents: 5 }), Noted({ text: "no account" }), Withdrawn({ cents: 2 })]);
  await store.append({ entity: "b", scope: "other" }, [Deposited({ cents: 10 }), Noted({ text: "nor this" })]);
  assert.deepEqual(await store.project(Balance, "a"), { state: { cents: 3, trace: "+5-2" }, sequence: 2, events: 2, eventsRead: 2 });
  assert.equal((await store.project(Balance, { query: { scope: "other" } })).state.cents, 10);
  assert.equal((await store.project(Balance, { query: { kind: Withdrawn } })).state.trace, "-2");
  assert.equal((await store.project(Balance, { query: [{ entity: "a", kind: Withdrawn }, { entity: "b" }] })).state.trace, "-2+10");
  assert.equal(
    (await store.project(Balance, { query: { kind: Noted } })).events,
    0,
    "its kinds and the projection's have nothing in common",
  );
  assert.equal((await store.project(Balance)).state.trace, "+5-2+10");
  assert.deepEqual(await store.project(Balance, "nobody"), { state: { cents: 0, trace: "" }, sequence: -1, events: 0, eventsRead: 0 });
  await store.close();
  await assert.rejects(store.project(Balance), { code: "CLOSED" });
});

test("folds share no state, given as a value or made by a function", async () => {
  const store = await openAccounts(new SimulatedDisk());
  await store.append(at("a"), Deposited({ cents: 1 }));
  const value = { list: [0] };
  const handlers = {
    Deposited: (state: { list: number[] }, event: { data: { cents: number } }) => {
      state.list.push(event.data.cents);
      return state;
    },
  };
  const OfValue = defineProjection({ name: "v", events: [Deposited], initial: value, on: handlers });
  value.list.push(99);
  const OfFunction = defineProjection({ name: "f", events: [Deposited], initial: () => ({ list: [0] }), on: handlers });
  for (const projection of [OfValue, OfFunction]) {
    for (let i = 0; i < 2; i++) assert.deepEqual((await store.project(projection, "a")).state, { list: [0, 1] });
  }
  await store.close();
});

test("an earlier state: behind a sequence, at a time", async () => {
  let now = 1_000_000;
  const disk = new SimulatedDisk();
  const clock = { nowMicros: () => now * 1000, monotonicMs: () => now };
  const store = await openAccounts(disk, { clock });
  const Kept = accountProjection({ snapshot: { everyEvents: 1 } });
  for (let i = 1; i <= 5; i++) {
    await store.append(at("a"), Deposited({ cents: i }));
    // A snapshot of later is no use for earlier.
    if (i === 4) await store.project(Kept, "a");
    now += 1000;
  }
  const sums = [0, 1, 3, 6, 10, 15];
  for (let sequence = -1; sequence < 7; sequence++) {
    for (const projection of [Balance, Kept]) {
      const { state } = await store.project(projection, "a", { at: sequence });
      assert.equal(state.cents, sums[Math.min(sequence + 1, 5)], `behind sequence ${sequence}`);
    }
  }
  for (const [ms, cents] of [
    [999_999, 0],
    [1_000_000, 1],
    [1_000_999, 1],
    [1_003_000, 10],
    [1_003_999, 10],
    [9_999_999, 15],
  ]) {
    for (const projection of [Balance, Kept]) {
      assert.equal((await store.project(projection, "a", { at: new Date(ms) })).state.cents, cents, `at ${ms}`);
    }
  }
  assert.equal((await store.project(Kept, "a")).state.cents, 15);
  await store.close();
});

test("a fold that goes on reads what is new and no more", async () => {
  const disk = new SimulatedDisk();
  const Kept = accountProjection({ snapshot: { everyEvents: 100 } });
  let store = await openAccounts(disk);
  for (let i = 0; i < 10; i++) {
    await store.append(
      at("a"),
      Array.from({ length: 300 }, () => Deposited({ cents: 1 })),
    );
    await store.append(
      at("b"),
      Array.from({ length: 300 }, () => Noted({ text: "beside it" })),
    );
  }
  assert.equal((await store.project(Kept, "a")).eventsRead, 3000);
  await store.close();
  store = await openAccounts(disk);
  await store.append(at("a"), [Deposited({ cents: 1 }), Deposited({ cents: 1 })]);
  const before = await store.stats();
  const { state, events: folded, eventsRead } = await store.project(Kept, "a");
  assert.deepEqual([state.cents, folded, eventsRead], [3002, 3002, 2]);
  const after = await store.stats();
  const reads = after.framesRead + after.blocksRead - before.framesRead - before.blocksRead;
  assert.ok(reads <= 4, `${reads} reads for two events and the one that the snapshot ends at`);
  await store.close();
});

test("progress is told, a signal stops the fold, and it goes on where it was", async () => {
  const disk = new SimulatedDisk();
  const store = await openAccounts(disk);
  for (let i = 0; i < 20; i++)
    await store.append(
      at("a"),
      Array.from({ length: 1000 }, () => Deposited({ cents: 1 })),
    );
  const Rare = accountProjection({ snapshot: { everyEvents: 1_000_000 } });
  const stop = new AbortController();
  const told: number[] = [];
  await assert.rejects(
    store.project(Rare, "a", {
      signal: stop.signal,
      onProgress: (progress) => {
        assert.equal(progress.eventsTotal, 20_000);
        told.push(progress.events);
        if (progress.events > 5000) stop.abort(new Error("enough"));
      },
    }),
    { message: "enough" },
  );
  const stopped = told.at(-1) as number;
  assert.ok(stopped > 5000 && stopped < 20_000 && told.length > 1, `told ${told.join(", ")}`);
  assert.equal(snapshotPaths(disk).length, 1);
  const rest = await store.project(Rare, "a", {
    onProgress: (progress) => {
      assert.equal(progress.eventsTotal, 20_000);
      assert.ok(progress.events > stopped);
    },
  });
  assert.deepEqual([rest.state.cents, rest.eventsRead], [20_000, 20_000 - stopped]);
  await assert.rejects(store.project(Rare, "a", { signal: AbortSignal.abort(new Error("at once")) }), { message: "at once" });
  await store.close();
});

test("what a handler throws comes through and nothing is kept; a handler that returns no state is told", async () => {
  const disk = new SimulatedDisk();
  const store = await openAccounts(disk);
  await store.append(at("a"), [Deposited({ cents: 1 }), Deposited({ cents: 2 })]);
  const failing = (handler: (state: number) => number): Promise<unknown> =>
    store.project(
      defineProjection({ name: "x", events: [Deposited], initial: 0, on: { Deposited: handler }, snapshot: { everyEvents: 1 } }),
      "a",
    );
  await assert.rejects(
    failing(() => {
      throw new Error("mine");
    }),
    { message: "mine" },
  );
  await assert.rejects(
    failing(() => undefined as unknown as number),
    { code: "INVALID_ARGUMENT", message: /handler of Deposited returned undefined/ },
  );
  // What it is rejected with is told nowhere: unhandled, it would end the process.
  await assert.rejects(failing((() => Promise.reject(new Error("nobody's"))) as unknown as () => number), {
    code: "INVALID_ARGUMENT",
    message: /handler of Deposited returned a promise/,
  });
  assert.deepEqual(snapshotPaths(disk), []);
  await store.close();
});

test("a handler that changes its state and throws the signal's reason leaves nothing behind that is half of something", async () => {
  const disk = new SimulatedDisk();
  const store = await openAccounts(disk);
  await store.append(
    at("a"),
    Array.from({ length: 300 }, () => Deposited({ cents: 1 })),
  );
  let stop: AbortController | null = null;
  let left = 0;
  const Changed = defineDecider({
    name: "changed",
    events: [Deposited],
    initial: { cents: 0 },
    decide: () => null,
    evolve: {
      Deposited: (state: { cents: number }, { data }: { data: { cents: number } }) => {
        if (left-- === 0) stop?.abort(new Error("enough"));
        stop?.signal.throwIfAborted();
        state.cents += data.cents;
        return state;
      },
    },
    snapshot: { everyEvents: 1000 },
  });
  const ways = [
    (signal: AbortSignal) => store.project(Changed, "a", { signal }),
    (signal: AbortSignal) => store.handle(at("a"), Changed, null as never, { signal }),
  ];
  for (const way of ways) {
    stop = new AbortController();
    left = 200;
    await assert.rejects(way(stop.signal), { message: "enough" });
    stop = null;
    assert.deepEqual(snapshotPaths(disk), []);
    const { state, events } = await store.project(Changed, "a");
    assert.deepEqual([state.cents, events], [300, 300]);
  }
  await store.close();
});

test("a fold is told on its tracing channel, with what it came to", async () => {
  const store = await openAccounts(new SimulatedDisk());
  await store.append(at("a"), Deposited({ cents: 4 }));
  const told: unknown[] = [];
  const note = (name: string) => (message: object) => void told.push([name, { ...message }]);
  const handlers = { start: note("start"), asyncEnd: note("asyncEnd"), error: note("error") };
  const channel = tracingChannel<object>("batpak.project");
  channel.subscribe(handlers as never);
  try {
    const result = await store.project(Balance, "a");
    const message = { directory: "/store", projection: "account", target: { entity: "a" } };
    assert.deepEqual(told, [
      ["start", message],
      ["asyncEnd", { ...message, result }],
    ]);
  } finally {
    channel.unsubscribe(handlers as never);
  }
  await store.close();
});

test("watching gives the state now and after what is new, passes over what came between, and ends with the store", async () => {
  const store = await openAccounts(new SimulatedDisk());
  await store.append(at("a"), Deposited({ cents: 1 }));
  const watching = store.watch(Balance, "a");
  const next = async (): Promise<number | undefined> => {
    const { value } = await watching.next();
    return value?.state.cents;
  };
  assert.equal(await next(), 1);
  await store.append(at("a"), Deposited({ cents: 10 }));
  await store.append(at("b"), Deposited({ cents: 1000 }));
  await store.append(at("a"), Deposited({ cents: 100 }));
  assert.equal(await next(), 111);
  const waiting = next();
  await turn();
  await store.append(at("b"), Deposited({ cents: 1000 }));
  await store.append(at("a"), Noted({ text: "not folded" }));
  await store.append(at("a"), Withdrawn({ cents: 11 }));
  assert.equal(await waiting, 100);
  const last = next();
  await store.close();
  assert.equal(await last, undefined);
});

test("watching begins before anything is there, and stops with its signal", async () => {
  const disk = new SimulatedDisk();
  const store = await openAccounts(disk);
  const stop = new AbortController();
  const watching = store.watch(Balance, "a", { signal: stop.signal });
  assert.equal((await watching.next()).value?.sequence, -1);
  const waiting = watching.next();
  await store.append(at("a"), Deposited({ cents: 3 }));
  assert.equal((await waiting).value?.state.cents, 3);
  const never = watching.next();
  await turn();
  stop.abort(new Error("stop"));
  await assert.rejects(never, { message: "stop" });
  await store.close();
});

test("a reader watches the writer's events", async () => {
  const disk = new SimulatedDisk();
  const writer = await openAccounts(disk);
  await writer.append(at("a"), Deposited({ cents: 1 }));
  const reader = await openAccounts(disk, { readOnly: true });
  const watching = reader.watch(Balance, "a");
  assert.equal((await watching.next()).value?.state.cents, 1);
  const waiting = watching.next();
  await writer.append(at("a"), Deposited({ cents: 1 }));
  assert.equal((await waiting).value?.state.cents, 2);
  await watching.return(undefined);
  await reader.close();
  await writer.close();
});

test("older data is brought up by the projection's own definitions, whatever open was given", async () => {
  const disk = new SimulatedDisk();
  const Old = defineEvent("Priced", { schema: type<{ euros: number }>() });
  const New = defineEvent("Priced", {
    version: 2,
    schema: type<{ cents: number }>(),
    upcast: { 1: (old: { euros: number }) => ({ cents: old.euros * 100 }) },
  });
  let store = await Store.open("/store", { disk });
  await store.append(at("a"), Old({ euros: 2 }));
  await store.close();
  const Total = defineProjection({ name: "total", events: [New], initial: 0, on: { Priced: (state, { data }) => state + data.cents } });
  store = await Store.open("/store", { disk });
  assert.equal((await store.project(Total, "a")).state, 200);
  assert.deepEqual((await store.read().first())?.data, { euros: 2 }, "what others read is as it was");
  await store.append(at("a"), New({ cents: 5 }));
  assert.equal((await store.project(Total, "a")).state, 205);
  await store.close();
  store = await Store.open("/store", { disk });
  const Behind = defineProjection({ name: "behind", events: [Old], initial: 0, on: { Priced: (state, { data }) => state + data.euros } });
  await assert.rejects(store.project(Behind, "a"), { code: "NEWER_EVENT_VERSION" });
  await store.close();
});

test("wrong arguments are refused with what is allowed", async () => {
  const store = await openAccounts(new SimulatedDisk());
  const refused = async (work: () => unknown, message: RegExp): Promise<void> => {
    await assert.rejects(async () => await work(), { code: "INVALID_ARGUMENT", message });
  };
  const project = (...given: unknown[]): Promise<unknown> =>
    (store.project as (...all: unknown[]) => Promise<unknown>).call(store, ...given);
  await refused(() => project({ name: "x" }), /no projection/);
  await refused(() => project(Balance, ""), /entity is empty/);
  await refused(() => project(Balance, 7), /entity is 7, text/);
  await refused(() => project(Balance, { entity: "a" }), /option entity is unknown/);
  await refused(() => project(Balance, { query: { colour: 1 } }), /unknown member colour/);
  await refused(() => project(Balance, "a", { at: 1.5 }), /at is 1.5/);
  await refused(() => project(Balance, "a", { at: new Date(Number.NaN) }), /invalid Date/);
  await refused(() => project(Balance, "a", { signal: 7 }), /AbortSignal/);
  const define =
    (options: object): (() => unknown) =>
    () =>
      defineProjection({ name: "p", events: [Deposited], initial: 0, on: { Deposited: () => 1 }, ...options } as never);
  await refused(define({ name: "" }), /name is empty/);
  await refused(define({ version: 0 }), /version is 0/);
  await refused(define({ events: [] }), /one definition or more/);
  await refused(define({ events: [Deposited, Deposited], on: { Deposited: () => 1 } }), /two definitions/);
  await refused(define({ events: [...events] }), /no handler for Withdrawn/);
  await refused(define({ on: { Deposited: () => 1, Withdrawn: () => 1 } }), /handler for Withdrawn/);
  await refused(define({ initial: undefined }), /initial is undefined/);
  await refused(define({ initial: { f: () => 1 } }), /cannot be copied/);
  class Cart {
    readonly lines = new Map();
  }
  for (const initial of [new Cart(), [{ cart: new Cart() }], new Map([["a", new Cart()]]), new Set([new Cart()])]) {
    await refused(define({ initial, snapshot: false }), /an instance of a class/);
  }
  await refused(define({ initial: new Cart() }), /an instance of a class/);
  await refused(define({ initial: new (class Lines extends Map {})(), snapshot: false }), /an instance of a class/);
  await refused(define({ initial: Object.assign(new Error(""), { cart: {} }), snapshot: false }), /a copy of it would be none/);
  assert.doesNotThrow(define({ initial: () => new Cart(), snapshot: false }));
  const cyclic: Record<string, unknown> = Object.assign(Object.create(null) as object, { list: [1, "a", null, 5n] });
  cyclic.self = cyclic;
  const foreign: unknown = runInNewContext("({ list: [{}], map: new Map([[{}, new Date(0)]]) })");
  const kept = [
    cyclic,
    foreign,
    new Map([["a", new Set([new Date(0)])]]),
    new Uint8Array(2),
    new Float64Array(2),
    [/a/],
    new RangeError(""),
  ];
  for (const initial of kept) assert.doesNotThrow(define({ initial, snapshot: false }), String(kept.indexOf(initial)));
  await refused(define({ snapshot: { everyEvents: 0 } }), /snapshot is an object with everyEvents, false and/);
  await refused(define({ snapshots: false }), /option snapshots is unknown/);
  assert.throws(define({ initial: () => new Map() }), { code: "PAYLOAD_UNSUPPORTED", message: /snapshot: false/ });
  assert.doesNotThrow(define({ initial: () => new Map(), snapshot: false }));
  await store.close();
});
