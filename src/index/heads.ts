/**
 * The head of every entity: what an append needs to know of the events before it. Flat arrays indexed by the interner's entity id, so
 * that an entity costs 64 bytes and a million load from a checkpoint by copying.
 *
 * Two heads in one: `clock`, `sequence`, `timeMicros` and `hash` are of the last *accepted* event (ordered, perhaps not committed yet);
 * `visibleSequence` is that of the last *visible* one. The writer assigns the former as it accepts, and calls `setVisible` after a commit.
 *
 * Invariants:
 * 1. `clock` is -1 exactly where the entity never had an event; an entity whose events were all removed keeps its clock and hash.
 * 2. `liveEntities` counts the entities with `visibleSequence >= 0`, and changes only through `setVisible` and `clearVisible`.
 */
import { assert } from "../base/assert.ts";
import { bytesOfColumn, columnFromBytes } from "../base/column-bytes.ts";

export const HASH_BYTES = 32;

/** The parts of the heads as a checkpoint holds them: views for as long as nothing changes. Little-endian. */
export interface HeadsParts {
  readonly clock: Uint8Array;
  readonly sequence: Uint8Array;
  readonly timeMicros: Uint8Array;
  readonly hash: Uint8Array;
  readonly visibleSequence: Uint8Array;
}

export class Heads {
  /** -1 where the entity has never had an event. */
  clock: Float64Array;
  /** The last accepted event's; -1 where there is none. */
  sequence: Float64Array;
  /** The last accepted event's time, in microseconds since the Unix epoch. */
  timeMicros: Float64Array;
  /** 32 bytes an entity: the last accepted event's hash. */
  hash: Uint8Array;
  /** The same memory. */
  hashView: DataView;
  /** The last visible event's; -1 where there is none. */
  visibleSequence: Float64Array;
  #capacity: number;
  #count = 0;
  #liveEntities = 0;

  constructor(capacity = 64) {
    this.#capacity = capacity;
    this.clock = new Float64Array(capacity).fill(-1);
    this.sequence = new Float64Array(capacity).fill(-1);
    this.timeMicros = new Float64Array(capacity);
    this.hash = new Uint8Array(capacity * HASH_BYTES);
    this.hashView = new DataView(this.hash.buffer);
    this.visibleSequence = new Float64Array(capacity).fill(-1);
  }

  /** How many entities have a place: one more than the largest id given to `ensure`. */
  get count(): number {
    return this.#count;
  }

  /** How many entities have at least one visible event. */
  get liveEntities(): number {
    return this.#liveEntities;
  }

  get memoryBytes(): number {
    return this.#capacity * (4 * 8 + HASH_BYTES);
  }

  /** Makes a place for this entity. The arrays may be replaced: read them afresh afterwards. */
  ensure(entityId: number): void {
    if (entityId < this.#count) return;
    if (entityId >= this.#capacity) this.#grow(Math.max(this.#capacity * 2, entityId + 1));
    this.#count = entityId + 1;
  }

  /** Notes that the event with this sequence is the entity's last visible one. */
  setVisible(entityId: number, sequence: number): void {
    if (this.visibleSequence[entityId]! < 0) this.#liveEntities++;
    this.visibleSequence[entityId] = sequence;
  }

  /** Notes that the entity has no visible event left. */
  clearVisible(entityId: number): void {
    if (this.visibleSequence[entityId]! >= 0) this.#liveEntities--;
    this.visibleSequence[entityId] = -1;
  }

  /** What a checkpoint stores. */
  toParts(): HeadsParts {
    const count = this.#count;
    return {
      clock: bytesOfColumn(this.clock, count),
      sequence: bytesOfColumn(this.sequence, count),
      timeMicros: bytesOfColumn(this.timeMicros, count),
      hash: this.hash.subarray(0, count * HASH_BYTES),
      visibleSequence: bytesOfColumn(this.visibleSequence, count),
    };
  }

  /** Heads of copied parts, for `count` entities; null when lengths or numbers cannot be right. */
  static fromParts(parts: HeadsParts, count: number): Heads | null {
    if (parts.hash.length !== count * HASH_BYTES || parts.clock.length !== count * 8) return null;
    const heads = new Heads(Math.max(64, count));
    const copied =
      columnFromBytes(heads.clock, parts.clock, count) &&
      columnFromBytes(heads.sequence, parts.sequence, count) &&
      columnFromBytes(heads.timeMicros, parts.timeMicros, count) &&
      columnFromBytes(heads.visibleSequence, parts.visibleSequence, count);
    if (!copied) return null;
    heads.hash.set(parts.hash);
    heads.#count = count;
    let live = 0;
    for (let entity = 0; entity < count; entity++) {
      const visible = heads.visibleSequence[entity]!;
      if (!isPosition(heads.clock[entity]!) || !isPosition(heads.sequence[entity]!) || !isPosition(visible)) return null;
      if (!isPosition(heads.timeMicros[entity]!)) return null;
      if (visible >= 0) live++;
    }
    heads.#liveEntities = live;
    return heads;
  }

  #grow(capacity: number): void {
    assert(capacity < 0x8000_0000, "there are fewer than 2 to the 31st entities");
    const grown = new Heads(capacity);
    grown.clock.set(this.clock);
    grown.sequence.set(this.sequence);
    grown.timeMicros.set(this.timeMicros);
    grown.hash.set(this.hash);
    grown.visibleSequence.set(this.visibleSequence);
    this.clock = grown.clock;
    this.sequence = grown.sequence;
    this.timeMicros = grown.timeMicros;
    this.hash = grown.hash;
    this.hashView = grown.hashView;
    this.visibleSequence = grown.visibleSequence;
    this.#capacity = capacity;
  }
}

/** A safe integer from -1 up. */
function isPosition(value: number): boolean {
  return value >= -1 && value <= Number.MAX_SAFE_INTEGER && Math.floor(value) === value;
}
