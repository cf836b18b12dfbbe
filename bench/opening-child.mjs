/**
 * A process of its own that opens a store: it prints what that took, and then ends as it is told.
 *
 *   node opening-child.mjs DIST DIRECTORY close|kill|fill|read [EVENTS]
 */
import { readFileSync } from "node:fs";
import { monitorEventLoopDelay, performance } from "node:perf_hooks";
import path from "node:path";
import { pathToFileURL } from "node:url";

const [dist, directory, ending, events] = process.argv.slice(2);
const { rawEvent, Store } = await import(pathToFileURL(path.join(dist, "index.js")));
const { rss: rssBefore } = process.memoryUsage();
const delay = monitorEventLoopDelay({ resolution: 1 });
await new Promise((resolve) => setTimeout(resolve, 20));
delay.enable();
await new Promise((resolve) => setTimeout(resolve, 20));
delay.reset();
const start = performance.now();
const store = await Store.open(directory, { readOnly: ending === "read" });
const milliseconds = performance.now() - start;
const { rss } = process.memoryUsage();
await new Promise((resolve) => setTimeout(resolve, 20));
const pauseMs = delay.max / 1e6;
if (ending === "fill") {
  const { fill } = await import("./reading.mjs");
  await fill(store, rawEvent, Number(events), 1000);
}
const { route } = store.openReport;
const opened = { milliseconds, rssMB: rss / 1e6, rssBeforeMB: rssBefore / 1e6, peakMB: peakMB(), pauseMs, route };
const result = JSON.stringify(ending === "read" ? { ...opened, replayed: await replayed() } : opened);
process.stdout.write(`${result}\n`, () => {
  if (ending === "close" || ending === "read") void store.close();
  else process.kill(process.pid, "SIGKILL");
});

/** Events per second, decoded, in batches; everything once before, so that the code is compiled. */
async function replayed() {
  const replay = async () => {
    let count = 0;
    for await (const batch of store.read().batches()) for (const event of batch) if (event.data !== undefined) count++;
    return count;
  };
  await replay();
  const start = performance.now();
  return ((await replay()) / (performance.now() - start)) * 1000;
}

/** The most memory this process ever had; NaN where the system does not say. */
function peakMB() {
  try {
    return (Number(/VmHWM:\s*(\d+)/.exec(readFileSync("/proc/self/status", "utf8"))?.[1]) * 1024) / 1e6;
  } catch {
    return Number.NaN;
  }
}
