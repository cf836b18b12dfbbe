/** After compaction: snapshots of before are not used, and a command whose events were removed is still done only once. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { compactStore } from "../../src/compaction.ts";
import { defineDecider } from "../../src/index.ts";
import { SimulatedDisk } from "../../src/testing/sim-disk.ts";
import { accountProjection, at, Deposited, Noted, openAccounts, snapshotsTold } from "./support.ts";

const Kept = accountProjection({ snapshot: { everyEvents: 5 } });
const Once = defineDecider({
  events: [Deposited],
  initial: 0,
  decide: (_command: "open", count) => {
    if (count > 0) throw new Error("open already");
    return [Deposited({ cents: 10 }), Deposited({ cents: 20 })];
  },
  evolve: { Deposited: (count) => count + 1 },
});

test("states are folded anew of what is left, and commands keep their ids", async () => {
  const disk = new SimulatedDisk();
  const options = { segmentBytesMax: 4096 };
  let store = await openAccounts(disk, options);
  const first = await store.handle(at("a"), Once, "open", { commandId: "open" });
  // The last event of an entity is never removed.
  await store.append(at("a"), Noted({ text: "the end" }));
  await store.append(at("b"), Deposited({ cents: 1 }));
  for (let i = 0; i < 100; i++) await store.append(at("filler"), Noted({ text: "fills segments" }));
  await store.append(at("b"), [Deposited({ cents: 2 }), Deposited({ cents: 3 })]);
  assert.equal((await store.project(Kept)).state.cents, 36);
  await store.close();

  const { removedEvents } = await compactStore("/store", { disk, query: { entity: "a" } });
  assert.equal(removedEvents, 2);
  store = await openAccounts(disk, options);
  const told = await snapshotsTold(async () => {
    const { state, events, eventsRead } = await store.project(Kept);
    assert.deepEqual([state.cents, events, eventsRead], [6, 3, 3]);
  });
  assert.deepEqual(told, ["ignored: the store was compacted or repaired since"]);

  const again = await store.handle(at("a"), Once, "open", { commandId: "open" });
  assert.equal(JSON.stringify(again), JSON.stringify(first));
  const [next] = await store.handle(at("a"), Once, "open", { commandId: "another" });
  assert.equal(next.clock, 3, "what is left decides, and the clock goes on");
  await store.close();
});

test("a follower that was opened before a compaction folds what is left, and uses no snapshot of before", async () => {
  const disk = new SimulatedDisk();
  const store = await openAccounts(disk, { segmentBytesMax: 4096 });
  for (let i = 0; i < 100; i++) await store.append(at(i < 50 ? "a" : "b"), Deposited({ cents: 1 }));
  await store.append(at("a"), Noted({ text: "the end" }));
  for (let i = 0; i < 50; i++) await store.append(at("filler"), Noted({ text: "fills segments" }));
  assert.equal((await store.project(Kept)).state.cents, 100);
  await store.close();
  const follower = await openAccounts(disk, { readOnly: true });
  // The segment of the event that the snapshot ends with is written anew too.
  const { removedEvents } = await compactStore("/store", { disk, keep: ({ entity }) => entity === "b" });
  assert.ok(removedEvents > 50);
  assert.equal((await follower.project(Kept)).state.cents, 50);
  await follower.close();
});

test("a state that was begun before a compaction and goes on behind it is given, and what is kept on disk is folded of what is left", async () => {
  const disk = new SimulatedDisk();
  const options = { segmentBytesMax: 4096 };
  const store = await openAccounts(disk, options);
  for (let i = 0; i < 10; i++) await store.append(at("a"), Deposited({ cents: 1 }));
  for (let i = 0; i < 100; i++) await store.append(at("filler"), Noted({ text: "fills segments" }));
  const watching = store.watch(Kept);
  assert.equal((await watching.next()).value?.state.cents, 10);
  assert.equal((await store.compact({ query: { entity: "a" } })).removedEvents, 9);
  for (let i = 0; i < 10; i++) await store.append(at("a"), Deposited({ cents: 1 }));
  let state = 0;
  const told = await snapshotsTold(async () => {
    while (state < 20) state = (await watching.next()).value?.state.cents ?? Number.NaN;
  });
  assert.deepEqual(told, ["ignored: the store was compacted or repaired since"]);
  await watching.return(undefined);
  const { state: left, eventsRead } = await store.project(Kept);
  assert.deepEqual([left.cents, eventsRead], [11, 0]);
  await store.close();
});
