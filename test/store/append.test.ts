/** Appending to a real store: the order of acceptance, expectations, keys, causes, back-pressure, signals, durabilities. */
import assert from "node:assert/strict";
import { tracingChannel } from "node:diagnostics_channel";
import { test } from "node:test";
import { isStoreError } from "../../src/base/store-error.ts";
import { type AnyNewEvent, defineEvent, rawEvent, type } from "../../src/events/definition.ts";
import type { Receipt } from "../../src/events/event.ts";
import { Store } from "../../src/store.ts";
import { SimulatedDisk } from "../../src/testing/sim-disk.ts";
import { Counted, type CountedStore, numbersIn, openStore, segmentPath } from "./support/log-image.ts";

const at = { entity: "counter", scope: "test" };
const other = { entity: "other", scope: "test" };

async function withStore(use: (store: CountedStore, disk: SimulatedDisk) => Promise<void>): Promise<void> {
  const disk = new SimulatedDisk();
  const store = await openStore(disk);
  await use(store, disk);
  await store.close();
}

/** Syncing and synced writes of segments wait until it is called. */
function stall(disk: SimulatedDisk): () => void {
  let letGo = (): void => {};
  const until = new Promise<void>((resolve) => {
    letGo = resolve;
  });
  disk.faults = ({ kind, path, durable }) =>
    path.endsWith(".fbat") && (kind === "sync" || (kind === "write" && durable === true)) ? { until } : undefined;
  return () => {
    disk.faults = undefined;
    letGo();
  };
}

test("appends are accepted in the order of their calls", () =>
  withStore(async (store) => {
    const receipts = await Promise.all(Array.from({ length: 500 }, (_, n) => store.append(n % 3 === 0 ? other : at, Counted({ n }))));
    assert.deepEqual(
      receipts.map((receipt) => receipt.sequence),
      receipts.map((_, n) => n),
    );
    assert((await store.stats()).commits < 100, "many share a commit");
    assert.deepEqual(
      await numbersIn(store),
      receipts.map((_, n) => n),
    );
  }));

test("an append whose schema answers later takes its place then, and holds up nobody; its output is what is stored", () =>
  withStore(async (store) => {
    let answer = (): void => {};
    const asked = new Promise<void>((resolve) => {
      answer = resolve;
    });
    const Slow = defineEvent("Slow", {
      schema: {
        "~standard": {
          version: 1 as const,
          vendor: "test",
          validate: async (value: unknown) => {
            await asked;
            return { value: { n: (value as { n: number }).n + 1000 } };
          },
        },
      },
    });
    const slow = store.append(at, (Slow as unknown as (data: unknown) => AnyNewEvent)({ n: 1 }));
    const quick = await store.append(at, Counted({ n: 2 }));
    assert.equal(quick.sequence, 0);
    answer();
    const receipt = await slow;
    assert.equal(receipt.sequence, 1);
    assert.deepEqual((await store.get(receipt.id))?.data, { n: 1001 });
  }));

test("a condition on a definition that gets its kind while it waits sees what was accepted meanwhile", async () => {
  const data = { schema: type<{ nick: string }>() };
  const later = {
    "~standard": { version: 1, vendor: "test", validate: async (value: unknown) => ({ value: value as { nick: string } }) },
  } as const;
  for (const schema of ["none", "asynchronous"] as const) {
    const Registered = defineEvent("Registered", schema === "none" ? data : { schema: later });
    const Noted = defineEvent("Noted", data);
    const expect = { noneMatching: { kind: Registered } };
    const outcomeOf = (append: Promise<Receipt>): Promise<string> =>
      append.then(
        () => "appended",
        (error: unknown) => (error as { code: string }).code,
      );
    // All at once; behind one that is staged for its own condition; behind one that waits for room.
    for (const queuedBytesMax of [64 * 1024 * 1024, 65_536]) {
      for (const first of [{ expect }, {}]) {
        const store = await Store.open("/store", { disk: new SimulatedDisk(), events: [Registered, Noted], queuedBytesMax });
        const filling = store.append(other, rawEvent(0x1fff, "x".repeat(65_536)));
        const outcomes = await Promise.all([
          outcomeOf(store.append(other, Registered({ nick: "first" }), first)),
          outcomeOf(store.append(at, Registered({ nick: "second" }), { expect })),
          // Which is no Registered, but must not stand beside one.
          outcomeOf(store.append(at, Noted({ nick: "third" }), { expect: { noneMatching: [{ kind: Registered }, { entity: "absent" }] } })),
        ]);
        const expected = schema === "none" ? ["appended", "CONFLICT", "CONFLICT"] : null;
        if (expected !== null) assert.deepEqual(outcomes, expected);
        assert.equal(await store.count({ kind: Registered }), 1);
        await filling;
        await store.close();
      }
    }
  }
});

