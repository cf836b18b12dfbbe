/**
 * The real disk, and the only file of this package that imports `node:fs`.
 *
 * Invariants:
 * 1. A file descriptor is closed only when no call on it is in flight: a late write must never land in a file that got its number.
 * 2. A durable write goes through a second descriptor opened `O_DSYNC` on the very same file (Linux, up to 1 MiB), or is followed by
 *    `fdatasync`. `O_DSYNC` syncs only the bytes of its own writes.
 * 3. A sync is never tried again: the kernel may have dropped what it could not write, and would then report success. Nor does one beside it succeed
 *    (`descriptor-syncs.ts`).
 * 4. Short reads and writes are continued; EINTR and EAGAIN on them are tried again.
 *
 * The callback functions of `node:fs` are wrapped by hand: one promise per call, which a synced append pays for. Looking at an entry, opening a
 * file that is there, its size, and closing one that was not changed and has a name or is small, are done at once: they take 2 to 10 µs, of the main thread as well, where the
 * way to the thread pool and back takes 50 to 100 and costs the main thread more than the call itself (docs/decisions/0023).
 */
import * as fs from "node:fs";
import { assert } from "../base/assert.ts";
import { DescriptorSyncs } from "./descriptor-syncs.ts";
import type { Disk, DiskFile, EntryStatus, FileMode, KernelLock, ProcessIdentity } from "./disk.ts";
import { loadLockAddon } from "./lock-addon.ts";
import { makeDirectories } from "./make-directories.ts";
import { LateClosing } from "./late-closing.ts";
import { countOpenForWriting } from "./open-descriptors.ts";
import { identifySelf, isProcessAlive } from "./process-identity.ts";
import { errorCode, systemError } from "./system-error.ts";

const FILE_MODE = 0o600;
const DIRECTORY_MODE = 0o700;
/** Beyond this a plain write and one fdatasync cost less than a synchronous write. */
const SYNCHRONOUS_WRITE_BYTES_MAX = 1 << 20;
/** The space of a file without a name that is no larger is given back at once: 0.2 ms. Its descriptor is free then, and the way to the thread pool costs more for most. */
const SMALL_FILE_BYTES = 1 << 20;
const RETRIES_MAX = 1000;

export interface NodeDiskOptions {
  /** Whether durable writes may use `O_DSYNC`. Default: on Linux. */
  readonly synchronousWrites?: boolean;
}

/**
 * A disk on the machine's file systems. Stateless but for what it remembers of this process.
 *
 * @example
 * const disk = createNodeDisk();
 * const file = await disk.open("/var/lib/app/000001.fbat", "write");
 */
export function createNodeDisk(options: NodeDiskOptions = {}): Disk {
  const synchronousWrites = options.synchronousWrites ?? process.platform === "linux";
  let self: ProcessIdentity | null = null;
  return {
    open: async (path, mode) => {
      // Making a file may wait for the file system's journal.
      const descriptor = mode === "create" ? await openDescriptor(path, OPEN_FLAGS.create) : openAtOnce(path, OPEN_FLAGS[mode]);
      return new NodeFile(descriptor, path, synchronousWrites && mode !== "read");
    },
    openSync: (path) => new NodeFile(openAtOnce(path, OPEN_FLAGS.read), path, false),
    list: (path) => answered<string[]>((done) => fs.readdir(path, done)),
    status: statusOf,
    makeDirectory: (path) => makeDirectories(path, { makeOne: makeOneDirectory, syncDirectory }),
    rename: (from, to) => settle((done) => fs.rename(from, to, done)),
    link: (from, to) => settle((done) => fs.link(from, to, done)),
    remove: (path) => settle((done) => fs.unlink(path, done)),
    syncDirectory,
    realPath: async (path) => fs.realpathSync.native(path),
    watch: watchFile,
    lock: lockFile,
    get self() {
      self ??= identifySelf(readText);
      return self;
    },
    isAlive: (identity) => isProcessAlive(identity, readText),
    openForWriting: (directory) => (process.platform === "linux" ? countOpenForWriting(directory, descriptorSource) : null),
  };
}

/** The disk that stores use unless they are given another. */
export const nodeDisk: Disk = createNodeDisk();

type Done = (error: NodeJS.ErrnoException | null) => void;

/** A pipe in a file's place would hold up the event loop until somebody writes to it. Nothing else heeds it. */
const NO_WAIT = fs.constants.O_NONBLOCK ?? 0;

const OPEN_FLAGS: Record<FileMode, number> = {
  read: fs.constants.O_RDONLY | NO_WAIT,
  write: fs.constants.O_RDWR | NO_WAIT,
  create: fs.constants.O_RDWR | fs.constants.O_CREAT | fs.constants.O_EXCL,
};

