/**
 * Ways in which an acknowledged event could be lost, shown and taken back, or stored twice, that no other test goes: each was thought of as an
 * attack, and is tried in both layouts.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { isStoreError } from "../../src/base/store-error.ts";
import { Store } from "../../src/store.ts";
import type { Layout, StoreOptions } from "../../src/store-options.ts";
import { SimulatedDisk } from "../../src/testing/sim-disk.ts";
import type { OperationKind } from "../../src/testing/simulated-machine.ts";
import { DIRECTORY, KIND } from "./driver.ts";
import { look } from "./ledger.ts";

const LAYOUTS = ["native", "batpak-0.3"] as const;
const at = (entity: string): { entity: string; scope: string } => ({ entity, scope: "s" });
const event = (n: number): { kind: number; data: unknown } => ({ kind: KIND, data: { attempt: n, item: 0, pad: "p".repeat(500) } });

/** A disk on which a writer was killed that had sealed segments, a checkpoint, acknowledged events, and a write in flight. */
async function killed(layout: Layout, durability: "fsync" | "os" = "fsync"): Promise<{ disk: SimulatedDisk; acknowledged: number }> {
  const disk = new SimulatedDisk();
  const options = { layout, durability, segmentBytesMax: 4096, checkpoint: { everyEvents: 5 } };
  const store = await Store.open(DIRECTORY, { ...options, disk });
  let acknowledged = 0;
  for (let n = 0; n < 17; n++) {
    await store.append(at(`e${n % 3}`), event(n), n % 4 === 0 ? { idempotencyKey: `k${n}` } : {});
    acknowledged++;
  }
  const flying = store.append(at("e0"), event(17)).catch(() => {});
  await new Promise((resolve) => process.nextTick(resolve));
  disk.kill();
  await flying;
  await store.close().catch(() => {});
  return { disk: disk.diskAfterKill(), acknowledged };
}

