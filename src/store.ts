/**
 * The store: one directory, opened. It wires the parts and owns the life cycle:
 *
 *   opening -> open -> closing -> closed
 *                 \-> poisoned (a write failed: reads go on, appends are refused) -> closing -> closed
 *
 * What happens to bytes, files and indexes is told where it happens: `log/`, `index/`, `checkpoint/`.
 */
import { resolve } from "node:path";
import { ancestorsOf } from "./ancestors.ts";
import { assertPath } from "./base/arguments.ts";
import { isTraced, tell } from "./base/diagnostics.ts";
import type { DirectoryLock } from "./disk/directory-lock.ts";
import type { AppendOptions, BatchItem, BatchOptions, EventReading, Receipts } from "./events/append-types.ts";
import type { Coordinate } from "./events/coordinate.ts";
import type { AnyDefinition, AnyNewEvent } from "./events/definition.ts";
import type { Event } from "./events/event-union.ts";
import type { Receipt } from "./events/event.ts";
import { parseId } from "./events/id.ts";
import { Compacting, type CompactOptions, type CompactReport } from "./compacting.ts";
import { type ConsumerOptions, type ConsumerStatus, listConsumers, openConsumer } from "./consuming.ts";
import { compileReadOptions, type KnownQuery, type Query, type QueryEvents } from "./events/query.ts";
import type { ReadOptions, SubscribeOptions } from "./events/query.ts";
import { type ImportOptions, importRecords, type ImportResult, type ImportSource } from "./import.ts";
import { loadHashing } from "./kernel/frame-kernel.ts";
import { listEntities, listScopes, type NameListing } from "./name-listing.ts";
import { asStoreError } from "./open-directory.ts";
import type { OpenReport } from "./open-report.ts";
import type { Opened } from "./open-store.ts";
import { type PlacedEvent, type PlacedReadOptions, readPlaced } from "./placed-reading.ts";
import { countMatches } from "./counting.ts";
import { StoreAccess } from "./store-access.ts";
import { compileOptions, type StoreOptions } from "./store-options.ts";
import { type Head, headOf } from "./store-head.ts";
import { describeSegment, type StoreSegment } from "./store-segment.ts";
import { type SnapshotResult, snapshotStore } from "./store-snapshot.ts";
import { statsOf, type StoreStats } from "./store-stats.ts";
import { Handling, type HandleOptions } from "./handling.ts";
import { Projecting, type ProjectionTarget, type ProjectOptions, type WatchOptions } from "./projecting.ts";
import type { Decider } from "./projections/decider.ts";
import type { Projected } from "./projections/fold.ts";
import type { Projection } from "./projections/projection.ts";
import { appendBatchTo, TracedReading, tracedAppend, tracedOpening } from "./tracing.ts";
import { react, type ReactionHandler, type ReactOptions } from "./reacting.ts";
import type { Consumer } from "./subscriptions/consumer.ts";
import type { Subscription } from "./subscriptions/subscription.ts";
import type { VerifyOptions, VerifyResult } from "./verify.ts";
import { verifyOpen } from "./verifying.ts";

/**
 * An append-only, hash-chained store of events in one directory.
 *
 * @example
 * const store = await Store.open("./data", { events: [PlayerMoved] });
 * const receipt = await store.append({ entity: "player:alice", scope: "room:dungeon" }, PlayerMoved({ x: 1, y: 2 }));
 * for await (const event of store.read({ entity: "player:alice" })) console.log(event.data);
 * await store.close();
 */
export class Store<Definitions extends readonly AnyDefinition[] = readonly AnyDefinition[]> {
  /** The directory, as an absolute path. */
  readonly directory: string;
  /** Whether it was opened to read only, beside whoever writes it. */
  readonly readOnly: boolean;
  /** How the store was opened, and why that way. */
  readonly openReport: OpenReport;
  #closing: Promise<void> | null = null;
  readonly #access: StoreAccess;
  readonly #projecting: Projecting;
  readonly #handling: Handling;
  readonly #compacting: Compacting;
  readonly #lock: DirectoryLock | null;

