/** Appending faster than index blocks can be written: what is kept in memory for them is bounded, and nothing is lost or stuck. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { isStoreError, rawEvent, Store } from "../../src/index.ts";
import { SimulatedDisk } from "../../src/testing/sim-disk.ts";
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
