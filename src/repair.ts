/**
 * Repair: makes a damaged directory open for writing again, with every event that is whole.
 *
 * Steps, in order, each safe to repeat after a crash:
 * 1. Everything that will be changed is copied into `damaged-<time>/`, with the report as `repair.json`. Commit point: the sync of that directory.
 * 2. Each damaged segment is written anew from its right frames, under a temporary name, the newest first. Commit point of each: the rename in
 *    `replaceFile`. Bodies and hashes stay as they are; only the prefixes (place, mark) are made anew, and the record of what compaction removed is made of
 *    what of it is whole (`log/retention-salvage.ts`). System records that index blocks or the checkpoint repeat are put back (`log/records-salvage.ts`). A
 *    missing segment is replaced by an empty one. Where sequences were given to events that are lost off the end of the log, an empty segment that begins
 *    behind them is put there before all this: no sequence is given twice.
 * 3. What speaks of the log as it was is removed: the checkpoint after the newest segment and before all others, then the mark. Commit point of
 *    each: the directory sync. Until all is done the checkpoint lies under a temporary name, for whoever begins again: only it may tell some records.
 * 4. The newest segment gets the later generation that the others have got, by which readers that are open know them. Commit point: the rename.
 *
 * What was lost stays visible: `verify` goes on naming the entities whose chains have a hole.
 */
import { join } from "node:path";
import { assertBoolean, assertOptions, assertPath } from "./base/arguments.ts";
import { assertClock, type Clock, clockOrSystem } from "./base/clock.ts";
import { sameBytes } from "./base/hex.ts";
import { StoreError } from "./base/store-error.ts";
import { CHECKPOINT_ASIDE, picturedAside, type PicturedLog } from "./checkpoint/pictured.ts";
import { acquireDirectoryLock, outlastHolder, readLockHolder } from "./disk/directory-lock.ts";
import { assertDisk, type Disk } from "./disk/disk.ts";
import { nodeDisk } from "./disk/node-disk.ts";
import { replaceFile } from "./disk/replace-file.ts";
import { CHECKPOINT_FILE } from "./format/native/checkpoint.ts";
import { DURABLE_MARK_FILE, type DurableMark } from "./format/native/durable-mark.ts";
import { segmentSeed } from "./format/native/frame.ts";
import { decodeSegmentHeader, SEGMENT_HEADER, type SegmentHeader } from "./format/native/segment-header.ts";
import { loadHashing } from "./kernel/frame-kernel.ts";
import { type DamagedPlace, damagedPlace, missingPlace, type SegmentThere } from "./log/damaged-place.ts";
import { type DamagedSegment, inGeneration, readDamagedSegment, rebuildSegment } from "./log/damaged-segment.ts";
import { readMark } from "./log/mark-file.ts";
import { standInHeader } from "./log/broken-header.ts";
import { kindsIn, lostRecords, recordsInBlock, sequenceOfRecord, unnamedKinds, withRecords } from "./log/records-salvage.ts";
import { remedyOf } from "./log/recovery.ts";
import { SegmentFiles, segmentName } from "./log/segment-files.ts";
import { listSegmentIds, MISSING_MAX, missingIds, readLog } from "./log/segment-list.ts";
import { prepareNative, readNativeLog } from "./native-engine.ts";
import { asStoreError, directoryExists, layoutOf, listDirectory, segmentsLostError } from "./open-directory.ts";
import { noStoreIn } from "./open-store.ts";
import type { StoreProblem } from "./open-report.ts";
import { problemsOfBlocks } from "./repair-blocks.ts";
import { copyAside, piecesOf } from "./repair-copies.ts";
import { manyMissing, namesLost, recordsText, sourceOf, withoutEvents } from "./repair-words.ts";
import { lockWaitOf } from "./store-options.ts";

export interface RepairOptions {
  /** False (default): only says what it would do. */
  readonly apply?: boolean | undefined;
  /** How long to wait for a writer to let go of the store, in milliseconds: 0 (default) to a day. */
  readonly lockWaitMs?: number | undefined;
  readonly disk?: Disk | undefined;
  /** Where the time comes from; default the machine's clock. */
  readonly clock?: Clock | undefined;
}

