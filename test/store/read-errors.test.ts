/** What a disk that fails to read does to readers: a typed error, and nothing else. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { defineEvent, isStoreError, Store, type } from "../../src/index.ts";
import { SimulatedDisk } from "../../src/testing/sim-disk.ts";

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
