/**
 * The head of every entity: what an append needs to know of the events before it. An entity takes 64 bytes, a line of memory, in chunks. Only
 * the first grows, up to their size: a store of a few entities takes little, and one of a million grows by one more without a pause. Blocks of
 * a few entities get their place in a chunk when one of them is first asked for.
 *
 * Two heads in one: clock, sequence, time and hash are of the last *accepted* event (ordered, perhaps not committed yet);
 * `visibleSequence` is that of the last *visible* one. The writer assigns the former as it accepts, and calls `setVisible` after a commit.
 * Where damage took newer events, and compaction had removed others behind that one, clock and hash are those of the last removed (`log/removed-heads.ts`).
 *
 * Invariants:
 * 1. The clock is -1 exactly where the entity never had an event; an entity whose events were all removed keeps its clock and hash.
 * 2. `liveEntities` counts the entities with `visibleSequence >= 0`, and changes only through `setVisible` and `clearVisible`.
 * 3. While a picture is being worked out, whatever changes is shown to it first (`#rowToWrite`).
 * 4. A block without a place holds what the checkpoint's columns say of it, and nothing past their end: so opening places none, and who appends to
 *    a thousand entities of a million has a thousand blocks placed.
 */
import { assert } from "../base/assert.ts";
import { columnOfBytes, grownColumn } from "../base/column-bytes.ts";
import { BLOCK_SHIFT, HASH_BYTES, HASH_WORDS, HEAD_PLACE as PLACE, PLACES_SHIFT } from "./head-layout.ts";
import { HeadsPicture } from "./heads-picture.ts";

/** The parts of the heads as a checkpoint holds them, little-endian. */
export interface HeadsParts {
  readonly clock: Uint8Array;
  readonly sequence: Uint8Array;
  readonly timeMicros: Uint8Array;
  readonly hash: Uint8Array;
  readonly visibleSequence: Uint8Array;
}

/** A chunk has the heads of so many entities, as a power of two: 64 KiB. */
const CHUNK_SHIFT = 10;
const CHUNK_MASK = (1 << CHUNK_SHIFT) - 1;
const BLOCK_MASK = (1 << BLOCK_SHIFT) - 1;

/** So many entities fit the first chunk at first, and twice as many each time it is full. */
const FIRST_CHUNK_ENTITIES = 1 << BLOCK_SHIFT;

/** The heads of so many entities, `1 << CHUNK_SHIFT` at the most. */
class Chunk {
  readonly numbers: Float64Array<ArrayBuffer>;
  readonly view: DataView;
  readonly bytes: Uint8Array;
  readonly words: Uint32Array;

  constructor(entities: number) {
    this.numbers = new Float64Array(entities << PLACES_SHIFT);
    this.view = new DataView(this.numbers.buffer);
    this.bytes = new Uint8Array(this.numbers.buffer);
    this.words = new Uint32Array(this.numbers.buffer);
  }
}

/** Where the places of the head in this row begin in the numbers of its chunk. */
function placesOf(row: number): number {
  return (row & CHUNK_MASK) << PLACES_SHIFT;
}

/** Where its hash begins in the bytes. */
function hashPlaceOf(row: number): number {
  return (placesOf(row) + PLACE.hash) * 8;
}

/** What a checkpoint holds of the heads, a column each. */
export interface HeadsColumns {
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
  readonly #chunks: Chunk[] = [];
  /** By block: where it lies in the chunks, counted in blocks, and one; 0 where it has no place. */
  #blocks = new Uint32Array(64);
  #placedBlocks = 0;
  /** What blocks without a place hold; null where all that it has have one. */
  #restored: HeadsColumns | null = null;
  /** How many of its blocks have none. */
  #unplaced = 0;
  #count = 0;
  #liveEntities = 0;
  #picture: HeadsPicture | null = null;

  /** How many entities there are: one more than the largest id given to `ensure`. */
  get count(): number {
    return this.#count;
  }

  /** How many entities have at least one visible event. */
  get liveEntities(): number {
    return this.#liveEntities;
  }

