// A process that handles commands: `commands-child.mjs <package> <directory> <first>`. Command n goes to entity n % 4 under the id "c<n>", four at a
// time, for ever. It prints the number of each that was acknowledged; between them it folds, which keeps snapshots.

import { writeSync } from "node:fs";

const [entry = "", directory = "", first = "0"] = process.argv.slice(2);
const { defineDecider, defineEvent, defineProjection, Store, type } = await import(entry);

const Counted = defineEvent("Counted", { schema: type(), kind: { category: 2, type: 2 } });
const Counter = defineDecider({
  name: "counter",
  events: [Counted],
  initial: 0,
  decide: (number) => [Counted({ number }), Counted({ number })],
  evolve: { Counted: (count) => count + 1 },
  snapshot: { everyEvents: 10 },
});
const Sum = defineProjection({
  name: "sum",
  events: [Counted],
  initial: 0,
  on: { Counted: (sum, event) => sum + event.data.number },
  snapshot: { everyEvents: 10 },
});

const store = await Store.open(directory, { events: [Counted] });
let next = Number(first);
const lane = async () => {
  for (;;) {
    const number = next++;
    await store.handle({ entity: `e${number % 4}`, scope: "test" }, Counter, number, { commandId: `c${number}` });
    writeSync(1, `${number}\n`);
    if (number % 5 === 0) await store.project(Sum);
  }
};
await Promise.all([lane(), lane(), lane(), lane()]);
