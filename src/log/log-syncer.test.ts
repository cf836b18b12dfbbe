import assert from "node:assert/strict";
import { test } from "node:test";
import { Store } from "../store.ts";
import { rawEvent } from "../events/definition.ts";
import { SimulatedDisk } from "../testing/sim-disk.ts";

test("whoever asks for a sync while one is under way shares the next one", async () => {
  const disk = new SimulatedDisk();
  const store = await Store.open("/store", { disk, durability: "os" });
  await store.append({ entity: "e", scope: "s" }, rawEvent(0xf001, null));
  let operations = 0;
  disk.faults = () => {
    operations++;
    return undefined;
  };
  await Promise.all(Array.from({ length: 1000 }, () => store.sync()));
  assert.ok(operations >= 2 && operations <= 10, `${operations} operations for 1,000 who asked at once`);
  await store.close();
});

test("what is appended while a sync is under way is on stable storage when the sync that was asked for then resolves", async () => {
  const disk = new SimulatedDisk();
  const store = await Store.open("/store", { disk, durability: "os" });
  const at = { entity: "e", scope: "s" };
  await store.append(at, rawEvent(0xf001, 0));
  const first = store.sync();
  await store.append(at, rawEvent(0xf001, 1));
  await store.sync();
  await first;
  // Only what is durable is left of the disk.
  const after = await Store.open("/store", { disk: disk.diskAfterCrash(), readOnly: true });
  assert.equal(await after.count(), 2);
  await after.close();
  await store.close();
});
