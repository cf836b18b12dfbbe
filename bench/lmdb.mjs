/**
 * A second rival: lmdb, a memory-mapped tree, MessagePack values, each commit synced before it is acknowledged. The same look-ups as
 * batpak's: by sequence, by id, by entity and clock, by kind, by scope. It computes no hashes. Optional: null where it is not installed.
 */
import { createRequire } from "node:module";
import { kindOf, payloadOf } from "./workload.mjs";

const require = createRequire(import.meta.url);

export function openLmdb(directory, events) {
  let lmdb;
  try {
    lmdb = require("lmdb");
  } catch {
    return null;
  }
  // Room for a kilobyte an event, which is address space only.
  const root = lmdb.open({ path: directory, overlappingSync: false, mapSize: Math.max(1 << 30, events * 1024), maxDbs: 8 });
  return new LmdbStore(root);
}

class LmdbStore {
  #root;
  #events;
  #ids;
  #streams;
  #kinds;
  #scopes;
  #clocks = new Map();
  #sequence = 0;

  constructor(root) {
    this.#root = root;
    this.#events = root.openDB("events", { keyEncoding: "uint32" });
    this.#ids = root.openDB("ids", { keyEncoding: "binary" });
    this.#streams = root.openDB("streams", {});
    this.#kinds = root.openDB("kinds", { dupSort: true, encoding: "ordered-binary" });
    this.#scopes = root.openDB("scopes", { dupSort: true, encoding: "ordered-binary" });
  }

  #put(coordinate, number) {
    const { entity, scope } = coordinate;
    const clock = (this.#clocks.get(entity) ?? -1) + 1;
    this.#clocks.set(entity, clock);
    const sequence = this.#sequence++;
    const kind = kindOf(number);
    const id = idOf(sequence);
    this.#events.put(sequence, { id, entity, scope, kind, version: 1, clock, time: Date.now() * 1000, data: payloadOf(number) });
    this.#ids.put(id, sequence);
    this.#streams.put([entity, clock], sequence);
    this.#kinds.put(kind, sequence);
    this.#scopes.put(scope, sequence);
  }

  /** Inserts events `[from, to)` in one synced transaction. */
  async insertMany(coordinates, from, to) {
    await this.#root.transaction(() => {
      for (let number = from; number < to; number++) this.#put(coordinates[number % coordinates.length], number);
    });
  }

  get(sequence) {
    return this.#events.get(this.#ids.get(idOf(sequence))).data;
  }

  *stream(entity) {
    for (const { value } of this.#streams.getRange({ start: [entity, 0], end: [entity, Infinity] })) yield this.#events.get(value).data;
  }

  *replay() {
    for (const { value } of this.#events.getRange({})) yield value.data;
  }

  close() {
    return this.#root.close();
  }
}

function idOf(sequence) {
  const id = Buffer.alloc(16);
  id.writeUIntBE(sequence, 0, 6);
  return id;
}
