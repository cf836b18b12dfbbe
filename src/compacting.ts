/**
 * `store.compact`: takes events out of the sealed segments of a store that is open, beside appending and reading. What stays keeps its bytes,
 * hash, sequence and clock; what goes is recorded (`format/native/retention.ts`), so that `verify` tells it from tampering and retries are still
 * answered.
 *
 * Steps: a survey that decides once about each event (`log/survey.ts`); then, for each range of segments, the merged segment under a temporary name
 * (`log/merged-file.ts`), and the commit (`log/range-commit.ts`). Between two ranges the store is whole.
 *
 * Invariants:
 * 1. One compaction at a time: whoever comes meanwhile waits for its turn.
 * 2. A range is committed only when everything that was accepted as the survey ended is on stable storage: no event that may still be lost is the
 *    reason for taking another one away.
 * 3. Whoever goes through the log's files by their names (`verify`, `snapshot`) and a commit exclude each other.
 */
import { assertBoolean, assertFunction, assertOptions, assertSignal } from "./base/arguments.ts";
import { traced } from "./base/diagnostics.ts";
import { Pace } from "./base/rest.ts";
import { SharedLock } from "./base/shared-lock.ts";
import { invalidArgument, isStoreError, outOfRange, StoreError } from "./base/store-error.ts";
import type { AnyDefinition } from "./events/definition.ts";
import type { Event } from "./events/event-union.ts";
import type { StoredEvent } from "./events/event.ts";
import { copyQuery, type Query } from "./events/query.ts";
import type { SegmentEntry } from "./index/store-index.ts";
import { writeMergedFile } from "./log/merged-file.ts";
import { type RangePlan, Survey } from "./log/survey.ts";
import { asStoreError } from "./open-directory.ts";
import type { StoreAccess } from "./store-access.ts";
import type { CompactionHost } from "./store-writer.ts";

/** What goes: each event that matches `query`, unless one of the other rules keeps it. At least one of the four rules is needed. */
export interface CompactOptions<Known extends readonly AnyDefinition[] = readonly []> {
  /** Only events that match may be removed; any, when left out. */
  readonly query?: Query;
  /** Keeps the events for which it returns true; anything but true and false is refused. It is asked for those that nothing else keeps. */
  readonly keep?: (event: Event<Known>) => boolean;
  /** Keeps the events of this time (Date or ms) and later ones. */
  readonly keepNewerThan?: Date | number;
  /** Keeps so many of the last events of each entity: 1 or more. */
  readonly keepLast?: number;
  /** True: only says what it would do. */
  readonly dryRun?: boolean | undefined;
  /**
   * A segment that several become grows no larger up to its index block, in bytes: 64 MiB. One segment alone may: what is recorded of an event with
   * a key has its names, and may take more than the event did.
   */
  readonly segmentBytesMax?: number | undefined;
  /** Called after each segment that was surveyed, and each range that was written. */
  readonly onProgress?: ((progress: CompactProgress) => void) | undefined;
  /** Ends the work with its reason. Ranges that were committed before stay so. */
  readonly signal?: AbortSignal | undefined;
}

/** How far a compaction has come. */
export interface CompactProgress {
  /** Deciding about events, or writing segments anew. */
  readonly step: "survey" | "write";
  /** Segments done in this step, and how many there are to do. */
  readonly segments: number;
  readonly segmentsTotal: number;
}

/** What a compaction has removed, or would. */
export interface CompactReport {
  /** Events removed, or that would be. */
  readonly removedEvents: number;
  /** Events that the rules would remove, and that stay all the same: last of their entity, or of a batch with a key that stays in part. */
  readonly heldEvents: number;
  /**
   * By how many bytes the files of these segments became smaller; negative where what is recorded of removed events takes more than they did. A dry run
   * reckons it, mostly too low: by frames, without index blocks.
   */
  readonly removedBytes: number;
  /** The ranges of segments that became one each, or would. */
  readonly ranges: readonly { readonly from: number; readonly to: number; readonly removedEvents: number }[];
  readonly applied: boolean;
}

/** What `compact` takes. */
export const COMPACT_OPTIONS: ReadonlySet<string> = new Set([
  "query",
  "keep",
  "keepNewerThan",
  "keepLast",
  "dryRun",
  "segmentBytesMax",
  "onProgress",
  "signal",
]);
const SEGMENT_BYTES_MIN = 4096;
const SEGMENT_BYTES_LIMIT = 2 ** 30;
const SEGMENT_BYTES_MAX = 64 * 1024 * 1024;
const MICROS_PER_MS = 1000;
/** So many bytes of segments are read between two rests at the most, but for what one step takes, however long others keep the event loop busy. */
const BYTES_PER_REST = 256 * 1024;
/** Scopes listed in a step. */
const SCOPES_PER_STEP = 2048;

