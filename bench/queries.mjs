/** Rows about queries over everything, against the same questions in SQL; the answers are compared first. */
import assert from "node:assert/strict";
import path from "node:path";
import { race } from "./measure.mjs";
import { fill } from "./reading.mjs";
import { openSqlite } from "./sqlite.mjs";
import { coordinatesOf, entityName, kindOf, scopeName } from "./workload.mjs";

export async function measureQueries({ batpak, folder, rounds, events, quick }) {
  const { Store, rawEvent } = batpak;
  const store = await Store.open(path.join(folder, "queries"));
  await fill(store, rawEvent, events, 1000);
  const sqlite = openSqlite(path.join(folder, "queries.sqlite"));
  const coordinates = coordinatesOf(1000);
  for (let number = 0; number < events; number += 1000) sqlite.insertMany(coordinates, number, number + 1000);
  const prefix = entityName(12).slice(0, -1);
  const names = Array.from({ length: 100 }, (_, i) => entityName(i * 7));
  const questions = {
    "events of a scope": [{ scope: scopeName(3) }, "scope = ?", [scopeName(3)]],
    "events of a kind": [{ kind: kindOf(5) }, "kind = ?", [kindOf(5)]],
    "events of a kind and scope": [{ kind: kindOf(2), scope: scopeName(2) }, "kind = ? AND scope = ?", [kindOf(2), scopeName(2)]],
    "events of 100 entities by their names": [names.map((entity) => ({ entity })), `entity IN (${names.map(() => "?").join(", ")})`, names],
    "events of ten entities by prefix": [{ entityPrefix: prefix }, "entity >= ? AND entity < ?", [prefix, `${prefix}~`]],
  };
  const results = {};
  for (const [name, [query, where, values]] of Object.entries(questions)) {
    const ours = await countOf(store, query);
    assert.equal(ours, sqlite.matching(where, values), name);
    results[name] = await race(
      { batpak: () => countOf(store, query), sqlite: () => sqlite.matching(where, values) },
      { rounds: Math.min(rounds, 3), quick },
    );
  }
  const counted = {
    "counting a scope": [{ scope: scopeName(3) }, "scope = ?", [scopeName(3)]],
    "counting two kinds": [{ kind: [kindOf(2), kindOf(5)] }, "kind IN (?, ?)", [kindOf(2), kindOf(5)]],
    "counting a kind and scope": [{ kind: kindOf(2), scope: scopeName(2) }, "kind = ? AND scope = ?", [kindOf(2), scopeName(2)]],
  };
  for (const [name, [query, where, values]] of Object.entries(counted)) {
    assert.equal(await store.count(query), sqlite.counting(where, values), name);
    results[name] = await race(
      { batpak: () => store.count(query), sqlite: () => sqlite.counting(where, values) },
      { rounds: Math.min(rounds, 3), quick },
    );
  }
  const prefixes = Array.from({ length: 50 }, (_, i) => entityName(i * 20).slice(0, -1));
  const prefixed = [prefixes.map(() => "(entity >= ? AND entity < ?)").join(" OR "), prefixes.flatMap((start) => [start, `${start}~`])];
  assert.equal(await store.count(prefixes.map((entityPrefix) => ({ entityPrefix }))), sqlite.counting(...prefixed));
  results["counting 50 prefixes of entities"] = await race(
    {
      batpak: () => store.count(prefixes.map((entityPrefix) => ({ entityPrefix }))),
      sqlite: () => sqlite.counting(...prefixed),
    },
    { rounds: Math.min(rounds, 3), quick },
  );
  const scopes = Array.from({ length: 2000 }, (_, i) => scopeName(i));
  const newestOf = async (scope) => (await store.read({ scope }, { direction: "backward", limit: 1 }).first()).data;
  assert.deepEqual(await newestOf(scopes[3]), sqlite.newestOfScope(scopes[3]));
  results["the newest event of a scope"] = await race(
    {
      batpak: async () => {
        for (const scope of scopes) assert.ok((await newestOf(scope)).cents > 0);
        return scopes.length;
      },
      sqlite: () => {
        for (const scope of scopes) assert.ok(sqlite.newestOfScope(scope).cents > 0);
        return scopes.length;
      },
    },
    { rounds: Math.min(rounds, 3), quick },
  );
  const shared = ({ sequence, entity, scope, kind, version, clock, data }) => ({ sequence, entity, scope, kind, version, clock, data });
  assert.deepEqual(shared(JSON.parse((await textsOf(store, 1000)).last)), shared(JSON.parse(sqlite.texts(1000).last)));
  const texts = Math.min(events, 100_000);
  results["events as JSON text"] = await race(
    { batpak: async () => (await textsOf(store, texts)).count, sqlite: () => sqlite.texts(texts).count },
    { rounds: Math.min(rounds, 3), quick },
  );
  const middle = await store.read({ sequence: { from: events >>> 1 } }, { limit: 100 }).toArray();
  results["the event of a correlation, among all"] = await race(
    {
      batpak: async () => {
        for (const event of middle) assert.equal((await store.read({ correlation: event.id }).first())?.sequence, event.sequence);
        return middle.length;
      },
    },
    { rounds: Math.min(rounds, 3), quick },
  );
  const newest = (await store.read({}, { direction: "backward", limit: 1 }).first()).timestamp;
  const time = await countOf(store, { time: { from: newest - 50, to: newest } });
  assert.ok(time > 0);
  await store.close();
  sqlite.close();
  return results;
}

/** The first `limit` events as JSON, one text each: how many, and the last. */
async function textsOf(store, limit) {
  let count = 0;
  let last = "";
  for await (const batch of store.read({}, { limit }).batches()) {
    for (const event of batch) {
      last = JSON.stringify(event);
      count++;
    }
  }
  return { count, last };
}

/** Matching events, decoded. */
async function countOf(store, query) {
  let count = 0;
  for await (const batch of store.read(query).batches()) for (const event of batch) if (event.data.cents > 0) count++;
  return count;
}
