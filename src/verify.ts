/**
 * `store.verify`: walks every frame up to the visible position and holds against it what is said elsewhere: headers, seals, chains, index
 * blocks and the checkpoint. Changes nothing on disk. Costs memory per entity, and per row of the one segment whose index is being compared.
 */
import { inSteps, rest } from "./base/rest.ts";
import { getUint64 } from "./base/u64.ts";
import { isStoreError } from "./base/store-error.ts";
import { decodeUtf8 } from "./base/utf8-decode.ts";
import { readCheckpointFile } from "./checkpoint/checkpoint-file.ts";
import { NO_SOURCE, restoreCheckpoint } from "./checkpoint/restore.ts";
import type { Disk, DiskFile } from "./disk/disk.ts";
import { decodeCheckpointInSteps } from "./format/native/checkpoint.ts";
import { sortPairs } from "./format/native/index-block-sort.ts";
import { entityStart, frameFlags, scopeStart, segmentSeed } from "./format/native/frame.ts";
import { FRAME, FRAME_FLAG } from "./format/native/frame-layout.ts";
import { NO_INDEX_TRAILER } from "./format/native/index-block-root.ts";
import type { RemovedRun } from "./format/native/retention.ts";
import { decodeSeal, isSeal } from "./format/native/seal.ts";
import { SEGMENT_HEADER, type SegmentHeader } from "./format/native/segment-header.ts";
import { ActiveSegmentIndex } from "./index/active-segment-index.ts";
import { Heads } from "./index/heads.ts";
import { Interner } from "./index/interner.ts";
import { PageCache } from "./index/page-cache.ts";
import type { SegmentEntry } from "./index/store-index.ts";
import { isBegunBlock, openBlock } from "./log/block-files.ts";
import { NO_STORE, standInHeader } from "./log/broken-header.ts";
import { segmentName } from "./log/segment-files.ts";
import { listSegmentIds, missingIds, readLog } from "./log/segment-list.ts";
import { onlyZeros } from "./log/segment-scan.ts";
import { Retention } from "./log/retention.ts";
import { RetentionCheck } from "./log/verify-retention.ts";
import { SequenceCheck } from "./log/verify-sequences.ts";
import { FrameWalker, type WalkedFrame } from "./log/verify-frames.ts";
import { EntitiesWithin } from "./log/entities-within.ts";
import { IndexComparison } from "./log/verify-index.ts";
import { systemRecordOf } from "./log/system-records.ts";
import type { NativeStoreParts } from "./native-engine.ts";
import { readerView } from "./open-directory.ts";
import type { StoreProblem } from "./open-report.ts";
import { verifyBatpak03 } from "./verify-batpak03.ts";
import { CheckpointComparison, checkpointProblem } from "./verify-checkpoint.ts";
import { ProblemList } from "./verify-problems.ts";

/** How far a verification has come. */
export interface VerifyProgress {
  /** Events looked at so far, and how many there are to look at. */
  readonly events: number;
  readonly eventsTotal: number;
  readonly segmentId: number;
}

/** Whom to tell, and when to stop. */
export interface VerifyOptions {
  /** Called every few milliseconds. */
  readonly onProgress?: ((progress: VerifyProgress) => void) | undefined;
  /** Ends the work with its reason. */
  readonly signal?: AbortSignal | undefined;
}

/** What a verification has found. */
export interface VerifyResult {
  /** Whether nothing is wrong. */
  readonly ok: boolean;
  /** Events that are there. */
  readonly events: number;
  /** Entities that have any. */
  readonly entities: number;
  /** Events that compaction removed, as it recorded. */
  readonly removed: number;
  /** The first 1,000; their codes are in docs/errors.md under "Problems". */
  readonly problems: readonly StoreProblem[];
  /** How many there are in all. */
  readonly problemCount: number;
}

const CACHE_BYTES = 16 * 1024 * 1024;
/** So many rows of entities are compared before the event loop gets its turn; an entity itself counts for some. */
const ROWS_PER_STEP = 4096;
const ROWS_AN_ENTITY = 8;
/** Entities whose removed events are passed over in one step. */
const ENTITIES_PER_STEP = 1024;

