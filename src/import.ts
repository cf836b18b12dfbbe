/**
 * Import: records in, events appended, in batches. What `store.import` does.
 *
 * Invariants:
 * 1. Records are appended in their order, a batch (at most 1,000 records) all or nothing.
 * 2. An event whose id is in the store is not appended again: a second run adds nothing. Where it is another event, the record is bad.
 * 3. A bad record stops the import before anything of its batch is written. With `skipBad` it is reported, and the rest goes on.
 * 4. At most two batches are in flight: whoever gives the records waits for the log.
 */
import { assertBoolean, assertFunction, assertOptions, assertSignal } from "./base/arguments.ts";
import { GrowingSink } from "./base/byte-sink.ts";
import { sameBytes } from "./base/hex.ts";
import { rest } from "./base/rest.ts";
import { invalidArgument, StoreError } from "./base/store-error.ts";
import type { Appending } from "./appending.ts";
import { payloadToJson } from "./events/payload-json.ts";
import { formatIdHex } from "./events/id.ts";
import { batpak03Frames } from "./format/batpak03/frame-format.ts";
import { BLANK, type CheckedRecord, checkRecord, itemOf, type ImportRecord, recordOf } from "./import-record.ts";
import type { RemovedRow } from "./format/native/retention.ts";
import { blake3 } from "./kernel/frame-kernel.ts";
import type { FoundRow, StoreIndex } from "./index/store-index.ts";
import type { FrameSource } from "./log/frame-source.ts";

/** How far an import has come. */
export interface ImportProgress {
  /** Records taken so far, blank lines included. */
  readonly lines: number;
  readonly imported: number;
  readonly skipped: number;
  readonly bad: number;
}

export interface ImportOptions {
  /** Goes on after a bad record and reports it, instead of stopping. */
  readonly skipBad?: boolean | undefined;
  /** Called after each batch. */
  readonly onProgress?: ((progress: ImportProgress) => void) | undefined;
  /** Stops the import; what is appended already stays. */
  readonly signal?: AbortSignal | undefined;
}

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
  readonly index: StoreIndex;
  readonly frames: FrameSource;
}

