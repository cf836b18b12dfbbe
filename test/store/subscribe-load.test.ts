/** Subscriptions under load: at the seam between what is there and what comes nothing is lost and nothing comes twice. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { defineEvent, type } from "../../src/events/definition.ts";
import type { Query } from "../../src/events/query.ts";
import type { ProjectionTarget } from "../../src/projecting.ts";
import { defineProjection } from "../../src/projections/projection.ts";
import { Store } from "../../src/store.ts";
import { SharedPoll } from "../../src/subscriptions/shared-poll.ts";
import { openMemoryStore } from "../../src/testing/memory-store.ts";
import { seededRandom } from "../../src/testing/seeded-random.ts";
import { SimulatedDisk } from "../../src/testing/sim-disk.ts";
import { stop } from "./support/hooked-disk.ts";

const SEED = Number(process.env.BATPAK_SEED ?? Date.now() % 1_000_000);
const Even = defineEvent("Even", { schema: type<{ n: number }>(), kind: { category: 2, type: 1 } });
const Odd = defineEvent("Odd", { schema: type<{ n: number }>(), kind: { category: 2, type: 2 } });
const EVENTS = [Even, Odd] as const;
type TestStore = Store<typeof EVENTS>;
const CORRELATIONS = ["01890000-0000-7000-8000-000000000001", "01890000-0000-7000-8000-000000000002"] as const;
const QUERIES: readonly (Query | undefined)[] = [
  undefined,
  { kind: Odd },
  { entity: "e:3" },
  { scope: "s:1" },
  [{ entityPrefix: "e:1" }, { kind: Even, entity: "e:2" }],
  { entity: "nobody" },
  { entityPrefix: "e:1" },
  { scope: "s:2", kind: Even },
  { correlation: CORRELATIONS[0] },
  { correlation: CORRELATIONS[1], kind: Odd },
  [
    { entity: "e:7", scope: "s:0" },
    { category: 2, entity: "e:8" },
  ],
];

async function write(store: TestStore, total: number, random: () => number): Promise<void> {
  for (let n = 0; n < total; ) {
    const lanes = Array.from({ length: 1 + Math.floor(random() * 4) }, () => {
      const events = Array.from({ length: 1 + Math.floor(random() * 5) }, () => (n % 2 === 0 ? Even : Odd)({ n: n++ }));
      const correlationId = CORRELATIONS[Math.floor(random() * 10)];
      const options = correlationId === undefined ? {} : { correlationId };
      return store.append({ entity: `e:${Math.floor(random() * 20)}`, scope: `s:${Math.floor(random() * 3)}` }, events, options);
    });
    await Promise.all(lanes);
    if (random() < 0.1) await new Promise((resolve) => setImmediate(resolve));
  }
}

/** Subscribes again and again while the writer is at it, in all sorts of ways, and compares with what a read gives at the end. */
async function subscribeUnderLoad(writer: TestStore, reader: TestStore, total: number, random: () => number): Promise<void> {
  const followers: { query: Query | undefined; after: number; sequences: number[]; ended: Promise<void> }[] = [];
  const follow = (): void => {
    const query = QUERIES[followers.length % QUERIES.length];
    const after = random() < 0.5 ? -1 : Math.floor(random() * 200);
    const slow = random() < 0.3;
    const sequences: number[] = [];
    const ended = (async () => {
      const subscription = reader.subscribe(query, { after });
      if (random() < 0.5) {
        for await (const events of subscription.batches()) {
          assert(events.length > 0);
          sequences.push(...events.map(({ sequence }) => sequence));
          if (slow) await new Promise((resolve) => setTimeout(resolve, 1));
        }
      } else for await (const { sequence } of subscription) sequences.push(sequence);
    })();
    followers.push({ query, after, sequences, ended });
  };
  const writing = write(writer, total, random);
  let over = false;
  void writing.then(() => {
    over = true;
  });
  while (!over && followers.length < 60) {
    follow();
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  await writing;
  const expected = await Promise.all(
    followers.map(async ({ query, after }) => (await writer.read(query, { after }).toArray()).map((event) => event.sequence)),
  );
  while (followers.some(({ sequences }, i) => sequences.length < expected[i].length))
    await new Promise((resolve) => setTimeout(resolve, 2));
  await new Promise((resolve) => setTimeout(resolve, 30));
  await reader.close();
  await Promise.all(followers.map(({ ended }) => ended));
  followers.forEach(({ sequences }, i) => assert.deepEqual(sequences, expected[i]));
}

for (const layout of ["native", "batpak-0.3"] as const) {
  test(`in the writer's process (${layout}, seed ${SEED})`, async () => {
    const store = await openMemoryStore({ events: EVENTS, layout, segmentBytesMax: 16_384, checkpoint: { everyEvents: 500 } });
    await subscribeUnderLoad(store, store, 2500, seededRandom(SEED));
  });

  test(`in a read-only store beside the writer (${layout}, seed ${SEED})`, async () => {
    const directory = mkdtempSync(join(tmpdir(), "batpak-load-"));
    const writer = await Store.open(directory, { events: EVENTS, layout, segmentBytesMax: 16_384, durability: "os" });
    await writer.append({ entity: "e:0", scope: "s:0" }, Even({ n: -2 }));
    const reader = await Store.open(directory, { events: EVENTS, readOnly: true });
    await subscribeUnderLoad(writer, reader, 2000, seededRandom(SEED + 1));
    await writer.close();
    rmSync(directory, { recursive: true });
  });
}

for (const layout of ["native", "batpak-0.3"] as const) {
  test(`who waits for a name or a kind that is not there yet is told of its first event, and of no other (${layout})`, {
    timeout: 30_000,
  }, async () => {
    const Late = defineEvent("Late", { schema: type<{ n: number }>(), kind: { category: 3, type: 9 } });
    const directory = mkdtempSync(join(tmpdir(), "batpak-late-"));
    const writer = await Store.open(directory, { layout, durability: "os" });
    const first = await writer.append({ entity: "e", scope: "s" }, Even({ n: 0 }));
    const reader = await Store.open(directory, { readOnly: true });
    const queries: Query[] = [
      { entity: "late" },
      { scope: "late" },
      { kind: Late },
      { entityPrefix: "lat" },
      { entity: "late", scope: "late", kind: Late },
      { correlation: first.id },
      { correlation: first.id, kind: Late },
      { causedBy: first.id },
      // Of these, one cannot match before the kind is there.
      [{ entity: "nobody" }, { kind: Late }],
      [{ kind: Late }, { scope: "nowhere" }],
    ];
    const firsts = [writer, reader].flatMap((store) =>
      queries.map((query) => store.subscribe(query, { after: 0 })[Symbol.asyncIterator]().next()),
    );
    const Seen = defineProjection({
      name: "seen",
      version: 1,
      events: [Even, Late],
      initial: 0,
      on: { Even: (n) => n, Late: (n) => n + 1 },
    });
    const targets: ProjectionTarget[] = ["late", { query: [{ entity: "nobody", kind: Even }, { kind: Late }] }];
    const watched = [writer, reader].flatMap((store) => targets.map((target) => store.watch(Seen, target)));
    for (const states of watched) assert.equal((await states.next()).value?.state, 0);
    const seconds = watched.map((states) => states.next());
    for (let n = 0; n < 20; n++) await writer.append({ entity: "e", scope: "s" }, Even({ n }));
    await writer.appendBatch([{ coordinate: { entity: "late", scope: "late" }, event: Late({ n: 1 }), causedBy: first.id }]);
    for (const { value } of await Promise.all(firsts)) assert.equal(value?.sequence, 21);
    for (const { value } of await Promise.all(seconds)) assert.equal(value?.state, 1);
    await reader.close();
    await writer.close();
    rmSync(directory, { recursive: true });
  });
}

test("who comes to a reader that is taking events up is given what it has taken up, and told of what comes", async () => {
  const disk = new SimulatedDisk();
  const writer = await Store.open("/store", { disk });
  await writer.append({ entity: "a", scope: "s" }, Even({ n: 0 }));
  const stopped = stop();
  let isArmed = false;
  const stopping = disk.asProcess(7);
  const open = stopping.open.bind(stopping);
  stopping.open = async (path, mode) => {
    const file = await open(path, mode);
    const close = file.close.bind(file);
    // Frames are taken up while the file is open.
    if (isArmed && path.endsWith(".fbat")) file.close = () => stopped.here().then(close);
    return file;
  };
  const reader = await Store.open("/store", { disk: stopping, readOnly: true });
  const next = (entity: string, after: number | "end"): Promise<IteratorResult<{ sequence: number }, undefined>> =>
    reader.subscribe({ entity }, { after })[Symbol.asyncIterator]().next();
  const ofB = next("b", "end");
  isArmed = true;
  await writer.append({ entity: "a", scope: "s" }, Even({ n: 1 }));
  await stopped.reached;
  assert.equal(await reader.count({}), 2);
  assert.equal((await next("a", 0)).value?.sequence, 1);
  let told = -1;
  const ofA = next("a", "end").then(({ value }) => {
    told = value?.sequence ?? -1;
  });
  stopped.open();
  // A look later.
  await writer.appendBatch(["b", "a"].map((entity) => ({ coordinate: { entity, scope: "t" }, event: Even({ n: 2 }) })));
  assert.equal((await ofB).value?.sequence, 2);
  for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
  assert.equal(told, 3);
  await ofA;
  await reader.close();
  await writer.close();
});

test("who is behind when the store is closed ends without an error", async () => {
  const store = await openMemoryStore({ events: EVENTS });
  await write(store, 3000, seededRandom(1));
  let seen = 0;
  for await (const event of store.subscribe()) {
    if (seen++ === 10) await store.close();
    assert.equal(event.sequence, seen - 1);
  }
  assert(seen > 10);
});

test("whoever is behind while the store is being closed ends without an error", async () => {
  // The files are closed a little before the store is: who read in between was given CLOSED.
  const Count = defineProjection({
    name: "count",
    events: EVENTS,
    initial: 0,
    on: { Even: (n) => n + 1, Odd: (n) => n + 1 },
    snapshot: false,
  });
  const directory = mkdtempSync(join(tmpdir(), "batpak-closing-"));
  const filling = await Store.open(directory, { events: EVENTS, segmentBytesMax: 256 * 1024, durability: "os" });
  await write(filling, 3000, seededRandom(1));
  await filling.close();
  for (const turns of [0, 1, 2, 3, 4, 6, 8, 10, 12]) {
    const store = await Store.open(directory, { events: EVENTS });
    const consumer = await store.consumer("behind");
    const follow = async (following: AsyncIterable<unknown>): Promise<void> => {
      for await (const _ of following) await Promise.resolve();
    };
    const followers = [store.subscribe(), store.subscribe({ kind: Odd }).batches(), consumer, store.watch(Count)].map(follow);
    for (let turn = 0; turn < turns; turn++) await new Promise((resolve) => setImmediate(resolve));
    await store.close();
    await Promise.all(followers);
  }
  rmSync(directory, { recursive: true });
});

test("who is slow is read for only when he asks", async () => {
  const store = await openMemoryStore({ events: EVENTS });
  const following = store.subscribe()[Symbol.asyncIterator]();
  const first = following.next();
  await write(store, 500, seededRandom(2));
  assert.equal((await first).value?.sequence, 0);
  for (let sequence = 1; sequence < 500; sequence++) assert.equal((await following.next()).value?.sequence, sequence);
  await following.return?.(undefined);
  await store.close();
});

test("many who wait share one look, and nobody looks when nobody waits", async () => {
  let looks = 0;
  let more = false;
  const poll = new SharedPoll(async () => {
    looks++;
    await Promise.resolve();
    return more;
  }, 2);
  let woken = 0;
  for (let waiter = 0; waiter < 1000; waiter++) poll.onNext(() => woken++);
  const cancel = poll.onNext(() => assert.fail("called off"));
  cancel();
  while (looks < 3) await new Promise((resolve) => setTimeout(resolve, 1));
  assert.equal(woken, 0);
  more = true;
  while (woken === 0) await new Promise((resolve) => setTimeout(resolve, 1));
  assert.equal(woken, 1000);
  assert.equal(poll.waiting, 0);
  const idle = looks;
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal(looks, idle);
  const only = poll.onNext(() => {});
  only();
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal(looks, idle);
});
