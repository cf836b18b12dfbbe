/**
 * One writer per directory, across processes, runtimes and crashes.
 *
 * A writer holds a kernel lock on the file `lock`, which dies with its process, *and* its name stands in that file. A runtime that has no
 * kernel locks relies on the name alone; so a writer with a kernel lock gives way to a living name as well. The name must therefore be
 * entered without a race, also between two runtimes without kernel locks. For that, who wants to enter its name claims first:
 *
 *   opened ──kernel lock taken, or unsupported──> claimed ──no living claim beside it, then no living name──> named = held
 *      └─────────── LOCKED: the kernel lock is another's, or a lower claim or a name lives ───────────┘
 *
 * Invariants:
 * 1. A claim is a file that only its process makes, made before looking for others' and removed only once the name is entered or the
 *    attempt given up. Looking means: first the claims, then the name.
 * 2. So of two that try at once at most one gets it. Say A claimed before B. If B, looking, finds no claim of A, then A has removed it,
 *    so A's name was entered before B read it. (If A gave up, there is nothing to protect.)
 * 3. At least one gets it: of two that see each other's claims the one whose name sorts higher gives up, the lower waits for that.
 * 4. A claim or a name of a process that is dead, a zombie or of another boot counts for nothing. Its claims are removed in passing:
 *    their names hold pid, start time and boot, so nobody else's claim can ever have the same.
 * 5. Who holds the kernel lock may ignore what names its own process: other openers of this process would need the kernel lock too, so
 *    that is the leftover of a thread that was ended. Without kernel locks a name or a claim of this very process counts as long as the
 *    process has another file of the directory open for writing, or the disk cannot tell: whoever claims or holds has the lock file open,
 *    from before until after. So what a program left that was run anew in its process (`bun --watch`, `deno run --watch`) counts for nothing.
 * 6. Releasing empties the record first, then lets go of the kernel lock. The lock file is never removed: a lock on a removed file
 *    excludes nobody.
 *
 * A crash leaves a name and perhaps a claim of a dead process: see 4. Nothing here needs to be durable. What this does not protect
 * against: someone removing the lock file under a living writer; two machines, or two process namespaces without kernel locks, that share
 * a directory; on systems without start times (not Linux), a dead holder's number that another program has taken looks alive.
 */
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import type { Clock } from "../base/clock.ts";
import { StoreError } from "../base/store-error.ts";
import type { Disk, DiskFile, KernelLock, ProcessIdentity } from "./disk.ts";
import { ioError } from "./io-error.ts";
import {
  claimName,
  decodeLockRecord,
  encodeLockRecord,
  isSameProcess,
  LOCK_RECORD_BYTES,
  type LockHolder,
  parseClaimName,
} from "./lock-record.ts";
import { errorCode } from "./system-error.ts";

/** The lock file's name within its directory. Names that begin with it and a dot are claims: not a store's, never to be listed as its files. */
export const LOCK_FILE_NAME = "lock";

/** Between looks at a lock that another holds. */
const POLL_MS = 20;
/** A claim lives for a few system calls: looked at more often, and for this many times even when the opener will not wait. */
const CLAIM_POLL_MS = 2;
const CLAIM_POLLS_MAX = 100;
const CREATE_ATTEMPTS_MAX = 100;

export interface DirectoryLock {
  /** Lets others in. Idempotent. Rejects with `IO` when the record could not be emptied; the kernel lock is gone all the same. */
  release(): Promise<void>;
}

