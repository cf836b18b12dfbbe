// A process that appends and compacts at the same time: `compacting-child.mjs <package> <directory> <first number> <remainder>`. Prints "begin", the
// number of each event that it was promised, and what it removed.
import { writeSync } from "node:fs";

const [entry = "", directory = "", first = "0", remainder = "0"] = process.argv.slice(2);
const { defineEvent, Store } = await import(entry);
const Noted = defineEvent("Noted", {
  schema: { "~standard": { version: 1, vendor: "test", validate: (value) => ({ value }) } },
  kind: { category: 2, type: 1 },
});
const store = await Store.open(directory, { events: [Noted], segmentBytesMax: 16 * 1024 });
writeSync(1, "begin\n");
let n = Number(first);
const appending = (async () => {
  for (;;) {
    const own = n++;
    const key = own % 50 === 0 ? { idempotencyKey: `k${own}` } : {};
    await store.append({ entity: `e:${own % 4}`, scope: "s" }, Noted({ n: own, pad: "x".repeat((own * 37) % 300) }), key);
    writeSync(1, `${own}\n`);
  }
})();
const compacting = (async () => {
  for (;;) {
    const { removedEvents } = await store.compact({ keep: (event) => event.data.n % 3 !== Number(remainder), segmentBytesMax: 64 * 1024 });
    writeSync(1, `removed ${removedEvents}\n`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
})();
await Promise.all([appending, compacting]);
