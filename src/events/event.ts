/**
 * What a reader gets: events and receipts.
 *
 * A stored event is a handful of numbers beside the bytes of its frame; everything else is decoded when first looked at, and what is costly
 * (`data`, `metadata`) is kept. The bytes are read by the layout's `FrameReader`, so this file knows no offsets.
 */
import { inspect } from "node:util";
import { payloadToJsonValue } from "./payload-json.ts";
import { type EventType, upcast, versionOfData } from "./upcast.ts";

/** What the writer noted beside the payload: members of a plain object, of any payload values. */
export type Metadata = Readonly<Record<string, unknown>>;

/** An event's fields as plain values. */
export interface PlainEvent<Type extends string | null = string | null, Data = unknown> {
  /** UUID text, lower-case and hyphenated. */
  readonly id: string;
  /** Number within the store, from 0. */
  readonly sequence: number;
  readonly entity: string;
  readonly scope: string;
  /** u16: category in the top 4 bits, type in the lower 12. */
  readonly kind: number;
  /** The name of its definition; null where the kind has no name. */
  readonly type: Type;
  /** The version of its definition that `data` has: as it was written, or the one that it was brought up to. */
  readonly version: number;
  /** Number within the entity, from 0. */
  readonly clock: number;
  /** Milliseconds since the Unix epoch, an integer: the stored microseconds rounded down. */
  readonly timestamp: number;
  /** The root of the chain of work; a root's is its own id. */
  readonly correlationId: string;
  /** The event that directly caused this one. */
  readonly causationId: string | null;
  /** 64 hex digits. */
  readonly hash: string;
  /** The hash of the entity's event before this one, 64 hex digits; zeros for its first. */
  readonly previousHash: string;
  readonly metadata: Metadata | null;
  readonly data: Data;
}

/** An event as it is read. Its fields decode when first looked at; copies are made by `toObject`, not by spreading. */
export interface TypedEvent<Type extends string | null = string | null, Data = unknown> extends PlainEvent<Type, Data> {
  /** The definition's version when it was written: what the stored bytes and the hash speak of. */
  readonly storedVersion: number;
  /** The same as a plain object, everything decoded. */
  toObject(): PlainEvent<Type, Data>;
  /** The same for `JSON.stringify`, data and metadata in the JSON form of payloads. */
  toJSON(): PlainEvent<Type, unknown>;
}

/** Where and when an append was stored. */
export interface Receipt {
  /** UUID text, lower-case and hyphenated. */
  readonly id: string;
  /** Number within the store, from 0. */
  readonly sequence: number;
  /** Number within the entity, from 0: what `expect: { clock }` takes. */
  readonly clock: number;
  /** The event's hash, 64 hex digits. */
  readonly hash: string;
  /** Milliseconds since the Unix epoch. */
  readonly timestamp: number;
  /** Whether it was on stable storage when the receipt was made. */
  readonly durable: boolean;
}

/** Bytes that frames lie in. Whoever makes an event of them never changes them afterwards. */
export interface Slab {
  readonly bytes: Uint8Array;
  /** Of the same memory as `bytes`, with the same origin. */
  readonly view: DataView;
}

/** Reads the fields of a whole, checked frame of one layout. `at` is where the frame begins in `bytes` and `view`. */
export interface FrameReader {
  kind(view: DataView, at: number): number;
  version(view: DataView, at: number): number;
  clock(view: DataView, at: number): number;
  /** Microseconds since the Unix epoch. */
  timeMicros(view: DataView, at: number): number;
  /** Ids as lower-case hyphenated text. */
  id(bytes: Uint8Array, view: DataView, at: number): string;
  /** The id of the root event: the event's own where it is one itself. */
  correlationId(bytes: Uint8Array, view: DataView, at: number): string;
  causationId(bytes: Uint8Array, view: DataView, at: number): string | null;
  /** Hashes as 64 lower-case hex digits. */
  hash(bytes: Uint8Array, view: DataView, at: number): string;
  previousHash(bytes: Uint8Array, view: DataView, at: number): string;
  entity(bytes: Uint8Array, view: DataView, at: number): string;
  scope(bytes: Uint8Array, view: DataView, at: number): string;
  /** Decoded; null when there is none. Throws `CORRUPT` where the bytes are no MessagePack map. */
  metadata(bytes: Uint8Array, view: DataView, at: number): Metadata | null;
  /** Decoded. Throws `CORRUPT` where the bytes are no MessagePack value. */
  payload(bytes: Uint8Array, view: DataView, at: number): unknown;
}

