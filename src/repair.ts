/**
 * Repair: makes a damaged directory open for writing again, with every event that is whole.
 *
 * Steps, in order, each safe to repeat after a crash:
 * 1. Everything that will be changed is copied into `damaged-<time>/`, with the report as `repair.json`. Commit point: the sync of that directory.
 * 2. Each damaged segment is written anew from its right frames, under a temporary name, the newest first. Commit point of each: the rename in
 *    `replaceFile`. Bodies and hashes stay as they are; only the prefixes (place, mark) are made anew. A missing segment is replaced by an empty one.
 * 3. What speaks of the log as it was is removed: the checkpoint after the newest segment and before all others, the mark in the end. Commit point of
 *    each: the directory sync.
 *
 * What was lost stays visible: `verify` goes on naming the entities whose chains have a hole.
 */
import { join } from "node:path";
import { crc32 } from "node:zlib";
import { assertOptions, assertPath } from "./base/arguments.ts";
import { describeValue } from "./base/describe-value.ts";
import { type Clock, clockOrSystem } from "./base/clock.ts";
import { invalidArgument, StoreError } from "./base/store-error.ts";
import { getUint64 } from "./base/u64.ts";
import { uninitializedBytes } from "./base/uninitialized.ts";
import { acquireDirectoryLock } from "./disk/directory-lock.ts";
import type { Disk } from "./disk/disk.ts";
import { nodeDisk } from "./disk/node-disk.ts";
import { replaceFile } from "./disk/replace-file.ts";
import { CHECKPOINT_FILE } from "./format/native/checkpoint.ts";
import { DURABLE_MARK_FILE } from "./format/native/durable-mark.ts";
import { FRAME, FRAME_FLAG } from "./format/native/frame-layout.ts";
import { frameFlags, frameLength, frameSeed, isMarked, markFrame, segmentSeed } from "./format/native/frame.ts";
import { encodeSeal } from "./format/native/seal.ts";
import { decodeSegmentHeader, encodeSegmentHeader, SEGMENT_HEADER, type SegmentHeader } from "./format/native/segment-header.ts";
import { loadHashing } from "./kernel/frame-kernel.ts";
import { readMark } from "./log/mark-file.ts";
import { SegmentFiles, segmentName } from "./log/segment-files.ts";
import { listSegmentIds, readLog } from "./log/segment-list.ts";
import { findFrames } from "./log/frame-search.ts";
import { prepareNative, readNativeLog } from "./native-engine.ts";
import { asStoreError, directoryExists, layoutOf } from "./open-directory.ts";
import { noStoreIn } from "./open-store.ts";
import type { StoreProblem } from "./open-report.ts";
import { lockWaitOf } from "./store-options.ts";

