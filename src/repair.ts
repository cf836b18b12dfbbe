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
 * 3. The checkpoint goes, after the newest segment and before all others. Commit point: the directory sync. Until all is done it lies under a temporary
 *    name, for whoever begins again: only it may tell some records.
 * 4. The newest segment gets the later generation that the others have got, by which readers that are open know them. Commit point: the rename.
 * 5. What still speaks of the log as it was is removed, the mark in the end. Commit point: the directory sync. Until then it mostly shows that there is
 *    something to repair.
 *
 * What was lost stays visible: `verify` goes on naming the entities whose chains have a hole.
 *
 * `repair-look.ts` reads what there is, `repair-plan.ts` decides, `repair-copies.ts` does the first step and `repair-apply.ts` the others.
 */
import { isDeepStrictEqual } from "node:util";
import { assertBoolean, assertOptions, assertPath } from "./base/arguments.ts";
import { assertClock, type Clock, clockOrSystem } from "./base/clock.ts";
import { isStoreError, StoreError } from "./base/store-error.ts";
import { acquireDirectoryLock, outlastHolder } from "./disk/directory-lock.ts";
import { assertDisk, type Disk } from "./disk/disk.ts";
import { nodeDisk } from "./disk/node-disk.ts";
import { errorCode } from "./disk/system-error.ts";
import { loadHashing } from "./kernel/frame-kernel.ts";
import { readMark } from "./log/mark-file.ts";
import { remedyOf } from "./log/recovery.ts";
import { SegmentFiles } from "./log/segment-files.ts";
import { listSegmentIds } from "./log/segment-list.ts";
import { asStoreError, directoryExists, layoutOf, listDirectory, readerView, segmentsLostError } from "./open-directory.ts";
import { noStoreIn } from "./open-store.ts";
import type { StoreProblem } from "./open-report.ts";
import { applyRepair } from "./repair-apply.ts";
import { copyAside } from "./repair-copies.ts";
import { lookAtDamage } from "./repair-look.ts";
import { planRepair, type RepairAction } from "./repair-plan.ts";
import { lockWaitOf } from "./store-options.ts";

/** Whether to repair, or only to say how. */
export interface RepairOptions {
  /** False (default): only says what it would do. */
  readonly apply?: boolean | undefined;
  /** How long to wait for a writer to let go of the store, in milliseconds: 0 (default) to a day. */
  readonly lockWaitMs?: number | undefined;
  readonly disk?: Disk | undefined;
  /** Where the time comes from; default the machine's clock. */
  readonly clock?: Clock | undefined;
}

/** What is damaged, and what was done about it or would be. */
export interface RepairReport {
  /** What is wrong; empty where nothing is. */
  readonly problems: readonly StoreProblem[];
  /** What was done, or would be. */
  readonly actions: readonly RepairAction[];
  readonly applied: boolean;
  /** The sub-directory with the copies; null where nothing was changed. */
  readonly copies: string | null;
}

/** A writer that comes and goes as often is not outlasted. */
const LOOKS_MAX = 10;

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
      return await repair(disk, directory, clock, true);
    } finally {
      await lock.release();
    }
  } catch (error) {
    throw asStoreError("repair", directory, error);
  }
}

/**
 * Changes nothing, and keeps no writer out. What was seen may be what one was just changing: where one came meanwhile, it is looked at again behind it, and
 * so where one has come and gone, which the mark tells.
 */
async function planWithoutLock(disk: Disk, directory: string, clock: Clock, waitMs: number): Promise<RepairReport> {
  const deadlineMs = clock.monotonicMs() + waitMs;
  for (let look = 1; ; look++) {
    await outlastHolder(disk, directory, { waitMs: Math.max(0, deadlineMs - clock.monotonicMs()), clock });
    const before = await readMark(disk, directory);
    try {
      const plan = await repair(disk, directory, clock, false);
      const after = await readerView(disk, directory);
      const isOfOneLog = plan.problems.length === 0 || look >= LOOKS_MAX || isDeepStrictEqual(after.mark, before);
      if (!after.writer && isOfOneLog) return plan;
    } catch (error) {
      const isPassing = isStoreError(error, "COMPACTED") || errorCode(error) === "ENOENT";
      if (!isPassing || look >= LOOKS_MAX) throw error;
    }
  }
}

async function repair(disk: Disk, directory: string, clock: Clock, apply: boolean): Promise<RepairReport> {
  const files = new SegmentFiles(disk, directory);
  try {
    const ids = await listSegmentIds(disk, directory);
    const layout = await layoutOf(disk, directory, ids);
    if (layout === "batpak-0.3") {
      const message = `Cannot repair the store: it has the batpak 0.3 layout, only native stores can be repaired; ${remedyOf(layout)}`;
      throw new StoreError("UNSUPPORTED_BY_LAYOUT", message, { layout, feature: "repair" });
    }
    const log = await lookAtDamage(files, ids);
    if (log === null) return { problems: [], actions: [], applied: false, copies: null };
    const problems = [...log.damage, ...log.ofBlocks];
    const plan = await planRepair(log);
    const { actions } = plan;
    if (!apply) return { problems, actions, applied: false, copies: null };
    const copies = await copyAside(disk, directory, clock, { problems, actions });
    await applyRepair(log, plan, clock);
    return { problems, actions, applied: true, copies };
  } finally {
    files.closeAll();
  }
}