/** An event over the frame that holds it. Keeps the slab alive: the caller decides how much one slab pins. */
export class StoredEvent implements TypedEvent {
  readonly sequence: number;
  readonly #type: EventType | null;
  readonly #reader: FrameReader;
  readonly #slab: Slab;
  readonly #at: number;
  /** Undefined until looked at, which no payload is. */
  #data: unknown = undefined;
  #metadata: Metadata | null | undefined = undefined;

  /**
   * @param at where the frame begins in the slab
   * @param sequence number within the store
   * @param type the name of the kind and its definition, if it has one
   */
  constructor(reader: FrameReader, slab: Slab, at: number, sequence: number, type: EventType | null) {
    this.sequence = sequence;
    this.#type = type;
    this.#reader = reader;
    this.#slab = slab;
    this.#at = at;
  }

  get id(): string {
    return this.#reader.id(this.#slab.bytes, this.#slab.view, this.#at);
  }

  get entity(): string {
    return this.#reader.entity(this.#slab.bytes, this.#slab.view, this.#at);
  }

  get scope(): string {
    return this.#reader.scope(this.#slab.bytes, this.#slab.view, this.#at);
  }

  get kind(): number {
    return this.#reader.kind(this.#slab.view, this.#at);
  }

  get type(): string | null {
    return this.#type === null ? null : this.#type.name;
  }

  get version(): number {
    return versionOfData(this.#type?.definition ?? null, this.storedVersion);
  }

  get storedVersion(): number {
    return this.#reader.version(this.#slab.view, this.#at);
  }

  get clock(): number {
    return this.#reader.clock(this.#slab.view, this.#at);
  }

  get timestamp(): number {
    return Math.floor(this.#reader.timeMicros(this.#slab.view, this.#at) / 1000);
  }

  get correlationId(): string {
    return this.#reader.correlationId(this.#slab.bytes, this.#slab.view, this.#at);
  }

  get causationId(): string | null {
    return this.#reader.causationId(this.#slab.bytes, this.#slab.view, this.#at);
  }

  get hash(): string {
    return this.#reader.hash(this.#slab.bytes, this.#slab.view, this.#at);
  }

  get previousHash(): string {
    return this.#reader.previousHash(this.#slab.bytes, this.#slab.view, this.#at);
  }

  get metadata(): Metadata | null {
    if (this.#metadata === undefined) this.#metadata = this.#reader.metadata(this.#slab.bytes, this.#slab.view, this.#at);
    return this.#metadata;
  }

  get data(): unknown {
    if (this.#data === undefined) this.#data = this.#readData();
    return this.#data;
  }

  #readData(): unknown {
    const definition = this.#type === null ? null : this.#type.definition;
    const data = this.#reader.payload(this.#slab.bytes, this.#slab.view, this.#at);
    return definition === null || definition.version === this.storedVersion ? data : upcast(definition, this.storedVersion, data);
  }

  toObject(): PlainEvent {
    return this.#plain(this.metadata, this.data);
  }

  #plain(metadata: Metadata | null, data: unknown): PlainEvent {
    return {
      id: this.id,
      sequence: this.sequence,
      entity: this.entity,
      scope: this.scope,
      kind: this.kind,
      type: this.type,
      version: this.version,
      clock: this.clock,
      timestamp: this.timestamp,
      correlationId: this.correlationId,
      causationId: this.causationId,
      hash: this.hash,
      previousHash: this.previousHash,
      metadata,
      data,
    };
  }

  toJSON(): PlainEvent {
    return this.#plain(payloadToJsonValue(this.metadata) as Metadata | null, payloadToJsonValue(this.data));
  }

  /** Printing never fails: where data or metadata cannot be given, it shows why. */
  [inspect.custom](): PlainEvent {
    return this.#plain(
      valueOrError(() => this.metadata) as Metadata | null,
      valueOrError(() => this.data),
    );
  }
}

function valueOrError(read: () => unknown): unknown {
  try {
    return read();
  } catch (error) {
    return error;
  }
}
