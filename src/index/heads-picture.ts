/**
 * The heads of all entities as they were at one moment, worked out in steps while they change: what changes before it is copied is kept here
 * first. So neither the moment itself nor a change takes long, however many entities there are.
 *
 *   begun -> (kept, taken back, advanced …) -> copied or given up -> ended
 *
 * Copying is by words of 32 bits: a hash read as a floating-point number need not come back as it was.
 */
import { bytesOfColumn } from "../base/column-bytes.ts";
import type { HeadsParts } from "./heads.ts";

/** Of an entity, in words: clock, sequence, time and visible sequence, two words each, and the hash in eight (`heads.ts`). */
const WORDS = 16;
const NUMBERS = 4;
const HASH_WORDS = 8;
const KEPT_MIN = 64;
/** So many entities are copied in a step: a part of a millisecond, also where the memory is touched for the first time. */
const ENTITIES_PER_STEP = 1024;

export class HeadsPicture {
  readonly #wordsOf: (chunk: number) => Uint32Array;
  readonly #chunkEntities: number;
  readonly #ended: () => void;
  /** How many entities it has. */
  readonly count: number;
  readonly #columns: readonly Uint32Array[];
  readonly #hashes: Uint32Array;
  /** Entities before this one are copied. */
  #copied = 0;
  /** By entity: where it is kept and one; 0 where it is as it was. */
  readonly #keptAt: Uint32Array;
  #kept = new Uint32Array(KEPT_MIN * WORDS);
  #keptCount = 0;

  /** `wordsOf` gives chunks of `chunkEntities` entities each, `WORDS` words an entity; the first `count` entities belong to the picture. */
  constructor(wordsOf: (chunk: number) => Uint32Array, chunkEntities: number, count: number, ended: () => void) {
    this.#wordsOf = wordsOf;
    this.#chunkEntities = chunkEntities;
    this.#ended = ended;
    this.count = count;
    this.#columns = Array.from({ length: NUMBERS }, () => new Uint32Array(count * 2));
    this.#hashes = new Uint32Array(count * HASH_WORDS);
    this.#keptAt = new Uint32Array(count);
  }

  /** The parts: complete once all is copied. */
  get parts(): HeadsParts {
    const [clock, sequence, timeMicros, visibleSequence] = this.#columns.map(bytesOf);
    // In the order in which they stand in a checkpoint.
    return { clock, sequence, timeMicros, hash: bytesOf(this.#hashes), visibleSequence };
  }

  /** The entity is about to change. */
  keep(entityId: number): void {
    if (entityId < this.#copied || entityId >= this.count || this.#keptAt[entityId] !== 0) return;
    if (this.#kept.length === this.#keptCount * WORDS) {
      const grown = new Uint32Array(this.#kept.length * 2);
      grown.set(this.#kept);
      this.#kept = grown;
    }
    const chunk = this.#wordsOf(Math.floor(entityId / this.#chunkEntities));
    const from = (entityId % this.#chunkEntities) * WORDS;
    const to = this.#keptCount * WORDS;
    for (let i = 0; i < WORDS; i++) this.#kept[to + i] = chunk[from + i];
    this.#keptAt[entityId] = ++this.#keptCount;
  }

  /** Gives an entity the accepted head that it had before, all but its hash; called before anything is copied. */
  takeBack(entityId: number, clock: number, sequence: number, timeMicros: number): void {
    this.keep(entityId);
    new Float64Array(this.#kept.buffer).set([clock, sequence, timeMicros], (this.#keptAt[entityId] - 1) * (WORDS / 2));
  }

  /** Copies some more. Returns whether all is copied. */
  advance(): boolean {
    const end = Math.min(this.count, this.#copied + ENTITIES_PER_STEP);
    for (; this.#copied < end; this.#copied++) {
      const entity = this.#copied;
      const keptAt = this.#keptAt[entity];
      if (keptAt !== 0) this.#copy(entity, this.#kept, (keptAt - 1) * WORDS);
      else this.#copy(entity, this.#wordsOf(Math.floor(entity / this.#chunkEntities)), (entity % this.#chunkEntities) * WORDS);
    }
    return end === this.count;
  }

  #copy(entity: number, words: Uint32Array, from: number): void {
    for (let number = 0; number < NUMBERS; number++) {
      const column = this.#columns[number];
      column[entity * 2] = words[from + number * 2];
      column[entity * 2 + 1] = words[from + number * 2 + 1];
    }
    const hashFrom = from + NUMBERS * 2;
    for (let i = 0; i < HASH_WORDS; i++) this.#hashes[entity * HASH_WORDS + i] = words[hashFrom + i];
  }

  /** It is worked out, or given up: nothing more is kept for it. */
  end(): void {
    this.#ended();
  }
}

function bytesOf(column: Uint32Array): Uint8Array {
  return bytesOfColumn(column, column.length);
}
