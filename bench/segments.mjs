/**
 * Parts of streams in a log of hundreds of segments, over which each entity's events are scattered: its first, those from the middle, those of several
 * entities. What is asked for is ten events, however many segments hold others of the entity.
 */
import path from "node:path";
import { raceQuestions, sumOfEvents, sumOfRows } from "./everyday.mjs";
import { fill } from "./reading.mjs";
import { openSqlite } from "./sqlite.mjs";
import { coordinateOf, entityName } from "./workload.mjs";

const ENTITIES = 2000;
const SEGMENT_BYTES = 1 << 20;
const LIST = 20;

export async function measureSegments({ batpak, folder, rounds, events, quick }) {
  const { Store, rawEvent } = batpak;
  const store = await Store.open(path.join(folder, "segments"), { segmentBytesMax: SEGMENT_BYTES });
  await fill(store, rawEvent, events, ENTITIES);
  const sqlite = openSqlite(path.join(folder, "segments.sqlite"));
  for (let number = 0; number < events; number += 1000) {
    sqlite.insertEach((each) => coordinateOf(each % ENTITIES), number, number + 1000);
  }
  const { segments } = await store.stats();
  const results = await raceQuestions(questions(store, sqlite, events), { rounds, quick });
  await store.close();
  sqlite.close();
  return { segments, results };
}

function questions(store, sqlite, events) {
  const entityOf = (random) => entityName(random(ENTITIES));
  const clockOf = (random) => random(events / ENTITIES - 10);
  const placeOf = (random) => ENTITIES * 10 + random(events - ENTITIES * 20);
  const listOf = (random) => Array.from({ length: LIST }, () => entityOf(random));
  const first = sumOfRows(sqlite, "entity = ? ORDER BY clock LIMIT 10");
  const fromClock = sumOfRows(sqlite, "entity = ? AND clock >= ? ORDER BY clock LIMIT 10");
  const behind = sumOfRows(sqlite, "entity = ? AND sequence > ? ORDER BY sequence LIMIT 10");
  const before = sumOfRows(sqlite, "entity = ? AND sequence < ? ORDER BY sequence DESC LIMIT 10");
  const ofSeveral = sumOfRows(sqlite, `entity IN (${Array(LIST).fill("?").join()}) ORDER BY sequence LIMIT 10`);
  const count = sqlite.prepare("SELECT COUNT(*) FROM events WHERE entity = ?").pluck();
  const limit = 10;
  return {
    "the first ten of a stream": {
      ours: (random) => sumOfEvents(store.read({ entity: entityOf(random) }, { limit })),
      theirs: (random) => first(entityOf(random)),
    },
    "ten of it from a clock on": {
      ours: (random) => sumOfEvents(store.read({ entity: entityOf(random), clock: { from: clockOf(random) } }, { limit })),
      theirs: (random) => fromClock(entityOf(random), clockOf(random)),
    },
    "ten of it behind a sequence": {
      ours: (random) => sumOfEvents(store.read({ entity: entityOf(random) }, { limit, after: placeOf(random) })),
      theirs: (random) => behind(entityOf(random), placeOf(random)),
    },
    "ten of it before a sequence": {
      ours: (random) => sumOfEvents(store.read({ entity: entityOf(random) }, { limit, after: placeOf(random), direction: "backward" })),
      theirs: (random) => before(entityOf(random), placeOf(random)),
    },
    [`the first ten of ${LIST} entities`]: {
      ours: (random) =>
        sumOfEvents(
          store.read(
            listOf(random).map((entity) => ({ entity })),
            { limit },
          ),
        ),
      theirs: (random) => ofSeveral(...listOf(random)),
    },
    "how many events an entity has": {
      ours: (random) => store.count({ entity: entityOf(random) }),
      theirs: (random) => count.get(entityOf(random)),
    },
  };
}
