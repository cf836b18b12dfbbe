/** The store's calls as traced operations: taken only where somebody listens, see `base/diagnostics.ts`. */
import { isTraced, traced } from "./base/diagnostics.ts";
import type { AppendOptions, BatchItem, BatchOptions, EventReading } from "./events/append-types.ts";
import type { Coordinate } from "./events/coordinate.ts";
import type { AnyNewEvent } from "./events/definition.ts";
import type { Receipt } from "./events/event.ts";
import { appendCommitting } from "./consuming.ts";
import type { KeptPlace } from "./log/acceptance.ts";
import { openParts, type Opened } from "./open-store.ts";
import type { StoreAccess } from "./store-access.ts";
import type { CompiledOptions } from "./store-options.ts";

/** Appends for `store.append`, where somebody listens. What is wrong comes as a rejection, as where nobody does. */
export function tracedAppend(
  access: StoreAccess,
  coordinate: Coordinate,
  events: AnyNewEvent | readonly AnyNewEvent[],
  options: AppendOptions | undefined,
  place: KeptPlace | null = null,
): Promise<Receipt | Receipt[]> {
  const { writer } = access;
  if (writer === null) return Promise.reject(access.readOnlyError("append"));
  const message = { directory: access.directory, entity: "", scope: "", events: Array.isArray(events) ? events.length : 1 };
  let append = (): Promise<Receipt | Receipt[]> => writer.appending.append(coordinate, events, options, place);
  try {
    // Read once, so that what is told is what is appended, and a getter is asked no oftener than without a listener.
    const { entity, scope } = coordinate ?? {};
    Object.assign(message, { entity, scope });
    if (typeof coordinate === "object" && coordinate !== null)
      append = () => writer.appending.append({ entity, scope }, events, options, place);
  } catch (error) {
    append = () => Promise.reject(error as Error);
  }
  return traced("append", () => message, append);
}

/** Appends a batch, with a consumer's position where one is given. */
export function appendBatchTo(access: StoreAccess, items: readonly BatchItem[], options: BatchOptions | undefined): Promise<Receipt[]> {
  if (!isTraced("append")) return appendUntraced(access, items, options);
  const message = { directory: access.directory, entity: null, scope: null, events: Array.isArray(items) ? items.length : 0 };
  return traced(
    "append",
    () => message,
    () => appendUntraced(access, items, options),
  );
}

function appendUntraced(access: StoreAccess, items: readonly BatchItem[], options: BatchOptions | undefined): Promise<Receipt[]> {
  if (access.writer === null) return Promise.reject(access.readOnlyError("append"));
  return options?.commit === undefined ? access.writer.appending.appendBatch(items, options) : appendCommitting(access, items, options);
}

/** Opens what a store consists of. */
export async function tracedOpening(directory: string, options: CompiledOptions): Promise<Opened> {
  let opened: Opened | null = null;
  await traced(
    "recover",
    () => ({ directory, readOnly: options.readOnly }),
    async () => {
      opened = await openParts(directory, options);
      return opened.report;
    },
  );
  return opened as unknown as Opened;
}

/** A reading that is told of: from the first event that is asked for to the last, or until it is abandoned. */
export class TracedReading<Read> implements EventReading<Read> {
  readonly #reading: EventReading<Read>;
  readonly #directory: string;

  constructor(reading: EventReading<Read>, directory: string) {
    this.#reading = reading;
    this.#directory = directory;
  }

  [Symbol.asyncIterator](): AsyncGenerator<Read, undefined> {
    return this.#told(this.#reading, () => 1);
  }

  batches(): AsyncGenerator<readonly Read[], undefined> {
    return this.#told(this.#reading.batches(), (events) => events.length);
  }

  async *#told<Given>(reading: AsyncIterable<Given>, countOf: (given: Given) => number): AsyncGenerator<Given, undefined> {
    const message = { directory: this.#directory, events: 0 };
    let end = (): void => {};
    let fail = (_error: unknown): void => {};
    const whole = new Promise<void>((resolve, reject) => {
      end = resolve;
      fail = reject;
    });
    const told = traced(
      "read",
      () => message,
      () => whole,
    );
    // Whoever reads is told below.
    told.catch(() => {});
    try {
      for await (const given of reading) {
        message.events += countOf(given);
        yield given;
      }
    } catch (error) {
      fail(error);
      throw error;
    } finally {
      end();
    }
  }

  async toArray(): Promise<Read[]> {
    const all: Read[] = [];
    for await (const events of this.batches()) all.push(...events);
    return all;
  }

  first(): Promise<Read | null> {
    const message = { directory: this.#directory, events: 0 };
    return traced(
      "read",
      () => message,
      async () => {
        const event = await this.#reading.first();
        if (event !== null) message.events = 1;
        return event;
      },
    );
  }
}
