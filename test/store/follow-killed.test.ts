/** What a reader makes of that which a killed writer left half done, and of the next writer, which is mending it: found by `test/crash/followers.test.ts`. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Store } from "../../src/index.ts";
import type { DiskOperation, Fault } from "../../src/testing/simulated-machine.ts";
import { SimulatedDisk } from "../../src/testing/sim-disk.ts";
import { hooked, stop } from "./support/hooked-disk.ts";

const at = { entity: "a", scope: "s" };
const event = (n: number): { kind: number; data: unknown } => ({ kind: 0x1001, data: { n, pad: "x".repeat(700) } });
const numbersOf = async (store: Store): Promise<number[]> => (await store.read().toArray()).map(({ data }) => (data as { n: number }).n);

/** Ends the process as it begins an operation, of which nothing happens. */
function killAt(disk: SimulatedDisk, doomed: SimulatedDisk, isIt: (operation: DiskOperation) => boolean): void {
  disk.faults = (operation): Fault | undefined => {
    if (operation.pid !== doomed.self.pid || !isIt(operation)) return undefined;
    doomed.kill();
    disk.faults = undefined;
    return { error: "EIO" };
  };
}

/** A batpak 0.3 store whose writer was killed as it wrote the header of its second segment, and how many events it has. */
async function begunSecond(): Promise<{ readonly disk: SimulatedDisk; readonly kept: number }> {
  const disk = new SimulatedDisk();
  const doomed = disk.asProcess(7);
  const killed = await Store.open("/store", { disk: doomed, layout: "batpak-0.3", checkpoint: false, segmentBytesMax: 4096 });
  killAt(disk, doomed, ({ kind, path }) => kind === "write" && path.endsWith("000002.fbat"));
  let kept = 0;
  await assert.rejects(async () => {
    for (;;) {
      await killed.append(at, event(kept));
      kept++;
    }
  });
  await killed.close().catch(() => {});
  assert.deepEqual(disk.bytesOf("/store/000002.fbat").length, 0);
  return { disk, kept };
}

test("a reader that met a first segment of which only the name was there learns the layout from the next writer's", async () => {
  const disk = new SimulatedDisk();
  const doomed = disk.asProcess(7);
  killAt(disk, doomed, ({ kind, path }) => kind === "write" && path.endsWith("000001.fbat"));
  await assert.rejects(Store.open("/store", { disk: doomed, layout: "batpak-0.3" }));
  const reader = await Store.open("/store", { disk: disk.asProcess(8), readOnly: true });
  const asked = await Store.open("/store", { disk: disk.asProcess(9), readOnly: true, layout: "native" });
  assert.equal(await reader.count(), 0);
  const writer = await Store.open("/store", { disk, layout: "batpak-0.3" });
  await writer.append(at, event(0));
  await assert.rejects(asked.refresh(), { code: "LAYOUT_MISMATCH" });
  await asked.close();
  await reader.refresh();
  assert.deepEqual(await numbersOf(reader), [0]);
  await writer.append(at, event(1));
  await reader.refresh();
  assert.deepEqual(await numbersOf(reader), [0, 1]);
  await writer.close();
  await reader.refresh();
  assert.deepEqual(await numbersOf(reader), [0, 1]);
  await reader.close();
});

// It held the file that was removed, and asked that one whether there was more: for ever, once no writer's mark told it so.
test("a reader that met a segment only begun takes up what a writer made of it that has come and gone (batpak 0.3)", async () => {
  const { disk, kept } = await begunSecond();
  const reader = await Store.open("/store", { disk: disk.asProcess(8), readOnly: true });
  const writer = await Store.open("/store", { disk, segmentBytesMax: 4096 });
  await writer.append(at, event(kept));
  await writer.close();
  assert.ok(!disk.paths().includes("/store/000003.fbat"));
  await reader.refresh();
  assert.equal(await reader.count(), kept + 1);
  await reader.close();
});

test("a segment only begun is gone between a reader's two looks at it (batpak 0.3)", async () => {
  const { disk, kept } = await begunSecond();
  const begun = disk.bytesOf("/store/000002.fbat");
  disk.put("/store/000002.fbat", null);
  const listing = stop();
  let stops = false;
  const slow = hooked(disk.asProcess(8), async (when, operation) => {
    if (stops && when === "after" && operation === "list") await listing.here();
  });
  const reader = await Store.open("/store", { disk: slow, readOnly: true });
  disk.put("/store/000002.fbat", begun);
  stops = true;
  const refreshing = reader.refresh();
  await listing.reached;
  stops = false;
  const writer = await Store.open("/store", { disk, segmentBytesMax: 4096 });
  assert.ok(!disk.paths().includes("/store/000002.fbat"));
  listing.open();
  await refreshing;
  assert.equal(await reader.count(), kept);
  await writer.append(at, event(kept));
  await reader.refresh();
  assert.equal(await reader.count(), kept + 1);
  await reader.close();
  await writer.close();
});

// The mark of the killed writer did not know of that event yet. Read anew, by that mark, because of the compaction, the log ended before it.
test("what a reader showed while no writer lived stays as it reads the log anew beside a recovery", async () => {
  const disk = new SimulatedDisk();
  const options = { segmentBytesMax: 4096, checkpoint: { everyEvents: 1000 } } as const;
  const first = await Store.open("/store", { ...options, disk });
  for (let n = 0; n < 18; n++) await first.append(at, event(n));
  await first.close();
  const doomed = disk.asProcess(7);
  const killed = await Store.open("/store", { ...options, disk: doomed });
  await killed.append(at, event(18));
  // By the checkpoint: it has opened none of the segments that will be merged.
  const reader = await Store.open("/store", { disk: disk.asProcess(8), readOnly: true });
  const writing = stop();
  disk.faults = ({ pid, kind, path, to, durable }) => {
    if (pid !== doomed.self.pid) return undefined;
    if (kind === "remove" && path.endsWith("index.ckpt")) {
      killed.append(at, event(19)).catch(() => {});
      return { until: writing.reached };
    }
    // It is there for all to read, and its writer never hears of it.
    if (kind === "write" && durable === true && path.endsWith(".fbat")) return { until: writing.here() };
    if (kind === "rename" && to?.endsWith(".fbat") === true) doomed.kill();
    return undefined;
  };
  const keep = ({ data }: { data: unknown }): boolean => (data as { n: number }).n % 2 === 1;
  await assert.rejects(killed.compact({ keep, segmentBytesMax: 16_384 }));
  await killed.close().catch(() => {});
  await reader.refresh();
  assert.equal((await reader.head("a"))?.sequence, 19);

  const removing = stop();
  disk.faults = ({ kind, path }) => (kind === "remove" && path.endsWith(".fbat") ? { until: removing.here() } : undefined);
  const opening = Store.open("/store", { ...options, disk });
  await removing.reached;
  assert.ok((await numbersOf(reader)).includes(19));
  assert.equal((await reader.head("a"))?.sequence, 19);
  removing.open();
  const writer = await opening;
  await reader.refresh();
  assert.deepEqual(await numbersOf(reader), await numbersOf(writer));
  await reader.close();
  await writer.close();
});