test("a definition is given no number of events that are only on their way", async () => {
  const Named = defineEvent("Named", { schema: type<string>() });
  const store = await Store.open("/store", { disk: new SimulatedDisk() });
  await store.appendBatch([
    { coordinate: at, event: rawEvent(0x1001, "raw") },
    { coordinate: at, event: Named("named") },
  ]);
  const Other = defineEvent("Other", { schema: type<string>() });
  await Promise.all([
    store.append(at, rawEvent(0x1003, "raw"), { expect: { noneMatching: { scope: "absent" } } }),
    store.append(at, Other("other")),
  ]);
  const found = (await store.read().toArray()).map(({ kind, type: name, data }) => `${kind.toString(16)} ${String(name)} ${String(data)}`);
  assert.deepEqual(found, ["1001 null raw", "1002 Named named", "1003 null raw", "1004 Other other"]);
  await store.close();
});

test("nor that of an event whose batch waits for the schema of another one", async () => {
  const store = await openStore(new SimulatedDisk());
  let answer = (): void => {};
  const answered = new Promise<void>((resolve) => (answer = resolve));
  const validate = (value: unknown) => answered.then(() => ({ value }));
  const Asked = defineEvent("Asked", { schema: { "~standard": { version: 1 as const, vendor: "test", validate } }, kind: 0x2001 });
  const New = defineEvent("New", { schema: type<{ n: number }>() });
  const batch = store.append(at, [rawEvent(0x1002, "by number"), Asked({})]);
  await store.append(at, New({ n: 1 }));
  answer();
  await batch;
  const events = await store.read({ entity: at.entity }).toArray();
  assert.deepEqual(
    events.map(({ type: name }) => name),
    ["New", null, "Asked"],
  );
  await store.close();
});

test("two definitions of one name are not both taken by a store that has a record of it", async () => {
  const disk = new SimulatedDisk();
  const schema = type<{ n: number }>();
  const first = await openStore(disk);
  await first.append(at, defineEvent("Same", { schema })({ n: 0 }));
  await first.close();
  const store = await openStore(disk);
  const appends = [1, 2].map((n) => store.append(at, defineEvent("Same", { schema })({ n }), { expect: { clock: n - 1 } }));
  const [one, other] = await Promise.allSettled(appends);
  assert.equal(one?.status, "fulfilled");
  assert.ok(other?.status === "rejected" && /two definitions claim the name Same/.test(String(other.reason)), JSON.stringify(other));
  await store.close();
});

test("of many concurrent appends that expect none, one wins; the others are told what they met", () =>
  withStore(async (store) => {
    const results = await Promise.allSettled(Array.from({ length: 20 }, (_, n) => store.append(at, Counted({ n }), { expect: "none" })));
    assert.equal(results[0].status, "fulfilled");
    for (const result of results.slice(1)) {
      assert(result.status === "rejected" && isStoreError(result.reason, "CONFLICT"));
      assert.deepEqual([result.reason.errorCode, result.reason.details.entity, result.reason.details.expected], [412, "counter", "none"]);
    }
    assert.deepEqual(await numbersIn(store), [0]);
  }));

