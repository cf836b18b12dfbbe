/**
 * What an application asks a thousand times an hour and no table of throughput tells: one small stream of many, a page of a list, whether there is
 * one at all. Against the same in SQL, over entities of ten events each; the answers are compared first.
 */
import assert from "node:assert/strict";
import path from "node:path";
import { race } from "./measure.mjs";
import { fill } from "./reading.mjs";
import { openSqlite } from "./sqlite.mjs";
import { coordinateOf, entityName, kindOf, randomNumbers, SCOPES, scopeName } from "./workload.mjs";

const PER_ENTITY = 10;
const PAGE = 50;
/** Before the end of the log, so that a page is full. */
const PAGE_REACH = PAGE * SCOPES * 2;

export async function measureEveryday({ batpak, folder, rounds, events, quick }) {
  const { Store, rawEvent } = batpak;
  const entities = events / PER_ENTITY;
  const store = await Store.open(path.join(folder, "everyday"));
  await fill(store, rawEvent, events, entities);
  const sqlite = openSqlite(path.join(folder, "everyday.sqlite"));
  for (let number = 0; number < events; number += 1000) {
    sqlite.insertEach((each) => coordinateOf(each % entities), number, number + 1000);
  }
  const results = await raceQuestions(questions(store, sqlite, entities, events), { rounds, quick });
  await store.close();
  sqlite.close();
  return results;
}

/** Lets both answer each question, by what it is called, once their answers to some are the same. */
export async function raceQuestions(asked, settings) {
  const results = {};
  for (const [name, { ours, theirs }] of Object.entries(asked)) {
    const [one, other] = [randomNumbers(7), randomNumbers(7)];
    for (let n = 0; n < 100; n++) assert.equal(await ours(one), theirs(other), name);
    const repeated = (work) => async () => {
      for (let n = 0; n < 50; n++) await work(one);
      return 50;
    };
    results[name] = await race({ batpak: repeated(ours), sqlite: repeated(theirs) }, settings);
  }
  return results;
}

/** The sum over the rows that the condition leaves, as a function of its values. */
export function sumOfRows(sqlite, condition) {
  const statement = sqlite.prepare(`SELECT * FROM events WHERE ${condition}`);
  return (...values) => statement.all(...values).reduce((sum, { payload }) => sum + JSON.parse(payload).cents, 0);
}

/** The same of events. */
export async function sumOfEvents(reading) {
  let sum = 0;
  for await (const event of reading) sum += event.data.cents;
  return sum;
}

/** By what they are called: a function of random numbers each, whose result says what was found. */
function questions(store, sqlite, entities, events) {
  const backward = { direction: "backward" };
  const entityOf = (random) => entityName(random(entities));
  const scopeOf = (random) => scopeName(random(SCOPES));
  const placeOf = (random) => PAGE_REACH + random(events - 2 * PAGE_REACH);
  const rows = (condition) => sumOfRows(sqlite, condition);
  const value = (sql) => {
    const statement = sqlite.prepare(sql).pluck();
    return (...values) => statement.get(...values);
  };
  const stream = rows("entity = ? ORDER BY clock");
  const newestOfStream = rows("entity = ? ORDER BY clock DESC LIMIT 5");
  const scopePage = rows(`scope = ? AND sequence > ? ORDER BY sequence LIMIT ${PAGE}`);
  const scopePageBack = rows(`scope = ? AND sequence < ? ORDER BY sequence DESC LIMIT ${PAGE}`);
  const kindPage = rows(`kind = ? AND sequence > ? ORDER BY sequence LIMIT ${PAGE}`);
  const page = rows(`sequence > ? ORDER BY sequence LIMIT ${PAGE}`);
  const ofScope = rows("scope = ? ORDER BY sequence LIMIT 1");
  const newest = value("SELECT clock FROM events WHERE entity = ? ORDER BY clock DESC LIMIT 1");
  const count = value("SELECT COUNT(*) FROM events WHERE entity = ?");
  const any = value("SELECT COUNT(*) FROM (SELECT 1 FROM events WHERE entity = ? LIMIT 1)");
  return {
    "one stream of ten events, of many": {
      ours: (random) => sumOfEvents(store.read({ entity: entityOf(random) })),
      theirs: (random) => stream(entityOf(random)),
    },
    "the newest five of it": {
      ours: (random) => sumOfEvents(store.read({ entity: entityOf(random) }, { ...backward, limit: 5 })),
      theirs: (random) => newestOfStream(entityOf(random)),
    },
    "a page of 50 of a scope": {
      ours: (random) => sumOfEvents(store.read({ scope: scopeOf(random) }, { after: placeOf(random), limit: PAGE })),
      theirs: (random) => scopePage(scopeOf(random), placeOf(random)),
    },
    "the page before": {
      ours: (random) => sumOfEvents(store.read({ scope: scopeOf(random) }, { ...backward, after: placeOf(random), limit: PAGE })),
      theirs: (random) => scopePageBack(scopeOf(random), placeOf(random)),
    },
    "a page of 50 of a kind": {
      ours: (random) => sumOfEvents(store.read({ kind: kindOf(random(8)) }, { after: placeOf(random), limit: PAGE })),
      theirs: (random) => kindPage(kindOf(random(8)), placeOf(random)),
    },
    "a page of 50 of all": {
      ours: (random) => sumOfEvents(store.read({}, { after: placeOf(random), limit: PAGE })),
      theirs: (random) => page(placeOf(random)),
    },
    "the first event of a scope": {
      ours: async (random) => (await store.read({ scope: scopeOf(random) }).first()).data.cents,
      theirs: (random) => ofScope(scopeOf(random)),
    },
    "the clock of an entity": {
      ours: async (random) => (await store.head(entityOf(random))).clock,
      theirs: (random) => newest(entityOf(random)),
    },
    "how many events an entity has": {
      ours: (random) => store.count({ entity: entityOf(random) }),
      theirs: (random) => count(entityOf(random)),
    },
    "whether there is an entity that there is not": {
      ours: async (random) => ((await store.head(`no${entityOf(random)}`)) === null ? 0 : 1),
      theirs: (random) => any(`no${entityOf(random)}`),
    },
    "the stream of one that there is not": {
      ours: (random) => sumOfEvents(store.read({ entity: `no${entityOf(random)}` })),
      theirs: (random) => stream(`no${entityOf(random)}`),
    },
  };
}
