/**
 * What the store asks of a file system, in a dozen verbs. `node-disk` is the real one; tests and `openMemoryStore` bring their own.
 *
 * Rules that every implementation keeps:
 * 1. Paths are absolute or relative strings joined by the caller with `node:path`; a disk never interprets names.
 * 2. Errors are Node's own system errors (an `Error` with `code` such as "ENOENT", "ENOSPC", "EACCES", "EEXIST", "EIO").
 * 3. `write` and `writeSync` write all bytes or throw: short writes are continued inside.
 * 4. The caller owns the buffers it passes and must not change them until the promise settles.
 * 5. Nothing is durable before `sync` (or a `write` with `durable: true`) has resolved, and a new, renamed or removed name only after
 *    `syncDirectory` on its directory has. A durable write does not resolve where a sync beside it has failed
 *    that may have dropped its bytes.
 */

import { assertPart } from "../base/arguments.ts";

export type FileMode =
  /** Reading an existing file. */
  | "read"
  /** Reading and writing an existing file. */
  | "write"
  /** Reading and writing a file that must not exist yet (fails with EEXIST, also on a symbolic link). Mode 0600. */
  | "create";

/** An open file. Positions, lengths and sizes are bytes. */
export interface DiskFile {
  /** Reads up to `length` bytes at `position` into `target` at `offset`; resolves with the count, less only at the end of the file. */
  read(target: Uint8Array, offset: number, length: number, position: number): Promise<number>;
  /** The same, blocking: about a microsecond when the page cache has it. */
  readSync(target: Uint8Array, offset: number, length: number, position: number): number;
  /** Writes all bytes of `source[offset, offset + length)` at `position`. With `durable`, resolves only when these bytes are on stable storage. */
  write(source: Uint8Array, offset: number, length: number, position: number, durable: boolean): Promise<void>;
  /** Blocking write to the page cache, for a few bytes. */
  writeSync(source: Uint8Array, offset: number, length: number, position: number): void;
  /** Resolves when everything written to this file is on stable storage (fdatasync). */
  sync(): Promise<void>;
  /** Sets the size in bytes; growing fills with zeros. Not durable until `sync`. */
  truncate(size: number): Promise<void>;
  /** The size in bytes. */
  size(): Promise<number>;
  sizeSync(): number;
  /** Idempotent. */
  close(): Promise<void>;
  /** The same, blocking. */
  closeSync(): void;
}

export interface EntryStatus {
  /** Symbolic links are not followed. */
  readonly type: "file" | "directory" | "symlink" | "other";
  readonly size: number;
}

/** Names a process so that its number, used again by another, is not mistaken for it. */
export interface ProcessIdentity {
  readonly pid: number;
  /** Clock ticks since boot at which it began, as text; empty where unknown. */
  readonly startTime: string;
  /** The kernel's boot id, as text; empty where unknown. */
  readonly bootId: string;
}

/** A kernel lock held on a file; it dies with the process. */
export interface KernelLock {
  release(): Promise<void>;
}

/** What a store reads and writes by. `diskContract` of `batpak/testing` checks one of your own. */
export interface Disk {
  open(path: string, mode: FileMode): Promise<DiskFile>;
  /** Opens an existing file for reading, blocking: for lookups that must stay synchronous. */
  openSync(path: string): DiskFile;
  /** Names in a directory, in no order; rejects with ENOENT when there is none. */
  list(path: string): Promise<string[]>;
  /** The entry's status, symbolic links not followed; null when there is none. */
  status(path: string): Promise<EntryStatus | null>;
  /**
   * Makes the directory and its parents (mode 0700); none of them need be missing. Syncs the parent of each directory that it made, and that
   * of the deepest one found: an earlier call may have been killed before it did.
   */
  makeDirectory(path: string): Promise<void>;
  /** Renames, replacing what was there. */
  rename(from: string, to: string): Promise<void>;
  /** A second name for a file (a hard link); rejects with EEXIST when `to` exists. */
  link(from: string, to: string): Promise<void>;
  remove(path: string): Promise<void>;
  /** Makes the names in a directory durable. */
  syncDirectory(path: string): Promise<void>;
  /**
   * Calls `changed` after writes to this file, of this process or another: each at least once, several perhaps together. `isGone`: the file is no longer
   * watched, as where it was removed or replaced. Does not keep the process alive. Gives a function that ends it; null where the file system does not
   * tell. Without this verb nothing is told of.
   */
  watch?(path: string, changed: (isGone: boolean) => void): (() => void) | null;
  /** The same path without symbolic links in it; rejects with ENOENT when nothing is there. A disk that has no links leaves this verb out. */
  realPath?(path: string): Promise<string>;
  /** Takes an exclusive kernel lock on an open file: null when another holder has it, "unsupported" where the runtime has no way. */
  lock(file: DiskFile): Promise<KernelLock | null | "unsupported">;
  /** This process, as the lock file names it. */
  readonly self: ProcessIdentity;
  /** Whether the process so named still runs. A zombie does not, once all its threads have ended; one of another boot does not. */
  isAlive(identity: ProcessIdentity): boolean;
  /**
   * How many files in the directory this process has open for writing, all its threads together; null where that cannot be told. Asked where there are no
   * kernel locks: a program that is run anew in its process finds its own name in the lock file. Without this verb such a name counts as held.
   */
  openForWriting?(directory: string): number | null;
}

/** Those that every disk has. */
const DISK_FUNCTIONS = [
  "open",
  "openSync",
  "list",
  "status",
  "makeDirectory",
  "rename",
  "link",
  "remove",
  "syncDirectory",
  "lock",
  "isAlive",
] satisfies (keyof Disk)[];

/** A disk, or none. Throws TypeError `INVALID_ARGUMENT`. */
export function assertDisk(disk: unknown, operation: string): asserts disk is Disk | undefined {
  assertPart(disk, DISK_FUNCTIONS, "disk", operation);
}
