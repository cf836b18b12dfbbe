/**
 * Reading: rows that match, their frames, events. A read ends at what was visible when it began. It goes through the log in chunks, loading
 * the next one while the consumer looks at the last; abandoning it leaves nothing behind, since a chunk holds no file and no lock.
 */
import { bytesShare, inSteps, rest, turnShare } from "./base/rest.ts";
import { isStoreError } from "./base/store-error.ts";
import type { EventReading } from "./events/append-types.ts";
import { StoredEvent } from "./events/event.ts";
import type { CompiledFilter, CompiledReadOptions } from "./events/query.ts";
import type { EventType } from "./events/upcast.ts";
import { idTag, viewOfId } from "./index/id-tag.ts";
import { IndexPageError } from "./index/sealed-segment-index.ts";
import type { SegmentEntry, StoreIndex } from "./index/store-index.ts";
import type { FrameLoader, LoadedFrame } from "./log/frame-loader.ts";
import type { FrameSource } from "./log/frame-source.ts";
import { RowSearch, type SearchBounds, type SearchFilter, stepsBefore } from "./log/row-search.ts";

/** What reading needs of a store. */
export interface ReadingParts {
  readonly index: StoreIndex;
  readonly frames: FrameSource;
  readonly loader: FrameLoader;
  readonly typeOf: (kind: number) => EventType | null;
  /** An error of the file system as one of the store's; any other as it is. */
  readonly asError: (error: unknown) => unknown;
  /** Throws where the store may not be read any more. */
  assertReadable(): void;
  /** In a read-only store: reads the log anew, after another process has compacted it. */
  renew?: () => Promise<void>;
}

/** The log was read anew or compacted meanwhile: what was found in the index before leads nowhere. */
export class IndexReplaced extends Error {}

/** A compiled filter as the index takes it. */
export function searchFilter(filter: CompiledFilter): SearchFilter {
  const search: SearchFilter = { ...filter };
  if (filter.correlationId !== undefined) search.correlationTag = tagOf(filter.correlationId);
  if (filter.causationId !== undefined) search.causationTag = tagOf(filter.causationId);
  return search;
}

function tagOf(id: Uint8Array): number {
  return idTag(viewOfId(id), 0);
}

/** A reader reads the log anew at most this often in a row. */
export const RENEWALS_MAX = 10;
/** A step of looking for rows takes as much of a turn as so many events, for each of its filters: it may pass 64 Ki rows. */
const LOOK_SHARE = 64;
/** Of more filters no more are looked for in a step. */
const FILTERS_PER_STEP = 16;

export function lookShare(filters: readonly SearchFilter[]): number {
  return LOOK_SHARE * Math.min(filters.length, FILTERS_PER_STEP);
}
/** Steps without a result after which the event loop gets its turn. */
const STEPS_PER_REST = 8;
/** Rows looked up at once; the first look is small, so that the first events come soon, or brings all that a page of a list asks for. */
const FIRST_ROWS = 16;
const PAGE_ROWS_MAX = 128;
const ROWS_MAX = 2048;

function firstRows(limit: number): number {
  return limit <= PAGE_ROWS_MAX ? Math.max(1, limit) : FIRST_ROWS;
}

/** Goes through the events that match, a chunk at a time. */
export class EventChunks {
  readonly #parts: ReadingParts;
  readonly #filters: readonly SearchFilter[];
  #bounds: SearchBounds;
  /** Null where it has to be begun, behind what was given last. */
  #search: RowSearch | null = null;
  /** Whether what comes before a search was done. */
  #isPrepared = false;
  /** The revision of the index that was searched. */
  #searched: symbol | null = null;
  /** Of the event given last; -1 before the first. */
  #lastSequence = -1;
  readonly #backward: boolean;
  readonly #signal: AbortSignal | undefined;
  #left: number;
  #rows: Uint32Array;
  /** Whether the last look found as many as there was room for. */
  #isFilled = false;
  /** Rows found and not yet loaded: `[from, to)`, ascending. */
  #from = 0;
  #to = 0;
  #segment: SegmentEntry | null = null;
  #ended = false;
  /** How often the log was read anew since the last event given, and which one that was. */
  #renewals = 0;
  #renewedAt = -1;

