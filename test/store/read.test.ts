/** Reading a real store: the same answers from memory, from index pages under a small cache, bounded, abandoned, counted. */
import assert from "node:assert/strict";
import { channel } from "node:diagnostics_channel";
import { test } from "node:test";
import { turnShare } from "../../src/base/rest.ts";
import type { Receipt } from "../../src/events/event.ts";
import { Store } from "../../src/store.ts";
import { openMemoryStore } from "../../src/testing/memory-store.ts";
import { SimulatedDisk } from "../../src/testing/sim-disk.ts";
import { answersOf, fillVaried, Lost, Made, varied } from "./support/every-query.ts";
import { CHECKPOINT_PATH, Counted, type CountedStore, DIRECTORY, numbersIn, openStore, settled } from "./support/log-image.ts";

const at = { entity: "counter", scope: "test" };
const MIB = 1024 * 1024;

function numbered(count: number): ReturnType<typeof Counted>[] {
  return Array.from({ length: count }, (_, n) => Counted({ n }));
}

test("every filter and range, both ways, is what going through all events by hand gives", async (context) => {
  const store = await openMemoryStore({ events: varied, segmentBytesMax: 32 * 1024 });
  await fillVaried(store, 1200, 77);
  const all = await store.read().toArray();
  const middle = all[600];
  let queries = 0;
  const same = async (query: Parameters<typeof store.read>[0], matches: (event: (typeof all)[number]) => boolean): Promise<void> => {
    const expected = all.filter(matches).map((event) => event.sequence);
    const forward = await store.read(query).toArray();
    assert.deepEqual(
      forward.map((event) => event.sequence),
      expected,
      JSON.stringify(query),
    );
    const backward = await store.read(query, { direction: "backward" }).toArray();
    assert.deepEqual(backward.map((event) => event.sequence).reverse(), expected);
    assert.equal(await store.count(query), expected.length);
    assert.equal((await store.read(query).first())?.sequence, expected[0]);
    queries++;
  };
  await same({}, () => true);
  await same([], () => false);
  await same({ entity: "order:1" }, (event) => event.entity === "order:1");
  await same({ entityPrefix: "order:1" }, (event) => event.entity.startsWith("order:1"));
  await same({ scope: "lager" }, (event) => event.scope === "lager");
  await same({ kind: Made }, (event) => event.type === "Made");
  await same({ kind: [Lost, middle.kind] }, (event) => event.type === "Lost" || event.kind === middle.kind);
  await same({ category: 0xf }, (event) => event.kind >> 12 === 0xf);
  await same({ correlation: middle.correlationId }, (event) => event.correlationId === middle.correlationId);
  for (const { causationId } of all.filter((event) => event.causationId !== null).slice(0, 20)) {
    await same({ causedBy: causationId ?? "" }, (event) => event.causationId === causationId);
  }
  await same({ clock: { from: 2, to: 4 } }, (event) => event.clock >= 2 && event.clock <= 4);
  await same({ clock: { after: 2, before: 4 } }, (event) => event.clock === 3);
  await same({ sequence: { after: 100, to: 200 } }, (event) => event.sequence > 100 && event.sequence <= 200);
  await same({ sequence: { from: 1100 } }, (event) => event.sequence >= 1100);
  await same({ time: { from: middle.timestamp } }, (event) => event.timestamp >= middle.timestamp);
  await same({ time: { after: new Date(middle.timestamp) } }, (event) => event.timestamp > middle.timestamp);
  await same({ time: { to: middle.timestamp } }, (event) => event.timestamp <= middle.timestamp);
  await same({ sequence: { from: 5, to: 4 } }, () => false);
  await same(
    [
      { entity: "order:1", kind: Made },
      { scope: "shop:eu", clock: { to: 0 } },
    ],
    (event) => (event.entity === "order:1" && event.type === "Made") || (event.scope === "shop:eu" && event.clock === 0),
  );
  await store.close();
  context.diagnostic(`${queries} queries over ${all.length} events`);
});

