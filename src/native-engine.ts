/**
 * The parts of an open native store, wired: index, files, and, for a writer, everything between an append and its receipt.
 *
 * Life of a writer: `open` -> appends -> `close` (drain, sync, index blocks, checkpoint) -> closed. After a failed write it is poisoned: it
 * answers reads and refuses appends, and closing it releases files and lock.
 */
import { randomFillSync } from "node:crypto";
import { tell } from "./base/diagnostics.ts";
import { inSteps, rest } from "./base/rest.ts";
import { isStoreError, StoreError } from "./base/store-error.ts";
import { Appending } from "./appending.ts";
import { Checkpointer } from "./checkpoint/checkpointer.ts";
import { CheckpointSchedule } from "./checkpoint/schedule.ts";
import { takeSnapshot } from "./checkpoint/snapshot.ts";
import type { Disk } from "./disk/disk.ts";
import { IdIssuer } from "./events/id.ts";
import type { DefinitionRegistry } from "./events/definition-registry.ts";
import { batpak03Frames } from "./format/batpak03/frame-format.ts";
import { nativeFrames } from "./format/native/frame-format.ts";
import { segmentSeed } from "./format/native/frame.ts";
import { SEGMENT_HEADER } from "./format/native/segment-header.ts";
import { PageCache } from "./index/page-cache.ts";
import { SequenceGate } from "./index/sequence-gate.ts";
import type { SegmentEntry } from "./index/store-index.ts";
import { createIndexSource } from "./index-source.ts";
import { Acceptance } from "./log/acceptance.ts";
import { writeBlock } from "./log/block-files.ts";
import { BlockWriter } from "./log/block-writer.ts";
import { poisonedError } from "./log/commit-queue.ts";
import { FrameCache } from "./log/frame-cache.ts";
import { FrameLoader } from "./log/frame-loader.ts";
import { FrameSource } from "./log/frame-source.ts";
import { LogWriter } from "./log/log-writer.ts";
import { commitRange, type MergedRange } from "./log/range-commit.ts";
import { MarkFile } from "./log/mark-file.ts";
import { NativePlacer } from "./log/native-placer.ts";
import { addRecordInForce, consumersIn } from "./log/records-in-force.ts";
import { passRemovedHeads } from "./log/removed-heads.ts";
import { newSegmentEntry } from "./log/segment-entry.ts";
import { SegmentFiles } from "./log/segment-files.ts";
import { SegmentWriter } from "./log/segment-writer.ts";
import { openBatpak03Log } from "./open-batpak03.ts";
import { openNativeLog, type OpenedNativeLog } from "./open-native.ts";
import type { ReadingParts } from "./reading.ts";
import { settleNativeLog } from "./recover-native.ts";
import type { CompiledOptions, Layout } from "./store-options.ts";
import type { OpenReport } from "./open-report.ts";
import type { CompactionHost, StoreWriter } from "./store-writer.ts";

/** What both a writer and a reader of a native store have. */
export interface NativeStoreParts {
  readonly directory: string;
  readonly layout: Layout;
  readonly indexCacheBytes: number;
  readonly files: SegmentFiles;
  readonly cache: PageCache;
  readonly frames: FrameSource;
  readonly loader: FrameLoader;
  /** Replaced as a whole, with all the rest, when a reader takes a new look. */
  log: OpenedNativeLog;
}

/** Files, cache and frames of a directory, before its log is read. */
export function prepareNative(disk: Disk, directory: string, indexCacheBytes: number, layout: Layout): NativeStoreParts {
  const files = new SegmentFiles(disk, directory);
  // One bound for both: of four bytes, three are for the index.
  const frameCache = new FrameCache(files, indexCacheBytes / 4);
  const cache = new PageCache(indexCacheBytes - Math.floor(indexCacheBytes / 4));
  const seeds = new Map<number, number>();
  const parts = {} as { -readonly [Name in keyof NativeStoreParts]: NativeStoreParts[Name] };
  const seedOf = (segmentId: number): number => {
    let seed = seeds.get(segmentId);
    if (seed === undefined) {
      const { storeId } = parts.log;
      if (storeId === null) throw new Error("A frame was asked for in a store without segments");
      seed = segmentSeed(storeId, segmentId);
      seeds.set(segmentId, seed);
    }
    return seed;
  };
  const frames = new FrameSource(layout === "native" ? nativeFrames : batpak03Frames, files, frameCache, seedOf);
  files.onForget = (segmentId) => {
    frameCache.forget(segmentId);
    frames.forget();
  };
  Object.assign(parts, { directory, layout, indexCacheBytes, files, cache, frames });
  return parts;
}

