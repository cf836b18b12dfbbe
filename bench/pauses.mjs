/** The longest pause of the event loop within each call, over a store of many events. The measuring itself adds about a millisecond. */
import fs from "node:fs";
import { monitorEventLoopDelay, performance } from "node:perf_hooks";
import path from "node:path";
import { median } from "./measure.mjs";
import { fill } from "./reading.mjs";
import { coordinateOf, entityName, itemOf } from "./workload.mjs";

async function longestPauseMs(work) {
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  await new Promise((resolve) => setTimeout(resolve, 10));
  delay.reset();
  // What it measures is from one of its ticks to the next: without one before it the work's first turn would not count.
  await new Promise((resolve) => setTimeout(resolve, 10));
  await work();
  await new Promise((resolve) => setTimeout(resolve, 10));
  delay.disable();
  return delay.max / 1e6;
}

const MACHINE_PIECE_MS = 5;
const MACHINE_SECONDS = 5;

/** What the machine does to a piece of work that always takes as long: pieces of `MACHINE_PIECE_MS`, alone, and the longest that one took. */
function longestPieceMs() {
  const numbers = new Float64Array(1 << 16);
  const work = (times) => {
    for (let time = 0; time < times; time++) {
      let sum = 0;
      for (let i = 0; i < numbers.length; i++) numbers[i] = sum = sum * 0.5 + i;
    }
  };
  const timed = (times) => {
    const start = performance.now();
    work(times);
    return performance.now() - start;
  };
  for (let i = 0; i < 100; i++) work(1);
  const times = Math.ceil(MACHINE_PIECE_MS / median(Array.from({ length: 100 }, () => timed(1))));
  let longest = 0;
  const end = performance.now() + MACHINE_SECONDS * 1000;
  while (performance.now() < end) longest = Math.max(longest, timed(times));
  return longest;
}

/** By call, the longest pauses of each round. */
export async function measurePauses(input) {
  const pauses = { machine: [], calls: {} };
  for (let round = 0; round < (input.quick ? 1 : 3); round++) {
    pauses.machine.push(longestPieceMs());
    for (const [entities, suffix] of [
      [1000, ""],
      [input.events, ", an entity for each event"],
    ]) {
      const found = await pausesWith(input, entities, suffix);
      for (const [call, pauseMs] of Object.entries(found)) (pauses.calls[call] ??= []).push(pauseMs);
    }
  }
  return pauses;
}

async function pausesWith({ batpak, folder, events }, entities, suffix) {
  const { rawEvent, Store } = batpak;
  const directory = path.join(folder, `pauses-${entities}`);
  fs.rmSync(directory, { recursive: true, force: true });
  let store = await Store.open(directory);
  const pauses = {};
  const measure = async (call, work) => {
    pauses[call + suffix] = await longestPauseMs(work);
  };
  await measure("the first ten batches of 1,000, one at a time", async () => {
    for (let batch = 0; batch < 10; batch++) await fill(store, rawEvent, 1000, entities);
  });
  await measure("append, seal, checkpoint", () => fill(store, rawEvent, events, entities));
  await measure("replay in batches", async () => {
    for await (const batch of store.read().batches()) if (batch.length === 0) return;
  });
  await measure("one stream", () => store.read({ entity: entityName(3) }).toArray());
  await measure("a prefix of names", () => store.count({ entityPrefix: entityName(3).slice(0, -2) }));
  await measure("count by kind and scope", () => store.count({ kind: 0xf003, scope: "shop:03" }));
  await measure("the newest of an absent time", () => store.read({ time: { from: 0, to: 1 } }).first());
  await measure("verify", () => store.verify());
  const names = Array.from({ length: 1000 }, (_, i) => entityName((i * 7919) % entities));
  await measure("1,000 streams side by side", () => Promise.all(names.map((entity) => store.read({ entity }, { limit: 300 }).toArray())));
  const last = (await store.head(names[0])).id;
  await measure("100,000 gets in a row", async () => {
    for (let i = 0; i < 100_000; i++) await store.get(last);
  });
  await measure("100,000 appends, 2,000 called in each turn, none waited for before", async () => {
    const appends = [];
    for (let i = 0; i < 100_000; i++) {
      appends.push(store.append(coordinateOf(i % entities), itemOf(rawEvent, [coordinateOf(i % entities)], i).event));
      if (i % 2000 === 1999) await new Promise((resolve) => setImmediate(resolve));
    }
    await Promise.all(appends);
  });
  await measure("close", () => store.close());
  await measure("open", async () => {
    store = await Store.open(directory);
  });
  await measure("the first append after it", () => store.append({ entity: "order:new", scope: "shop" }, rawEvent(0xf001, {})));
  await store.close();
  store = await Store.open(directory);
  const farApart = Array.from({ length: 1000 }, (_, i) => coordinateOf((i * 7919) % entities));
  await measure("the first batch of 1,000 after it, over entities far apart", () =>
    store.appendBatch(farApart.map((_, i) => itemOf(rawEvent, farApart, i))),
  );
  await store.close();
  store = await Store.open(directory);
  await measure("the first heads of 1,000 entities far apart", () => Promise.all(farApart.map(({ entity }) => store.head(entity))));
  await store.close();
  return pauses;
}
