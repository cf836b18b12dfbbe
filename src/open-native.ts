/**
 * Opens a native log: by the checkpoint and the frames past it, else by the index blocks of its segments, else by all frames. Each step down
 * has its reason in the report. Changes nothing on disk: what recovery must change, `settleNativeLog` (recover-native) does for a writer.
 */
import { sameBytes } from "./base/hex.ts";
import { inSteps, rest } from "./base/rest.ts";
import type { StoreError } from "./base/store-error.ts";
import { readCheckpointFile } from "./checkpoint/checkpoint-file.ts";
import { lookAtLastFrame } from "./checkpoint/last-frame.ts";
import { picturedBy, type PicturedLog } from "./checkpoint/pictured.ts";
import { type RestoredCheckpoint, restoreCheckpoint } from "./checkpoint/restore.ts";
import type { Disk } from "./disk/disk.ts";
import { decodeCheckpointInSteps } from "./format/native/checkpoint.ts";
import type { DurableMark } from "./format/native/durable-mark.ts";
import { FRAME } from "./format/native/frame-layout.ts";
import { segmentSeed } from "./format/native/frame.ts";
import { SEGMENT_HEADER } from "./format/native/segment-header.ts";
import type { PageCache } from "./index/page-cache.ts";
import { IndexPageError } from "./index/sealed-segment-index.ts";
import { type IndexSource, type SegmentEntry, StoreIndex } from "./index/store-index.ts";
import { checkBlock, openBlock, restoreFromBlock } from "./log/block-files.ts";
import { NO_STORE, standInHeader, storeOfFrames } from "./log/broken-header.ts";
import type { LastFrame } from "./log/log-writer.ts";
import { addRecordInForce } from "./log/records-in-force.ts";
import { damageError, judgeTail } from "./log/recovery.ts";
import { FRAME_RECORD } from "./kernel/frame-record.ts";
import type { FrameRun } from "./log/frame-walker.ts";
import { replayRun, type ReplayTarget } from "./log/replay.ts";
import { salvageSegment } from "./log/salvage.ts";
import { newSegmentEntry, whyUnlike } from "./log/segment-entry.ts";
import type { SegmentFiles } from "./log/segment-files.ts";
import { type ListedLog, type ListedSegment, foreignFile, missingIds, readLog } from "./log/segment-list.ts";
import { scanSegment } from "./log/segment-scan.ts";
import type { OpenRoute, StoreProblem, TornTail } from "./open-report.ts";

export interface OpenNativeInput {
  readonly disk: Disk;
  readonly files: SegmentFiles;
  /** Ids of the segment files that are there, ascending. */
  readonly segmentIds: readonly number[];
  readonly mark: DurableMark | null;
  readonly cache: PageCache;
  readonly source: IndexSource;
  /** Damage is reported and what is whole is read, instead of throwing. */
  readonly tolerant: boolean;
  /** Nothing past this position is looked at: a living writer's visible one. */
  readonly limit: { readonly segmentId: number; readonly offset: number } | null;
  /** False: as if there were no checkpoint, or no index blocks either. */
  readonly routes?: { readonly checkpoint?: boolean; readonly blocks?: boolean };
}

export interface OpenedNativeLog {
  readonly index: StoreIndex;
  /** Null in a directory without any segment that ever began. */
  readonly storeId: Uint8Array | null;
  /** How many ranges were ever compacted. A writer that compacts moves it on. */
  generation: number;
  /** System records in force: whole frames, oldest first. Kept up to date. */
  readonly records: Uint8Array[];
  readonly lastIssuedId: Uint8Array;
  readonly lastFrame: LastFrame | null;
  readonly route: OpenRoute;
  readonly reasons: readonly string[];
  readonly eventsReplayed: number;
  /** The frames that were taken up one by one, system records among them, and their bytes; of a native log. */
  readonly replayed?: { readonly frames: number; readonly bytes: number };
  readonly problems: readonly StoreProblem[];
  /** What the checkpoint says, used or not, unless the log shows that it is of another store or another history; null where there is none. */
  readonly pictured?: PicturedLog | null;
  /** Torn ends that are left out, of a batpak 0.3 log: any segment may have one. */
  readonly tornTails?: readonly TornTail[];
  /** The log ends in a batch without its COMMIT, of which the next segment might be the rest. */
  readonly carriesBatch?: boolean;
  /** The same, or the rest might stand in the newest segment itself: no part of the batch is shown. */
  readonly mayGoOn?: boolean;
  /** What a writer must do before it may show or append anything. */
  readonly unsettled: {
    /** The newest segment; null where there is none. */
    readonly segmentId: number | null;
    readonly end: number;
    readonly cutBytes: number;
    readonly provenSynced: number;
    /** Whether there is a mark that counts: a writer, or whoever copied the store, had made all names in the directory durable. */
    readonly marked: boolean;
    /** Newest segments that never began. */
    readonly neverBegun: readonly number[];
    /** Segments that another one replaces. */
    readonly replaced: readonly number[];
  };
}

