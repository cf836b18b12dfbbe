/** What things cost as the history grows: the same work at 10,000, 100,000, 1,000,000 and, in a long run, 10,000,000 events. */
import { spawnSync } from "node:child_process";
import { performance } from "node:perf_hooks";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { median } from "./measure.mjs";
import { fill } from "./reading.mjs";
import { coordinatesOf, entityName, itemOf, kindOf, payloadOf, randomNumbers } from "./workload.mjs";

const CHILD = fileURLToPath(new URL("./opening-child.mjs", import.meta.url));

export async function measureHistory({ batpak, dist, folder, quick, long }) {
  const sizes = long ? [10_000, 100_000, 1_000_000, 10_000_000] : quick ? [10_000, 100_000] : [10_000, 100_000, 1_000_000];
  const results = {};
  for (const events of sizes) {
    process.stderr.write(`  ${events} events …\n`);
    results[events] = await measureAt(batpak, dist, path.join(folder, `history-${events}`), events);
  }
  return results;
}

async function measureAt({ rawEvent, Store }, dist, directory, events) {
  let store = await Store.open(directory);
  const ids = [];
  const step = Math.max(1, Math.floor(events / 5000));
  await fill(store, rawEvent, events, 1000, (receipts) => {
    for (const receipt of receipts) if (receipt.sequence % step === 0) ids.push(receipt.id);
  });
  const random = randomNumbers(7);
  const coordinates = coordinatesOf(1000);
  // Warm: every page of the index and of the log that is asked for was asked for before.
  for (const id of ids) await store.get(id);
  const getMicros = await medianMicros(9, 2000, async (count) => {
    let cents = 0;
    for (let i = 0; i < count; i++) cents += (await store.get(ids[random(ids.length)])).data.cents;
    return cents;
  });
  const streamMs = await medianMicros(9, 1, async () => {
    let count = 0;
    const clock = { from: Math.floor(events / 2000) };
    for await (const event of store.read({ entity: entityName(random(1000)), clock }, { limit: 10 })) if (event.data !== null) count++;
    return count;
  });
  let number = events;
  const appendMicros = await medianMicros(9, 200, async (count) => {
    for (let i = 0; i < count; i++) await store.append(coordinates[number % 1000], rawEvent(kindOf(number), payloadOf(number++)));
  });
  const batchMicros = await medianMicros(9, 10_000, async (count) => {
    const batches = [];
    for (let i = 0; i < count; i += 1000) {
      batches.push(store.appendBatch(Array.from({ length: 1000 }, () => itemOf(rawEvent, coordinates, number++))));
    }
    await Promise.all(batches);
  });
  const checkpointMs = await timed(() => store.checkpoint());
  const verifyMs = await timed(async () => {
    const { ok } = await store.verify();
    if (!ok) throw new Error("The store does not verify");
  });
  const closeMs = await timed(() => store.close());
  const opened = openInChild(dist, directory);
  store = await Store.open(directory, { readOnly: true });
  const { events: held, bytes } = await store.stats();
  await store.close();
  return {
    events: held,
    bytes,
    getMicros,
    tenOfStreamMs: streamMs / 1000,
    appendMicros,
    batchMicros,
    checkpointMs,
    verifyMs,
    closeMs,
    openMs: median(opened.map((one) => one.milliseconds)),
    openRssMB: median(opened.map((one) => one.rssMB)),
  };
}

function openInChild(dist, directory) {
  return Array.from({ length: 5 }, () => {
    const { stdout, stderr } = spawnSync(process.execPath, [CHILD, dist, directory, "close"], { encoding: "utf8" });
    if (stdout === "") throw new Error(`Opening ${directory} failed: ${stderr}`);
    return JSON.parse(stdout);
  });
}

async function timed(work) {
  const start = performance.now();
  await work();
  return performance.now() - start;
}

/** Microseconds for one of `count`, the median of `rounds` after a warm-up. */
async function medianMicros(rounds, count, work) {
  await work(count);
  const values = [];
  for (let round = 0; round < rounds; round++) values.push(((await timed(() => work(count))) * 1000) / count);
  return median(values);
}
