/** Compaction of a store that nobody has open for writing: opens it, compacts it (`compacting.ts`), and closes it. */
import { resolve } from "node:path";
import { assertOptions, assertPath } from "./base/arguments.ts";
import { assertClock, type Clock } from "./base/clock.ts";
import {
  COMPACT_OPTIONS,
  assertCompactOptions,
  copyRules,
  type CompactOptions,
  type CompactReport,
  compactionUnsupported,
} from "./compacting.ts";
import { assertDisk, type Disk } from "./disk/disk.ts";
import { nodeDisk } from "./disk/node-disk.ts";
import type { AnyDefinition } from "./events/definition.ts";
import { asStoreError, directoryExists, listDirectory } from "./open-directory.ts";
import { noStoreIn } from "./open-store.ts";
import { Store } from "./store.ts";

/** The rules, and how to open the store. */
export interface CompactStoreOptions<Known extends readonly AnyDefinition[] = readonly []> extends CompactOptions<Known> {
  /** The definitions that `keep` and `query` use. */
  readonly events?: Known | undefined;
  /** How long to wait for a writer to let go of the store, in milliseconds: 0 (default) to a day. */
  readonly lockWaitMs?: number | undefined;
  readonly disk?: Disk | undefined;
  /** Where the time comes from; default the machine's clock. */
  readonly clock?: Clock | undefined;
}

const STORE_OPTIONS: ReadonlySet<string> = new Set([...COMPACT_OPTIONS, "events", "lockWaitMs", "disk", "clock"]);

/**
 * Removes events from a store that is not open for writing. At least one of `query`, `keep`, `keepNewerThan` and `keepLast` must be given; an
 * event goes when it matches `query` and nothing keeps it. The newest segment is left alone, and so is the last event of each entity. In the
 * process that writes, call `store.compact`.
 *
 * @throws TypeError or RangeError `INVALID_ARGUMENT`; StoreError `LOCKED` while a writer has the store, `CORRUPT` where it is damaged,
 * `UNSUPPORTED_BY_LAYOUT` in the 0.3 layout, `NOT_FOUND`, `IO`; what `keep` throws
 * @example
 * const plan = await compactStore("./data", { keepNewerThan: new Date("2026-01-01"), keepLast: 10, dryRun: true });
 */
export async function compactStore<const Known extends readonly AnyDefinition[] = readonly []>(
  directory: string,
  options: CompactStoreOptions<Known>,
): Promise<CompactReport> {
  assertPath(directory, "compact");
  assertOptions(options, STORE_OPTIONS, "compact");
  assertDisk(options.disk, "compact");
  assertClock(options.clock, "compact");
  const { events, lockWaitMs, disk = nodeDisk, clock, ...given } = options;
  assertCompactOptions(given as unknown as CompactOptions);
  const rules = copyRules(given as unknown as CompactOptions) as unknown as typeof given;
  const path = options.disk === undefined ? resolve(directory) : directory;
  try {
    // Opening would make one.
    const { layout } = (await directoryExists(disk, path)) ? await listDirectory(disk, path) : { layout: null };
    if (layout === null) throw noStoreIn(path, "compact");
    if (layout !== "native") throw compactionUnsupported(layout);
    // What is only looked at is left as it is.
    const opening = options.dryRun === true ? ({ checkpoint: false } as const) : {};
    const store = await Store.open<Known>(path, { ...opening, events, lockWaitMs, disk: options.disk, clock });
    return await compactAndClose(store, rules);
  } catch (error) {
    throw asStoreError("compact", path, error);
  }
}

async function compactAndClose<Known extends readonly AnyDefinition[]>(
  store: Store<Known>,
  rules: CompactOptions<Known>,
): Promise<CompactReport> {
  let report: CompactReport;
  try {
    report = await store.compact(rules);
  } catch (error) {
    await store.close().catch(() => {});
    throw error;
  }
  await store.close();
  return report;
}
