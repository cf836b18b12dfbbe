/**
 * Import: records in, events appended. What `store.import` does.
 *
 * Invariants:
 * 1. Records are appended in their order, in portions of about 1,000, a portion all or nothing (but for a crash, which may leave its first batches).
 *    Each record is a batch of its own, or stays in the batch that it was in: keys are answered by batches. A batch that is larger than the store
 *    takes is cut in pieces.
 * 2. An event whose id is in the store is not appended again: a second run adds nothing. Where it is another event, the record is bad.
 * 3. A bad record stops the import before anything of its portion is written. With `skipBad` it is reported, and the rest goes on.
 * 4. At most two portions are in flight: whoever gives the records waits for the log.
 */
import { assertBoolean, assertFunction, assertOptions, assertSignal } from "./base/arguments.ts";
import { GrowingSink } from "./base/byte-sink.ts";
import { sameBytes } from "./base/hex.ts";
import { rest } from "./base/rest.ts";
import { invalidArgument, isStoreError, StoreError } from "./base/store-error.ts";
import type { Appending } from "./appending.ts";
import type { DefinitionRegistry } from "./events/definition-registry.ts";
import { payloadToJson } from "./events/payload-json.ts";
import { formatIdHex } from "./events/id.ts";
import { BLANK, type CheckedRecord, checkRecord, type ImportRecord, recordOf } from "./import-record.ts";
import type { RemovedRow } from "./format/native/retention.ts";
import { blake3 } from "./kernel/frame-kernel.ts";
import type { FoundRow, StoreIndex } from "./index/store-index.ts";
import type { AppendItem } from "./log/append-request.ts";
import type { FrameSource } from "./log/frame-source.ts";

/** How far an import has come. */
export interface ImportProgress {
  /** Records taken so far, blank lines included. */
  readonly lines: number;
  readonly imported: number;
  readonly skipped: number;
  readonly bad: number;
}

/** How to go about an import. */
export interface ImportOptions {
  /** Goes on after a bad record and reports it, instead of stopping. */
  readonly skipBad?: boolean | undefined;
  /** Called after each portion of about 1,000. */
  readonly onProgress?: ((progress: ImportProgress) => void) | undefined;
  /** Stops the import; what is appended already stays. */
  readonly signal?: AbortSignal | undefined;
}

/** What an import has done. */
export interface ImportResult {
  /** Events appended. */
  readonly imported: number;
  /** Events that were there already. */
  readonly skipped: number;
  /** With `skipBad`: what was left out, and why. The first record is line 1. */
  readonly bad: readonly { readonly line: number; readonly reason: string }[];
}

/** What an import needs of a store. */
export interface ImportParts {
  readonly appending: Appending;
  readonly registry: DefinitionRegistry;
  readonly index: StoreIndex;
  readonly frames: FrameSource;
}

const PORTION_EVENTS = 1000;
const PORTION_BYTES = 4 * 1024 * 1024;
const PORTIONS_IN_FLIGHT = 2;
const OPTION_NAMES: ReadonlySet<string> = new Set(["skipBad", "onProgress", "signal"]);

/** What may be imported: records, or lines of JSON (text or UTF-8 bytes), of which blank ones are passed over. */
export type ImportSource = Iterable<ImportRecord | string | Uint8Array> | AsyncIterable<ImportRecord | string | Uint8Array>;

/** Appends what `source` gives; see `store.import`. */
export async function importRecords(parts: ImportParts, source: ImportSource, options: ImportOptions): Promise<ImportResult> {
  assertOptions(options, OPTION_NAMES, "import");
  assertSignal(options.signal, "import");
  assertFunction(options.onProgress, "onProgress", "import");
  assertBoolean(options.skipBad, "skipBad", "import");
  const run = new ImportRun(parts, options);
  try {
    if (isAsync(source)) {
      for await (const record of source) {
        const waiting = run.take(record);
        if (waiting !== undefined) await waiting;
      }
    } else {
      for (const record of source) {
        const waiting = run.take(record);
        if (waiting !== undefined) await waiting;
      }
    }
    await run.finish();
    return run.result();
  } finally {
    await run.settle();
  }
}

function isAsync(source: ImportSource): source is AsyncIterable<ImportRecord | string | Uint8Array> {
  const given: unknown = source;
  if (typeof given === "object" && given !== null) {
    if (Symbol.asyncIterator in given) return true;
    if (Symbol.iterator in given) return false;
  }
  throw invalidArgument("Cannot import: the records are no iterable, an iterable or async iterable of records is allowed");
}

