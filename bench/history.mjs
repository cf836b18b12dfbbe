/**
 * What things cost as the history grows: the same work at 10,000, 100,000, 1,000,000 and, in a long run, 10,000,000 events. The stores take
 * turns in each round, and what grows is a ratio within a round: else it would be the machine's mood that grew.
 */
import { rmSync } from "node:fs";
import { performance } from "node:perf_hooks";
import path from "node:path";
import { median } from "./measure.mjs";
import { loseCheckpoint, loseIndexBlocks, openInChild } from "./opening.mjs";
import { fill } from "./reading.mjs";
import { coordinatesOf, entityName, itemOf, kindOf, payloadOf, randomNumbers } from "./workload.mjs";

const ROUNDS = 21;
const WARM_UPS = 3;
const OPENINGS = 5;

export async function measureHistory({ batpak, dist, folder, quick, long }) {
  const sizes = long ? [10_000, 100_000, 1_000_000, 10_000_000] : quick ? [10_000, 100_000] : [10_000, 100_000, 1_000_000];
  const stores = [];
  for (const events of sizes) {
    process.stderr.write(`  ${events} events …\n`);
    stores.push(await fillStore(batpak, path.join(folder, `history-${events}`), events, itemOf));
  }
  // By what is measured, then by store: a figure of each round.
  const rounds = {
    getMicros: await inTurns(stores, (one) => getMany(one, 10_000)),
    tenOfStreamMicros: await inTurns(stores, readTen),
    appendMicros: await inTurns(stores, (one) => appendSingly(one, 200)),
    batchMicros: await inTurns(stores, (one) => appendBatches(one, 10)),
  };
  const keyed = await measureKeyed(batpak, folder, [Math.min(100_000, sizes.at(-2)), sizes.at(-1)]);
  const results = {};
  for (const [i, one] of stores.entries()) {
    const figures = Object.fromEntries(Object.entries(rounds).map(([what, byStore]) => [what, byStore[i]]));
    results[one.events] = { rounds: { ...figures, ...keyed[one.events] }, ...(await endOf(one, dist, batpak)) };
  }
  if (long) results[sizes.at(-1)].lost = openWithLosses(dist, stores.at(-1).directory);
  return results;
}

/** The same work where every event has a key: new ones are looked for in the whole history. */
async function measureKeyed(batpak, folder, sizes) {
  const stores = [];
  for (const events of sizes) {
    process.stderr.write(`  ${events} events with keys …\n`);
    stores.push(await fillStore(batpak, path.join(folder, `keyed-${events}`), events, keyedItemOf));
  }
  const batches = await inTurns(stores, (one) => appendBatches(one, 10));
  const gets = await inTurns(stores, (one) => getMany(one, 10_000));
  for (const { store, directory } of stores) {
    await store.close();
    rmSync(directory, { recursive: true });
  }
  return Object.fromEntries(sizes.map((events, i) => [events, { keyedBatchMicros: batches[i], keyedGetMicros: gets[i] }]));
}

function keyedItemOf(rawEvent, coordinates, number) {
  return { ...itemOf(rawEvent, coordinates, number), idempotencyKey: `delivery-${number}` };
}

async function fillStore({ rawEvent, Store }, directory, events, makeItem) {
  const store = await Store.open(directory);
  const ids = [];
  const step = Math.max(1, Math.floor(events / 5000));
  const onReceipts = (receipts) => {
    for (const receipt of receipts) if (receipt.sequence % step === 0) ids.push(receipt.id);
  };
  await fill(store, rawEvent, events, 1000, onReceipts, makeItem);
  // Warm: every page of the index and of the log that is asked for was asked for before.
  for (const id of ids) await store.get(id);
  return { directory, events, store, rawEvent, makeItem, ids, random: randomNumbers(7), coordinates: coordinatesOf(1000), next: events };
}

/** Microseconds for one unit of the work, by store and round. */
async function inTurns(stores, work) {
  const figures = stores.map(() => []);
  for (let round = -WARM_UPS; round < ROUNDS; round++) {
    for (let turn = 0; turn < stores.length; turn++) {
      const i = (turn + round + WARM_UPS) % stores.length;
      const start = performance.now();
      const units = await work(stores[i]);
      if (round >= 0) figures[i].push(((performance.now() - start) * 1000) / units);
    }
  }
  return figures;
}

async function getMany({ store, ids, random }, count) {
  let cents = 0;
  for (let i = 0; i < count; i++) cents += (await store.get(ids[random(ids.length)])).data.cents;
  return cents > 0 ? count : Number.NaN;
}

/** Ten events from the middle of an entity's, ten times. */
async function readTen({ store, events, random }) {
  const clock = { from: Math.floor(events / 2000) };
  let found = 0;
  for (let i = 0; i < 10; i++) {
    for await (const event of store.read({ entity: entityName(random(1000)), clock }, { limit: 10 })) if (event.data !== null) found++;
  }
  return found > 0 ? 10 : Number.NaN;
}

async function appendSingly(one, count) {
  const { store, rawEvent, coordinates } = one;
  for (let i = 0; i < count; i++) {
    const number = one.next++;
    await store.append(coordinates[number % 1000], rawEvent(kindOf(number), payloadOf(number)));
  }
  return count;
}

async function appendBatches(one, count) {
  const { store, rawEvent, makeItem, coordinates } = one;
  const batches = [];
  for (let i = 0; i < count; i++) {
    batches.push(store.appendBatch(Array.from({ length: 1000 }, () => makeItem(rawEvent, coordinates, one.next++))));
  }
  await Promise.all(batches);
  return count * 1000;
}

async function endOf({ store, directory }, dist, { Store }) {
  const checkpointMs = await timed(() => store.checkpoint());
  const verifyMs = await timed(async () => {
    const { ok } = await store.verify();
    if (!ok) throw new Error("The store does not verify");
  });
  const closeMs = await timed(() => store.close());
  const opened = Array.from({ length: OPENINGS }, () => openInChild(dist, directory, "close"));
  const reader = await Store.open(directory, { readOnly: true });
  const { events, bytes } = await reader.stats();
  await reader.close();
  return {
    events,
    bytes,
    checkpointMs,
    verifyMs,
    closeMs,
    openMs: median(opened.map((one) => one.milliseconds)),
    openRssMB: median(opened.map((one) => one.rssMB)),
  };
}

/** The store opened without its checkpoint, and without its index blocks as well. */
function openWithLosses(dist, directory) {
  const blocks = Array.from({ length: 3 }, () => {
    loseCheckpoint(directory);
    return openInChild(dist, directory, "kill");
  });
  loseCheckpoint(directory);
  loseIndexBlocks(directory);
  return { blocks, scan: [openInChild(dist, directory, "kill")] };
}

async function timed(work) {
  const start = performance.now();
  await work();
  return performance.now() - start;
}