test("expectations: none, exists, clock and conditions, alone and in batches", () =>
  withStore(async (store) => {
    const conflict = { code: "CONFLICT" };
    await assert.rejects(store.append(at, Counted({ n: 0 }), { expect: "exists" }), conflict);
    await assert.rejects(store.append(at, Counted({ n: 0 }), { expect: { clock: 0 } }), conflict);
    const first = await store.append(at, Counted({ n: 0 }), { expect: "none" });
    await store.append(at, Counted({ n: 1 }), { expect: { clock: first.clock } });
    await assert.rejects(store.append(at, Counted({ n: 9 }), { expect: { clock: first.clock } }), conflict);
    const second = await store.append(at, Counted({ n: 2 }), { expect: "exists" });
    await assert.rejects(store.append(at, Counted({ n: 9 }), { expect: { noneMatching: { entity: "counter" } } }), conflict);
    await assert.rejects(
      store.append(other, Counted({ n: 9 }), { expect: { noneMatching: { kind: Counted }, after: second.sequence - 1 } }),
      conflict,
    );
    const condition = { noneMatching: { scope: "test" }, after: second.sequence };
    const racers = await Promise.allSettled([3, 4, 5].map((n) => store.append(other, Counted({ n }), { expect: condition })));
    assert.deepEqual(
      racers.map((result) => result.status),
      ["fulfilled", "rejected", "rejected"],
    );
    // In a batch clock expectations see earlier items, a condition only what precedes the batch.
    const after = (await store.stats()).nextSequence - 1;
    await store.appendBatch([
      { coordinate: at, event: Counted({ n: 6 }), expect: { clock: 2 } },
      { coordinate: at, event: Counted({ n: 7 }), expect: { clock: 3 } },
      { coordinate: { entity: "third", scope: "test" }, event: Counted({ n: 8 }), expect: { noneMatching: { scope: "test" }, after } },
    ]);
    await assert.rejects(
      store.appendBatch([
        { coordinate: at, event: Counted({ n: 90 }) },
        { coordinate: other, event: Counted({ n: 91 }), expect: "none" },
      ]),
      conflict,
    );
    assert.deepEqual(await numbersIn(store), [0, 1, 2, 3, 6, 7, 8]);
  }));

test("a key makes a retry give the first receipts: later, in flight, for batches, and whatever is expected", () =>
  withStore(async (store, disk) => {
    const [first, inFlight] = await Promise.all(
      [1, 2].map(() => store.append(at, Counted({ n: 0 }), { idempotencyKey: "k", expect: "none" })),
    );
    assert.deepEqual(inFlight, first);
    assert.deepEqual(await store.append(at, Counted({ n: 0 }), { idempotencyKey: "k", expect: "none" }), first);
    const events = [Counted({ n: 1 }), Counted({ n: 2 })];
    const batch = await store.append(at, events, { idempotencyKey: "b" });
    assert.deepEqual(await store.append(at, events, { idempotencyKey: "b" }), batch);
    const items = [
      { coordinate: at, event: Counted({ n: 3 }) },
      { coordinate: other, event: Counted({ n: 4 }), idempotencyKey: "i" },
    ];
    const mixed = await store.appendBatch(items);
    assert.deepEqual(await store.appendBatch(items), mixed);
    // The same key of another entity is another key.
    assert.notEqual((await store.append(other, Counted({ n: 5 }), { idempotencyKey: "k" })).id, first.id);
    for (const attempt of [
      () => store.append(at, Counted({ n: 77 }), { idempotencyKey: "k" }),
      () => store.append({ ...at, scope: "else" }, Counted({ n: 0 }), { idempotencyKey: "k" }),
      () => store.append(at, [Counted({ n: 1 })], { idempotencyKey: "b" }),
      () => store.append(at, [...events, Counted({ n: 3 })], { idempotencyKey: "b" }),
      () => store.append(at, [...events].reverse(), { idempotencyKey: "b" }),
      () => store.appendBatch([items[1]]),
      () => store.appendBatch([{ coordinate: at, event: Counted({ n: 99 }) }, items[1]]),
    ]) {
      await assert.rejects(attempt, (error) => isStoreError(error, "IDEMPOTENCY_MISMATCH"));
    }
    assert.deepEqual(await numbersIn(store), [0, 1, 2, 3, 4, 5]);
    await store.close();
    const again = await openStore(disk);
    const retried = await again.append(at, events, { idempotencyKey: "b" });
    assert.deepEqual(
      retried.map(({ id, sequence, clock, hash }) => ({ id, sequence, clock, hash })),
      batch.map(({ id, sequence, clock, hash }) => ({ id, sequence, clock, hash })),
    );
    assert.equal(await again.count(), 6);
    await again.close();
  }));

