/**
 * Compaction: takes events out of the sealed segments of a store that nobody has open for writing. What stays keeps its bytes, hash, sequence
 * and clock; what goes is recorded (`format/native/retention.ts`), so that `verify` tells it from tampering and retries are still answered.
 *
 * What is never taken: anything of the newest segment; the last event of an entity; a part of a batch that has a key or a given id; the newest
 * event whose id the store issued; system records.
 *
 * Steps for each range of segments, each safe to repeat after a crash:
 * 1. The checkpoint, which pictures the log as it was, is removed, and the directory synced.
 * 2. The merged segment is written under a temporary name, index block and all, and renamed to the first one's. Commit point: that rename. Its
 *    header names the range that it replaces, and a newer generation: from then on the other files of the range do not count.
 * 3. These are removed. Where that did not happen, the next writer does it.
 */
import { join, resolve } from "node:path";
import { type Clock, systemClock } from "./base/clock.ts";
import { rest } from "./base/rest.ts";
import { invalidArgument, outOfRange, StoreError } from "./base/store-error.ts";
import { getUint64 } from "./base/u64.ts";
import { acquireDirectoryLock } from "./disk/directory-lock.ts";
import type { Disk } from "./disk/disk.ts";
import { nodeDisk } from "./disk/node-disk.ts";
import { putInPlace } from "./disk/replace-file.ts";
import type { AnyDefinition } from "./events/definition.ts";
import { DefinitionRegistry } from "./events/definition-registry.ts";
import type { Event } from "./events/event-union.ts";
import { StoredEvent } from "./events/event.ts";
import { compileQuery, type Query } from "./events/query.ts";
import { CHECKPOINT_FILE } from "./format/native/checkpoint.ts";
import { nativeFrames } from "./format/native/frame-format.ts";
import { FRAME, FRAME_FLAG } from "./format/native/frame-layout.ts";
import { frameFlags, frameLength, isMarked } from "./format/native/frame.ts";
import { loadHashing } from "./kernel/frame-kernel.ts";
import type { SegmentEntry } from "./index/store-index.ts";
import { readMark } from "./log/mark-file.ts";
import { writeMergedFile } from "./log/merged-file.ts";
import { frameBlocks, type SurveyedSegment } from "./log/merge-segments.ts";
import { RowSearch } from "./log/row-search.ts";
import { segmentName } from "./log/segment-files.ts";
import { type NativeStoreParts, prepareNative, readNativeLog } from "./native-engine.ts";
import { definitionRecordOf } from "./native-records.ts";
import { asStoreError, directoryExists, listDirectory } from "./open-directory.ts";
import { noStoreIn } from "./open-store.ts";
import { searchFilter } from "./reading.ts";
import { settleNativeLog } from "./recover-native.ts";
import { Store } from "./store.ts";

export interface CompactOptions<Known extends readonly AnyDefinition[] = readonly []> {
  /** Only events that match may be removed; any, when left out. */
  readonly query?: Query;
  /** Keeps the events for which it returns true. It is asked for those that nothing else keeps. */
  readonly keep?: (event: Event<Known>) => boolean;
  /** Keeps the events of this time (Date or ms) and later ones. */
  readonly keepNewerThan?: Date | number;
  /** Keeps so many of the last events of each entity: 1 or more. */
  readonly keepLast?: number;
  /** True: only says what it would do. */
  readonly dryRun?: boolean;
  /** The definitions that `keep` and `query` use. */
  readonly events?: Known;
  /** A merged segment grows no larger, in bytes: 64 MiB. */
  readonly segmentBytesMax?: number;
  readonly disk?: Disk;
  /** Where the time comes from; default the machine's clock. */
  readonly clock?: Clock;
}

export interface CompactReport {
  /** Events removed, or that would be. */
  readonly removedEvents: number;
  /** Events that the rules would remove, and that stay all the same: last of their entity, or of a batch with a key that stays in part. */
  readonly heldEvents: number;
  readonly removedBytes: number;
  /** The ranges of segments that became one each, or would. */
  readonly ranges: readonly { readonly from: number; readonly to: number; readonly removedEvents: number }[];
  readonly applied: boolean;
}

