/**
 * The store: one directory, opened. It wires the parts and owns the life cycle:
 *
 *   opening -> open -> closing -> closed
 *                 \-> poisoned (a write failed: reads go on, appends are refused) -> closing -> closed
 *
 * What happens to bytes, files and indexes is told where it happens: `log/`, `index/`, `checkpoint/`.
 */
import { resolve } from "node:path";
import { tell } from "./base/diagnostics.ts";
import { invalidArgument, StoreError } from "./base/store-error.ts";
import type { DirectoryLock } from "./disk/directory-lock.ts";
import type { Disk } from "./disk/disk.ts";
import type { AppendOptions, BatchItem, BatchOptions, EventReading } from "./events/append-types.ts";
import { assertName, type Coordinate } from "./events/coordinate.ts";
import type { AnyDefinition, AnyNewEvent } from "./events/definition.ts";
import type { DefinitionRegistry } from "./events/definition-registry.ts";
import type { Event } from "./events/event-union.ts";
import { type Receipt, StoredEvent } from "./events/event.ts";
import { parseId } from "./events/id.ts";
import { compileQuery, compileReadOptions, type Query, type QueryEvents, type ReadOptions } from "./events/query.ts";
import { followNative } from "./follow-native.ts";
import { type ImportOptions, importRecords, type ImportResult, type ImportSource } from "./import.ts";
import { loadHashing } from "./kernel/frame-kernel.ts";
import type { NativeStoreParts, NativeWriter } from "./native-engine.ts";
import { definitionRecordOf } from "./native-records.ts";
import { NameListing } from "./name-listing.ts";
import { asStoreError, readerView } from "./open-directory.ts";
import type { OpenReport } from "./open-report.ts";
import { type PlacedEvent, type PlacedReadOptions, readPlaced } from "./placed-reading.ts";
import { describeSegment, type StoreSegment } from "./store-segment.ts";
import { notFound, openParts, type Opened, readLogForReader } from "./open-store.ts";
import { countMatches, type ReadingParts, searchFilter, StoredReading } from "./reading.ts";
import { Subscription, type SubscribeOptions, type SubscriptionSource } from "./subscriptions/subscription.ts";
import { compileOptions, type StoreOptions } from "./store-options.ts";
import { type VerifyOptions, type VerifyResult, verifyStore } from "./verify.ts";

/** How often a read-only store that is followed looks for more. */
const POLL_MS = 20;

type State = "open" | "closing" | "closed";

/** The latest event of an entity. */
export interface Head {
  readonly clock: number;
  readonly sequence: number;
  /** 64 hex digits. */
  readonly hash: string;
  readonly id: string;
  /** Milliseconds since the Unix epoch. */
  readonly timestamp: number;
}

/** What a store holds and what it holds in memory. */
export interface StoreStats {
  /** Visible events. */
  readonly events: number;
  /** Entities with a visible event. */
  readonly entities: number;
  readonly segments: number;
  /** Bytes of frames in all segments. */
  readonly bytes: number;
  /** The next event's sequence. */
  readonly nextSequence: number;
  /** Bytes of appends that are not settled; 0 in a read-only store. */
  readonly queuedBytes: number;
  /** The most that there ever were since opening. */
  readonly queuedBytesPeak: number;
  /** Bytes of index pages in memory. */
  readonly indexCacheBytes: number;
  /** Index pages loaded since opening. */
  readonly indexPagesLoaded: number;
  /** Frames read one by one since opening. */
  readonly framesRead: number;
  /** Blocks of frames read since opening. */
  readonly blocksRead: number;
  /** Groups committed since opening. */
  readonly commits: number;
  /** Checkpoints written since opening. */
  readonly checkpoints: number;
  /** Why the last checkpoint could not be written; null when it could. */
  readonly checkpointError: unknown;
}

/**
 * An append-only, hash-chained store of events in one directory.
 *
 * @example
 * const store = await Store.open("./data", { events: [PlayerMoved] });
 * const receipt = await store.append({ entity: "player:alice", scope: "room:dungeon" }, PlayerMoved({ x: 1, y: 2 }));
 * for await (const event of store.read({ entity: "player:alice" })) console.log(event.data);
 * await store.close();
 */
