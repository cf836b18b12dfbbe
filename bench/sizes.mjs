/** Rows that are not raced: what appending costs by batch size, appends in flight, payload size and number of entities; and what it allocates. */
import { performance } from "node:perf_hooks";
import path from "node:path";
import { allocatedBytes } from "./allocations.mjs";
import { median, rateOf } from "./measure.mjs";
import { coordinatesOf, entityName, itemOf, kindOf, payloadOf, scopeName } from "./workload.mjs";

const BATCH_SIZES = [1, 8, 64, 512, 4096];
const IN_FLIGHT = [1, 8, 64, 512];
const PAYLOAD_BYTES = [20, 100, 1000, 64 * 1024, 1024 * 1024];
const ENTITIES = [1, 1000, 1_000_000];

async function medianRate(rounds, work) {
  const rates = [];
  await work();
  for (let round = 0; round < rounds; round++) rates.push(await rateOf(work, 0));
  return median(rates);
}

async function inFlight(limit, count, start) {
  const flying = [];
  for (let i = 0; i < count; i++) {
    if (flying.length === limit) await flying.shift();
    flying.push(start());
  }
  await Promise.all(flying);
}

export async function measureSizes({ batpak, folder, rounds, quick }) {
  const { rawEvent, Store } = batpak;
  const store = await Store.open(path.join(folder, "sizes"), { payloadBytesMax: 2 << 20, batchEventsMax: 4096 });
  const coordinates = coordinatesOf(1000);
  const budget = quick ? 20_000 : 60_000;
  let next = 0;
  const byBatch = {};
  for (const size of BATCH_SIZES) {
    const batches = Math.max(8, Math.ceil(Math.min(budget, size * 500) / size));
    byBatch[size] = await medianRate(rounds, async () => {
      await inFlight(4, batches, () => store.appendBatch(Array.from({ length: size }, () => itemOf(rawEvent, coordinates, next++))));
      return batches * size;
    });
  }
  const byFlight = {};
  for (const callers of IN_FLIGHT) {
    const appends = Math.min(budget, callers * 300);
    byFlight[callers] = await medianRate(rounds, async () => {
      await inFlight(callers, appends, () => {
        const number = next++;
        return store.append(coordinates[number % 1000], rawEvent(kindOf(number), payloadOf(number)));
      });
      return appends;
    });
  }
  const byPayload = {};
  for (const bytes of PAYLOAD_BYTES) {
    const text = "x".repeat(bytes - 10);
    const size = Math.max(1, Math.min(1000, Math.floor((1 << 20) / bytes)));
    const batches = Math.max(4, Math.floor(Math.min(budget, (64 << 20) / bytes) / size));
    const rate = await medianRate(rounds, async () => {
      await inFlight(4, batches, () =>
        store.appendBatch(
          Array.from({ length: size }, () => ({ coordinate: coordinates[next++ % 1000], event: rawEvent(0xf001, { text }) })),
        ),
      );
      return batches * size;
    });
    byPayload[bytes] = { rate, megabytes: (rate * bytes) / 1e6 };
  }
  const allocated = {
    append: await allocatedBytes(async () => {
      await inFlight(4, 20, () => store.appendBatch(Array.from({ length: 1000 }, () => itemOf(rawEvent, coordinates, next++))));
      return 20_000;
    }),
    "making the items alone": await allocatedBytes(async () => {
      for (let i = 0; i < 20; i++) if (Array.from({ length: 1000 }, () => itemOf(rawEvent, coordinates, next++)).length === 0) return 0;
      return 20_000;
    }),
    read: await allocatedBytes(() => readSome(store, 20_000, (event) => event.sequence >= 0)),
    "read and decode": await allocatedBytes(() => readSome(store, 20_000, (event) => event.data !== null)),
  };
  await store.close();
  const byEntities = {};
  for (const count of ENTITIES) byEntities[count] = await rateWithEntities(batpak, folder, count, quick);
  return { byBatch, byFlight, byPayload, byEntities, allocated };
}

async function readSome(store, limit, look) {
  let count = 0;
  for await (const batch of store.read({ kind: Array.from({ length: 8 }, (_, i) => 0xf001 + i) }, { limit }).batches()) {
    for (const event of batch) if (look(event)) count++;
  }
  return count;
}

async function rateWithEntities({ rawEvent, Store }, folder, entities, quick) {
  const store = await Store.open(path.join(folder, `entities-${entities}`));
  const events = quick ? 100_000 : 1_000_000;
  let number = 0;
  const start = performance.now();
  await inFlight(4, events / 1000, () =>
    store.appendBatch(
      Array.from({ length: 1000 }, () => {
        const entity = (number * 7919) % entities;
        const event = rawEvent(kindOf(number), payloadOf(number));
        number++;
        return { coordinate: { entity: entityName(entity), scope: scopeName(entity) }, event };
      }),
    ),
  );
  const rate = events / ((performance.now() - start) / 1000);
  await store.close();
  return rate;
}