test("causedBy sets causation and inherits correlation, alone and in a batch; a cause that is not there is NOT_FOUND", () =>
  withStore(async (store) => {
    const root = await store.append(at, Counted({ n: 0 }));
    const child = await store.append(at, Counted({ n: 1 }), { causedBy: root.id });
    const [grandchild] = await store.appendBatch([{ coordinate: other, event: Counted({ n: 2 }), causedBy: child.id }]);
    const chain = await store.read({ correlation: root.id }).toArray();
    assert.deepEqual(
      chain.map((event) => [event.id, event.causationId, event.correlationId]),
      [
        [root.id, null, root.id],
        [child.id, root.id, root.id],
        [grandchild.id, child.id, root.id],
      ],
    );
    const own = await store.append(at, Counted({ n: 3 }), { correlationId: root.id });
    assert.deepEqual([(await store.get(own.id))?.correlationId, (await store.get(own.id))?.causationId], [root.id, null]);
    const missing = { causedBy: "00000000-0000-7000-8000-000000000000" };
    await assert.rejects(store.append(at, Counted({ n: 9 }), missing), { code: "NOT_FOUND" });
    await assert.rejects(
      store.appendBatch([
        { coordinate: at, event: Counted({ n: 9 }) },
        { coordinate: at, event: Counted({ n: 9 }), ...missing },
      ]),
      { code: "NOT_FOUND" },
    );
    assert.deepEqual(await numbersIn(store), [0, 1, 2, 3]);
  }));

test("with syncing stalled queued bytes stay under queuedBytesMax; appends wait, and all resolve in order once it goes on", async () => {
  const disk = new SimulatedDisk();
  const queuedBytesMax = 64 * 1024;
  const store = await openStore(disk, { queuedBytesMax });
  const letGo = stall(disk);
  const appends = Array.from({ length: 300 }, (_, n) => store.append(at, Counted({ n, pad: "x".repeat(900) })));
  for (let i = 0; i < 20; i++) {
    await new Promise((resolve) => setImmediate(resolve));
    assert((await store.stats()).queuedBytes <= queuedBytesMax);
  }
  letGo();
  const receipts = await Promise.all(appends);
  assert.deepEqual(
    receipts.map((receipt) => receipt.sequence),
    receipts.map((_, n) => n),
  );
  const { queuedBytes, queuedBytesPeak } = await store.stats();
  assert.equal(queuedBytes, 0);
  assert(queuedBytesPeak > queuedBytesMax / 2 && queuedBytesPeak <= queuedBytesMax, `${queuedBytesPeak} at most`);
  // One that is larger than the queue is let in when nothing else is there.
  const large = await store.append(at, Counted({ n: 300, pad: "x".repeat(2 * queuedBytesMax) }));
  assert.equal(large.sequence, 300);
  await store.close();
});

test("a signal withdraws an append that waits, and none that is accepted", async () => {
  const disk = new SimulatedDisk();
  const store = await openStore(disk, { queuedBytesMax: 64 * 1024 });
  const letGo = stall(disk);
  const reason = new Error("no longer wanted");
  await assert.rejects(store.append(at, Counted({ n: -1 }), { signal: AbortSignal.abort(reason) }), reason);
  const accepted = new AbortController();
  const first = store.append(at, Counted({ n: 0, pad: "x".repeat(60_000) }), { signal: accepted.signal });
  await new Promise((resolve) => setTimeout(resolve, 5));
  const waiting = new AbortController();
  const second = store.append(at, Counted({ n: 1, pad: "x".repeat(60_000) }), { signal: waiting.signal });
  const third = store.append(at, Counted({ n: 2 }));
  accepted.abort(reason);
  waiting.abort(reason);
  await assert.rejects(second, reason);
  letGo();
  assert.deepEqual([(await first).sequence, (await third).sequence], [0, 1]);
  assert.deepEqual(await numbersIn(store), [0, 2]);
  await store.close();
});

