/**
 * A sync of the store's directory fails where the store may go on: for a checkpoint, for a consumer's folder. It covered a name that something beside it
 * was about to make durable, and the disk drops what it covered: the sync that this something then makes must not succeed.
 *
 * Found by looking: it did, and what was acknowledged in the new segment, or stood in the merged one, went with its name at the next power cut.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { rememberFailedSyncs } from "../../src/disk/failed-directory-syncs.ts";
import { Store } from "../../src/store.ts";
import type { Fault } from "../../src/testing/simulated-machine.ts";
import { SimulatedDisk } from "../../src/testing/sim-disk.ts";
import { stop } from "../store/support/hooked-disk.ts";
import { DIRECTORY, KIND } from "./driver.ts";

const at = { entity: "a", scope: "s" };
const event = (n: number): { kind: number; data: unknown } => ({ kind: KIND, data: { n, pad: "x".repeat(900) } });
const OPTIONS = { segmentBytesMax: 4096, checkpoint: false } as const;
/** Makes the store turn to another segment. */
const ENOUGH = 8;

const WHO = {
  checkpoint: (store: Store): Promise<unknown> => store.checkpoint(),
  consumer: (store: Store): Promise<unknown> => store.consumer("c"),
} as const;

/** Stops a checkpoint that is about to get its name, and the first sync of the directory behind `begun`; then the next one fails. */
function failingBeside(disk: SimulatedDisk, begun: (path: string) => boolean) {
  const naming = stop();
  const checkpoint = stop();
  let state: "waiting" | "begun" | "naming" | "failed" = "waiting";
  disk.faults = ({ kind, path, to }): Fault | undefined => {
    if (kind === "rename" && to === `${DIRECTORY}/index.ckpt`) return { until: checkpoint.here() };
    if (state === "waiting" && (kind === "create" || kind === "rename") && begun(to ?? path)) state = "begun";
    if (kind !== "syncDirectory" || path !== DIRECTORY) return undefined;
    if (state === "begun") {
      state = "naming";
      return { until: naming.here() };
    }
    if (state !== "naming") return undefined;
    state = "failed";
    return { error: "EIO" };
  };
  return { naming, checkpoint, failed: () => state === "failed" };
}

for (const layout of ["native", "batpak-0.3"] as const) {
  for (const who of ["checkpoint", "consumer"] as const) {
    test(`the directory's sync for a ${who} fails beside the turn to a new segment: nothing is acknowledged there (${layout})`, async () => {
      const disk = new SimulatedDisk();
      const store = await Store.open(DIRECTORY, { ...OPTIONS, disk, layout });
      let acknowledged = 0;
      for (; acknowledged < 2; acknowledged++) await store.append(at, event(acknowledged));
      const { naming, checkpoint, failed } = failingBeside(disk, (path) => path === `${DIRECTORY}/000002.fbat`);
      const beside = who === "checkpoint" ? WHO[who](store) : null;
      beside?.catch(() => {});
      if (beside !== null) await checkpoint.reached;
      const appending = (async () => {
        for (; acknowledged < ENOUGH; acknowledged++) await store.append(at, event(acknowledged));
      })();
      appending.catch(() => {});
      await naming.reached;
      checkpoint.open();
      await assert.rejects(beside ?? WHO[who](store), { code: "IO" });
      assert.ok(failed());
      naming.open();
      await assert.rejects(appending, { code: "COMMIT_UNKNOWN" });
      disk.faults = undefined;
      await store.close().catch(() => {});
      const left = await Store.open(DIRECTORY, { disk: disk.diskAfterCrash() });
      assert.equal(await left.count(), acknowledged);
      assert.ok((await left.verify()).ok);
      await left.close();
    });
  }
}

test("the directory's sync for a consumer fails beside a compaction that names a merged segment: what that one has is kept", async () => {
  const disk = new SimulatedDisk();
  const store = await Store.open(DIRECTORY, { ...OPTIONS, disk });
  for (let n = 0; n < 3 * ENOUGH; n++) await store.append(at, event(n));
  const keeps = (n: number): boolean => n % 3 === 0;
  const { naming, failed } = failingBeside(disk, (path) => path === `${DIRECTORY}/000001.fbat`);
  const compacting = store.compact({ keep: ({ data }) => keeps((data as { n: number }).n) });
  compacting.catch(() => {});
  await naming.reached;
  await assert.rejects(WHO.consumer(store), { code: "IO" });
  assert.ok(failed());
  naming.open();
  await assert.rejects(compacting, { code: "IO" });
  await assert.rejects(store.append(at, event(-1)), { code: "POISONED" });
  disk.faults = undefined;
  await store.close().catch(() => {});
  const left = await Store.open(DIRECTORY, { disk: disk.diskAfterCrash() });
  const there = new Set((await left.read().toArray()).map(({ data }) => (data as { n: number }).n));
  for (let n = 0; n < 3 * ENOUGH; n++) if (keeps(n)) assert.ok(there.has(n), `event ${n} is gone`);
  assert.ok((await left.verify()).ok);
  await left.close();
});

// Found by random work: the folder that the failed call had made was found by the next one, which had nothing to sync, and went with the position.
test("a consumer whose folder could not be made durable promises no position", async () => {
  const disk = new SimulatedDisk();
  const store = await Store.open(DIRECTORY, { ...OPTIONS, disk });
  await store.append(at, event(0));
  disk.faults = ({ kind, path }) => (kind === "syncDirectory" && path === DIRECTORY ? { error: "EIO" } : undefined);
  await assert.rejects(WHO.consumer(store), { code: "IO" });
  disk.faults = undefined;
  await assert.rejects(WHO.consumer(store), { code: "IO" });
  await store.append(at, event(1));
  await store.close();
});

test("a directory that was never synced, or another one, is no failed sync of the store's", async () => {
  const disk = new SimulatedDisk();
  await disk.makeDirectory(DIRECTORY);
  const remembering = rememberFailedSyncs(disk, DIRECTORY);
  let failing = "makeDirectory";
  disk.faults = ({ kind }) => (kind === failing ? { error: "ENOSPC" } : undefined);
  await assert.rejects(remembering.makeDirectory(`${DIRECTORY}/consumers`), { code: "ENOSPC" });
  await remembering.syncDirectory(DIRECTORY);
  failing = "syncDirectory";
  await assert.rejects(remembering.syncDirectory("/"), { code: "ENOSPC" });
  failing = "none";
  await remembering.syncDirectory(DIRECTORY);
  failing = "syncDirectory";
  await assert.rejects(remembering.makeDirectory(`${DIRECTORY}/consumers`), { code: "ENOSPC" });
  failing = "none";
  await assert.rejects(remembering.syncDirectory(DIRECTORY), { code: "ENOSPC" });
});
