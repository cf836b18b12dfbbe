/**
 * Converting a store from one layout to the other: ids, times, clocks, sequences, correlation, causation, batches and payload bytes stay; hashes
 * are new, since the two layouts hash different bytes. The source's last hashes are kept beside the new log, so that whoever holds the source
 * can audit the conversion.
 *
 * Invariants:
 * 1. The source is opened read-only, and nothing in it is changed.
 * 2. The new store is made beside the target, as `TARGET.converting`, closed, opened again, verified, and compared event by event with the
 *    source. Only then does it get its name.
 *
 * Commit point: the rename of the directory. A crash before it leaves `TARGET.converting`, which the next conversion to TARGET begins anew
 * (`convert-directory.ts`); behind it, a whole store with a file in it that the next one who opens it for writing removes.
 * Memory: what the indexes of the two stores take; frames pass through in blocks. The batpak 0.3 layout's index is in memory as a whole.
 */
import { dirname, resolve } from "node:path";
import { assertBoolean, assertFunction, assertOptions, assertPath, assertSignal } from "./base/arguments.ts";
import { sameBytes } from "./base/hex.ts";
import { invalidArgument, isStoreError, StoreError } from "./base/store-error.ts";
import { takeWorkDirectory, withoutOwnLocks, type WorkDirectory } from "./convert-directory.ts";
import { batchesOf } from "./convert-source.ts";
import { assertDisk, type Disk } from "./disk/disk.ts";
import { ioError } from "./disk/io-error.ts";
import { nodeDisk } from "./disk/node-disk.ts";
import { replaceFile } from "./disk/replace-file.ts";
import { SYSTEM_ENTITY, SYSTEM_SCOPE } from "./events/coordinate.ts";
import { formatHex, formatId } from "./events/id.ts";
import { SYSTEM_CONFIG_CHANGE } from "./events/kind.ts";
import { HASH_BYTES } from "./index/head-layout.ts";
import { loadHashing } from "./kernel/frame-kernel.ts";
import { GapLedger } from "./log/gap-ledger.ts";
import { remedyOf } from "./log/recovery.ts";
import { Retention } from "./log/retention.ts";
import { AppendItem, type StoredPayload } from "./log/append-request.ts";
import { definitionRecordOf } from "./log/system-records.ts";
import { asStoreError, CONVERSION_FILE, endConversion, leadsInto } from "./open-directory.ts";
import { openHeld, openParts, type Opened } from "./open-store.ts";
import { compileOptions, type Layout } from "./store-options.ts";
import type { StoreWriter } from "./store-writer.ts";
import { verifyStore } from "./verify.ts";

/** How far a conversion has come, in events of its step. */
export interface ConversionProgress {
  readonly step: "converting" | "verifying";
  readonly events: number;
  readonly eventsTotal: number;
}

/** What to make, and how. */
export interface ConversionOptions {
  /** The layout of the new store; the source has the other one. */
  readonly layout: Layout;
  /**
   * Leaves out what the batpak 0.3 layout has no room for: metadata, versions, and the keys of events that compaction removed. Without it, the first
   * such event ends the conversion.
   */
  readonly lossy?: boolean | undefined;
  /** At most this many bytes a segment: 4 KiB to 1 GiB, default 64 MiB. */
  readonly segmentBytesMax?: number | undefined;
  /** Called every few thousand events. */
  readonly onProgress?: ((progress: ConversionProgress) => void) | undefined;
  /** Ends the work with its reason; the target is then not there. */
  readonly signal?: AbortSignal | undefined;
  readonly disk?: Disk | undefined;
}

/** What a conversion has made. */
export interface ConversionResult {
  /** The new store, as an absolute path. */
  readonly directory: string;
  readonly from: Layout;
  readonly to: Layout;
  readonly events: number;
  readonly entities: number;
  /** What the new layout has no room for. */
  readonly dropped: {
    /** Events that lost their metadata. */
    readonly metadata: number;
    /** Events that lost their version. */
    readonly versions: number;
    /** Definitions that lost their names; kinds stay. */
    readonly definitions: number;
    /** Keys of events that compaction removed: when such an event is appended again it is stored, and not answered with its first receipt. */
    readonly removedKeys: number;
    /** Events of the batpak 0.3 layout that lost what only later releases of the original write; it is left out in any case. */
    readonly unknownKeys: number;
  };
  /** BLAKE3 of `conversion.jsonl`, 64 hex digits; a native store has it in a system record as well. */
  readonly sourceHeadsHash: string;
}

