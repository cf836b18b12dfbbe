// A process that does with locks as it is told: `lock-child.mjs <package>`. Each line of its input is a JSON list, a command and what that needs; for each it
// prints one line of JSON. Commands may overlap.
//
// open DIRECTORY WAIT_MS   opens for writing and appends one event: {"open": true}, or the error
// close DIRECTORY          {"closed": true}
// consume DIRECTORY        opens beside the writer, and takes the name of a consumer: {"consumes": true}, or the error
// leave DIRECTORY          lets go of the name: {"left": true}
// read DIRECTORY           opens beside the writer, or without one, and counts: {"events": …}

import { writeSync } from "node:fs";
import { createInterface } from "node:readline";

const { Store, isStoreError } = await import(process.argv[2] ?? "");
const stores = new Map();
const consumers = new Map();

const commands = {
  open: async (directory, lockWaitMs) => {
    const store = await Store.open(directory, { lockWaitMs });
    stores.set(directory, store);
    await store.append({ entity: "opened", scope: "test" }, { kind: 0x1000, data: process.pid });
    return { open: true };
  },
  close: async (directory) => {
    await stores.get(directory).close();
    return { closed: true };
  },
  consume: async (directory) => {
    const store = await Store.open(directory, { readOnly: true });
    try {
      consumers.set(directory, { store, consumer: await store.consumer("one") });
    } catch (error) {
      await store.close();
      throw error;
    }
    return { consumes: true };
  },
  leave: async (directory) => {
    const { store, consumer } = consumers.get(directory);
    await consumer.close();
    await store.close();
    return { left: true };
  },
  read: async (directory) => {
    const store = await Store.open(directory, { readOnly: true });
    const events = await store.count();
    await store.close();
    return { events };
  },
};

function say(answer) {
  writeSync(1, `${JSON.stringify(answer)}\n`);
}

function told(error) {
  if (!isStoreError(error, "LOCKED")) return { failed: String(error.stack) };
  const { pid, since, sameProcess } = error.details;
  return { code: error.code, pid, isSinceKnown: since instanceof Date, sameProcess };
}

say({ ready: true });
for await (const line of createInterface({ input: process.stdin })) {
  const [command, ...given] = JSON.parse(line);
  commands[command](...given).then(say, (error) => say(told(error)));
}
