/**
 * A process beside the writer, or in its place.
 *
 *   node following-child.mjs DIST DIRECTORY follow     tells its parent, for each event, how long ago its append was called
 *   node following-child.mjs DIST DIRECTORY append     opens the store, appends once, and prints what that took
 */
import { performance } from "node:perf_hooks";
import path from "node:path";
import { pathToFileURL } from "node:url";

const [dist, directory, task] = process.argv.slice(2);
const { rawEvent, Store } = await import(pathToFileURL(path.join(dist, "index.js")));

if (task === "follow") {
  const store = await Store.open(directory, { readOnly: true });
  const { events } = await store.stats();
  const subscription = store.subscribe({ scope: "followed" }, { after: events - 1 });
  process.send("ready");
  for await (const event of subscription) process.send(Number(process.hrtime.bigint()) / 1e6 - event.data.calledMs);
} else {
  const store = await Store.open(directory);
  const start = performance.now();
  await store.append({ entity: "first", scope: "of a process" }, rawEvent(0xf001, { say: "hello" }));
  console.log(JSON.stringify(performance.now() - start));
  await store.close();
}