const OPTION_NAMES: ReadonlySet<string> = new Set(["layout", "lossy", "segmentBytesMax", "onProgress", "signal", "disk"]);
/** So much is on its way to the disk at once: what has waited for room is encoded in one turn of the event loop. */
const FLYING_BYTES_MAX = 1024 * 1024;
/** Entities whose heads are written out in one turn. */
const HEADS_PER_TURN = 1024;
const PROGRESS_EVENTS = 5000;
/** What verifying finds where events contradict each other. */
const CONTRADICTIONS: ReadonlySet<string> = new Set(["CLOCK_GAP", "LOST_EVENTS", "CHAIN_BROKEN", "HASH_MISMATCH"]);

/**
 * Makes a store of the other layout out of a store, verifies it, and gives it its name only then.
 *
 * @param source the directory of a store, which is only read
 * @param target a directory that is not there, or empty
 * @throws StoreError `CORRUPT` where the source is damaged, `UNSUPPORTED_BY_LAYOUT` where an event has what the new layout has no room for
 * (unless `lossy`), `NOT_FOUND`, `IO`; TypeError `INVALID_ARGUMENT`
 * @example
 * const { events, sourceHeadsHash } = await convertStore("./old", "./new", { layout: "native" });
 */
export async function convertStore(source: string, target: string, options: ConversionOptions): Promise<ConversionResult> {
  assertPath(source, "convert");
  assertPath(target, "convert");
  assertOptions(options, OPTION_NAMES, "convert");
  if (options.layout !== "native" && options.layout !== "batpak-0.3") {
    throw invalidArgument(`Cannot convert: layout is ${String(options.layout)}, "native" and "batpak-0.3" are allowed`);
  }
  assertBoolean(options.lossy, "lossy", "convert");
  assertFunction(options.onProgress, "onProgress", "convert");
  assertSignal(options.signal, "convert");
  assertDisk(options.disk, "convert");
  await loadHashing();
  const path = options.disk === undefined ? resolve(target) : target;
  try {
    return await new Conversion(options.disk === undefined ? resolve(source) : source, path, options).run();
  } catch (error) {
    throw asStoreError("convert", path, error);
  }
}

class Conversion {
  readonly #source: string;
  readonly #target: string;
  readonly #options: ConversionOptions;
  readonly #disk: Disk;
  /** Of the source, which the copy keeps. */
  readonly #gaps = new GapLedger();
  #nextSequence = 0;
  readonly #dropped = { metadata: 0, versions: 0, definitions: 0, removedKeys: 0, unknownKeys: 0 };
  #eventsTotal = 0;

  constructor(source: string, target: string, options: ConversionOptions) {
    this.#source = source;
    this.#target = target;
    this.#options = options;
    this.#disk = options.disk ?? nodeDisk;
  }

