/**
 * What the parts of an open store share: files and index, its life, looking up, reading and following. `Store` is its public face; consumers,
 * projections, reactions and compaction work on it. The life of a store is told in `store.ts`.
 */
import { type Clock, systemClock } from "./base/clock.ts";
import { Ending } from "./base/endable.ts";
import { tell } from "./base/diagnostics.ts";
import { SharedLock } from "./base/shared-lock.ts";
import { bytesShare, turnShare } from "./base/rest.ts";
import { sameBytes } from "./base/hex.ts";
import { isStoreError, StoreError } from "./base/store-error.ts";
import type { Disk } from "./disk/disk.ts";
import type { DefinitionRegistry } from "./events/definition-registry.ts";
import { StoredEvent } from "./events/event.ts";
import {
  compileQuery,
  compileReadOptions,
  compileSubscribeOptions,
  copyQuery,
  filterCount,
  type Query,
  type ReadOptions,
  type SubscribeOptions,
} from "./events/query.ts";
import type { EventType } from "./events/upcast.ts";
import type { DurableMark } from "./format/native/durable-mark.ts";
import type { RemovedRow } from "./format/native/retention.ts";
import { followNative } from "./follow-native.ts";
import { concernOf, waitingPlaceOf } from "./index/newest-events.ts";
import type { SegmentEntry, StoreIndex } from "./index/store-index.ts";
import { watchMark } from "./log/mark-file.ts";
import type { FrameSlice } from "./log/slab.ts";
import { addRecordInForce } from "./log/records-in-force.ts";
import type { SearchFilter } from "./log/row-search.ts";
import type { NativeStoreParts } from "./native-engine.ts";
import type { OpenedNativeLog } from "./open-native.ts";
import { definitionRecordOf } from "./log/system-records.ts";
import { asStoreError, type ReaderView, readerView } from "./open-directory.ts";
import { isBehind, type Opened, readLogForReader } from "./open-store.ts";
import { type ReadingParts, RENEWALS_MAX, searchFilter, StoredReading } from "./reading.ts";
import { SharedPoll } from "./subscriptions/shared-poll.ts";
import type { StoreWriter } from "./store-writer.ts";
import { Subscription, type SubscriptionSource } from "./subscriptions/subscription.ts";

/** How often a read-only store that is followed looks for more where nothing tells of the writer's commits. */
const POLL_MS = 20;
/** How much longer it then rests from looking than a look has taken, where the log is damaged. */
const DAMAGED_REST_FACTOR = 20;

export function closedError(operation: string): StoreError<"CLOSED"> {
  return new StoreError("CLOSED", `Cannot ${operation}: the store is closed, open it again`, {});
}