export interface RepairOptions {
  /** False (default): only says what it would do. */
  readonly apply?: boolean;
  /** How long to wait for a writer to let go of the store, in milliseconds: 0 (default) to a day. */
  readonly lockWaitMs?: number;
  readonly disk?: Disk;
  /** Where the time comes from; default the machine's clock. */
  readonly clock?: Clock;
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
  if (typeof apply !== "boolean") throw invalidArgument(`Cannot repair: apply is ${describeValue(apply)}, true and false are allowed`);
  const clock = clockOrSystem(options.clock);
  const waitMs = lockWaitOf(options.lockWaitMs);
  await loadHashing();
  try {
    if (!(await directoryExists(disk, directory))) throw noStoreIn(directory, "repair");
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

interface RightFrame {
  readonly offset: number;
  readonly length: number;
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

  constructor(disk: Disk, directory: string, clock: Clock) {
    this.#disk = disk;
    this.#directory = directory;
    this.#clock = clock;
    this.#files = new SegmentFiles(disk, directory);
  }

  async run(apply: boolean): Promise<RepairReport> {
    try {
      const ids = await listSegmentIds(this.#disk, this.#directory);
      const layout = layoutOf(this.#disk, this.#directory, ids);
      if (layout === "batpak-0.3") {
        const message = "Cannot repair the store: it has the batpak 0.3 layout, only native stores can be repaired";
        throw new StoreError("UNSUPPORTED_BY_LAYOUT", message, { layout, feature: "repair" });
      }
      const problems = await this.#findProblems(ids);
      if (problems.length === 0) return { problems, actions: [], applied: false, copies: null };
      await this.#identify(ids);
      const actions = await this.#plan(ids, problems);
      if (!apply) return { problems, actions, applied: false, copies: null };
      const copies = await this.#copyAside(problems, actions);
      await this.#apply(actions, ids);
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
    this.#generation = Math.max(mark?.generation ?? 0, ...readLog(this.#files, ids).segments.map(({ header }) => header.generation));
  }

  async #plan(ids: readonly number[], problems: readonly StoreProblem[]): Promise<RepairAction[]> {
    const present = new Set(ids);
    const damaged = new Set(problems.map((problem) => problem.segmentId).filter((id) => id !== undefined));
    const actions: RepairAction[] = [];
    for (const id of [...damaged].sort((a, b) => a - b)) {
      const file = segmentName(id);
      if (present.has(id)) actions.push({ kind: "rebuild-segment", file, message: `write ${file} anew from its right frames` });
      else if (id < Math.max(0, ...ids)) {
        actions.push({ kind: "replace-missing-segment", file, message: `put an empty ${file} in the place of the one that is missing` });
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

  async #apply(actions: readonly RepairAction[], ids: readonly number[]): Promise<void> {
    const newest = Math.max(...ids);
    const damaged = await this.#sequencesOf(actions, ids);
    const rebuild = async (isNewest: boolean): Promise<void> => {
      for (const { id, first, next } of damaged.filter((one) => (one.id === newest) === isNewest)) {
        const frames = ids.includes(id) ? await this.#rightFrames(id) : [];
        const bytes = ids.includes(id) ? await this.#readWhole(segmentName(id)) : new Uint8Array(0);
        await replaceFile(this.#disk, this.#directory, segmentName(id), this.#rebuild(id, bytes, frames, first, next, isNewest));
        this.#files.forget(id);
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

  /** Of each segment that is to be rebuilt: the sequences that it begins and ends with, ascending. */
  async #sequencesOf(
    actions: readonly RepairAction[],
    ids: readonly number[],
  ): Promise<readonly { readonly id: number; readonly first: number; readonly next: number }[]> {
    const damaged = actions.map(({ file }) => Number.parseInt(file, 10)).filter((id) => Number.isFinite(id));
    const all = [...new Set([...ids, ...damaged])].sort((a, b) => a - b);
    const sequences = [];
    let first = 0;
    for (const id of all) {
      const isThere = ids.includes(id);
      const next = isThere ? this.#sequenceAfter(await this.#readWhole(segmentName(id)), await this.#rightFrames(id), first) : first;
      if (damaged.includes(id)) sequences.push({ id, first, next });
      first = next;
    }
    return sequences;
  }

  /** Every right frame of a segment but its seal, in order. */
  async #rightFrames(id: number): Promise<RightFrame[]> {
    const file = await this.#disk.open(this.#files.path(id), "read");
    const frames: RightFrame[] = [];
    try {
      await findFrames(file, segmentSeed(this.#storeId, id), SEGMENT_HEADER.bytes, await file.size(), ({ offset, length }) => {
        frames.push({ offset, length });
        return true;
      });
    } finally {
      await file.close();
    }
    const bytes = await this.#readWhole(segmentName(id));
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    return frames.filter(({ offset }) => (frameFlags(view, offset) & FRAME_FLAG.seal) === 0);
  }

  #sequenceAfter(bytes: Uint8Array, frames: readonly RightFrame[], nextSequence: number): number {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    let next = nextSequence;
    for (const { offset } of frames) {
      if ((frameFlags(view, offset) & FRAME_FLAG.system) === 0) next = Math.max(next, getUint64(view, offset + FRAME.sequence) + 1);
    }
    return next;
  }

  #rebuild(id: number, bytes: Uint8Array, frames: readonly RightFrame[], first: number, next: number, isNewest: boolean): Uint8Array {
    const seed = segmentSeed(this.#storeId, id);
    const length = frames.reduce<number>((sum, frame) => sum + frame.length, SEGMENT_HEADER.bytes);
    const made = new Uint8Array(length + (isNewest ? 0 : FRAME.bytesMin));
    const view = new DataView(made.buffer);
    const createdMicros = this.#clock.nowMicros();
    const merged = compactedHeader(bytes, frames);
    const header = {
      storeId: this.#storeId,
      segmentId: id,
      firstSequence: merged?.firstSequence ?? first,
      generation: this.#generation,
      replacesFrom: merged?.replacesFrom ?? 0,
      replacesTo: merged?.replacesTo ?? 0,
      createdMicros,
      retentionAt: merged?.retentionAt ?? 0,
    };
    made.set(encodeSegmentHeader(header));
    let at: number = SEGMENT_HEADER.bytes;
    for (const [i, frame] of frames.entries()) {
      made.set(bytes.subarray(frame.offset, frame.offset + frame.length), at);
      const following = frames[i + 1];
      // A commit that lost its end, or what followed it, ends where it now ends.
      if (!isMarked(view, at) && following?.offset !== frame.offset + frame.length) markFrame(view, at);
      view.setUint32(at + FRAME.syncBack, at - SEGMENT_HEADER.bytes, true);
      const end = at + frameLength(view, at);
      view.setUint32(at + FRAME.crc, crc32(made.subarray(at + FRAME.length, end), frameSeed(seed, at)), true);
      at = end;
    }
    if (!isNewest) {
      const seal = encodeSeal({ frames: frames.length, nextSequence: next, timeMicros: createdMicros }, seed, at, SEGMENT_HEADER.bytes);
      made.set(seal, at);
    }
    return made;
  }
}

/** What the header of a compacted segment says of its range, and of what is missing from it; null for any other segment. */
function compactedHeader(bytes: Uint8Array, frames: readonly RightFrame[]): SegmentHeader | null {
  const outcome = decodeSegmentHeader(bytes);
  if (outcome.kind !== "ok" || outcome.header.replacesFrom === 0) return null;
  // The record keeps its place as long as everything before it is there.
  let at: number = SEGMENT_HEADER.bytes;
  for (const { offset, length } of frames) {
    if (offset !== at) break;
    if (offset === outcome.header.retentionAt) return outcome.header;
    at += length;
  }
  return { ...outcome.header, retentionAt: 0 };
}
