import assert from "node:assert/strict";
import { test } from "node:test";
import { rawEvent } from "./events/definition.ts";
import { Store } from "./store.ts";
import { SimulatedDisk } from "./testing/sim-disk.ts";

async function smallStore(disk: SimulatedDisk, events = 60): Promise<void> {
  const store = await Store.open("/store", { disk, segmentBytesMax: 4096 });
  for (let n = 0; n < events; n++) await store.append({ entity: `order:${n % 3}`, scope: `shop:${n % 2}` }, rawEvent(0x1000, { n }));
  await store.close();
}

test("a sound store of many segments has no problems, writable and read-only", async () => {
  const disk = new SimulatedDisk();
  await smallStore(disk);
  for (const readOnly of [true, false]) {
    const store = await Store.open("/store", { disk, readOnly });
    const seen: number[] = [];
    const result = await store.verify({ onProgress: ({ events }) => seen.push(events) });
    assert.deepEqual(result, { ok: true, events: 60, entities: 3, problems: [], problemCount: 0, removed: 0 });
    assert.ok(seen.length > 0);
    await store.close();
  }
});

test("verify ends with the signal's reason", async () => {
  const disk = new SimulatedDisk();
  await smallStore(disk);
  const store = await Store.open("/store", { disk, readOnly: true });
  const reason = new Error("enough");
  await assert.rejects(store.verify({ signal: AbortSignal.abort(reason) }), reason);
  await store.close();
});