class ImportRun {
  readonly #parts: ImportParts;
  readonly #options: ImportOptions;
  readonly #sink = new GrowingSink(64 * 1024);
  readonly #bad: { line: number; reason: string }[] = [];
  #line = 0;
  #imported = 0;
  #skipped = 0;
  #portion: CheckedRecord[] = [];
  #bytes = 0;
  /** Where in the portion its last batch begins. */
  #batchAt = 0;
  /** Names that were found to have a kind, with the version and the kind elsewhere. */
  readonly #names = new Set<string>();
  /** Ids of the portion and of what is in flight, as hex digits: the index may not know them yet. */
  readonly #pendingIds = new Set<string>();
  readonly #inFlight = new Set<Promise<void>>();
  #failure: { readonly error: unknown } | null = null;

  constructor(parts: ImportParts, options: ImportOptions) {
    this.#parts = parts;
    this.#options = options;
  }

  /** Takes the next record. A promise is to be awaited before the one after it. */
  take(given: unknown): Promise<void> | undefined {
    this.#line++;
    this.#options.signal?.throwIfAborted();
    this.#throwFailure();
    const { payloadBytesMax } = this.#parts.appending.limits;
    let record: CheckedRecord;
    try {
      const value = recordOf(given);
      if (value === BLANK) return undefined;
      record = checkRecord(value, this.#line, payloadBytesMax, this.#sink);
      this.#parts.appending.assertStorable(record.item);
      this.#assertName(record.item);
    } catch (error) {
      this.#refuse(this.#line, error);
      return undefined;
    }
    const { id } = record.item;
    if (id !== null && this.#pendingIds.has(formatIdHex(id, 0))) return this.#takeAfterPending(record);
    return this.#add(record);
  }

  /** A record with the id of one that is not appended yet: once it is, the index tells whether they are the same. */
  async #takeAfterPending(record: CheckedRecord): Promise<void> {
    await this.#flush(this.#portion.length);
    await this.settle();
    this.#throwFailure();
    await this.#add(record);
  }

  /** Throws where the name can have no kind here. Which one it gets is decided when it is staged. */
  #assertName({ type, version, kind }: AppendItem): void {
    const name = `${version} ${kind} ${type}`;
    if (type === null || this.#names.has(name)) return;
    this.#parts.registry.resolveName(type, version, kind);
    this.#names.add(name);
  }

  #add(record: CheckedRecord): Promise<void> | undefined {
    const { id } = record.item;
    if (id !== null) {
      const { index } = this.#parts;
      const found = index.withSoundIndex(() => index.findById(id, Number.POSITIVE_INFINITY));
      if (found !== null) {
        const difference = this.#difference(record, found);
        if (difference === null) this.#skipped++;
        else this.#refuse(record.line, differentEvent(record, difference));
        if (difference !== null || this.#skipped % PORTION_EVENTS !== 0) return undefined;
        this.#report();
        return rest();
      }
      const removed = index.findRemoved(id)?.find((row) => sameBytes(row.id, 0, id, 0, 16)) ?? null;
      if (removed !== null) {
        const difference = this.#removedDifference(record, removed);
        if (difference === null) this.#skipped++;
        else this.#refuse(record.line, differentEvent(record, difference));
        return undefined;
      }
    }
    const portion = this.#portion;
    const joins = this.#joinsLast(record);
    if (!joins) this.#batchAt = portion.length;
    // What is full is appended without the batch that goes on, unless that alone fills it.
    if (this.#isFull(record, joins)) return this.#flush(this.#batchAt || portion.length).then(() => this.#add(record));
    if (!joins && portion.length > 0) portion[portion.length - 1].item.endsBatch = true;
    portion.push(record);
    this.#bytes += record.bytes;
    if (id !== null) this.#pendingIds.add(formatIdHex(id, 0));
    return record.batch === null && portion.length >= this.#portionEvents ? this.#flush(portion.length) : undefined;
  }

  get #portionEvents(): number {
    return Math.min(PORTION_EVENTS, this.#parts.appending.limits.batchEventsMax);
  }

  /** Whether the record is in the batch of the one before it. */
  #joinsLast({ batch }: CheckedRecord): boolean {
    return batch !== null && this.#portion.at(-1)?.batch === batch;
  }

  #isFull({ bytes, item }: CheckedRecord, joins: boolean): boolean {
    const { length } = this.#portion;
    if (length === 0) return false;
    // After an event of this moment, the store's last time is known only once it is appended.
    if (item.givenMs !== null && this.#portion[length - 1].item.givenMs === null) return true;
    const { batchEventsMax, batchBytesMax } = this.#parts.appending.limits;
    if (length >= (joins ? batchEventsMax : this.#portionEvents)) return true;
    return this.#bytes + bytes > (joins ? batchBytesMax : Math.min(PORTION_BYTES, batchBytesMax));
  }

  /** In what the stored event with the record's id differs from it; null where it is the same. */
  #difference(record: CheckedRecord, found: FoundRow): string | null {
    const { frames } = this.#parts;
    const { format } = frames;
    const { bytes, view, at } = frames.peek(found.segment.id, found.offset);
    const { entity, scope, data } = record.item;
    if (format.entity(bytes, view, at) !== entity) return "entity";
    if (format.scope(bytes, view, at) !== scope) return "scope";
    if (!this.#isKindOf(record, format.kind(view, at))) return "kind";
    if (format.samePayload(bytes, view, at, record.stored, 0, record.stored.length)) return null;
    // Another library may have written the same value in other bytes.
    return payloadToJson(format.payload(bytes, view, at)) === payloadToJson(data) ? null : "payload";
  }

  /** The same of an event that compaction removed: of its payload only the hash is left. */
  #removedDifference(record: CheckedRecord, row: RemovedRow): string | null {
    const { entity, scope } = record.item;
    if (row.entity !== entity) return "entity";
    if (row.scope !== scope) return "scope";
    if (!this.#isKindOf(record, row.kind)) return "kind";
    return sameBytes(row.payloadHash, 0, blake3(record.stored), 0, 32) ? null : "payload";
  }

  /** Whether an event of this kind may be the record's: the name counts, where both have one. */
  #isKindOf({ item: { type, kind } }: CheckedRecord, stored: number): boolean {
    const name = type === null ? null : this.#parts.registry.nameOf(stored);
    return name === null ? stored === kind : name === type;
  }

  #refuse(line: number, cause: unknown): void {
    // What cannot be done is said once.
    const reason = (cause instanceof Error ? cause.message : String(cause)).replace(
      /^Cannot (?:append|import(?: (\w+))?): /,
      (_, name?: string) => (name === undefined ? "" : `${name}: `),
    );
    if (this.#options.skipBad === true) {
      this.#bad.push({ line, reason });
      return;
    }
    this.#portion = [];
    const message = `Cannot import line ${line}: ${reason}`;
    if (isStoreError(cause, "UNSUPPORTED_BY_LAYOUT"))
      throw new StoreError("UNSUPPORTED_BY_LAYOUT", message, { ...cause.details, line }, { cause });
    throw new StoreError("INVALID_LINE", message, { line, reason }, { cause });
  }

  /** Appends the first records of the portion; resolves when more may be. */
  async #flush(count: number): Promise<void> {
    if (count === 0) return;
    const records = this.#portion.splice(0, count);
    this.#bytes = this.#portion.reduce((sum, { bytes }) => sum + bytes, 0);
    this.#batchAt = 0;
    this.#throwFailure();
    const items = records.map(({ item }) => item);
    const settled = this.#parts.appending
      .appendItems(items, this.#options.signal ?? null)
      .then(() => {
        this.#imported += items.length;
        for (const { id } of items) if (id !== null) this.#pendingIds.delete(formatIdHex(id, 0));
        this.#report();
      })
      .catch((error: unknown) => {
        this.#failure ??= { error };
      });
    this.#inFlight.add(settled);
    void settled.then(() => this.#inFlight.delete(settled));
    while (this.#inFlight.size >= PORTIONS_IN_FLIGHT) await Promise.race(this.#inFlight);
    this.#throwFailure();
  }

  #throwFailure(): void {
    if (this.#failure !== null) throw this.#failure.error;
  }

  #report(): void {
    this.#options.onProgress?.({ lines: this.#line, imported: this.#imported, skipped: this.#skipped, bad: this.#bad.length });
  }

  /** Appends what is left and waits for all of it. */
  async finish(): Promise<void> {
    await this.#flush(this.#portion.length);
    await this.settle();
    this.#throwFailure();
    this.#options.signal?.throwIfAborted();
  }

  /** Waits until nothing is in flight. */
  async settle(): Promise<void> {
    while (this.#inFlight.size > 0) await Promise.race(this.#inFlight);
  }

  result(): ImportResult {
    return { imported: this.#imported, skipped: this.#skipped, bad: this.#bad };
  }
}

function differentEvent(record: CheckedRecord, difference: string): StoreError<"IDEMPOTENCY_MISMATCH"> {
  const { entity } = record.item;
  const id = formatIdHex(record.item.id as Uint8Array, 0);
  const reason = `the store has another event with the id ${id}: its ${difference} differs`;
  return new StoreError("IDEMPOTENCY_MISMATCH", `Cannot import: ${reason}, only the same event may come again`, {
    entity,
    id,
    reason,
  });
}