export interface RepairAction {
  readonly kind: "rebuild-segment" | "replace-missing-segment" | "add-segment" | "remove-file";
  readonly file: string;
  readonly message: string;
}

export interface RepairReport {
  /** What is wrong; empty where nothing is. */
  readonly problems: readonly StoreProblem[];
  /** What was done, or would be. */
  readonly actions: readonly RepairAction[];
  readonly applied: boolean;
  /** The sub-directory with the copies; null where nothing was changed. */
  readonly copies: string | null;
}

const OPTION_NAMES: ReadonlySet<string> = new Set(["apply", "lockWaitMs", "disk", "clock"]);

/**
 * Repairs a damaged store, or says what repairing would do.
 *
 * @throws StoreError `LOCKED` while a writer has the store, `UNSUPPORTED_BY_LAYOUT` for a batpak 0.3 store, `CORRUPT` where nothing says whose store it is,
 * `NOT_FOUND`, `IO`
 * @example
 * const plan = await repairStore("./data");
 * if (plan.actions.length > 0) await repairStore("./data", { apply: true });
 */
export async function repairStore(directory: string, options: RepairOptions = {}): Promise<RepairReport> {
  assertPath(directory, "repair");
  assertOptions(options, OPTION_NAMES, "repair");
  const { apply = false, disk = nodeDisk } = options;
  assertBoolean(apply, "apply", "repair");
  assertDisk(disk, "repair");
  assertClock(options.clock, "repair");
  const clock = clockOrSystem(options.clock);
  const waitMs = lockWaitOf(options.lockWaitMs);
  await loadHashing();
  try {
    // Before there is a lock: its file would be made.
    const listing = (await directoryExists(disk, directory)) ? await listDirectory(disk, directory) : null;
    if (listing === null || (listing.segmentIds.length === 0 && listing.orphans.length === 0)) throw noStoreIn(directory, "repair");
    if (listing.orphans.length > 0) throw segmentsLostError(directory, listing.orphans, "repair the store");
    if (!apply) return await planWithoutLock(disk, directory, clock, waitMs);
    const lock = await acquireDirectoryLock(disk, directory, { waitMs, clock });
    try {
      return await new Repair(disk, directory, clock).run(true);
    } finally {
      await lock.release();
    }
  } catch (error) {
    throw asStoreError("repair", directory, error);
  }
}

/** Changes nothing, and keeps no writer out: where one came meanwhile, what was seen may be what it was just changing, and is looked at again behind it. */
async function planWithoutLock(disk: Disk, directory: string, clock: Clock, waitMs: number): Promise<RepairReport> {
  for (const deadlineMs = clock.monotonicMs() + waitMs; ; ) {
    await outlastHolder(disk, directory, { waitMs: Math.max(0, deadlineMs - clock.monotonicMs()), clock });
    const plan = await new Repair(disk, directory, clock).run(false);
    if ((await readLockHolder(disk, directory)) === null) return plan;
  }
}

/** The sequence that a segment begins with, and the one that follows on it. */
interface Bounds {
  readonly first: number;
  readonly next: number;
  /** Where its frames end. */
  readonly framesEnd: number;
  readonly sealed: boolean;
}

/** A segment without events, which begins behind all sequences that were given. */
interface Successor {
  readonly id: number;
  readonly first: number;
  /** The sequence that is due behind the newest segment. */
  readonly due: number;
  /** Of those that only the checkpoint tells, those that stood behind it. */
  readonly records: readonly Uint8Array[];
}

interface Salvage {
  readonly segment: DamagedSegment;
  readonly recordsPutBack: number;
}