test("50 sealed segments with an index cache of 1 MiB: every query answers the same, cached pages stay under it", async (context) => {
  const disk = new SimulatedDisk();
  const options = { disk, events: varied, indexCacheBytes: MIB };
  const store = await Store.open(DIRECTORY, { ...options, segmentBytesMax: 8 * 1024 });
  await fillVaried(store, 2200, 5);
  const { segments } = await store.stats();
  assert(segments > 50, `${segments} segments`);
  await store.close();
  const ample = await Store.open(DIRECTORY, { disk: settled(disk.diskAfterKill()), events: varied });
  const expected = await answersOf(ample);
  await ample.close();
  let most = 0;
  for (const indexCacheBytes of [MIB, 64 * 1024]) {
    const small = await Store.open(DIRECTORY, { disk: settled(disk.diskAfterKill()), events: varied, indexCacheBytes });
    assert.deepEqual(await answersOf(small), expected);
    for (const event of await small.read({ entity: "order:0" }).toArray()) {
      await small.get(event.id);
      const { indexCacheBytes: cached } = await small.stats();
      most = Math.max(most, cached);
      assert(cached <= indexCacheBytes, `${cached} bytes are cached, ${indexCacheBytes} are allowed`);
    }
    await small.close();
  }
  context.diagnostic(`${expected.length} answers, ${segments} segments, at most ${most} bytes cached`);
});

test("get, head, one stream and one condition load few pages and frames, however long the history", async (context) => {
  const disk = new SimulatedDisk();
  const store = await openStore(disk, { segmentBytesMax: 8 * 1024 });
  const receipts: Receipt[] = [];
  for (let n = 0; n < 300; n++) {
    const entity = n % 100 === 50 ? "rare" : `entity:${n % 7}`;
    receipts.push(...(await store.append({ entity, scope: "test" }, [Counted({ n: 2 * n }), Counted({ n: 2 * n + 1 })])));
  }
  await store.close();
  const costs: Record<string, [pages: number, frames: number, blocks: number]> = {};
  const costOf = async (name: string, work: (fresh: CountedStore) => Promise<unknown>): Promise<void> => {
    const fresh = await openStore(settled(disk.diskAfterKill()), { checkpoint: false });
    const before = await fresh.stats();
    await work(fresh);
    const after = await fresh.stats();
    costs[name] = [
      after.indexPagesLoaded - before.indexPagesLoaded,
      after.framesRead - before.framesRead,
      after.blocksRead - before.blocksRead,
    ];
    await fresh.close();
  };
  await costOf("nothing", async () => {});
  await costOf("get", async (fresh) => assert.equal((await fresh.get(receipts[40].id))?.sequence, 40));
  await costOf("head", async (fresh) => assert.equal((await fresh.head("rare"))?.clock, 5));
  await costOf("stream", async (fresh) => assert.equal((await fresh.read({ entity: "rare" }).toArray()).length, 6));
  await costOf("condition", (fresh) =>
    fresh.append(at, Counted({ n: 1 }), { expect: { noneMatching: { entity: "rare" }, after: receipts[550].sequence } }),
  );
  const { segments } = await (await openStore(disk, { readOnly: true })).stats();
  context.diagnostic(`${segments} segments; pages, frames, blocks: ${JSON.stringify(costs)}`);
  assert(segments > 10);
  const within = (name: string, pages: number, frames: number, blocks: number): void => {
    const [p, f, b] = costs[name];
    assert(p <= pages && f <= frames && b <= blocks, `${name} costs ${costs[name].join(", ")}; ${pages}, ${frames}, ${blocks} are allowed`);
  };
  within("nothing", 0, 0, 0);
  // An id is looked for in the one segment that its time is in: its tags, its rows, one frame.
  within("get", 4, 1, 0);
  within("head", 2, 1, 0);
  // Three segments hold the six events.
  within("stream", 18, 0, 6);
  within("condition", 6, 0, 0);
});

test("going through all names of a segment loads each page once but for the first names, with the smallest cache too", async () => {
  // Names, their keys and what is known of them lie in pages of their own, two of which fill that cache: each name loaded its pages anew, and
  // opening and prefixes took thirty times as long and more.
  const disk = new SimulatedDisk();
  const store = await openStore(disk);
  const entities = 9000;
  for (let from = 0; from < entities; from += 3000) {
    const items = numbered(3000).map((event, n) => ({ coordinate: { entity: `a name of an entity:${from + n}`, scope: "test" }, event }));
    await store.appendBatch(items);
  }
  await store.close();
  const turning = await openStore(disk, { segmentBytesMax: 4096, checkpoint: false });
  for (let n = 0; n < 2; n++) await turning.append(at, Counted({ n }));
  await turning.close();
  const left = settled(disk.diskAfterKill());
  left.put(CHECKPOINT_PATH, null);
  const small = await openStore(settled(left), { readOnly: true, indexCacheBytes: 64 * 1024 });
  assert.equal(small.openReport.route, "index-blocks");
  const { indexPagesLoaded: toOpen } = await small.stats();
  assert.equal(await small.count({ entityPrefix: "a name of an entity:8" }), 1111);
  const { indexPagesLoaded } = await small.stats();
  // The names of the first 80 rows are compared one by one, each in pages of its own.
  assert(toOpen <= 112 && indexPagesLoaded <= toOpen + 200, `opening loaded ${toOpen} pages, a prefix ${indexPagesLoaded - toOpen}`);
  await small.close();
});