test("durability: what a receipt says of being durable is so, in every mode, and sync makes everything so", async () => {
  for (const durability of ["fsync", "os", { everyMs: 3_600_000, everyEvents: 1_000_000 }] as const) {
    const disk = new SimulatedDisk();
    const store = await openStore(disk, { durability, checkpoint: false });
    const receipts: Receipt[] = [];
    for (let n = 0; n < 5; n++) receipts.push(await store.append(at, Counted({ n })));
    const synced = durability === "fsync";
    assert(receipts.every((receipt) => receipt.durable === synced));
    const afterCrash = await openStore(disk.diskAfterCrash());
    assert.deepEqual(await numbersIn(afterCrash), synced ? [0, 1, 2, 3, 4] : []);
    await store.sync();
    const afterSync = await openStore(disk.diskAfterCrash());
    assert.deepEqual(await numbersIn(afterSync), [0, 1, 2, 3, 4]);
    const { bytes } = await store.stats();
    assert(disk.isDurable(segmentPath(1), 0, bytes));
    for (const one of [afterCrash, afterSync, store]) await one.close();
  }
});

test("durability every so many events: synced in the background once so many came", async () => {
  const disk = new SimulatedDisk();
  const store = await openStore(disk, { durability: { everyMs: 3_600_000, everyEvents: 10 }, checkpoint: false });
  for (let n = 0; n < 12; n++) await store.append(at, Counted({ n }));
  await new Promise((resolve) => setTimeout(resolve, 20));
  const left = await openStore(disk.diskAfterCrash());
  const kept = await numbersIn(left);
  assert(kept.length >= 10, `${kept.length} events kept`);
  await left.close();
  await store.close();
});

test("where somebody traces, an append that is refused is rejected all the same, and its coordinate is read once", async () => {
  const disk = new SimulatedDisk();
  const store = await openStore(disk);
  const told: unknown[] = [];
  const handlers = { asyncEnd: (message: object) => void told.push({ ...message }) };
  const channel = tracingChannel<object>("batpak.append");
  channel.subscribe(handlers as never);
  try {
    let reads = 0;
    const turning = {
      get entity() {
        return `entity ${++reads}`;
      },
      scope: "test",
    };
    const result = await store.append(turning, Counted({ n: 1 }));
    assert.equal(await store.count({ entity: "entity 1" }), 1);
    const throwing = {
      get entity(): string {
        throw new Error("mine");
      },
      scope: "test",
    };
    const mine = store.append(throwing, Counted({ n: 2 }));
    await assert.rejects(mine, { message: "mine" });
    const none = store.append(null as never, Counted({ n: 2 }));
    await assert.rejects(none, { code: "INVALID_ARGUMENT", message: /the coordinate is null/ });
    disk.faults = ({ kind }) => (kind === "write" ? { error: "EIO" } : undefined);
    await assert.rejects(store.append(at, Counted({ n: 3 })), { code: "COMMIT_UNKNOWN" });
    disk.faults = undefined;
    const poisoned = store.append(at, Counted({ n: 4 }));
    await assert.rejects(poisoned, { code: "POISONED" });
    await assert.rejects(store.close());
    const closed = store.append(at, Counted({ n: 5 }));
    const error = await closed.catch((reason: unknown) => reason);
    assert(isStoreError(error, "CLOSED"));
    const message = { directory: "/store", events: 1 };
    assert.deepEqual(told[0], { ...message, entity: "entity 1", scope: "test", result });
    assert.deepEqual(told.at(-1), { ...message, ...at, error });
    assert.equal(told.length, 6);
  } finally {
    channel.unsubscribe(handlers as never);
  }
});