export class Store<Definitions extends readonly AnyDefinition[] = readonly []> {
  /** The directory, as an absolute path. */
  readonly directory: string;
  readonly readOnly: boolean;
  #openReport: OpenReport;
  #state: State = "open";
  #closing: Promise<void> | null = null;
  #refreshing: Promise<void> | null = null;
  readonly #disk: Disk;
  readonly #parts: NativeStoreParts;
  readonly #registry: DefinitionRegistry;
  readonly #writer: NativeWriter | null;
  readonly #lock: DirectoryLock | null;
  readonly #reading: ReadingParts;

  private constructor(opened: Opened) {
    this.directory = opened.directory;
    this.readOnly = opened.writer === null;
    this.#disk = opened.disk;
    this.#parts = opened.parts;
    this.#registry = opened.registry;
    this.#writer = opened.writer;
    this.#lock = opened.lock;
    this.#reading = opened.reading;
    this.#openReport = opened.report;
    opened.life.assertReadable = () => this.#assertReadable();
    opened.life.assertWritable = () => this.#assertWritable();
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
    if (typeof directory !== "string" || directory === "") {
      throw invalidArgument("Cannot open the store: the directory is no path, a path is allowed");
    }
    const compiled = compileOptions(options);
    await loadHashing();
    const path = compiled.disk === null ? resolve(directory) : directory;
    try {
      const store = new Store<Known>(await openParts(path, compiled));
      tell("open", { directory: path, report: store.openReport });
      return store;
    } catch (error) {
      throw asStoreError("open", path, error);
    }
  }

  /** How the store was opened, and why that way. */
  get openReport(): OpenReport {
    return this.#openReport;
  }

  /**
   * Appends one event, or several on one entity as an atomic batch.
   *
   * @returns the receipt, or one for each event, once they are as durable as `durability` says
   * @throws StoreError `CONFLICT`, `IDEMPOTENCY_MISMATCH`, `INVALID_EVENT`, `PAYLOAD_UNSUPPORTED`, `TOO_LARGE`, `NOT_FOUND` (`causedBy`),
   * `COMMIT_UNKNOWN`, `POISONED`, `CLOSED`, `READ_ONLY`; TypeError or RangeError `INVALID_ARGUMENT`
   *
   * @example
   * const receipt = await store.append(alice, PlayerMoved({ x: 10, y: 20 }), { expect: "none" });
   */
  append(coordinate: Coordinate, event: AnyNewEvent, options?: AppendOptions): Promise<Receipt>;
  append(coordinate: Coordinate, events: readonly AnyNewEvent[], options?: AppendOptions): Promise<Receipt[]>;
  append(coordinate: Coordinate, events: AnyNewEvent | readonly AnyNewEvent[], options?: AppendOptions): Promise<Receipt | Receipt[]> {
    return this.#writer === null
      ? Promise.reject(this.#readOnlyError("append"))
      : this.#writer.appending.append(coordinate, events, options);
  }

  /**
   * Appends events on several entities, all or nothing.
   *
   * @returns one receipt an item, in order
   * @example
   * await store.appendBatch([{ coordinate: alice, event: PlayerMoved({ x: 1, y: 1 }) }, { coordinate: bob, event: PlayerLeft({}) }]);
   */
  appendBatch(items: readonly BatchItem[], options?: BatchOptions): Promise<Receipt[]> {
    return this.#writer === null ? Promise.reject(this.#readOnlyError("append")) : this.#writer.appending.appendBatch(items, options);
  }

  /**
   * Appends records of the form that `batpak dump` prints, in batches of up to 1,000. Ids and times are kept, so that a second import adds
   * nothing; a time that would run backwards is clamped, and kept in the metadata as `{ import: { wall_ms } }`.
   *
   * @param records records, or lines of JSON, of which blank ones are passed over
   * @throws StoreError `INVALID_LINE` at a record that cannot be imported: nothing of its batch is written; what `append` throws
   * @example
   * await store.import([{ entity: "order:1", scope: "shop:eu", kind: 0x1000, payload: { total: 5 }, wall_ms: 1700000000000 }]);
   */
  async import(records: ImportSource, options: ImportOptions = {}): Promise<ImportResult> {
    this.#assertWritable("import");
    const { appending } = this.#writer as NativeWriter;
    return await importRecords({ appending, index: this.#parts.log.index, frames: this.#parts.frames }, records, options);
  }

  /**
   * The event with this id; null when there is none.
   *
   * @param id UUID text or 32 hex digits
   */
  get(id: string): Promise<Event<Definitions> | null> {
    return new Promise((settle) => {
      this.#assertReadable();
      const wanted = parseId(id, "get");
      settle(this.#find(wanted) as Event<Definitions> | null);
    });
  }

  #find(id: Uint8Array): StoredEvent | null {
    return this.#look(() => this.#findOnce(id));
  }

  /** A look at index and frames: again where a page of the index was bad, and with the store's errors. */
  #look<Result>(look: () => Result): Result {
    try {
      return this.#parts.log.index.withSoundIndex(look);
    } catch (error) {
      throw asStoreError("read", this.directory, error);
    }
  }

  #findOnce(id: Uint8Array): StoredEvent | null {
    const { index } = this.#parts.log;
    const found = index.findById(id, index.visible.sequence);
    if (found === null) return null;
    const segmentIndex = index.indexOf(found.segment);
    return this.#eventAt(found.segment.id, segmentIndex.offsetAt(found.row), segmentIndex.sequenceAt(found.row));
  }

  #eventWithSequence(sequence: number): StoredEvent {
    const { index } = this.#parts.log;
    const segment = index.segments[index.segmentAt(sequence)];
    const segmentIndex = index.indexOf(segment);
    return this.#eventAt(segment.id, segmentIndex.offsetAt(segmentIndex.rowAtSequence(sequence)), sequence);
  }