test("a read ends at what was visible when it was called", async () => {
  const store = await openStore(new SimulatedDisk());
  for (let n = 0; n < 5; n++) await store.append(at, Counted({ n }));
  const reading = store.read({ kind: Counted });
  const backward = store.read({ kind: Counted }, { direction: "backward" });
  await store.append(at, Counted({ n: 5 }));
  assert.deepEqual(
    (await reading.toArray()).map((event) => event.data.n),
    [0, 1, 2, 3, 4],
  );
  assert.deepEqual(
    (await backward.toArray()).map((event) => event.data.n),
    [4, 3, 2, 1, 0],
  );
  const seen = [];
  for await (const event of store.read({ kind: Counted })) {
    seen.push(event.data.n);
    if (seen.length < 3) await store.append(at, Counted({ n: 100 + seen.length }));
  }
  assert.deepEqual(seen, [0, 1, 2, 3, 4, 5]);
  await store.close();
});

test("an event that is not yet durable is seen by nobody", async () => {
  let letGo = (): void => {};
  const stalled = new Promise<void>((resolve) => {
    letGo = resolve;
  });
  const disk = new SimulatedDisk();
  const store = await openStore(disk);
  const first = await store.append(at, Counted({ n: 0 }));
  disk.faults = ({ kind, path, durable }) =>
    path.endsWith(".fbat") && (kind === "sync" || (kind === "write" && durable === true)) ? { until: stalled } : undefined;
  const pending = store.append(at, Counted({ n: 1 }));
  await new Promise((resolve) => setTimeout(resolve, 10));
  assert.deepEqual(await numbersIn(store), [0]);
  assert.equal(await store.count(), 1);
  assert.equal((await store.head("counter"))?.id, first.id);
  assert.equal((await store.stats()).nextSequence, 1);
  letGo();
  const receipt = await pending;
  assert.deepEqual(await numbersIn(store), [0, 1]);
  assert.equal((await store.get(receipt.id))?.sequence, 1);
  disk.faults = undefined;
  await store.close();
});

test("abandoning a read, after one event or after a batch, leaks no file", async () => {
  const disk = new SimulatedDisk();
  const store = await openStore(disk, { segmentBytesMax: 4096 });
  for (let n = 0; n < 100; n++) await store.append(at, Counted({ n }));
  await numbersIn(store);
  const files = disk.openFileCount;
  for (let i = 0; i < 20; i++) {
    for await (const event of store.read()) {
      if (event.sequence >= i) break;
    }
    for await (const batch of store.read({}, { direction: "backward" }).batches()) {
      assert(batch.length > 0);
      break;
    }
    await store.read().first();
  }
  assert.equal(disk.openFileCount, files);
  await store.close();
  assert.equal(disk.openFileCount, 0);
});

test("a signal ends a read with its reason, wherever it is aborted, and no event is given after it", async () => {
  // What had been loaded went on to be given, thousands of events, and a read whose end had been found ahead ended as if nothing were.
  const store = await openStore(new SimulatedDisk());
  const events = 3000;
  await store.append(at, numbered(events));
  const reason = new Error("enough");
  const aborted = AbortSignal.abort(reason);
  await assert.rejects(store.read({}, { signal: aborted }).toArray(), reason);
  const traced = channel("tracing:batpak.read:start");
  const listen = (): void => {};
  for (const after of [1, 15, 16, 17, 100, 2000, events - 1, events]) {
    const givenUntilAborted = async (open: (signal: AbortSignal) => AsyncIterable<unknown>): Promise<number> => {
      const controller = new AbortController();
      let given = 0;
      const reading = (async () => {
        for await (const item of open(controller.signal)) {
          assert(!controller.signal.aborted, `an event was given after the signal was aborted behind ${after}`);
          given += Array.isArray(item) ? item.length : 1;
          if (given >= after) controller.abort(reason);
        }
      })();
      await assert.rejects(reading, reason);
      return given;
    };
    const one = [
      await givenUntilAborted((signal) => store.read({}, { signal })),
      await givenUntilAborted((signal) => store.read({}, { signal, direction: "backward" })),
      await givenUntilAborted((signal) => store.subscribe({}, { signal })),
    ];
    assert.deepEqual(one, [after, after, after]);
    await givenUntilAborted((signal) => store.read({}, { signal }).batches());
    await givenUntilAborted((signal) => store.subscribe({}, { signal }).batches());
    traced.subscribe(listen);
    assert.equal(await givenUntilAborted((signal) => store.read({}, { signal })), after);
    traced.unsubscribe(listen);
  }
  await store.close();
});

