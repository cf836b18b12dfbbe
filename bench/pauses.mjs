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
  await work();
  await new Promise((resolve) => setTimeout(resolve, 10));
  delay.disable();
  return delay.max / 1e6;
}

export async function measurePauses({ batpak, folder, events }) {
  const { rawEvent, Store } = batpak;
  const directory = path.join(folder, "pauses");
  let store = await Store.open(directory);
  const pauses = {};
  pauses["append, seal, checkpoint"] = await longestPauseMs(() => fill(store, rawEvent, events, 1000));
  pauses["replay in batches"] = await longestPauseMs(async () => {
    for await (const batch of store.read().batches()) if (batch.length === 0) return;
  });
  pauses["one stream"] = await longestPauseMs(() => store.read({ entity: entityName(3) }).toArray());
  pauses["count by kind and scope"] = await longestPauseMs(() => store.count({ kind: 0xf003, scope: "shop:03" }));
  pauses["the newest of an absent time"] = await longestPauseMs(() => store.read({ time: { from: 0, to: 1 } }).first());
  if (typeof store.verify === "function") pauses.verify = await longestPauseMs(() => store.verify());
  pauses.close = await longestPauseMs(() => store.close());
  pauses.open = await longestPauseMs(async () => {
    store = await Store.open(directory);
  });
  await store.close();
  return pauses;
}