  #eventAt(segmentId: number, offset: number, sequence: number): StoredEvent {
    const { format } = this.#parts.frames;
    const slice = this.#parts.frames.read(segmentId, offset);
    return new StoredEvent(format, slice, slice.at, sequence, this.#registry.nameOf(format.kind(slice.view, slice.at)));
  }

  /**
   * The events that match, as they were visible at this call. Each iteration of the result begins anew.
   *
   * @example
   * for await (const event of store.read({ entity: "player:alice" }, { direction: "backward", limit: 10 })) console.log(event.type);
   */
  read<const Asked extends Query = Query>(query?: Asked, options?: ReadOptions): EventReading<QueryEvents<Asked, Definitions>> {
    this.#assertReadable();
    const filters = this.#compile(query, "read").map(searchFilter);
    const reading = new StoredReading(this.#reading, filters, compileReadOptions(options, "read"), this.#parts.log.index.visible.sequence);
    return reading as unknown as EventReading<QueryEvents<Asked, Definitions>>;
  }

  /**
   * The events that match, those that are there and those to come, in one order without a gap or a duplicate. It ends when the store is closed.
   * In a read-only store it follows the writer of another process.
   *
   * @param options `after`: begin behind this sequence; `signal`: end with its reason
   * @example
   * for await (const event of store.subscribe({ scope: "room:dungeon" }, { after: lastSeen })) console.log(event.sequence);
   */
  subscribe<const Asked extends Query = Query>(
    query?: Asked,
    options: SubscribeOptions = {},
  ): Subscription<QueryEvents<Asked, Definitions>> {
    this.#assertReadable();
    this.#compile(query, "subscribe");
    const { after, signal } = compileReadOptions(options, "subscribe");
    const source: SubscriptionSource<StoredEvent> = {
      visible: () => this.#parts.log.index.visible.sequence,
      // Compiled anew each time: the kinds of a definition may be learnt meanwhile.
      batches: (position, bound) => {
        const filters = this.#compile(query, "subscribe").map(searchFilter);
        const read = { direction: "forward" as const, limit: Number.POSITIVE_INFINITY, signal, after: position };
        return new StoredReading(this.#reading, filters, read, bound).batches();
      },
      onChange: (callback) => (this.#writer === null ? this.#pollForChange(callback) : this.#writer.gate.onNext(callback)),
      isClosed: () => this.#state === "closed",
    };
    const following = { ...(after === undefined ? {} : { after }), ...(signal === undefined ? {} : { signal }) };
    return new Subscription(source, following) as unknown as Subscription<QueryEvents<Asked, Definitions>>;
  }

  /** A reader has nobody to wake it: it looks at the mark every few milliseconds while somebody waits. */
  #pollForChange(callback: () => void): () => void {
    const timer = setTimeout(() => {
      if (this.#state === "closed") callback();
      else this.refresh().then(callback, callback);
    }, POLL_MS);
    return () => clearTimeout(timer);
  }

  /**
   * The same for tools: in batches, each event with its place on disk. What is damaged is told to `onDamage`, and passed over.
   *
   * @example
   * for await (const batch of store.readPlaced({}, { onDamage: (error) => console.warn(error.message) })) console.log(batch.length);
   */
  readPlaced(query?: Query, options: PlacedReadOptions = {}): AsyncGenerator<readonly PlacedEvent[], undefined> {
    this.#assertReadable();
    const { onDamage, ...how } = options;
    const filters = this.#compile(query, "read").map(searchFilter);
    return readPlaced(this.#reading, filters, compileReadOptions(how, "read"), this.#parts.log.index.visible.sequence, onDamage);
  }

  /** The segments of the log, oldest first. */
  segments(): StoreSegment[] {
    this.#assertReadable();
    return this.#parts.log.index.segments.map((segment) => describeSegment(segment, this.#parts.log.index.visible.sequence));
  }

  #compile(query: Query | undefined, operation: string): ReturnType<typeof compileQuery> {
    return compileQuery(query, (definition) => this.#registry.kindsOf(definition), operation);
  }

  /** The latest visible event of an entity, in short; null when it has none. */
  head(entity: string): Promise<Head | null> {
    return new Promise((settle) => {
      this.#assertReadable();
      assertName(entity, "entity", "head");
      const { index } = this.#parts.log;
      const entityId = index.entities.find(entity);
      const sequence = entityId < 0 || entityId >= index.heads.count ? -1 : index.heads.visibleSequence[entityId];
      if (sequence < 0) return settle(null);
      const { clock, hash, id, timestamp } = this.#look(() => this.#eventWithSequence(sequence));
      settle({ clock, sequence, hash, id, timestamp });
    });
  }

  /** How many events match. */
  async count(query?: Query): Promise<number> {
    this.#assertReadable();
    if (query === undefined) return this.#parts.log.index.visibleEvents;
    const filters = this.#compile(query, "count").map(searchFilter);
    return await countMatches(this.#reading, filters, this.#parts.log.index.visible.sequence);
  }

  /** The entities with a visible event, each once, in no order that lasts; with `prefix`, those whose names begin with it. */
  entities(options: { readonly prefix?: string } = {}): NameListing {
    this.#assertReadable();
    const { index } = this.#parts.log;
    return new NameListing(index.entities, index.heads.count, options, (id) => index.isVisible(id));
  }

  /** The scopes with a visible event, each once, in no order that lasts. */
  scopes(options: { readonly prefix?: string } = {}): NameListing {
    this.#assertReadable();
    const { index } = this.#parts.log;
    const bound = index.visible.sequence;
    return new NameListing(index.scopes, index.scopes.size, options, (id) => index.scopeFirstSequence[id] < bound);
  }

  /**
   * The chain of causes of an event, nearest first: the event that caused it, the one that caused that, and so on to the root.
   *
   * @throws StoreError `NOT_FOUND` when the event, or a cause on the way, is not in the store
   */
  async *ancestors(id: string): AsyncGenerator<Event<Definitions>, undefined> {
    this.#assertReadable();
    let event = this.#find(parseId(id, "read ancestors"));
    if (event === null) throw notFound(`event ${id}`);
    const seen = new Set<string>([event.id]);
    while (event.causationId !== null && !seen.has(event.causationId)) {
      const cause = event.causationId;
      seen.add(cause);
      this.#assertReadable();
      event = this.#find(parseId(cause, "read ancestors"));
      if (event === null) throw notFound(`event ${cause}, a cause on the way,`);
      yield event as unknown as Event<Definitions>;
    }
  }

  /**
   * Reads everything visible again and holds it against itself: checksums, hashes, each entity's chain, sequences, index, checkpoint.
   *
   * @returns what is wrong, with entity, sequence, segment and offset; `ok` where nothing is
   * @example
   * const { ok, problems } = await store.verify({ onProgress: ({ events, eventsTotal }) => console.log(events, eventsTotal) });
   */
  async verify(options: VerifyOptions = {}): Promise<VerifyResult> {
    this.#assertReadable();
    return await verifyStore(this.#disk, this.#parts, options);
  }

  /** Numbers about the store, of this moment. */
  stats(): Promise<StoreStats> {
    return new Promise((settle) => {
      this.#assertReadable();
      const { index } = this.#parts.log;
      const { cache, frames, loader } = this.#parts;
      const writer = this.#writer;
      settle({
        events: index.visibleEvents,
        entities: index.heads.liveEntities,
        segments: index.segments.length,
        bytes: index.segments.reduce((total, segment) => total + segment.framesEnd, 0),
        nextSequence: index.visible.sequence,
        queuedBytes: writer?.acceptance.queuedBytes ?? 0,
        queuedBytesPeak: writer?.acceptance.queuedBytesPeak ?? 0,
        indexCacheBytes: cache.bytes,
        indexPagesLoaded: cache.pagesLoaded,
        framesRead: frames.framesRead,
        blocksRead: loader.blocksRead,
        commits: writer?.log.queue.commits ?? 0,
        checkpoints: writer?.checkpointer.written ?? 0,
        checkpointError: writer?.checkpointer.lastError ?? null,
      });
    });
  }

  /** Resolves when everything visible is on stable storage. */
  async sync(): Promise<void> {
    this.#assertWritable("sync");
    await this.#writer?.log.sync();
  }

  /** Writes a checkpoint of what is visible now, so that the next opening is quick whatever happens. */
  async checkpoint(): Promise<void> {
    this.#assertWritable("write a checkpoint");
    await this.#writer?.checkpoint();
  }

  /** In a read-only store: takes up what the writer has made visible since. Gives the next event's sequence. */
  async refresh(): Promise<number> {
    this.#assertReadable();
    if (this.#writer === null) {
      // One look serves everybody who asks while it is under way: two at once would take up the same frames twice.
      this.#refreshing ??= this.#takeUp().finally(() => {
        this.#refreshing = null;
      });
      await this.#refreshing;
    }
    return this.#parts.log.index.visible.sequence;
  }

  async #takeUp(): Promise<void> {
    const view = await readerView(this.#disk, this.directory);
    const followed = await followNative({
      disk: this.#disk,
      parts: this.#parts,
      mark: view.writer ? view.mark : null,
      systemRecord: (frame) => this.#restoreRecord(frame),
    });
    if (!followed) await readLogForReader(this.#disk, this.#parts, this.directory);
  }

  #restoreRecord(frame: Uint8Array): void {
    const record = definitionRecordOf(frame);
    if (record !== null) this.#registry.restore(record);
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
    this.#state = "closing";
    try {
      if (this.#writer === null) this.#parts.files.closeAll();
      else await this.#writer.close();
    } catch (error) {
      throw asStoreError("close", this.directory, error);
    } finally {
      this.#state = "closed";
      this.#writer?.gate.open();
      await this.#lock?.release();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #assertReadable(): void {
    if (this.#state === "closed") throw new StoreError("CLOSED", "Cannot read: the store is closed, open it again", {});
  }

  #assertWritable(operation = "append"): void {
    if (this.#writer === null) throw this.#readOnlyError(operation);
    if (this.#state !== "open") throw new StoreError("CLOSED", `Cannot ${operation}: the store is closed, open it again`, {});
    this.#writer.log.queue.assertSound();
  }

  #readOnlyError(operation: string): StoreError {
    return new StoreError("READ_ONLY", `Cannot ${operation}: the store was opened with readOnly, open it without`, { operation });
  }
}
