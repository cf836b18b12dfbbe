/**
 * A process of its own that compacts a store: it prints what that took.
 *
 *   node compacting-child.mjs DIST DIRECTORY all|half|tiny
 */
import { monitorEventLoopDelay, performance } from "node:perf_hooks";
import path from "node:path";
import { pathToFileURL } from "node:url";

/** How long others hold up each turn, for tiny segments. */
const BUSY_MS = 10;

const [dist, directory, goes] = process.argv.slice(2);
const { Store } = await import(pathToFileURL(path.join(dist, "index.js")));
const store = await Store.open(directory, { durability: "os" });
const delay = monitorEventLoopDelay({ resolution: 1 });
delay.enable();
await new Promise((resolve) => setTimeout(resolve, 20));
delay.reset();
await new Promise((resolve) => setTimeout(resolve, 20));
const { rss: rssBefore } = process.memoryUsage();
let [peak, turns, ended] = [rssBefore, 0, false];
const sampling = setInterval(() => {
  peak = Math.max(peak, process.memoryUsage.rss());
}, 20);
if (goes === "tiny") setImmediate(busyTurn);
const start = process.cpuUsage();
const rules = goes === "half" ? { keep: ({ clock }) => clock % 2 === 0 } : { query: {} };
const { removedEvents } = await store.compact({ ...rules, segmentBytesMax: 2 ** 30 });
const { user, system } = process.cpuUsage(start);
ended = true;
clearInterval(sampling);
await new Promise((resolve) => setTimeout(resolve, 20));
const pauseMs = delay.max / 1e6;
const { ok, removed } = await store.verify();
if (!ok || removed !== removedEvents) throw new Error(`verify counts ${removed} removed events, ${removedEvents} were`);
await store.close();
process.stdout.write(
  `${JSON.stringify({ processorMs: (user + system) / 1000, moreMB: (peak - rssBefore) / 1e6, pauseMs, removedEvents, turns })}\n`,
);

function busyTurn() {
  turns++;
  const until = performance.now() + BUSY_MS;
  while (performance.now() < until);
  if (!ended) setImmediate(busyTurn);
}