/** Refuses what `compact` does not take. */
export function assertCompactOptions(options: CompactOptions): void {
  assertOptions(options, COMPACT_OPTIONS, "compact");
  const { query, keep, keepNewerThan, keepLast, dryRun, segmentBytesMax, onProgress, signal } = options;
  if (query === undefined && keep === undefined && keepNewerThan === undefined && keepLast === undefined) {
    throw invalidArgument("Cannot compact: nothing says what goes, at least one of query, keep, keepNewerThan and keepLast is required");
  }
  for (const [name, value] of Object.entries({ query, keep, keepNewerThan, keepLast })) {
    if (value !== undefined || !(name in options)) continue;
    // What has gone missing on the way is not taken for "no such rule": more would be removed than was meant.
    throw invalidArgument(`Cannot compact: ${name} is there and undefined, a value is allowed; leave it out where there is no such rule`);
  }
  assertBoolean(dryRun, "dryRun", "compact");
  assertFunction(keep, "keep", "compact");
  assertFunction(onProgress, "onProgress", "compact");
  assertSignal(signal, "compact");
  const time = keepNewerThan instanceof Date ? keepNewerThan.getTime() : keepNewerThan;
  if (time !== undefined && !Number.isFinite(time)) throw outOfRange("Cannot compact: keepNewerThan is no time, a Date or ms are allowed");
  if (keepLast !== undefined && (!Number.isSafeInteger(keepLast) || keepLast < 1))
    throw outOfRange(`Cannot compact: keepLast is ${String(keepLast)}, whole numbers from 1 are allowed`);
  if (segmentBytesMax === undefined) return;
  if (!Number.isSafeInteger(segmentBytesMax) || segmentBytesMax < SEGMENT_BYTES_MIN || segmentBytesMax > SEGMENT_BYTES_LIMIT)
    throw outOfRange(
      `Cannot compact: segmentBytesMax is ${String(segmentBytesMax)}, ${SEGMENT_BYTES_MIN} to ${SEGMENT_BYTES_LIMIT} are allowed`,
    );
}

/** The rules as they are now, for whoever goes by them later: what is removed is what was asked for when it was. */
export function copyRules<Rules extends CompactOptions>(rules: Rules): Rules {
  const { query, keepNewerThan } = rules;
  return {
    ...rules,
    ...(query === undefined ? {} : { query: copyQuery(query) }),
    ...(keepNewerThan instanceof Date ? { keepNewerThan: keepNewerThan.getTime() } : {}),
  };
}

/** What no layout but the native one has room for. */
export function compactionUnsupported(layout: string): StoreError<"UNSUPPORTED_BY_LAYOUT"> {
  const message = "Cannot compact: the batpak 0.3 layout has no room for what compaction records, import the store into a native one";
  return new StoreError("UNSUPPORTED_BY_LAYOUT", message, { layout, feature: "compaction" });
}

/** The compactions of one open store. */
export class Compacting {
  readonly #access: StoreAccess;
  readonly #turns = new SharedLock();
  readonly #closing = new AbortController();
  readonly #running = new Set<Promise<unknown>>();

  constructor(access: StoreAccess) {
    this.#access = access;
  }

