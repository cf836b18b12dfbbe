/** What payloads of many shapes cost to append, get, stream and replay, beside SQLite with JSON. Each answer is compared before anything is timed. */
import assert from "node:assert/strict";
import path from "node:path";
import { race } from "./measure.mjs";
import { openSqlite } from "./sqlite.mjs";
import { coordinatesOf, entityName, kindOf, randomNumbers } from "./workload.mjs";

const ENTITIES = 200;
const BATCH = 100;
const BYTES = 16 * 1024 * 1024;
const EVENTS_MAX = 40_000;

/** Shapes by what they are called: a function of random numbers and the number of the event. */
const SHAPES = {
  "eight kinds of twelve members": (below, number) =>
    members(12, (i) => [`type_${number % 8}_field_${i}`, i % 3 === 0 ? `value ${below(100)}` : below(1000)]),
  "an order of five lines": (below) => ({
    order: identifier(below),
    customer: identifier(below),
    total: below(1e6) / 7,
    lines: Array.from({ length: 5 }, () => ({ article: word(below), quantity: below(9), price: below(10_000) })),
    note: prose(below, 5),
  }),
  "a row of 40 columns": (below) => members(40, (i) => [`column_${i}`, i % 3 === 0 ? prose(below, 2) : below(1000)]),
  "an agent's message of 2 KB": (below) => ({
    role: "assistant",
    content: [
      { type: "text", text: prose(below, 300) },
      { type: "tool_use", id: identifier(below), name: "search", input: { query: prose(below, 8), limit: below(100) } },
    ],
    usage: { input: below(100_000), output: below(10_000) },
    at: new Date(1.7e12 + below(1e9)).toISOString(),
  }),
  "30 short texts": (below) => ({ list: Array.from({ length: 30 }, () => prose(below, 4)) }),
  "8 KB of text": (below) => ({ text: prose(below, 1300) }),
  "200 members of new names": (below) => members(200, () => [word(below) + word(below), below(1000)]),
  "1,000 numbers": (below) => ({ samples: Array.from({ length: 1000 }, () => below(1e9) / 1e6) }),
  "one number": (_below, number) => number,
};

function members(count, member) {
  return Object.fromEntries(Array.from({ length: count }, (_, i) => member(i)));
}

function word(below) {
  return (below(2 ** 31) + 36 ** 2).toString(36).slice(0, 2 + below(5));
}

function prose(below, words) {
  return Array.from({ length: words }, () => word(below)).join(" ");
}

function identifier(below) {
  const hex = Array.from({ length: 4 }, () =>
    below(2 ** 32)
      .toString(16)
      .padStart(8, "0"),
  ).join("");
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

export async function measurePayloads({ batpak, folder, rounds, quick }) {
  const results = {};
  for (const [name, make] of Object.entries(SHAPES)) {
    const below = randomNumbers(7);
    const bytes = Buffer.byteLength(JSON.stringify(make(below, 0)));
    const count = Math.min(Math.floor(BYTES / bytes / BATCH / (quick ? 4 : 1)) * BATCH, EVENTS_MAX);
    const payloads = Array.from({ length: count }, (_, number) => make(below, number));
    results[name] = {
      bytes,
      ...(await measureShape(batpak, path.join(folder, `payloads-${Object.keys(results).length}`), payloads, rounds, quick)),
    };
  }
  return results;
}

async function measureShape({ rawEvent, Store }, folder, payloads, rounds, quick) {
  const coordinates = coordinatesOf(ENTITIES);
  const count = payloads.length;
  const payloadOf = (number) => payloads[number % count];
  const store = await Store.open(folder);
  const sqlite = openSqlite(`${folder}.sqlite`, payloadOf);
  const ids = [];
  let appended = 0;
  const batch = () =>
    Array.from({ length: BATCH }, () => {
      const number = appended++;
      return { coordinate: coordinates[number % ENTITIES], event: rawEvent(kindOf(number), payloadOf(number)) };
    });
  while (appended < count) for (const { id } of await store.appendBatch(batch())) ids.push(id);
  for (let number = 0; number < count; number += BATCH) sqlite.insertMany(coordinates, number, number + BATCH);
  for (let number = 0; number < count; number += 97) {
    assert.deepEqual((await store.get(ids[number])).data, payloadOf(number));
    assert.deepEqual(sqlite.get(number), payloadOf(number));
  }

  const random = randomNumbers(3);
  const options = { rounds, quick };
  const sequence = { to: count - 1 };
  const gets = Math.min(1000, count);
  const got = await race(
    {
      batpak: async () => {
        for (let i = 0; i < gets; i++) if ((await store.get(ids[random(count)])).data === undefined) return 0;
        return gets;
      },
      sqlite: () => {
        for (let i = 0; i < gets; i++) if (sqlite.get(random(count)) === undefined) return 0;
        return gets;
      },
    },
    options,
  );
  const streamed = await race(
    {
      batpak: async () => {
        let seen = 0;
        for await (const event of store.read({ entity: entityName(random(ENTITIES)), sequence })) if (event.data !== undefined) seen++;
        return seen;
      },
      sqlite: () => {
        let seen = 0;
        for (const data of sqlite.stream(entityName(random(ENTITIES)))) if (data !== undefined) seen++;
        return seen;
      },
    },
    options,
  );
  const replayed = await race(
    {
      batpak: async () => {
        let seen = 0;
        for await (const events of store.read({ sequence }).batches()) for (const event of events) if (event.data !== undefined) seen++;
        return seen;
      },
      sqlite: () => {
        let seen = 0;
        for (const data of sqlite.replay()) if (data !== undefined) seen++;
        return seen;
      },
    },
    options,
  );
  let inserted = count;
  const batched = await race(
    {
      batpak: async () => {
        await Promise.all(Array.from({ length: 4 }, () => store.appendBatch(batch())));
        return 4 * BATCH;
      },
      sqlite: () => {
        for (let i = 0; i < 4; i++, inserted += BATCH) sqlite.insertMany(coordinates, inserted, inserted + BATCH);
        return 4 * BATCH;
      },
    },
    options,
  );
  await store.close();
  sqlite.close();
  return { count, got, streamed, replayed, batched };
}
