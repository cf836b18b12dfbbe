/** A sync that somebody asked for fails beside the turn to a new segment: what it covered is lost, so nothing may be built on it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Store } from "../../src/store.ts";
import type { Layout, StoreOptions } from "../../src/store-options.ts";
import { SimulatedDisk } from "../../src/testing/sim-disk.ts";
import { stop } from "../store/support/hooked-disk.ts";

const at = { entity: "a", scope: "s" };
const event = (n: number): { kind: number; data: unknown } => ({ kind: 0x1001, data: { n, pad: "x".repeat(900) } });
const turn = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 5));

const DURABILITIES = ["fsync", "os", { everyMs: 3_600_000, everyEvents: 5 }] satisfies StoreOptions["durability"][];

function segmentsOn(disk: SimulatedDisk): number {
  return disk.paths().filter((path) => path.endsWith(".fbat")).length;
}

/** How many events the first segment has room for. */
async function roomsOf(layout: Layout): Promise<number> {
  const disk = new SimulatedDisk();
  const store = await Store.open("/store", { disk, segmentBytesMax: 4096, layout });
  let events = 0;
  while (segmentsOn(disk) < 2) await store.append(at, event(events++));
  await store.close();
  return events - 1;
}

for (const layout of ["native", "batpak-0.3"] as const) {
  for (const durability of DURABILITIES) {
    // There, nothing but the footer is left to sync, and a sync that is asked for leaves that to the seal.
    if (layout === "batpak-0.3" && durability === "fsync") continue;
    // The seal's own sync succeeded, since the system tells a failure once; the next segment was made behind a seal that was not there.
    test(`a sync fails while a segment is sealed: no other is made (${layout}, ${JSON.stringify(durability)})`, {
      timeout: 10_000,
    }, async () => {
      const disk = new SimulatedDisk();
      const store = await Store.open("/store", { disk, segmentBytesMax: 4096, durability, layout });
      // The next one turns.
      const appended = await roomsOf(layout);
      for (let n = 0; n < appended; n++) await store.append(at, event(n));
      const sealing = stop();
      let fails = false;
      let held = false;
      disk.faults = ({ kind, path }) => {
        if (!path.endsWith(".fbat")) return undefined;
        if (kind === "sync" && fails) {
          fails = false;
          return { error: "EIO" };
        }
        // The seal is written, and what follows waits: its truncation, or, where there is none, its sync.
        if (!held && (kind === "truncate" || (layout !== "native" && kind === "sync"))) {
          held = true;
          return { until: sealing.here() };
        }
        return undefined;
      };
      const turning = store.append(at, event(appended));
      turning.catch(() => {});
      await sealing.reached;
      fails = true;
      await assert.rejects(store.sync(), { code: "POISONED" });
      sealing.open();
      await assert.rejects(turning, { code: "COMMIT_UNKNOWN" });
      await turn();
      assert.equal(segmentsOn(disk), 1, "another segment was made");
      disk.faults = undefined;
      await assert.rejects(store.close(), { code: "POISONED" });
      const again = await Store.open("/store", { disk: disk.diskAfterCrash() });
      if (durability === "fsync") assert((await again.count()) >= appended, "what was acknowledged is there");
      await again.append(at, event(99));
      assert.deepEqual((await again.verify()).problems, []);
      await again.close();
    });
  }
}

test("a commit of records alone is synced in the background, as one of events is", async () => {
  const disk = new SimulatedDisk();
  const store = await Store.open("/store", { disk, durability: { everyMs: 5, everyEvents: 10 } });
  await store.append(at, event(0));
  const consumer = await store.consumer("c", undefined, { positionIn: "log" });
  // The event's own sync is done, and nothing is planned any more.
  await new Promise((resolve) => setTimeout(resolve, 50));
  await store.sync();
  await consumer.commit(0);
  const deadline = Date.now() + 5000;
  for (;;) {
    const left = await Store.open("/store", { disk: disk.diskAfterCrash() });
    const [{ position }] = await left.consumers();
    await left.close();
    if (position === 0) break;
    assert(Date.now() < deadline, "the position is on stable storage after a while");
    await turn();
  }
  await store.close();
});
