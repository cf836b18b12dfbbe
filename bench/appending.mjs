/** Rows about appending: batpak, SQLite and the raw file take turns, each synced at every commit. */
import path from "node:path";
import { BareLog } from "./bare-log.mjs";
import { race } from "./measure.mjs";
import { JsonLines } from "./jsonl.mjs";
import { openLmdb } from "./lmdb.mjs";
import { RawFile } from "./raw.mjs";
import { openSqlite } from "./sqlite.mjs";
import { coordinatesOf, itemOf, kindOf, payloadOf } from "./workload.mjs";

const BATCH = 1000;
const IN_FLIGHT = 4;
const CALLERS = 64;

export async function measureAppending({ batpak, folder, rounds, quick, events: ofAll }) {
  const history = Math.ceil(ofAll / 2 / (BATCH * IN_FLIGHT)) * BATCH * IN_FLIGHT;
  const { rawEvent, Store } = batpak;
  const coordinates = coordinatesOf(1000);
  const store = await Store.open(path.join(folder, "append"));
  const sqlite = openSqlite(path.join(folder, "append.sqlite"));
  const lmdb = openLmdb(path.join(folder, "append.lmdb"), 1_000_000);
  const lines = new JsonLines(path.join(folder, "append.jsonl"));
  const raw = new RawFile(path.join(folder, "append.raw"));
  let next = 0;
  let sqliteNext = 0;
  let otherNext = 0;

  const appendBatches = async (batches, size = BATCH) => {
    const flying = [];
    for (let i = 0; i < batches; i++) {
      if (flying.length === IN_FLIGHT) await flying.shift();
      const items = Array.from({ length: size }, () => itemOf(rawEvent, coordinates, next++));
      flying.push(store.appendBatch(items));
    }
    await Promise.all(flying);
    return batches * size;
  };
  const appendOne = (log, number) => log.append(coordinates[number % coordinates.length], rawEvent(kindOf(number), payloadOf(number)));
  const callers = async (count, appends, append = () => appendOne(store, next++)) => {
    const each = appends / count;
    const one = async () => {
      for (let i = 0; i < each; i++) await append();
    };
    await Promise.all(Array.from({ length: count }, one));
    return appends;
  };
  const insertSingly = (inserts) => {
    for (let i = 0; i < inserts; i++) sqlite.insert(coordinates[sqliteNext % coordinates.length], sqliteNext++);
    return inserts;
  };

  const insertBatches = async (rival, count) => {
    for (let i = 0; i < count; i++, otherNext += BATCH) await rival.insertMany(coordinates, otherNext, otherNext + BATCH);
    return count * BATCH;
  };

  // Both have a history already: an index that is still empty costs nothing to keep.
  for (let batch = 0; batch < history / BATCH; batch += IN_FLIGHT) await appendBatches(IN_FLIGHT);
  for (; sqliteNext < history; sqliteNext += BATCH) sqlite.insertMany(coordinates, sqliteNext, sqliteNext + BATCH);

  // Bytes per event as this store writes them: what the floor writes as well.
  await appendBatches(1);
  const before = await store.stats();
  await appendBatches(1);
  const after = await store.stats();
  const eventBytes = Math.round((after.bytes - before.bytes) / BATCH);
  const batches = 20;
  const batched = await race(
    {
      batpak: () => appendBatches(batches),
      sqlite: () => {
        for (let i = 0; i < batches / 2; i++, sqliteNext += BATCH) sqlite.insertMany(coordinates, sqliteNext, sqliteNext + BATCH);
        return (batches / 2) * BATCH;
      },
      "JSON lines": () => insertBatches(lines, batches / 2),
      ...(lmdb === null ? {} : { lmdb: () => insertBatches(lmdb, batches / 2) }),
    },
    { rounds, quick },
  );

  const groups = 150;
  // The disk is as new to nobody: what is laid out is written over again and again.
  const laidOutBytes = 64 << 20;
  const rawAppends = async (bytes, count, units) => {
    for (let i = 0; i < count; i++) await raw.append(bytes);
    return units;
  };
  const group = new Uint8Array(eventBytes * CALLERS).fill(7);
  raw.prepare(laidOutBytes);
  const half = group.subarray(0, group.length / 2);
  const bare = new BareLog(path.join(folder, "append.bare"), laidOutBytes);
  let bareNext = 0;
  const flying = await race(
    {
      batpak: () => callers(CALLERS, groups * CALLERS),
      "batpak in batches": () => appendBatches(groups, CALLERS),
      "bare log": () => callers(CALLERS, groups * CALLERS, () => appendOne(bare, bareNext++)),
      raw: () => rawAppends(group, groups, groups * CALLERS),
      "raw halves": async () => {
        await Promise.all([rawAppends(half, groups, 0), rawAppends(half, groups, 0)]);
        return groups * CALLERS;
      },
      sqlite: () => insertSingly(groups),
    },
    { rounds, quick },
  );

  const single = new Uint8Array(eventBytes).fill(7);
  const singly = await race(
    { batpak: () => callers(1, groups), raw: () => rawAppends(single, groups, groups), sqlite: () => insertSingly(groups) },
    { rounds, quick },
  );
  const { events } = await store.stats();
  if (events !== next || sqlite.count() !== sqliteNext) throw new Error("Not every append arrived");
  await store.close();
  sqlite.close();
  await lmdb?.close();
  lines.close();
  raw.close();
  bare.close();
  return { batched, flying, singly, eventBytes };
}
