// A process that consumes: `consumer-child.mjs <package> <directory> <react | consume> <run>`. Every line it prints goes out before it goes on.
//
// react: places orders and bills them by a reaction, until it is killed; prints "open".
// consume: opens the store read-only and consumes; prints "did N" for each event and "kept N" for each commit, until it is killed.

import { writeSync } from "node:fs";

const [entry = "", directory = "", role = "", run = "0"] = process.argv.slice(2);
const { Store, defineEvent, isStoreError, type } = await import(entry);
const Placed = defineEvent("Placed", { schema: type() });
const Billed = defineEvent("Billed", { schema: type() });

function say(line) {
  writeSync(1, `${line}\n`);
}

async function react(store) {
  let n = await store.count({ kind: Placed });
  const placing = (async () => {
    for (;;) {
      const events = Array.from({ length: 1 + (n % 5) }, () => Placed({ n: n++ }));
      await store.append({ entity: "orders", scope: "shop" }, events);
    }
  })();
  const billing = store.react("billing", { kind: Placed }, async ({ data }) => {
    if (data.n % 4 === 0) await new Promise((resolve) => setImmediate(resolve));
    const lines = data.n % 3;
    return Array.from({ length: lines }, (_, line) => ({
      coordinate: { entity: `bill:${data.n % 11}`, scope: "shop" },
      // What is derived differs from run to run: nothing may be derived twice all the same.
      event: Billed({ n: data.n, line, lines, run }),
    }));
  });
  await Promise.all([placing, billing]);
}

async function consume(store) {
  const consumer = await store.consumer("reader", { kind: Placed });
  for await (const events of consumer.batches()) {
    for (const event of events) say(`did ${event.data.n}`);
    await consumer.commit(events[events.length - 1]);
    say(`kept ${events[events.length - 1].data.n}`);
  }
}

try {
  const options = role === "react" ? { segmentBytesMax: 64 * 1024, checkpoint: { everyEvents: 100 } } : { readOnly: true };
  const store = await Store.open(directory, { events: [Placed, Billed], ...options });
  say("open");
  await (role === "react" ? react(store) : consume(store));
} catch (error) {
  say(isStoreError(error) ? error.code : String(error));
  process.exitCode = 1;
}
