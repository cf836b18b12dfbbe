/**
 * The head of every entity: what an append needs to know of the events before it. An entity takes 64 bytes, a line of memory, in chunks that
 * never move: a store of a million entities grows by one more without a pause.
 *
 * Two heads in one: clock, sequence, time and hash are of the last *accepted* event (ordered, perhaps not committed yet);
 * `visibleSequence` is that of the last *visible* one. The writer assigns the former as it accepts, and calls `setVisible` after a commit.
 *
 * Invariants:
 * 1. The clock is -1 exactly where the entity never had an event; an entity whose events were all removed keeps its clock and hash.
 * 2. `liveEntities` counts the entities with `visibleSequence >= 0`, and changes only through `setVisible` and `clearVisible`.
 * 3. While a picture is being worked out, whatever changes is shown to it first (`#toWrite`).
 * 4. A chunk that came from a checkpoint and was not asked for yet lies in the checkpoint's columns: opening makes none of them.
 */
import { assert } from "../base/assert.ts";
import { columnOfBytes } from "../base/column-bytes.ts";
import { HeadsPicture } from "./heads-picture.ts";

export const HASH_BYTES = 32;
const HASH_WORDS = HASH_BYTES / 4;

const CHUNK_SHIFT = 8;
const CHUNK_MASK = (1 << CHUNK_SHIFT) - 1;
/** An entity has eight places of eight bytes: clock, sequence, time, visible sequence, and four for the hash. */
const PLACES_SHIFT = 3;
export const HEAD_PLACE = { clock: 0, sequence: 1, timeMicros: 2, visibleSequence: 3, hash: 4 } as const;
const PLACE = HEAD_PLACE;

/** The parts of the heads as a checkpoint holds them, little-endian. */
export interface HeadsParts {
  readonly clock: Uint8Array;
  readonly sequence: Uint8Array;
  readonly timeMicros: Uint8Array;
  readonly hash: Uint8Array;
  readonly visibleSequence: Uint8Array;
}

/** The heads of `1 << CHUNK_SHIFT` entities. */
class Chunk {
  readonly numbers = new Float64Array(1 << (CHUNK_SHIFT + PLACES_SHIFT));
  readonly view = new DataView(this.numbers.buffer);
  readonly bytes = new Uint8Array(this.numbers.buffer);
  readonly words = new Uint32Array(this.numbers.buffer);

  constructor() {
    for (let at = 0; at < this.numbers.length; at += 1 << PLACES_SHIFT) {
      this.numbers[at + PLACE.clock] = -1;
      this.numbers[at + PLACE.sequence] = -1;
      this.numbers[at + PLACE.visibleSequence] = -1;
    }
  }
}

/** Where an entity's places begin in the numbers of its chunk. */
export function headPlaces(entityId: number): number {
  return (entityId & CHUNK_MASK) << PLACES_SHIFT;
}

/** Where an entity's hash begins in the bytes of its chunk. */
export function headHashPlace(entityId: number): number {
  return (headPlaces(entityId) + PLACE.hash) * 8;
}

/** What a checkpoint holds of the heads, a column each. */
interface Columns {
  readonly clock: Float64Array;
  readonly sequence: Float64Array;
  readonly timeMicros: Float64Array;
  readonly visibleSequence: Float64Array;
  /** Eight words an entity. */
  readonly hash: Uint32Array;
}

/** How many entities are looked at in a step of restoring: a millisecond's work at most. */
const ENTITIES_PER_STEP = 65_536;

export class Heads {
  /** null: not taken from `#restored` yet. */
  readonly #chunks: (Chunk | null)[] = [];
  /** What the chunks that are null are made of. */
  #restored: Columns | null = null;
  #untaken = 0;
  #count = 0;
  #liveEntities = 0;
  #picture: HeadsPicture | null = null;

  /** How many entities have a place: one more than the largest id given to `ensure`. */
  get count(): number {
    return this.#count;
  }

  /** How many entities have at least one visible event. */
  get liveEntities(): number {
    return this.#liveEntities;
  }

  get memoryBytes(): number {
    return this.#chunks.length << (CHUNK_SHIFT + PLACES_SHIFT + 3);
  }

