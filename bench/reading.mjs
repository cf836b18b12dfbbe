/** Rows about reading, over the same events in batpak and in SQLite. Every answer is compared before anything is timed. */
import assert from "node:assert/strict";
import { performance } from "node:perf_hooks";
import path from "node:path";
import { median, race } from "./measure.mjs";
import { openLmdb } from "./lmdb.mjs";
import { openSqlite } from "./sqlite.mjs";
import { coordinateOf, coordinatesOf, itemOf, entityName, payloadOf, randomNumbers } from "./workload.mjs";

const BATCH = 1000;

/** Fills a store with `events` events, keeping four batches in flight. */
export async function fill(store, rawEvent, events, entities, onReceipts, makeItem = itemOf) {
  // A million objects that are kept would make collecting garbage pause.
  const coordinates = entities > 10_000 ? null : coordinatesOf(entities);
  const flying = [];
  const settle = async (batch) => {
    const receipts = await batch;
    onReceipts?.(receipts);
  };
  for (let number = 0; number < events; number += BATCH) {
    if (flying.length === 4) await settle(flying.shift());
    flying.push(
      store.appendBatch(
        Array.from({ length: BATCH }, (_, i) => makeItem(rawEvent, coordinates ?? [coordinateOf((number + i) % entities)], number + i)),
      ),
    );
  }
  for (const batch of flying) await settle(batch);
}

export async function measureReading({ batpak, folder, rounds, events, quick }) {
  const { rawEvent, Store } = batpak;
  const entities = 1000;
  const directory = path.join(folder, "read");
  const store = await Store.open(directory);
  const ids = [];
  await fill(store, rawEvent, events, entities, (receipts) => {
    for (const receipt of receipts) if (receipt.sequence % 97 === 0) ids.push(receipt.id);
  });
  const sqlite = openSqlite(path.join(folder, "read.sqlite"));
  const coordinates = coordinatesOf(entities);
  for (let number = 0; number < events; number += BATCH) sqlite.insertMany(coordinates, number, number + BATCH);
  const lmdb = openLmdb(path.join(folder, "read.lmdb"), events);
  for (let number = 0; lmdb !== null && number < events; number += BATCH) await lmdb.insertMany(coordinates, number, number + BATCH);
  await checkAnswers(store, sqlite, lmdb, ids);

  // Warm: each of the events that are asked for was asked for before, of everybody.
  for (let i = 0; i < ids.length; i++) {
    const { cents } = (await store.get(ids[i])).data;
    if (sqlite.get(i * 97).cents !== cents || (lmdb !== null && lmdb.get(i * 97).cents !== cents)) throw new Error("Answers differ");
  }
  const gets = 5000;
  const random = randomNumbers(1);
  const getById = async () => {
    let cents = 0;
    for (let i = 0; i < gets; i++) cents += (await store.get(ids[random(ids.length)])).data.cents;
    return cents > 0 ? gets : 0;
  };
  const got = await race(
    {
      batpak: getById,
      sqlite: () => {
        let cents = 0;
        for (let i = 0; i < gets; i++) cents += sqlite.get(random(ids.length) * 97).cents;
        return cents > 0 ? gets : 0;
      },
      ...only(lmdb, {
        lmdb: () => {
          let cents = 0;
          for (let i = 0; i < gets; i++) cents += lmdb.get(random(ids.length) * 97).cents;
          return cents > 0 ? gets : 0;
        },
      }),
    },
    { rounds, quick },
  );

  const streams = 20;
  const streamed = await race(
    {
      batpak: async () => {
        let count = 0;
        for (let i = 0; i < streams; i++) {
          for await (const event of store.read({ entity: entityName(random(entities)) })) if (event.data.cents > 0) count++;
        }
        return count;
      },
      sqlite: () => {
        let count = 0;
        for (let i = 0; i < streams; i++) for (const data of sqlite.stream(entityName(random(entities)))) if (data.cents > 0) count++;
        return count;
      },
      ...only(lmdb, {
        lmdb: () => {
          let count = 0;
          for (let i = 0; i < streams; i++) for (const data of lmdb.stream(entityName(random(entities)))) if (data.cents > 0) count++;
          return count;
        },
      }),
    },
    { rounds, quick },
  );

  const replayed = await race(
    {
      batpak: async () => {
        let count = 0;
        for await (const batch of store.read().batches()) for (const event of batch) if (event.data.cents > 0) count++;
        return count;
      },
      "batpak one by one": async () => {
        let count = 0;
        for await (const event of store.read()) if (event.data.cents > 0) count++;
        return count;
      },
      sqlite: () => {
        let count = 0;
        for (const data of sqlite.replay()) if (data.cents > 0) count++;
        return count;
      },
      ...only(lmdb, {
        lmdb: () => {
          let count = 0;
          for (const data of lmdb.replay()) if (data.cents > 0) count++;
          return count;
        },
      }),
    },
    { rounds: Math.min(rounds, 3), quick },
  );
  await store.close();
  sqlite.close();
  await lmdb?.close();
  return { got, streamed, replayed, directory };
}

function only(rival, contestants) {
  return rival === null ? {} : contestants;
}

async function checkAnswers(store, sqlite, lmdb, ids) {
  for (let i = 0; i < ids.length; i += Math.ceil(ids.length / 200)) {
    const data = (await store.get(ids[i])).data;
    assert.deepEqual(data, payloadOf(i * 97));
    assert.deepEqual(data, sqlite.get(i * 97));
    if (lmdb !== null) assert.deepEqual(data, lmdb.get(i * 97));
  }
  const ours = (await store.read({ entity: entityName(7) }).toArray()).map((event) => event.data);
  assert.deepEqual(ours, [...sqlite.stream(entityName(7))]);
  if (lmdb !== null) assert.deepEqual(ours, [...lmdb.stream(entityName(7))]);
  assert.equal(await store.count(), sqlite.count());
}

/** The first 10 events and 10 from the middle of one entity's long history, in milliseconds, warm. */
export async function measureLongStream({ batpak, folder, events }) {
  const { rawEvent, Store } = batpak;
  const store = await Store.open(path.join(folder, "long"));
  await fill(store, rawEvent, events, 1);
  const entity = entityName(0);
  const middle = events / 2;
  const time = async (query, firstClock) => {
    const times = [];
    for (let i = 0; i < 60; i++) {
      const start = performance.now();
      const found = await store.read({ entity, ...query }, { limit: 10 }).toArray();
      times.push(performance.now() - start);
      assert.equal(found.length, 10);
      assert.equal(found[0].clock, firstClock);
    }
    return median(times.slice(10));
  };
  const first = await time({}, 0);
  const middleMs = await time({ clock: { from: middle } }, middle);
  await store.close();
  return { first, middle: middleMs };
}