/** What only the store's own parts ask for. */
export interface VerifyWishes {
  /**
   * Where given, what is wrong with blocks that cannot be used is added, the newest segment's among them, however much it is; one without its end passes for
   * one that a writer had begun, whether or not the lock says that one lives, unless it was known to be written.
   */
  readonly badBlocks?: StoreProblem[];
  /** Which problems are listed; where not given, all are. */
  readonly isListed?: (problem: StoreProblem) => boolean;
}

/** Verifies everything visible; problems that opening met are told as well. */
export async function verifyStore(
  disk: Disk,
  parts: NativeStoreParts,
  options: VerifyOptions,
  { badBlocks, isListed }: VerifyWishes = {},
): Promise<VerifyResult> {
  const found = new ProblemList(isListed);
  if (parts.layout === "batpak-0.3") return await verifyOtherLayout(disk, parts, options, found);
  return await new Verification(disk, parts, options, found, badBlocks ?? null).run();
}

async function verifyOtherLayout(
  disk: Disk,
  parts: NativeStoreParts,
  { signal, onProgress }: VerifyOptions,
  found: ProblemList,
): Promise<VerifyResult> {
  for (const problem of parts.log.problems) found.tell(problem);
  const eventsTotal = parts.log.index.visibleEvents;
  const tellAndRest = async (events: number, segmentId: number): Promise<void> => {
    onProgress?.({ events, eventsTotal, segmentId });
    await rest();
    signal?.throwIfAborted();
  };
  const { events, entities } = await verifyBatpak03({ disk, parts, problems: found, rest: tellAndRest });
  return { ok: found.count === 0, events, entities, removed: 0, problems: found.problems, problemCount: found.count };
}

class Verification {
  readonly #disk: Disk;
  readonly #parts: NativeStoreParts;
  readonly #options: VerifyOptions;
  readonly #badBlocks: StoreProblem[] | null;
  /** What is wrong with the block of the segment that is walked. */
  #ofBlock: StoreProblem[] = [];
  readonly #found: ProblemList;
  readonly #entities = new Interner();
  readonly #scopes = new Interner();
  readonly #heads = new Heads();
  readonly #within = new EntitiesWithin();
  readonly #cache = new PageCache(CACHE_BYTES);
  readonly #walker = new FrameWalker();
  #events = 0;
  #frames = 0;
  #damagedHere = false;
  #segmentId = 0;
  #retention: RetentionCheck | null = null;
  #removed = 0;
  readonly #sequences = new SequenceCheck();
  /** The sequence of an entity's last event, where that was removed; where it was lost, the last that it may have had. */
  readonly #everSequence = new Map<number, number>();
  #comparisons: IndexComparison[] = [];
  #checkpoint: CheckpointComparison | null = null;
  readonly #isConverted: boolean;
  readonly #visible: { segmentId: number; offset: number };
  readonly #eventsTotal: number;
  readonly #opened: ReadonlyMap<number, { hasBlock: boolean; sealed: boolean; framesEnd: number }>;

  constructor(disk: Disk, parts: NativeStoreParts, options: VerifyOptions, found: ProblemList, badBlocks: StoreProblem[] | null) {
    this.#disk = disk;
    this.#found = found;
    this.#badBlocks = badBlocks;
    this.#parts = parts;
    this.#options = options;
    const { index } = parts.log;
    this.#isConverted = parts.log.records.some((record) => systemRecordOf(record)?.record === "conversion");
    this.#visible = { segmentId: index.visible.segmentId, offset: index.visible.offset };
    this.#eventsTotal = index.visibleEvents;
    const openedOf = ({ indexOnDisk, blockIsBad, sealed, framesEnd }: SegmentEntry) => ({
      hasBlock: indexOnDisk || blockIsBad === true,
      sealed,
      framesEnd,
    });
    this.#opened = new Map(index.segments.map((segment) => [segment.id, openedOf(segment)]));
  }