  constructor(parts: ReadingParts, filters: readonly SearchFilter[], options: CompiledReadOptions, bound: number) {
    this.#parts = parts;
    this.#backward = options.direction === "backward";
    this.#signal = options.signal;
    this.#left = options.limit;
    this.#rows = new Uint32Array(firstRows(options.limit));
    const { after } = options;
    const from = this.#backward || after === undefined ? 0 : after + 1;
    const to = this.#backward && after !== undefined ? Math.min(bound, after) : bound;
    this.#filters = filters;
    this.#bounds = { from: Math.max(0, from), to, direction: options.direction };
  }

  #newSearch(): RowSearch {
    const { index } = this.#parts;
    this.#searched = index.revision;
    return new RowSearch(index, this.#filters, this.#bounds);
  }

  /** Begins anew behind what was given, after a bad page of an index block was met and that index rebuilt. */
  #resume(error: unknown): void {
    if (!(error instanceof IndexPageError)) throw this.#parts.asError(error);
    this.#parts.index.rebuildIndex(error.segmentId);
    this.#restart();
  }

  /** The index, or the whole log, is not what it was: goes on behind what was given. */
  #restart(): void {
    const { from, to, direction } = this.#bounds;
    const given = this.#lastSequence;
    this.#bounds = this.#backward ? { from, to: given < 0 ? to : given, direction } : { from: Math.max(from, given + 1), to, direction };
    this.#search = null;
    this.#from = this.#to = 0;
    this.#ended = false;
  }

  /** The next events, in order; null at the end. Synchronous where that costs little. */
  next(): StoredEvent[] | null | Promise<StoredEvent[] | null> {
    const turn = turnShare.wait();
    return turn === null ? this.#goOn() : turn.then(() => this.#goOn());
  }

  #goOn(): StoredEvent[] | null | Promise<StoredEvent[] | null> {
    this.#signal?.throwIfAborted();
    this.#parts.assertReadable();
    try {
      return this.#step();
    } catch (error) {
      return this.#nextAfter(error);
    }
  }

  /** Goes on behind what was given, where the error is one of the index and not of the log. */
  #nextAfter(error: unknown): Promise<StoredEvent[] | null> {
    if (this.#isOutdated(error)) return this.#renew(error);
    this.#resume(error);
    return rest().then(() => this.next());
  }

  /** Whether the log that was searched is not the one that is there. */
  #isOutdated(error: unknown): boolean {
    const { index, renew } = this.#parts;
    return this.#searched !== index.revision || (renew !== undefined && isStoreError(error, "COMPACTED"));
  }

  async #renew(error: unknown): Promise<StoredEvent[] | null> {
    const { index, renew } = this.#parts;
    if (this.#searched === index.revision) {
      // A log that was read anew and still contradicts itself is not being compacted.
      this.#renewals = this.#lastSequence === this.#renewedAt ? this.#renewals + 1 : 1;
      this.#renewedAt = this.#lastSequence;
      if (this.#renewals > RENEWALS_MAX) throw this.#parts.asError(error);
      await renew?.();
    }
    this.#restart();
    return this.next();
  }

  #step(): StoredEvent[] | null | Promise<StoredEvent[] | null> {
    const steps = this.#isPrepared ? null : stepsBefore(this.#parts.index, this.#filters);
    this.#isPrepared = true;
    if (steps !== null) return inSteps(steps).then(() => this.next());
    for (let step = 0; step < STEPS_PER_REST; step++) {
      if (this.#search !== null && this.#searched !== this.#parts.index.revision) this.#restart();
      if (this.#ended || this.#left <= 0) return null;
      if (this.#from === this.#to && !this.#find()) continue;
      const events = this.#load();
      if (events instanceof Promise) {
        return events.then(
          (loaded) => (loaded.length > 0 ? loaded : this.next()),
          // A page of the index may have been needed once the frames were there.
          (error: unknown) => this.#nextAfter(error),
        );
      }
      if (events.length > 0) return events;
    }
    return rest().then(() => this.next());
  }

  /** Looks for rows; false where none were found in this step. */
  #find(): boolean {
    turnShare.spend(lookShare(this.#filters));
    this.#search ??= this.#newSearch();
    if (this.#isFilled && this.#rows.length < ROWS_MAX) this.#rows = new Uint32Array(Math.min(ROWS_MAX, this.#rows.length * 4));
    const count = this.#search.next(this.#rows);
    this.#isFilled = count === this.#rows.length;
    if (count === 0) this.#ended = true;
    if (count <= 0) return false;
    if (this.#backward) this.#rows.subarray(0, count).reverse();
    this.#from = 0;
    this.#to = count;
    this.#segment = this.#search.segment;
    return true;
  }

  #load(): StoredEvent[] | Promise<StoredEvent[]> {
    const segment = this.#segment as SegmentEntry;
    const { loader } = this.#parts;
    const rows = this.#rows;
    // More than are asked for are loaded only where frames tell which of them match.
    const rowsMax = this.#search?.needsFrames === false ? this.#left : Number.POSITIVE_INFINITY;
    let count: number;
    let from: number;
    if (this.#backward) {
      // Taken from the end: as many rows as one load brings.
      from = Math.max(this.#from, this.#to - Math.min(rowsMax, 512));
      while (from + loader.chunk(segment, rows, from, this.#to) < this.#to) from += loader.chunk(segment, rows, from, this.#to);
      count = this.#to - from;
      this.#to = from;
    } else {
      from = this.#from;
      count = loader.chunk(segment, rows, from, Math.min(this.#to, from + rowsMax));
      this.#from += count;
    }
    const loaded = loader.load(segment, rows, from, count, "quick");
    if (loaded instanceof Promise) return loaded.then((frames) => this.#toEvents(segment, frames));
    return this.#toEvents(segment, loaded);
  }

  #toEvents(segment: SegmentEntry, frames: readonly LoadedFrame[]): StoredEvent[] {
    const { index, typeOf } = this.#parts;
    const search = this.#search;
    if (search === null || this.#searched !== index.revision) throw new IndexReplaced("The log was read anew");
    const segmentIndex = index.indexOf(segment);
    const { dense, firstSequence } = segmentIndex;
    const events: StoredEvent[] = [];
    const { needsFrames } = search;
    let byteCount = 0;
    for (const { slab, at, row, format } of frames) {
      byteCount += format.length(slab.view, at);
      const sequence = dense ? firstSequence + row : segmentIndex.sequenceAt(row);
      if (needsFrames && !search.confirms(format, slab.bytes, slab.view, at, sequence)) continue;
      events.push(new StoredEvent(format, slab, at, sequence, typeOf(format.kind(slab.view, at))));
    }
    turnShare.spend(1 + frames.length + bytesShare(byteCount));
    if (this.#backward) events.reverse();
    if (events.length > this.#left) events.length = this.#left;
    this.#left -= events.length;
    if (events.length > 0) this.#lastSequence = events[events.length - 1].sequence;
    return events;
  }
}

const END = { done: true as const, value: undefined };

/** Iterates events one by one over chunks, loading one chunk ahead. */
class ChunkIterator implements AsyncIterator<StoredEvent, undefined>, AsyncIterable<StoredEvent> {
  readonly #chunks: EventChunks;
  readonly #signal: AbortSignal | undefined;
  #events: readonly StoredEvent[] = [];
  #position = 0;
  #ahead: Promise<StoredEvent[] | null> | null = null;
  #done = false;
  /** Calls of next that wait, and what the last of them waits for. */
  #waiting = 0;
  #lastWait: Promise<unknown> | null = null;

  constructor(chunks: EventChunks, signal: AbortSignal | undefined) {
    this.#chunks = chunks;
    this.#signal = signal;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<IteratorResult<StoredEvent, undefined>> {
    if (this.#waiting === 0 && this.#signal?.aborted !== true) {
      if (this.#position === this.#events.length && this.#ahead === null && !this.#done) this.#loadAtOnce();
      if (this.#position < this.#events.length) return Promise.resolve({ done: false, value: this.#events[this.#position++] });
      if (this.#done) return Promise.resolve(END);
    }
    // Calls that do not wait for each other are answered in their order.
    this.#waiting++;
    const answer = this.#refill(this.#lastWait);
    this.#lastWait = answer.catch(() => {});
    return answer;
  }

  /** Takes up the next events where they are there without waiting, and otherwise what has to be waited for. */
  #loadAtOnce(): void {
    try {
      const events = this.#chunks.next();
      if (events instanceof Promise) this.#ahead = events;
      else this.#take(events);
    } catch (error) {
      this.#ahead = Promise.reject(error);
    }
  }

  async #refill(before: Promise<unknown> | null): Promise<IteratorResult<StoredEvent, undefined>> {
    try {
      if (before !== null) await before;
      if (this.#position === this.#events.length && !this.#done) await this.#load();
      else if (this.#signal?.aborted === true && !this.#done) this.#abort(this.#signal);
      if (this.#done) return END;
      return { done: false, value: this.#events[this.#position++] };
    } finally {
      // Before the answer is given: who asks again at once finds what is there.
      if (--this.#waiting === 0) this.#lastWait = null;
    }
  }

  /** What was loaded before the signal was aborted is not given any more. */
  #abort(signal: AbortSignal): void {
    void this.return();
    signal.throwIfAborted();
  }

  /** Waits for the next events, one at the least, or notes the end. */
  async #load(): Promise<void> {
    const ahead = this.#ahead;
    this.#ahead = null;
    try {
      const events = await (ahead ?? this.#chunks.next());
      // It may have been abandoned meanwhile.
      if (this.#done) return;
      this.#signal?.throwIfAborted();
      this.#take(events);
    } catch (error) {
      this.#done = true;
      throw error;
    }
  }

  #take(events: readonly StoredEvent[] | null): void {
    if (events === null) {
      this.#done = true;
      return;
    }
    this.#events = events;
    this.#position = 0;
    if (events.length >= AHEAD_FROM_EVENTS) this.#ahead = readAhead(this.#chunks);
  }

  return(): Promise<IteratorResult<StoredEvent, undefined>> {
    this.#done = true;
    this.#events = [];
    this.#position = 0;
    return Promise.resolve(END);
  }
}

/** A chunk of this many events or more is followed by reading ahead. */
const AHEAD_FROM_EVENTS = 64;

/** Begins to load the next chunk while the consumer looks at the last. Whoever abandons the read never sees its failure; whoever goes on does. */
function readAhead(chunks: EventChunks): Promise<StoredEvent[] | null> {
  const next = new Promise<StoredEvent[] | null>((resolve) => resolve(chunks.next()));
  next.catch(() => {});
  return next;
}

/** What `store.read` returns. Each iteration begins anew, over the same events. */
export class StoredReading implements EventReading<StoredEvent> {
  readonly #open: (limit?: number) => EventChunks;
  readonly #signal: AbortSignal | undefined;

  constructor(parts: ReadingParts, filters: readonly SearchFilter[], options: CompiledReadOptions, bound: number) {
    this.#signal = options.signal;
    this.#open = (limit) =>
      new EventChunks(parts, filters, limit === undefined ? options : { ...options, limit: Math.min(limit, options.limit) }, bound);
  }

  [Symbol.asyncIterator](): AsyncIterator<StoredEvent> {
    return new ChunkIterator(this.#open(), this.#signal);
  }

  async *batches(): AsyncGenerator<readonly StoredEvent[], undefined> {
    const chunks = this.#open();
    let next: ReturnType<EventChunks["next"]> = chunks.next();
    for (;;) {
      const events = await next;
      // It may have been loaded, or the end found, before the signal was aborted.
      this.#signal?.throwIfAborted();
      if (events === null) return;
      if (events.length < AHEAD_FROM_EVENTS) {
        yield events;
        next = chunks.next();
      } else {
        next = readAhead(chunks);
        yield events;
      }
    }
  }

  async toArray(): Promise<StoredEvent[]> {
    const all: StoredEvent[] = [];
    for await (const events of this.batches()) for (const event of events) all.push(event);
    return all;
  }

  async first(): Promise<StoredEvent | null> {
    const events = await this.#open(1).next();
    return events?.[0] ?? null;
  }
}
