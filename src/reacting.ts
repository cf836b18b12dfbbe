/**
 * Reactions: a consumer that appends what it derives, exactly once for each event it sees.
 *
 * Invariants:
 * 1. What is derived of one event (its cause) is in one batch: there whole or not at all.
 * 2. Each derived event has a key made of the reaction's name, the cause's id and its number. A cause is done as soon as one of them is there, or
 *    was until a compaction, so that what is done again (after a crash, a reset) adds nothing.
 * 3. The position passes a cause only when what was derived of it is stored: with it in one batch where the position is in the log (native
 *    layout), after it where that is in a file.
 *
 * Causes that are there together are handled in chunks: one batch and one position for all of them. Where a chunk is refused, each of its causes
 * is tried by itself, so that one that is refused stops none before it.
 */
import { systemClock } from "./base/clock.ts";
import { describeValue } from "./base/describe-value.ts";
import { onAbort } from "./base/on-abort.ts";
import { invalidArgument, isStoreError } from "./base/store-error.ts";
import { openConsumer } from "./consuming.ts";
import type { BatchItem, BatchOptions } from "./events/append-types.ts";
import type { StoredEvent } from "./events/event.ts";
import { keyedId } from "./events/id.ts";
import type { Query } from "./events/query.ts";
import { seenCause } from "./events/seen-cause.ts";
import { blake3 } from "./kernel/frame-kernel.ts";
import type { StoreAccess } from "./store-access.ts";
import type { Consumer } from "./subscriptions/consumer.ts";
import { assertConsumerName } from "./subscriptions/consumer-name.ts";
import { appendBatchTo } from "./tracing.ts";

/** What a reaction appends: a batch item whose key and cause are the reaction's. */
export type ReactionItem = Omit<BatchItem, "idempotencyKey" | "causedBy" | "correlationId"> & {
  readonly idempotencyKey?: never;
  readonly causedBy?: never;
  readonly correlationId?: never;
};

type Derived = ReactionItem | readonly ReactionItem[] | null | undefined | void;

/**
 * Derives events from an event. `signal` is aborted when the reaction is to end, also because the store is closed: who is under way is waited for.
 * What it gave for the events before, up to 255 of them, may not be stored yet.
 */
export type ReactionHandler<Read> = (event: Read, context: { readonly signal: AbortSignal }) => Derived | Promise<Derived>;

/** Where a reaction begins, and when it ends. */
export interface ReactOptions {
  /** Ends the reaction, when what it is at is stored. */
  readonly signal?: AbortSignal | undefined;
  /** Where a reaction begins that has no position yet; default `"start"`. `"end"` is behind what is visible when it is called. */
  readonly after?: number | "start" | "end" | undefined;
  /** How long to wait for another process to let go of the name, in milliseconds; default 0. */
  readonly lockWaitMs?: number | undefined;
}

/** Causes handled before what was derived of them is stored. */
const CHUNK_CAUSES = 256;
/** Derived events after which a chunk ends early. */
const CHUNK_ITEMS = 1024;
/** So that what a slow handler gave does not wait for long. */
const CHUNK_MS = 50;

interface Handled {
  readonly cause: StoredEvent;
  readonly items: readonly BatchItem[];
}

/** Runs a reaction until its signal is aborted, its store closed, or something fails. */
export async function react(
  access: StoreAccess,
  name: string,
  query: Query | undefined,
  handler: ReactionHandler<never>,
  options: ReactOptions,
): Promise<void> {
  access.assertWritable("react");
  assertConsumerName(name, "react");
  if (typeof handler !== "function") throw invalidArgument("Cannot react: the handler is no function, a function is allowed");
  const { signal, ...placing } = options;
  const positionIn = access.parts.layout === "native" ? "log" : "file";
  const stop = new AbortController();
  const keepOn = onAbort(signal, () => stop.abort());
  const goOn = access.closing.onEnd(() => stop.abort());
  try {
    if (signal?.aborted === true) return;
    const consumer = await openConsumer(access, name, query, { ...placing, positionIn, signal: stop.signal });
    try {
      await new Reaction(access, consumer, handler as ReactionHandler<StoredEvent>, stop.signal).run();
    } finally {
      await consumer.close();
    }
  } catch (error) {
    if (!(stop.signal.aborted && error === stop.signal.reason) && !endedByClosing(access, error)) throw error;
  } finally {
    keepOn();
    goOn();
  }
}

function endedByClosing(access: StoreAccess, error: unknown): boolean {
  return access.state !== "open" && isStoreError(error, "CLOSED");
}