const BATCH_EVENTS = 1000;
const BATCH_BYTES = 4 * 1024 * 1024;
const BATCHES_IN_FLIGHT = 2;
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
  #batch: CheckedRecord[] = [];
  #batchBytes = 0;
  /** Ids of the batch and of what is in flight, as hex digits: the index may not know them yet. */
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
    } catch (error) {
      this.#refuse(this.#line, error);
      return undefined;
    }
    if (record.id !== null && this.#pendingIds.has(formatIdHex(record.id, 0))) return this.#takeAfterPending(record);
    return this.#add(record);
  }

  /** A record with the id of one that is not appended yet: once it is, the index tells whether they are the same. */
  async #takeAfterPending(record: CheckedRecord): Promise<void> {
    await this.#flush();
    await this.settle();
    this.#throwFailure();
    await this.#add(record);
  }

  #add(record: CheckedRecord): Promise<void> | undefined {
    if (record.id !== null) {
      const id = record.id;
      const { index } = this.#parts;
      const found = index.withSoundIndex(() => index.findById(id, Number.POSITIVE_INFINITY));
      if (found !== null) {
        const difference = this.#difference(record, found);
        if (difference === null) this.#skipped++;
        else this.#refuse(record.line, differentEvent(record, difference));
        if (difference !== null || this.#skipped % BATCH_EVENTS !== 0) return undefined;
        this.#report();
        return rest();
      }
      const removed = index.findRemoved(id)?.find((row) => sameBytes(row.id, 0, id, 0, 16)) ?? null;
      if (removed !== null) {
        const difference = removedDifference(record, removed);
        if (difference === null) this.#skipped++;
        else this.#refuse(record.line, differentEvent(record, difference));
        return undefined;
      }
    }
    const { batchEventsMax, batchBytesMax } = this.#parts.appending.limits;
    // After an event of this moment, the store's last time is known only once it is appended.
    const clampsUnknown = record.wallMs !== null && this.#batch.at(-1)?.wallMs === null;
    const full = clampsUnknown || this.#batchBytes + record.stored.length > Math.min(BATCH_BYTES, batchBytesMax);
    const waiting = full && this.#batch.length > 0 ? this.#flush() : undefined;
    this.#batch.push(record);
    this.#batchBytes += record.stored.length;
    if (record.id !== null) this.#pendingIds.add(formatIdHex(record.id, 0));
    return this.#batch.length >= Math.min(BATCH_EVENTS, batchEventsMax)
      ? (waiting ?? Promise.resolve()).then(() => this.#flush())
      : waiting;
  }

  /** In what the stored event with the record's id differs from it; null where it is the same. */
  #difference(record: CheckedRecord, found: FoundRow): string | null {
    const { frames } = this.#parts;
    const { format } = frames;
    const { bytes, view, at } = frames.peek(found.segment.id, found.offset);
    if (format.entity(bytes, view, at) !== record.entity) return "entity";
    if (format.scope(bytes, view, at) !== record.scope) return "scope";
    if (format.kind(view, at) !== record.kind) return "kind";
    if (format.samePayload(bytes, view, at, record.stored, 0, record.stored.length)) return null;
    // Another library may have written the same value in other bytes.
    return payloadToJson(format.payload(bytes, view, at)) === payloadToJson(record.payload) ? null : "payload";
  }

  #refuse(line: number, cause: unknown): void {
    const reason = cause instanceof Error ? cause.message : String(cause);
    if (this.#options.skipBad !== true) {
      this.#batch = [];
      throw new StoreError("INVALID_LINE", `Cannot import line ${line}: ${reason}`, { line, reason }, { cause });
    }
    this.#bad.push({ line, reason });
  }

  /** Appends the batch; resolves when another may be begun. */
  async #flush(): Promise<void> {
    const batch = this.#batch;
    if (batch.length === 0) return;
    this.#batch = [];
    this.#batchBytes = 0;
    this.#throwFailure();
    const { appending, index } = this.#parts;
    // Whole milliseconds: an earlier time within the same one is no change that anybody sees. In the batpak 0.3 layout a time may run backwards
    // from entity to entity, and where it is clamped within one, the frame keeps both.
    const clamps = this.#parts.frames.format !== batpak03Frames;
    let lastMs = clamps ? Math.floor(index.lastTimeMicros / 1000) : 0;
    const items = batch.map((record) => {
      const item = itemOf(record, lastMs);
      if (clamps && record.wallMs !== null && record.wallMs > lastMs) lastMs = record.wallMs;
      return item;
    });
    const appended = appending.appendItems(items, this.#options.signal ?? null).then(
      () => {
        this.#imported += batch.length;
        for (const { id } of batch) if (id !== null) this.#pendingIds.delete(formatIdHex(id, 0));
        this.#report();
      },
      (error: unknown) => {
        this.#failure ??= { error };
      },
    );
    const settled = appended.catch((error: unknown) => {
      this.#failure ??= { error };
    });
    this.#inFlight.add(settled);
    void settled.then(() => this.#inFlight.delete(settled));
    while (this.#inFlight.size >= BATCHES_IN_FLIGHT) await Promise.race(this.#inFlight);
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
    await this.#flush();
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

/** The same of an event that compaction removed: of its payload only the hash is left. */
function removedDifference(record: CheckedRecord, row: RemovedRow): string | null {
  if (row.entity !== record.entity) return "entity";
  if (row.scope !== record.scope) return "scope";
  if (row.kind !== record.kind) return "kind";
  return sameBytes(row.payloadHash, 0, blake3(record.stored), 0, 32) ? null : "payload";
}

function differentEvent(record: CheckedRecord, difference: string): StoreError<"IDEMPOTENCY_MISMATCH"> {
  const id = formatIdHex(record.id as Uint8Array, 0);
  const reason = `the store has another event with the id ${id}: its ${difference} differs`;
  return new StoreError("IDEMPOTENCY_MISMATCH", `Cannot import: ${reason}, only the same event may come again`, {
    entity: record.entity,
    id,
    reason,
  });
}