for (const layout of LAYOUTS) {
  test(`a read that fails while a store is opened is no torn tail: nothing is cut, nothing is changed for good (${layout})`, async () => {
    const { acknowledged, disk: made } = await killed(layout);
    const LOOKS: ReadonlySet<OperationKind> = new Set(["read", "open", "size", "status", "list"]);
    let failures = 0;
    for (const readOnly of [false, true]) {
      for (let failing = 1; ; failing++) {
        const disk = made.diskAfterKill();
        let looks = 0;
        disk.faults = ({ kind }) => (LOOKS.has(kind) && ++looks === failing ? { error: "EIO" } : undefined);
        const opened = await Store.open(DIRECTORY, { disk, readOnly }).catch((error: unknown) => error);
        disk.faults = undefined;
        if (opened instanceof Store) {
          assert.ok((await opened.count()) >= acknowledged, `opened without what was acknowledged, look ${failing} failed`);
          assert.deepEqual(opened.openReport.problems, []);
          await opened.close();
        } else {
          failures++;
          assert.ok(isStoreError(opened, "IO"), `look ${failing}: ${String(opened)}`);
        }
        assert.equal(disk.openFileCount, 0, "files were left open");
        const again = await Store.open(DIRECTORY, { disk });
        assert.ok((await look(again)).length >= acknowledged, `events are gone after look ${failing} failed`);
        assert.ok((await again.verify()).ok);
        await again.close();
        if (looks < failing) break;
      }
    }
    assert.ok(failures > 20, `${failures} openings failed`);
  });

  test(`recovery that fails at any operation is done again, and what it then shows survives a power cut (${layout})`, async () => {
    const { acknowledged, disk: made } = await killed(layout, "os");
    for (const error of ["EIO", "ENOSPC"]) {
      for (let failing = 1; ; failing++) {
        const disk = made.diskAfterKill();
        const first = disk.operationCount;
        disk.faults = ({ number }) => (number === first + failing ? { error, afterBytes: 100 } : undefined);
        const opened = await Store.open(DIRECTORY, { disk }).catch((reason: unknown) => reason);
        const ended = disk.operationCount < first + failing;
        disk.faults = undefined;
        if (opened instanceof Store) await opened.close().catch(() => {});
        else assert.ok(isStoreError(opened, "IO"), String(opened));
        const store = await Store.open(DIRECTORY, { disk });
        const shown = await look(store);
        assert.ok(shown.length >= acknowledged, `operation ${failing} of recovery failed, and ${shown.length} events are left`);
        for (const left of disk.possibleDisks({ limit: 4, seed: failing })) {
          const survivor = await Store.open(DIRECTORY, { disk: left });
          assert.deepEqual(await look(survivor), shown, `operation ${failing} of recovery failed with ${error}`);
          await survivor.close();
        }
        await store.close();
        if (ended) break;
      }
    }
  });

  test(`a clock that runs backward, stands still or leaps over crashes and openings: ids ascend, times do not go back (${layout})`, async () => {
    let disk = new SimulatedDisk();
    let nowMicros = 1_700_000_000_000_000;
    const clock = { nowMicros: () => nowMicros, monotonicMs: () => 0 };
    const options: StoreOptions = { layout, clock, segmentBytesMax: 4096, checkpoint: { everyEvents: 4 } };
    for (const [round, jumpMicros] of [0, -3_600_000_000, 0, 86_400_000_000, -90_000_000_000, 1, -1].entries()) {
      nowMicros += jumpMicros;
      const store = await Store.open(DIRECTORY, { ...options, disk });
      for (let n = 0; n < 4; n++)
        await store.append(at(`e${n % 2}`), event(round * 10 + n), n === 2 ? { idempotencyKey: `k${round}` } : {});
      const events = await store.read().toArray();
      assert.equal(events.length, 4 * (round + 1));
      const issued = events.filter((_, index) => index % 4 !== 2).map(({ id }) => id);
      assert.deepEqual(issued, [...new Set(issued)].sort(), "ids that the store issued ascend");
      const times = events.map(({ timestamp }) => timestamp);
      assert.deepEqual(
        times,
        [...times].sort((one, other) => one - other),
        "times go back",
      );
      assert.ok((await store.verify()).ok);
      if (round % 3 === 0) {
        await store.close();
        continue;
      }
      const left = round % 3 === 1 ? disk.diskAfterCrash() : disk.diskAfterKill();
      disk.kill();
      await store.close().catch(() => {});
      disk = left;
    }
  });

  test(`of many that open one directory at once in one process, one gets it, and nothing of its is lost (${layout})`, async () => {
    const disk = new SimulatedDisk();
    const opening = Array.from({ length: 5 }, () => Store.open(DIRECTORY, { disk, layout }));
    const opened = await Promise.allSettled(opening);
    const [store, ...more] = opened.flatMap((one) => (one.status === "fulfilled" ? [one.value] : []));
    assert.ok(store !== undefined && more.length === 0, `${more.length + 1} got it`);
    for (const one of opened) if (one.status === "rejected") assert.ok(isStoreError(one.reason, "LOCKED"), String(one.reason));
    await store.append(at("a"), event(1));
    await store.close();
    const again = await Store.open(DIRECTORY, { disk: disk.diskAfterCrash() });
    assert.equal(await again.count(), 1);
    await again.close();
  });

  test(`a reader that looks while recovery is under way never sees fewer than were acknowledged, nor more than recovery keeps (${layout})`, async () => {
    const { acknowledged, disk: made } = await killed(layout);
    const disk = made.diskAfterKill();
    const seen: number[] = [];
    const looking: Promise<void>[] = [];
    const other = disk.asProcess(4242);
    let isOurs = false;
    disk.faults = ({ number, pid }) => {
      if (number === 0 || pid === 4242 || isOurs) return undefined;
      const look = async (): Promise<void> => {
        const reader = await Store.open(DIRECTORY, { disk: other, readOnly: true });
        assert.deepEqual(reader.openReport.problems, []);
        seen.push(await reader.count());
        await reader.close();
      };
      const looked = look();
      looking.push(looked);
      // Recovery goes on only when the reader has seen what there is.
      return { until: looked.catch(() => {}) };
    };
    const store = await Store.open(DIRECTORY, { disk });
    isOurs = true;
    await Promise.all(looking);
    const kept = await store.count();
    assert.ok(seen.length > 3, `${seen.length} looks`);
    for (const count of seen) assert.ok(count >= acknowledged && count <= kept, `${count} of ${acknowledged} to ${kept}`);
    await store.close();
  });
}