export interface DirectoryLockOptions {
  /** How long to wait for another holder to let go, in milliseconds. 0: not at all. */
  readonly waitMs: number;
  readonly clock: Clock;
  /** Gives up waiting: rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Takes the directory for writing.
 *
 * @throws StoreError `LOCKED` while another holder lives, in this process or another; `IO` when the lock file cannot be used.
 * @example
 * const lock = await acquireDirectoryLock(disk, directory, { waitMs: 0, clock: systemClock });
 * try { … } finally { await lock.release(); }
 */
export async function acquireDirectoryLock(disk: Disk, directory: string, options: DirectoryLockOptions): Promise<DirectoryLock> {
  return await outlast(disk, directory, options, () => attempt(disk, directory, options));
}

/**
 * Waits until nobody has the directory for writing. Takes no lock and changes nothing: somebody may take it right behind that.
 *
 * @throws StoreError `LOCKED` while a holder lives; `IO` when the lock file cannot be read.
 */
export async function outlastHolder(disk: Disk, directory: string, options: DirectoryLockOptions): Promise<void> {
  await outlast(disk, directory, options, async () => {
    const holder = await readLockHolder(disk, directory);
    return holder === null ? { lock: "none" as const } : { lock: null, heldBy: holder.identity, since: holder.since };
  });
}

/** Asks again until there is an answer or it has waited long enough. */
async function outlast<Lock>(
  disk: Disk,
  directory: string,
  options: DirectoryLockOptions,
  ask: () => Promise<Outcome<Lock>>,
): Promise<Lock> {
  const deadlineMs = options.clock.monotonicMs() + options.waitMs;
  // Time asleep counts as well, so that a clock that stands still cannot make this wait for ever.
  let sleptMs = 0;
  for (;;) {
    options.signal?.throwIfAborted();
    const outcome = await ask();
    if (!("heldBy" in outcome)) return outcome.lock;
    const remainingMs = Math.min(deadlineMs - options.clock.monotonicMs(), options.waitMs - sleptMs);
    if (!(remainingMs > 0)) throw lockedError(disk, directory, outcome.heldBy, outcome.since);
    const pauseMs = Math.min(POLL_MS, Math.ceil(remainingMs));
    await pause(pauseMs, options.signal);
    sleptMs += pauseMs;
  }
}

/** Who has the directory for writing: a holder that lives, or null. Takes no lock and changes nothing. A garbled lock file names nobody. */
export async function readLockHolder(disk: Disk, directory: string): Promise<LockHolder | null> {
  const path = join(directory, LOCK_FILE_NAME);
  try {
    if ((await disk.status(path))?.type !== "file") return null;
    const file = await disk.open(path, "read");
    try {
      const holder = readRecord(file);
      return holder !== null && disk.isAlive(holder.identity) ? holder : null;
    } finally {
      await file.close();
    }
  } catch (error) {
    if (errorCode(error) === "ENOENT") return null;
    throw error instanceof StoreError ? error : ioError("read lock file", path, error);
  }
}

type Outcome<Lock = DirectoryLock> =
  | { readonly lock: Lock }
  | { readonly lock: null; readonly heldBy: ProcessIdentity | null; readonly since: Date | null };

async function attempt(disk: Disk, directory: string, options: DirectoryLockOptions): Promise<Outcome> {
  const path = join(directory, LOCK_FILE_NAME);
  let file: DiskFile | null = null;
  let kernelLock: KernelLock | null | "unsupported" = null;
  let held = false;
  try {
    file = await openLockFile(disk, path);
    kernelLock = await disk.lock(file);
    if (kernelLock === null) return await describeHolder(disk, directory, file);
    const outcome = await claimAndEnter(disk, directory, file, kernelLock, options);
    held = outcome.lock !== null;
    return outcome;
  } catch (error) {
    if (error instanceof StoreError || (options.signal?.aborted === true && error === options.signal.reason)) throw error;
    throw ioError("lock", path, error);
  } finally {
    if (!held && kernelLock !== null && kernelLock !== "unsupported") await kernelLock.release().catch(() => {});
    if (!held) await file?.close().catch(() => {});
  }
}

async function openLockFile(disk: Disk, path: string): Promise<DiskFile> {
  for (let tries = 0; ; tries += 1) {
    const status = await disk.status(path);
    if (status !== null && status.type !== "file") {
      const what = status.type === "symlink" ? "a symbolic link" : status.type === "directory" ? "a directory" : "no regular file";
      throw new StoreError("IO", `Cannot lock "${path}": it is ${what}, and the lock file must be a regular file`, {
        operation: "lock",
        path,
      });
    }
    try {
      return await disk.open(path, status === null ? "create" : "write");
    } catch (error) {
      const code = errorCode(error);
      // Another opener was quicker, either way.
      if ((code !== "EEXIST" && code !== "ENOENT") || tries === CREATE_ATTEMPTS_MAX) throw error;
      if (code === "ENOENT" && status === null) throw error;
    }
  }
}

function readRecord(file: DiskFile): LockHolder | null {
  const bytes = new Uint8Array(LOCK_RECORD_BYTES);
  const count = file.readSync(bytes, 0, bytes.length, 0);
  return decodeLockRecord(bytes.subarray(0, count));
}

/** Whom to name when the kernel lock is another's: the record, or while that is not yet entered, a claim. */
async function describeHolder(disk: Disk, directory: string, file: DiskFile): Promise<Outcome> {
  const record = readRecord(file);
  if (record !== null && disk.isAlive(record.identity)) return { lock: null, heldBy: record.identity, since: record.since };
  const claims = await livingClaims(disk, directory, null);
  return { lock: null, heldBy: claims[0]?.identity ?? null, since: null };
}

interface Claim {
  readonly name: string;
  readonly identity: ProcessIdentity;
}

/** The claims of living processes but `own`, in order of name. With `own`, removes those of the dead. */
async function livingClaims(disk: Disk, directory: string, own: string | null): Promise<Claim[]> {
  const living: Claim[] = [];
  for (const name of await disk.list(directory)) {
    const identity = name === own ? null : parseClaimName(name);
    if (identity === null) continue;
    if (disk.isAlive(identity)) living.push({ name, identity });
    else if (own !== null) await disk.remove(join(directory, name)).catch(() => {});
  }
  return living.sort((one, other) => (one.name < other.name ? -1 : 1));
}

async function claimAndEnter(
  disk: Disk,
  directory: string,
  file: DiskFile,
  kernelLock: KernelLock | "unsupported",
  options: DirectoryLockOptions,
): Promise<Outcome> {
  // One is the lock file that is open here.
  const othersOpen = (): boolean => (disk.openForWriting?.(directory) ?? 2) > 1;
  const counts = (identity: ProcessIdentity): boolean =>
    !isSameProcess(identity, disk.self) || (kernelLock === "unsupported" && othersOpen());
  const own = await makeClaim(disk, directory);
  try {
    const rival = await outlastClaims(disk, directory, own, counts, options.signal);
    if (rival !== null) return { lock: null, heldBy: rival, since: null };
    const record = readRecord(file);
    if (record !== null && disk.isAlive(record.identity) && counts(record.identity)) {
      return { lock: null, heldBy: record.identity, since: record.since };
    }
    await enterName(file, { identity: disk.self, since: new Date(Math.floor(options.clock.nowMicros() / 1000)) });
  } finally {
    await disk.remove(join(directory, own)).catch(() => {});
  }
  return { lock: holdUntilReleased(directory, file, kernelLock) };
}

async function makeClaim(disk: Disk, directory: string): Promise<string> {
  for (let tries = 0; ; tries += 1) {
    const name = claimName(disk.self, tries);
    try {
      const file = await disk.open(join(directory, name), "create");
      await file.close();
      return name;
    } catch (error) {
      if (errorCode(error) !== "EEXIST" || tries === CREATE_ATTEMPTS_MAX) throw error;
    }
  }
}

/** Waits until no living claim stands beside `own`: null then; else whom to give way to. */
async function outlastClaims(
  disk: Disk,
  directory: string,
  own: string,
  counts: (identity: ProcessIdentity) => boolean,
  signal: AbortSignal | undefined,
): Promise<ProcessIdentity | null> {
  for (let polls = 0; ; polls += 1) {
    const others = (await livingClaims(disk, directory, own)).filter((claim) => counts(claim.identity));
    const lowest = others[0];
    if (lowest === undefined) return null;
    if (lowest.name < own || polls === CLAIM_POLLS_MAX) return lowest.identity;
    await pause(CLAIM_POLL_MS, signal);
  }
}

async function enterName(file: DiskFile, holder: LockHolder): Promise<void> {
  // What a foreign file may hold beyond a record must not make the new one unreadable.
  if (file.sizeSync() > LOCK_RECORD_BYTES) await file.truncate(0);
  try {
    await file.write(encodeLockRecord(holder), 0, LOCK_RECORD_BYTES, 0, false);
  } catch (error) {
    await file.truncate(0).catch(() => {});
    throw error;
  }
}

function holdUntilReleased(directory: string, file: DiskFile, kernelLock: KernelLock | "unsupported"): DirectoryLock {
  let released: Promise<void> | null = null;
  const release = async (): Promise<void> => {
    try {
      await file.truncate(0);
    } catch (error) {
      throw ioError("empty lock file", join(directory, LOCK_FILE_NAME), error);
    } finally {
      if (kernelLock !== "unsupported") await kernelLock.release().catch(() => {});
      await file.close().catch(() => {});
    }
  };
  return {
    release() {
      released ??= release();
      return released;
    },
  };
}

function lockedError(disk: Disk, directory: string, holder: ProcessIdentity | null, since: Date | null): StoreError<"LOCKED"> {
  const sameProcess = holder !== null && isSameProcess(holder, disk.self);
  const sinceText = since === null ? "" : ` since ${since.toISOString()}`;
  const what = sameProcess
    ? `this process (${holder.pid}) has it open already${sinceText}; close that store first or share it`
    : `${holder === null ? "another process" : `process ${holder.pid}`} has it open${sinceText}; wait for it with lockWaitMs, end it, or open with readOnly`;
  const doubt =
    holder !== null && !sameProcess && holder.startTime === ""
      ? `. If that is no process of this store, remove "${join(directory, LOCK_FILE_NAME)}"`
      : "";
  return new StoreError("LOCKED", `Cannot open "${directory}" for writing: ${what}${doubt}`, {
    pid: holder?.pid ?? null,
    since,
    sameProcess,
  });
}

async function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  try {
    await setTimeout(ms, undefined, signal === undefined ? {} : { signal });
  } catch (error) {
    // The timer rejects with an error of its own; callers expect the signal's reason.
    signal?.throwIfAborted();
    throw error;
  }
}