class Reaction {
  readonly #access: StoreAccess;
  readonly #consumer: Consumer<StoredEvent>;
  readonly #handler: ReactionHandler<StoredEvent>;
  readonly #signal: AbortSignal;

  constructor(access: StoreAccess, consumer: Consumer<StoredEvent>, handler: ReactionHandler<StoredEvent>, signal: AbortSignal) {
    this.#access = access;
    this.#consumer = consumer;
    this.#handler = handler;
    this.#signal = signal;
  }

  async run(): Promise<void> {
    for await (const events of this.#consumer.batches()) {
      for (let from = 0; from < events.length; ) {
        from += await this.#handleChunk(events, from);
        if (this.#signal.aborted || this.#access.state !== "open") return;
      }
    }
  }

  /** Handles events from there on, stores what they give, and tells how many they were. */
  async #handleChunk(events: readonly StoredEvent[], from: number): Promise<number> {
    const chunk: Handled[] = [];
    let items = 0;
    let failure: { readonly error: unknown } | null = null;
    const untilMs = systemClock.monotonicMs() + CHUNK_MS;
    let at = from;
    for (; at < events.length && chunk.length < CHUNK_CAUSES && items < CHUNK_ITEMS && !this.#signal.aborted; at++) {
      try {
        const derived = await this.#derive(events[at]);
        chunk.push({ cause: events[at], items: derived });
        items += derived.length;
        if (systemClock.monotonicMs() >= untilMs) items = CHUNK_ITEMS;
      } catch (error) {
        failure = { error };
        break;
      }
    }
    // What was derived before the failure is stored, and the position stands before the event that failed.
    await this.#store(chunk);
    if (failure !== null) throw failure.error;
    return at - from;
  }

  async #derive(cause: StoredEvent): Promise<readonly BatchItem[]> {
    const derived = await this.#handler(cause, { signal: this.#signal });
    const list: readonly ReactionItem[] =
      derived === null || derived === undefined ? [] : Array.isArray(derived) ? derived : [derived as ReactionItem];
    return list.map((item, number) => this.#keyed(item, number, cause));
  }

  #keyed(item: ReactionItem, number: number, cause: StoredEvent): BatchItem {
    if (typeof item !== "object" || item === null) {
      throw invalidArgument(
        `Cannot append what was derived: the handler gave ${describeValue(item)}, { coordinate, event } and lists of it are allowed`,
      );
    }
    for (const taken of ["idempotencyKey", "causedBy", "correlationId"]) {
      if (taken in item) throw invalidArgument(`Cannot append what was derived: it has ${taken}, which the reaction gives itself`);
    }
    return { ...item, idempotencyKey: `${this.#consumer.name}\0${cause.id}\0${number}`, [seenCause]: cause } as BatchItem;
  }

  async #store(chunk: readonly Handled[]): Promise<void> {
    if (chunk.length === 0) return;
    const todo = chunk.map((handled) => (this.#isDone(handled) ? { ...handled, items: [] } : handled));
    // An expectation is judged against what is stored, so what was derived before must be.
    const conditional = todo.some(({ items }) => items.some(({ expect }) => expect !== undefined));
    if (todo.length > 1 && !conditional) {
      try {
        await this.#append(
          todo[todo.length - 1].cause,
          todo.flatMap(({ items }) => items),
        );
        return;
      } catch (error) {
        if (isStoreError(error) && (error.code === "COMMIT_UNKNOWN" || error.code === "POISONED" || error.code === "CLOSED")) throw error;
      }
    }
    for (const { cause, items } of todo) await this.#append(cause, items);
  }

  /** Whether what was derived of the cause was stored once: one of its events was, so all were. What compaction removed since was as well. */
  #isDone({ items }: Handled): boolean {
    return items.some(({ coordinate, idempotencyKey }) => {
      if (typeof coordinate?.entity !== "string") return false;
      const key = keyedId(coordinate.entity, 0, idempotencyKey as string, blake3);
      return this.#access.find(key) !== null || this.#access.findRemoved(key) !== null;
    });
  }

  async #append(last: StoredEvent, items: readonly BatchItem[]): Promise<void> {
    if (this.#consumer.positionIn === "log") {
      const options: BatchOptions = { commit: this.#consumer.at(last) };
      await appendBatchTo(this.#access, items, options);
      return;
    }
    if (items.length > 0) await appendBatchTo(this.#access, items, {});
    await this.#consumer.commit(last);
  }
}
