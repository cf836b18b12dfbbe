/** The shapes of appending and reading, as the store offers them. Types only. */
import type { ConsumerPosition } from "./consumer-position.ts";
import type { Coordinate } from "./coordinate.ts";
import type { AnyDefinition, AnyNewEvent } from "./definition.ts";
import type { Metadata, Receipt } from "./event.ts";
import type { Event } from "./event-union.ts";
import type { Expectation } from "./expectation.ts";
import type { KnownQuery, Query, QueryEvents, ReadOptions } from "./query.ts";

/** What can be said about one event, or about events that are appended together on one entity. */
export interface EventOptions {
  /** What must be so, else the append rejects with `CONFLICT`. */
  readonly expect?: Expectation | undefined;
  /**
   * 1 to 1,024 UTF-8 bytes. A retry with the same key and the same events returns the first receipts. Events are the same where what their schemas
   * put out is: a schema that fills in another value each time makes another event of a retry (`IDEMPOTENCY_MISMATCH`).
   */
  readonly idempotencyKey?: string | undefined;
  /** Id of the event that causes this: sets causation and inherits correlation. Rejects with `NOT_FOUND` when there is none. */
  readonly causedBy?: string | undefined;
  /** Id of the root of the chain of work, where `causedBy` does not say it. */
  readonly correlationId?: string | undefined;
  /** Noted beside each event. Payload values in a plain object. */
  readonly metadata?: Metadata | undefined;
}

/** What can be said about an append. */
export interface AppendOptions extends EventOptions {
  /** Withdraws the append, as long as it is not accepted. */
  readonly signal?: AbortSignal | undefined;
}

/** One event of a batch over several entities. */
export interface BatchItem extends EventOptions {
  readonly coordinate: Coordinate;
  readonly event: AnyNewEvent;
}

/** What can be said about a batch over several entities. */
export interface BatchOptions {
  /** Withdraws the batch, as long as it is not accepted. */
  readonly signal?: AbortSignal | undefined;
  /** Moves a consumer's position together with the events: `consumer.at(event)`. The batch may be empty then. */
  readonly commit?: ConsumerPosition | undefined;
}

/** A receipt for each event: as many as the compiler can count. */
export type Receipts<Events extends readonly AnyNewEvent[]> = { -readonly [Place in keyof Events]: Receipt };

/** The writing side of a store. */
export interface Appending {
  append(coordinate: Coordinate, event: AnyNewEvent, options?: AppendOptions): Promise<Receipt>;
  append<const Events extends readonly AnyNewEvent[]>(
    coordinate: Coordinate,
    events: Events,
    options?: AppendOptions,
  ): Promise<Receipts<Events>>;
  append(coordinate: Coordinate, events: AnyNewEvent | readonly AnyNewEvent[], options?: AppendOptions): Promise<Receipt | Receipt[]>;
  appendBatch(items: readonly BatchItem[], options?: BatchOptions): Promise<Receipt[]>;
}

/** What `read` returns. Abandoning it leaks nothing. */
export interface EventReading<Read> extends AsyncIterable<Read> {
  /** The events in lists, as they were read: at least one each. */
  batches(): AsyncIterable<readonly Read[]>;
  /** All of them in one list. */
  toArray(): Promise<Read[]>;
  /** The first of them, in the direction of reading; null where there is none. */
  first(): Promise<Read | null>;
}

/** The reading side of a store that knows these definitions. */
export interface Reading<Definitions extends readonly AnyDefinition[] = readonly []> {
  get(id: string): Promise<Event<Definitions> | null>;
  read(): EventReading<Event<Definitions>>;
  read<const Asked extends Query | undefined>(
    query: KnownQuery<Asked>,
    options?: ReadOptions,
  ): EventReading<QueryEvents<Asked, Definitions>>;
  ancestors(id: string): AsyncIterable<Event<Definitions>>;
  count(query?: Query): Promise<number>;
}
