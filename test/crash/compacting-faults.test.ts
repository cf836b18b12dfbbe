/**
 * A compaction of an open store on a disk that fails once, at each operation in turn: it says so or goes on, the store beside it takes appends or is
 * poisoned, nothing that was promised is lost, and the store that is opened afterwards is sound and can be compacted.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { isStoreError } from "../../src/base/store-error.ts";
import type { DiskOperation } from "../../src/testing/simulated-machine.ts";
import { Counted, diskAfter, numbersIn, openStore, settled } from "../store/support/log-image.ts";

const LONG = process.env.BATPAK_TEST_LONG === "1";
const STRIDE = LONG ? 1 : 2;
const FILLED = 40;
const RULES = { keep: ({ data }: { data: unknown }) => (data as { n: number }).n % 4 === 0, segmentBytesMax: 8192 } as const;
const OPTIONS = { segmentBytesMax: 4096, checkpoint: { everyEvents: 1000 } } as const;

const counted = (n: number): ReturnType<typeof Counted> => Counted({ n, pad: "x".repeat(400) });

test("a disk that fails once beside a compaction of an open store", { timeout: 300_000 }, async (context) => {
  const base = await diskAfter(OPTIONS, async (store) => {
    for (let n = 0; n < FILLED; n++) {
      await store.append({ entity: `e:${n % 3}`, scope: "s" }, counted(n), n % 5 === 0 ? { idempotencyKey: `k${n}` } : {});
    }
    await store.checkpoint();
    await store.close();
  });
  const outcomes = new Map<string, number>();
  let tried = 0;
  for (let number = 0; ; number += STRIDE) {
    const disk = settled(base.diskAfterKill());
    const store = await openStore(disk, OPTIONS);
    const first = disk.operationCount + 1;
    let failed: DiskOperation | null = null;
    disk.faults = (operation) => {
      if (operation.number !== first + number) return undefined;
      failed = operation;
      return { error: "EIO" };
    };
    const promised: number[] = [];
    const appending = (async () => {
      for (let n = FILLED; n < FILLED + 8; n++) {
        await store.append({ entity: `e:${n % 3}`, scope: "s" }, counted(n));
        promised.push(n);
      }
    })();
    const results = await Promise.allSettled([store.compact(RULES), appending]);
    const [compacted, appended] = results.map((one) => (one.status === "fulfilled" ? "done" : (one.reason as { code: string }).code));
    const operation = failed as DiskOperation | null;
    disk.faults = undefined;
    if (operation === null) {
      assert.deepEqual([compacted, appended], ["done", "done"]);
      await store.close();
      break;
    }
    tried++;
    const what = `${operation.kind} ${operation.path.replace(/\d{6}/, "N").replace(/\.\d+-\d+\.tmp$/, ".tmp")}: ${compacted}, ${appended}`;
    outcomes.set(what, (outcomes.get(what) ?? 0) + 1);
    for (const one of results) if (one.status === "rejected") assert.ok(isStoreError(one.reason), `${what}: ${String(one.reason)}`);
    const seen = await numbersIn(store);
    for (const n of [...Array.from({ length: FILLED }, (_, i) => i), ...promised]) {
      if (n % 4 === 0) assert.ok(seen.includes(n), `${what}: event ${n} is not read any more`);
    }
    if (
      compacted !== "POISONED" &&
      appended === "done" &&
      (await store.sync().then(
        () => true,
        () => false,
      ))
    ) {
      assert.deepEqual((await store.verify()).problems, [], what);
    }
    await store.close().catch(() => {});
    const next = await openStore(disk.diskAfterKill(), OPTIONS);
    assert.deepEqual((await next.verify()).problems, [], what);
    const there = new Set(await numbersIn(next));
    for (const n of [...Array.from({ length: FILLED }, (_, i) => i), ...promised]) {
      if (n % 4 === 0) assert.ok(there.has(n), `${what}: event ${n} is lost`);
    }
    for (let n = 0; n < FILLED; n += 5) {
      const receipt = await next.append({ entity: `e:${n % 3}`, scope: "s" }, counted(n), { idempotencyKey: `k${n}` });
      assert.equal(receipt.sequence, n, `${what}: the key of event ${n}`);
    }
    await next.compact(RULES);
    assert.deepEqual((await next.verify()).problems, [], what);
    await next.close();
  }
  for (const [what, count] of outcomes) context.diagnostic(`${count} x ${what}`);
  assert.ok(tried > 30 / STRIDE, `${tried} faults tried`);
});

test("replaced segments that cannot be removed are removed by a later writer, also one that opens by a checkpoint", async () => {
  const base = await diskAfter(OPTIONS, async (store) => {
    for (let n = 0; n < FILLED; n++) await store.append({ entity: "e", scope: "s" }, counted(n));
    await store.close();
  });
  const disk = settled(base.diskAfterKill());
  const stuck: NonNullable<typeof disk.faults> = ({ kind, path }) =>
    kind === "remove" && path.endsWith(".fbat") ? { error: "EPERM" } : undefined;
  const names = (): number => disk.paths().filter((path) => path.endsWith(".fbat")).length;
  disk.faults = stuck;
  const store = await openStore(disk, OPTIONS);
  await store.compact({ keepLast: 1 });
  const { segments } = await store.stats();
  await store.close();
  assert.ok(names() > segments, "nothing was left behind");
  const again = await openStore(disk, OPTIONS);
  assert.equal(again.openReport.route, "checkpoint");
  await again.close();
  assert.ok(names() > segments, "a file that cannot be removed does not keep the store from opening");
  disk.faults = undefined;
  const last = await openStore(disk, OPTIONS);
  assert.equal(last.openReport.route, "checkpoint");
  assert.equal(names(), segments);
  assert.deepEqual((await last.verify()).problems, []);
  await last.close();
});