  private constructor(opened: Opened) {
    this.#access = new StoreAccess(opened);
    this.#projecting = new Projecting(this.#access);
    this.#handling = new Handling(this.#access, this.#projecting);
    this.#compacting = new Compacting(this.#access);
    this.directory = opened.directory;
    this.readOnly = opened.writer === null;
    this.openReport = opened.report;
    this.#lock = opened.lock;
  }

  /**
   * Opens a store, making it where there is none.
   *
   * @param directory the store's directory
   * @throws TypeError or RangeError `INVALID_ARGUMENT`; StoreError `LOCKED` when another writer has it, `CORRUPT` when it is damaged,
   * `LAYOUT_MISMATCH`, `NOT_FOUND` (read-only), `IO`
   *
   * @example
   * const store = await Store.open("./data", { events: [PlayerMoved, PlayerJoined] });
   */
  static async open<const Known extends readonly AnyDefinition[] = readonly []>(
    directory: string,
    options: StoreOptions<Known> = {},
  ): Promise<Store<Known>> {
    assertPath(directory, "open the store");
    const compiled = compileOptions(options);
    await loadHashing();
    const path = compiled.disk === null ? resolve(directory) : directory;
    try {
      const store = new Store<Known>(await tracedOpening(path, compiled));
      tell("open", { directory: path, report: store.openReport });
      return store;
    } catch (error) {
      throw asStoreError("open", path, error);
    }
  }

