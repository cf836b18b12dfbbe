/** Whatever is asked for in a row, or side by side, and needs no disk: the event loop has its turns all the same. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { defineEvent, rawEvent, type } from "../../src/events/definition.ts";
import { defineDecider } from "../../src/projections/decider.ts";
import { defineProjection } from "../../src/projections/projection.ts";
import type { Receipt } from "../../src/events/event.ts";
import { Store } from "../../src/store.ts";
import { createMemoryDisk } from "../../src/testing/memory-disk.ts";
import { turnsDuring } from "../../src/testing/turn-counter.ts";

const ENTITIES = 64;
const EVENTS = 4096;
const TIMES = 8192;

const ids: string[] = [];
const Numbered = defineEvent("Numbered", { kind: 0xf001, schema: type<{ n: number }>() });
let store: Store;

before(async () => {
  store = await Store.open("/store", { disk: createMemoryDisk() });
  const appends = Array.from({ length: EVENTS }, (_, n) => append(n));
  for (const { id } of await Promise.all(appends)) ids.push(id);
});

function append(n: number): Promise<Receipt> {
  return store.append({ entity: `e:${n % ENTITIES}`, scope: "s" }, rawEvent(0xf001, { n }), { idempotencyKey: `key-${n}` });
}

after(() => store.close());

async function inARow(call: (n: number) => Promise<unknown>): Promise<void> {
  for (let n = 0; n < TIMES; n++) await call(n);
}

function sideBySide<Result>(call: (n: number) => Promise<Result>): Promise<Result[]> {
  return Promise.all(Array.from({ length: TIMES }, (_, n) => call(n)));
}

describe("the event loop turns", () => {
  const calls: Record<string, { call: (n: number) => Promise<unknown>; turns: number }> = {
    get: { call: (n) => store.get(ids[n % EVENTS] as string), turns: TIMES / 4096 },
    head: { call: (n) => store.head(`e:${n % ENTITIES}`), turns: TIMES / 4096 },
    count: { call: (n) => store.count({ entity: `e:${n % ENTITIES}` }), turns: TIMES / 1024 },
    "count a scope": { call: () => store.count({ scope: "s" }), turns: TIMES / 64 },
    "a newest event": { call: () => store.read({ kind: 0xf001 }, { direction: "backward", limit: 1 }).first(), turns: TIMES / 64 },
    "read a stream": { call: (n) => store.read({ entity: `e:${n % ENTITIES}` }).toArray(), turns: (TIMES * EVENTS) / ENTITIES / 4096 },
    "retry an append": { call: (n) => append(n % EVENTS), turns: TIMES / 1024 },
  };
  for (const [name, { call, turns }] of Object.entries(calls)) {
    for (const [how, way] of Object.entries({ "in a row": inARow, "side by side": sideBySide })) {
      test(`${name}, ${TIMES} times ${how}`, { timeout: 60_000 }, async () => {
        const had = await turnsDuring(() => way(call));
        assert.ok(had >= turns / 2, `${had} turns of ${turns}`);
      });
    }
  }
});

test("commands that come to nothing, on as many entities", { timeout: 60_000 }, async () => {
  const Idle = defineDecider({ events: [Numbered], initial: 0, decide: () => [], evolve: { Numbered: (count: number) => count + 1 } });
  const turns = await turnsDuring(() => sideBySide((n) => store.handle({ entity: `new:${n}`, scope: "s" }, Idle, null)));
  assert.ok(turns >= TIMES / 256 / 2, `${turns} turns`);
});

test("projections that are asked for side by side, with one query that is changed in between", { timeout: 60_000 }, async () => {
  const counted = defineProjection({ name: "counted", events: [Numbered], initial: 0, on: { Numbered: (count) => count + 1 } });
  const query = { entity: "" };
  const asked = async (): Promise<void> => {
    const states = await sideBySide((n) => {
      query.entity = n % 1024 === 0 ? "e:1" : "nobody";
      return store.project(counted, { query });
    });
    assert.deepEqual(
      states.map(({ state }) => state),
      Array.from({ length: TIMES }, (_, n) => (n % 1024 === 0 ? EVENTS / ENTITIES : 0)),
    );
  };
  const turns = await turnsDuring(asked);
  assert.ok(turns >= TIMES / 160, `${turns} turns`);
});

test("a look for the events of a thousand scopes has its rests, however many rows each of them looks at", async () => {
  const disk = createMemoryDisk();
  const many = await Store.open("/many", { disk });
  for (let n = 0; n < 40_000; ) {
    const batch = Array.from({ length: 2000 }, () => ({
      coordinate: { entity: "e", scope: `s:${n++ % 1000}` },
      event: rawEvent(0xf001, n),
    }));
    await many.appendBatch(batch);
  }
  const filters = Array.from({ length: 1000 }, (_, i) => ({ scope: `s:${i}`, time: { from: new Date(0) } }));
  const turns = await turnsDuring(async () => assert.equal(await many.count(filters), 40_000));
  // 16 of them in a step, eight steps in a turn.
  assert.ok(turns >= 1000 / 16 / 8, `${turns} turns`);
  const entities = Array.from({ length: 5000 }, (_, i) => ({ entity: i === 4321 ? "e" : `nobody:${i}` }));
  const turnsToo = await turnsDuring(async () => assert.equal(await many.count(entities), 40_000));
  assert.ok(turnsToo >= 5000 / 16 / 8, `${turnsToo} turns`);
  await many.close();
});

// Only the number of events was counted: 2,000 of 900 KB were read in one turn, more than a second.
for (const layout of ["native", "batpak-0.3"] as const) {
  test(`events of 100 KB, ${layout}`, { timeout: 60_000 }, async () => {
    const large = await Store.open("/large", { disk: createMemoryDisk(), layout });
    const data = "x".repeat(100_000);
    const root = await large.append({ entity: "e", scope: "s" }, rawEvent(0xf001, data));
    const largeIds: string[] = [];
    for (let n = 0; n < 256; n += 16) {
      const item = { coordinate: { entity: "e", scope: "s" }, event: rawEvent(0xf001, data), correlationId: root.id };
      const batch = Array.from({ length: 16 }, () => item);
      for (const { id } of await large.appendBatch(batch)) largeIds.push(id);
    }
    for (const direction of ["forward", "backward"] as const) {
      const turns = await turnsDuring(async () => {
        for await (const { kind } of large.read({}, { direction })) assert.equal(kind, 0xf001);
      });
      assert.ok(turns >= 4, `${turns} turns ${direction}`);
    }
    const turns = await turnsDuring(async () => {
      for (const id of largeIds) assert.equal((await large.get(id))?.kind, 0xf001);
    });
    assert.ok(turns >= 4, `${turns} turns of getting`);
    const counting = await turnsDuring(async () => assert.equal(await large.count({ correlation: root.id }), 257));
    assert.ok(counting >= 2, `${counting} turns of counting what frames tell`);
    await large.close();
  });
}

// Each look at a segment may read the root of an index block; the index blocks and headers were looked at in one turn, however many segments there are.
test("a store of a thousand segments is opened, read and verified in many turns", { timeout: 60_000 }, async () => {
  const disk = createMemoryDisk();
  const options = { disk, segmentBytesMax: 4096 };
  let segmented = await Store.open("/segments", options);
  for (let segments = 0; segments < 1024; segments = segmented.segments().length) {
    const batch = Array.from({ length: 400 }, (_, n) => ({ coordinate: { entity: "e", scope: "s" }, event: rawEvent(0xf001, n) }));
    await segmented.appendBatch(batch);
  }
  await segmented.close();
  for (const name of ["checkpoint", "index blocks"]) {
    if (name !== "checkpoint") await disk.remove("/segments/index.ckpt");
    const opening = await turnsDuring(async () => {
      segmented = await Store.open("/segments", options);
    });
    assert.ok(opening >= 1024 / 256, `${opening} turns of opening by ${name}`);
    for (const direction of ["forward", "backward"] as const) {
      const query = { entity: "e", scope: "none" };
      const reading = await turnsDuring(async () => assert.equal(await segmented.read(query, { direction }).first(), null));
      assert.ok(reading >= 1024 / 128, `${reading} turns of reading ${direction}`);
    }
    const counting = await turnsDuring(async () => assert.ok((await segmented.count({ entity: "e", clock: { from: 1 } })) > 100_000));
    assert.ok(counting >= 1024 / 128, `${counting} turns of counting`);
    const verifying = await turnsDuring(async () => assert.ok((await segmented.verify()).ok));
    assert.ok(verifying >= 1024 / 256, `${verifying} turns of verifying`);
    await segmented.close();
  }
});
