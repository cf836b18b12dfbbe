/**
 * Held of every name that anything here gives to a file: the bytes are durable before it is given, and once the call that gave or took it has
 * resolved, so is the name. Each part of the library that makes files is run under this eye, so that no sync of any of them can be left out unseen.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { compactStore } from "../../src/compaction.ts";
import { convertStore } from "../../src/convert.ts";
import { repairStore } from "../../src/repair.ts";
import { Store } from "../../src/store.ts";
import type { Layout } from "../../src/store-options.ts";
import { SimulatedDisk } from "../../src/testing/sim-disk.ts";
import { accountProjection, at, Deposited, openAccounts } from "../projections/support.ts";
import { DIRECTORY, KIND } from "./driver.ts";

/** Of no consequence after a crash: who has the lock, and how far readers may look. */
const FLEETING = /(\/lock(\.claim\..*)?|\/durable\.mark|\.tmp)$/;

/** Of an open store: zeros may be being laid out. What was acknowledged in it, others look at. */
const GROWING = /^\/store\/\d+\.fbat$/;

/** A disk on which no file is given a name that counts before its bytes are durable. */
function watched(disk = new SimulatedDisk()): SimulatedDisk {
  disk.faults = ({ kind, path, to = "" }) => {
    if (kind !== "rename" && kind !== "link") return undefined;
    const files = disk.paths().filter((one) => one === path || one.startsWith(`${path}/`));
    for (const file of files.filter((one) => one === path || !FLEETING.test(one))) {
      assert.ok(disk.isContentDurable(file), `${file} is given the name ${to}, and is not durable`);
    }
    return undefined;
  };
  return disk;
}

/** Fails unless a power cut now would leave all files as they are. */
function assertSettled(disk: SimulatedDisk, what: string, isOpen: RegExp | null = null): void {
  const names = (one: SimulatedDisk): string[] => one.paths().filter((path) => !FLEETING.test(path));
  assert.deepEqual(names(disk.diskAfterCrash()), names(disk), `names after ${what}`);
  for (const path of names(disk)) {
    if (isOpen?.test(path) !== true) assert.ok(disk.isContentDurable(path), `${path} after ${what}`);
  }
}

async function fill(disk: SimulatedDisk, layout: Layout, from: number, to: number): Promise<void> {
  const store = await Store.open(DIRECTORY, { disk, layout, segmentBytesMax: 4096, durability: "os", checkpoint: { everyEvents: 7 } });
  for (let n = from; n < to; n++) {
    const key = n % 4 === 0 ? { idempotencyKey: `k${n}` } : {};
    await store.append({ entity: `e${n % 3}`, scope: "s" }, { kind: KIND, data: { n, pad: "p".repeat(600) } }, key);
  }
  await store.close();
}

for (const layout of ["native", "batpak-0.3"] as const) {
  test(`segments, blocks, checkpoints and what closing leaves (${layout})`, async () => {
    const disk = watched();
    await fill(disk, layout, 0, 16);
    assertSettled(disk, "closing");
    await fill(disk, layout, 16, 32);
    assertSettled(disk, "closing again");
    const store = await Store.open(DIRECTORY, { disk });
    await store.append({ entity: "a", scope: "s" }, { kind: KIND, data: 1 });
    assertSettled(disk, "an append that is durable", GROWING);
    await store.checkpoint();
    assertSettled(disk, "a checkpoint", GROWING);
    await store.close();
  });

  test(`what closing makes durable without a checkpoint, and what is durable when a checkpoint gets its name (${layout})`, async () => {
    const disk = watched();
    const options = { disk, layout, durability: "os", checkpoint: false } as const;
    const first = await Store.open(DIRECTORY, options);
    for (let n = 0; n < 3; n++) await first.append({ entity: "a", scope: "s" }, { kind: KIND, data: n });
    await first.close();
    assertSettled(disk, "closing");
    const store = await Store.open(DIRECTORY, { ...options, checkpoint: { everyEvents: 1000 } });
    for (let n = 0; n < 3; n++) await store.append({ entity: "a", scope: "s" }, { kind: KIND, data: n });
    let named = 0;
    disk.faults = ({ kind, to = "" }) => {
      if (kind !== "rename" || !to.endsWith("/index.ckpt")) return undefined;
      named++;
      for (const path of disk.paths()) if (path.endsWith(".fbat")) assert.ok(disk.isContentDurable(path), `${path} under a checkpoint`);
      return undefined;
    };
    await store.checkpoint();
    assert.ok(named > 0);
    await store.close();
  });

  test(`what recovery keeps, whether a mark speaks of it or not (${layout})`, async () => {
    for (const hasMark of [true, false]) {
      const disk = watched();
      const store = await Store.open(DIRECTORY, { disk, layout, segmentBytesMax: 4096, durability: "os", checkpoint: false });
      for (let n = 0; n < 7; n++) await store.append({ entity: "a", scope: "s" }, { kind: KIND, data: { n, pad: "p".repeat(700) } });
      disk.kill();
      await store.close().catch(() => {});
      const next = disk.asProcess(77);
      if (!hasMark) await next.remove(`${DIRECTORY}/durable.mark`);
      const again = await Store.open(DIRECTORY, { disk: next });
      assert.equal(await again.count(), 7);
      assertSettled(next, "recovery");
      await again.close();
    }
  });

  test(`consumers' positions, given and taken (${layout})`, async () => {
    const disk = watched();
    await fill(disk, layout, 0, 9);
    const store = await Store.open(DIRECTORY, { disk, durability: "os" });
    await store.append({ entity: "a", scope: "s" }, { kind: KIND, data: 1 });
    const consumer = await store.consumer("c");
    await consumer.commit(9);
    assertSettled(disk, "a commit");
    await consumer.delete();
    assertSettled(disk, "a deletion");
    await store.close();
  });

  test(`copies and conversions (${layout})`, async () => {
    const disk = watched();
    await fill(disk, layout, 0, 16);
    const store = await Store.open(DIRECTORY, { disk });
    await store.snapshot("/copies/one");
    assertSettled(disk, "a copy", GROWING);
    await store.close();
    const other = layout === "native" ? "batpak-0.3" : "native";
    await convertStore(DIRECTORY, "/converted", { layout: other, lossy: true, segmentBytesMax: 4096, disk });
    assertSettled(disk, "a conversion");
  });
}

test("compactions", async () => {
  const disk = watched();
  await fill(disk, "native", 0, 30);
  for (const every of [2, 3]) {
    const { removedEvents } = await compactStore(DIRECTORY, {
      keep: ({ data }) => (data as { n: number }).n % every === 0,
      segmentBytesMax: 4096,
      disk,
    });
    assert.ok(removedEvents > 3);
    assertSettled(disk, "a compaction");
  }
});

test("repairs", async () => {
  const disk = watched();
  await fill(disk, "native", 0, 20);
  disk.zeroSector(`${DIRECTORY}/000002.fbat`, 2);
  const { applied } = await repairStore(DIRECTORY, { disk, apply: true });
  assert.ok(applied);
  assertSettled(disk, "a repair");
});

test("projections' snapshots", async () => {
  const disk = watched();
  const store = await openAccounts(disk);
  for (let n = 0; n < 8; n++) await store.append(at("a"), Deposited({ cents: n }));
  await store.project(accountProjection({ snapshot: { everyEvents: 3 } }));
  assertSettled(disk, "a snapshot", GROWING);
  await store.close();
});
