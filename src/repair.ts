/**
 * Repair: makes a damaged directory open for writing again, with every event that is whole.
 *
 * Steps, in order, each safe to repeat after a crash:
 * 1. Everything that will be changed is copied into `damaged-<time>/`, with the report as `repair.json`. Commit point: the sync of that directory.
 * 2. Each damaged segment is written anew from its right frames, under a temporary name, the newest first. Commit point of each: the rename in
 *    `replaceFile`. Bodies and hashes stay as they are; only the prefixes (place, mark) are made anew, and the record of what compaction removed is made of
 *    what of it is whole (`log/retention-salvage.ts`). A missing segment is replaced by an empty one.
 * 3. What speaks of the log as it was is removed: the checkpoint after the newest segment and before all others, the mark in the end. Commit point of
 *    each: the directory sync.
 *
 * What was lost stays visible: `verify` goes on naming the entities whose chains have a hole.
 */
import { join } from "node:path";
import { assertBoolean, assertOptions, assertPath } from "./base/arguments.ts";
import { assertClock, type Clock, clockOrSystem } from "./base/clock.ts";
import { StoreError } from "./base/store-error.ts";
import { uninitializedBytes } from "./base/uninitialized.ts";
import { acquireDirectoryLock } from "./disk/directory-lock.ts";
import { assertDisk, type Disk } from "./disk/disk.ts";
import { nodeDisk } from "./disk/node-disk.ts";
import { replaceFile } from "./disk/replace-file.ts";
import { CHECKPOINT_FILE } from "./format/native/checkpoint.ts";
import { DURABLE_MARK_FILE } from "./format/native/durable-mark.ts";
import { segmentSeed } from "./format/native/frame.ts";
import type { SegmentHeader } from "./format/native/segment-header.ts";
import { loadHashing } from "./kernel/frame-kernel.ts";
import { type DamagedPlace, damagedPlace, missingPlace, type SegmentThere } from "./log/damaged-place.ts";
import { type DamagedSegment, readDamagedSegment, rebuildSegment } from "./log/damaged-segment.ts";
import { readMark } from "./log/mark-file.ts";
import { remedyOf } from "./log/recovery.ts";
import { SegmentFiles, segmentName } from "./log/segment-files.ts";
import { listSegmentIds, readLog } from "./log/segment-list.ts";
import { prepareNative, readNativeLog } from "./native-engine.ts";
import { asStoreError, directoryExists, layoutOf, listDirectory, segmentsLostError } from "./open-directory.ts";
import { noStoreIn } from "./open-store.ts";
import type { StoreProblem } from "./open-report.ts";
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
  readonly kind: "rebuild-segment" | "replace-missing-segment" | "remove-file";
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
    const lock = await acquireDirectoryLock(disk, directory, { waitMs, clock });
    try {
      return await new Repair(disk, directory, clock).run(apply);
    } finally {
      await lock.release();
    }
  } catch (error) {
    throw asStoreError("repair", directory, error);
  }
}