const OPTIONS = new Set(["query", "keep", "keepNewerThan", "keepLast", "dryRun", "events", "segmentBytesMax", "disk", "clock"]);
const SEGMENT_BYTES_MAX = 64 * 1024 * 1024;
/** What a removed event with a key leaves behind, about. */
const ROW_BYTES = 200;

/**
 * Removes events from a store that is not open for writing. At least one of `query`, `keep`, `keepNewerThan` and `keepLast` must be given; an
 * event goes when it matches `query` and nothing keeps it. The newest segment is left alone, and so is the last event of each entity.
 *
 * @throws TypeError or RangeError `INVALID_ARGUMENT`; StoreError `LOCKED` while a writer has the store, `CORRUPT` where it is damaged,
 * `UNSUPPORTED_BY_LAYOUT` in the 0.3 layout, `NOT_FOUND`, `IO`; what `keep` throws
 * @example
 * const plan = await compactStore("./data", { keepNewerThan: new Date("2026-01-01"), keepLast: 10, dryRun: true });
 */
export async function compactStore<const Known extends readonly AnyDefinition[] = readonly []>(
  directory: string,
  options: CompactOptions<Known>,
): Promise<CompactReport> {
  const rules = checkOptions(directory, options as unknown as CompactOptions);
  const { clock = systemClock, disk = nodeDisk } = options;
  const path = options.disk === undefined ? resolve(directory) : directory;
  await loadHashing();
  try {
    if (!(await directoryExists(disk, path))) throw noStoreIn(path, "compact");
    const lock = await acquireDirectoryLock(disk, path, { waitMs: 0, clock });
    let report: CompactReport;
    try {
      report = await compactLocked(disk, path, rules);
    } finally {
      await lock.release();
    }
    if (report.applied && report.ranges.length > 0) {
      // Checkpoint and mark of the new generation.
      const store = await Store.open(path, { disk, clock });
      await store.close();
    }
    return report;
  } catch (error) {
    throw asStoreError("compact", path, error);
  }
}

function checkOptions(directory: string, options: CompactOptions): CompactOptions {
  if (typeof directory !== "string" || directory === "")
    throw invalidArgument("Cannot compact: the directory is no path, a path is allowed");
  for (const name of Object.keys(options)) {
    if (!OPTIONS.has(name)) throw invalidArgument(`Cannot compact: the option ${name} is unknown, ${[...OPTIONS].join(", ")} are allowed`);
  }
  const { query, keep, keepNewerThan, keepLast, segmentBytesMax } = options;
  if (query === undefined && keep === undefined && keepNewerThan === undefined && keepLast === undefined) {
    throw invalidArgument("Cannot compact: nothing says what goes, at least one of query, keep, keepNewerThan and keepLast is required");
  }
  if (keep !== undefined && typeof keep !== "function") throw invalidArgument("Cannot compact: keep is no function, a function is allowed");
  const time = keepNewerThan instanceof Date ? keepNewerThan.getTime() : keepNewerThan;
  if (time !== undefined && !Number.isFinite(time)) throw outOfRange("Cannot compact: keepNewerThan is no time, a Date or ms are allowed");
  if (keepLast !== undefined && (!Number.isSafeInteger(keepLast) || keepLast < 1))
    throw outOfRange(`Cannot compact: keepLast is ${String(keepLast)}, whole numbers from 1 are allowed`);
  if (segmentBytesMax !== undefined && (!Number.isSafeInteger(segmentBytesMax) || segmentBytesMax < 4096 || segmentBytesMax > 2 ** 30))
    throw outOfRange(`Cannot compact: segmentBytesMax is ${String(segmentBytesMax)}, 4096 to 1073741824 are allowed`);
  return options;
}

async function compactLocked(disk: Disk, directory: string, options: CompactOptions): Promise<CompactReport> {
  const { segmentIds, layout } = await listDirectory(disk, directory);
  if (layout === null) throw noStoreIn(directory, "compact");
  if (layout !== "native") {
    const message = "Cannot compact: the batpak 0.3 layout has no room for what compaction records, import the store into a native one";
    throw new StoreError("UNSUPPORTED_BY_LAYOUT", message, { layout, feature: "compaction" });
  }
  const parts = prepareNative(disk, directory, 16 * 1024 * 1024, "native");
  try {
    const mark = await readMark(disk, directory);
    await readNativeLog(disk, parts, { segmentIds, mark, tolerant: false, limit: null });
    await settleNativeLog(disk, parts.files, parts.log);
    return await new Compaction(disk, parts, options).run();
  } finally {
    parts.files.closeAll();
  }
}

