/**
 * A disk that cannot be read while an append is judged. Found by the model test: the error left the queue through the event loop and ended
 * the process, when the append had waited for its turn; and the append stayed staged, to be stored later though its caller had been told
 * that it failed.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Store } from "../../src/store.ts";
import { isStoreError } from "../../src/base/store-error.ts";
import { SimulatedDisk } from "../../src/testing/sim-disk.ts";

test("a frame that cannot be read while appends wait rejects those that needed it, and only those", async () => {
  const disk = new SimulatedDisk();
  const options = { segmentBytesMax: 4096, disk } as const;
  const coordinate = { entity: "entity", scope: "scope" };
  const event = (number: number) => ({ kind: 0x1000, data: { number, pad: "p".repeat(900) } });
  const writer = await Store.open("/store", options);
  for (let number = 0; number < 12; number++) await writer.append(coordinate, event(number), { idempotencyKey: `key:${number}` });
  await writer.close();
  const store = await Store.open("/store", options);
  disk.faults = ({ kind }) => (kind === "read" || kind === "open" ? { error: "EIO" } : undefined);
  // The first opens a new segment, so what follows waits for its turn.
  const results = await Promise.all([
    ...Array.from({ length: 8 }, (_, i) => store.append({ entity: "other", scope: "scope" }, event(100 + i))),
    ...[0, 1, 5].map((number) =>
      store.append(coordinate, event(number), { idempotencyKey: `key:${number}` }).catch((error: unknown) => error),
    ),
    ...Array.from({ length: 8 }, (_, i) => store.append({ entity: "other", scope: "scope" }, event(200 + i))),
  ]);
  disk.faults = undefined;
  const failed = results.filter((result) => result instanceof Error);
  assert.equal(failed.length, 3, "the three that had to be looked up fail, nobody else");
  for (const error of failed) assert.ok(isStoreError(error, "IO"), `an append rejected with ${String(error)}`);
  assert.equal(await store.count(), 12 + 16);
  const again = await store.append(coordinate, event(0), { idempotencyKey: "key:0" });
  assert.equal(again.sequence, 0, "the disk reads again, and so does the store");
  await store.close();
});

test("whatever asks a disk that cannot be read is told so by the store's own error", async () => {
  // Counting, conditions and the tools' reading gave the system's error as it was.
  const disk = new SimulatedDisk();
  const options = { segmentBytesMax: 4096, disk, indexCacheBytes: 64 * 1024 } as const;
  const writer = await Store.open("/store", options);
  const root = await writer.append({ entity: "root", scope: "scope" }, { kind: 0x1000, data: 0 });
  for (let number = 0; number < 30; number++) {
    const event = { kind: 0x1000, data: { number, pad: "p".repeat(900) } };
    await writer.append({ entity: `entity:${number % 3}`, scope: "scope" }, event, { causedBy: root.id });
  }
  await writer.close();
  const store = await Store.open("/store", options);
  const consumer = await store.consumer("lagging", { correlation: root.id });
  const caused = { causedBy: root.id };
  const placed = async (): Promise<void> => {
    for await (const batch of store.readPlaced({ entity: "entity:1" })) assert.ok(batch.length > 0);
  };
  const asked: Record<string, () => Promise<unknown>> = {
    read: () => store.read({ entity: "entity:1" }).toArray(),
    first: () => store.read({ scope: "scope" }).first(),
    count: () => store.count({ scope: "scope" }),
    "count of what is caused": () => store.count(caused),
    get: () => store.get(root.id),
    head: () => store.head("entity:1"),
    condition: () =>
      store.append({ entity: "z", scope: "scope" }, { kind: 0x1000, data: 1 }, { expect: { noneMatching: caused, after: 0 } }),
    lag: () => consumer.lag(),
    placed,
  };
  disk.faults = ({ kind }) => (kind === "read" || kind === "open" ? { error: "EIO" } : undefined);
  for (const [name, ask] of Object.entries(asked)) {
    const error = await ask().catch((failure: unknown) => failure);
    assert.ok(isStoreError(error, "IO"), `${name} came to ${String(error)}`);
    assert.equal(error.details.errno, "EIO", name);
  }
  disk.faults = undefined;
  assert.equal(await store.count(caused), 30);
  await placed();
  await store.close();
});

// Found by a review: the checkpoint stayed open where the lock or the mark could not be looked at.
test("verifying a store of the batpak 0.3 layout leaves no file open, whatever cannot be read", async () => {
  const disk = new SimulatedDisk();
  const writer = await Store.open("/store", { disk, layout: "batpak-0.3" });
  await writer.append({ entity: "e", scope: "s" }, { kind: 0x1001, data: 1 });
  await writer.close();
  let hasFailed = true;
  for (let operations = 1; hasFailed; operations++) {
    const store = await Store.open("/store", { disk, readOnly: true });
    let left = operations;
    disk.faults = () => (--left === 0 ? { error: "EIO" } : undefined);
    const error: unknown = await store.verify().then(
      () => null,
      (failure: unknown) => failure,
    );
    disk.faults = undefined;
    hasFailed = left <= 0;
    assert.equal(isStoreError(error, "IO"), hasFailed, `operation ${operations} came to ${String(error)}`);
    await store.close();
    assert.equal(disk.openFileCount, 0, `operation ${operations}`);
  }
});