  /** Makes a place for this entity. */
  ensure(entityId: number): void {
    if (entityId < this.#count) return;
    assert(entityId < 0x8000_0000, "there are fewer than 2 to the 31st entities");
    this.#count = entityId + 1;
    while (this.#chunks.length << CHUNK_SHIFT < this.#count) this.#chunks.push(new Chunk());
  }

  /** -1 where the entity has never had an event. */
  clock(entityId: number): number {
    return this.#number(entityId, PLACE.clock);
  }

  /** The last accepted event's; -1 where there is none. */
  sequence(entityId: number): number {
    return this.#number(entityId, PLACE.sequence);
  }

  /** The last accepted event's time, in microseconds since the Unix epoch; 0 where it is not known. */
  timeMicros(entityId: number): number {
    return entityId < this.#count ? this.#number(entityId, PLACE.timeMicros) : 0;
  }

  /** The last visible event's; -1 where there is none. */
  visibleSequence(entityId: number): number {
    return this.#number(entityId, PLACE.visibleSequence);
  }

  #number(entityId: number, place: number): number {
    if (entityId >= this.#count) return -1;
    return this.#chunk(entityId >>> CHUNK_SHIFT).numbers[headPlaces(entityId) + place]!;
  }

  #chunk(number: number): Chunk {
    return this.#chunks[number] ?? this.#take(number);
  }

  /** Makes a chunk of what the checkpoint holds of it. */
  #take(number: number): Chunk {
    const { clock, sequence, timeMicros, visibleSequence, hash } = this.#restored!;
    const chunk = new Chunk();
    const { numbers, words } = chunk;
    const from = number << CHUNK_SHIFT;
    const end = Math.min(from + (1 << CHUNK_SHIFT), clock.length);
    for (let entity = from; entity < end; entity++) {
      const at = headPlaces(entity);
      numbers[at + PLACE.clock] = clock[entity]!;
      numbers[at + PLACE.sequence] = sequence[entity]!;
      numbers[at + PLACE.timeMicros] = timeMicros[entity]!;
      numbers[at + PLACE.visibleSequence] = visibleSequence[entity]!;
      const wordsAt = headHashPlace(entity) / 4;
      for (let i = 0; i < HASH_WORDS; i++) words[wordsAt + i] = hash[entity * HASH_WORDS + i]!;
    }
    this.#chunks[number] = chunk;
    if (--this.#untaken === 0) this.#restored = null;
    return chunk;
  }

  /** The last accepted event's hash: 32 bytes that change with the next one. */
  hash(entityId: number): Uint8Array {
    const at = headHashPlace(entityId);
    return this.#chunk(entityId >>> CHUNK_SHIFT).bytes.subarray(at, at + HASH_BYTES);
  }

  /** Copies that hash, by words: such short pieces cost half of what a loop over bytes does. */
  copyHash(entityId: number, target: DataView, to: number): void {
    const { view } = this.#chunk(entityId >>> CHUNK_SHIFT);
    const from = headHashPlace(entityId);
    for (let i = 0; i < HASH_BYTES; i += 4) target.setUint32(to + i, view.getUint32(from + i));
  }

  /**
   * The numbers that the entity's head is among, at `headPlaces` and `HEAD_PLACE`, to be read and changed at once: for whoever places events,
   * where numbers that go through a call would cost memory. The visible sequence is not to be changed there.
   */
  numbersToWrite(entityId: number): Float64Array {
    return this.#toWrite(entityId).numbers;
  }

  /** The bytes that the entity's hash is among, from `headHashPlace` on: to be written at once. */
  bytesToWrite(entityId: number): Uint8Array {
    return this.#toWrite(entityId).bytes;
  }

  /** Whether that hash is the one at `at`. */
  hasHash(entityId: number, source: DataView, at: number): boolean {
    const { view } = this.#chunk(entityId >>> CHUNK_SHIFT);
    const own = headHashPlace(entityId);
    for (let i = 0; i < HASH_BYTES; i += 4) if (view.getUint32(own + i) !== source.getUint32(at + i)) return false;
    return true;
  }

  /** Notes the last accepted event, all but its hash. */
  accept(entityId: number, clock: number, sequence: number, timeMicros: number): void {
    const { numbers } = this.#toWrite(entityId);
    const at = headPlaces(entityId);
    numbers[at + PLACE.clock] = clock;
    numbers[at + PLACE.sequence] = sequence;
    numbers[at + PLACE.timeMicros] = timeMicros;
  }

  /** Notes the hash that begins at `from`. */
  setHash(entityId: number, source: DataView, from: number): void {
    const { view } = this.#toWrite(entityId);
    const to = headHashPlace(entityId);
    for (let i = 0; i < HASH_BYTES; i += 4) view.setUint32(to + i, source.getUint32(from + i));
  }

  /** The same from eight words. */
  setHashWords(entityId: number, source: Uint32Array, from: number): void {
    const { words } = this.#toWrite(entityId);
    const to = headHashPlace(entityId) / 4;
    for (let i = 0; i < HASH_WORDS; i++) words[to + i] = source[from + i]!;
  }

  /** The same from bytes. */
  setHashBytes(entityId: number, source: Uint8Array): void {
    const { bytes } = this.#toWrite(entityId);
    const to = headHashPlace(entityId);
    for (let i = 0; i < HASH_BYTES; i++) bytes[to + i] = source[i]!;
  }

  /** Notes that the event with this sequence is the entity's last visible one. */
  setVisible(entityId: number, sequence: number): void {
    const { numbers } = this.#toWrite(entityId);
    const at = headPlaces(entityId) + PLACE.visibleSequence;
    if (numbers[at]! < 0) this.#liveEntities++;
    numbers[at] = sequence;
  }

  /** Notes that the entity has no visible event left. */
  clearVisible(entityId: number): void {
    const { numbers } = this.#toWrite(entityId);
    const at = headPlaces(entityId) + PLACE.visibleSequence;
    if (numbers[at]! >= 0) this.#liveEntities--;
    numbers[at] = -1;
  }

  #toWrite(entityId: number): Chunk {
    const chunk = this.#chunk(entityId >>> CHUNK_SHIFT);
    if (this.#picture !== null) this.#picture.keep(entityId);
    return chunk;
  }

  /** Begins a picture of the heads as they are: to be worked out by its `advance`, whatever changes meanwhile, and to be ended. One at a time. */
  beginPicture(): HeadsPicture {
    assert(this.#picture === null, "one picture of the heads is worked out at a time");
    const wordsOf = (chunk: number): Uint32Array => this.#chunk(chunk).words;
    this.#picture = new HeadsPicture(wordsOf, 1 << CHUNK_SHIFT, this.#count, () => {
      this.#picture = null;
    });
    return this.#picture;
  }

