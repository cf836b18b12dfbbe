/** Compaction crashed during every operation, on every disk that this may leave: each range is as before or as after, and goes on from there. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { compactStore } from "../../src/compaction.ts";
import { Store } from "../../src/store.ts";
import type { SimulatedDisk } from "../../src/testing/sim-disk.ts";
import { Counted, diskAfter, DIRECTORY, known, openStore, settled } from "../store/support/log-image.ts";

const LONG = process.env.BATPAK_TEST_LONG === "1";
const OPTIONS = { segmentBytesMax: 4096 } as const;
const RULES = { keep: (event: { data: unknown }) => (event.data as { n: number }).n % 2 === 0, segmentBytesMax: 6144 } as const;

interface Shown {
  readonly id: string;
  readonly sequence: number;
  readonly hash: string;
}

async function shownBy(disk: SimulatedDisk): Promise<Shown[]> {
  const store = await openStore(disk, OPTIONS);
  try {
    const { problems } = await store.verify();
    assert.deepEqual(problems, []);
    const events = (await store.read().toArray()).map(({ id, sequence, hash }) => ({ id, sequence, hash }));
    assert.equal(await store.count(), events.length);
    // Keyed ones are answered whether they are there or not.
    for (let n = 0; n < 20; n += 5) {
      const receipt = await store.append({ entity: `e:${n % 3}`, scope: "s" }, counted(n), { idempotencyKey: `k${n}` });
      assert.equal(receipt.sequence, n);
    }
    assert.equal(await store.count(), events.length, "a retry adds nothing");
    return events;
  } finally {
    await store.close();
  }
}

const counted = (n: number): ReturnType<typeof Counted> => Counted({ n, pad: "x".repeat(500 + (n % 7) * 60) });

test("a compaction cut off anywhere leaves each range as it was or as it shall be", async () => {
  const base = await diskAfter({ ...OPTIONS, checkpoint: { everyEvents: 6 } }, async (store) => {
    for (let n = 0; n < 40; n++) {
      const key = n % 5 === 0 ? { idempotencyKey: `k${n}` } : {};
      await store.append({ entity: `e:${n % 3}`, scope: "s" }, counted(n), key);
    }
    await store.checkpoint();
    await store.close();
  });
  const before = await shownBy(settled(base.diskAfterKill()));
  const whole = settled(base.diskAfterKill());
  const started = whole.operationCount;
  const report = await compactStore(DIRECTORY, { ...RULES, ...known, disk: whole });
  assert.ok(report.ranges.length > 1, JSON.stringify(report.ranges));
  assert.ok(
    report.ranges.some(({ from, to }) => to > from),
    "a range of more than one segment",
  );
  const operations = whole.operationCount - started;
  const after = await shownBy(settled(whole.diskAfterKill()));
  assert.equal(after.length, before.length - report.removedEvents);
  const kept = new Set(after.map(({ id }) => id));
  const seen = new Set<string>();
  let states = 0;
  for (let number = 1; number <= operations; number++) {
    const disk = settled(base.diskAfterKill());
    disk.crashDuring(disk.operationCount + number);
    await compactStore(DIRECTORY, { ...RULES, ...known, disk }).then(
      () => assert.ok(number >= operations - 1, `no crash at ${number}`),
      (error: unknown) => assert.ok(disk.crashed, String(error)),
    );
    for (const left of [disk.diskAfterKill(), ...disk.possibleDisks({ limit: LONG ? 16 : 1, seed: number })]) {
      const fingerprint = left.fingerprint();
      if (seen.has(fingerprint)) continue;
      seen.add(fingerprint);
      states++;
      try {
        const reader = await Store.open(DIRECTORY, { readOnly: true, disk: left, ...known });
        assert.deepEqual(reader.openReport.problems, []);
        const count = await reader.count();
        await reader.close();
        const events = await shownBy(left);
        assert.equal(events.length, count, "a reader saw as many as the writer");
        const there = new Set(events.map(({ id }) => id));
        assert.ok(
          before.filter(({ id }) => kept.has(id)).every(({ id }) => there.has(id)),
          "an event that stays is gone",
        );
        let gone = 0;
        for (const range of report.ranges) gone += range.removedEvents;
        assert.ok(events.length >= before.length - gone);
        assert.ok(rangesWhole(before, kept, there), "a range is compacted in part");
        if (!LONG && states % 4 !== 0) continue;
        await compactStore(DIRECTORY, { ...RULES, ...known, disk: left });
        assert.deepEqual(await shownBy(left), after, "compacting again ends where it should");
      } catch (error) {
        throw new Error(`crashed during operation ${number} of ${operations}: ${String(error)}`, { cause: error });
      }
    }
  }
  console.log(`compaction: ${states} crash states tried, of ${operations} operations`);
  assert.ok(states > 20, `${states} states`);
});

/** Removed events go with their segment: in the order of sequences, what is still there of them changes only between ranges. */
function rangesWhole(before: readonly Shown[], kept: ReadonlySet<string>, there: ReadonlySet<string>): boolean {
  const removable = before.filter(({ id }) => !kept.has(id)).map(({ id }) => there.has(id));
  // Ranges are compacted oldest first.
  const firstThere = removable.indexOf(true);
  return firstThere < 0 || removable.slice(firstThere).every((is) => is);
}
