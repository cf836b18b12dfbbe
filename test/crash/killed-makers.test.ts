/**
 * A compaction or a copy that is killed at any operation, and what comes after it: another process that relies on what it finds, and then a power
 * cut. Nothing that stays is lost, and nothing that was appended since.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { compactStore } from "../../src/compaction.ts";
import { repairStore } from "../../src/repair.ts";
import { Store } from "../../src/store.ts";
import { SimulatedDisk } from "../../src/testing/sim-disk.ts";
import { DIRECTORY, KIND, repeatable } from "./driver.ts";

const LONG = process.env.BATPAK_TEST_LONG === "1";
const keeps = (n: number): boolean => n % 3 === 0;
const EVENTS = 14;

async function made(): Promise<SimulatedDisk> {
  const disk = new SimulatedDisk();
  const store = await Store.open(DIRECTORY, { disk, segmentBytesMax: 4096, ...repeatable() });
  for (let n = 0; n < EVENTS; n++) {
    await store.append({ entity: `e${n % 2}`, scope: "s" }, { kind: KIND, data: { n, pad: "p".repeat(700) } });
  }
  await store.close();
  return disk;
}

async function compact(disk: SimulatedDisk): Promise<void> {
  await compactStore(DIRECTORY, {
    keep: ({ data }) => keeps((data as { n: number }).n),
    segmentBytesMax: 4096 * 4,
    disk,
    ...repeatableClock(),
  });
}

const repeatableClock = (): Pick<ReturnType<typeof repeatable>, "clock"> => ({ clock: repeatable().clock });

async function numbersOn(disk: SimulatedDisk, at: string): Promise<number[]> {
  try {
    const store = await Store.open(DIRECTORY, { disk });
    const numbers = (await store.read().toArray()).map(({ data }) => (data as { n: number }).n);
    assert.ok((await store.verify()).ok);
    await store.close();
    return numbers;
  } catch (error) {
    throw new Error(`${at}: ${String(error)}`, { cause: error });
  }
}

// Found by looking: recovery removed what a merged segment replaces before that segment's name was durable. A power cut could then take the name and
// keep the removals, and with them events that were to stay.
test("what a merged segment replaces is removed only once its name is durable", async () => {
  const whole = await made();
  const started = whole.operationCount;
  await compact(whole);
  const operations = whole.operationCount - started;
  const staying = await numbersOn(whole, "compacted");
  assert.ok(staying.length < EVENTS - 3);
  let states = 0;
  for (let number = 1; number <= operations; number++) {
    const disk = await made();
    disk.crashDuring(started + number);
    await compact(disk).catch(() => {});
    const killed = disk.diskAfterKill();
    const recovered = killed.diskAfterKill();
    const first = recovered.operationCount;
    const store = await Store.open(DIRECTORY, { disk: recovered, ...repeatable() });
    const recovery = recovered.operationCount - first;
    await store.close();
    for (let crashed = 1; crashed <= recovery; crashed++) {
      const again = killed.diskAfterKill();
      again.crashDuring(again.operationCount + crashed);
      await Store.open(DIRECTORY, { disk: again, ...repeatable() }).catch(() => {});
      for (const left of again.possibleDisks({ limit: LONG ? 64 : 6, seed: number })) {
        const at = `killed during operation ${number} of ${operations}, then crashed during ${crashed} of ${recovery}`;
        states++;
        const there = new Set(await numbersOn(left, at));
        for (const n of staying) assert.ok(there.has(n), `${at}: event ${n} is gone`);
      }
    }
  }
  console.log(`killed compactions: ${states} crash states tried`);
});

// Found by looking, as the one above: a copy whose maker was killed before the name of its oldest segment was durable was taken for a store that had
// been closed, and what was appended to it went with that name.
test("what is appended to a copy whose maker was killed outlasts a power cut", async () => {
  for (const layout of ["native", "batpak-0.3"] as const) {
    const copied = async (during: number): Promise<{ disk: SimulatedDisk; first: number }> => {
      const disk = new SimulatedDisk();
      const store = await Store.open(DIRECTORY, { disk, layout, ...repeatable() });
      for (let n = 0; n < 4; n++) await store.append({ entity: "e", scope: "s" }, { kind: KIND, data: { n } });
      await store.checkpoint();
      const first = disk.operationCount;
      disk.crashDuring(first + during);
      await store.snapshot("/copy").catch(() => {});
      if (!disk.crashed) disk.kill();
      await store.close().catch(() => {});
      return { disk, first };
    };
    const { disk: whole, first } = await copied(1_000_000);
    const operations = whole.operationCount - first;
    let appended = 0;
    for (let during = 1; during <= operations + 1; during++) {
      const { disk } = await copied(during);
      const left = disk.diskAfterKill();
      const copy = await Store.open("/copy", { disk: left, layout, ...repeatable() }).catch(() => null);
      if (copy === null) continue;
      const count = await copy.count();
      await copy.append({ entity: "e", scope: "s" }, { kind: KIND, data: { n: "more" } });
      appended++;
      for (const survivor of left.possibleDisks({ limit: 16, seed: during })) {
        const again = await Store.open("/copy", { disk: survivor });
        assert.equal(await again.count(), count + 1, `killed during operation ${during} of ${operations} (${layout})`);
        await again.close();
      }
      await copy.close();
    }
    assert.ok(appended > 1, `${appended} copies could be written to`);
  }
});

// Found by random damage: such a file was taken for a damaged segment of the log. Nobody could write to the store, and repair gave the file the newest
// generation, which brought back what had been removed and contradicted the merged segment.
test("a replaced segment that a kill has left counts for nothing, whatever its header says", async () => {
  const whole = await made();
  await compact(whole);
  const staying = await numbersOn(whole, "compacted");
  const killed = await made();
  let removing = "";
  killed.faults = ({ kind, path, number }) => {
    if (kind === "remove" && path.endsWith(".fbat") && removing === "") {
      removing = path;
      killed.crashDuring(number);
    }
    return undefined;
  };
  await compact(killed).catch(() => {});
  const left = killed.diskAfterCrash((piece) => piece.kind === "entries" && !piece.names.some((name) => removing.endsWith(name)));
  for (const offset of [0, 3, 20, 40, 100, 125]) {
    const disk = left.diskAfterKill();
    disk.corrupt(removing, offset, (byte) => byte ^ 0x40);
    const reader = await Store.open(DIRECTORY, { disk, readOnly: true });
    assert.deepEqual(reader.openReport.problems, [], `byte ${offset}`);
    await reader.close();
    const { problems } = await repairStore(DIRECTORY, { disk, apply: true });
    assert.deepEqual(problems, [], `byte ${offset}`);
    assert.deepEqual(await numbersOn(disk, `byte ${offset}`), staying);
    assert.ok(!disk.paths().includes(removing), "it is removed");
  }
});