  /**
   * Heads of parts that are handed over, for `count` entities, none of them past `sequenceMax`; null when lengths or numbers cannot be right.
   * In steps of a millisecond at most.
   */
  static *restore(parts: HeadsParts, count: number, sequenceMax: number): Generator<undefined, Heads | null> {
    const hash = columnOfBytes(Uint32Array, parts.hash, count * HASH_WORDS);
    const clock = columnOfBytes(Float64Array, parts.clock, count);
    const sequence = columnOfBytes(Float64Array, parts.sequence, count);
    const timeMicros = columnOfBytes(Float64Array, parts.timeMicros, count);
    const visibleSequence = columnOfBytes(Float64Array, parts.visibleSequence, count);
    if (hash === null || clock === null || sequence === null || timeMicros === null || visibleSequence === null) return null;
    const heads = new Heads();
    for (let entity = 0; entity < count; entity++) {
      const visible = visibleSequence[entity]!;
      if (!isPosition(clock[entity]!) || !isPosition(timeMicros[entity]!)) return null;
      // The visible event is the head, or one before it where the head is not visible yet.
      if (!isPosition(visible) || !isPosition(sequence[entity]!) || visible > sequence[entity]! || sequence[entity]! > sequenceMax)
        return null;
      if (visible >= 0) heads.#liveEntities++;
      if ((entity + 1) % ENTITIES_PER_STEP === 0) yield;
    }
    heads.#count = count;
    heads.#untaken = Math.ceil(count / (1 << CHUNK_SHIFT));
    for (let chunk = 0; chunk < heads.#untaken; chunk++) heads.#chunks.push(null);
    if (count > 0) heads.#restored = { clock, sequence, timeMicros, visibleSequence, hash };
    return heads;
  }
}

/** A safe integer from -1 up. */
function isPosition(value: number): boolean {
  return value >= -1 && value <= Number.MAX_SAFE_INTEGER && Math.floor(value) === value;
}
