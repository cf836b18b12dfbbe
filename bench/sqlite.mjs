/** The rival: better-sqlite3, WAL, synchronous=FULL, the same columns and look-ups. It computes no hashes; its hash columns are filled in. */
import { randomBytes } from "node:crypto";
import { createRequire } from "node:module";
import { kindOf, payloadOf as usualPayloadOf } from "./workload.mjs";

const require = createRequire(import.meta.url);

/** @param payloadOf what event `number` says */
export function openSqlite(file, payloadOf = usualPayloadOf) {
  const Database = require("better-sqlite3");
  const database = new Database(file);
  database.pragma("journal_mode = WAL");
  database.pragma("synchronous = FULL");
  database.exec(`
    CREATE TABLE IF NOT EXISTS events (
      sequence INTEGER PRIMARY KEY, id BLOB NOT NULL, entity TEXT NOT NULL, scope TEXT NOT NULL, kind INTEGER NOT NULL,
      version INTEGER NOT NULL, clock INTEGER NOT NULL, time INTEGER NOT NULL, correlation BLOB, causation BLOB,
      previousHash BLOB NOT NULL, hash BLOB NOT NULL, payload TEXT NOT NULL);
    CREATE UNIQUE INDEX IF NOT EXISTS events_id ON events (id);
    CREATE UNIQUE INDEX IF NOT EXISTS events_entity ON events (entity, clock);
    CREATE INDEX IF NOT EXISTS events_kind ON events (kind);
    CREATE INDEX IF NOT EXISTS events_scope ON events (scope);
  `);
  return new SqliteStore(database, payloadOf);
}

class SqliteStore {
  #database;
  #payloadOf;
  #insert;
  #get;
  #stream;
  #newestOfScope;
  #all;
  #clocks = new Map();
  #hash = randomBytes(32);
  #sequence = 0;

  constructor(database, payloadOf) {
    this.#database = database;
    this.#payloadOf = payloadOf;
    this.#insert = database.prepare("INSERT INTO events VALUES (?, ?, ?, ?, ?, 1, ?, ?, NULL, NULL, ?, ?, ?)");
    this.#get = database.prepare("SELECT * FROM events WHERE id = ?");
    this.#stream = database.prepare("SELECT * FROM events WHERE entity = ? ORDER BY clock");
    this.#newestOfScope = database.prepare("SELECT * FROM events WHERE scope = ? ORDER BY sequence DESC LIMIT 1");
    this.#all = database.prepare("SELECT * FROM events ORDER BY sequence");
    this.insertMany = database.transaction((coordinates, from, to) => {
      for (let number = from; number < to; number++) this.insert(coordinates[number % coordinates.length], number);
    });
    this.insertEach = database.transaction((coordinateAt, from, to) => {
      for (let number = from; number < to; number++) this.insert(coordinateAt(number), number);
    });
  }

  /** Goes on behind the last event of a database that was there. */
  goOn() {
    for (const { entity, clock } of this.#database.prepare("SELECT entity, MAX(clock) AS clock FROM events GROUP BY entity").iterate()) {
      this.#clocks.set(entity, clock);
    }
    this.#sequence = (this.#database.prepare("SELECT MAX(sequence) AS sequence FROM events").get().sequence ?? -1) + 1;
  }

  /** Inserts event `number` and returns its id, ascending like batpak's. */
  insert(coordinate, number) {
    const { entity, scope } = coordinate;
    const clock = (this.#clocks.get(entity) ?? -1) + 1;
    this.#clocks.set(entity, clock);
    const sequence = this.#sequence++;
    const id = Buffer.alloc(16);
    id.writeUIntBE(sequence, 0, 6);
    const payload = JSON.stringify(this.#payloadOf(number));
    this.#insert.run(sequence, id, entity, scope, kindOf(number), clock, Date.now() * 1000, this.#hash, this.#hash, payload);
    return id;
  }

  /** The decoded payload. */
  get(sequence) {
    const id = Buffer.alloc(16);
    id.writeUIntBE(sequence, 0, 6);
    return JSON.parse(this.#get.get(id).payload);
  }

  *stream(entity) {
    for (const row of this.#stream.all(entity)) yield JSON.parse(row.payload);
  }

  *replay() {
    for (const row of this.#all.iterate()) yield JSON.parse(row.payload);
  }

  /** Events that match, decoded. */
  matching(where, values) {
    let count = 0;
    for (const row of this.#database.prepare(`SELECT * FROM events WHERE ${where} ORDER BY sequence`).iterate(...values)) {
      if (JSON.parse(row.payload).cents > 0) count++;
    }
    return count;
  }

  /** The first `limit` events as JSON, one text each, ids and hashes as hex digits: how many, and the last. */
  texts(limit) {
    let count = 0;
    let last = "";
    for (const row of this.#database.prepare("SELECT * FROM events ORDER BY sequence LIMIT ?").iterate(limit)) {
      const { sequence, entity, scope, kind, version, clock, time, correlation, causation } = row;
      const [id, hash, previousHash] = [row.id, row.hash, row.previousHash].map((bytes) => bytes.toString("hex"));
      const fields = { id, sequence, entity, scope, kind, version, clock, time, correlation, causation, hash, previousHash };
      last = JSON.stringify({ ...fields, data: JSON.parse(row.payload) });
      count++;
    }
    return { count, last };
  }

  /** The newest event of a scope, decoded. */
  newestOfScope(scope) {
    return JSON.parse(this.#newestOfScope.get(scope).payload);
  }

  prepare(sql) {
    return this.#database.prepare(sql);
  }

  counting(where, values) {
    return this.#database.prepare(`SELECT COUNT(*) AS n FROM events WHERE ${where}`).get(...values).n;
  }

  count() {
    return this.#database.prepare("SELECT COUNT(*) AS n FROM events").get().n;
  }

  close() {
    this.#database.close();
  }
}