  /**
   * Appends one event, or several on one entity as an atomic batch.
   *
   * @returns the receipt, or one for each event, once they are as durable as `durability` says; of an empty list none, and `expect` is not judged
   * @throws StoreError `CONFLICT`, `IDEMPOTENCY_MISMATCH`, `INVALID_EVENT`, `PAYLOAD_UNSUPPORTED`, `TOO_LARGE`, `NOT_FOUND` (`causedBy`),
   * `COMMIT_UNKNOWN`, `POISONED`, `CLOSED`, `READ_ONLY`; TypeError or RangeError `INVALID_ARGUMENT`
   *
   * @example
   * const receipt = await store.append(alice, PlayerMoved({ x: 10, y: 20 }), { expect: "none" });
   */
  append(coordinate: Coordinate, event: AnyNewEvent, options?: AppendOptions): Promise<Receipt>;
  append<const Events extends readonly AnyNewEvent[]>(
    coordinate: Coordinate,
    events: Events,
    options?: AppendOptions,
  ): Promise<Receipts<Events>>;
  append(coordinate: Coordinate, events: AnyNewEvent | readonly AnyNewEvent[], options?: AppendOptions): Promise<Receipt | Receipt[]>;
  append(coordinate: Coordinate, events: AnyNewEvent | readonly AnyNewEvent[], options?: AppendOptions): Promise<Receipt | Receipt[]> {
    const { writer } = this.#access;
    if (writer === null) return Promise.reject(this.#access.readOnlyError("append"));
    if (isTraced("append")) return tracedAppend(this.#access, coordinate, events, options);
    return writer.appending.append(coordinate, events, options);
  }

  /**
   * Appends events on several entities, all or nothing.
   *
   * @param options `commit`: moves a consumer's position together with them (`consumer.at(event)`); `signal`
   * @returns one receipt an item, in order
   * @throws what `append` throws
   * @example
   * await store.appendBatch([{ coordinate: alice, event: PlayerMoved({ x: 1, y: 1 }) }, { coordinate: bob, event: PlayerLeft({}) }]);
   */
  appendBatch(items: readonly BatchItem[], options?: BatchOptions): Promise<Receipt[]> {
    return appendBatchTo(this.#access, items, options);
  }

  /**
   * Appends records of the form that `batpak dump` prints. Ids, times, names, versions, metadata and batches are kept, so that a second import
   * adds nothing; a time that would run backwards is clamped, and kept in the metadata as `{ import: { wall_ms } }`.
   *
   * @param records records, or lines of JSON, of which blank ones are passed over
   * @throws StoreError `INVALID_LINE` at a record that cannot be imported: nothing of its portion is written; what `append` throws
   * @example
   * await store.import([{ entity: "order:1", scope: "shop:eu", kind: 0x1000, payload: { total: 5 }, wall_ms: 1700000000000 }]);
   */
  async import(records: ImportSource, options: ImportOptions = {}): Promise<ImportResult> {
    const { appending } = this.#access.assertWritable("import");
    const { log, frames } = this.#access.parts;
    return await importRecords({ appending, registry: this.#access.registry, index: log.index, frames }, records, options);
  }

  /**
   * The event with this id; null when there is none.
   *
   * @param id UUID text or 32 hex digits
   * @throws TypeError `INVALID_ARGUMENT`; StoreError `CORRUPT`, `CLOSED`, `IO`
   * @example
   * const event = await store.get(receipt.id);
   */
  get(id: string): Promise<Event<Definitions> | null> {
    return this.#access.renewing(() => {
      this.#access.assertReadable();
      return this.#access.find(parseId(id, "get")) as Event<Definitions> | null;
    });
  }

  /** All events, as they were visible at this call. */
  read(): EventReading<Event<Definitions>>;
  /**
   * The events that match, as they were visible at this call. Each iteration of the result begins anew.
   *
   * @param options `direction`; `limit`: at most so many; `after`: goes on behind this sequence, in that direction; `signal`: end with its reason
   * @throws TypeError or RangeError `INVALID_ARGUMENT`; StoreError `CLOSED`; iterating, `CORRUPT` and `IO` as well
   * @example
   * for await (const event of store.read({ entity: "player:alice" }, { direction: "backward", limit: 10 })) console.log(event.type);
   */
  read<const Asked extends Query | undefined>(
    query: KnownQuery<Asked>,
    options?: ReadOptions,
  ): EventReading<QueryEvents<Asked, Definitions>>;
  read(query?: Query, options?: ReadOptions): EventReading<unknown> {
    const reading = this.#access.read(query, options);
    return isTraced("read") ? new TracedReading(reading, this.directory) : reading;
  }

  /** All events, those that are there and those to come. */
  subscribe(): Subscription<Event<Definitions>>;
  /**
   * The events that match, those that are there and those to come, in one order without a gap or a duplicate. It ends when the store is closed.
   * In a read-only store it follows the writer of another process.
   *
   * @param options `after`: begin behind this sequence, or with `"end"` behind what is visible now; `signal`: end with its reason
   * @throws TypeError or RangeError `INVALID_ARGUMENT`; StoreError `CLOSED`; iterating, what `read` throws
   * @example
   * for await (const event of store.subscribe({ scope: "room:dungeon" }, { after: lastSeen })) console.log(event.sequence);
   */
  subscribe<const Asked extends Query | undefined>(
    query: KnownQuery<Asked>,
    options?: SubscribeOptions,
  ): Subscription<QueryEvents<Asked, Definitions>>;
  subscribe(query?: Query, options: SubscribeOptions = {}): Subscription<never> {
    return this.#access.subscribe(query, options) as Subscription<never>;
  }

  /**
   * The state of a projection: of an entity's stream, of a query's events, or of the whole store. Only the projection's own events are read,
   * and only those behind its snapshot, where there is one. What a handler throws comes through.
   *
   * @param target an entity, or `{ query }`; everything when left out
   * @param options `at`: as it was behind that sequence or at that time; `onProgress`; `signal`: stops, and the next call goes on there
   * @throws TypeError or RangeError `INVALID_ARGUMENT`; StoreError `NEWER_EVENT_VERSION`, `CLOSED`, `CORRUPT`, `IO`
   *
   * @example
   * const { state, sequence } = await store.project(Balance, "account:1");
   * const before = await store.project(Balance, "account:1", { at: new Date("2026-01-01") });
   */
  project<State>(projection: Projection<State>, target?: ProjectionTarget, options?: ProjectOptions): Promise<Projected<State>> {
    return this.#projecting.project(projection, target, options);
  }

  /**
   * The state of a projection now, and again each time that events have changed it. Whoever is slow is given the newest state, not each one in
   * between. It ends when the store is closed; in a read-only store it follows the writer of another process.
   *
   * @param options `signal`: end with its reason
   * @throws iterating, what `project` throws
   * @example
   * for await (const { state } of store.watch(Balance, "account:1")) console.log(state.cents);
   */
  watch<State>(
    projection: Projection<State>,
    target?: ProjectionTarget,
    options?: WatchOptions,
  ): AsyncGenerator<Projected<State>, undefined> {
    return this.#projecting.watch(projection, target, options);
  }

  /**
   * Gives a command to an entity: its state is folded, the decider says which events come of the command, and they are appended as one batch,
   * on the condition that nothing was appended to the entity meanwhile; else it is decided anew. What the decider throws comes through.
   *
   * @param options `commandId`: the same command given again returns the first receipts; `retries`, `causedBy`, `correlationId`, `metadata`, `signal`
   * @returns a receipt for each event; none where the decider came to none
   * @throws StoreError `CONFLICT` when every retry met another append, and what `append` throws; TypeError or RangeError `INVALID_ARGUMENT`
   *
   * @example
   * await store.handle({ entity: "account:1", scope: "bank" }, Account, { withdraw: 500 }, { commandId: "withdrawal-42" });
   */
  handle<Command>(
    coordinate: Coordinate,
    decider: Decider<unknown, Command>,
    command: NoInfer<Command>,
    options?: HandleOptions,
  ): Promise<Receipt[]> {
    return this.#handling.handle(coordinate, decider, command, options);
  }

  /** Opens a consumer of all events. */
  consumer(name: string): Promise<Consumer<Event<Definitions>>>;
  /**
   * Opens a consumer: a name with a durable position, and the events behind it, past and to come. One holder a name, in all processes. In a
   * read-only store too, where it follows the writer: a position is no part of the log.
   *
   * @param name 1 to 80 UTF-8 bytes
   * @param options `after`: where a new one begins; `positionIn: "log"`: its position moves with batches; `resetTo`; `lockWaitMs`; `signal`
   * @throws StoreError `LOCKED` when another holder lives, `CORRUPT` when its position cannot be read, `POSITION_MISMATCH` when the log cannot have
   * given it, `READ_ONLY` and `UNSUPPORTED_BY_LAYOUT` (positions in the log), `CLOSED`, `IO`; TypeError or RangeError `INVALID_ARGUMENT`
   *
   * @example
   * const mailer = await store.consumer("mailer", { kind: OrderPlaced });
   * for await (const event of mailer) {
   *   await sendMail(event.data);
   *   await mailer.commit(event);
   * }
   */
  consumer<const Asked extends Query | undefined>(
    name: string,
    query: KnownQuery<Asked>,
    options?: ConsumerOptions,
  ): Promise<Consumer<QueryEvents<Asked, Definitions>>>;
  async consumer(name: string, query?: Query, options: ConsumerOptions = {}): Promise<Consumer<never>> {
    return (await openConsumer(this.#access, name, query, options)) as Consumer<never>;
  }

  /**
   * The consumers that have a position, by name: where they stand, how far that is behind, whether somebody has them open. Rejects with `CLOSED`
   * and `IO`.
   */
  consumers(): Promise<ConsumerStatus[]> {
    return listConsumers(this.#access);
  }

  /**
   * Appends what a handler derives from events, exactly once for each event that matches, whatever is killed when. What is derived is caused by
   * the event that it was derived from. Events that match are given one after the other; those derived are given as well where they match.
   * Up to 256 events are handled before anything of what they gave is stored: a handler that reads the store does not see what it has just derived.
   *
   * @param name of the reaction, which is a consumer's: 1 to 80 UTF-8 bytes
   * @param handler what to append, if anything; what it throws ends the reaction, and the event is given again next time
   * @returns resolves when `signal` is aborted or the store closed; rejects with what ended it otherwise
   * @throws what `consumer` and `appendBatch` throw
   *
   * @example
   * await store.react("billing", { kind: OrderPlaced }, (event) => ({
   *   coordinate: { entity: `invoice:${event.entity}`, scope: event.scope },
   *   event: InvoiceIssued({ cents: event.data.cents }),
   * }), { signal });
   */
  react<const Asked extends Query | undefined>(
    name: string,
    query: KnownQuery<Asked>,
    handler: ReactionHandler<QueryEvents<Asked, Definitions>>,
    options: ReactOptions = {},
  ): Promise<void> {
    return react(this.#access, name, query, handler as ReactionHandler<never>, options);
  }

  /**
   * The same for tools: in batches, each event with its place on disk. What is damaged is told to `onDamage`, and passed over.
   *
   * @example
   * for await (const batch of store.readPlaced({}, { onDamage: (error) => console.warn(error.message) })) console.log(batch.length);
   */
  readPlaced(query?: Query, options: PlacedReadOptions = {}): AsyncGenerator<readonly PlacedEvent[], undefined> {
    this.#access.assertReadable();
    const { onDamage, ...how } = options;
    const filters = this.#access.filters(query, "read");
    return readPlaced(this.#access.reading, filters, compileReadOptions(how, "read"), this.#access.visibleSequence, onDamage);
  }

  /** The segments of the log, oldest first. Throws StoreError `CLOSED`. */
  segments(): StoreSegment[] {
    this.#access.assertReadable();
    return this.#access.parts.log.index.segments.map((segment) => describeSegment(segment, this.#access.visibleSequence));
  }

  /**
   * The latest visible event of an entity, in short; null when it has none.
   *
   * @throws TypeError or RangeError `INVALID_ARGUMENT`; StoreError `CORRUPT`, `CLOSED`, `IO`
   * @example
   * const head = await store.head("player:alice");
   * await store.append(alice, PlayerMoved({ x: 1, y: 2 }), { expect: head === null ? "none" : { clock: head.clock } });
   */
  head(entity: string): Promise<Head | null> {
    return headOf(this.#access, entity);
  }

  /**
   * How many visible events match.
   *
   * @throws TypeError or RangeError `INVALID_ARGUMENT`; StoreError `CORRUPT`, `CLOSED`, `IO`
   * @example
   * const moves = await store.count({ kind: PlayerMoved, time: { from: new Date("2026-01-01") } });
   */
  async count(query?: Query): Promise<number> {
    this.#access.assertReadable();
    if (query === undefined) return this.#access.parts.log.index.visibleEvents;
    const filters = this.#access.filters(query, "count");
    return await countMatches(this.#access.reading, filters, this.#access.visibleSequence);
  }

  /**
   * The entities with a visible event, each once, in no order that lasts; with `prefix`, those whose names begin with it.
   *
   * @throws TypeError `INVALID_ARGUMENT`; StoreError `CLOSED`
   * @example
   * for await (const entity of store.entities({ prefix: "player:" })) console.log(entity);
   */
  entities(options: { readonly prefix?: string | undefined } = {}): NameListing {
    return listEntities(this.#access, options);
  }

  /** The scopes with a visible event, as `entities` lists these: `await store.scopes().toArray()`. */
  scopes(options: { readonly prefix?: string | undefined } = {}): NameListing {
    return listScopes(this.#access, options);
  }

  /**
   * The chain of causes of an event, nearest first: the event that caused it, the one that caused that, and so on to the root.
   *
   * @throws iterating, StoreError `NOT_FOUND` when the event, or a cause on the way, is not in the store, and what `get` throws
   * @example
   * for await (const cause of store.ancestors(receipt.id)) console.log(cause.type);
   */
  ancestors(id: string): AsyncGenerator<Event<Definitions>, undefined> {
    return ancestorsOf(this.#access, id) as AsyncGenerator<never, undefined>;
  }

  /**
   * Reads everything visible again and holds it against itself: checksums, hashes, each entity's chain, sequences, index, checkpoint.
   *
   * @returns what is wrong, with entity, sequence, segment and offset; `ok` where nothing is
   * @throws TypeError `INVALID_ARGUMENT`; StoreError `CLOSED`, `COMPACTED` (read-only), `IO`; the signal's reason
   * @example
   * const { ok, problems } = await store.verify({ onProgress: ({ events, eventsTotal }) => console.log(events, eventsTotal) });
   */
  async verify(options: VerifyOptions = {}): Promise<VerifyResult> {
    this.#access.assertReadable();
    return await verifyOpen(this.#access, options);
  }

  /** Numbers about the store, of this moment. Rejects with `CLOSED`. */
  stats(): Promise<StoreStats> {
    return new Promise((settle) => {
      this.#access.assertReadable();
      settle(statsOf(this.#access));
    });
  }

  /** Resolves when everything visible is on stable storage. Rejects with `READ_ONLY`, `CLOSED` and `POISONED`. */
  async sync(): Promise<void> {
    await this.#access.assertWritable("sync").log.sync();
  }

  /** Writes a checkpoint of what is visible now, so that the next opening is quick whatever happens. Rejects as `sync` does, and with `TOO_LARGE`, `IO`. */
  async checkpoint(): Promise<void> {
    await this.#access.assertWritable("write a checkpoint").checkpoint();
  }

  /**
   * Copies the store, as it is visible now, into a directory that is empty or new; beside appending. What is never written again shares its
   * bytes with the store where the file system allows. The copy is durable when this resolves; opening it never changes this store.
   * Positions that consumers keep in files of their own, and snapshots of projections, are not copied.
   * Damage that nobody has met yet is copied as it is: open the copy and `verify` it.
   *
   * @throws StoreError `IO` where the directory is not empty or the disk fails, `CORRUPT` where the store is known to be damaged, `CLOSED`,
   * `COMPACTED` where another process compacted it meanwhile, `NOT_FOUND` where nothing is visible yet in a read-only store
   * @example
   * const { events } = await store.snapshot("./backup/monday");
   */
  async snapshot(directory: string): Promise<SnapshotResult> {
    this.#access.assertReadable();
    return await this.#access.fileNames.share(() => snapshotStore(this.#access, directory));
  }

  /**
   * Removes events from the sealed segments, beside appending and reading. At least one of `query`, `keep`, `keepNewerThan` and `keepLast` must be
   * given; an event goes when it matches `query` and nothing keeps it. What stays keeps its hash and sequence, what goes is recorded, and retries
   * of removed batches with keys are still answered. The newest segment is left alone, and so is the last event of each entity. Calls at the same
   * time take turns. Reads under way may or may not still give what goes.
   *
   * @param options `dryRun`: only says what it would do; `segmentBytesMax`; `onProgress`; `signal`: ends it, what was committed before stays so
   * @throws TypeError or RangeError `INVALID_ARGUMENT`; StoreError `CLOSED` where the store is closed meanwhile, `READ_ONLY`,
   * `UNSUPPORTED_BY_LAYOUT` in the 0.3 layout, `POISONED`, `CORRUPT`, `IO`; what `keep` throws
   * @example
   * const { removedEvents } = await store.compact({ query: { scope: "sessions" }, keepNewerThan: Date.now() - 30 * 86_400_000 });
   */
  compact(options: CompactOptions<Definitions>): Promise<CompactReport> {
    return this.#compacting.run(options as unknown as CompactOptions);
  }

  /** In a read-only store: takes up what the writer has made visible since. Gives the next event's sequence. Rejects with `CLOSED`, `STORE_REPLACED`, `IO`. */
  async refresh(): Promise<number> {
    await this.#access.refresh();
    return this.#access.visibleSequence;
  }

  /**
   * Drains what is accepted, makes it durable, writes what the next opening needs and lets go of the directory. Idempotent. Rejects, after
   * letting go, where that failed.
   */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    const access = this.#access;
    access.state = "closing";
    access.closing.end();
    try {
      await this.#compacting.stop();
      if (access.writer === null) access.parts.files.closeAll();
      else await access.writer.close();
    } catch (error) {
      throw asStoreError("close", this.directory, error);
    } finally {
      await access.end();
      await this.#lock?.release();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
