/**
 * The directory in which a conversion makes its store: `TARGET.converting`, held from before its first file until it has the target's name.
 *
 * Invariants:
 * 1. Nothing is removed but what an interrupted conversion left. That has `conversion.unfinished`, which is there for good before anything else is,
 *    and goes once the store has its name for good. A finished store has `conversion.jsonl` as well as what is left of one that was cut off.
 * 2. It is a directory of its own: no link to another, and apart from the source.
 * 3. Who makes a store in it holds its lock, so two conversions to one target neither write nor clear beside each other.
 */
import { join } from "node:path";
import { systemClock } from "./base/clock.ts";
import { invalidArgument, StoreError } from "./base/store-error.ts";
import { delegateTo } from "./disk/delegate-disk.ts";
import { acquireDirectoryLock, type DirectoryLock, LOCK_FILE_NAME } from "./disk/directory-lock.ts";
import type { Disk } from "./disk/disk.ts";
import { isSameProcess, parseClaimName } from "./disk/lock-record.ts";
import { isTemporaryName, replaceFile } from "./disk/replace-file.ts";
import { leadsInto, UNFINISHED_FILE } from "./open-directory.ts";

/** For whoever comes upon it. */
const UNFINISHED = Buffer.from(
  "A conversion makes a store here. Where it was cut off, the next one to the same target clears this directory.\n",
);

export interface WorkDirectory {
  readonly path: string;
  readonly lock: DirectoryLock;
}

/** Takes the directory for a conversion of `source` to `target`, empty but for its lock. */
export async function takeWorkDirectory(disk: Disk, source: string, target: string): Promise<WorkDirectory> {
  const path = `${target}.converting`;
  if ((await leadsInto(disk, source, path)) || (await leadsInto(disk, path, source))) {
    throw invalidArgument(`Cannot convert: the new store is made in ${path}, where the source is; take another target`);
  }
  const status = await disk.status(path);
  if (status === null) await disk.makeDirectory(path);
  else if (status.type !== "directory") throw notOurs(path, `is a ${status.type}`, "ENOTDIR");
  // Before anything is made in it.
  await namesLeft(disk, path);
  const lock = await acquireDirectoryLock(disk, path, { waitMs: 0, clock: systemClock });
  try {
    const names = await namesLeft(disk, path);
    for (const name of names) if (name !== UNFINISHED_FILE) await disk.remove(join(path, name));
    if (!names.includes(UNFINISHED_FILE)) await replaceFile(disk, path, UNFINISHED_FILE, UNFINISHED);
    return { path, lock };
  } catch (error) {
    await lock.release().catch(() => {});
    throw error;
  }
}

/** What an interrupted conversion left. */
async function namesLeft(disk: Disk, path: string): Promise<string[]> {
  const names = (await disk.list(path)).filter((name) => name !== LOCK_FILE_NAME && parseClaimName(name) === null);
  const foreign = names.find((name) => !isTemporaryName(name));
  if (foreign === undefined || names.includes(UNFINISHED_FILE)) return names;
  throw notOurs(path, `has ${foreign}, which no conversion left there`, "ENOTEMPTY");
}

function notOurs(path: string, what: string, errno: string): StoreError<"IO"> {
  const message = `Cannot convert: the new store would be made in ${path}, which ${what}; move that away, or take another target`;
  return new StoreError("IO", message, { operation: "convert", path, errno });
}

/** The disk as others see it: where this process writes, they would take its word for what is there. */
export function withoutOwnLocks(disk: Disk): Disk {
  const isAlive: Disk["isAlive"] = (identity) => !isSameProcess(identity, disk.self) && disk.isAlive(identity);
  return Object.assign(delegateTo(disk), { isAlive });
}
