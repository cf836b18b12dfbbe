import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as nextTurn } from "node:timers/promises";
import type { Disk } from "../disk/disk.ts";
import { Store } from "../store.ts";
import { rawEvent } from "../events/definition.ts";
import type { CommitQueue } from "./commit-queue.ts";
import { LogSyncer } from "./log-syncer.ts";
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

test("no two syncs are under way at once, however soon after the end of one somebody asks", async () => {
  for (let microtasks = 0; microtasks < 12; microtasks++) {
    const ends: (() => void)[] = [];
    let running = 0;
    let most = 0;
    const syncer = new LogSyncer({ assertSound() {}, poison() {} } as unknown as CommitQueue, null, async () => {
      most = Math.max(most, ++running);
      await new Promise<void>((resolve) => ends.push(resolve));
      running--;
    });
    const asked = [syncer.sync(), syncer.sync()];
    await nextTurn();
    ends.shift()?.();
    for (let i = 0; i < microtasks; i++) await Promise.resolve();
    asked.push(syncer.sync());
    for (let i = 0; i < 3; i++) {
      await nextTurn();
      ends.shift()?.();
    }
    await Promise.all(asked);
    assert.equal(most, 1, `${microtasks} microtasks after the end`);
    assert.equal(syncer.underWay, null);
  }
});

test("what is appended while a sync is under way is on stable storage when the sync that was asked for then resolves", async () => {
  const disk = new SimulatedDisk();
  let isSlow = false;
  let tell = (): void => {};
  const synced = new Promise<void>((resolve) => {
    tell = resolve;
  });
  let goOn = (): void => {};
  const released = new Promise<void>((resolve) => {
    goOn = resolve;
  });
  // The system has synced, and takes its time to say so.
  const openSlow: Disk["open"] = async (path, mode) => {
    const file = await disk.open(path, mode);
    const { sync } = file;
    if (!path.endsWith(".fbat")) return file;
    return Object.assign(file, {
      sync: async () => {
        await sync.call(file);
        if (!isSlow) return;
        tell();
        await released;
      },
    });
  };
  const slow = new Proxy<Disk>(disk, {
    get(target, name) {
      const value: unknown = name === "open" ? openSlow : Reflect.get(target, name, target);
      return typeof value === "function" ? (value.bind(target) as unknown) : value;
    },
  });
  const store = await Store.open("/store", { disk: slow, durability: "os" });
  const at = { entity: "e", scope: "s" };
  await store.append(at, rawEvent(0xf001, 0));
  isSlow = true;
  const first = store.sync();
  await synced;
  await store.append(at, rawEvent(0xf001, 1));
  const second = store.sync();
  goOn();
  await second;
  await first;
  // What is not durable is gone.
  const after = await Store.open("/store", { disk: disk.diskAfterCrash(), readOnly: true });
  assert.equal(await after.count(), 2);
  await after.close();
  await store.close();
});

test("a sync that fails is told to all who wait for it, and to those who wait for the one behind it", async () => {
  const disk = new SimulatedDisk();
  const store = await Store.open("/store", { disk, durability: "os" });
  await store.append({ entity: "e", scope: "s" }, rawEvent(0xf001, 0));
  disk.faults = ({ kind, path }) => (kind === "sync" && path.endsWith(".fbat") ? { error: "EIO" } : undefined);
  const syncs = await Promise.allSettled([store.sync(), store.sync(), store.sync()]);
  for (const sync of syncs) assert.equal(sync.status === "rejected" && (sync.reason as { code: string }).code, "POISONED");
  await assert.rejects(store.sync(), { code: "POISONED" });
  disk.faults = undefined;
  await assert.rejects(store.close(), { code: "POISONED" });
  assert.equal(disk.openFileCount, 0);
});
