/**
 * Who reads, beside who changes: the one is stopped between two calls of its own, the other goes on, and nothing that is right may look wrong,
 * nothing stay open, nothing be missing.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { repairStore } from "../../src/repair.ts";
import { Store } from "../../src/store.ts";
import { SimulatedDisk } from "../../src/testing/sim-disk.ts";
import { hooked, stop } from "./support/hooked-disk.ts";

const DIRECTORY = "/store";
const at = { entity: "a", scope: "s" };
const event = (data: unknown): { kind: number; data: unknown } => ({ kind: 0x1001, data });
const turn = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 5));
const SMALL = { segmentBytesMax: 4096 } as const;

async function fill(store: Store, events: number): Promise<void> {
  for (let n = 0; n < events; n++) await store.append({ entity: `e${n % 2}`, scope: "s" }, event("x".repeat(300)));
}

for (const layout of ["native", "batpak-0.3"] as const) {
  test(`a reader that opens while a writer recovers a store without a mark sees what is there (${layout})`, async () => {
    const disk = new SimulatedDisk();
    const first = await Store.open(DIRECTORY, { disk, layout });
    for (let n = 0; n < 5; n++) await first.append(at, event(n));
    await first.close();
    for (const name of await disk.list(DIRECTORY)) if (name.endsWith(".mark")) await disk.remove(`${DIRECTORY}/${name}`);
    const recovering = stop();
    const slow = hooked(disk, (when, operation, path) => {
      if (when === "before" && operation === "status" && path.endsWith("index.ckpt")) return recovering.here();
    });
    const opening = Store.open(DIRECTORY, { disk: slow, layout });
    await recovering.reached;
    const reader = await Store.open(DIRECTORY, { disk: disk.asProcess(7), readOnly: true });
    assert.equal(await reader.count(), 5);
    await reader.close();
    recovering.open();
    await (await opening).close();
  });
}

test("refresh, and what refreshes, sees everything that was visible when it was called, also beside a look that began before", async () => {
  const disk = new SimulatedDisk();
  const writer = await Store.open(DIRECTORY, { disk });
  await writer.append(at, event(0));
  await writer.checkpoint();
  const looking = stop();
  let armed = false;
  const slow = hooked(disk.asProcess(7), (when, operation, path) => {
    if (!armed || when !== "before" || operation !== "open" || !path.endsWith("000001.fbat")) return;
    armed = false;
    return looking.here();
  });
  const reader = await Store.open(DIRECTORY, { disk: slow, readOnly: true });
  await writer.append(at, event(1));
  armed = true;
  const first = reader.refresh();
  await looking.reached;
  const { sequence } = await writer.append(at, event(2));
  await writer.checkpoint();
  const other = await Store.open(DIRECTORY, { disk: disk.asProcess(8), readOnly: true });
  const consumer = await other.consumer("c");
  await consumer.commit(sequence);
  await consumer.close();
  const second = reader.refresh();
  const listed = reader.consumers();
  const copied = reader.snapshot("/copy");
  await turn();
  looking.open();
  await first;
  assert.equal(await second, sequence + 1);
  assert.deepEqual(
    (await listed).map(({ position, problem }) => [position, problem]),
    [[sequence, null]],
  );
  assert.equal((await copied).events, 3);
  const copy = await Store.open("/copy", { disk: disk.asProcess(9) });
  assert.equal(await copy.count(), 3);
  await Promise.all([copy.close(), other.close(), reader.close()]);
  await writer.close();
});

test("an index block that a writer has under way is no damage to a reader's verify", async () => {
  const disk = new SimulatedDisk();
  const block = stop();
  let isBlock = false;
  const slow = hooked(disk, (when, operation, path, mode) => {
    if (when === "before" && operation === "open" && mode === "write" && path.endsWith("000001.fbat")) isBlock = true;
  });
  // Between the pages and the trailer stands a sync.
  disk.faults = ({ kind, path }) => {
    if (!isBlock || kind !== "sync" || !path.endsWith("000001.fbat")) return undefined;
    isBlock = false;
    return { until: block.here() };
  };
  const writer = await Store.open(DIRECTORY, { disk: slow, checkpoint: false, ...SMALL });
  await fill(writer, 40);
  await block.reached;
  const reader = await Store.open(DIRECTORY, { disk: disk.asProcess(7), readOnly: true });
  assert.deepEqual((await reader.verify()).problems, []);
  block.open();
  await turn();
  assert.deepEqual((await reader.verify()).problems, []);
  await reader.close();
  await writer.close();
});

test("a compaction that has given the merged segment its name, and not told of it yet, is no damage to a reader's verify", async () => {
  const disk = new SimulatedDisk();
  const renamed = stop();
  const slow = hooked(disk, (when, operation, _from, to) => {
    if (when === "after" && operation === "rename" && to?.endsWith("000001.fbat") === true) return renamed.here();
  });
  const writer = await Store.open(DIRECTORY, { disk: slow, ...SMALL });
  await fill(writer, 40);
  await turn();
  await writer.checkpoint();
  const reader = await Store.open(DIRECTORY, { disk: disk.asProcess(7), readOnly: true });
  // Headers and blocks are read once, and held.
  assert.deepEqual((await reader.verify()).problems, []);
  const compacting = writer.compact({ keepLast: 1 });
  await renamed.reached;
  assert.deepEqual((await reader.verify()).problems, []);
  renamed.open();
  await compacting;
  assert.deepEqual((await reader.verify()).problems, []);
  await reader.close();
  await writer.close();
});

test("a reader whose view is older than a position in the log does not begin that consumer anew", async () => {
  const disk = new SimulatedDisk();
  const writer = await Store.open(DIRECTORY, { disk });
  for (let n = 0; n < 6; n++) await writer.append(at, event(n));
  const reader = await Store.open(DIRECTORY, { disk: disk.asProcess(7), readOnly: true });
  const consumer = await writer.consumer("x", undefined, { positionIn: "log" });
  await consumer.commit(3);
  await consumer.close();
  await assert.rejects(reader.consumer("x"), { code: "READ_ONLY" });
  assert.equal((await writer.consumer("x")).position, 3);
  await reader.close();
  await writer.close();
});

for (const [what, isCheckpoint] of [
  ["index.ckpt", true],
  ["000002.fbat", false],
] as const) {
  test(`a copy that a reader takes while ${what} is removed by a compaction is taken, or says what to do`, async () => {
    const disk = new SimulatedDisk();
    const writer = await Store.open(DIRECTORY, { disk, ...SMALL });
    await fill(writer, 40);
    await turn();
    await writer.checkpoint();
    let armed = false;
    let compacting: Promise<unknown> = Promise.resolve();
    const slow = hooked(disk.asProcess(7), async (when, operation, path) => {
      if (!armed || when !== "before" || operation !== "link" || !path.endsWith(what)) return;
      armed = false;
      let isDone = false;
      compacting = writer.compact({ keepLast: 1 }).finally(() => {
        isDone = true;
      });
      if (!isCheckpoint) await compacting;
      else while (!isDone && (await disk.status(path)) !== null) await new Promise((resolve) => setImmediate(resolve));
    });
    const reader = await Store.open(DIRECTORY, { disk: slow, readOnly: true });
    armed = true;
    await reader.snapshot("/copy").catch((error: unknown) => assert.equal((error as { code?: unknown }).code, "COMPACTED"));
    assert(!armed, "the file was taken while it was removed");
    await compacting;
    await reader.close();
    await writer.close();
  });
}

for (const readOnly of [true, false]) {
  test(`a store that is closed beside verify and a consumer that opens leaves no file open (readOnly: ${readOnly})`, async () => {
    const disk = new SimulatedDisk();
    const first = await Store.open(DIRECTORY, { disk, ...SMALL });
    await fill(first, 60);
    await first.close();
    for (const what of ["verify", "consumer"] as const) {
      const stopped = stop();
      let armed = false;
      const slow = hooked(disk.asProcess(7), (when, operation, path, to) => {
        if (!armed || when !== "before") return;
        const isThere =
          what === "verify"
            ? operation === "open" && path.endsWith("000002.fbat")
            : operation === "rename" && to?.endsWith("position") === true;
        if (isThere) return stopped.here();
      });
      const store = await Store.open(DIRECTORY, { disk: slow, readOnly });
      armed = true;
      const done = what === "verify" ? store.verify() : store.consumer("c");
      const refused = assert.rejects(done, { code: "CLOSED" });
      await stopped.reached;
      await store.close();
      stopped.open();
      await refused;
      assert.equal(disk.openFileCount, 0, what);
    }
    const again = await Store.open(DIRECTORY, { disk: disk.asProcess(8), readOnly: true });
    assert.deepEqual(
      (await again.consumers()).map(({ held }) => held),
      [false],
    );
    await again.close();
  });
}

test("verify of a damaged batpak 0.3 store beside refreshes that read it anew leaves no file open", async () => {
  const disk = new SimulatedDisk();
  const writer = await Store.open(DIRECTORY, { disk, layout: "batpak-0.3", ...SMALL });
  await fill(writer, 60);
  await writer.close();
  const bytes = disk.bytesOf(`${DIRECTORY}/000002.fbat`).slice();
  bytes[1500] ^= 1;
  disk.put(`${DIRECTORY}/000002.fbat`, bytes);
  await disk.remove(`${DIRECTORY}/index.ckpt`);
  const reader = await Store.open(DIRECTORY, { disk: disk.asProcess(7), readOnly: true });
  assert(reader.openReport.problems.length > 0);
  const refreshes: Promise<unknown>[] = [];
  // It may be told to begin again: what it reads is taken from under it at each refresh.
  await reader.verify({ onProgress: () => void refreshes.push(reader.refresh()) }).catch((error: unknown) => {
    assert.equal((error as { code?: unknown }).code, "COMPACTED");
  });
  await Promise.all(refreshes);
  await reader.close();
  assert.equal(disk.openFileCount, 0);
});

// Found by a review: it took the segment behind the gap for one that begins where the one before ended.
test("a reader that follows across a gap of sequences tells the segment behind it as one does that opens", async () => {
  const disk = new SimulatedDisk();
  const writer = await Store.open(DIRECTORY, { disk, ...SMALL });
  await fill(writer, 3);
  const reader = await Store.open(DIRECTORY, { disk: disk.asProcess(7), readOnly: true });
  await fill(writer, 12);
  await writer.close();
  // What the reader has not seen is lost, and a repair gives none of its sequences again.
  assert(disk.paths().includes(`${DIRECTORY}/000002.fbat`) && !disk.paths().includes(`${DIRECTORY}/000003.fbat`));
  disk.put(`${DIRECTORY}/000002.fbat`, null);
  await repairStore(DIRECTORY, { disk, apply: true });
  const next = await Store.open(DIRECTORY, { disk });
  for (const events of [0, 1]) {
    await fill(next, events);
    await reader.refresh();
    const opened = await Store.open(DIRECTORY, { disk: disk.asProcess(8), readOnly: true });
    assert.deepEqual(reader.segments(), opened.segments());
    assert.deepEqual(
      (await reader.read().toArray()).map(({ sequence }) => sequence),
      (await opened.read().toArray()).map(({ sequence }) => sequence),
    );
    await opened.close();
  }
  await Promise.all([reader.close(), next.close()]);
});

test("refresh of a batpak 0.3 store that is closed beside it says that it was", async () => {
  const disk = new SimulatedDisk();
  const writer = await Store.open(DIRECTORY, { disk, layout: "batpak-0.3" });
  await writer.append(at, event(0));
  const reader = await Store.open(DIRECTORY, { disk: disk.asProcess(7), readOnly: true });
  // More than one step takes up.
  const items = Array.from({ length: 4000 }, (_, n) => ({ coordinate: at, event: event(n) }));
  for (let batch = 0; batch < 5; batch++) await writer.appendBatch(items);
  const refused = assert.rejects(reader.refresh(), { code: "CLOSED" });
  while ((await reader.count()) === 1) await new Promise((resolve) => setImmediate(resolve));
  await reader.close();
  await refused;
  await writer.close();
});
