/**
 * The heads of all entities as they were at one moment, worked out in steps while they change: what changes before it is copied is kept here
 * first. So neither the moment itself nor a change takes long, however many entities there are.
 *
 *   begun -> (kept, taken back, advanced …) -> copied or given up -> ended
 *
 * Copying is by words of 32 bits: a hash read as a floating-point number need not come back as it was.
 */
import { bytesOfColumn, grownColumn } from "../base/column-bytes.ts";
import { BLOCK_SHIFT, HASH_WORDS } from "./head-layout.ts";
import type { HeadsColumns, HeadsParts } from "./heads.ts";

/** Of an entity, in words: clock, sequence, time and visible sequence, two words each, and the hash in eight (`heads.ts`). */
const WORDS = 16;
const NUMBERS = 4;
const BLOCK_ENTITIES = 1 << BLOCK_SHIFT;
const KEPT_MIN = 64;
/** So many entities are copied in a step: a part of a millisecond, also where the memory is touched for the first time. */
const ENTITIES_PER_STEP = 1024;

/** The heads that a picture is of. */
export interface PicturedHeads {
  /** How many entities belong to the picture: the first ones. */
  readonly count: number;
  /** What blocks without a place hold, as far as it goes; null where all have one. */
  readonly restored: HeadsColumns | null;
  hasPlace(block: number): boolean;
  /** The words that the entity's are among, and where they begin. */
  wordsOf(entityId: number): Uint32Array;
  wordsAt(entityId: number): number;
}

export class HeadsPicture {
  readonly #heads: PicturedHeads;
  readonly #ended: () => void;
  /** How many entities it has. */
  readonly count: number;
  readonly #columns: readonly Uint32Array[];
  readonly #hashes: Uint32Array;
  /** What blocks without a place hold, as words, in the order of `#columns`, the hashes last. */
  readonly #restored: readonly Uint32Array[] | null;
  /** Entities before this one are copied. */
  #copied = 0;
  /** By entity: where it is kept and one; 0 where it is as it was. */
  readonly #keptAt: Uint32Array;
  #kept = new Uint32Array(KEPT_MIN * WORDS);
  #keptCount = 0;

  constructor(heads: PicturedHeads, ended: () => void) {
    const { count, restored } = heads;
    this.#heads = heads;
    this.#ended = ended;
    this.count = count;
    this.#columns = Array.from({ length: NUMBERS }, () => new Uint32Array(count * 2));
    this.#hashes = new Uint32Array(count * HASH_WORDS);
    this.#keptAt = new Uint32Array(count);
    this.#restored = restored === null ? null : wordsOfColumns(restored);
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
    if (this.#kept.length === this.#keptCount * WORDS) this.#kept = grownColumn(this.#kept, this.#kept.length * 2);
    const words = this.#heads.wordsOf(entityId);
    const from = this.#heads.wordsAt(entityId);
    const to = this.#keptCount * WORDS;
    for (let i = 0; i < WORDS; i++) this.#kept[to + i] = words[from + i];
    this.#keptAt[entityId] = ++this.#keptCount;
  }

  /** Gives an entity the accepted head that it had before, all but its hash; called before anything is copied. */
  takeBack(entityId: number, clock: number, sequence: number, timeMicros: number): void {
    this.keep(entityId);
    new Float64Array(this.#kept.buffer).set([clock, sequence, timeMicros], (this.#keptAt[entityId] - 1) * (WORDS / 2));
  }

  /** Copies some more. Returns whether all is copied. */
  advance(): boolean {
    const stepEnd = Math.min(this.count, this.#copied + ENTITIES_PER_STEP);
    while (this.#copied < stepEnd) {
      const first = this.#copied;
      let end = first;
      while (end < stepEnd && this.#isRestored(end)) end = Math.min(stepEnd, end + BLOCK_ENTITIES);
      if (end > first) this.#copyRestored(first, end);
      else {
        end = Math.min(stepEnd, first + BLOCK_ENTITIES);
        this.#copyBlock(first, end);
      }
      this.#copied = end;
    }
    return stepEnd === this.count;
  }

  /** Whether the block that begins with this entity still lies in the restored columns, all of it that belongs to the picture. */
  #isRestored(first: number): boolean {
    const restored = this.#restored;
    if (restored === null || this.#heads.hasPlace(first >>> BLOCK_SHIFT)) return false;
    return Math.min(this.count, first + BLOCK_ENTITIES) * HASH_WORDS <= restored[NUMBERS].length;
  }

  #copyRestored(first: number, end: number): void {
    const restored = this.#restored!;
    for (let number = 0; number < NUMBERS; number++) {
      this.#columns[number].set(restored[number].subarray(first * 2, end * 2), first * 2);
    }
    this.#hashes.set(restored[NUMBERS].subarray(first * HASH_WORDS, end * HASH_WORDS), first * HASH_WORDS);
  }

  /** Copies entities of one block, which lie one behind the other, or where they were kept. */
  #copyBlock(first: number, end: number): void {
    const words = this.#heads.wordsOf(first);
    const at = this.#heads.wordsAt(first);
    for (let entity = first; entity < end; entity++) {
      const keptAt = this.#keptAt[entity];
      if (keptAt !== 0) this.#copy(entity, this.#kept, (keptAt - 1) * WORDS);
      else this.#copy(entity, words, at + (entity - first) * WORDS);
    }
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

function wordsOfColumns({ clock, sequence, timeMicros, visibleSequence, hash }: HeadsColumns): Uint32Array[] {
  const numbers = [clock, sequence, timeMicros, visibleSequence];
  return [...numbers.map((column) => new Uint32Array(column.buffer, column.byteOffset, column.length * 2)), hash];
}

function bytesOf(column: Uint32Array): Uint8Array {
  return bytesOfColumn(column, column.length);
}