class Repair {
  readonly #disk: Disk;
  readonly #directory: string;
  readonly #clock: Clock;
  readonly #files: SegmentFiles;
  #storeId: Uint8Array = new Uint8Array(16);
  /** The store that opening made out. */
  #storeFound: Uint8Array | undefined;
  #generation = 0;
  /** The log's segments by id, as opening took them: of those without damage this is what they are. */
  readonly #opened = new Map<number, Bounds>();
  /** The system records in force that whole frames tell. */
  #records: readonly Uint8Array[] | undefined;
  /** Of each kind that events have, the sequence of the first of them. */
  #kinds: ReadonlyMap<number, number> = new Map();
  #pictured: PicturedLog | null = null;
  /** Those that only the checkpoint tells. */
  #lostRecords: readonly Uint8Array[] = [];
  /** What is wrong with index blocks, and the segments that get another one: they are whole. */
  #ofBlocks: readonly StoreProblem[] = [];
  #badBlocks: readonly number[] = [];
  /** What becomes of each segment that is damaged or missing, ascending. */
  #places: readonly DamagedPlace[] = [];
  /** The mark, where it is of this store. */
  #mark: DurableMark | null = null;
  /** The segment to be put behind the newest; null where no sequence was given to an event, and no record is known, that is lost off its end. */
  #successor: Successor | null = null;
  /** The headers by id that are whole and in force. */
  #headers: ReadonlyMap<number, SegmentHeader> = new Map();
  /** Ids of files that are no part of the log: one that was never begun, those that a merged segment stands for. */
  #neverBegun: readonly number[] = [];
  #replaced: readonly number[] = [];
  /** Those behind a gap at the end that are no segments at all: were they made some, all the gap would be. */
  #strays: readonly number[] = [];
  /** The last that was a segment, as far as anything tells. */
  #last = 0;

  constructor(disk: Disk, directory: string, clock: Clock) {
    this.#disk = disk;
    this.#directory = directory;
    this.#clock = clock;
    this.#files = new SegmentFiles(disk, directory);
  }

