/** Copies that a read-only store takes beside the writer of another process: each is whole, and sound. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Store } from "../../src/store.ts";
import { SimulatedDisk } from "../../src/testing/sim-disk.ts";
import { hooked } from "./support/hooked-disk.ts";

const DIRECTORY = "/store";

async function fill(store: Store, events: number): Promise<void> {
  for (let n = 0; n < events; n++) await store.append({ entity: `e${n % 3}`, scope: "s" }, { kind: 0x1001, data: "x".repeat(300) });
}

for (const later of [0, 60]) {
  test(`a copy whose checkpoint is taken before a compaction, and the segments behind it, has none (events since: ${later})`, async () => {
    const disk = new SimulatedDisk();
    const writer = await Store.open(DIRECTORY, { disk, segmentBytesMax: 4096 });
    await fill(writer, 60);
    await writer.checkpoint();
    const slow = hooked(disk.asProcess(7), async (when, operation, path) => {
      if (when !== "after" || operation !== "link" || !path.endsWith("index.ckpt")) return;
      await fill(writer, later);
      await writer.compact({ keepLast: 1, segmentBytesMax: 8192 });
    });
    const reader = await Store.open(DIRECTORY, { disk: slow, readOnly: true });
    const { events } = await reader.snapshot("/copy");
    assert.equal(events, await writer.count());
    const copy = await Store.open("/copy", { disk: disk.asProcess(8) });
    assert.deepEqual((await copy.verify()).problems, []);
    assert.deepEqual(
      (await copy.read().toArray()).map(({ id }) => id),
      (await writer.read().toArray()).map(({ id }) => id),
    );
    await copy.close();
    await reader.close();
    await writer.close();
  });
}

test("a copy has the newest segment also where nothing is in it, since the checkpoint lists it", async () => {
  const disk = new SimulatedDisk();
  const first = await Store.open(DIRECTORY, { disk, segmentBytesMax: 4096 });
  await fill(first, 1);
  const reader = await Store.open(DIRECTORY, { disk: disk.asProcess(7), readOnly: true });
  while (first.segments().length < 2) await fill(first, 1);
  await first.close();
  // As a writer that was killed leaves it, and a power cut: only begun.
  disk.put(`${DIRECTORY}/000002.fbat`, disk.bytesOf(`${DIRECTORY}/000002.fbat`).slice(0, 128));
  disk.put(`${DIRECTORY}/index.ckpt`, null);
  disk.put(`${DIRECTORY}/durable.mark`, null);
  const writer = await Store.open(DIRECTORY, { disk: disk.asProcess(8), segmentBytesMax: 4096 });
  await writer.checkpoint();
  await reader.snapshot("/copy");
  const copy = await Store.open("/copy", { disk: disk.asProcess(9) });
  assert.equal(await copy.count(), await writer.count());
  assert.deepEqual((await copy.verify()).problems, []);
  await copy.close();
  await reader.close();
  await writer.close();
});