test("a consumer that is closed or aborted in the middle of a batch gives no more of it", async () => {
  const store = await openStore(new SimulatedDisk());
  await store.append(at, numbered(100));
  const closed = await store.consumer("closed");
  const seen: number[] = [];
  for await (const event of closed) {
    seen.push(event.sequence);
    if (seen.length === 3) await closed.close();
  }
  assert.deepEqual(seen, [0, 1, 2]);
  const controller = new AbortController();
  const reason = new Error("enough");
  const aborted = await store.consumer("aborted", {}, { signal: controller.signal });
  const consuming = (async () => {
    for await (const event of aborted) {
      seen.push(event.sequence);
      if (event.sequence === 20) controller.abort(reason);
    }
  })();
  await assert.rejects(consuming, reason);
  assert.equal(seen.length, 3 + 21);
  await store.close();
});

test("a query may have more filters than a call can have arguments", async () => {
  // It was refused by the engine: "Maximum call stack size exceeded".
  const store = await openStore(new SimulatedDisk());
  await store.append(at, numbered(3));
  const filters = Array.from({ length: 150_000 }, (_, n) => ({ scope: `scope:${n}`, sequence: { from: 1, to: 1 } }));
  assert.equal(await store.count(filters), 0);
  assert.equal(await store.count([...filters, { scope: at.scope, sequence: { from: 1 } }]), 2);
  await store.close();
});

test("metadata, correlation and causation come back as they were given", async () => {
  const store = await openStore(new SimulatedDisk());
  const metadata = { userId: "u1", at: new Date(5), big: 2n ** 60n, bytes: Uint8Array.of(1, 2), nested: { list: [null, true] } };
  const root = await store.append(at, Counted({ n: 0 }), { metadata });
  const child = await store.append(at, Counted({ n: 1 }), { causedBy: root.id });
  const grandchild = await store.append({ entity: "other", scope: "else" }, Counted({ n: 2 }), { causedBy: child.id });
  assert.deepEqual((await store.get(root.id))?.metadata, metadata);
  const event = await store.get(grandchild.id);
  assert.deepEqual([event?.correlationId, event?.causationId, event?.metadata], [root.id, child.id, null]);
  assert.equal((await store.get(root.id.replaceAll("-", "")))?.sequence, 0);
  const chain = [];
  for await (const cause of store.ancestors(grandchild.id)) chain.push(cause.id);
  assert.deepEqual(chain, [child.id, root.id]);
  await assert.rejects(
    async () => {
      for await (const _ of store.ancestors("00000000-0000-7000-8000-000000000000")) assert.fail("there is none");
    },
    { code: "NOT_FOUND" },
  );
  assert.equal(await store.get("00000000-0000-7000-8000-000000000000"), null);
  await store.close();
});

// Whoever asked again two microtasks behind the first answer had his before the second was given.
test("calls of next are answered in their order, however soon behind an answer the next one comes", async () => {
  const store = await openMemoryStore({ events: [Counted] });
  await store.appendBatch(numbered(8).map((event) => ({ coordinate: at, event })));
  for (let microtasks = 0; microtasks < 8; microtasks++) {
    const iterator = store.read()[Symbol.asyncIterator]();
    const answers: number[] = [];
    const ask = async (): Promise<void> => void answers.push((await iterator.next()).value?.sequence ?? -1);
    // So that the first has to wait.
    turnShare.spend(4096);
    const asked = [ask(), ask()];
    await asked[0];
    for (let i = 0; i < microtasks; i++) await Promise.resolve();
    asked.push(ask());
    await Promise.all(asked);
    assert.deepEqual(answers, [0, 1, 2], `${microtasks} microtasks behind the first`);
  }
  await store.close();
});
