/** Rows about compaction, of all but the last events of each entity, and of every other event: processor time, memory and the longest pause, each in a process of its own. */
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { fill } from "./reading.mjs";
import { coordinateOf, itemOf } from "./workload.mjs";

const CHILD = fileURLToPath(new URL("./compacting-child.mjs", import.meta.url));
const ENTITIES = 1000;
const TINY_SEGMENTS = 1000;

/** What is compacted, and what of it goes. */
const CASES = {
  "events with keys": { keys: true, goes: "all" },
  "every other event of an entity": { keys: false, goes: "half" },
};

/** By case, what each round took. */
export async function measureCompacting({ batpak, dist, folder, events, quick }) {
  const found = {};
  for (const [what, { keys, goes }] of Object.entries(CASES)) {
    const source = path.join(folder, `compacting-${goes}`);
    await makeStore(batpak, source, events, keys);
    const runs = [];
    for (let round = 0; round < (quick ? 1 : 3); round++) {
      const directory = `${source}-${round}`;
      fs.cpSync(source, directory, { recursive: true });
      runs.push(inChild(dist, directory, goes));
      fs.rmSync(directory, { recursive: true });
    }
    fs.rmSync(source, { recursive: true });
    found[what] = runs;
  }
  return { cases: found, tiny: await tinySegments(batpak, dist, folder) };
}

function inChild(dist, directory, ...rest) {
  const { stdout, stderr } = spawnSync(process.execPath, [CHILD, dist, directory, ...rest], { encoding: "utf8" });
  if (stdout === "") throw new Error(`Compacting ${directory} failed: ${stderr}`);
  return JSON.parse(stdout);
}

/** Its events lie in one segment, and one behind it is begun. */
async function makeStore({ rawEvent, Store }, directory, events, keys) {
  const keyed = (makeEvent, coordinates, number) => ({ ...itemOf(makeEvent, coordinates, number), idempotencyKey: `key-${number}` });
  let store = await Store.open(directory, { durability: "os", segmentBytesMax: 2 ** 30, checkpoint: false });
  await fill(store, rawEvent, events, ENTITIES, undefined, keys ? keyed : itemOf);
  await store.close();
  store = await Store.open(directory, { durability: "os", segmentBytesMax: 4096, checkpoint: false });
  for (let number = 0; number < 2; number++) await store.append(coordinateOf(0), rawEvent(0xf00f, { pad: "x".repeat(8192) }));
  await store.close();
}

/** Turns of an event loop that others keep busy, for each segment of an event. */
async function tinySegments({ rawEvent, Store }, dist, folder) {
  const directory = path.join(folder, "compacting-tiny");
  const store = await Store.open(directory, { durability: "os", segmentBytesMax: 4096, checkpoint: false });
  for (let number = 0; number < TINY_SEGMENTS; number++)
    await store.append(coordinateOf(number % 10), rawEvent(0xf001, { pad: "x".repeat(3500) }));
  await store.close();
  const { turns } = inChild(dist, directory, "tiny");
  fs.rmSync(directory, { recursive: true });
  return turns / TINY_SEGMENTS;
}
