/**
 * A store that is closed with many rows in its newest segment seals it, so that opening it reads an index block's root instead of a checkpoint
 * that carries them: how that looks from outside, and that nothing is lost whatever happens meanwhile.
 */
import assert from "node:assert/strict";
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { test } from "node:test";
import { SimulatedDisk } from "../../src/testing/sim-disk.ts";
import { CHECKPOINT_PATH, changed, Counted, type CountedStore, NO_MARK, openStore, segmentPath, settled } from "./support/log-image.ts";
import { spoilPages } from "./support/bad-pages.ts";

/** As many rows make a segment long. */
const LONG = 65_536;
const BATCH = 4096;

async function appendMany(store: CountedStore, count: number): Promise<void> {
  for (let from = 0; from < count; from += BATCH) {
    const events = Array.from({ length: Math.min(BATCH, count - from) }, (_, i) => from + i);
    await store.appendBatch(events.map((n) => ({ coordinate: { entity: `e:${n % 100}`, scope: "test" }, event: Counted({ n }) })));
  }
}

/** A store of so many events that was killed with a checkpoint: opening it is quick. */
async function imageOf(count: number): Promise<SimulatedDisk> {
  const disk = new SimulatedDisk();
  const store = await openStore(disk);
  await appendMany(store, count);
  await store.checkpoint();
  return settled(disk.diskAfterKill());
}

const copyOf = (disk: SimulatedDisk): SimulatedDisk => settled(disk.diskAfterKill());
const at = { entity: "e:1", scope: "test" };
const image = await imageOf(LONG);

test("a long segment is sealed by closing, the next one begun by the next append, and the chain goes on", async () => {
  const disk = copyOf(image);
  const store = await openStore(disk);
  assert.equal(store.segments()[0].sealed, false);
  await store.append(at, Counted({ n: -1 }));
  const { clock } = (await store.head(at.entity)) as { clock: number };
  const reader = await openStore(disk.asProcess(77), { readOnly: true });
  await store.close();

  assert(disk.bytesOf(CHECKPOINT_PATH).length < 64 * 1024, "no rows are in the checkpoint");
  const again = await openStore(disk);
  const { route, eventsReplayed, reasons, problems } = again.openReport;
  assert.deepEqual([route, eventsReplayed, reasons, problems], ["checkpoint", 0, [], []]);
  assert.deepEqual(
    again.segments().map(({ sealed, indexOnDisk }) => [sealed, indexOnDisk]),
    [[true, true]],
  );
  assert.equal(await again.count(), LONG + 1);
  const receipt = await again.append(at, Counted({ n: -2 }));
  assert.deepEqual([receipt.clock, receipt.sequence], [clock + 1, LONG + 1]);
  assert.equal(again.segments().length, 2);
  // A reader that was opened before follows across the seal.
  await reader.refresh();
  assert.equal(await reader.count(), LONG + 2);
  assert.deepEqual((await reader.verify()).problems, []);
  await reader.close();
  assert.deepEqual((await again.verify()).problems, []);
  await again.close();

  // By frames and blocks it is the same store.
  for (const lost of [{ [CHECKPOINT_PATH]: null }, {}]) {
    const whole = await openStore(changed(disk, lost), { readOnly: true });
    assert.equal(await whole.count(), LONG + 2);
    assert.equal((await whole.head(at.entity))?.clock, clock + 1);
    await whole.close();
  }
});

test("its block is read where the checkpoint is lost, and stays where nothing says what was synced", async () => {
  const disk = copyOf(image);
  const store = await openStore(disk);
  await store.append(at, Counted({ n: -1 }));
  await store.close();
  const bytes = disk.bytesOf(segmentPath(1));
  for (const [lost, route] of [
    [{ [CHECKPOINT_PATH]: null }, "index-blocks"],
    [{ [CHECKPOINT_PATH]: null, ...NO_MARK }, "index-blocks"],
    [NO_MARK, "checkpoint"],
  ] as const) {
    const left = changed(disk, lost);
    const again = await openStore(left);
    assert.deepEqual([again.openReport.route, again.openReport.eventsReplayed], [route, 0]);
    assert.deepEqual(again.openReport.problems, []);
    assert.deepEqual((await again.verify()).problems, []);
    assert.equal((await again.append(at, Counted({ n: -2 }))).sequence, LONG + 1);
    await again.close();
    assert.equal(Buffer.compare(left.bytesOf(segmentPath(1)), bytes), 0);
    assert.equal((await openStore(left, { readOnly: true })).openReport.route, "checkpoint");
  }
});

