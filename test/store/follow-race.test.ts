/** A reader asks whether a writer lives before it looks at the log, and again after: one may have come in between. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { defineEvent, rawEvent, Store } from "../../src/index.ts";
import type { Disk } from "../../src/disk/disk.ts";
import { FRAME } from "../../src/format/native/frame-layout.ts";
import { SEGMENT_HEADER } from "../../src/format/native/segment-header.ts";
import { SimulatedDisk } from "../../src/testing/sim-disk.ts";
import { hooked } from "./support/hooked-disk.ts";

/** Of the events appended here, as far as they have small numbers. */
const FRAME_BYTES = FRAME.bytesMin + 3;

const at = { entity: "a", scope: "s" };
const event = (data: number): { kind: number; data: number } => ({ kind: 0x1001, data });

/** The disk, on which `meanwhile` happens before it lists the directory or opens a file of events. */
function interrupted(disk: Disk, meanwhile: () => Promise<void> | undefined): Disk {
  return hooked(disk, (when, operation, path) => {
    if (when === "before" && (operation === "list" || (operation === "open" && path.endsWith(".fbat")))) return meanwhile();
  });
}

for (const layout of ["native", "batpak-0.3"] as const)
  test(`a reader that found no writer shows nothing of a commit that one has in flight since (${layout})`, async () => {
    const disk = new SimulatedDisk();
    const options = { disk, checkpoint: false, durability: "fsync", layout } as const;
    const first = await Store.open("/store", options);
    await first.append(at, event(1));
    await first.close();

    let writer: Store | null = null;
    let letGo = (): void => {};
    let appending: Promise<unknown> = Promise.resolve();
    let armed = false;
    const meanwhile = async (): Promise<void> => {
      if (!armed) return;
      armed = false;
      writer = await Store.open("/store", options);
      await writer.append(at, event(2));
      const until = new Promise<void>((resolve) => {
        letGo = resolve;
      });
      // Too large for a synced write: what is written is there for all to read before it is synced.
      disk.faults = ({ kind, path }) => (path.endsWith(".fbat") && kind === "sync" ? { until } : undefined);
      appending = writer.append(at, { kind: 0x1001, data: "x".repeat(200_000) });
      await new Promise((resolve) => setTimeout(resolve, 20));
    };
    const reader = await Store.open("/store", { disk: interrupted(disk.asProcess(7), meanwhile), readOnly: true });
    armed = true;
    await reader.refresh();
    assert.ok((await reader.count()) <= 2);
    assert.ok(((await reader.head("a"))?.sequence ?? 9) <= 1);
    disk.faults = undefined;
    letGo();
    await appending;
    await reader.refresh();
    assert.equal(await reader.count(), 3);
    await reader.close();
    await (writer as Store | null)?.close();
  });

for (const layout of ["native", "batpak-0.3"] as const)
  test(`a segment that a killed writer only began is read anew once the next writer has made it (${layout})`, async () => {
    const disk = new SimulatedDisk();
    const options = { checkpoint: false, segmentBytesMax: 4096, layout } as const;
    const killed = disk.asProcess(7);
    const first = await Store.open("/store", { ...options, disk: killed });
    await first.append(at, event(0));
    const early = await Store.open("/store", { ...options, disk: disk.asProcess(8), readOnly: true });
    disk.faults = ({ kind, path }) => (path.endsWith("000002.fbat") && kind === "write" ? { error: "EIO" } : undefined);
    let kept = 1;
    await assert.rejects(async () => {
      for (;;) {
        await first.append(at, event(kept));
        kept++;
      }
    });
    disk.faults = undefined;
    await first.close().catch(() => {});
    assert.ok(kept > 1 && (await disk.list("/store")).includes("000002.fbat"));
    const late = await Store.open("/store", { ...options, disk: disk.asProcess(9), readOnly: true });
    const readers = [early, late];
    for (const reader of readers) {
      await reader.refresh();
      assert.equal(await reader.count(), kept);
    }

    const writer = await Store.open("/store", { ...options, disk });
    for (let number = 0; number < 40; number++) await writer.append(at, event(number));
    for (const reader of readers) {
      await reader.refresh();
      assert.equal(await reader.count(), kept + 40);
      await reader.close();
    }
    await writer.close();
  });

