/** What a disk that fails to read does to readers: a typed error, and nothing else. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { defineEvent, isStoreError, Store, type } from "../../src/index.ts";
import { createMemoryDisk } from "../../src/testing/memory-disk.ts";
import { segmentName } from "../../src/log/segment-files.ts";
import { SimulatedDisk } from "../../src/testing/sim-disk.ts";
import { DIRECTORY, diskWith, filesOf } from "../support/small-stores.ts";

const Noted = defineEvent("Noted", { schema: type<{ n: number }>() });

test("get, head and read reject with IO when the disk fails, and go on when it is well again", async () => {
  const disk = new SimulatedDisk();
  const store = await Store.open("/store", { disk });
  const receipts = await store.append(
    { entity: "a", scope: "s" },
    Array.from({ length: 50 }, (_, n) => Noted({ n })),
  );
  disk.faults = (operation) => (operation.kind === "read" ? { error: "EIO" } : undefined);
  await assert.rejects(store.get(receipts[7].id), (error) => isStoreError(error, "IO"));
  await assert.rejects(store.head("a"), (error) => isStoreError(error, "IO"));
  await assert.rejects(store.read().toArray(), (error) => isStoreError(error, "IO"));
  disk.faults = undefined;
  assert.equal((await store.read().toArray()).length, 50);
  assert.equal((await store.get(receipts[7].id))?.sequence, 7);
  await store.close();
});

test("refresh rejects with IO when the disk fails or the directory is gone, in either layout", async () => {
  for (const layout of ["native", "batpak-0.3"] as const) {
    const disk = new SimulatedDisk();
    const store = await Store.open("/store", { disk, layout });
    await store.append({ entity: "a", scope: "s" }, { kind: 0x1001, data: 1 });
    const reader = await Store.open("/store", { disk: disk.asProcess(7), readOnly: true });
    await store.append({ entity: "a", scope: "s" }, { kind: 0x1001, data: 2 });
    disk.faults = ({ kind }) => (kind === "open" || kind === "read" || kind === "list" ? { error: "ENOENT" } : undefined);
    await assert.rejects(reader.refresh(), (error) => isStoreError(error, "IO"));
    disk.faults = undefined;
    await reader.refresh();
    assert.equal(await reader.count(), 2);
    await reader.close();
    await store.close();
  }
});

test("verify rejects with IO where the writer's directory is gone, and a reader's with what has become of it", async () => {
  const disk = createMemoryDisk();
  const store = await Store.open("/store", { disk });
  await store.append({ entity: "a", scope: "s" }, Noted({ n: 1 }));
  const reader = await Store.open("/store", { disk, readOnly: true });
  await disk.rename("/store", "/elsewhere");
  await assert.rejects(store.verify(), (error) => isStoreError(error, "IO") && error.details.operation === "verify");
  await assert.rejects(reader.verify(), (error) => isStoreError(error, "STORE_REPLACED"));
  await disk.rename("/elsewhere", "/store");
  assert.equal((await store.verify()).ok, true);
  await reader.close();
  await store.close();
});

// Found by a review: every read told of a compaction, by which no refresh came any further.
test("a segment's file under another one's name is damage to a reader, also where it is of a later generation", async () => {
  const disk = new SimulatedDisk();
  const store = await Store.open(DIRECTORY, { disk, segmentBytesMax: 4096 });
  const append = async (from: number, to: number): Promise<void> => {
    for (let n = from; n < to; n++) await store.append({ entity: `e${n % 5}`, scope: "s" }, Noted({ n }));
  };
  await append(0, 40);
  await store.compact({ query: { sequence: { from: 0, to: 20 } } });
  await append(40, 140);
  const generations = store.segments().map(({ generation }) => generation);
  await store.close();
  const older = generations.indexOf(0);
  assert.ok(older > 0 && generations[older + 1] === 1, String(generations));
  const [one, other] = [segmentName(older + 1), segmentName(older + 2)];
  const files = new Map(filesOf(disk));
  files.set(one, filesOf(disk).get(other) as Uint8Array);
  const reader = await Store.open(DIRECTORY, { disk: diskWith(files), readOnly: true });
  await assert.rejects(reader.read().toArray(), { code: "CORRUPT" });
  assert.equal((await reader.verify()).ok, false);
  await reader.close();
});
