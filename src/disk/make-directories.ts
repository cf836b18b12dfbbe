/**
 * Making a directory with its parents so that the names are durable, on any disk.
 *
 * Invariant: when this resolves, every directory on the way that this library made is durable under its name, also one that an earlier
 * call made and was killed before syncing. Directories are made from the top, each synced into its parent before the next is made, so
 * only the deepest one found can be in that state: its parent is synced as well, though nothing was made there now.
 */
import { dirname } from "node:path";
import { errorCode } from "./system-error.ts";

export interface DirectoryVerbs {
  /** Makes one directory: true when made, false when it was there. Rejects with ENOENT without a parent, with EEXIST when a file has the name. */
  makeOne(path: string): Promise<boolean>;
  syncDirectory(path: string): Promise<void>;
}

/** A directory that we did not make may lie in one that we may not open, or that has no way of being synced. */
const foreignParentCodes = new Set(["EACCES", "EPERM", "EROFS", "EINVAL", "ENOTSUP", "EOPNOTSUPP"]);

export async function makeDirectories(path: string, verbs: DirectoryVerbs): Promise<void> {
  const parent = dirname(path);
  let made: boolean;
  let parentFound = false;
  try {
    made = await verbs.makeOne(path);
    parentFound = made;
  } catch (error) {
    if (errorCode(error) !== "ENOENT" || parent === path) throw error;
    await makeDirectories(parent, verbs);
    made = await verbs.makeOne(path);
  }
  if (parent === path) return;
  try {
    await verbs.syncDirectory(parent);
  } catch (error) {
    if (made || !foreignParentCodes.has(errorCode(error) ?? "")) throw error;
  }
  // The deepest one that was found may be the work of a call that was killed before it synced.
  const above = dirname(parent);
  if (!parentFound || above === parent) return;
  try {
    await verbs.syncDirectory(above);
  } catch (error) {
    if (!foreignParentCodes.has(errorCode(error) ?? "")) throw error;
  }
}
