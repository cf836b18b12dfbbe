// A process that runs out of file handles: `handles-child.mjs <package> <directory>`, under a limit of the process (ulimit -n).
//
// Leaves the store 0, 1, 2, … handles, before it opens or once it is open, and prints for each a line of JSON: the codes that it met, how many
// appends were acknowledged, and how many of them are there once there are handles again.

import { closeSync, openSync } from "node:fs";
import { join } from "node:path";

const [entry = "", directory = ""] = process.argv.slice(2);
const { Store, isStoreError } = await import(entry);
const FREE_MAX = 12;
const options = { segmentBytesMax: 4096, checkpoint: { everyEvents: 4 } };
const held = [];

/** Takes every handle that the process may have, but for so many. */
function leave(free) {
  for (;;) {
    try {
      held.push(openSync("/dev/null", "r"));
    } catch (error) {
      if (error.code !== "EMFILE") throw error;
      break;
    }
  }
  for (let i = 0; i < free; i++) closeSync(held.pop());
}

function release() {
  for (const handle of held.splice(0)) closeSync(handle);
}

async function tryOut(when, free) {
  const path = join(directory, `${when}-${free}`);
  const codes = [];
  const promised = [];
  const note = (error) => void codes.push(isStoreError(error) ? error.code : String(error));
  if (when === "before") leave(free);
  const store = await Store.open(path, options).catch(note);
  if (when === "after") leave(free);
  for (let n = 0; store !== undefined && n < 14; n++) {
    const appended = await store.append({ entity: "a", scope: "s" }, { kind: 0x1000, data: { n, pad: "p".repeat(900) } }).catch(note);
    if (appended !== undefined) promised.push(appended.id);
    if (n % 5 === 4) await store.read().toArray().catch(note);
  }
  await store?.close().catch(note);
  release();
  const again = await Store.open(path, options);
  const { problems } = await again.verify();
  let found = 0;
  for (const id of promised) if ((await again.get(id)) !== null) found++;
  await again.append({ entity: "after", scope: "s" }, { kind: 0x1000, data: 1 });
  await again.close();
  console.log(JSON.stringify({ when, free, codes: [...new Set(codes)], promised: promised.length, found, problems: problems.length }));
}

// Everything that is loaded late is loaded now.
await tryOut("never", 0);
for (const when of ["before", "after"]) for (let free = 0; free <= FREE_MAX; free++) await tryOut(when, free);
