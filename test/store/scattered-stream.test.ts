/** Streams whose events lie far apart: read one by one into one place, and checked together. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { isStoreError, rawEvent, Store } from "../../src/index.ts";
import type { Disk } from "../../src/disk/disk.ts";
import { createMemoryDisk } from "../../src/testing/memory-disk.ts";
import { TurnCounter } from "../../src/testing/turn-counter.ts";

const DIRECTORY = "/store";
const ENTITIES = 40;

/** Events of 40 entities in turn, each `padBytes` long, so that those of one entity lie far apart. */
async function scatteredStore(disk: Disk, events: number, padBytes: number, segmentBytesMax = 1 << 20): Promise<Store> {
  const store = await Store.open(DIRECTORY, { disk, segmentBytesMax, durability: "os" });
  const pad = "x".repeat(padBytes);
  for (let n = 0; n < events; n += 1000) {
    const numbers = Array.from({ length: Math.min(1000, events - n) }, (_, i) => n + i);
    await store.appendBatch(
      numbers.map((number) => ({
        coordinate: { entity: `order:${number % ENTITIES}`, scope: "eu" },
        event: rawEvent(0xf001, { number, pad: number % 7 === 0 ? pad.repeat(3) : pad }),
      })),
    );
  }
  return store;
}

async function numbersOf(store: Store, entity: string, direction: "forward" | "backward" = "forward"): Promise<number[]> {
  const numbers: number[] = [];
  for await (const event of store.read({ entity }, { direction })) numbers.push((event.data as { number: number }).number);
  return numbers;
}

test("a stream of events that lie far apart is whole and in order, both ways, over sealed and growing segments", async () => {
  const disk = createMemoryDisk();
  const store = await scatteredStore(disk, 12_000, 200);
  assert.ok((await store.stats()).segments > 2);
  for (const entity of [0, 17, 39]) {
    const expected = Array.from({ length: 12_000 / ENTITIES }, (_, i) => i * ENTITIES + entity);
    assert.deepEqual(await numbersOf(store, `order:${entity}`), expected);
    assert.deepEqual(await numbersOf(store, `order:${entity}`, "backward"), expected.toReversed());
  }
  await store.close();
});

test("a bad frame amid such a stream is named, and what stands before it is read", async () => {
  const disk = createMemoryDisk();
  const store = await scatteredStore(disk, 4000, 200, 64 << 20);
  await store.close();
  const segment = await disk.open(`${DIRECTORY}/000001.fbat`, "write");
  const bytes = new Uint8Array(await segment.size());
  await segment.read(bytes, 0, bytes.length, 0);
  const wanted = Buffer.from("order:5eu");
  let at = 0;
  for (let n = 0; n <= 50; n++) at = Buffer.from(bytes.buffer).indexOf(wanted, at + 1);
  segment.writeSync(Uint8Array.of(0x7f), 0, 1, at + wanted.length + 20);
  await segment.close();
  const reader = await Store.open(DIRECTORY, { disk, readOnly: true });
  const numbers: number[] = [];
  const read = async (): Promise<void> => {
    for await (const event of reader.read({ entity: "order:5" })) numbers.push((event.data as { number: number }).number);
  };
  await assert.rejects(
    read(),
    (error) => isStoreError(error, "CORRUPT") && Math.abs((error.details as { offset: number }).offset - at) < 200,
  );
  assert.deepEqual(
    numbers,
    numbers.map((_, i) => i * ENTITIES + 5),
  );
  assert.ok(numbers.length <= 50);
  await reader.close();
});

test("a long stream of what is there already lets the event loop turn", async () => {
  const store = await scatteredStore(createMemoryDisk(), 400_000, 20, 64 << 20);
  const counter = new TurnCounter();
  let events = 0;
  for (let entity = 0; entity < 2; entity++) events += (await numbersOf(store, `order:${entity}`)).length;
  const turns = counter.stop();
  assert.equal(events, 20_000);
  assert.ok(turns >= 4, `${turns} turns`);
  await store.close();
});

test("the events of an entity are counted over sealed and growing segments, and those that are not acknowledged yet are not", async () => {
  const store = await scatteredStore(createMemoryDisk(), 12_000, 200);
  const entity = "order:7";
  for (let round = 0; round < 50; round++) {
    const acknowledged = Promise.all(
      Array.from({ length: 8 }, (_, n) => store.append({ entity, scope: "eu" }, rawEvent(0xf001, { number: n, pad: "" }))),
    );
    for (let turn = 0; turn < 5; turn++) {
      const [count, events] = await Promise.all([store.count({ entity }), store.read({ entity }).toArray()]);
      assert.equal(count, events.length);
      await new Promise(setImmediate);
    }
    await acknowledged;
    assert.equal(await store.count({ entity }), 12_000 / ENTITIES + 8 * (round + 1));
  }
  await store.close();
});