export class StoreAccess {
  /** The directory, as an absolute path. */
  readonly directory: string;
  readonly disk: Disk;
  /** Whether the caller brought the disk: one that knows its own paths. */
  readonly isDiskGiven: boolean;
  readonly clock: Clock;
  readonly parts: NativeStoreParts;
  readonly registry: DefinitionRegistry;
  /** Null in a read-only store. */
  readonly writer: StoreWriter | null;
  readonly reading: ReadingParts;
  /** Shared by whoever goes through the log's files by their names, which compacting changes. */
  readonly fileNames = new SharedLock();
  state: "open" | "closing" | "closed" = "open";
  /** Ends when the store begins to be closed. */
  readonly closing = new Ending();
  /** Consumers that are open: they end with the store. */
  readonly consumers = new Set<{ close(): Promise<void> }>();
  #refreshing: Promise<void> | null = null;
  /** The look after the one that is under way, once somebody has asked for it. */
  #refreshNext: Promise<void> | null = null;
  /** What was visible when those who wait were last told. */
  #told = -1;
  #lookFails = false;
  /** Until then nobody looks for those who wait: of a damaged log each look reads the whole of it anew, and mostly nothing has changed. */
  #restsUntilMs = 0;
  /** The sequence of a writer's mark at the last look that stood before what had been seen; -1 where it did not. */
  #markBehind = -1;
  /** Thrown from then on, once a read-only store cannot go on: another one was found in the directory, or a name for a kind that its definitions claim. */
  #ended: Error | null = null;
  readonly #askedLayout: Opened["askedLayout"];
  readonly #poll = new SharedPoll(
    () => this.#lookForMore(),
    POLL_MS,
    (written) => watchMark(this.disk, this.directory, written),
    () => this.reading.index.newest?.takeTouched() ?? [],
  );
  /** The index that those who wait in a read-only store were last told of. */
  #toldIndex: StoreIndex;

  constructor(opened: Opened) {
    this.directory = opened.directory;
    this.disk = opened.disk;
    this.isDiskGiven = opened.isDiskGiven;
    this.clock = opened.clock;
    this.parts = opened.parts;
    this.#askedLayout = opened.askedLayout;
    this.registry = opened.registry;
    this.writer = opened.writer;
    this.reading = opened.reading;
    this.#toldIndex = opened.reading.index;
    opened.life.assertReadable = () => this.assertReadable();
    if (opened.writer === null) this.reading.renew = () => this.refresh();
    opened.life.assertWritable = () => this.assertWritable();
  }

  /** The next visible event's sequence. */
  get visibleSequence(): number {
    if (this.#ended !== null) throw this.#ended;
    return this.parts.log.index.visible.sequence;
  }

  assertReadable(): void {
    if (this.state === "closed") throw closedError("read");
    if (this.#ended !== null) throw this.#ended;
  }

  /** Gives the writer; throws where the store takes no changes. */
  assertWritable(operation = "append"): StoreWriter {
    if (this.writer === null) throw this.readOnlyError(operation);
    if (this.state !== "open") throw closedError(operation);
    this.writer.log.queue.assertSound();
    return this.writer;
  }

  readOnlyError(operation: string): StoreError {
    return new StoreError("READ_ONLY", `Cannot ${operation}: the store was opened with readOnly, open it without`, { operation });
  }

  /** The visible event with this id; null when there is none. */
  find(id: Uint8Array): StoredEvent | null {
    return this.#look(() => {
      const { index } = this.parts.log;
      const found = index.findById(id, index.visible.sequence);
      if (found === null) return null;
      // Its frame is in hand since it was found.
      const slice = this.parts.frames.read(found.segment.id, found.offset);
      return this.#eventIn(slice, index.indexOf(found.segment).sequenceAt(found.row));
    });
  }

  /** The batch with this key that compaction removed; null when there is none. */
  findRemoved(key: Uint8Array): readonly RemovedRow[] | null {
    return this.#look(() => this.parts.log.index.findRemoved(key));
  }

  /** The latest visible event of an entity; null when it has none. `typeOf`: what its kind means, where that is not as the store knows it. */
  latest(entity: string, typeOf?: (kind: number) => EventType | null): StoredEvent | null {
    const { index } = this.parts.log;
    const entityId = index.entities.find(entity);
    const sequence = entityId < 0 ? -1 : index.heads.visibleSequence(entityId);
    if (sequence < 0) return null;
    return this.#look(() => {
      const segment = index.segments[index.segmentAt(sequence)];
      return this.#eventAt(segment, index.indexOf(segment).rowAtSequence(sequence), typeOf);
    });
  }

  /** The visible event with this sequence; null when there is none. */
  at(sequence: number): StoredEvent | null {
    return this.#look(() => {
      const { index } = this.parts.log;
      const found = sequence < index.visible.sequence ? index.findBySequence(sequence) : null;
      return found === null ? null : this.#eventAt(found.segment, found.row);
    });
  }

  /** Looks, and again where another process has compacted the store meanwhile. */
  renewing<Result>(look: () => Result): Promise<Result> {
    const turn = turnShare.wait();
    return turn === null ? this.#lookNow(look) : turn.then(() => this.#lookNow(look));
  }

  #lookNow<Result>(look: () => Result): Promise<Result> {
    turnShare.spend(1);
    try {
      return Promise.resolve(look());
    } catch (error) {
      return this.#renewed(look, error);
    }
  }

  async #renewed<Result>(look: () => Result, failure: unknown): Promise<Result> {
    let error = failure;
    for (let attempt = 1; attempt < RENEWALS_MAX && this.writer === null && isStoreError(error, "COMPACTED"); attempt++) {
      await this.refresh();
      try {
        return look();
      } catch (another) {
        error = another;
      }
    }
    throw error;
  }

  /** A look at index and frames: again where a page of the index was bad, and with the store's errors. */
  #look<Result>(look: () => Result): Result {
    try {
      return this.parts.log.index.withSoundIndex(look);
    } catch (error) {
      throw asStoreError("read", this.directory, error);
    }
  }

  #eventAt(segment: SegmentEntry, row: number, typeOf?: (kind: number) => EventType | null): StoredEvent {
    const { frames, log } = this.parts;
    const index = log.index.indexOf(segment);
    return this.#eventIn(frames.readRow(segment, index, row), index.sequenceAt(row), typeOf);
  }

  #eventIn(slice: FrameSlice, sequence: number, typeOf?: (kind: number) => EventType | null): StoredEvent {
    turnShare.spend(bytesShare(slice.length));
    const { format } = this.parts.frames;
    const kind = format.kind(slice.view, slice.at);
    return new StoredEvent(format, slice, slice.at, sequence, typeOf === undefined ? this.registry.typeOf(kind) : typeOf(kind));
  }

  compile(query: Query | undefined, operation: string): ReturnType<typeof compileQuery> {
    return compileQuery(query, (definition) => this.registry.kindsOf(definition), operation);
  }

  /** A query as the index takes it. */
  filters(query: Query | undefined, operation: string): SearchFilter[] {
    return this.compile(query, operation).map(searchFilter);
  }

  /** The events that match, as they are visible now. */
  read(query: Query | undefined, options: ReadOptions | undefined): StoredReading {
    this.assertReadable();
    const filters = this.filters(query, "read");
    return new StoredReading(this.reading, filters, compileReadOptions(options, "read"), this.visibleSequence);
  }

  /** The events that match, past and to come. */
  subscribe(query: Query | undefined, options: SubscribeOptions): Subscription<StoredEvent> {
    this.assertReadable();
    // Compiled again whenever a kind is learnt.
    const asked = copyQuery(query);
    const filters = this.registry.untilLearnt(() => this.filters(asked, "subscribe"));
    const { after, signal } = compileSubscribeOptions(options, this.visibleSequence);
    const source: SubscriptionSource<StoredEvent> = {
      visible: () => this.visibleSequence,
      batches: (position, bound) => {
        const read = { direction: "forward" as const, limit: Number.POSITIVE_INFINITY, signal, after: position };
        return new StoredReading(this.reading, filters(), read, bound).batches();
      },
      onChange: (callback, position) => this.onChange(callback, asked, filters, position),
      isClosed: () => this.state === "closed",
      isClosing: () => this.state !== "open",
    };
    return new Subscription(source, after, signal);
  }

  /**
   * Calls back once when more may be visible that the query names, or the store was closed; gives a function that calls it off.
   *
   * @param filters those of the query, as they are compiled when it is asked for them
   * @param after sequence of an event that is visible already, or of a later one: behind it is what is more
   */
  onChange(callback: () => void, query: Query | undefined, filters: () => readonly SearchFilter[], after: number): () => void {
    const { index } = this.reading;
    const waiting = [callback, concernOf(index, filters, after), waitingPlaceOf(index, filters(), filterCount(query), after)] as const;
    return this.writer === null ? this.#poll.onNext(...waiting) : this.writer.gate.onNext(...waiting);
  }

  async #lookForMore(): Promise<boolean> {
    const startedMs = systemClock.monotonicMs();
    if (startedMs < this.#restsUntilMs) return false;
    try {
      await this.refresh();
      const nowMs = systemClock.monotonicMs();
      if (this.parts.log.problems.length > 0) this.#restsUntilMs = nowMs + (nowMs - startedMs) * DAMAGED_REST_FACTOR;
      this.#lookFails = false;
    } catch (error) {
      // Looked again until it succeeds, and told once: nobody here could be told better.
      if (!this.#lookFails) tell("background-failed", { directory: this.directory, what: "look for more", error });
      this.#lookFails = true;
      throw error;
    }
    // Read anew since: they wait for events of an index that nothing is added to any more.
    if (this.reading.index !== this.#toldIndex) this.#poll.open();
    this.#toldIndex = this.reading.index;
    const before = this.#told;
    this.#told = this.visibleSequence;
    return this.#told !== before;
  }

  /** The store is closed: whoever follows it ends, and so do its consumers. */
  async end(): Promise<void> {
    this.state = "closed";
    this.writer?.gate.open();
    this.#poll.open();
    // A lock file that cannot be emptied must not keep the store's own lock from being released: the kernel's lock is gone all the same.
    await Promise.allSettled(Array.from(this.consumers, (consumer) => consumer.close()));
  }

  /** In a read-only store: takes up what the writer has made visible since. */
  async refresh(): Promise<void> {
    this.assertReadable();
    if (this.writer !== null) return;
    // One at a time: two at once would take up the same frames twice. One that is under way may have asked for the mark before what the caller
    // knows of was there: whoever asks meanwhile is served by the one after it.
    if (this.#refreshNext === null) {
      if (this.#refreshing === null) return await this.#beginRefresh();
      this.#refreshNext = this.#refreshing
        .catch(() => {})
        .then(() => {
          this.#refreshNext = null;
          this.assertReadable();
          return this.#beginRefresh();
        });
    }
    await this.#refreshNext;
  }

  #beginRefresh(): Promise<void> {
    this.#refreshing = this.#takeUp()
      .catch((error: unknown) => {
        // Files that are closed beside it cannot be read.
        throw this.state === "open" ? asStoreError("read", this.directory, error) : closedError("read");
      })
      .finally(() => {
        this.#refreshing = null;
      });
    return this.#refreshing;
  }

  async #takeUp(): Promise<void> {
    const view = await readerView(this.disk, this.directory);
    // The batpak 0.3 layout is read anew as a whole, so only where its writer says that there is more.
    const { layout } = this.parts;
    if (layout === "batpak-0.3" && view.writer && view.mark?.visibleSequence === this.visibleSequence) return;
    const { log, files } = this.parts;
    const isSame = !files.isOutdated && (layout !== "native" || view.mark === null || (isOfLog(view.mark, log) && !this.#fallsBack(view)));
    const followed =
      isSame &&
      (await followNative({
        disk: this.disk,
        parts: this.parts,
        mark: view.writer ? view.mark : null,
        systemRecord: (frame) => this.#restoreRecord(frame),
      }));
    if (followed) return;
    try {
      await readLogForReader(this.disk, this.parts, this.directory, this.#askedLayout);
    } catch (error) {
      // What was seen leads nowhere in another store.
      throw isStoreError(error, "STORE_REPLACED") ? this.#endWith(error) : error;
    }
    // Closed meanwhile.
    if (this.state === "closed") this.parts.files.closeAll();
    for (const frame of this.parts.log.records) this.#learn(frame);
  }

  /**
   * Whether a writer's mark has come to stand before what was seen here, where it did not stand at the last look. A killed writer's may, until the next one has
   * recovered; else an older copy of the store lies there, which is told by reading it.
   */
  #fallsBack({ writer, mark }: ReaderView): boolean {
    const before = this.#markBehind;
    this.#markBehind = writer && mark !== null && isBehind(mark, this.parts.log.index.visible) ? mark.visibleSequence : -1;
    return this.#markBehind >= 0 && this.#markBehind !== before;
  }

  #restoreRecord(frame: Uint8Array): void {
    addRecordInForce(this.parts.log.records, frame);
    this.#learn(frame);
  }

  #learn(frame: Uint8Array): void {
    const record = definitionRecordOf(frame);
    if (record === null) return;
    try {
      this.registry.restore(record, "go on reading the store");
    } catch (error) {
      // What comes behind the record would be read as what it is not, and some of what stands before it is taken up already.
      throw this.#endWith(error as Error);
    }
  }

  /** Tells all who wait, and from now on whoever reads. Gives the error. */
  #endWith(error: Error): Error {
    this.#ended = error;
    this.#poll.open();
    return error;
  }
}

/** Whether what the mark says is of the log that was read, and of no later compaction. */
function isOfLog(mark: DurableMark, log: OpenedNativeLog): boolean {
  if (log.storeId !== null && !sameBytes(mark.storeId, 0, log.storeId, 0, log.storeId.length)) return false;
  return mark.generation <= log.generation;
}
