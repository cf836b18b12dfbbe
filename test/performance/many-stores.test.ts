/**
 * Many stores in one process, one for each tenant say: what a store that rests holds on to is little, and what is dear to make is made for
 * those that are at work. Counted instead of timed.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as nextTurn } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { rawEvent } from "../../src/events/definition.ts";
import { Store } from "../../src/store.ts";
import { newDirectory } from "../support/new-directory.ts";

const STORES = 40;
const coordinate = { entity: "order:1", scope: "shop:1" };

const { WebAssembly: wasm } = globalThis as unknown as { WebAssembly: { Instance: new (...given: unknown[]) => object } };
let kernels = 0;
wasm.Instance = class extends wasm.Instance {
  constructor(...given: unknown[]) {
    super(...given);
    kernels++;
  }
};

async function use(store: Store): Promise<void> {
  const { id } = await store.append(coordinate, rawEvent(0xf001, { cents: 100 }));
  for (let time = 0; time < 3; time++) assert.notEqual(await store.get(id), null);
  assert.equal((await store.read({ entity: coordinate.entity }).toArray()).length, await store.count());
}

async function openMany(directory: string): Promise<Store[]> {
  const stores: Store[] = [];
  for (let n = 0; n < STORES; n++) stores.push(await Store.open(`${directory}/${n}`));
  return stores;
}

test("stores that are used one after the other share their kernels, and those used at once keep them for the next time", async () => {
  const directory = newDirectory();
  const stores = await openMany(directory);
  for (const store of stores) await use(store);
  // One to walk frames, one to commit, one to read.
  assert.ok(kernels <= 3, `${kernels} kernels`);
  await Promise.all(stores.map(use));
  const atOnce = kernels;
  assert.ok(atOnce <= 2 * STORES, `${atOnce} kernels`);
  await Promise.all(stores.map(use));
  assert.equal(kernels, atOnce);
  await Promise.all(stores.map((store) => store.close()));
  for (const store of await openMany(directory)) {
    await use(store);
    await store.close();
  }
  assert.equal(kernels, atOnce);
});

/** Bytes of the heap and beside it, once what nobody refers to is collected. */
async function held(): Promise<number> {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  // What the first one lets go of, others may let go of later.
  for (let time = 0; time < 3; time++) {
    collect();
    await nextTurn();
  }
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

test("a store that rests holds some ten kilobytes", async () => {
  const directory = newDirectory();
  for (const store of await openMany(directory)) {
    await use(store);
    await store.close();
  }
  const before = await held();
  const stores = await openMany(directory);
  for (const store of stores) await use(store);
  const bytes = ((await held()) - before) / STORES;
  assert.ok(bytes < 128 * 1024, `${bytes} bytes a store`);
  await Promise.all(stores.map((store) => store.close()));
});

test("of a store that is closed nothing is held, whatever is spare for others", async () => {
  const fillOne = async (entities: number): Promise<void> => {
    const store = await Store.open(newDirectory(), { durability: "os" });
    for (let from = 0; from < 40_000; from += 1000) {
      await store.appendBatch(
        Array.from({ length: 1000 }, (_, n) => ({
          coordinate: { entity: `e:${(from + n) % entities}`, scope: "s" },
          event: rawEvent(0xf001, n),
        })),
      );
    }
    await store.close();
  };
  await fillOne(1000);
  const before = await heldInTheEnd();
  await fillOne(40_000);
  const bytes = (await heldInTheEnd()) - before;
  assert.ok(bytes < 1024 * 1024, `${bytes} bytes`);
});

/** What is held once nothing more is let go of: what a store has given up goes a moment after it was closed. */
async function heldInTheEnd(): Promise<number> {
  let least = Number.POSITIVE_INFINITY;
  for (let unchanged = 0; unchanged < 3; ) {
    await new Promise((resolve) => setTimeout(resolve, 20));
    const now = await held();
    unchanged = now < least - 64 * 1024 ? 0 : unchanged + 1;
    least = Math.min(least, now);
  }
  return least;
}