for (const appended of [5, 60])
  test(`a reader that cannot come to what is visible sees what one that opens anew does (${appended} more events)`, async () => {
    const disk = new SimulatedDisk();
    const options = { checkpoint: false, segmentBytesMax: 4096 } as const;
    const writer = await Store.open("/store", { ...options, disk });
    for (let number = 0; number < 5; number++) await writer.append(at, event(number));
    const reader = await Store.open("/store", { ...options, disk: disk.asProcess(8), readOnly: true });
    for (let number = 0; number < appended; number++) await writer.append(at, event(number));
    // In a frame that the reader has not taken up: it stood still before it, and said nothing.
    disk.corrupt("/store/000001.fbat", SEGMENT_HEADER.bytes + 7 * FRAME_BYTES + 60, (byte) => byte ^ 1);
    await reader.refresh();
    const anew = await Store.open("/store", { ...options, disk: disk.asProcess(9), readOnly: true });
    assert.equal(await reader.count(), await anew.count());
    assert.ok((await reader.count()) > 7);
    await anew.close();
    await reader.close();
    await writer.close();
  });

test("a reader whose next segment is gone, though the mark speaks of it, is told what one that opens anew is", async () => {
  const disk = new SimulatedDisk();
  const options = { checkpoint: false, segmentBytesMax: 4096 } as const;
  const writer = await Store.open("/store", { ...options, disk });
  for (let number = 0; number < 5; number++) await writer.append(at, event(number));
  const reader = await Store.open("/store", { ...options, disk: disk.asProcess(8), readOnly: true });
  for (let number = 0; number < 60; number++) await writer.append(at, event(number));
  await disk.remove("/store/000002.fbat");
  const countOf = async (look: () => Promise<Store>): Promise<unknown> => {
    try {
      return await (await look()).count();
    } catch (error) {
      return (error as { code: string }).code;
    }
  };
  const refreshed = async (): Promise<Store> => {
    await reader.refresh();
    return reader;
  };
  assert.equal(
    await countOf(refreshed),
    await countOf(() => Store.open("/store", { ...options, disk: disk.asProcess(9), readOnly: true })),
  );
  await reader.close();
  await writer.close();
});

// The events before it were taken up with the first look, and told to be out of their order at the second.
test("a reader whose definition claims a kind that the writer records is told so at each look", async () => {
  const disk = new SimulatedDisk();
  const writer = await Store.open("/store", { disk, checkpoint: false });
  await writer.append(at, rawEvent(0xe000, 1));
  const Ours = defineEvent("Ours", { kind: 0xf001 });
  const reader = await Store.open("/store", { disk: disk.asProcess(77), readOnly: true, events: [Ours] });
  await writer.append(at, rawEvent(0xe000, 2));
  await writer.append(at, defineEvent("Theirs", { kind: 0xf001 })({ n: 1 }));
  for (let look = 0; look < 3; look++) await assert.rejects(reader.refresh(), /the definition Ours claims the kind 0xf001/);
  await reader.close();
  await writer.close();
});

for (const layout of ["native", "batpak-0.3"] as const)
  test(`while a reader takes events up, it tells of none that it does not read (${layout})`, async () => {
    const disk = new SimulatedDisk();
    const writer = await Store.open("/store", { disk, layout, durability: "os", checkpoint: false });
    await writer.append(at, event(0));
    const reader = await Store.open("/store", { disk: disk.asProcess(7), readOnly: true });
    const more = Array.from({ length: 20_000 }, (_, number) => writer.append({ entity: `e${number}`, scope: "s" }, event(number)));
    await Promise.all(more);
    let isDone = false;
    const refreshing = reader.refresh().then(() => {
      isDone = true;
    });
    while (!isDone) {
      // All of this is told of one moment.
      const [newest, count, stats, last] = await Promise.all([
        reader.read({}, { direction: "backward" }).first(),
        reader.count(),
        reader.stats(),
        reader.head("e19999"),
      ]);
      const read = (newest?.sequence ?? -1) + 1;
      assert.deepEqual([count, stats.events, (last?.sequence ?? -1) < read], [read, read, true]);
      await new Promise((resolve) => setImmediate(resolve));
    }
    await refreshing;
    assert.equal(await reader.count(), 20_001);
    await reader.close();
    await writer.close();
  });

