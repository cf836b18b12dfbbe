/** When checkpoints are written by themselves: so that whoever opens after a crash takes up no more than `everyEvents` events, or a little more. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { SimulatedDisk } from "../../src/testing/sim-disk.ts";
import { stop } from "./support/hooked-disk.ts";
import { CHECKPOINT_PATH, changed, Counted, type CountedStore, DIRECTORY, diskAfter, openStore, settled } from "./support/log-image.ts";

const at = { entity: "counter", scope: "test" };
const checkpoint = { everyEvents: 10 };

async function appendSingly(store: CountedStore, count: number): Promise<void> {
  for (let n = 0; n < count; n++) await store.append(at, Counted({ n }));
}

async function written(store: CountedStore): Promise<number> {
  return (await store.stats()).checkpoints;
}

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => setImmediate(resolve));
}

// Each process began to count anew: what was to be taken up grew for ever where every one of them was killed early.
test("processes that are killed before they have written as many still get a checkpoint", async () => {
  let disk = await diskAfter({ checkpoint }, (store) => appendSingly(store, 6));
  const replayed: number[] = [];
  for (let process = 0; process < 6; process++) {
    const store = await openStore(disk, { checkpoint });
    replayed.push(store.openReport.eventsReplayed);
    await appendSingly(store, 6);
    await new Promise((resolve) => setTimeout(resolve, 20));
    disk = settled(disk.diskAfterKill());
  }
  assert(Math.max(...replayed) <= 16, replayed.join());
});

test("a store that was opened without a usable checkpoint gets one with its first event", async () => {
  const disk = await diskAfter({ checkpoint }, (store) => appendSingly(store, 25));
  const lost = changed(disk, { [CHECKPOINT_PATH]: null });
  const store = await openStore(lost, { checkpoint: { everyEvents: 1000 } });
  assert.equal(store.openReport.route, "scan");
  assert.equal(await written(store), 0, "whoever appends nothing pays for none");
  await appendSingly(store, 1);
  await until(async () => (await written(store)) === 1);
  await appendSingly(store, 5);
  assert.equal(await written(store), 1);
  await store.close();
});

test("a new store gets none with its first event, and one with as many as were asked for", async () => {
  const disk = new SimulatedDisk();
  const store = await openStore(disk, { checkpoint });
  await appendSingly(store, 9);
  assert.equal(await written(store), 0);
  await appendSingly(store, 1);
  await until(async () => (await written(store)) === 1);
  await store.close();
});

test("a checkpoint that takes as long as some events is begun so many earlier the next time", async () => {
  const disk = new SimulatedDisk();
  const store = await openStore(disk, { checkpoint: { everyEvents: 20 } });
  const first = stop();
  let begun = 0;
  disk.faults = ({ kind, path }) => {
    if (!path.startsWith(`${DIRECTORY}/index.ckpt.`)) return undefined;
    if (kind === "create") begun++;
    return kind === "sync" && begun === 1 ? { until: first.here() } : undefined;
  };
  await appendSingly(store, 20);
  await first.reached;
  await appendSingly(store, 3);
  first.open();
  await until(async () => (await written(store)) === 1);
  // Three came meanwhile: seventeen after the picture of the first the next one is begun.
  await appendSingly(store, 13);
  assert.equal(begun, 1);
  await appendSingly(store, 1);
  await until(async () => (await written(store)) === 2);
  assert.equal(begun, 2);
  // That one took none: the next comes after twenty.
  await appendSingly(store, 19);
  assert.equal(begun, 2);
  await appendSingly(store, 1);
  await until(async () => (await written(store)) === 3);
  await store.close();
});

/** The checkpoint's file cannot be made until `end` is called. */
function fullDisk(disk: SimulatedDisk): { readonly tries: () => number; readonly end: () => void } {
  let full = true;
  let tries = 0;
  disk.faults = ({ kind, path }) => {
    if (kind !== "create" || !path.includes("index.ckpt")) return undefined;
    tries++;
    return full ? { error: "ENOSPC" } : undefined;
  };
  return {
    tries: () => tries,
    end: () => {
      full = false;
    },
  };
}

test("what was due is still due after a checkpoint that was asked for has failed, and tried once with the next commit", async () => {
  const disk = changed(await diskAfter({ checkpoint: { everyEvents: 1000 } }, (store) => appendSingly(store, 5)), {});
  const store = await openStore(disk, { checkpoint: { everyEvents: 1000 } });
  const full = fullDisk(disk);
  await assert.rejects(store.checkpoint(), { code: "IO" });
  await appendSingly(store, 1);
  await until(() => full.tries() === 2);
  await appendSingly(store, 50);
  assert.equal(full.tries(), 2, "a disk that is full is not asked at every commit");
  full.end();
  await store.close();
  const again = await openStore(disk, { readOnly: true });
  assert.deepEqual([again.openReport.route, again.openReport.eventsReplayed], ["checkpoint", 0]);
  await again.close();
});

/** Opened again after so many events, closed. */
async function reopenedAfter(disk: SimulatedDisk, events: number): Promise<CountedStore> {
  const store = await openStore(disk);
  await appendSingly(store, events);
  await store.close();
  return openStore(disk);
}

test("closing writes the checkpoint that failed when it was asked for", async () => {
  const disk = new SimulatedDisk();
  const store = await reopenedAfter(disk, 5);
  await appendSingly(store, 5);
  const full = fullDisk(disk);
  await assert.rejects(store.checkpoint(), { code: "IO" });
  full.end();
  await store.close();
  const again = await openStore(disk, { readOnly: true });
  assert.deepEqual([again.openReport.route, again.openReport.eventsReplayed], ["checkpoint", 0]);
  await again.close();
});

test("closing that leaves its events to the next opening rejects where the mark cannot be synced, and loses nothing", async () => {
  const disk = new SimulatedDisk();
  const store = await reopenedAfter(disk, 200);
  await appendSingly(store, 3);
  disk.faults = ({ kind, path }) => (kind === "sync" && path.endsWith("durable.mark") ? { error: "EIO" } : undefined);
  await assert.rejects(store.close(), { code: "IO" });
  disk.faults = undefined;
  assert.equal(disk.openFileCount, 0);
  const again = await openStore(settled(disk.diskAfterKill()));
  assert.deepEqual([again.openReport.eventsReplayed, (await again.stats()).events], [3, 203]);
  await again.close();
});