  /** There is this entity, and all with lesser ids: to be called before its head is asked for. */
  ensure(entityId: number): void {
    if (entityId < this.#count) return;
    assert(entityId < 0x8000_0000, "there are fewer than 2 to the 31st entities");
    this.#count = entityId + 1;
    const blocks = (entityId >>> BLOCK_SHIFT) + 1;
    if (blocks > this.#blocks.length) this.#blocks = grownColumn(this.#blocks, Math.max(blocks, this.#blocks.length * 2));
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
    const row = this.#row(entityId);
    return this.#chunkOf(row).numbers[placesOf(row) + place]!;
  }

  /** Where the entity lies in the chunks, counted in entities. */
  #row(entityId: number): number {
    const placed = this.#blocks[entityId >>> BLOCK_SHIFT]!;
    return ((placed > 0 ? placed - 1 : this.#place(entityId >>> BLOCK_SHIFT)) << BLOCK_SHIFT) | (entityId & BLOCK_MASK);
  }

  /** Gives a block its place, with what it holds. */
  #place(block: number): number {
    assert(block < this.#blocks.length, "an entity is there before its head is asked for");
    const place = this.#placedBlocks++;
    this.#blocks[block] = place + 1;
    const { numbers, words } = this.#chunkWith(place << BLOCK_SHIFT);
    const first = block << BLOCK_SHIFT;
    let at = placesOf(place << BLOCK_SHIFT);
    const restored = this.#restored;
    const restoredEnd = restored === null ? 0 : restored.clock.length;
    for (let entity = first; entity <= first + BLOCK_MASK; entity++, at += 1 << PLACES_SHIFT) {
      if (restored === null || entity >= restoredEnd) {
        numbers[at + PLACE.clock] = -1;
        numbers[at + PLACE.sequence] = -1;
        numbers[at + PLACE.visibleSequence] = -1;
        continue;
      }
      numbers[at + PLACE.clock] = restored.clock[entity]!;
      numbers[at + PLACE.sequence] = restored.sequence[entity]!;
      numbers[at + PLACE.timeMicros] = restored.timeMicros[entity]!;
      numbers[at + PLACE.visibleSequence] = restored.visibleSequence[entity]!;
      const wordsAt = (at + PLACE.hash) * 2;
      for (let i = 0; i < HASH_WORDS; i++) words[wordsAt + i] = restored.hash[entity * HASH_WORDS + i]!;
    }
    if (first < restoredEnd && --this.#unplaced === 0) this.#restored = null;
    return place;
  }

  /** The chunk that this row lies in, with room for its block. */
  #chunkWith(row: number): Chunk {
    const number = row >>> CHUNK_SHIFT;
    const before = this.#chunks[number];
    if (number > 0) return before ?? (this.#chunks[number] = new Chunk(1 << CHUNK_SHIFT));
    if (before !== undefined && placesOf(row) < before.numbers.length) return before;
    const chunk = new Chunk(before === undefined ? FIRST_CHUNK_ENTITIES : (before.numbers.length >>> PLACES_SHIFT) * 2);
    if (before !== undefined) chunk.numbers.set(before.numbers);
    this.#chunks[0] = chunk;
    return chunk;
  }

  #chunkOf(row: number): Chunk {
    return this.#chunks[row >>> CHUNK_SHIFT]!;
  }

  /** The last accepted event's hash: 32 bytes that change with the next one. */
  hash(entityId: number): Uint8Array {
    const row = this.#row(entityId);
    const at = hashPlaceOf(row);
    return this.#chunkOf(row).bytes.subarray(at, at + HASH_BYTES);
  }

  /** Copies that hash, by words: such short pieces cost half of what a loop over bytes does. */
  copyHash(entityId: number, target: DataView, to: number): void {
    const row = this.#row(entityId);
    const { view } = this.#chunkOf(row);
    const from = hashPlaceOf(row);
    for (let i = 0; i < HASH_BYTES; i += 4) target.setUint32(to + i, view.getUint32(from + i));
  }

  /**
   * The numbers that the entity's head is among, from `places` on as `HEAD_PLACE` has it, to be read and changed at once: for whoever places
   * events, where numbers that go through a call would cost memory. The visible sequence is not to be changed there.
   */
  numbersToWrite(entityId: number): Float64Array {
    return this.#chunkOf(this.#rowToWrite(entityId)).numbers;
  }

  /** The bytes that the entity's hash is among, from `hashPlace` on: to be written at once. */
  bytesToWrite(entityId: number): Uint8Array {
    return this.#chunkOf(this.#rowToWrite(entityId)).bytes;
  }

  places(entityId: number): number {
    return placesOf(this.#row(entityId));
  }

  hashPlace(entityId: number): number {
    return hashPlaceOf(this.#row(entityId));
  }

  /** Whether the last accepted event's hash is the one at `at`. */
  hasHash(entityId: number, source: DataView, at: number): boolean {
    const row = this.#row(entityId);
    const { view } = this.#chunkOf(row);
    const own = hashPlaceOf(row);
    for (let i = 0; i < HASH_BYTES; i += 4) if (view.getUint32(own + i) !== source.getUint32(at + i)) return false;
    return true;
  }

  /** Notes the last accepted event, all but its hash. */
  accept(entityId: number, clock: number, sequence: number, timeMicros: number): void {
    const row = this.#rowToWrite(entityId);
    const { numbers } = this.#chunkOf(row);
    const at = placesOf(row);
    numbers[at + PLACE.clock] = clock;
    numbers[at + PLACE.sequence] = sequence;
    numbers[at + PLACE.timeMicros] = timeMicros;
  }

  /** Notes the hash that begins at `from`. */
  setHash(entityId: number, source: DataView, from: number): void {
    const row = this.#rowToWrite(entityId);
    const { view } = this.#chunkOf(row);
    const to = hashPlaceOf(row);
    for (let i = 0; i < HASH_BYTES; i += 4) view.setUint32(to + i, source.getUint32(from + i));
  }

  /** The same from eight words. */
  setHashWords(entityId: number, source: Uint32Array, from: number): void {
    const row = this.#rowToWrite(entityId);
    const { words } = this.#chunkOf(row);
    const to = hashPlaceOf(row) / 4;
    for (let i = 0; i < HASH_WORDS; i++) words[to + i] = source[from + i]!;
  }

  /** The same from bytes. */
  setHashBytes(entityId: number, source: Uint8Array): void {
    const row = this.#rowToWrite(entityId);
    const { bytes } = this.#chunkOf(row);
    const to = hashPlaceOf(row);
    for (let i = 0; i < HASH_BYTES; i++) bytes[to + i] = source[i]!;
  }

  /** Notes that the event with this sequence is the entity's last visible one. */
  setVisible(entityId: number, sequence: number): void {
    const row = this.#rowToWrite(entityId);
    const { numbers } = this.#chunkOf(row);
    const at = placesOf(row) + PLACE.visibleSequence;
    if (numbers[at]! < 0) this.#liveEntities++;
    numbers[at] = sequence;
  }

  /** Notes that the entity has no visible event left. */
  clearVisible(entityId: number): void {
    const row = this.#rowToWrite(entityId);
    const { numbers } = this.#chunkOf(row);
    const at = placesOf(row) + PLACE.visibleSequence;
    if (numbers[at]! >= 0) this.#liveEntities--;
    numbers[at] = -1;
  }

  #rowToWrite(entityId: number): number {
    if (this.#picture !== null) this.#picture.keep(entityId);
    return this.#row(entityId);
  }

  /** Begins a picture of the heads as they are: to be worked out by its `advance`, whatever changes meanwhile, and to be ended. One at a time. */
  beginPicture(): HeadsPicture {
    assert(this.#picture === null, "one picture of the heads is worked out at a time");
    this.#picture = new HeadsPicture(
      {
        count: this.#count,
        restored: this.#restored,
        hasPlace: (block) => this.#blocks[block] !== 0,
        wordsOf: (entityId) => this.#chunkOf(this.#row(entityId)).words,
        wordsAt: (entityId) => this.places(entityId) * 2,
      },
      () => {
        this.#picture = null;
      },
    );
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
    if (count === 0) return heads;
    heads.ensure(count - 1);
    heads.#unplaced = Math.ceil(count / (1 << BLOCK_SHIFT));
    heads.#restored = { clock, sequence, timeMicros, visibleSequence, hash };
    return heads;
  }
}

/** A safe integer from -1 up. */
function isPosition(value: number): boolean {
  return value >= -1 && value <= Number.MAX_SAFE_INTEGER && Math.floor(value) === value;
}