  async run(apply: boolean): Promise<RepairReport> {
    try {
      const ids = await listSegmentIds(this.#disk, this.#directory);
      const layout = await layoutOf(this.#disk, this.#directory, ids);
      if (layout === "batpak-0.3") {
        const message = `Cannot repair the store: it has the batpak 0.3 layout, only native stores can be repaired; ${remedyOf(layout)}`;
        throw new StoreError("UNSUPPORTED_BY_LAYOUT", message, { layout, feature: "repair" });
      }
      const damage = await this.#findProblems(ids);
      const damaged = new Set(damage.map(({ segmentId }) => segmentId).filter((id) => id !== undefined));
      // A damaged segment loses its block anyway.
      const ofBlocks = this.#ofBlocks.filter(({ segmentId }) => segmentId !== undefined && !damaged.has(segmentId));
      const problems = [...damage, ...ofBlocks];
      if (problems.length === 0) return { problems, actions: [], applied: false, copies: null };
      await this.#identify(ids);
      this.#neverBegun = this.#neverBegun.filter((id) => !damaged.has(id));
      this.#strays = await this.#straysAmong(ids);
      this.#last = Math.max(this.#mark?.syncedSegment ?? 0, ...damaged, ...this.#strays);
      const inLog = ids.filter((id) => ![this.#replaced, this.#neverBegun, this.#strays].some((others) => others.includes(id)));
      this.#places = await this.#placesOf(inLog, damaged);
      const newest = Math.max(0, ...inLog);
      this.#successor = this.#successorOf(newest, damaged);
      // What another segment follows on has a seal.
      if (this.#successor !== null && this.#opened.get(newest)?.sealed === false && !damaged.has(newest))
        this.#places = [...this.#places, await this.#placeOf(newest, 0, [])];
      this.#badBlocks = [...new Set(ofBlocks.map(({ segmentId }) => segmentId as number))].filter((id) =>
        this.#places.every((place) => place.id !== id),
      );
      const actions = await this.#plan(damage.length > 0);
      if (!apply) return { problems, actions, applied: false, copies: null };
      const copies = await copyAside(this.#disk, this.#directory, this.#clock, { problems, actions });
      await this.#apply(actions);
      return { problems, actions, applied: true, copies };
    } finally {
      this.#files.closeAll();
    }
  }

  /** Damage that a look at every frame finds, and damage that the checkpoint or the mark knows of. */
  async #findProblems(segmentIds: readonly number[]): Promise<StoreProblem[]> {
    const mark = await readMark(this.#disk, this.#directory);
    const problems = new Map<string, StoreProblem>();
    for (const routes of [{ checkpoint: false, blocks: false }, { blocks: true }]) {
      const parts = prepareNative(this.#disk, this.#directory, 1024 * 1024, "native");
      try {
        await readNativeLog(this.#disk, parts, { segmentIds, mark, tolerant: true, limit: null, routes });
        this.#storeFound ??= parts.log.storeId ?? undefined;
        this.#records ??= parts.log.records;
        this.#pictured ??= parts.log.pictured ?? null;
        if (!routes.blocks) this.#kinds = await kindsIn(parts.log.index);
        if (!routes.blocks) ({ neverBegun: this.#neverBegun, replaced: this.#replaced } = parts.log.unsettled);
        for (const problem of parts.log.problems) problems.set(problem.message, problem);
        for (const { id, firstSequence: first, nextSequence: next, framesEnd, sealed } of parts.log.index.segments) {
          // The first look is at the frames themselves.
          if (!this.#opened.has(id)) this.#opened.set(id, { first, next, framesEnd, sealed });
        }
        if (routes.blocks) this.#ofBlocks = await problemsOfBlocks(this.#disk, parts);
      } finally {
        parts.files.closeAll();
      }
    }
    // One that was cut off may have put it aside.
    this.#pictured ??= await picturedAside(this.#disk, this.#directory);
    return [...problems.values()];
  }

  async #identify(ids: readonly number[]): Promise<void> {
    const mark = await readMark(this.#disk, this.#directory);
    const storeId = this.#storeFound ?? mark?.storeId ?? this.#pictured?.storeId;
    if (storeId === undefined) {
      const reason = "no segment has a whole header, and there is neither a mark nor a checkpoint";
      throw new StoreError("CORRUPT", `Cannot repair the store: ${reason}, so nothing says whose frames they are`, { reason });
    }
    this.#storeId = storeId;
    if (this.#pictured !== null && !sameBytes(this.#pictured.storeId, 0, storeId, 0, 16)) this.#pictured = null;
    this.#mark = mark !== null && sameBytes(mark.storeId, 0, storeId, 0, 16) ? mark : null;
    this.#lostRecords = lostRecords(this.#pictured?.records ?? [], this.#records ?? []);
    const { segments } = await readLog(this.#files, ids);
    this.#headers = new Map(segments.map(({ id, header }) => [id, header]));
    this.#generation = Math.max(
      this.#mark?.generation ?? 0,
      this.#pictured?.generation ?? 0,
      ...segments.map(({ header }) => header.generation),
    );
  }

  async #straysAmong(ids: readonly number[]): Promise<readonly number[]> {
    let end = ids.length;
    for (; end > 1 && !this.#headers.has(ids[end - 1]); end--) {
      const { frames, seal, retention } = await this.#readDamaged(ids[end - 1]);
      if (frames.length > 0 || seal !== null || retention !== null) break;
    }
    let next = Math.max(ids[end - 1] + 1, ...[...this.#headers.values()].map(({ replacesTo }) => replacesTo + 1));
    while (ids[end] <= next) next = Math.max(next, ids[end++] + 1);
    return ids.slice(end);
  }

  /** `ids`: of the segments in the log whose files are there. */
  async #placesOf(ids: readonly number[], damaged: ReadonlySet<number>): Promise<readonly DamagedPlace[]> {
    const present = new Set(ids);
    // Also before and between segments that have no header of their own, of which opening misses none.
    const listed = ids.map((id) => ({ id, header: this.#headers.get(id) ?? standInHeader(this.#storeId, id, 0) }));
    const missing = missingIds(listed, [], 1);
    if (missing.length === MISSING_MAX) throw manyMissing(missing);
    const all = [...ids, ...missing].sort((a, b) => a - b);
    const there: SegmentThere[] = [];
    for (const id of all.filter((one) => present.has(one))) {
      const first = damaged.has(id) ? (await this.#readDamaged(id)).events[0] : this.#opened.get(id)?.first;
      there.push({ id, first: first ?? null, header: this.#headers.get(id) ?? null });
    }
    const places: DamagedPlace[] = [];
    let due = 0;
    for (const id of all) {
      // A compacted segment stands for it.
      if (id <= (places[places.length - 1]?.replacesTo ?? 0)) continue;
      const opened = damaged.has(id) ? undefined : this.#opened.get(id);
      const bound = there.find((other) => other.id > id && other.first !== null)?.first ?? Number.POSITIVE_INFINITY;
      // One that is said to end behind the events of the next is not sound either, nor one that lacks its seal: opening took a file behind it for none of the log's.
      const isSound = opened !== undefined && opened.next <= bound && (opened.sealed || id === all[all.length - 1]);
      if (!isSound) places.push(present.has(id) ? await this.#placeOf(id, due, there) : missingPlace(id, due, this.#mayBeCompacted));
      due = isSound ? opened.next : places[places.length - 1].next;
    }
    return places;
  }

  /** Consumers' positions and other stores may name the sequences of lost events: given again, the new ones would be taken for these. */
  #successorOf(newest: number, damaged: ReadonlySet<number>): Successor | null {
    const place = this.#places.find(({ isNewest }) => isNewest);
    const isCut = Math.max(0, ...damaged) > newest;
    const due = place?.next ?? (isCut ? this.#opened.get(newest)?.next : undefined);
    if (due === undefined) return null;
    const first = Math.max(due, place?.given ?? 0, this.#mark?.visibleSequence ?? 0, this.#pictured?.nextSequence ?? 0);
    const replacesTo = place?.replacesTo ?? this.#headers.get(newest)?.replacesTo ?? 0;
    const records = this.#lostRecords.filter((record) => this.#homeOf(sequenceOfRecord(record)) === undefined);
    return first === due && records.length === 0 ? null : { id: Math.max(newest, replacesTo) + 1, first, due, records };
  }

  /** The mark and the checkpoint know of every compaction. */
  get #mayBeCompacted(): boolean {
    return this.#generation > 0 || (this.#mark === null && this.#pictured === null);
  }

  async #placeOf(id: number, due: number, there: readonly SegmentThere[]): Promise<DamagedPlace> {
    const segment = await this.#readDamaged(id);
    if (segment.retention !== null) this.#generation = Math.max(1, this.#generation, segment.retention.generation);
    const behind = there.filter((other) => other.id > id);
    const [header, generation, mayBeCompacted] = [this.#headers.get(id) ?? null, this.#generation, this.#mayBeCompacted];
    return damagedPlace({ id, segment, header, due, behind, generation, mayBeCompacted, hadBehind: this.#last > id });
  }

  async #plan(isDamaged: boolean): Promise<RepairAction[]> {
    const actions: RepairAction[] = [];
    const unnamed = this.#unnamed();
    for (const place of this.#places) {
      const { id, isThere, lost } = place;
      const file = segmentName(id);
      const { segment, recordsPutBack } = await this.#salvage(place);
      const removed = lost.length === 0 ? "" : `; of its record of what compaction removed is lost: ${lost.join("; ")}`;
      const losses = `${removed}${namesLost(unnamed.filter((kind) => this.#placeOfName(kind) === place))}`;
      if (isThere) {
        const more = recordsPutBack === 0 ? "" : ` and ${recordsText(recordsPutBack)} that its index block or the checkpoint repeats`;
        const right = sourceOf(segment, segment.frames.length - recordsPutBack);
        const message = `write ${file} anew from ${right}${more}${losses}${this.#misplacedHint(id)}`;
        actions.push({ kind: "rebuild-segment", file, message });
      } else {
        const message = `put ${withoutEvents(file, recordsPutBack)} in the place of the one that is missing${losses}`;
        actions.push({ kind: "replace-missing-segment", file, message });
      }
    }
    if (this.#successor !== null) {
      const { id, first, due, records } = this.#successor;
      const file = segmentName(id);
      const given = first === due ? "" : `, which begins with sequence ${first}: those from ${due} on were given to events that are lost`;
      const message = `put ${withoutEvents(file, records.length)} behind the newest segment${given}`;
      actions.push({ kind: "add-segment", file, message });
    }
    for (const id of this.#outOfLog()) {
      const file = segmentName(id);
      const why = this.#neverBegun.includes(id)
        ? "which was never begun"
        : "behind a gap, of which no frame is right (all its events go, if it had any)";
      actions.push({ kind: "remove-file", file, message: `remove ${file}, ${why}${this.#misplacedHint(id)}` });
    }
    for (const file of this.#badBlocks.map(segmentName)) {
      const message = `write ${file} anew without its index block, which is bad: the next writer makes another`;
      actions.push({ kind: "rebuild-segment", file, message });
    }
    for (const file of isDamaged ? [CHECKPOINT_FILE, DURABLE_MARK_FILE] : [CHECKPOINT_FILE]) {
      if ((await this.#disk.status(this.#pathOf(file))) === null) continue;
      actions.push({ kind: "remove-file", file, message: `remove ${file}, which speaks of the log as it was` });
    }
    return actions;
  }

  /** The kinds of events that nothing names any more. */
  #unnamed(): number[] {
    const ofBlocks = this.#places.filter(({ isThere }) => isThere).flatMap(({ id }) => recordsInBlock(this.#files, id, this.#storeId));
    return unnamedKinds(this.#kinds.keys(), [...(this.#records ?? []), ...ofBlocks, ...this.#lostRecords]);
  }

  /** The last of the places in which a record of a kind's name may have stood: in front of the first event. */
  #placeOfName(kind: number): DamagedPlace | undefined {
    return this.#places.findLast(({ first }) => first <= (this.#kinds.get(kind) ?? -1));
  }

  /** Ids of files that go, unless the successor takes their name. */
  #outOfLog(): number[] {
    return [...new Set([...this.#neverBegun, ...this.#strays])].filter((id) => id !== this.#successor?.id);
  }

  /** Where a file is another segment of this store, whose frames count for nothing in this place. */
  #misplacedHint(id: number): string {
    const bytes = new Uint8Array(SEGMENT_HEADER.bytes);
    const outcome = decodeSegmentHeader(bytes.subarray(0, this.#files.file(id).readSync(bytes, 0, bytes.length, 0)));
    if (outcome.kind !== "ok" || outcome.header.segmentId === id || !sameBytes(outcome.header.storeId, 0, this.#storeId, 0, 16)) return "";
    const other = segmentName(outcome.header.segmentId);
    return `; by its header it is ${other}: if it only got a wrong name, give it its own instead of repairing, and nothing of it is lost`;
  }

  async #apply(actions: readonly RepairAction[]): Promise<void> {
    const newest = new Map<number, Uint8Array>();
    const rebuild = async (isNewest: boolean): Promise<void> => {
      for (const place of this.#places.filter((one) => one.isNewest === isNewest)) {
        const made = await this.#rebuild(place);
        await replaceFile(this.#disk, this.#directory, segmentName(place.id), made);
        if (isNewest) newest.set(place.id, inGeneration(made, this.#generation + 1));
        this.#files.forget(place.id);
      }
    };
    // First of all: from then on it is damage, whoever looks at it, that the one before has no seal.
    if (this.#successor !== null) await this.#addSuccessor(this.#successor);
    await this.#remove(this.#outOfLog().map(segmentName));
    // That the newest is damaged, only the checkpoint and the mark may say: it is done before they go.
    await rebuild(true);
    // Before the others are done: once they are right, nothing would tell that it speaks of them as they were.
    await this.#putCheckpointAside();
    await rebuild(false);
    for (const id of this.#badBlocks) {
      const pieces = piecesOf(this.#disk, this.#files.path(id), this.#opened.get(id)?.framesEnd);
      await replaceFile(this.#disk, this.#directory, segmentName(id), pieces);
    }
    await this.#remove(actions.some(({ file }) => file === DURABLE_MARK_FILE) ? [CHECKPOINT_ASIDE, DURABLE_MARK_FILE] : [CHECKPOINT_ASIDE]);
    // An older checkpoint and mark count for nothing: had this been cut off, the next repair would not have gone by them.
    for (const [id, made] of newest) await replaceFile(this.#disk, this.#directory, segmentName(id), made);
  }

  /** Nobody opens by it from then on, and its records are known until they are in the segments, should this be cut off. */
  async #putCheckpointAside(): Promise<void> {
    if (this.#pictured === null) return await this.#remove([CHECKPOINT_FILE]);
    if ((await this.#disk.status(this.#pathOf(CHECKPOINT_FILE))) === null) return;
    await this.#disk.rename(this.#pathOf(CHECKPOINT_FILE), this.#pathOf(CHECKPOINT_ASIDE));
    await this.#disk.syncDirectory(this.#directory);
  }

  #pathOf(file: string): string {
    return join(this.#directory, file);
  }

  async #remove(names: readonly string[]): Promise<void> {
    for (const path of names.map((name) => this.#pathOf(name))) if ((await this.#disk.status(path)) !== null) await this.#disk.remove(path);
    if (names.length > 0) await this.#disk.syncDirectory(this.#directory);
  }

  async #readDamaged(id: number): Promise<DamagedSegment> {
    return await readDamagedSegment(this.#disk, this.#files.path(id), segmentSeed(this.#storeId, id));
  }

  /** What goes into the segment's place: the frames that are whole, and the system records that are known from elsewhere. */
  async #salvage(place: DamagedPlace): Promise<Salvage> {
    const { id, isThere } = place;
    const segment = isThere ? await this.#readDamaged(id) : NOTHING;
    const ofBlock = isThere ? recordsInBlock(this.#files, id, this.#storeId) : [];
    const ofCheckpoint = this.#lostRecords.filter((record) => this.#homeOf(sequenceOfRecord(record)) === id);
    const whole = withRecords(segment, [...ofBlock, ...ofCheckpoint]);
    return { segment: whole, recordsPutBack: whole.frames.length - segment.frames.length };
  }

  /** The first of the places in which a record stood that the event with this sequence followed. */
  #homeOf(sequence: number): number | undefined {
    return this.#places.find(({ id, first, replacesTo }) => {
      const behind = [...this.#opened].filter(([other]) => other > Math.max(id, replacesTo)).map(([, bounds]) => bounds.first);
      return first <= sequence && sequence <= Math.min(...behind);
    })?.id;
  }

  async #rebuild(place: DamagedPlace): Promise<Uint8Array> {
    const { id, first, next, nextBefore, isNewest, isSealed, replacesFrom, replacesTo } = place;
    const { bytes, frames, events, retention } = (await this.#salvage(place)).segment;
    // A later one than before: who reads meanwhile knows by it that the file is another, in which nothing stands where it stood.
    const generation = this.#generation + (isNewest ? 0 : 1);
    const header = { ...this.#headerOf(id, first), generation, replacesFrom, replacesTo };
    const record = retention?.record({ events, first, next: nextBefore, generation: this.#generation }) ?? null;
    const nextSequence = isSealed || this.#successor !== null ? next : null;
    return await rebuildSegment({ bytes, frames, header, record, nextSequence });
  }

  async #addSuccessor({ id, first, records }: Successor): Promise<void> {
    const header = { ...this.#headerOf(id, first), replacesFrom: 0, replacesTo: 0 };
    const { bytes, frames } = withRecords(NOTHING, records);
    const made = await rebuildSegment({ bytes, frames, header, record: null, nextSequence: null });
    await replaceFile(this.#disk, this.#directory, segmentName(id), made);
  }

  #headerOf(segmentId: number, firstSequence: number): Omit<SegmentHeader, "replacesFrom" | "replacesTo"> {
    const createdMicros = this.#clock.nowMicros();
    return { storeId: this.#storeId, segmentId, firstSequence, generation: this.#generation, createdMicros };
  }
}

/** Of a segment whose file is missing. */
const NOTHING: DamagedSegment = { bytes: new Uint8Array(0), frames: [], events: [], nextOfRecords: 0, seal: null, retention: null };