  async run(options: CompactOptions): Promise<CompactReport> {
    const access = this.#access;
    const { compaction } = access.assertWritable("compact");
    assertCompactOptions(options);
    if (compaction === null) throw compactionUnsupported(access.parts.layout);
    options.signal?.throwIfAborted();
    // It may have to wait for its turn.
    const rules = copyRules(options);
    const signals = options.signal === undefined ? [] : [options.signal];
    const signal = AbortSignal.any([...signals, this.#closing.signal]);
    const running = traced(
      "compact",
      () => ({ directory: access.directory, dryRun: options.dryRun === true }),
      () => this.#turns.exclude(() => new Compaction(access, compaction, rules, signal).run(), signal),
    );
    this.#running.add(running);
    try {
      return await running;
    } catch (error) {
      // What ends the work while a file is written comes as the reason why that failed.
      const ended = signal.aborted && (error === signal.reason || (isStoreError(error, "IO") && error.cause === signal.reason));
      throw ended ? signal.reason : asStoreError("compact", access.directory, error);
    } finally {
      this.#running.delete(running);
    }
  }

  /** The store is being closed: what is under way ends after the step that it is at. */
  async stop(): Promise<void> {
    if (this.#running.size === 0) return;
    this.#closing.abort(new StoreError("CLOSED", "Cannot compact any further: the store was closed, open it and compact again", {}));
    await Promise.allSettled(this.#running);
  }
}

class Compaction {
  readonly #access: StoreAccess;
  readonly #host: CompactionHost;
  readonly #options: CompactOptions;
  readonly #signal: AbortSignal;
  readonly #pace = new Pace();
  /** Read since the last rest. */
  #bytes = 0;

  constructor(access: StoreAccess, host: CompactionHost, options: CompactOptions, signal: AbortSignal) {
    this.#access = access;
    this.#host = host;
    this.#options = options;
    this.#signal = signal;
  }

  /** A rest where it is time for one, or where enough was read: thousands of tiny segments are gone over several in a turn. */
  readonly #pause = async (bytes = 0): Promise<void> => {
    this.#bytes += bytes;
    if (this.#bytes >= BYTES_PER_REST || this.#pace.isDue) {
      this.#bytes = 0;
      await this.#pace.rest();
    }
    this.#signal.throwIfAborted();
    this.#access.writer?.log.queue.assertSound();
  };

  async run(): Promise<CompactReport> {
    const { index } = this.#access.parts.log;
    // Those with a visible one behind them. Their blocks are written, or it was tried: nobody writes to their files any more.
    const segments = index.segments.filter(({ id }) => id < index.visible.segmentId);
    await this.#host.blocksWritten();
    const survey = this.#newSurvey();
    const ranges = await survey.run(segments, (done) => this.#tell("survey", done, segments.length));
    const applied = this.#options.dryRun !== true;
    const removedBytes = applied ? await this.#apply(ranges, index.acceptedSequence) : reckonedBytes(ranges);
    return {
      removedEvents: ranges.reduce((sum, range) => sum + removedIn(range), 0),
      heldEvents: survey.held,
      removedBytes,
      ranges: ranges.map((range) => {
        const { segments: merged } = range;
        return { from: merged[0].id, to: merged[merged.length - 1].id, removedEvents: removedIn(range) };
      }),
      applied,
    };
  }

  #newSurvey(): Survey {
    const { registry, parts } = this.#access;
    const { query, keep = null, keepNewerThan, keepLast = null } = this.#options;
    const time = keepNewerThan instanceof Date ? keepNewerThan.getTime() : keepNewerThan;
    return new Survey({
      files: parts.files,
      index: parts.log.index,
      storeId: parts.log.storeId as Uint8Array,
      rules: {
        filters: this.#access.filters(query, "compact"),
        keep: keep as unknown as ((event: StoredEvent) => boolean) | null,
        newerMicros: time === undefined ? Number.POSITIVE_INFINITY : time * MICROS_PER_MS,
        keepLast,
      },
      typeOf: (kind) => registry.typeOf(kind),
      segmentBytesMax: this.#options.segmentBytesMax ?? SEGMENT_BYTES_MAX,
      newestId: () => this.#host.newestId(),
      pause: this.#pause,
    });
  }

  #tell(step: CompactProgress["step"], segments: number, segmentsTotal: number): void {
    this.#options.onProgress?.({ step, segments, segmentsTotal });
  }

  /**
   * Gives by how many bytes the files became smaller.
   *
   * @param surveyedTo everything before this sequence was looked at: it must be durable before anything goes
   */
  async #apply(ranges: readonly RangePlan[], surveyedTo: number): Promise<number> {
    const total = ranges.reduce((sum, { segments }) => sum + segments.length, 0);
    let [committed, removedBytes] = [0, 0];
    try {
      for (const range of ranges) {
        removedBytes += await this.#write(range, surveyedTo);
        committed += range.segments.length;
        this.#tell("write", committed, total);
      }
    } finally {
      if (committed > 0) this.#host.checkpointMissing();
    }
    return removedBytes;
  }

  async #write(range: RangePlan, surveyedTo: number): Promise<number> {
    const { files, frames, log } = this.#access.parts;
    const { index } = log;
    const entries = range.segments.map(({ entry }) => entry);
    let bytesBefore = 0;
    for (const { id } of entries) {
      bytesBefore += files.sizeOf(id);
      await this.#pause();
    }
    const scopes = await this.#scopesOf(entries);
    const merged = await writeMergedFile({
      files,
      frames,
      index,
      storeId: log.storeId as Uint8Array,
      generation: log.generation + 1,
      nowMicros: this.#host.nowMicros(),
      segments: range.segments,
      entries,
      idBehind: index.segments[index.segments.indexOf(entries[entries.length - 1]) + 1].id,
      pause: this.#pause,
    });
    try {
      await this.#host.durableTo(surveyedTo);
      const commit = (): Promise<void> => this.#host.commit({ entries, merged, removedEvents: removedIn(range) });
      await this.#access.fileNames.exclude(commit, this.#signal);
    } finally {
      // Where it was not renamed.
      if (index.segmentWithId(entries[0].id) !== merged.entry) await this.#access.disk.remove(merged.path).catch(() => {});
    }
    for (const scope of scopes) {
      for (const _ of index.dropEmptyScope(scope, merged.entry)) if (this.#pace.isDue) await this.#pace.rest();
    }
    return bytesBefore - merged.bytes;
  }

  /** There may be as many as events. */
  async #scopesOf(entries: readonly SegmentEntry[]): Promise<Set<string>> {
    const { index } = this.#access.parts.log;
    const scopes = new Set<string>();
    for (const entry of entries) {
      for (let from = 0; ; from += SCOPES_PER_STEP) {
        const some = index.withSoundIndex(() => index.indexOf(entry).scopes(from, SCOPES_PER_STEP));
        for (const scope of some) scopes.add(scope);
        await this.#pause();
        if (some.length < SCOPES_PER_STEP) break;
      }
    }
    return scopes;
  }
}

function removedIn({ segments }: RangePlan): number {
  return segments.reduce((sum, plan) => sum + plan.removedEvents, 0);
}

function reckonedBytes(ranges: readonly RangePlan[]): number {
  return ranges.reduce((sum, { segments, bytes }) => sum + segments.reduce((all, { framesEnd }) => all + framesEnd, -bytes), 0);
}
