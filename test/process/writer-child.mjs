// A process that writes: `writer-child.mjs <package> <directory> <race | serve> <run>`. Every line it prints goes out before it goes on.
//
// race: keeps appends and batches in flight until it is killed; prints "open", and the number of each attempt once that is acknowledged.
// serve: prints "open" (or the error's code), appends as many events as each line of its input says, prints "appended"; closes at its end.

import { writeSync } from "node:fs";
import { createInterface } from "node:readline";

const [entry = "", directory = "", role = "", run = "0"] = process.argv.slice(2);
const { Store, defineEvent, isStoreError, type } = await import(entry);
const Tried = defineEvent("Tried", { schema: type(), kind: { category: 2, type: 1 } });
const IN_FLIGHT = 8;

function say(line) {
  writeSync(1, `${line}\n`);
}

async function race(store) {
  let attempt = 0;
  const lane = async (number) => {
    for (;;) {
      const name = `${run}.${attempt++}`;
      const items = number % 2 === 0 ? 1 : 2 + (attempt % 6);
      const events = Array.from({ length: items }, (_, item) => ({
        coordinate: { entity: `lane:${(number + item) % 5}`, scope: `run:${run}` },
        event: Tried({ name, item, items, pad: "x".repeat((attempt * 37) % 400) }),
      }));
      await store.appendBatch(events);
      say(name);
    }
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, (_, number) => lane(number)));
}

async function serve(store) {
  let total = 0;
  for await (const line of createInterface({ input: process.stdin })) {
    const events = Array.from({ length: Number(line) }, () => Tried({ n: total++ }));
    await store.append({ entity: "served", scope: "test" }, events);
    say("appended");
  }
  await store.close();
  say("closed");
}

try {
  const store = await Store.open(directory, { events: [Tried], segmentBytesMax: 32 * 1024, checkpoint: { everyEvents: 50 } });
  say("open");
  await (role === "race" ? race(store) : serve(store));
} catch (error) {
  say(isStoreError(error) ? error.code : String(error));
  process.exitCode = 1;
}