/** A page that turns bad while its block is entered, sound as it was when it was looked at, leaves half of it in the index: all begins anew, without that block. */
export async function openNativeLog(input: OpenNativeInput): Promise<OpenedNativeLog> {
  for (const badBlocks = new Map<number, string>(); ; ) {
    try {
      return await new NativeOpening(input, badBlocks).run();
    } catch (error) {
      if (!(error instanceof IndexPageError) || badBlocks.has(error.segmentId)) throw error;
      badBlocks.set(error.segmentId, error.reason);
    }
  }
}

/** Ten microseconds each, so five milliseconds a step. */
const FILES_PER_STEP = 512;

class NativeOpening {
  readonly #input: OpenNativeInput;
  /** Why blocks are left out, by their segments. */
  readonly #badBlocks: ReadonlyMap<number, string>;
  readonly #reasons: string[] = [];
  readonly #problems: StoreProblem[] = [];
  #index: StoreIndex;
  #records: Uint8Array[] = [];
  #storeId: Uint8Array | null = null;
  #generation = 0;
  #lastFrame: LastFrame | null = null;
  #route: OpenRoute = "scan";
  #target: ReplayTarget;
  readonly #replayed = { frames: 0, bytes: 0 };
  #end = 0;
  #cutBytes = 0;
  #provenSynced = 0;
  #neverBegun: number[] = [];
  /** What a checkpoint of this store that was not used proves all the same. */
  #proof: { readonly storeId: Uint8Array; readonly generation: number; readonly segmentIds: readonly number[] } | null = null;
  #pictured: PicturedLog | null = null;
  /** Up to where it proves the log to have been synced, used or not: but for where the frame before that is another one. */
  #watermark = { segmentId: 0, offset: 0 };

  constructor(input: OpenNativeInput, badBlocks: ReadonlyMap<number, string>) {
    this.#input = input;
    this.#badBlocks = badBlocks;
    this.#index = new StoreIndex(input.source);
    this.#target = this.#targetOf(this.#index, new Uint8Array(16));
  }

