/**
 * Stores of the batpak 0.3 layout whose newest segment nothing proves to be on stable storage, as the original leaves them that is killed or whose syncs
 * fail: what a writer has shown of them is there after a power cut.
 *
 * Found by holding docs/batpak-0.3.md against the code: such a segment was synced and not written again, and one before a segment that was never begun was not
 * even synced.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Store } from "../../src/store.ts";
import { SimulatedDisk } from "../../src/testing/sim-disk.ts";
import { DIRECTORY, KIND } from "./driver.ts";

const EVENTS = 3;
const SEGMENT = `${DIRECTORY}/000001.fbat`;

/** Events that were written and not synced, and no mark. */
async function written(): Promise<{ disk: SimulatedDisk; store: Store }> {
  const disk = new SimulatedDisk();
  const store = await Store.open(DIRECTORY, { disk, layout: "batpak-0.3", durability: "os" });
  for (let n = 0; n < EVENTS; n++) await store.append({ entity: "a", scope: "s" }, { kind: KIND, data: n });
  return { disk, store };
}

/** Opens it for writing; what is shown then outlasts the power cut behind it, and so does what is appended. */
async function holds(disk: SimulatedDisk): Promise<void> {
  await disk.remove(`${DIRECTORY}/durable.mark`);
  const store = await Store.open(DIRECTORY, { disk });
  assert.equal(await store.count(), EVENTS);
  await holdsAfterPowerCut(disk, EVENTS);
  await store.append({ entity: "a", scope: "s" }, { kind: KIND, data: EVENTS });
  await holdsAfterPowerCut(disk, EVENTS + 1);
  await store.close();
}

async function holdsAfterPowerCut(disk: SimulatedDisk, events: number): Promise<void> {
  for (const left of [disk.diskAfterCrash(), ...disk.possibleDisks({ limit: 16 })]) {
    const store = await Store.open(DIRECTORY, { disk: left });
    assert.equal(await store.count(), events);
    await store.close();
  }
}

test("what a failed sync may have dropped is written again, not only synced", async () => {
  const { disk, store } = await written();
  disk.faults = ({ kind, path }) => (kind === "sync" && path === SEGMENT ? { error: "EIO" } : undefined);
  await assert.rejects(store.sync());
  disk.faults = undefined;
  await store.close().catch(() => {});
  await holds(disk);
});

test("a segment that a killed writer left is made durable, also where another was begun behind it and has nothing", async () => {
  const { disk } = await written();
  const left = disk.diskAfterKill();
  await (await left.open(`${DIRECTORY}/000002.fbat`, "create")).close();
  await holds(left);
});
