/** The longest pause of the event loop within each call, over a store of many events. The measuring itself adds about a millisecond. */
import { monitorEventLoopDelay } from "node:perf_hooks";
import path from "node:path";
import { fill } from "./reading.mjs";
import { entityName } from "./workload.mjs";

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

export async function measurePauses(input) {
  return { ...(await pausesWith(input, 1000, "")), ...(await pausesWith(input, input.events, ", an entity for each event")) };
}

async function pausesWith({ batpak, folder, events }, entities, suffix) {
  const { rawEvent, Store } = batpak;
  const directory = path.join(folder, `pauses-${entities}`);
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
  await measure("close", () => store.close());
  await measure("open", async () => {
    store = await Store.open(directory);
  });
  await measure("the first append after it", () => store.append({ entity: "order:new", scope: "shop" }, rawEvent(0xf001, {})));
  await store.close();
  return pauses;
}