  async run(): Promise<VerifyResult> {
    for (const problem of this.#parts.log.problems) this.#tell(problem);
    await this.#readCheckpoint();
    const segments = await this.#listSegments();
    for (const { id, header } of segments) await this.#segment(id, header, id === segments[segments.length - 1].id);
    if (this.#checkpoint?.seen === false) this.#tell(checkpointProblem("no frame ends where it ends"));
    for (const { segmentId, due, found } of this.#sequences.gaps) {
      this.#tell({ code: "SEQUENCE_GAP", message: `Segment ${segmentId}, sequence ${found}: ${due} is due`, segmentId, sequence: found });
    }
    const { problems, count: problemCount } = this.#found;
    const { liveEntities: entities } = this.#heads;
    return { ok: problemCount === 0, events: this.#events, entities, removed: this.#removed, problems, problemCount };
  }

  #tell(problem: StoreProblem): void {
    if (problem.code.startsWith("INDEX_")) this.#ofBlock.push(problem);
    this.#found.tell(problem);
  }

  async #listSegments(): Promise<{ id: number; header: SegmentHeader | null }[]> {
    const { files, log: opened } = this.#parts;
    const ids = (await listSegmentIds(this.#disk, files.directory)).filter((id) => id <= this.#visible.segmentId);
    const { segments, broken } = await readLog(files, ids, opened.storeId, () => this.#rest());
    for (const { id, outcome } of broken) this.#at("HEADER_DAMAGED", id, 0, outcome.reason);
    const log = [...segments, ...broken.map(({ id }) => ({ id, header: null }))].sort((a, b) => a.id - b.id);
    const listed = log.map(({ id, header }) => ({ id, header: header ?? standInHeader(NO_STORE, id, 0) }));
    const end = { id: this.#visible.segmentId + 1, header: standInHeader(NO_STORE, this.#visible.segmentId + 1, 0) };
    for (const id of missingIds([...listed, end], [], 1)) this.#at("SEGMENT_MISSING", id, 0, `${segmentName(id)} is not there`);
    return log;
  }

  #at(code: string, segmentId: number, offset: number, reason: string): void {
    this.#tell({ code, message: `Segment ${segmentId} at offset ${offset}: ${reason}`, segmentId, offset });
  }

  async #segment(id: number, header: SegmentHeader | null, isNewest: boolean): Promise<void> {
    const { files, log } = this.#parts;
    if (log.storeId === null) return;
    this.#segmentId = id;
    this.#frames = 0;
    this.#damagedHere = false;
    this.#ofBlock = [];
    this.#within.clear();
    this.#retention = await this.#openRetention(id, header);
    const isSequenceRight = header === null || header.firstSequence === this.#sequences.next;
    if (!isSequenceRight) this.#at("SEQUENCE_GAP", id, 0, `it begins at sequence ${header.firstSequence}, ${this.#sequences.next} is due`);
    if (header !== null) this.#sequences.next = Math.max(this.#sequences.next, header.firstSequence);
    const file = await this.#disk.open(files.path(id), "read");
    try {
      // Another process may have put a merged segment in its place since its header was read, and not have told so in the mark.
      if (header !== null) files.assertGeneration(file, id, header);
      const size = await file.size();
      const to = id === this.#visible.segmentId ? Math.min(this.#visible.offset, size) : size;
      if (id === this.#visible.segmentId && size < this.#visible.offset)
        this.#at("FRAME_DAMAGED", id, size, "the file ends before what is visible");
      const sealedByNow = this.#opened.get(id);
      // A writer makes one that is missing in the background; one that was found bad stays until the next opening. For a reader what is there counts.
      const mayHaveBlock =
        (!isNewest || this.#badBlocks !== null) && (this.#parts.frames.unwritten === null || (sealedByNow?.hasBlock ?? true));
      const block = mayHaveBlock ? this.#openComparisons(id) : this.#openComparisons(id, false);
      // A checkpoint may picture a segment that had no frame yet.
      if (header !== null) this.#meetCheckpoint(SEGMENT_HEADER.bytes);
      const walked = await this.#walker.walk(
        { file, seed: segmentSeed(log.storeId, id), from: SEGMENT_HEADER.bytes, to },
        {
          frame: (frame) => this.#frame(frame),
          damaged: (from, end) => this.#damaged(from, end),
          rest: () => this.#rest(),
        },
      );
      if (!walked.sealed && !isNewest) this.#at("SEAL_MISSING", id, walked.end, "its seal is missing");
      const isUnusable =
        walked.sealed &&
        mayHaveBlock &&
        block !== null &&
        !(await onlyZeros(file, walked.end, size)) &&
        !(await this.#isBegun(block, id, file, size));
      if (isUnusable) this.#at("INDEX_UNUSABLE", id, walked.end, block);
      const comparisons = this.#comparisons;
      await this.#finishComparisons();
      if (isUnusable || comparisons.some(({ hasBadPage }) => hasBadPage)) this.#leaveBlock(id);
      await this.#checkpoint?.finish(this.#entities, () => this.#rest());
      await this.#finishRetention();
    } finally {
      await file.close();
    }
  }

  /** In a read-only store: whether a writer is writing the block, whose trailer comes last, or was when it was killed. */
  async #isBegun(reason: string, id: number, file: DiskFile, size: number): Promise<boolean> {
    const { frames, log, directory } = this.#parts;
    // What a checkpoint, or opening, knew to be written was whole once.
    if (frames.unwritten !== null || !reason.endsWith(NO_INDEX_TRAILER) || this.#opened.get(id)?.hasBlock === true) return false;
    if (this.#badBlocks !== null || (await readerView(this.#disk, directory)).writer) return true;
    const segment = log.index.segmentWithId(id);
    if (!(segment?.index instanceof ActiveSegmentIndex) || this.#damagedHere) return false;
    return await isBegunBlock({ index: log.index, frames, storeId: log.storeId as Uint8Array, segment }, file, size);
  }

  /** A writer goes by the frames where a block is bad, as if a look-up had met it: its next checkpoint has their rows, and the next opening writes a block. */
  #leaveBlock(id: number): void {
    const { frames, log } = this.#parts;
    this.#badBlocks?.push(...this.#ofBlock);
    if (frames.unwritten !== null && !this.#damagedHere && log.index.segmentWithId(id)?.indexOnDisk === true) log.index.rebuildIndex(id);
  }

  /** Why the segment's block cannot be used; null where it can. */
  #openComparisons(id: number, withBlock = true): string | null {
    this.#comparisons = [];
    const row = (code: string) => (reason: string, number: number) =>
      this.#tell({ code, message: `The index of segment ${id}${number < 0 ? "" : `, row ${number}`}: ${reason}`, segmentId: id });
    const entry = this.#checkpoint?.checkpoint.index.segmentWithId(id);
    if (entry?.index instanceof ActiveSegmentIndex && entry.sealed)
      this.#comparisons.push(new IndexComparison(entry.index, row("CHECKPOINT_MISMATCH")));
    if (!withBlock) return null;
    const opened = openBlock(this.#parts.files, id, this.#parts.log.storeId as Uint8Array, this.#cache);
    if (opened.kind !== "ok") return opened.reason;
    this.#comparisons.push(new IndexComparison(opened.block.index, row("INDEX_MISMATCH")));
    return null;
  }

  async #finishComparisons(): Promise<void> {
    const comparisons = this.#comparisons;
    this.#comparisons = [];
    // Where frames are missing, the index is bound to differ from what is left.
    if (this.#damagedHere || comparisons.length === 0) return;
    let rowsCompared = 0;
    for (const id of await this.#inIndexOrder(this.#within.ids())) {
      const says = this.#within.facts(id, this.#heads);
      const name = this.#entities.name(id);
      for (const comparison of comparisons) {
        const steps = comparison.entity(name, says);
        while (steps.next().done !== true) await this.#rest();
      }
      rowsCompared += says.rows + ROWS_AN_ENTITY;
      if (rowsCompared < ROWS_PER_STEP) continue;
      rowsCompared = 0;
      await this.#rest();
    }
    for (const comparison of comparisons) await comparison.finish(() => this.#rest());
  }

  /** Entities in the order of an index block's dictionary: each of its pages is looked at once. */
  async #inIndexOrder(ids: Uint32Array): Promise<Uint32Array> {
    const sorted = await inSteps(
      sortPairs(
        ids.map((id) => this.#entities.hashOf(id)),
        ids,
      ),
    );
    return sorted.values;
  }

  #damaged(from: number, to: number): void {
    this.#damagedHere = true;
    this.#comparisons = [];
    this.#at("FRAME_DAMAGED", this.#segmentId, from, `the ${to - from} bytes from there are no frame`);
  }

  async #rest(): Promise<void> {
    const { signal, onProgress } = this.#options;
    onProgress?.({ events: this.#events, eventsTotal: this.#eventsTotal, segmentId: this.#segmentId });
    await rest();
    signal?.throwIfAborted();
  }

  #frame(frame: WalkedFrame): void {
    const { view, at, offset, length } = frame;
    if (!frame.hashRight) this.#tellFrame("HASH_MISMATCH", frame, "its hash is not that of its bytes");
    if (isSeal(view, at)) {
      const seal = decodeSeal(view, at);
      this.#sequences.pass(seal.nextSequence, this.#retention, this.#segmentId);
      const right = seal.frames === this.#frames && seal.nextSequence === this.#sequences.next;
      if (!right && !this.#damagedHere)
        this.#at(
          "SEAL_MISMATCH",
          this.#segmentId,
          offset,
          `the seal counts ${seal.frames} frames up to sequence ${seal.nextSequence}, ${this.#frames} up to ${this.#sequences.next} are there`,
        );
    } else {
      this.#frames++;
      if ((frameFlags(view, at) & FRAME_FLAG.retention) === 0) this.#event(frame);
    }
    this.#meetCheckpoint(offset + length);
  }

  #tellFrame(code: string, frame: WalkedFrame, reason: string): void {
    const { view, at, bytes, offset } = frame;
    const sequence = getUint64(view, at + FRAME.sequence);
    const entity = decodeUtf8(bytes, entityStart(view, at), scopeStart(view, at));
    const segmentId = this.#segmentId;
    this.#tell({
      code,
      message: `Segment ${segmentId} at offset ${offset}, ${entity}, sequence ${sequence}: ${reason}`,
      entity,
      sequence,
      segmentId,
      offset,
    });
  }

  #event(frame: WalkedFrame): void {
    const { bytes, view, at } = frame;
    const entityAt = entityStart(view, at);
    const scopeAt = scopeStart(view, at);
    const scopeEnd = scopeAt + view.getUint16(at + FRAME.scopeLength, true);
    const id = this.#entities.internBytes(bytes, entityAt, scopeAt);
    const heads = this.#heads;
    heads.ensure(id);
    const clock = getUint64(view, at + FRAME.clock);
    if (this.#retention !== null && clock > heads.clock(id) + 1) this.#passRemoved(id, clock);
    const due = heads.clock(id) + 1;
    const linked = heads.hasHash(id, view, at + FRAME.previousHash);
    // Where the chain holds across a gap, the store that this one was converted from had the gap.
    const sequence = getUint64(view, at + FRAME.sequence);
    if (clock < due || (clock > due && !linked)) {
      this.#tellFrame(clock > due ? "LOST_EVENTS" : "CLOCK_GAP", frame, `its clock is ${clock}, ${due} is due`);
      // An index block of before may lead to any of those that were lost.
      if (clock > due) this.#everSequence.set(id, sequence - 1);
    } else if (!linked) this.#tellFrame("CHAIN_BROKEN", frame, "its previous hash is not that of the event before it");
    const isSystem = (frameFlags(view, at) & FRAME_FLAG.system) !== 0;
    if (isSystem) {
      for (const comparison of this.#comparisons) comparison.systemRecord(frame);
      const record = systemRecordOf(bytes.slice(at, at + frame.length));
      this.#sequences.meetRecord(record, sequence, this.#retention, this.#segmentId);
    } else {
      this.#sequences.pass(sequence, this.#retention, this.#segmentId);
      if (sequence < this.#sequences.next) this.#tellFrame("SEQUENCE_GAP", frame, `${this.#sequences.next} is due`);
      this.#sequences.next = sequence + 1;
      this.#events++;
      if (this.#comparisons.length > 0) this.#compare(frame, id, this.#scopes.internBytes(bytes, scopeAt, scopeEnd), sequence, clock);
      heads.setVisible(id, sequence);
    }
    heads.accept(id, clock, isSystem ? heads.sequence(id) : sequence, getUint64(view, at + FRAME.time));
    heads.setHash(id, view, at + frame.length - FRAME.hashBytes);
  }

  #compare(frame: WalkedFrame, entityId: number, scopeId: number, sequence: number, clock: number): void {
    if (this.#within.note(entityId)) {
      const previousSequence = this.#heads.sequence(entityId);
      this.#within.begin(entityId, clock, previousSequence, Math.max(previousSequence, this.#everSequence.get(entityId) ?? -1));
    }
    this.#within.setLastId(entityId, frame.view, frame.at + FRAME.id);
    const scope = (): string => this.#scopes.name(scopeId);
    for (const comparison of this.#comparisons) comparison.event(frame, { scope, entityId, scopeId }, sequence);
  }

  // What compaction removed.

  async #openRetention(id: number, header: SegmentHeader | null): Promise<RetentionCheck | null> {
    if ((header?.retentionAt ?? 0) === 0) return null;
    try {
      const retention = Retention.of(this.#parts.files, this.#parts.frames, id);
      const check = retention === null ? null : await RetentionCheck.of(retention, () => this.#rest());
      this.#removed += check?.removed ?? 0;
      return check;
    } catch (error) {
      if (!isStoreError(error, "CORRUPT")) throw error;
      this.#at("RETENTION_MISMATCH", id, error.details.offset ?? 0, error.details.reason);
      return null;
    }
  }

  /** Moves an entity's head on over removed events, as far as a clock. */
  #passRemoved(id: number, clock: number): void {
    const heads = this.#heads;
    const name = this.#entities.name(id);
    for (let due = heads.clock(id) + 1; due < clock; due = heads.clock(id) + 1) {
      const run = this.#retention?.takeRun(name, due, clock) ?? null;
      if (run === null) return;
      if (run.from > due && !this.#isConverted) this.#tellLostBefore(run, name, due);
      heads.accept(id, run.to, heads.sequence(id), heads.timeMicros(id));
      heads.setHashBytes(id, run.lastHash);
      this.#everSequence.set(id, run.lastSequence);
    }
  }

  /** No link leads to a removed event: where a conversion's source may have had the gap, only its sequences tell. */
  #tellLostBefore({ from, to }: RemovedRun, entity: string, due: number): void {
    const segmentId = this.#segmentId;
    const message = `Segment ${segmentId}, ${entity}: clocks ${from} to ${to} were removed, ${due} is due`;
    this.#tell({ code: "LOST_EVENTS", message, entity, segmentId });
  }

  async #finishRetention(): Promise<void> {
    const check = this.#retention;
    if (check === null || this.#damagedHere) return;
    let entities = 0;
    for (const name of check.left()) {
      const id = this.#entities.intern(name);
      this.#heads.ensure(id);
      this.#passRemoved(id, Number.POSITIVE_INFINITY);
      if (++entities % ENTITIES_PER_STEP === 0) await this.#rest();
    }
    const problem = check.problem();
    if (problem !== null) this.#at("RETENTION_MISMATCH", this.#segmentId, 0, `its record of what was removed does not fit: ${problem}`);
  }

  // The checkpoint.

  async #readCheckpoint(): Promise<void> {
    const file = await readCheckpointFile(this.#disk, this.#parts.directory);
    if (file.kind === "unfit") return this.#tell(checkpointProblem(file.reason));
    if (file.kind !== "whole") return;
    const decoded = await inSteps(decodeCheckpointInSteps(file.bytes));
    if (decoded.kind !== "ok") return this.#tell(checkpointProblem(decoded.reason));
    const outcome = await inSteps(restoreCheckpoint(decoded.content, NO_SOURCE));
    if (outcome.kind !== "ok") return this.#tell(checkpointProblem(outcome.reason));
    const { index, generation } = outcome.restored;
    const { visible } = index;
    // One that a writer has written since verifying began is looked at the next time. Where that writer is gone, a reader looks once more.
    const ahead =
      generation > this.#parts.log.generation ||
      visible.segmentId > this.#visible.segmentId ||
      (visible.segmentId === this.#visible.segmentId && visible.offset > this.#visible.offset);
    if (!ahead && visible.segmentId > 0) this.#checkpoint = new CheckpointComparison(outcome.restored, (problem) => this.#tell(problem));
    else if (ahead && (this.#parts.log.problems.length > 0 || !(await readerView(this.#disk, this.#parts.directory)).writer))
      this.#tell(checkpointProblem("it is ahead of the log"));
  }

  #meetCheckpoint(offset: number): void {
    if (this.#checkpoint?.seen !== false) return;
    const { segmentId } = this.#checkpoint.checkpoint.index.visible;
    if (segmentId !== this.#segmentId) return;
    this.#checkpoint.meet({ segmentId, offset, events: this.#events, nextSequence: this.#sequences.next, heads: this.#heads });
  }
}