// Found by a review: where a chunk of the read went over what had been there before, the last event's frame passed for cut off, and the store for damaged.
test("a read while a reader of a 0.3 store takes events up finds all that are visible", async () => {
  const disk = new SimulatedDisk();
  const writer = await Store.open("/store", { disk, layout: "batpak-0.3", durability: "os", checkpoint: false });
  const append = async (count: number): Promise<unknown> =>
    Promise.all(Array.from({ length: count }, (_, number) => writer.append(at, event(number))));
  await append(400);
  const reader = await Store.open("/store", { disk: disk.asProcess(7), readOnly: true });
  await append(5000);
  let isDone = false;
  const refreshing = reader.refresh().then(() => {
    isDone = true;
  });
  let meanwhile = 0;
  while (!isDone) {
    const visible = await reader.count();
    if (visible > 400 && visible < 5400) meanwhile++;
    assert.ok((await reader.read().toArray()).length >= visible);
    await new Promise((resolve) => setImmediate(resolve));
  }
  await refreshing;
  assert.ok(meanwhile > 0);
  await reader.close();
  await writer.close();
});

test("a seal that is synced, and behind it nothing visible yet, is no damage to a reader that opens while the writer turns", async () => {
  const disk = new SimulatedDisk();
  const options = { checkpoint: false, segmentBytesMax: 4096, durability: { everyMs: 3_600_000 } } as const;
  const writer = await Store.open("/store", { ...options, disk });
  let letGo = (): void => {};
  const until = new Promise<void>((resolve) => {
    letGo = resolve;
  });
  let turning = false;
  disk.faults = ({ kind, path }) => {
    if (kind !== "create" || !path.endsWith("000002.fbat")) return;
    turning = true;
    return { until };
  };
  let kept = 0;
  let appending: Promise<unknown> = Promise.resolve();
  while (!turning) {
    appending = writer.append(at, event(kept));
    await Promise.race([appending.then(() => kept++), new Promise((resolve) => setTimeout(resolve, 20))]);
  }
  // What notes the seal in the mark: a sync in the background, as here, or a compaction.
  await writer.sync();
  const reader = await Store.open("/store", { disk: disk.asProcess(9), readOnly: true });
  assert.deepEqual(reader.openReport.problems, []);
  assert.equal(await reader.count(), kept);
  assert.equal((await reader.verify()).ok, true);
  await reader.snapshot("/copy");
  disk.faults = undefined;
  letGo();
  await appending;
  await reader.refresh();
  assert.equal(await reader.count(), kept);
  await reader.close();
  await writer.close();
});

test("a reader of a damaged segment shows nothing that its living writer has not made visible", async () => {
  const disk = new SimulatedDisk();
  const writer = await Store.open("/store", { disk, checkpoint: false, durability: "fsync" });
  for (let number = 0; number < 5; number++) await writer.append(at, event(number));
  disk.corrupt("/store/000001.fbat", SEGMENT_HEADER.bytes + 2 * FRAME_BYTES + 60, (byte) => byte ^ 1);
  disk.faults = ({ kind, path }) => (path.endsWith("durable.mark") && kind === "write" ? { error: "EIO" } : undefined);
  await assert.rejects(writer.append({ entity: "b", scope: "s" }, event(5)), { code: "COMMIT_UNKNOWN" });
  disk.faults = undefined;
  const reader = await Store.open("/store", { disk: disk.asProcess(7), readOnly: true });
  assert.equal(reader.openReport.problems[0]?.code, "DAMAGED");
  assert.equal(await reader.head("b"), null);
  assert.equal(await reader.count(), 4);
  await reader.close();
  await writer.close().catch(() => {});
});
