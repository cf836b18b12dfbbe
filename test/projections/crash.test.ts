/**
 * The power fails, or the process is killed, at any operation of a run that folds, keeps snapshots and handles commands: whatever is found
 * afterwards, going on from snapshots gives what a full fold gives, and a command that is given again is done once.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { defineDecider } from "../../src/index.ts";
import { SimulatedDisk } from "../../src/testing/sim-disk.ts";
import { accountProjection, at, Deposited, events, openAccounts, snapshotPaths } from "./support.ts";

const Kept = accountProjection({ snapshot: { everyEvents: 3 } });
const Full = accountProjection({ snapshot: false });
const Counter = defineDecider({
  name: "counter",
  events: [Deposited],
  initial: 0,
  decide: (_command: "count", count) => [Deposited({ cents: count }), Deposited({ cents: count + 1 })],
  evolve: { Deposited: (count) => count + 1 },
  snapshot: { everyEvents: 3 },
});
const COMMANDS = 3;

/** Each command by its own id, in order; the state is looked at in between. */
async function work(disk: SimulatedDisk, durability: "fsync" | "os"): Promise<void> {
  const store = await openAccounts(disk, { durability });
  for (let i = 0; i < COMMANDS; i++) {
    await store.handle(at("a"), Counter, "count", { commandId: `c${i}` });
    await store.project(Kept);
  }
  await store.close();
}

async function check(disk: SimulatedDisk, what: string): Promise<boolean> {
  const store = await openAccounts(disk);
  const usedSnapshot = (await store.project(Kept, undefined, {})).eventsRead < (await store.count());
  const compare = async (): Promise<void> => {
    assert.deepEqual((await store.project(Kept)).state, (await store.project(Full)).state, what);
  };
  await compare();
  for (let i = 0; i < COMMANDS; i++) {
    const receipts = await store.handle(at("a"), Counter, "count", { commandId: `c${i}` });
    assert.deepEqual(
      receipts.map(({ clock }) => clock),
      [2 * i, 2 * i + 1],
      what,
    );
    await compare();
  }
  assert.equal((await store.project(Counter, "a")).state, 2 * COMMANDS, what);
  assert.deepEqual(
    (await store.read({ kind: events[0] }).toArray()).map(({ data }) => data.cents),
    Array.from({ length: 2 * COMMANDS }, (_, i) => i),
    what,
  );
  await store.close();
  return usedSnapshot;
}

for (const durability of ["fsync", "os"] as const) {
  test(`snapshots and commands survive a power cut at any operation, durability ${durability}`, async () => {
    const dry = new SimulatedDisk();
    await work(dry, durability);
    const operations = dry.operationCount;
    assert.ok(snapshotPaths(dry).length === 2);
    let disks = 0;
    let used = 0;
    for (let number = 1; number <= operations; number++) {
      const disk = new SimulatedDisk();
      disk.crashDuring(number);
      await work(disk, durability).catch(() => {});
      for (const left of disk.possibleDisks({ limit: 3, seed: number })) {
        disks++;
        if (await check(left, `operation ${number} of ${operations}, disk ${disks}`)) used++;
      }
    }
    console.log(`projections: ${disks} crash states tried`);
    assert.ok(disks > operations && used > 0, `${disks} disks, of which ${used} had a snapshot that was used`);
  });

  test(`snapshots and commands survive SIGKILL at any operation, durability ${durability}`, async () => {
    const dry = new SimulatedDisk();
    await work(dry, durability);
    for (let number = 1; number <= dry.operationCount; number++) {
      const disk = new SimulatedDisk();
      disk.faults = (operation) => {
        if (operation.number === number) disk.kill();
        return undefined;
      };
      await work(disk, durability).catch(() => {});
      disk.faults = undefined;
      await check(disk.diskAfterKill(), `killed at operation ${number}`);
    }
  });
}
