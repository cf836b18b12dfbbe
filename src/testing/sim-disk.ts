/**
 * A disk in memory that can lose what a real one may lose, and fail as a real one may fail, at any operation.
 *
 * What survives a power cut is described in `simulated-storage.ts`, processes and faults in `simulated-machine.ts`. A test runs a store on
 * a `SimulatedDisk`, crashes it at some operation, and opens the store again on each of the disks that the crash may have left.
 */
import { assert } from "../base/assert.ts";
import type { Disk, DiskFile, EntryStatus, FileMode, KernelLock, ProcessIdentity } from "../disk/disk.ts";
import { makeDirectories } from "../disk/make-directories.ts";
import { systemError } from "../disk/system-error.ts";
import { type DirectoryNode, type FileNode, pathParts } from "./disk-tree.ts";
import { type DiskOperation, type FaultPolicy, type Planned, SimulatedMachine, type SimulatedProcess } from "./simulated-machine.ts";
import { type CrashPiece, type FileOperation, SECTOR_BYTES, SimulatedStorage } from "./simulated-storage.ts";
import { subsets } from "./subsets.ts";

const FIRST_PID = 1000;

/** What a simulated disk does otherwise than others. */
export interface SimulatedDiskOptions {
  /** Of this process. Default 1000. */
  readonly pid?: number | undefined;
  /** Whether a crash may leave a renamed file under both names. Default "atomic": under the old or the new one. */
  readonly renames?: "atomic" | "both-names" | undefined;
  readonly faults?: FaultPolicy | undefined;
}

/** Of the disks that a power cut may leave, how many to look at. */
export interface PossibleDisksOptions {
  /** At most this many disks: all possible ones when they are no more, else a sample. Default 64. */
  readonly limit?: number | undefined;
  /** Of the sample. Default 1. */
  readonly seed?: number | undefined;
}

/**
 * A disk in memory that fails as it is told to, and loses what a power cut may take.
 *
 * @example
 * const disk = new SimulatedDisk();
 * disk.crashDuring(7); // the seventh change begins, and nothing after it ever completes
 * await scenario(disk).catch(() => {});
 * for (const left of disk.possibleDisks({ limit: 100, seed: 1 })) await checkStore(left);
 * await checkStore(disk.diskAfterKill()); // the process died alone: the page cache lives on, and may still be lost later
 */
export class SimulatedDisk implements Disk {
  readonly #machine: SimulatedMachine;
  readonly #process: SimulatedProcess;
  readonly #renames: "atomic" | "both-names";

  constructor(options: SimulatedDiskOptions = {}, machine?: SimulatedMachine) {
    this.#renames = options.renames ?? "atomic";
    this.#machine = machine ?? new SimulatedMachine(new SimulatedStorage(this.#renames), 1);
    this.#process = this.#machine.process(options.pid ?? FIRST_PID);
    if (options.faults !== undefined) this.#machine.faults = options.faults;
  }

  // What a store asks of it: the `Disk` interface.

  get self(): ProcessIdentity {
    return this.#process.identity;
  }

  isAlive(identity: ProcessIdentity): boolean {
    return this.#machine.isAlive(identity);
  }

  open(path: string, mode: FileMode): Promise<DiskFile> {
    if (mode === "create") return this.#change({ kind: "create", path }, () => this.#openNode(path, mode));
    return this.#run({ kind: "open", path }, () => this.#openNode(path, mode));
  }

  openSync(path: string): DiskFile {
    return this.#machine.runSync(this.#process, { kind: "open", path }, { begin: () => this.#openNode(path, "read") });
  }

  list(path: string): Promise<string[]> {
    return this.#run({ kind: "list", path }, () => [...this.#tree.directory(path, "scandir").entries.keys()]);
  }