interface Plan extends SurveyedSegment {
  readonly entry: SegmentEntry;
  readonly removedEvents: number;
  readonly keptBytes: number;
}

class Compaction {
  readonly #disk: Disk;
  readonly #parts: NativeStoreParts;
  readonly #options: CompactOptions;
  readonly #registry: DefinitionRegistry;
  readonly #search: RowSearch;
  readonly #newerMicros: number;
  /** By entity: its events, and how many of them were met. */
  readonly #counts = new Map<string, { readonly total: number; met: number }>();
  #held = 0;

  constructor(disk: Disk, parts: NativeStoreParts, options: CompactOptions) {
    this.#disk = disk;
    this.#parts = parts;
    this.#options = options;
    this.#registry = new DefinitionRegistry(options.events ?? [], () => true);
    for (const frame of parts.log.records) {
      const record = definitionRecordOf(frame);
      if (record !== null) this.#registry.restore(record);
    }
    const filters = compileQuery(options.query, (definition) => this.#registry.kindsOf(definition), "compact").map(searchFilter);
    this.#search = new RowSearch(parts.log.index, filters, { from: 0, to: 0, direction: "forward" });
    const { keepNewerThan } = options;
    const time = keepNewerThan instanceof Date ? keepNewerThan.getTime() : keepNewerThan;
    this.#newerMicros = time === undefined ? Number.POSITIVE_INFINITY : time * 1000;
  }

  async run(): Promise<CompactReport> {
    const { segments } = this.#parts.log.index;
    const plans: Plan[] = [];
    for (const segment of segments.slice(0, -1)) plans.push(await this.#survey(segment));
    const ranges = this.#ranges(plans);
    const applied = this.#options.dryRun !== true;
    if (applied && ranges.length > 0) await this.#apply(ranges);
    const removedIn = (range: readonly Plan[]): number => range.reduce((sum, plan) => sum + plan.removedEvents, 0);
    return {
      removedEvents: ranges.reduce((sum, range) => sum + removedIn(range), 0),
      heldEvents: this.#held,
      removedBytes: ranges.flat().reduce((sum, plan) => sum + plan.framesEnd - plan.keptBytes, 0),
      ranges: ranges.map((range) => ({ from: range[0].id, to: range[range.length - 1].id, removedEvents: removedIn(range) })),
      applied,
    };
  }

  /** Decides, once, about each event of a segment. */
  async #survey(segment: SegmentEntry): Promise<Plan> {
    const { files, log } = this.#parts;
    const kept: number[] = [];
    const commit: { keeps: boolean; bytes: number }[] = [];
    let [hasForeign, keptBytes, removedEvents] = [false, 0, 0];
    for await (const { bytes, view, frames } of frameBlocks(files, log.storeId as Uint8Array, segment.id, segment.framesEnd, rest)) {
      for (const at of frames) {
        const flags = frameFlags(view, at);
        if ((flags & FRAME_FLAG.system) !== 0) keptBytes += frameLength(view, at);
        else {
          commit.push({ keeps: this.#keeps(bytes, view, at), bytes: frameLength(view, at) });
          hasForeign ||= (flags & FRAME_FLAG.foreignId) !== 0;
        }
        if (!isMarked(view, at)) continue;
        const holds = hasForeign && commit.some(({ keeps }) => keeps);
        for (const { keeps, bytes: length } of commit) {
          if (holds && !keeps) this.#held++;
          kept.push(keeps || holds ? 1 : 0);
          keptBytes += keeps || holds ? length : hasForeign ? ROW_BYTES : 0;
          if (!keeps && !holds) removedEvents++;
        }
        commit.length = 0;
        hasForeign = false;
      }
    }
    const bits = new Uint8Array((kept.length + 7) >>> 3);
    for (let i = 0; i < kept.length; i++) bits[i >>> 3] |= kept[i] << (i & 7);
    const { id, firstSequence, nextSequence, framesEnd } = segment;
    return { entry: segment, id, firstSequence, nextSequence, framesEnd, kept: bits, removedEvents, keptBytes };
  }

  #keeps(bytes: Uint8Array, view: DataView, at: number): boolean {
    const { index, lastIssuedId } = this.#parts.log;
    const sequence = getUint64(view, at + FRAME.sequence);
    const entity = nativeFrames.entity(bytes, view, at);
    const isOfLast = this.#options.keepLast !== undefined && this.#behind(entity) < this.#options.keepLast;
    if (!this.#search.confirms(nativeFrames, bytes, view, at, sequence)) return true;
    if (getUint64(view, at + FRAME.time) >= this.#newerMicros) return true;
    if (isOfLast) return true;
    const headClock = index.heads.clock[index.entities.find(entity)];
    const clock = getUint64(view, at + FRAME.clock);
    if (this.#options.keep?.(this.#eventOf(bytes, view, at, sequence)) === true) return true;
    if (clock !== headClock && !nativeFrames.hasId(bytes, view, at, lastIssuedId)) return false;
    this.#held++;
    return true;
  }

  /** How many events of the entity follow on the one that is met now. Clocks do not tell: an earlier compaction may have left gaps in them. */
  #behind(entity: string): number {
    let counts = this.#counts.get(entity);
    if (counts === undefined) {
      const { index } = this.#parts.log;
      const total = index.withSoundIndex(() => {
        let rows = 0;
        index.hopEntity(entity, Number.POSITIVE_INFINITY, (_segment, summary) => void (rows += summary.rows));
        return rows;
      });
      counts = { total, met: 0 };
      this.#counts.set(entity, counts);
    }
    counts.met++;
    return counts.total - counts.met;
  }

  /** In memory of its own: it may be kept. */
  #eventOf(bytes: Uint8Array, view: DataView, at: number, sequence: number): Event {
    const own = bytes.slice(at, at + frameLength(view, at));
    const slab = { bytes: own, view: new DataView(own.buffer) };
    return new StoredEvent(nativeFrames, slab, 0, sequence, this.#registry.typeOf(nativeFrames.kind(slab.view, 0))) as unknown as Event;
  }

  /** Neighbours that lose something become one, as long as they fit. */
  #ranges(plans: readonly Plan[]): Plan[][] {
    const bytesMax = this.#options.segmentBytesMax ?? SEGMENT_BYTES_MAX;
    const ranges: Plan[][] = [];
    let last: Plan | null = null;
    let bytes = 0;
    for (const plan of plans) {
      if (plan.removedEvents > 0) {
        if (last !== null && bytes + plan.keptBytes <= bytesMax) {
          ranges[ranges.length - 1].push(plan);
          bytes += plan.keptBytes;
        } else {
          ranges.push([plan]);
          bytes = plan.keptBytes;
        }
      }
      last = plan.removedEvents > 0 ? plan : null;
    }
    return ranges;
  }

  async #apply(ranges: readonly (readonly Plan[])[]): Promise<void> {
    const { files, frames, directory, log } = this.#parts;
    const { index } = log;
    const generation = log.generation + 1;
    if ((await this.#disk.status(join(directory, CHECKPOINT_FILE))) !== null) {
      await this.#disk.remove(join(directory, CHECKPOINT_FILE));
      await this.#disk.syncDirectory(directory);
    }
    for (const segments of ranges) {
      const storeId = log.storeId as Uint8Array;
      const nowMicros = (this.#options.clock ?? systemClock).nowMicros();
      const entries = segments.map(({ entry }) => entry);
      const input = { files, frames, index, storeId, generation, nowMicros, segments, entries, pause: rest };
      const { path } = await writeMergedFile(input);
      // Commit point: the rename in `putInPlace`.
      await putInPlace(this.#disk, directory, segmentName(segments[0].id), path);
      for (const { id } of segments) files.forget(id);
      for (const { id } of segments.slice(1)) await this.#disk.remove(files.path(id));
      if (segments.length > 1) await this.#disk.syncDirectory(directory);
    }
  }
}