function settle(start: (done: Done) => void): Promise<void> {
  return new Promise((resolve, reject) => start((error) => (error ? reject(error) : resolve())));
}

/** Of this process. */
const lateClosing = new LateClosing(
  (descriptor, done) => fs.close(descriptor, (error) => done(error ?? null)),
  (descriptor) => fs.closeSync(descriptor),
);

function openAtOnce(path: string, flags: number): number {
  return lateClosing.atOnce(() => fs.openSync(path, flags));
}

function openDescriptor(path: string, flags: number): Promise<number> {
  return answered((done) => fs.open(path, flags, FILE_MODE, done));
}

/** What a call answers that takes a descriptor. */
function answered<Result>(start: (done: (error: Error | null, result: Result) => void) => void): Promise<Result> {
  return lateClosing.later(
    () => new Promise((resolve, reject) => start((error, result) => (error === null ? resolve(result) : reject(error)))),
  );
}

function mayRetry(error: unknown, attempt: number): boolean {
  const code = errorCode(error);
  return (code === "EINTR" || code === "EAGAIN") && attempt < RETRIES_MAX;
}

/** Windows reports the end of the file as an error of its own. */
function isEndOfFile(error: unknown): boolean {
  return errorCode(error) === "EOF";
}

function readFully(
  descriptor: number,
  target: Uint8Array,
  offset: number,
  length: number,
  position: number,
  done: (error: Error | null, count: number) => void,
): void {
  let count = 0;
  let attempt = 0;
  const step = (error: NodeJS.ErrnoException | null, bytesRead: number): void => {
    if (error !== null) {
      if (isEndOfFile(error)) return done(null, count);
      if (!mayRetry(error, attempt++)) return done(error, count);
    } else {
      count += bytesRead;
      if (bytesRead === 0 || count === length) return done(null, count);
    }
    fs.read(descriptor, target, offset + count, length - count, position + count, step);
  };
  fs.read(descriptor, target, offset, length, position, step);
}

function writeFully(descriptor: number, source: Uint8Array, offset: number, length: number, position: number, done: Done): void {
  let count = 0;
  let attempt = 0;
  const step: (error: NodeJS.ErrnoException | null, bytesWritten: number) => void = (error, bytesWritten) => {
    if (error !== null) {
      if (!mayRetry(error, attempt++)) return done(error);
    } else {
      count += bytesWritten;
      if (count === length) return done(null);
      if (bytesWritten === 0) return done(systemError("EIO", "write"));
    }
    fs.write(descriptor, source, offset + count, length - count, position + count, step);
  };
  fs.write(descriptor, source, offset, length, position, step);
}

/**
 * One open file.
 *
 *   open ──close()──> closing ──last call in flight ends──> closed
 */
class NodeFile implements DiskFile {
  readonly #path: string;
  readonly #descriptor: number;
  /** The `O_DSYNC` descriptor; `undefined` before the first durable write, null where there can be none. */
  #durableDescriptor: number | null | undefined;
  readonly #syncs = new DescriptorSyncs(() => settle((done) => fs.fdatasync(this.#descriptor, done)));
  #callsInFlight = 0;
  /** Whether anything was written, or cut: closing may have to wait for it, on some file systems. */
  #isChanged = false;
  #closing: Promise<void> | null = null;
  #drained: (() => void) | null = null;

  constructor(descriptor: number, path: string, synchronousWrites: boolean) {
    this.#descriptor = descriptor;
    this.#path = path;
    this.#durableDescriptor = synchronousWrites ? undefined : null;
  }

  /** The descriptor, for a kernel lock; null once closed. */
  get descriptor(): number | null {
    return this.#closing === null ? this.#descriptor : null;
  }

