/** What `verify` knows of the entities of the one segment that it walks: in columns, since there may be as many as rows. */
import { bytesOfColumn, startedWith } from "../base/column-bytes.ts";
import type { Heads } from "../index/heads.ts";
import type { EntityFacts } from "./verify-index.ts";

const ENTITIES_MIN = 1024;

export class EntitiesWithin {
  /** By entity id: its place and one; 0 where it has no event in the segment. */
  #places = new Uint32Array(ENTITIES_MIN);
  #ids = new Uint32Array(ENTITIES_MIN);
  #rows = new Uint32Array(ENTITIES_MIN);
  #firstClocks = new Float64Array(ENTITIES_MIN);
  #previousSequences = new Float64Array(ENTITIES_MIN);
  #previousEvers = new Float64Array(ENTITIES_MIN);
  /** Four words an entity. */
  #lastIds = new Uint32Array(4 * ENTITIES_MIN);
  #count = 0;

  /** The entities that have events, in the order in which they were met. */
  ids(): Uint32Array {
    return this.#ids.slice(0, this.#count);
  }

  /** Begins anew, with another segment. */
  clear(): void {
    for (let place = 0; place < this.#count; place++) this.#places[this.#ids[place]] = 0;
    this.#count = 0;
  }

  /** Notes an event. Gives whether it is the entity's first here: then `begin` is due. */
  note(entityId: number): boolean {
    const place = entityId < this.#places.length ? this.#places[entityId] - 1 : -1;
    if (place >= 0) this.#rows[place]++;
    return place < 0;
  }

  /** Enters an entity with its first event: its clock, and the sequence of the one before it, and of that which ever was, removed ones counted. */
  begin(entityId: number, firstClock: number, previousSequence: number, previousEver: number): void {
    const place = this.#count++;
    if (place === this.#ids.length) this.#grow(place * 2);
    if (entityId >= this.#places.length)
      this.#places = startedWith(new Uint32Array(Math.max(entityId + 1, this.#places.length * 2)), this.#places);
    this.#places[entityId] = place + 1;
    this.#ids[place] = entityId;
    this.#rows[place] = 1;
    this.#firstClocks[place] = firstClock;
    this.#previousSequences[place] = previousSequence;
    this.#previousEvers[place] = previousEver;
  }

  /** Notes the id of the entity's last event so far; it has one here. */
  setLastId(entityId: number, view: DataView, at: number): void {
    const to = (this.#places[entityId] - 1) * 4;
    for (let word = 0; word < 4; word++) this.#lastIds[to + word] = view.getUint32(at + word * 4, true);
  }

  /** What is known of an entity that has events; `heads` are those after its last one. */
  facts(entityId: number, heads: Heads): EntityFacts {
    const place = this.#places[entityId] - 1;
    return {
      entityId,
      rows: this.#rows[place],
      firstClock: this.#firstClocks[place],
      previousSequence: this.#previousSequences[place],
      previousEver: this.#previousEvers[place],
      lastClock: heads.clock(entityId),
      lastSequence: heads.sequence(entityId),
      hash: heads.hash(entityId),
      lastId: bytesOfColumn(this.#lastIds.subarray(place * 4, place * 4 + 4), 4),
    };
  }

  #grow(entities: number): void {
    this.#ids = startedWith(new Uint32Array(entities), this.#ids);
    this.#rows = startedWith(new Uint32Array(entities), this.#rows);
    this.#firstClocks = startedWith(new Float64Array(entities), this.#firstClocks);
    this.#previousSequences = startedWith(new Float64Array(entities), this.#previousSequences);
    this.#previousEvers = startedWith(new Float64Array(entities), this.#previousEvers);
    this.#lastIds = startedWith(new Uint32Array(4 * entities), this.#lastIds);
  }
}