export interface OpenNativeChoices {
  readonly segmentIds: readonly number[];
  readonly mark: Parameters<typeof openNativeLog>[0]["mark"];
  readonly tolerant: boolean;
  readonly limit: Parameters<typeof openNativeLog>[0]["limit"];
  readonly routes?: { readonly checkpoint?: boolean; readonly blocks?: boolean };
}

/** Reads the log of prepared parts, and takes it. */
export async function readNativeLog(disk: Disk, parts: NativeStoreParts, choices: OpenNativeChoices): Promise<void> {
  const source = createIndexSource({
    files: parts.files,
    frames: parts.frames,
    cache: parts.cache,
    storeId: () => parts.log.storeId as Uint8Array,
    index: () => parts.log.index,
    rebuilt: (segmentId, reason) => {
      tell("index-rebuilt", { directory: parts.directory, segmentId, reason });
    },
  });
  parts.log =
    parts.layout === "native"
      ? await openNativeLog({ disk, files: parts.files, cache: parts.cache, source, ...choices })
      : await openBatpak03Log({ disk, files: parts.files, source, ...choices });
  const { index } = parts.log;
  (parts as { loader: FrameLoader }).loader = new FrameLoader(index, parts.frames, parts.files);
}

export interface NativeWriterInput {
  readonly disk: Disk;
  readonly parts: NativeStoreParts;
  readonly options: CompiledOptions;
  readonly registry: DefinitionRegistry;
  readonly reading: ReadingParts;
  /** Throws where the store takes no appends. */
  assertWritable(): void;
}

export class NativeWriter implements StoreWriter {
  readonly appending: Appending;
  readonly acceptance: Acceptance;
  readonly log: LogWriter;
  readonly gate: SequenceGate;
  readonly checkpointer: Checkpointer;
  readonly cut: OpenReport["cut"];
  /** Whether what is visible is durable: the store syncs every commit. */
  readonly syncsCommits: boolean;
  readonly #input: NativeWriterInput;
  readonly #segments: SegmentWriter;
  readonly #mark: MarkFile;
  readonly #storeId: Uint8Array;
  readonly #records: Uint8Array[];
  readonly compaction: CompactionHost;
  readonly #schedule: CheckpointSchedule;
  #checkpointsAsked: { readonly resolve: () => void; readonly reject: (error: unknown) => void }[] = [];
  readonly #blocks = new BlockWriter((segment) => this.#writeBlock(segment));
  /** Calls of `checkpoint` that are not answered yet: whoever closes waits for them. */
  readonly #asked = new Set<Promise<void>>();