  status(path: string): Promise<EntryStatus | null> {
    return this.#run({ kind: "status", path }, () => {
      const node = this.#tree.find(path);
      return node === null ? null : { type: node.type, size: node.type === "file" ? node.bytes.size : 0 };
    });
  }

  makeDirectory(path: string): Promise<void> {
    return makeDirectories(path, {
      makeOne: (one) => this.#change({ kind: "makeDirectory", path: one }, () => this.#tree.makeDirectory(one)),
      syncDirectory: (one) => this.syncDirectory(one),
    });
  }

  rename(from: string, to: string): Promise<void> {
    return this.#change({ kind: "rename", path: from, to }, () => this.#tree.rename(from, to));
  }

  link(from: string, to: string): Promise<void> {
    return this.#change({ kind: "link", path: from, to }, () => this.#tree.link(from, to));
  }

  remove(path: string): Promise<void> {
    return this.#change({ kind: "remove", path }, () => this.#tree.remove(path));
  }

  async syncDirectory(path: string): Promise<void> {
    const { storage } = this.#machine;
    const begin = () => storage.beginDirectorySync(storage.tree.directory(path, "open"));
    await this.#machine.run(
      this.#process,
      { kind: "syncDirectory", path },
      { begin, beginFailing: begin, end: (covered, succeeded) => storage.endDirectorySync(covered, succeeded) },
    );
  }

  lock(file: DiskFile): Promise<KernelLock | null> {
    assert(file instanceof SimulatedFile, "a file is locked by the disk that opened it");
    return this.#run({ kind: "lock", path: file.path }, () => file.lock());
  }

  // What a test asks of it.

  /** Every operation so far, of all processes, in the order in which they began. */
  get log(): readonly DiskOperation[] {
    return this.#machine.log;
  }

  /** How many operations that change the disk have begun. */
  get operationCount(): number {
    return this.#machine.operationCount;
  }

  get crashed(): boolean {
    return this.#machine.crashed;
  }

  /** Files open now, by all processes: a test that ends with some has found a leak. */
  get openFileCount(): number {
    return this.#machine.openFiles.size;
  }

  /** Asked about every operation as it begins; undefined: nothing goes wrong. */
  get faults(): FaultPolicy | undefined {
    return this.#machine.faults;
  }

  set faults(policy: FaultPolicy | undefined) {
    this.#machine.faults = policy;
  }

  /** The power fails once operation `number` (see `DiskOperation.number`) has completed. 0: at once. */
  crashAfter(number: number): void {
    if (number <= 0) this.#machine.crash();
    else this.#machine.crashAfterNumber = number;
  }

  /** The power fails while operation `number` is under way: it never completes, and any part of its effect may be there. */
  crashDuring(number: number): void {
    this.#machine.crashDuringNumber = number;
  }

  /** The power fails now. */
  crashNow(): void {
    this.#machine.crash();
  }

  /** The same disk as another process sees it: the running one of this number, or a new one. */
  asProcess(pid: number): SimulatedDisk {
    return new SimulatedDisk({ pid, renames: this.#renames }, this.#machine);
  }

  /** Ends this process as SIGKILL does: what it wrote stays in the page cache, its locks and open files are gone. */
  kill(): void {
    this.#machine.kill(this.#process);
  }

  /** How many disks a power cut now could leave: 2 to the number of pieces. Infinity beyond the range of numbers. */
  possibleDiskCount(): number {
    return 2 ** this.#machine.storage.planCrash().pieces.length;
  }

  /** The disks that a power cut now could leave, each a machine of its own with everything on it durable. */
  *possibleDisks(options: PossibleDisksOptions = {}): Generator<SimulatedDisk> {
    const plan = this.#machine.storage.planCrash();
    for (const keep of subsets(plan.pieces.length, options.limit ?? 64, options.seed ?? 1)) {
      yield this.#nextBoot(this.#machine.storage.afterCrash(plan, keep));
    }
  }

  /** The disk that a power cut now leaves when it keeps exactly the pieces chosen. By default none: only what is durable. */
  diskAfterCrash(keep: (piece: CrashPiece) => boolean = () => false): SimulatedDisk {
    const plan = this.#machine.storage.planCrash();
    return this.#nextBoot(
      this.#machine.storage.afterCrash(
        plan,
        Uint8Array.from(plan.pieces, (piece) => (keep(piece) ? 1 : 0)),
      ),
    );
  }

  /** The disk as a new process finds it after all others were killed: everything written is there, and what was not durable still is not. */
  diskAfterKill(): SimulatedDisk {
    const machine = new SimulatedMachine(this.#machine.storage.clone(), this.#machine.bootNumber);
    return new SimulatedDisk({ pid: this.#process.identity.pid + 1, renames: this.#renames }, machine);
  }

  /** Whether these bytes of the file, its name and the directories above it survive any power cut. */
  isDurable(path: string, start: number, end: number): boolean {
    const node = this.#tree.find(path);
    return node?.type === "file" && this.isNameDurable(path) && this.#machine.storage.areBytesDurable(node, start, end);
  }

  /** Whether all of a file's bytes are there after any power cut, should its name be: what must hold before it is given one that counts. */
  isContentDurable(path: string): boolean {
    const node = this.#tree.file(path, "open");
    return this.#machine.storage.areBytesDurable(node, 0, node.bytes.size);
  }

  /** Whether a file or directory is there under this name after any power cut. */
  isNameDurable(path: string): boolean {
    return this.#machine.storage.isNameDurable(path);
  }

  /** Changes one byte as a failing medium does, at once and durably. */
  corrupt(path: string, offset: number, change: (byte: number) => number): void {
    this.#machine.storage.damage(this.#tree.file(path, "corrupt"), offset, offset + 1, change);
  }

  /** Zeroes the 512-byte sector of this index (from 0), as far as the file reaches. */
  zeroSector(path: string, sector: number): void {
    this.#machine.storage.damage(this.#tree.file(path, "corrupt"), sector * SECTOR_BYTES, (sector + 1) * SECTOR_BYTES, () => 0);
  }

  /** A copy of a file's bytes as processes see them; works on a crashed disk, too. */
  bytesOf(path: string): Uint8Array {
    return this.#tree.file(path, "open").bytes.toBytes();
  }

  /** Puts a file there with all above it (null: removes it), and makes everything on the disk durable. No operation is counted. */
  put(path: string, bytes: Uint8Array | null): void {
    const parts = pathParts(path);
    for (let depth = 1; depth < parts.length; depth += 1) this.#tree.makeDirectory(parts.slice(0, depth).join("/"));
    if (this.#tree.find(path) !== null) this.#tree.remove(path);
    if (bytes !== null) this.#tree.createFile(path).bytes.write(bytes, 0, bytes.length, 0);
    this.#machine.storage.settle();
  }

  /** The paths of all files, sorted. */
  paths(): string[] {
    const paths: string[] = [];
    const visit = (directory: DirectoryNode, prefix: string): void => {
      for (const [name, node] of directory.entries) {
        if (node.type === "file") paths.push(`${prefix}/${name}`);
        else visit(node, `${prefix}/${name}`);
      }
    };
    visit(this.#tree.root, "");
    return paths.sort();
  }

  /** A digest of all names and bytes, to count the different disks that were checked. */
  fingerprint(): string {
    return this.#machine.storage.fingerprint();
  }

  get #tree() {
    return this.#machine.storage.tree;
  }

  #run<Result>(planned: Planned, begin: () => Result): Promise<Result> {
    return this.#machine.run(this.#process, planned, { begin });
  }

  async #change<Result>(planned: Planned, change: () => Result): Promise<Result> {
    const { storage } = this.#machine;
    const { result } = await this.#machine.run(this.#process, planned, {
      begin: () => storage.changeEntries(change),
      end: ({ operations }) => {
        for (const operation of operations) operation.ended = true;
      },
    });
    return result;
  }

  #openNode(path: string, mode: FileMode): SimulatedFile {
    const node = mode === "create" ? this.#tree.createFile(path) : this.#tree.file(path, "open");
    return new SimulatedFile(this.#machine, this.#process, node, path, mode !== "read");
  }

  #nextBoot(storage: SimulatedStorage): SimulatedDisk {
    return new SimulatedDisk({ renames: this.#renames }, new SimulatedMachine(storage, this.#machine.bootNumber + 1));
  }
}

