/** Appending faster than index blocks can be written: what is kept in memory for them is bounded, and nothing is lost or stuck. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { isStoreError, rawEvent, Store } from "../../src/index.ts";
import { SimulatedDisk } from "../../src/testing/sim-disk.ts";
import { spoilPages } from "./support/bad-pages.ts";
import { hooked } from "./support/hooked-disk.ts";

/** One batch fills a segment. */
const batch = Array.from({ length: 40 }, (_, n) => ({
  coordinate: { entity: `entity:${n}`, scope: "s" },
  event: rawEvent(0xf001, { pad: "x".repeat(500) }),
}));
const SEGMENT_BYTES = 16 * 1024;

async function turns(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await new Promise((resolve) => setImmediate(resolve));
}

/** A store whose index blocks cannot be begun until `goOn` is called. */
async function held(): Promise<{ readonly store: Store; readonly disk: SimulatedDisk; readonly goOn: (failing?: boolean) => void }> {
  const disk = new SimulatedDisk();
  let goOn: (failing?: boolean) => void = () => {};
  const until = new Promise<boolean>((resolve) => {
    goOn = (failing = false) => resolve(failing);
  });
  const holding = hooked(disk, async (when, operation, path, mode) => {
    if (when === "before" && operation === "open" && path.endsWith(".fbat") && mode === "write" && (await until))
      throw Object.assign(new Error("EIO: held"), { code: "EIO" });
  });
  const store = await Store.open("/store", { disk: holding, segmentBytesMax: SEGMENT_BYTES });
  return { store, disk, goOn };
}

/** Appends until one append is not acknowledged, and gives how many were. */
async function appendUntilHeld(store: Store): Promise<{ readonly acknowledged: number; readonly last: Promise<unknown> }> {
  for (let acknowledged = 0; acknowledged < 20; acknowledged++) {
    let done = false;
    const last = store.appendBatch(batch).then(() => {
      done = true;
    });
    await turns(30);
    if (!done) return { acknowledged, last };
  }
  assert.fail("appends never wait for index blocks");
}

for (const failing of [false, true]) {
  test(`a segment is not begun while four wait for their index blocks; once these ${failing ? "have failed" : "are written"} it is`, async () => {
    const { store, disk, goOn } = await held();
    const { acknowledged, last } = await appendUntilHeld(store);
    assert.equal(acknowledged, 5, "four sealed segments, and the newest");
    assert.equal((await store.stats()).segments, 6, "the next one has its place, and no file");
    assert.deepEqual((await store.read().toArray()).length, acknowledged * batch.length);
    goOn(failing);
    await last;
    for (let i = 0; i < 10; i++) await store.appendBatch(batch);
    await store.close();
    const again = await Store.open("/store", { disk });
    assert.equal(await again.count(), (acknowledged + 11) * batch.length);
    const { ok, problems } = await again.verify();
    assert.ok(ok, JSON.stringify(problems));
    await again.close();
  });
}

test("a store that is poisoned while a segment waits to be begun does not begin it", async () => {
  const { store, disk, goOn } = await held();
  const { last } = await appendUntilHeld(store);
  const answer = last.catch((error: unknown) => error);
  let created = 0;
  disk.faults = ({ kind, path }) => {
    if (kind === "create" && path.endsWith(".fbat")) created++;
    return kind === "write" && path.endsWith("durable.mark") ? { error: "EIO" } : undefined;
  };
  await assert.rejects(store.sync(), (error) => isStoreError(error, "POISONED"));
  assert.ok(isStoreError(await answer, "COMMIT_UNKNOWN"));
  goOn();
  await assert.rejects(store.close(), (error) => isStoreError(error, "POISONED"));
  assert.equal(created, 0);
});

const inMemory = (store: Store): number => store.segments().filter(({ indexOnDisk }) => !indexOnDisk).length;

test("a reader that follows keeps the rows of sealed segments until their blocks are written, and no longer", async () => {
  const { store, disk, goOn } = await held();
  await store.appendBatch(batch);
  const reader = await Store.open("/store", { disk: disk.asProcess(7), readOnly: true });
  for (let segment = 1; segment < 4; segment++) await store.appendBatch(batch);
  await reader.refresh();
  assert.deepEqual([reader.segments().length, inMemory(reader)], [4, 4]);
  const reads = (["forward", "backward"] as const).map((direction) => reader.read({ scope: "s" }, { direction })[Symbol.asyncIterator]());
  const begun = await Promise.all(reads.map(async (read) => [(await read.next()).value?.sequence]));
  goOn();
  while (inMemory(store) > 1) await turns(10);
  // Nothing new is to be seen, and the blocks are.
  await reader.refresh();
  assert.deepEqual(
    reader.segments().map(({ indexOnDisk }) => indexOnDisk),
    [true, true, true, false],
  );
  for (const [i, read] of reads.entries()) for await (const { sequence } of { [Symbol.asyncIterator]: () => read }) begun[i].push(sequence);
  const events = await store.read().toArray();
  const all = events.map(({ sequence }) => sequence);
  assert.deepEqual(begun, [all, all.toReversed()]);
  assert.equal(await reader.count({ entity: "entity:7" }), 4);
  assert.equal((await reader.get(events[50].id))?.sequence, 50);
  for (let segment = 4; segment < 12; segment++) {
    await store.appendBatch(batch);
    await reader.refresh();
  }
  while (inMemory(store) > 1) await turns(10);
  await reader.refresh();
  assert.deepEqual([reader.segments().length, inMemory(reader)], [12, 1]);
  assert.deepEqual((await reader.verify()).problems, []);
  await reader.close();
  await store.close();
});

test("a reader that follows takes no block that is none, and none again that it found bad", async () => {
  const { store, disk, goOn } = await held();
  await store.appendBatch(batch);
  const reader = await Store.open("/store", { disk: disk.asProcess(7), readOnly: true });
  for (let segment = 1; segment < 4; segment++) await store.appendBatch(batch);
  await reader.refresh();
  goOn();
  while (inMemory(store) > 1) await turns(10);
  disk.corrupt("/store/000001.fbat", disk.bytesOf("/store/000001.fbat").length - 1, (byte) => byte ^ 1);
  spoilPages(disk, "/store/000002.fbat");
  await reader.refresh();
  const isOnDisk = (): boolean[] => reader.segments().map(({ indexOnDisk }) => indexOnDisk);
  assert.deepEqual(isOnDisk(), [false, true, true, false]);
  for (let look = 0; look < 2; look++) {
    assert.equal(await reader.count({ entity: "entity:7", clock: { from: 0 } }), 4);
    assert.deepEqual(isOnDisk(), [false, false, true, false]);
    await reader.refresh();
  }
  await reader.close();
  await store.close();
});
