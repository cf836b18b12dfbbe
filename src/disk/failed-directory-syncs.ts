/**
 * The disk of an open store, on which no sync of the store's directory succeeds once one has failed.
 *
 * A checkpoint, a consumer's folder, an index block may fail, and the store goes on. But the directory sync that failed there may have covered the
 * name of a new segment, or of a merged one, that was being made beside it, and a system may tell a failure once and drop what it could not write:
 * then the segment's own sync succeeds, and nothing acknowledged in it outlasts a power cut. So whoever needs a name after that fails as well.
 */
import { dirname, resolve } from "node:path";
import { delegateTo } from "./delegate-disk.ts";
import type { Disk } from "./disk.ts";

/** Calls that fail before anything is synced. */
const SYNCED_NOTHING: ReadonlySet<unknown> = new Set(["mkdir", "makeDirectory", "open"]);

/** The same disk; a failed sync of `directory` is remembered as long as what is given is used. */
export function rememberFailedSyncs(disk: Disk, directory: string): Disk {
  let failure: { readonly error: unknown } | null = null;
  const throwFailure = (): void => {
    if (failure !== null) throw failure.error;
  };
  const sync = async (syncing: () => Promise<void>): Promise<void> => {
    throwFailure();
    try {
      await syncing();
    } catch (error) {
      if (!SYNCED_NOTHING.has((error as { readonly syscall?: unknown } | null)?.syscall)) failure ??= { error };
      throw error;
    }
    // One beside it has failed meanwhile.
    throwFailure();
  };
  const isIt = (path: string): boolean => resolve(path) === resolve(directory);
  return Object.assign(delegateTo(disk), {
    // It syncs the parent, and the one above.
    makeDirectory: (path: string) =>
      isIt(dirname(path)) || isIt(dirname(dirname(path))) ? sync(() => disk.makeDirectory(path)) : disk.makeDirectory(path),
    syncDirectory: (path: string) => (isIt(path) ? sync(() => disk.syncDirectory(path)) : disk.syncDirectory(path)),
  });
}
