// Options that are there and undefined are as if they were left out, in every call: what may be missing is passed on as it is.

import assert from "node:assert/strict";
import { test } from "node:test";
import { compactStore, convertStore, defineDecider, defineEvent, defineProjection, repairStore, Store, type } from "../../src/index.ts";
import { createMemoryDisk, openMemoryStore } from "../../src/testing/index.ts";

const at = { entity: "counter", scope: "test" };
const none = undefined;
const opening = {
  events: none,
  durability: none,
  segmentBytesMax: none,
  payloadBytesMax: none,
  batchEventsMax: none,
  batchBytesMax: none,
  queuedBytesMax: none,
  indexCacheBytes: none,
  checkpoint: none,
  layout: none,
  readOnly: none,
  lockWaitMs: none,
  clock: none,
  random: none,
};

test("every option of every call may be undefined", async () => {
  const Counted = defineEvent("Counted", { schema: type<{ n: number }>(), version: none, kind: none, upcast: none });
  const on = { Counted: (sum: number, { data }: { readonly data: { readonly n: number } }) => sum + data.n };
  const Sum = defineProjection({ name: "sum", version: none, events: [Counted], initial: 0, on, snapshot: none });
  const decide = (n: number) => Counted({ n });
  const Counter = defineDecider({ name: none, version: none, events: [Counted], initial: 0, decide, evolve: on, snapshot: none });
  const disk = createMemoryDisk();
  const store = await Store.open("/store", { ...opening, disk });
  const caused = { causedBy: none, correlationId: none, metadata: none };
  const unsaid = { ...caused, expect: none, idempotencyKey: none };
  await store.append(at, Counted({ n: 1 }), { ...unsaid, signal: none });
  await store.append(at, Counted({ n: 1 }), { expect: { noneMatching: { scope: "other" }, after: none } });
  await store.append(at, { kind: 0xf001, data: 5, version: none });
  await store.appendBatch([{ coordinate: at, event: Counted({ n: 1 }), ...unsaid }], { commit: none, signal: none });
  await store.handle(at, Counter, 1, { ...caused, retries: none, commandId: none, signal: none });
  await store.import([{ ...at, kind: 0xf001, payload: 6, event_id: none, correlation_id: none, causation_id: none, wall_ms: none }], {
    skipBad: none,
    onProgress: none,
    signal: none,
  });
  assert.equal((await store.project(Sum, none, { signal: none })).state, 4);
  for await (const { state } of store.watch(Sum, none, { signal: none })) {
    assert.equal(state, 4);
    break;
  }
  assert.deepEqual(await store.entities({ prefix: none }).toArray(), ["counter"]);
  assert.deepEqual(await store.scopes({ prefix: none }).toArray(), ["test"]);
  for await (const batch of store.readPlaced({}, { onDamage: none, signal: none })) assert.equal(batch.length, 6);
  await (await store.consumer("c", none, { after: none, positionIn: none, resetTo: none, lockWaitMs: none, signal: none })).close();
  await store.react("r", none, () => {}, { after: none, lockWaitMs: none, signal: AbortSignal.abort() });
  assert.equal((await store.verify({ onProgress: none, signal: none })).ok, true);
  const compacting = { keepLast: 5, dryRun: none, segmentBytesMax: none, onProgress: none, signal: none };
  assert.equal((await store.compact(compacting)).applied, true);
  await store.close();
  assert.equal((await compactStore("/store", { ...compacting, events: none, clock: none, disk })).removedEvents, 0);
  assert.equal((await repairStore("/store", { apply: none, clock: none, disk })).applied, false);
  const converting = { lossy: none, segmentBytesMax: none, onProgress: none, signal: none };
  assert.equal((await convertStore("/store", "/converted", { layout: "batpak-0.3", ...converting, disk })).events, 6);
  await (await openMemoryStore({ ...opening, disk: none })).close();
});
