/**
 * node bench/compare-builds.mjs [--rounds N] [--memory] NAME=DIST [NAME=DIST …]
 *
 * Two or more builds of batpak append in turns, in one process: events a second, processor time of the main thread for an event (which says
 * something on a busy machine as well; Linux only, elsewhere all threads'), and heap allocated for an event. `--memory`: on a disk in memory.
 */
import fs from "node:fs";
import path from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { allocatedBytes } from "./allocations.mjs";
import { median } from "./measure.mjs";
import { coordinatesOf, itemOf, kindOf, payloadOf } from "./workload.mjs";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { rounds: { type: "string", default: "15" }, memory: { type: "boolean", default: false } },
});
const rounds = Number(values.rounds);
const folder = path.join(path.dirname(fileURLToPath(import.meta.url)), ".data", "compare");
fs.rmSync(folder, { recursive: true, force: true });
fs.mkdirSync(folder, { recursive: true });

/** Nanoseconds that this process's main thread has run. */
function mainThreadNs() {
  try {
    return Number(fs.readFileSync(`/proc/self/task/${process.pid}/schedstat`, "latin1").split(" ")[0]);
  } catch {
    const { user, system } = process.cpuUsage();
    return (user + system) * 1000;
  }
}

const coordinates = coordinatesOf(1000);
const builds = [];
for (const positional of positionals) {
  const [name, dist] = positional.split("=");
  const { rawEvent, Store } = await import(pathToFileURL(path.resolve(dist, "index.js")));
  const { createMemoryDisk } = await import(pathToFileURL(path.resolve(dist, "testing", "index.js")));
  const store = await Store.open(path.join(folder, name), values.memory ? { disk: createMemoryDisk() } : {});
  let next = 0;
  const callers = async (count, each) => {
    const call = async () => {
      for (let i = 0; i < each; i++) {
        const number = next++;
        await store.append(coordinates[number % coordinates.length], rawEvent(kindOf(number), payloadOf(number)));
      }
    };
    await Promise.all(Array.from({ length: count }, call));
    return count * each;
  };
  const batches = async (count) => {
    const flying = [];
    for (let i = 0; i < count; i++) {
      if (flying.length === 4) await flying.shift();
      flying.push(store.appendBatch(Array.from({ length: 1000 }, () => itemOf(rawEvent, coordinates, next++))));
    }
    await Promise.all(flying);
    return count * 1000;
  };
  builds.push({ name, store, work: { "batches of 1,000, 4 in flight": () => batches(40), "64 in flight": () => callers(64, 300) } });
}

for (const what of Object.keys(builds[0]?.work ?? {})) {
  const measured = new Map(builds.map(({ name }) => [name, { rates: [], micros: [] }]));
  for (let round = -3; round < rounds; round++) {
    for (let i = 0; i < builds.length; i++) {
      const { name, work } = builds[(i + round + 3) % builds.length];
      const [start, startNs] = [performance.now(), mainThreadNs()];
      const events = await work[what]();
      const { rates, micros } = measured.get(name);
      if (round < 0) continue;
      micros.push((mainThreadNs() - startNs) / events / 1000);
      rates.push((events / (performance.now() - start)) * 1000);
    }
  }
  console.log(what);
  for (const { name, work } of builds) {
    const { rates, micros } = measured.get(name);
    const heap = await allocatedBytes(work[what]);
    const processor = `${median(micros).toFixed(2)} µs of the main thread (least ${Math.min(...micros).toFixed(2)})`;
    console.log(`  ${name}: ${Math.round(median(rates))} events/s, ${processor}, ${Math.round(heap)} heap bytes an event`);
  }
}
for (const { store } of builds) await store.close();
fs.rmSync(folder, { recursive: true, force: true });
