/**
 * What a projection costs beside reading its events: a fold over everything against `read().batches()` with the same look at the data, and a
 * fold that goes on from its snapshot.
 *
 *   node bench/projecting.mjs [events] [module]      by itself; `module` is a path to another build of the package than dist
 */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { median, race, ratio } from "./measure.mjs";

const BATCH = 1000;
const ENTITIES = 1000;

export async function measureProjecting({ batpak, folder, rounds, events, quick }) {
  const { defineEvent, defineProjection, Store } = batpak;
  const Paid = defineEvent("Paid");
  const define = (snapshot) =>
    defineProjection({
      name: "total",
      events: [Paid],
      initial: { cents: 0, payments: 0 },
      on: { Paid: (state, event) => ({ cents: state.cents + event.data.cents, payments: state.payments + 1 }) },
      ...snapshot,
    });
  const Total = define({});
  const Unkept = define({ snapshot: false });
  const directory = path.join(folder, "project");
  const store = await Store.open(directory, { events: [Paid], durability: "os" });
  const append = async (from, count) => {
    const items = Array.from({ length: count }, (_, i) => ({
      coordinate: { entity: `account:${(from + i) % ENTITIES}`, scope: "bank" },
      event: Paid({ cents: from + i, currency: "EUR", reference: `payment ${from + i}`, note: "a payload of a usual size" }),
    }));
    await store.appendBatch(items);
  };
  for (let from = 0; from < events; from += BATCH) await append(from, Math.min(BATCH, events - from));

  const expected = (events * (events - 1)) / 2;
  const rates = await race(
    {
      read: async () => {
        let state = { cents: 0, payments: 0 };
        for await (const batch of store.read({ kind: Paid }).batches()) {
          for (const event of batch) state = { cents: state.cents + event.data.cents, payments: state.payments + 1 };
        }
        assert.equal(state.cents, expected);
        return events;
      },
      project: async () => {
        const { state } = await store.project(Unkept);
        assert.deepEqual(state, { cents: expected, payments: events });
        return events;
      },
    },
    { rounds, quick },
  );

  await store.project(Total);
  const newEvents = 100;
  await append(events, newEvents);
  const before = await store.stats();
  const started = performance.now();
  const { eventsRead } = await store.project(Total);
  const milliseconds = performance.now() - started;
  const after = await store.stats();
  assert.equal(eventsRead, newEvents);
  await store.close();
  return {
    rates,
    readPerSecond: median(rates.read),
    projectPerSecond: median(rates.project),
    cost: ratio(rates, "read", "project"),
    incremental: {
      newEvents,
      eventsRead,
      reads: after.framesRead + after.blocksRead - before.framesRead - before.blocksRead,
      milliseconds,
    },
  };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const events = Number(process.argv[2] ?? 1_000_000);
  const dist = fileURLToPath(new URL("../dist/index.js", import.meta.url));
  const batpak = await import(pathToFileURL(path.resolve(process.argv[3] ?? dist)).href);
  const folder = mkdtempSync(path.join(os.tmpdir(), "batpak-bench-"));
  try {
    const { readPerSecond, projectPerSecond, cost, incremental } = await measureProjecting({ batpak, folder, rounds: 5, events });
    console.log(`read      ${Math.round(readPerSecond).toLocaleString("en")} events/s`);
    console.log(`project   ${Math.round(projectPerSecond).toLocaleString("en")} events/s`);
    console.log(`cost      ${cost.median.toFixed(3)}x of reading (${cost.least.toFixed(3)} to ${cost.most.toFixed(3)})`);
    const { newEvents, eventsRead, reads, milliseconds } = incremental;
    console.log(`going on  ${newEvents} new events: ${eventsRead} folded, ${reads} reads, ${milliseconds.toFixed(1)} ms`);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