  #targetOf(index: StoreIndex, lastIssuedId: Uint8Array): ReplayTarget {
    return { index, lastIssuedId, events: 0, leavesOut: false, systemRecord: (frame) => addRecordInForce(this.#records, frame) };
  }

  async run(): Promise<OpenedNativeLog> {
    const checkpoint = await this.#usableCheckpoint();
    let ids = this.#input.segmentIds;
    if (checkpoint !== null) {
      this.#takeCheckpoint(checkpoint);
      ids = ids.filter((id) => id >= checkpoint.index.visible.segmentId);
    }
    const leftBehind = checkpoint === null ? [] : await this.#leftBehind(checkpoint);
    const log = await readLog(this.#input.files, ids);
    const first = log.segments[0];
    if (first !== undefined) {
      this.#storeId = first.header.storeId;
      this.#generation = log.segments.reduce((newest, { header }) => Math.max(newest, header.generation), this.#generation);
    }
    const stale = [...leftBehind, ...log.replaced];
    const segments = await this.#judgeBroken(log.broken, log.segments, stale);
    // Also before a segment whose header is broken: it is there. One that never began was made behind all others.
    const begun = this.#neverBegun.map((id) => ({ id, header: standInHeader(NO_STORE, id, 0) }));
    const broken = log.broken.map(({ id }) => id);
    const missing = missingIds([...segments, ...begun], broken, checkpoint?.index.visible.segmentId ?? 1);
    for (const id of [...missing, ...this.#lostOf(segments)]) this.#damage(damageError(id, 0, "its file is missing"));
    await this.#takeSegments(segments, checkpoint !== null);
    this.#checkMark(segments);
    return this.#result(stale);
  }

  #result(replaced: readonly number[]): OpenedNativeLog {
    const index = this.#index;
    const newest = index.active;
    index.visible.segmentId = newest?.id ?? 0;
    index.visible.offset = newest?.framesEnd ?? 0;
    index.visible.sequence = index.acceptedSequence;
    for (const segment of index.segments) segment.visibleFrames = segment.frames;
    if (newest === undefined && this.#input.segmentIds.length === 0 && this.#reasons.length === 0) this.#route = "new";
    return {
      index,
      storeId: this.#storeId,
      generation: this.#generation,
      records: this.#records,
      lastIssuedId: this.#target.lastIssuedId,
      lastFrame: this.#lastFrame,
      route: this.#route,
      reasons: this.#reasons,
      eventsReplayed: this.#target.events,
      replayed: this.#replayed,
      problems: this.#problems,
      pictured: this.#pictured,
      unsettled: {
        segmentId: newest?.id ?? null,
        end: this.#end,
        cutBytes: this.#cutBytes,
        provenSynced: this.#provenSynced,
        marked: this.#believedMark() !== null,
        neverBegun: this.#neverBegun,
        replaced,
      },
    };
  }

  #damage(error: StoreError<"CORRUPT">): void {
    if (!this.#input.tolerant) throw error;
    const { segmentId, offset, reason } = error.details;
    this.#problems.push({
      code: "DAMAGED",
      message: `Segment ${segmentId ?? "?"} is damaged at offset ${offset ?? "?"}: ${reason}`,
      ...(segmentId === undefined ? {} : { segmentId }),
      ...(offset === undefined ? {} : { offset }),
    });
  }

  // The checkpoint.

  async #usableCheckpoint(): Promise<RestoredCheckpoint | null> {
    const { disk, files, routes } = this.#input;
    if (routes?.checkpoint === false) return this.#ignoreCheckpoint("it was not asked for");
    const file = await readCheckpointFile(disk, files.directory);
    if (file.kind === "absent") {
      if (this.#input.segmentIds.length > 0) this.#reasons.push("there is no checkpoint");
      return null;
    }
    if (file.kind === "other") return this.#ignoreCheckpoint(`it is a ${file.type}`);
    if (file.kind === "unfit") return this.#ignoreCheckpoint(file.reason);
    const decoded = await inSteps(decodeCheckpointInSteps(file.bytes));
    if (decoded.kind !== "ok") return this.#ignoreCheckpoint(decoded.reason);
    const restored = await inSteps(restoreCheckpoint(decoded.content, this.#input.source));
    if (restored.kind !== "ok") return this.#ignoreCheckpoint(restored.reason);
    return this.#boundToLog(restored.restored);
  }

  #ignoreCheckpoint(reason: string): null {
    this.#reasons.push(`the checkpoint is ignored: ${reason}`);
    return null;
  }

  /** Whether the log has exactly the frame that the checkpoint ends with, and every segment that it lists. */
  async #boundToLog(checkpoint: RestoredCheckpoint): Promise<RestoredCheckpoint | null> {
    const { files, segmentIds, limit } = this.#input;
    const { visible, segments } = checkpoint.index;
    this.#pictured = picturedBy(checkpoint);
    if (
      limit !== null &&
      (limit.segmentId < visible.segmentId || (limit.segmentId === visible.segmentId && limit.offset < visible.offset))
    ) {
      return this.#ignoreCheckpoint("it is ahead of what the writer has made visible");
    }
    const present = new Set(segmentIds);
    const missing = segments.find((segment) => !present.has(segment.id));
    if (missing !== undefined && !present.has(visible.segmentId)) {
      // Whether it was replaced or lost is told by the headers, which the slower route reads.
      this.#proof = { storeId: checkpoint.storeId, generation: checkpoint.generation, segmentIds: segments.map((segment) => segment.id) };
      return this.#ignoreCheckpoint(`segment ${missing.id}, which it lists, is not there`);
    }
    if (visible.segmentId === 0) return segmentIds.length === 0 ? checkpoint : this.#ignoreCheckpoint("it pictures an empty store");
    const log = await readLog(files, [visible.segmentId]);
    const header = log.segments[0]?.header;
    if (header === undefined) this.#watermark = visible;
    if (header === undefined) return this.#ignoreCheckpoint(`segment ${visible.segmentId}, where it ends, has no whole header`);
    if (!sameBytes(header.storeId, 0, checkpoint.storeId, 0, 16)) return this.#ignoreCheckpoint("it belongs to another store");
    const { mark } = this.#input;
    const marked = mark !== null && sameBytes(mark.storeId, 0, checkpoint.storeId, 0, 16) ? mark.generation : 0;
    if (Math.max(header.generation, marked) > checkpoint.generation) return this.#ignoreCheckpoint("the store was compacted after it");
    const size = files.file(visible.segmentId).sizeSync();
    if (size < visible.offset) {
      const reason = `segment ${visible.segmentId} has ${size} bytes, it speaks of ${visible.offset}`;
      this.#damage(damageError(visible.segmentId, size, `the log ends before the checkpoint's watermark: ${reason}`));
      return this.#ignoreCheckpoint(reason);
    }
    const last = lookAtLastFrame(files, checkpoint);
    // No frame at all: what was synced there is damaged. Another one: the checkpoint is of another history of this store.
    if (last === "other") this.#pictured = null;
    else this.#watermark = visible;
    if (last !== "same") return this.#ignoreCheckpoint(`the log has ${last === "none" ? "no" : "another"} frame where it ends`);
    if (missing !== undefined) return this.#ignoreCheckpoint(`segment ${missing.id}, which it lists, is not there`);
    for (const [position, segment] of segments.entries()) {
      if ((position + 1) % FILES_PER_STEP === 0) await rest();
      const unlike = files.glance(segment.id, (file) => whyUnlike(file, segment));
      if (unlike !== null) return this.#ignoreCheckpoint(unlike);
    }
    return checkpoint;
  }

  /** Segments that the checkpoint lists after the newest that is there, and that none replaces; `readLog` misses those before it. */
  #lostOf(whole: readonly ListedSegment[]): number[] {
    const proof = this.#proof;
    const newest = whole[whole.length - 1];
    if (proof === null || newest === undefined || !sameBytes(proof.storeId, 0, newest.header.storeId, 0, 16)) return [];
    const replaced = (id: number): boolean =>
      whole.some(({ header }) => header.generation > proof.generation && header.replacesFrom <= id && id <= header.replacesTo);
    const present = new Set(this.#input.segmentIds);
    return proof.segmentIds.filter((id) => id > newest.id && !present.has(id) && !replaced(id));
  }

  #takeCheckpoint(checkpoint: RestoredCheckpoint): void {
    this.#index = checkpoint.index;
    this.#target = this.#targetOf(checkpoint.index, checkpoint.lastIssuedId.slice());
    // One written by an earlier version may have equal definitions more than once.
    this.#records = [];
    for (const record of checkpoint.records) addRecordInForce(this.#records, record);
    this.#storeId = checkpoint.storeId;
    this.#generation = checkpoint.generation;
    this.#lastFrame = checkpoint.lastFrame;
    this.#route = "checkpoint";
    this.#provenSynced = checkpoint.index.visible.offset;
    this.#end = checkpoint.index.visible.offset;
  }

  /** Files before the segment where the checkpoint ends that a compaction has replaced, and could not remove: it lists all that count. */
  async #leftBehind({ index, storeId }: RestoredCheckpoint): Promise<readonly number[]> {
    const older = this.#input.segmentIds.filter((id) => id < index.visible.segmentId);
    if (older.length < index.segments.length) return [];
    return (await readLog(this.#input.files, older, storeId)).replaced;
  }

  // The segments past it, or all of them.

  /**
   * A newest segment whose header is not whole and that holds no frame never began; one that a merged segment stands for is added to `stale`; any
   * other broken header is damage. Gives the log's segments: with those behind a broken header whose frames are this store's.
   */
  async #judgeBroken(broken: ListedLog["broken"], whole: readonly ListedSegment[], stale: number[]): Promise<readonly ListedSegment[]> {
    const { disk, files, mark, segmentIds } = this.#input;
    const newest = segmentIds[segmentIds.length - 1];
    const segments = [...whole];
    for (const { id, outcome } of broken) {
      // Readers too: behind a header of another version, what passes for frames of this one may be something else.
      if (outcome.kind === "later") throw foreignFile(files.path(id), id, { kind: outcome.kind, reason: outcome.reason });
      const storeId = await storeOfFrames(disk, files, id, [this.#storeId, this.#pictured?.storeId, mark?.storeId]);
      const own = storeId !== null && (this.#storeId === null || sameBytes(storeId, 0, this.#storeId, 0, 16));
      const stoodFor = whole.some(({ id: other, header }) => other < id && id <= header.replacesTo);
      if (stoodFor && (own || outcome.kind !== "foreign")) stale.push(id);
      else if (own) {
        this.#damage(damageError(id, 0, outcome.reason));
        if (this.#storeId === null && mark !== null && sameBytes(mark.storeId, 0, storeId, 0, 16)) this.#generation = mark.generation;
        this.#storeId = storeId;
        segments.push({ id, header: standInHeader(storeId, id, this.#generation) });
      } else if (outcome.kind === "foreign") this.#foreign(foreignFile(files.path(id), id, { kind: outcome.kind, reason: outcome.reason }));
      else if (id === newest && whole.every((segment) => segment.id < id) && !this.#wasBegun(id, segments)) this.#neverBegun.push(id);
      else this.#damage(damageError(id, 0, outcome.reason));
    }
    return segments.sort((a, b) => a.id - b.id);
  }

  /** Whether the checkpoint, if it is of this store, has a synced frame of the segment, or it or the mark speaks of events and no other is there for them. */
  #wasBegun(id: number, others: readonly ListedSegment[]): boolean {
    const spokenOf = Math.max(this.#input.mark?.visibleSequence ?? 0, this.#pictured?.nextSequence ?? 0);
    if (others.length === 0 && spokenOf > 0) return true;
    const { segmentId, offset } = this.#watermark;
    const storeId = this.#pictured?.storeId;
    if (segmentId !== id || offset <= SEGMENT_HEADER.bytes || storeId === undefined) return false;
    return others.every(({ header }) => sameBytes(header.storeId, 0, storeId, 0, 16));
  }

  #foreign(error: StoreError<"CORRUPT">): void {
    if (!this.#input.tolerant) throw error;
    this.#damage(damageError(error.details.segmentId ?? 0, 0, `its file is not one of this store's segments: ${error.details.reason}`));
  }

  async #takeSegments(segments: readonly ListedSegment[], fromCheckpoint: boolean): Promise<void> {
    let blocks = 0;
    for (let i = 0; i < segments.length; i++) {
      const isNewest = i === segments.length - 1;
      const { limit } = this.#input;
      if (limit !== null && segments[i].id > limit.segmentId) break;
      const resumed = fromCheckpoint && i === 0;
      const entry = resumed ? (this.#index.active as SegmentEntry) : this.#enter(segments[i]);
      if (resumed && entry.sealed) continue;
      if (!resumed && (await this.#takeBlock(entry, isNewest))) {
        blocks++;
        continue;
      }
      const mayGrow = (isNewest && !this.#hadSuccessor(segments[i])) || segments[i].id === limit?.segmentId;
      await this.#takeFrames(segments[i], entry, mayGrow);
    }
    if (!fromCheckpoint) this.#route = blocks > 0 ? "index-blocks" : "scan";
  }

  #enter(segment: ListedSegment): SegmentEntry {
    const index = this.#index;
    if (segment.header.firstSequence < index.acceptedSequence) {
      this.#damage(damageError(segment.id, 0, `it begins at sequence ${segment.header.firstSequence}, ${index.acceptedSequence} is due`));
    }
    index.acceptedSequence = Math.max(index.acceptedSequence, segment.header.firstSequence);
    const entry = newSegmentEntry(index, segment.id, segment.header.generation);
    entry.lastIssuedId = this.#target.lastIssuedId.slice();
    index.segments.push(entry);
    this.#lastFrame = null;
    this.#end = SEGMENT_HEADER.bytes;
    this.#provenSynced = 0;
    return entry;
  }

  /** Takes a sealed segment by its index block; false where it must be scanned. The newest mostly is not sealed. */
  async #takeBlock(entry: SegmentEntry, isNewest: boolean): Promise<boolean> {
    const { files, cache, routes, limit } = this.#input;
    if (routes?.blocks === false || this.#storeId === null) return false;
    const opened = openBlock(files, entry.id, this.#storeId, cache);
    if (opened.kind !== "ok") {
      if (!isNewest) this.#reasons.push(`segment ${entry.id} is scanned: ${opened.reason}`);
      return false;
    }
    if (isNewest && limit?.segmentId === entry.id && limit.offset < opened.block.index.blockStart) return false;
    const unusable = this.#badBlocks.get(entry.id) ?? (await inSteps(checkBlock(this.#index, opened.block)));
    if (unusable !== null) {
      this.#reasons.push(`segment ${entry.id} is scanned: ${unusable}`);
      return false;
    }
    await inSteps(restoreFromBlock(this.#target, entry, opened.block));
    this.#lastFrame = opened.block.sealFrame;
    // Nothing of a block is written before the seal is synced.
    this.#end = this.#provenSynced = entry.framesEnd;
    return true;
  }

  /** Whether a later segment was begun, though none is there: then all of this one had been synced before, its seal as well. */
  #hadSuccessor({ id, header }: ListedSegment): boolean {
    // The newest is never compacted.
    if (header.replacesFrom > 0) return true;
    const listed = this.#proof !== null && sameBytes(this.#proof.storeId, 0, header.storeId, 0, 16) ? this.#proof.segmentIds : [];
    return [this.#believedMark()?.syncedSegment ?? 0, ...listed].some((other) => other > id && !this.#neverBegun.includes(other));
  }

  /** `mayGrow`: nothing follows on the segment, and it was not sealed. What is bad there may be a torn write. */
  async #takeFrames(segment: ListedSegment, entry: SegmentEntry, mayGrow: boolean): Promise<void> {
    const { files, limit } = this.#input;
    const file = files.pin(segment.id);
    try {
      const seed = segmentSeed(segment.header.storeId, segment.id);
      const to = limit?.segmentId === segment.id ? limit.offset : Number.POSITIVE_INFINITY;
      const scan = await scanSegment({ file, seed, from: entry.framesEnd, to, visit: (run) => this.#replay(entry, run) });
      this.#end = scan.end;
      const watermark = this.#watermark.segmentId === segment.id ? this.#watermark.offset : 0;
      const synced = Math.max(this.#provenSynced, scan.provenSynced, this.#markedAsSynced(segment.id), watermark);
      // While a writer turns to the next segment, its mark may know the seal as synced, and show nothing behind the last event yet.
      this.#provenSynced = Math.min(synced, to);
      if (mayGrow) {
        const tail = await judgeTail({ file, segmentId: segment.id, seed, scan, provenSynced: this.#provenSynced });
        this.#cutBytes = tail.cutBytes;
        if (tail.damage === null) return;
        this.#damage(tail.damage);
      } else {
        if (scan.sealed) return;
        this.#damage(
          damageError(segment.id, scan.goodEnd, scan.outcome === "bad" ? "the bytes there are no frame" : "its seal is missing"),
        );
      }
      const visit = (frame: FrameRun): void => {
        this.#replay(entry, frame);
        // Each is by itself.
        this.#target.leavesOut = false;
      };
      await salvageSegment({ file, seed, from: scan.end, to, visit });
      // Its seal would have said so.
      if (!mayGrow) entry.lastIssuedId = this.#target.lastIssuedId.slice();
    } finally {
      files.unpin(segment.id);
    }
  }

  #replay(entry: SegmentEntry, run: FrameRun): void {
    this.#replayed.frames += run.count;
    this.#replayed.bytes += run.end - run.base - run.words[FRAME_RECORD.at];
    // A right frame that cannot stand there is told.
    const last = replayRun(this.#target, entry, run, (error) => this.#damage(error));
    if (last < 0) return;
    const end = entry.framesEnd - run.base;
    const offset = run.base + run.words[last * FRAME_RECORD.words + FRAME_RECORD.at];
    this.#lastFrame = { offset, hash: run.bytes.slice(end - FRAME.hashBytes, end) };
  }

  #markedAsSynced(segmentId: number): number {
    const mark = this.#believedMark();
    return mark?.syncedSegment === segmentId ? mark.syncedOffset : 0;
  }

  /**
   * An older one may speak of a segment as it was before it was compacted. A newer one speaks of the same newest segment, which never is: the file that bore its
   * generation is lost, or a power cut took the file's name and not the mark.
   */
  #believedMark(): DurableMark | null {
    const { mark } = this.#input;
    if (mark === null || this.#storeId === null || !sameBytes(mark.storeId, 0, this.#storeId, 0, 16)) return null;
    return mark.generation >= this.#generation ? mark : null;
  }

  /** A log that ends before what was synced has lost something. */
  #checkMark(segments: readonly ListedSegment[]): void {
    const mark = this.#believedMark();
    const newest = segments[segments.length - 1];
    if (mark === null || mark.syncedSegment === 0 || newest === undefined || mark.syncedSegment <= newest.id) return;
    if (this.#neverBegun.includes(mark.syncedSegment) && mark.syncedOffset <= SEGMENT_HEADER.bytes) return;
    this.#damage(damageError(mark.syncedSegment, mark.syncedOffset, "the log ends before it, though it was synced up to there"));
  }
}