  private constructor(input: NativeWriterInput, segments: SegmentWriter, mark: MarkFile, cut: OpenReport["cut"]) {
    const { parts, options, registry, reading } = input;
    const { index } = parts.log;
    this.#input = input;
    this.#segments = segments;
    this.#mark = mark;
    this.cut = cut;
    this.syncsCommits = options.durability.mode === "fsync";
    this.#storeId = parts.log.storeId as Uint8Array;
    this.#records = parts.log.records;
    this.#schedule = new CheckpointSchedule({
      everyEvents: options.checkpointEveryEvents,
      stretches: options.checkpointStretches,
      events: parts.log.replayed?.frames ?? 0,
      bytes: parts.log.replayed?.bytes ?? 0,
      required: parts.log.route !== "checkpoint" && index.acceptedSequence > 0,
      entityCount: () => index.heads.count,
    });
    this.gate = new SequenceGate();
    const ids = new IdIssuer(options.random ?? cryptoRandom);
    ids.resumeAfter(parts.log.lastIssuedId);
    const fsync = options.durability.mode === "fsync";
    // A segment that is not made yet will have its header synced before anything else is written to it.
    const syncedOffset = (segmentId: number): number => (segments.segmentId === segmentId ? segments.syncedOffset : HEADER_END);
    const placer = new NativePlacer({ index, storeId: this.#storeId, clock: options.clock, ids, syncedOffset });
    this.log = this.#createLog(placer, ids);
    this.compaction = {
      newestId: () => ids.newest(),
      nowMicros: () => options.clock.nowMicros(),
      blocksWritten: () => this.#blocks.written(),
      durableTo: (sequence) => this.#durableTo(sequence),
      commit: (range) => this.#commitRange(range),
      checkpointMissing: () => this.#checkpointMissing(),
    };
    parts.frames.unwritten = this.log;
    this.acceptance = new Acceptance({
      index,
      frames: parts.frames,
      queue: this.log.queue,
      placer,
      queuedBytesMax: options.queuedBytesMax,
      durable: fsync,
      makeRoom: this.log.makeRoom,
      beginPlacing: this.log.beginPlacing,
    });
    this.appending = new Appending({
      acceptance: this.acceptance,
      placer,
      registry,
      reading,
      limits: options,
      positions: consumersIn(this.#records),
      assertWritable: () => input.assertWritable(),
      assertStorable: () => {},
      clampsTimes: true,
    });
    this.checkpointer = new Checkpointer({
      disk: input.disk,
      directory: parts.directory,
      picture: () => this.#picture(),
      sync: () => (fsync ? Promise.resolve() : this.log.sync()),
      failed: (error) => tell("background-failed", { directory: parts.directory, what: "checkpoint", error }),
    });
  }

  /** Settles the log that was read and takes it over. Only the holder of the directory's lock may. */
  static async open(input: NativeWriterInput): Promise<NativeWriter> {
    const { disk, parts, options } = input;
    const { log } = parts;
    const cut = await settleNativeLog(disk, parts.files, log);
    if (log.route !== "checkpoint") await inSteps(passRemovedHeads(log.index, parts.files, parts.frames));
    if (log.storeId === null) {
      const storeId = new Uint8Array(16);
      (options.random ?? cryptoRandom)(storeId);
      parts.log = { ...log, storeId };
    }
    const segments = new SegmentWriter(parts.files, options.segmentBytesMax);
    let mark: MarkFile | null = null;
    try {
      const { active } = log.index;
      if (active === undefined) await createFirst(input, segments);
      else if (!active.sealed) await segments.resume(active.id, active.framesEnd);
      mark = await MarkFile.open(disk, parts.directory);
      const writer = new NativeWriter(input, segments, mark, cut);
      writer.log.writeMark();
      for (const segment of log.index.segments) if (segment.sealed && !segment.indexOnDisk) writer.#blocks.addMissing(segment);
      return writer;
    } catch (error) {
      await segments.close();
      await mark?.close();
      throw error;
    }
  }

  #createLog(placer: NativePlacer, ids: IdIssuer): LogWriter {
    const { parts, options } = this.#input;
    return new LogWriter(
      {
        directory: parts.directory,
        index: parts.log.index,
        storeId: this.#storeId,
        generation: () => parts.log.generation,
        clock: options.clock,
        segments: this.#segments,
        mark: this.#mark,
        gate: this.gate,
        durability: options.durability,
        segmentBytesMax: options.segmentBytesMax,
        newestId: () => ids.newest(),
        lastFrame: parts.log.lastFrame,
        roomMade: () => this.acceptance.drain(),
        poisoned: (error) => {
          this.acceptance.rejectAll(() => poisonedError(error));
          for (const { reject } of this.#checkpointsAsked.splice(0)) reject(poisonedError(error));
          this.gate.open();
        },
        sealed: (segment) => this.#blocks.add(segment),
        mayTurn: () => this.#blocks.mayTurn(),
        recordVisible: (frame) => addRecordInForce(this.#records, frame),
        committed: (frames, bytes, isQuiet) => this.#committed(frames, bytes, isQuiet),
      },
      placer,
    );
  }

  #committed(frames: number, bytes: number, isQuiet: boolean): void {
    this.#schedule.note(frames, bytes, this.checkpointer.isWriting);
    if (this.checkpointer.isBusy) return;
    const asked = this.#checkpointsAsked.length > 0;
    if (!asked && !this.#schedule.isDue) return;
    // The picture is taken while nothing is in flight.
    if (!isQuiet) return this.log.queue.drain();
    if (asked) return this.#answerCheckpoints();
    this.checkpointer.beginInBackground();
  }

  /** Writes the index block of a sealed segment; a checkpoint follows with a later commit. Where it cannot be written, the rows stay in memory. */
  async #writeBlock(segment: SegmentEntry): Promise<void> {
    const { parts } = this.#input;
    const { files, frames, cache } = parts;
    try {
      const isBehind = (): boolean => this.#blocks.isBehind;
      await writeBlock({ files, index: parts.log.index, frames, storeId: this.#storeId, cache, segment, isBehind });
      this.#schedule.noteBlock();
    } catch (error) {
      tell("background-failed", { directory: parts.directory, what: `index block of segment ${segment.id}`, error });
    }
  }

  #picture(): ReturnType<typeof takeSnapshot> {
    const { index, generation } = this.#input.parts.log;
    const picture = takeSnapshot({
      index,
      open: this.log.queue.open,
      storeId: this.#storeId,
      generation,
      lastFrame: this.log.lastFrame,
      records: this.#records,
      lastIssuedId: this.log.visibleIssuedId,
    });
    this.#schedule.begun();
    return picture;
  }

  /** Writes a checkpoint now. */
  async checkpoint(): Promise<void> {
    const asked = this.#checkpointNow();
    this.#asked.add(asked);
    try {
      await asked;
    } finally {
      this.#asked.delete(asked);
    }
  }

  async #checkpointNow(): Promise<void> {
    // Whoever waits for the same end may have begun the next one first.
    while (this.checkpointer.isBusy) await this.checkpointer.idle();
    // After a failure the heads are ahead by what was lost, and no group says by how much.
    this.log.queue.assertSound();
    if (this.log.queue.flying.length > 0) {
      // The picture is taken while nothing is in flight: at the end of what is.
      this.log.queue.drain();
      await new Promise<void>((resolve, reject) => this.#checkpointsAsked.push({ resolve, reject }));
      return;
    }
    await this.#beginAsked();
  }

  async #beginAsked(): Promise<void> {
    const wasRequired = this.#schedule.isRequired;
    try {
      await this.checkpointer.begin();
    } catch (error) {
      // Whoever asked is told. What was due by itself is due still, for once: in the background it counts as tried.
      if (wasRequired) this.#schedule.require();
      throw error;
    }
  }

  /** Writes the checkpoint that was asked for while a commit was in flight. */
  #answerCheckpoints(): void {
    const asked = this.#checkpointsAsked;
    this.#checkpointsAsked = [];
    this.#beginAsked().then(
      () => asked.forEach(({ resolve }) => resolve()),
      (error: unknown) => asked.forEach(({ reject }) => reject(error)),
    );
  }

  async #durableTo(sequence: number): Promise<void> {
    const { index } = this.#input.parts.log;
    // Each commit opens the gate, and so does a failure.
    while (index.visible.sequence < sequence) {
      this.log.queue.assertSound();
      await new Promise<void>((resolve) => this.gate.onNext(resolve));
    }
    await this.log.sync();
  }

  /** Beside appending, with checkpoints held: see `log/range-commit.ts`. */
  async #commitRange(range: MergedRange): Promise<void> {
    const { disk, parts } = this.#input;
    const { queue } = this.log;
    const { directory, files, log } = parts;
    const work = (): Promise<void> =>
      commitRange(
        {
          disk,
          files,
          index: log.index,
          moveOn: (generation) => {
            parts.log.generation = generation;
            if (!queue.isPoisoned) this.log.writeMark();
          },
          assertSound: () => queue.assertSound(),
          poison: (error) => queue.poison(error),
          notRemoved: (error) => tell("background-failed", { directory, what: "remove a replaced segment", error }),
        },
        range,
      );
    try {
      await this.checkpointer.exclude(work);
    } finally {
      // Whoever asked for a checkpoint meanwhile is answered between two commits: at the end of the one in flight, or now.
      if (this.#checkpointsAsked.length > 0 && queue.flying.length === 0 && !this.checkpointer.isBusy) this.#answerCheckpoints();
    }
  }

  #checkpointMissing(): void {
    if (!this.#schedule.isOn || this.log.queue.isPoisoned) return;
    this.#schedule.require();
    // Else with the commit that is in flight.
    if (this.log.queue.flying.length > 0 || this.checkpointer.isBusy) return;
    this.checkpointer.beginInBackground();
  }

  /** Waits for what is accepted, makes it durable, writes what opening needs, lets go of the files. */
  async close(): Promise<void> {
    const { parts } = this.#input;
    const closed = (): StoreError => new StoreError("CLOSED", "Cannot append: the store was closed before the append had its place", {});
    this.acceptance.rejectWaiting(closed);
    this.appending.rejectUnanswered(closed);
    try {
      while (this.acceptance.hasStaged || !this.log.queue.isIdle) {
        this.log.queue.assertSound();
        await this.log.queue.idle();
        if (this.acceptance.hasStaged) await rest();
      }
      this.log.stopTimers();
      await this.log.sync();
      if (this.#isNewestLong()) {
        await this.log.sealNewest();
        this.#schedule.require();
      }
      if (parts.log.index.segments.some(({ blockIsBad, indexOnDisk }) => blockIsBad === true && !indexOnDisk)) this.#schedule.require();
      await this.#blocks.written();
      // Whoever asked before the end is answered before it.
      await Promise.allSettled(this.#asked);
      await this.checkpointer.idle();
      await this.#segments.trim();
      if (this.#schedule.isOn && this.#needsCheckpoint()) await this.checkpointer.begin().catch((error) => this.#closeWithout(error));
      else if (this.#schedule.isBehind) await this.#syncMark();
    } finally {
      this.log.stopTimers();
      // A poisoned store may be in the middle of a write, or of a turn to a new segment: never once the lock is somebody else's.
      await this.log.queue.written();
      await this.#blocks.written();
      await Promise.allSettled(this.#asked);
      await this.checkpointer.idle();
      try {
        await this.#segments.close();
      } finally {
        parts.files.closeAll();
        await this.#mark.close();
      }
    }
  }

  /** One that nobody could read is not missed. */
  async #closeWithout(error: unknown): Promise<void> {
    if (!isStoreError(error, "TOO_LARGE")) throw error;
    await this.#syncMark();
  }

  /** The events that no checkpoint has are synced: of the last ones nothing but the mark tells. */
  async #syncMark(): Promise<void> {
    await this.#mark.sync();
    await this.#mark.syncName();
  }

  /** Whether the newest segment has so many rows that whoever opens gets on faster by an index block than by a checkpoint that carries them. */
  #isNewestLong(): boolean {
    const { active } = this.#input.parts.log.index;
    // Whoever only looked leaves the log as it is.
    if (!this.#schedule.isOn || this.log.queue.commits === 0) return false;
    return active?.sealed === false && active.index !== null && active.index.rowCount >= SEALED_AT_CLOSE_ROWS;
  }

  #needsCheckpoint(): boolean {
    // An empty store gets one as well.
    return this.#schedule.isDueAtClose || this.#input.parts.log.route !== "checkpoint" || this.checkpointer.lastError !== null;
  }
}

const HEADER_END = SEGMENT_HEADER.bytes;
/** A checkpoint reads about 36 bytes a row: this many take some milliseconds of opening. */
const SEALED_AT_CLOSE_ROWS = 65_536;

function cryptoRandom(target: Uint8Array): void {
  randomFillSync(target);
}

async function createFirst(input: NativeWriterInput, segments: SegmentWriter): Promise<void> {
  const { parts, options } = input;
  const { index, storeId, generation } = parts.log;
  await segments.create({
    storeId: storeId as Uint8Array,
    segmentId: 1,
    firstSequence: 0,
    generation,
    replacesFrom: 0,
    replacesTo: 0,
    createdMicros: options.clock.nowMicros(),
  });
  index.segments.push(newSegmentEntry(index, 1, generation));
  index.visible.segmentId = 1;
  index.visible.offset = HEADER_END;
}