  async run(): Promise<ConversionResult> {
    const source = await this.#openToRead(this.#source, this.#options.disk).catch((error: unknown) => this.#blameSource(error));
    try {
      this.#assertSource(source);
      await this.#assertTarget();
      if (this.#options.layout === "batpak-0.3") this.#dropRemovedKeys(source);
      this.#eventsTotal = source.parts.log.index.visibleEvents;
      const work = await takeWorkDirectory(this.#disk, this.#source, this.#target);
      try {
        const sourceHeadsHash = await this.#make(source, work);
        const entities = await this.#compare(source, work);
        // Commit point. The directory that is named may be an empty one.
        await this.#disk.rename(work.path, this.#target);
        await this.#disk.syncDirectory(dirname(this.#target));
        // Where that fails, whoever opens the store for writing does it.
        await endConversion(this.#disk, this.#target).catch(() => {});
        const { layout: from } = source.parts;
        const to = this.#options.layout;
        return { directory: this.#target, from, to, events: this.#eventsTotal, entities, dropped: this.#dropped, sourceHeadsHash };
      } finally {
        // It dies with the process in any case.
        await work.lock.release().catch(() => {});
      }
    } finally {
      source.parts.files.closeAll();
    }
  }

  async #openToRead(directory: string, disk?: Disk): Promise<Opened> {
    return await openParts(directory, compileOptions({ readOnly: true, ...(disk === undefined ? {} : { disk }) }));
  }

  #blameSource(error: unknown): never {
    throw asStoreError("convert", this.#source, error);
  }

  async *#batchesOf(source: Opened): ReturnType<typeof batchesOf> {
    try {
      yield* batchesOf(source);
    } catch (error) {
      this.#blameSource(error);
    }
  }

  #assertSource(source: Opened): void {
    const { layout, log } = source.parts;
    if (layout === this.#options.layout) {
      throw invalidArgument(`Cannot convert: ${this.#source} has the layout ${layout} already, a snapshot copies it as it is`);
    }
    if (log.problems.length === 0) return;
    const [damage] = log.problems;
    const { message: reason } = damage;
    throw new StoreError("CORRUPT", `Cannot convert: the source is not whole (${reason}); ${remedyOf(layout)}`, { reason });
  }

  async #assertTarget(): Promise<void> {
    const status = await this.#disk.status(this.#target);
    if (status === null || (status.type === "directory" && (await this.#disk.list(this.#target)).length === 0)) {
      if (!(await leadsInto(this.#disk, this.#source, this.#target))) return;
      throw invalidArgument(`Cannot convert: ${this.#target} is in the source's own directory, one outside of it is allowed`);
    }
    throw new StoreError("IO", `Cannot convert: there is something at ${this.#target}, an empty or a new directory is allowed`, {
      operation: "convert",
      path: this.#target,
      errno: status.type === "directory" ? "ENOTEMPTY" : "EEXIST",
    });
  }

  /** Fills the new store and closes it. Returns the hash of the file with the source's heads. */
  async #make(source: Opened, work: WorkDirectory): Promise<string> {
    const { layout, segmentBytesMax, disk } = this.#options;
    const { createBLAKE3 } = await import("hash-wasm");
    const heads = (await createBLAKE3()).init();
    await replaceFile(
      this.#disk,
      work.path,
      CONVERSION_FILE,
      headsText(source, (piece) => heads.update(piece)),
    );
    const hash = heads.digest("hex");
    const options = compileOptions({
      layout,
      // Synced as a whole, when it is closed.
      durability: { everyMs: 10_000, everyEvents: 1_000_000 },
      ...(segmentBytesMax === undefined ? {} : { segmentBytesMax }),
      ...(disk === undefined ? {} : { disk }),
    });
    const opened = await openHeld(work.path, options, work.lock);
    const writer = opened.writer as StoreWriter;
    try {
      await this.#copyEvents(source, writer);
      if (layout === "native") await writer.acceptance.take([conversionRecord(source, hash, this.#gaps)], 1);
      await writer.close();
      return hash;
    } catch (error) {
      // What the writer could not write it tells again when it is closed.
      await writer.close().catch(() => {});
      // Nobody is to look which events were stored: the new store has no name.
      const { cause } = error as Error;
      throw isStoreError(error, "COMMIT_UNKNOWN") || isStoreError(error, "POISONED") ? ioError("convert", work.path, cause) : error;
    }
  }

  async #copyEvents(source: Opened, writer: StoreWriter): Promise<void> {
    const flying: Promise<void>[] = [];
    let events = 0;
    let told = 0;
    for await (const batch of this.#batchesOf(source)) {
      this.#options.signal?.throwIfAborted();
      const taken = writer.acceptance.take(this.#options.layout === "native" ? batch : batch.map((item) => this.#withoutRoomless(item)), 0);
      // It may fail while the next are read, long before it is waited for.
      taken.catch(() => {});
      flying.push(taken);
      for (const item of batch) this.#notePlace(item);
      events += batch.length;
      while (flying.length > 1024 || (flying.length > 0 && writer.acceptance.queuedBytes > FLYING_BYTES_MAX)) await flying.shift();
      if (events - told < PROGRESS_EVENTS) continue;
      told = events;
      this.#tell("converting", events);
    }
    await Promise.all(flying);
    this.#tell("converting", events);
    if (this.#options.layout === "batpak-0.3") {
      this.#dropped.definitions = source.parts.log.records.filter((frame) => definitionRecordOf(frame) !== null).length;
    }
  }

  #notePlace({ placement }: AppendItem): void {
    if (placement === null) return;
    const { sequence, unknownKeys = 0 } = placement;
    if (unknownKeys > 0) this.#dropped.unknownKeys++;
    if (sequence !== this.#nextSequence) this.#gaps.note(this.#nextSequence, sequence);
    this.#nextSequence = sequence + 1;
  }

  #tell(step: ConversionProgress["step"], events: number): void {
    this.#options.onProgress?.({ step, events, eventsTotal: this.#eventsTotal });
  }

  #dropRemovedKeys({ parts }: Opened): void {
    for (const { id, sealed } of parts.log.index.segments) {
      if (sealed) this.#dropped.removedKeys += Retention.of(parts.files, parts.frames, id)?.countKeys() ?? 0;
    }
    if (this.#dropped.removedKeys === 0 || this.#options.lossy === true) return;
    throw this.#roomless(`compaction has kept ${this.#dropped.removedKeys} keys of events that it removed`, "keys of removed events");
  }

  #roomless(what: string, feature: string): StoreError<"UNSUPPORTED_BY_LAYOUT"> {
    const details = { layout: "batpak-0.3" as const, feature };
    return new StoreError("UNSUPPORTED_BY_LAYOUT", `Cannot convert: ${what}, lossy leaves ${feature} out`, details);
  }

  /** The event without what the batpak 0.3 layout has no room for. */
  #withoutRoomless(item: AppendItem): AppendItem {
    const feature = item.metadata !== null ? "metadata" : item.version === 1 ? null : "versions";
    if (feature === null) return item;
    if (this.#options.lossy !== true) {
      const has = feature === "metadata" ? "metadata" : `version ${item.version}`;
      throw this.#roomless(`the event with sequence ${item.placement?.sequence} of ${item.entity} has ${has}`, feature);
    }
    if (item.metadata !== null) this.#dropped.metadata++;
    if (item.version !== 1) this.#dropped.versions++;
    const { entity, scope, kind, definition, data, id, cause, correlation, causation, expected, timeMicros, placement } = item;
    const bare = new AppendItem(entity, scope, kind, 1, definition, data, id, cause, correlation, causation, null, expected, timeMicros);
    bare.placement = placement;
    return bare;
  }

  /** Opens the new store, verifies it, and compares it with the source, event by event. Returns how many entities it has. */
  async #compare(source: Opened, work: WorkDirectory): Promise<number> {
    const copy = await this.#openToRead(work.path, withoutOwnLocks(this.#disk));
    try {
      const { ok, problems } = await verifyStore(copy.disk, copy.parts, {
        onProgress: ({ events }) => this.#tell("verifying", events),
        ...(this.#options.signal === undefined ? {} : { signal: this.#options.signal }),
      });
      if (!ok) throw (await this.#contradiction(source)) ?? different(work, problems[0].message);
      const copies = batchesOf(copy);
      for await (const batch of this.#batchesOf(source)) {
        this.#options.signal?.throwIfAborted();
        const { value: other, done } = await copies.next();
        if (done === true) throw different(work, "events are missing");
        if (other.length !== batch.length)
          throw different(work, `the batch at sequence ${batch[0].placement?.sequence} has another length`);
        for (let i = 0; i < batch.length; i++) {
          const difference = differenceOf(batch[i], other[i]);
          if (difference !== null)
            throw different(work, `the event with sequence ${batch[i].placement?.sequence} has another ${difference}`);
        }
      }
      if ((await copies.next()).done !== true) throw different(work, "it has more events than the source");
      return copy.parts.log.index.heads.liveEntities;
    } finally {
      copy.parts.files.closeAll();
    }
  }

  /** What the source's own events say against each other, where that is why the copy is not sound: the original has numbered entities anew. */
  async #contradiction(source: Opened): Promise<StoreError<"CORRUPT"> | null> {
    const { signal } = this.#options;
    const { problems } = await verifyStore(source.disk, source.parts, { signal }, { isListed: ({ code }) => CONTRADICTIONS.has(code) });
    const problem = problems[0];
    if (problem === undefined) return null;
    const { message: reason, segmentId, offset } = problem;
    return new StoreError(
      "CORRUPT",
      `Cannot convert: the events of the source contradict each other (${reason}), clocks that ascend and chains that hold are allowed`,
      { reason, ...(segmentId === undefined ? {} : { segmentId }), ...(offset === undefined ? {} : { offset }) },
    );
  }
}

function different({ path }: WorkDirectory, reason: string): StoreError<"CORRUPT"> {
  return new StoreError("CORRUPT", `Cannot convert: what was written to ${path} is not what the source has (${reason}); report this`, {
    reason,
  });
}

function conversionRecord(source: Opened, headsHash: string, gaps: GapLedger): AppendItem {
  const { layout, log } = source.parts;
  const data = {
    record: "conversion",
    from: layout,
    events: log.index.visibleEvents,
    nextSequence: log.index.visible.sequence,
    headsFile: CONVERSION_FILE,
    headsHash,
    gaps: gaps.count,
    gapsHash: gaps.hash,
  };
  return new AppendItem(SYSTEM_ENTITY, SYSTEM_SCOPE, SYSTEM_CONFIG_CHANGE, 1, null, data, null, null, null, null, null, null, -1, true);
}

/** The source's last clock and hash of each entity, a line of JSON each, after one about the whole; in pieces, each of which is told before it is given. */
function* headsText(source: Opened, tell: (piece: Uint8Array) => void): Generator<Uint8Array, void, undefined> {
  const { layout, log } = source.parts;
  const { heads, entities, visibleEvents, visible } = log.index;
  let lines = [JSON.stringify({ conversion: 1, from: layout, events: visibleEvents, nextSequence: visible.sequence })];
  const piece = (): Uint8Array => {
    const bytes = Buffer.from(`${lines.join("\n")}\n`);
    lines = [];
    tell(bytes);
    return bytes;
  };
  for (let id = 0; id < heads.count; id++) {
    if (lines.length === HEADS_PER_TURN) yield piece();
    if (heads.clock(id) < 0) continue;
    const hash = formatHex(heads.hash(id), 0, HASH_BYTES);
    lines.push(JSON.stringify({ entity: entities.name(id), clock: heads.clock(id), hash }));
  }
  if (lines.length > 0) yield piece();
}

/** What differs between an event and its copy; null when nothing does. */
function differenceOf(one: AppendItem, other: AppendItem): string | null {
  if (one.entity !== other.entity) return "entity";
  if (one.scope !== other.scope) return "scope";
  if (one.kind !== other.kind) return "kind";
  if (one.placement?.clock !== other.placement?.clock) return "clock";
  if (one.placement?.sequence !== other.placement?.sequence) return "sequence";
  if (Math.floor(one.timeMicros / 1000) !== Math.floor(other.timeMicros / 1000)) return "time";
  if (one.placement?.timestampUs !== other.placement?.timestampUs) return "timestamp";
  for (const name of ["flags", "counter", "depth", "lane"] as const) if (one.placement?.[name] !== other.placement?.[name]) return name;
  if (!sameId(one.id, other.id)) return `id (${one.id === null ? "none" : formatId(one.id, 0)})`;
  if (!sameId(one.correlation, other.correlation)) return "correlation";
  if (!sameId(one.causation, other.causation)) return "causation";
  return Buffer.compare((one.data as StoredPayload).bytes, (other.data as StoredPayload).bytes) === 0 ? null : "payload";
}

function sameId(one: Uint8Array | null, other: Uint8Array | null): boolean {
  return one === null || other === null ? one === other : sameBytes(one, 0, other, 0, 16);
}