test("a batch of a definition that the store does not know yet records it once", async () => {
  const bytes = async (...batches: readonly number[]): Promise<number> => {
    const store = await openStore(new SimulatedDisk(), { checkpoint: false });
    for (const count of batches)
      await store.append(
        at,
        Array.from({ length: count }, () => Counted({ n: 1 })),
      );
    const stats = await store.stats();
    await store.close();
    return stats.bytes;
  };
  assert.equal(await bytes(5), await bytes(1, 4));
});

test("a definition that many appends bring while they wait is recorded once, with whatever else they bring", async () => {
  const disk = new SimulatedDisk();
  const store = await openStore(disk);
  const made = Array.from({ length: 3 }, (_, i) => defineEvent(`Made ${i}`, { schema: type<{ n: number }>() }));
  await store.append({ entity: "first", scope: "test" }, rawEvent(0xf001, 0));
  const expect = { noneMatching: { entity: "nobody" } };
  // The first to bring it is refused.
  const appends = [store.append(at, Counted({ n: -1 }), { expect: { noneMatching: { entity: "first" } } })];
  for (let n = 0; n < 100; n++) appends.push(store.append(at, Counted({ n }), { expect }));
  // Of what they bring that which is recorded by then stands first, last and in the middle.
  for (const batch of [
    [Counted({ n: 0 }), made[0]({ n: 1 })],
    [made[1]({ n: 2 }), made[0]({ n: 3 })],
    [made[1]({ n: 4 }), made[0]({ n: 5 }), made[2]({ n: 6 }), Counted({ n: 7 })],
  ]) {
    appends.push(store.append(other, batch, { expect }) as unknown as Promise<Receipt>);
  }
  const settled = await Promise.allSettled(appends);
  assert.equal(settled.filter(({ status }) => status === "rejected").length, 1);
  const frames = (): number => store.segments().reduce((sum, segment) => sum + segment.frames, 0);
  assert.equal(frames(), 109 + 4);
  await store.append(at, made[2]({ n: 8 }));
  assert.equal(frames(), 110 + 4);
  assert((await store.verify()).ok);
  await store.close();
  for (const left of [disk, disk.diskAfterKill()]) {
    const again = await openStore(left, { checkpoint: false });
    const texts = (await again.read({ entity: "other" }).toArray()).map(({ type, data }) => `${type} ${(data as { n: number }).n}`);
    assert.deepEqual(texts, ["Counted 0", "Made 0 1", "Made 1 2", "Made 0 3", "Made 1 4", "Made 0 5", "Made 2 6", "Counted 7"]);
    await again.close();
  }
});

test("keys of one batch are told apart by entity and key, whatever characters these hold", () =>
  withStore(async (store) => {
    const batch = [
      { coordinate: { entity: "a\0b", scope: "s" }, event: Counted({ n: 1 }), idempotencyKey: "c" },
      { coordinate: { entity: "a", scope: "s" }, event: Counted({ n: 2 }), idempotencyKey: "b\0c" },
    ];
    const receipts = await store.appendBatch(batch);
    assert.deepEqual(await store.appendBatch(batch), receipts);
    await assert.rejects(store.appendBatch([batch[0], batch[0]]), { code: "INVALID_ARGUMENT" });
  }));

test("the next group's write is begun when those of the one before are told, who have the processor from then on", async () => {
  const disk = new SimulatedDisk();
  const store = await openStore(disk);
  let begun = 0;
  disk.faults = ({ kind, path }) => {
    if (kind === "write" && path.endsWith(".fbat")) begun++;
    return undefined;
  };
  const batch = Array.from({ length: 100 }, (_, n) => ({ coordinate: at, event: rawEvent(0xf001, { n, pad: "x".repeat(1000) }) }));
  const first = store.appendBatch(batch).then(() => begun);
  const second = store.appendBatch(batch).then(() => begun);
  assert.deepEqual(await Promise.all([first, second]), [2, 2]);
  await store.close();
});