test("a block that is broken is made anew from the frames", async () => {
  const disk = copyOf(image);
  const store = await openStore(disk);
  await store.append(at, Counted({ n: -1 }));
  await store.close();
  const bytes = disk.bytesOf(segmentPath(1)).slice();
  for (const broken of [bytes.slice(0, -1), bytes.slice(0, -3000), bytes.map((byte, i) => (i === bytes.length - 9 ? byte ^ 1 : byte))]) {
    const left = changed(disk, { [CHECKPOINT_PATH]: null, [segmentPath(1)]: broken });
    const again = await openStore(left);
    assert.deepEqual([again.openReport.route, again.openReport.eventsReplayed], ["scan", LONG + 1]);
    await again.close();
    assert.equal(Buffer.compare(left.bytesOf(segmentPath(1)), bytes), 0);
  }
});

test("the first append to the segment after it leaves its block alone", async () => {
  const disk = copyOf(image);
  const store = await openStore(disk);
  await store.append(at, Counted({ n: -1 }));
  await store.close();
  const bytes = disk.bytesOf(segmentPath(1)).slice();
  const failures: unknown[] = [];
  const note = (message: unknown): void => void failures.push(message);
  subscribe("batpak:background-failed", note);
  for (const isLooked of [false, true]) {
    const left = copyOf(disk);
    const again = await openStore(left);
    if (isLooked) assert.equal(await again.count({ entity: at.entity }), 657);
    await again.append(at, Counted({ n: -2 }));
    await again.close();
    assert.equal(Buffer.compare(left.bytesOf(segmentPath(1)), bytes), 0);
  }
  unsubscribe("batpak:background-failed", note);
  assert.deepEqual(failures, []);
});

// The block was written from what a look had found of the frames, and nothing told of the loss any more.
test("an event that damage took is missed by whoever opens the store after a look and an append, too", async () => {
  const disk = copyOf(image);
  const store = await openStore(disk);
  await store.append(at, Counted({ n: -1 }));
  await store.close();
  disk.corrupt(segmentPath(1), 100_000, (byte) => byte ^ 1);
  spoilPages(disk, segmentPath(1));
  for (let opened = 0; opened < 3; opened++) {
    const again = await openStore(disk);
    await assert.rejects(again.read().toArray(), { code: "CORRUPT" });
    await again.append(at, Counted({ n: -2 }));
    await again.close();
  }
});

test("whoever only looked, and whoever wants no checkpoints, leaves the segment open", async () => {
  for (const options of [{}, { checkpoint: false as const }]) {
    const disk = copyOf(image);
    const store = await openStore(disk, options);
    if (options.checkpoint === false) await store.append(at, Counted({ n: -1 }));
    await store.close();
    const again = await openStore(disk, { readOnly: true });
    assert.equal(again.segments()[0].sealed, false);
    await again.close();
  }
});

test("a short segment is left open", async () => {
  const disk = await imageOf(LONG - 2);
  const store = await openStore(disk);
  await store.append(at, Counted({ n: -1 }));
  await store.close();
  const again = await openStore(disk, { readOnly: true });
  assert.equal(again.segments()[0].sealed, false);
  await again.close();
});

async function holds(disk: SimulatedDisk, events: number): Promise<void> {
  const store = await openStore(disk);
  assert.deepEqual(store.openReport.problems, []);
  assert.equal(await store.count(), events);
  const { sequence } = await store.append(at, Counted({ n: -3 }));
  assert.equal(sequence, events);
  await store.close();
}

test("a power cut during any operation of closing loses nothing, and the next writer goes on", async () => {
  const { from, to } = await operationsOfClosing();
  assert(to - from >= 8, `${to - from} operations`);
  for (let number = from + 1; number <= to; number++) {
    const disk = copyOf(image);
    const store = await openStore(disk);
    await store.append(at, Counted({ n: -1 }));
    disk.crashDuring(number);
    await store.close().catch(() => {});
    for (const left of disk.possibleDisks({ limit: 4, seed: number })) await holds(left, LONG + 1);
  }
});

test("a disk that fails at any operation of closing loses nothing either", async () => {
  const { from, to } = await operationsOfClosing();
  for (let number = from + 1; number <= to; number++) {
    const disk = copyOf(image);
    const store = await openStore(disk);
    await store.append(at, Counted({ n: -1 }));
    disk.faults = (operation) => (operation.number === number ? { error: "EIO", afterBytes: 60 } : undefined);
    await store.close().catch((error: unknown) => assert.match(String((error as { code?: unknown }).code), /^(?:IO|POISONED)$/));
    disk.faults = undefined;
    assert.equal(disk.openFileCount, 0);
    await holds(settled(disk.diskAfterKill()), LONG + 1);
  }
});

async function operationsOfClosing(): Promise<{ readonly from: number; readonly to: number }> {
  const disk = copyOf(image);
  const store = await openStore(disk);
  await store.append(at, Counted({ n: -1 }));
  const from = disk.operationCount;
  await store.close();
  return { from, to: disk.operationCount };
}