  read(target: Uint8Array, offset: number, length: number, position: number): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#begin("read");
      try {
        readFully(this.#descriptor, target, offset, length, position, (error, count) => {
          this.#end();
          if (error === null) resolve(count);
          else reject(error);
        });
      } catch (error) {
        this.#end();
        throw error;
      }
    });
  }

  readSync(target: Uint8Array, offset: number, length: number, position: number): number {
    if (this.#closing !== null) throw systemError("EBADF", "read", this.#path);
    let count = 0;
    for (let attempt = 0; count < length; ) {
      try {
        const bytesRead = fs.readSync(this.#descriptor, target, offset + count, length - count, position + count);
        if (bytesRead === 0) break;
        count += bytesRead;
      } catch (error) {
        if (isEndOfFile(error)) break;
        if (!mayRetry(error, attempt++)) throw error;
      }
    }
    return count;
  }

  write(source: Uint8Array, offset: number, length: number, position: number, durable: boolean): Promise<void> {
    this.#isChanged = true;
    if (!durable) return this.#call("write", (done) => writeFully(this.#descriptor, source, offset, length, position, done));
    const durableDescriptor = length <= SYNCHRONOUS_WRITE_BYTES_MAX ? this.#openDurably() : null;
    if (durableDescriptor !== null) {
      return this.#call("write", (done) => writeFully(durableDescriptor, source, offset, length, position, done));
    }
    return this.#call("write", (done) =>
      writeFully(this.#descriptor, source, offset, length, position, (error) => (error === null ? this.#syncs.run(done) : done(error))),
    );
  }

  writeSync(source: Uint8Array, offset: number, length: number, position: number): void {
    if (this.#closing !== null) throw systemError("EBADF", "write", this.#path);
    this.#isChanged = true;
    let count = 0;
    for (let attempt = 0; count < length; ) {
      try {
        const bytesWritten = fs.writeSync(this.#descriptor, source, offset + count, length - count, position + count);
        if (bytesWritten === 0) throw systemError("EIO", "write", this.#path);
        count += bytesWritten;
      } catch (error) {
        if (!mayRetry(error, attempt++)) throw error;
      }
    }
  }

  sync(): Promise<void> {
    return this.#call("fdatasync", (done) => this.#syncs.run(done));
  }

  truncate(size: number): Promise<void> {
    this.#isChanged = true;
    return this.#call("ftruncate", (done) => fs.ftruncate(this.#descriptor, size, done));
  }

  async size(): Promise<number> {
    return this.sizeSync();
  }

  sizeSync(): number {
    if (this.#closing !== null) throw systemError("EBADF", "fstat", this.#path);
    return fs.fstatSync(this.#descriptor).size;
  }

  close(): Promise<void> {
    this.#closing ??= !this.#isChanged && this.#callsInFlight === 0 && !this.#isSlowToClose() ? this.#closeAtOnce() : this.#closeWhenIdle();
    return this.#closing;
  }

  /** Whether it was removed or replaced, and is large: closing it may give its space back, tens of milliseconds for some hundred MB. */
  #isSlowToClose(): boolean {
    try {
      const { nlink, size } = fs.fstatSync(this.#descriptor);
      return nlink === 0 && size > SMALL_FILE_BYTES;
    } catch {
      return false;
    }
  }

  async #closeAtOnce(): Promise<void> {
    fs.closeSync(this.#descriptor);
  }

  closeSync(): void {
    if (this.#closing !== null) return;
    if (this.#callsInFlight > 0 || this.#isSlowToClose()) {
      // A descriptor in use cannot be closed under its call, and one without a name is nobody's any more; nobody is left to hear of an error.
      this.close().catch(() => {});
      return;
    }
    this.#closing = Promise.resolve();
    const durableDescriptor = this.#durableDescriptor;
    try {
      if (typeof durableDescriptor === "number") fs.closeSync(durableDescriptor);
    } finally {
      fs.closeSync(this.#descriptor);
    }
  }

  async #closeWhenIdle(): Promise<void> {
    if (this.#callsInFlight > 0) {
      await new Promise<void>((resolve) => {
        this.#drained = resolve;
      });
    }
    const durableDescriptor = this.#durableDescriptor;
    const isDurable = typeof durableDescriptor === "number";
    const isLate = !this.#isChanged && this.#isSlowToClose();
    const closings = [settle((done) => (isLate ? lateClosing.close(this.#descriptor, done) : fs.close(this.#descriptor, done)))];
    if (isDurable) closings.push(settle((done) => fs.close(durableDescriptor, done)));
    // Both are closed before anybody hears of an error.
    const failed = (await Promise.allSettled(closings)).find((outcome) => outcome.status === "rejected");
    if (failed !== undefined) throw failed.reason;
  }

  #begin(syscall: string): void {
    if (this.#closing !== null) throw systemError("EBADF", syscall, this.#path);
    this.#callsInFlight += 1;
  }

  #end(): void {
    this.#callsInFlight -= 1;
    if (this.#callsInFlight === 0 && this.#drained !== null) this.#drained();
  }

  #call(syscall: string, start: (done: Done) => void): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#begin(syscall);
      try {
        start((error) => {
          this.#end();
          if (error === null || error === undefined) resolve();
          else reject(error);
        });
      } catch (error) {
        this.#end();
        throw error;
      }
    });
  }

  /** The same file, opened once more with `O_DSYNC`; null where that is impossible, or it is closed. */
  #openDurably(): number | null {
    if (this.#durableDescriptor === undefined && this.#closing === null) {
      this.#durableDescriptor = openSameFile(this.#descriptor, this.#path);
    }
    return this.#durableDescriptor ?? null;
  }
}

/** A second descriptor, `O_DSYNC`, of the file behind `descriptor`; null when there is no way to be sure that it is the same file. */
function openSameFile(descriptor: number, path: string): number | null {
  const flags = fs.constants.O_RDWR | fs.constants.O_DSYNC;
  for (const candidate of [`/proc/self/fd/${descriptor}`, path]) {
    let opened: number;
    try {
      opened = openAtOnce(candidate, flags);
    } catch {
      continue;
    }
    if (isSameFile(descriptor, opened)) return opened;
    fs.closeSync(opened);
  }
  return null;
}

function isSameFile(descriptor: number, other: number): boolean {
  try {
    const first = fs.fstatSync(descriptor, { bigint: true });
    const second = fs.fstatSync(other, { bigint: true });
    return first.dev === second.dev && first.ino === second.ino;
  } catch {
    return false;
  }
}

async function statusOf(path: string): Promise<EntryStatus | null> {
  try {
    const stats = fs.lstatSync(path, { throwIfNoEntry: false });
    if (stats === undefined) return null;
    const type = stats.isFile() ? "file" : stats.isDirectory() ? "directory" : stats.isSymbolicLink() ? "symlink" : "other";
    return { type, size: stats.size };
  } catch (error) {
    if (errorCode(error) === "ENOTDIR") return null;
    throw error;
  }
}

function makeOneDirectory(path: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    fs.mkdir(path, DIRECTORY_MODE, (error) => {
      if (error === null) return resolve(true);
      // A symbolic link to a directory will do. Windows reports EPERM for a drive's root.
      fs.stat(path, (_missing, stats) => (stats?.isDirectory() ? resolve(false) : reject(error)));
    });
  });
}

async function syncDirectory(path: string): Promise<void> {
  const tolerated = (error: unknown): boolean =>
    process.platform === "win32" && ["EPERM", "EISDIR", "EACCES"].includes(errorCode(error) ?? "");
  let descriptor: number;
  try {
    descriptor = await openDescriptor(path, fs.constants.O_RDONLY | (fs.constants.O_DIRECTORY ?? 0));
  } catch (error) {
    if (tolerated(error)) return;
    throw error;
  }
  try {
    await settle((done) => fs.fsync(descriptor, done));
  } catch (error) {
    if (!tolerated(error)) throw error;
  } finally {
    await settle((done) => fs.close(descriptor, done));
  }
}

function watchFile(path: string, changed: (isGone: boolean) => void): (() => void) | null {
  // Elsewhere watching costs a thread, or misses what is written through an open file.
  if (process.platform !== "linux") return null;
  try {
    const watcher = fs.watch(path, { persistent: false }, (event) => changed(event === "rename"));
    watcher.on("error", () => changed(true));
    return () => watcher.close();
  } catch {
    return null;
  }
}

/** Windows locks bind readers too: there, only a byte far behind the lock file's text is locked. macOS locks whole files only. */
const LOCK_RANGE: readonly [offset: number, length: number] = process.platform === "win32" ? [1 << 30, 1] : [0, 0];

async function lockFile(file: DiskFile): Promise<KernelLock | null | "unsupported"> {
  assert(file instanceof NodeFile, "a file is locked by the disk that opened it");
  const descriptor = file.descriptor;
  if (descriptor === null) throw systemError("EBADF", "lock");
  const addon = loadLockAddon(fs.existsSync);
  if (addon === null) return "unsupported";
  try {
    if (!addon.tryLock(descriptor, ...LOCK_RANGE)) return null;
  } catch (error) {
    const code = errorCode(error) ?? "";
    if (["EAGAIN", "EACCES", "EBUSY"].includes(code)) return null;
    if (["ENOLCK", "ENOTSUP", "EOPNOTSUPP", "ENOSYS", "EINVAL"].includes(code)) return "unsupported";
    throw error;
  }
  return {
    release: async () => {
      // A closed file has lost its lock already, and its number may be another's.
      if (file.descriptor !== null) addon.unlock(file.descriptor, ...LOCK_RANGE);
    },
  };
}

const descriptorSource = {
  list: (path: string) => fs.readdirSync(path),
  readLink: (path: string) => fs.readlinkSync(path),
  readText: (path: string) => fs.readFileSync(path, "utf8"),
  identify: (directory: string) => {
    const { dev, ino } = fs.statSync(directory, { bigint: true });
    return `${dev}:${ino}`;
  },
};

function readText(path: string): string | null {
  try {
    return fs.readFileSync(path, "utf8");
  } catch {
    return null;
  }
}