class SimulatedFile implements DiskFile {
  readonly path: string;
  readonly #machine: SimulatedMachine;
  readonly #process: SimulatedProcess;
  readonly #node: FileNode;
  readonly #writable: boolean;

  constructor(machine: SimulatedMachine, process: SimulatedProcess, node: FileNode, path: string, writable: boolean) {
    this.#machine = machine;
    this.#process = process;
    this.#node = node;
    this.path = path;
    this.#writable = writable;
    machine.openFiles.set(this, process);
  }

  read(target: Uint8Array, offset: number, length: number, position: number): Promise<number> {
    return this.#run({ kind: "read", path: this.path, offset: position, length }, "read", () =>
      this.#node.bytes.read(target, offset, length, position),
    );
  }

  readSync(target: Uint8Array, offset: number, length: number, position: number): number {
    this.#checkOpen("read");
    const begin = () => this.#node.bytes.read(target, offset, length, position);
    return this.#machine.runSync(this.#process, { kind: "read", path: this.path, offset: position, length }, { begin });
  }

  async write(source: Uint8Array, offset: number, length: number, position: number, durable: boolean): Promise<void> {
    this.#checkOpen("write");
    const { storage } = this.#machine;
    const write = (byteCount: number) => {
      const operation = storage.write(this.#node, source, offset, byteCount, position);
      return { operation, covered: durable ? storage.beginSync(this.#node, operation) : [] };
    };
    await this.#machine.run(
      this.#process,
      { kind: "write", path: this.path, offset: position, length, durable },
      {
        begin: () => write(length),
        beginFailing: (afterBytes) => write(Math.min(afterBytes, length)),
        end: ({ operation, covered }, succeeded) => {
          const now = source.subarray(offset, offset + operation.bytes.length);
          assert(
            Buffer.compare(now, operation.bytes) === 0,
            `the buffer of a write to "${this.path}" was changed before the write had ended`,
          );
          operation.ended = true;
          if (durable) storage.endSync(this.#node, covered, succeeded);
        },
      },
    );
  }

  writeSync(source: Uint8Array, offset: number, length: number, position: number): void {
    this.#checkOpen("write");
    const write = (byteCount: number) => this.#machine.storage.write(this.#node, source, offset, byteCount, position);
    this.#machine.runSync(
      this.#process,
      { kind: "write", path: this.path, offset: position, length, durable: false },
      { begin: () => write(length), beginFailing: (afterBytes) => write(Math.min(afterBytes, length)), end: hasEnded },
    );
  }

  async sync(): Promise<void> {
    this.#checkOpen("fdatasync");
    const { storage } = this.#machine;
    const begin = (): readonly FileOperation[] => storage.beginSync(this.#node);
    await this.#machine.run(
      this.#process,
      { kind: "sync", path: this.path },
      { begin, beginFailing: begin, end: (covered, succeeded) => storage.endSync(this.#node, covered, succeeded) },
    );
  }

  async truncate(size: number): Promise<void> {
    this.#checkOpen("ftruncate");
    const begin = () => this.#machine.storage.truncate(this.#node, size);
    await this.#machine.run(this.#process, { kind: "truncate", path: this.path, length: size }, { begin, end: hasEnded });
  }

  size(): Promise<number> {
    return this.#run({ kind: "size", path: this.path }, "fstat", () => this.#node.bytes.size);
  }

  sizeSync(): number {
    this.#checkOpen("fstat");
    return this.#machine.runSync(this.#process, { kind: "size", path: this.path }, { begin: () => this.#node.bytes.size });
  }

  async close(): Promise<void> {
    this.closeSync();
  }

  closeSync(): void {
    this.#machine.openFiles.delete(this);
    this.#unlock();
  }

  lock(): KernelLock | null {
    this.#checkOpen("lock");
    const holder = this.#machine.locks.get(this.#node);
    if (holder !== undefined && holder.handle !== this) return null;
    this.#machine.locks.set(this.#node, { handle: this, process: this.#process });
    return { release: async () => this.#unlock() };
  }

  #unlock(): void {
    if (this.#machine.locks.get(this.#node)?.handle === this) this.#machine.locks.delete(this.#node);
  }

  /** After a kill or crash the operation itself says so; a handle that was closed before says EBADF. */
  #checkOpen(syscall: string): void {
    const isOpen = this.#machine.openFiles.has(this) || !this.#process.running;
    const writes = syscall === "write" || syscall === "ftruncate";
    if (!isOpen || (writes && !this.#writable)) throw systemError("EBADF", syscall, this.path);
  }

  async #run<Result>(planned: Planned, syscall: string, begin: () => Result): Promise<Result> {
    this.#checkOpen(syscall);
    return this.#machine.run(this.#process, planned, { begin });
  }
}

function hasEnded(operation: FileOperation): void {
  operation.ended = true;
}