/** The sequence that a segment begins with, and the one that follows on it. */
interface Bounds {
  readonly first: number;
  readonly next: number;
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
  /** The headers by id that are whole and in force. */
  #headers: ReadonlyMap<number, SegmentHeader> = new Map();

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
      const problems = await this.#findProblems(ids);
      if (problems.length === 0) return { problems, actions: [], applied: false, copies: null };
      await this.#identify(ids);
      const places = await this.#placesOf(ids, problems);
      const actions = await this.#plan(places);
      if (!apply) return { problems, actions, applied: false, copies: null };
      const copies = await this.#copyAside(problems, actions);
      await this.#apply(actions, places);
      return { problems, actions, applied: true, copies };
    } finally {
      this.#files.closeAll();
    }
  }

  /** Damage that a look at every frame finds, and damage that the checkpoint or the mark knows of. */
  async #findProblems(segmentIds: readonly number[]): Promise<StoreProblem[]> {
    const mark = await readMark(this.#disk, this.#directory);
    const problems = new Map<string, StoreProblem>();
    for (const routes of [{ checkpoint: false, blocks: false }, {}]) {
      const parts = prepareNative(this.#disk, this.#directory, 1024 * 1024, "native");
      try {
        await readNativeLog(this.#disk, parts, { segmentIds, mark, tolerant: true, limit: null, routes });
        this.#storeFound ??= parts.log.storeId ?? undefined;
        for (const problem of parts.log.problems) problems.set(problem.message, problem);
        for (const { id, firstSequence: first, nextSequence: next } of parts.log.index.segments) {
          // The first look is at the frames themselves.
          if (!this.#opened.has(id)) this.#opened.set(id, { first, next });
        }
      } finally {
        parts.files.closeAll();
      }
    }
    return [...problems.values()];
  }

  async #identify(ids: readonly number[]): Promise<void> {
    const mark = await readMark(this.#disk, this.#directory);
    const storeId = this.#storeFound ?? mark?.storeId;
    if (storeId === undefined) {
      const reason = "no segment has a whole header, and there is no mark";
      throw new StoreError("CORRUPT", `Cannot repair the store: ${reason}, so nothing says whose frames they are`, { reason });
    }
    this.#storeId = storeId;
    const { segments } = readLog(this.#files, ids);
    this.#headers = new Map(segments.map(({ id, header }) => [id, header]));
    this.#generation = Math.max(mark?.generation ?? 0, ...segments.map(({ header }) => header.generation));
  }

  /** What becomes of each segment that is damaged or missing, ascending. */
  async #placesOf(ids: readonly number[], problems: readonly StoreProblem[]): Promise<readonly DamagedPlace[]> {
    const present = new Set(ids);
    const newest = Math.max(0, ...ids);
    const damaged = new Set(problems.map((problem) => problem.segmentId).filter((id) => id !== undefined));
    const all = [...new Set([...this.#opened.keys(), ...damaged])].filter((id) => id <= newest).sort((a, b) => a - b);
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
      const next = damaged.has(id) ? undefined : this.#opened.get(id)?.next;
      const bound = there.find((other) => other.id > id && other.first !== null)?.first ?? Number.POSITIVE_INFINITY;
      // One that is said to end behind the events of the next is not sound either.
      const isSound = next !== undefined && next <= bound;
      if (!isSound) places.push(present.has(id) ? await this.#placeOf(id, due, there) : missingPlace(id, due, this.#generation));
      due = isSound ? next : places[places.length - 1].next;
    }
    return places;
  }

  async #placeOf(id: number, due: number, there: readonly SegmentThere[]): Promise<DamagedPlace> {
    const segment = await this.#readDamaged(id);
    if (segment.retention !== null) this.#generation = Math.max(1, this.#generation, segment.retention.generation);
    const header = this.#headers.get(id) ?? null;
    const behind = there.filter((other) => other.id > id);
    return damagedPlace({ id, segment, header, due, behind, generation: this.#generation });
  }

  async #plan(places: readonly DamagedPlace[]): Promise<RepairAction[]> {
    const actions: RepairAction[] = [];
    for (const { id, isThere, lost } of places) {
      const file = segmentName(id);
      const losses = lost.length === 0 ? "" : `; of its record of what compaction removed is lost: ${lost.join("; ")}`;
      if (isThere) actions.push({ kind: "rebuild-segment", file, message: `write ${file} anew from its right frames${losses}` });
      else {
        const message = `put an empty ${file} in the place of the one that is missing${losses}`;
        actions.push({ kind: "replace-missing-segment", file, message });
      }
    }
    for (const file of [CHECKPOINT_FILE, DURABLE_MARK_FILE]) {
      if ((await this.#disk.status(join(this.#directory, file))) === null) continue;
      actions.push({ kind: "remove-file", file, message: `remove ${file}, which speaks of the log as it was` });
    }
    return actions;
  }

  /** Copies every file that will be changed. Commit point: the sync of the directory that holds the copies. */
  async #copyAside(problems: readonly StoreProblem[], actions: readonly RepairAction[]): Promise<string> {
    const repairedAt = new Date(Math.floor(this.#clock.nowMicros() / 1000)).toISOString();
    const name = `damaged-${repairedAt.replaceAll(/[:.]/g, "-")}`;
    const target = join(this.#directory, name);
    await this.#disk.makeDirectory(target);
    for (const { file, kind } of actions) {
      if (kind === "replace-missing-segment") continue;
      await replaceFile(this.#disk, target, file, await this.#readWhole(file));
    }
    // What was wrong and what was done about it, for whoever meets the holes later.
    const record = JSON.stringify({ repairedAt, problems, actions }, null, 2);
    await replaceFile(this.#disk, target, "repair.json", new TextEncoder().encode(`${record}\n`));
    await this.#disk.syncDirectory(this.#directory);
    return name;
  }

  async #readWhole(name: string): Promise<Uint8Array> {
    const file = await this.#disk.open(join(this.#directory, name), "read");
    try {
      const bytes = uninitializedBytes(await file.size());
      const count = await file.read(bytes, 0, bytes.length, 0);
      return bytes.subarray(0, count);
    } finally {
      await file.close();
    }
  }

  async #apply(actions: readonly RepairAction[], places: readonly DamagedPlace[]): Promise<void> {
    const rebuild = async (isNewest: boolean): Promise<void> => {
      for (const place of places.filter((one) => one.isNewest === isNewest)) {
        await replaceFile(this.#disk, this.#directory, segmentName(place.id), await this.#rebuild(place));
        this.#files.forget(place.id);
      }
    };
    // That the newest is damaged, only the checkpoint and the mark may say: it is done before they go.
    await rebuild(true);
    // Before the others are done: once they are right, nothing would tell that it speaks of them as they were.
    await this.#remove(actions, CHECKPOINT_FILE);
    await rebuild(false);
    await this.#remove(actions, DURABLE_MARK_FILE);
  }

  async #remove(actions: readonly RepairAction[], name: string): Promise<void> {
    if (!actions.some(({ file }) => file === name)) return;
    await this.#disk.remove(join(this.#directory, name));
    await this.#disk.syncDirectory(this.#directory);
  }

  async #readDamaged(id: number): Promise<DamagedSegment> {
    return await readDamagedSegment(this.#disk, this.#files.path(id), segmentSeed(this.#storeId, id));
  }

  async #rebuild(place: DamagedPlace): Promise<Uint8Array> {
    const { id, isThere, first, next, nextBefore, isSealed, replacesFrom, replacesTo } = place;
    const { bytes, frames, events, retention } = isThere ? await this.#readDamaged(id) : NOTHING;
    const generation = this.#generation;
    const header = {
      storeId: this.#storeId,
      segmentId: id,
      firstSequence: first,
      generation,
      replacesFrom,
      replacesTo,
      createdMicros: this.#clock.nowMicros(),
    };
    const record = retention?.record({ events, first, next: nextBefore, generation }) ?? null;
    return await rebuildSegment({ bytes, frames, header, record, nextSequence: isSealed ? next : null });
  }
}

/** Of a segment whose file is missing. */
const NOTHING: DamagedSegment = { bytes: new Uint8Array(0), frames: [], events: [], seal: null, retention: null };
