/**
 * node stores-child.mjs DIST FOLDER batpak|sqlite COUNT
 *
 * Opens so many stores in FOLDER, appends one event to each and reads it back, and prints how much memory a store takes, in bytes.
 */
import fs from "node:fs";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { openSqlite } from "./sqlite.mjs";
import { coordinateOf } from "./workload.mjs";

const [dist, folder, contestant, countText] = process.argv.slice(2);
const count = Number(countText);
const { rawEvent, Store } = await import(pathToFileURL(path.join(dist, "index.js")));
const coordinate = coordinateOf(1);
const parent = path.join(folder, contestant);
fs.mkdirSync(parent, { recursive: true });

const open = {
  batpak: async (name) => {
    const store = await Store.open(path.join(parent, name));
    await store.append(coordinate, rawEvent(0xf001, { cents: 100 }));
    const events = await store.read({ entity: coordinate.entity }).toArray();
    if (events.length !== 1) throw new Error("A store does not have its event");
    return store;
  },
  sqlite: (name) => {
    const store = openSqlite(path.join(parent, `${name}.db`));
    store.insert(coordinate, 1);
    if ([...store.stream(coordinate.entity)].length !== 1) throw new Error("A store does not have its event");
    return store;
  },
}[contestant];

// What the first ones make is there for all.
const stores = [];
for (let n = 0; n < 10; n++) stores.push(await open(`first-${n}`));
const before = process.memoryUsage().rss;
for (let n = 0; n < count; n++) stores.push(await open(String(n)));
console.log(JSON.stringify((process.memoryUsage().rss - before) / count));
for (const store of stores) await store.close();
