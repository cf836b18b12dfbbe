/**
 * A disk in memory, for `openMemoryStore`: nothing outlives it, a sync costs nothing, and nothing fails. For a disk that loses what was
 * not synced, see `SimulatedDisk`.
 *
 * Every promise settles in a later turn of the microtask queue, never within the call; one write of many in a later turn of the event loop, so that
 * a program that does nothing but append still hears of the rest of the world.
 */
import { assert } from "../base/assert.ts";
import { rest } from "../base/rest.ts";
import type { Disk, DiskFile, EntryStatus, FileMode, KernelLock, ProcessIdentity } from "../disk/disk.ts";
import { makeDirectories } from "../disk/make-directories.ts";
import { systemError } from "../disk/system-error.ts";
import { DiskTree, type FileNode } from "./disk-tree.ts";

const PAGE_BYTES = 64 * 1024;
const WRITES_PER_TURN = 64;
let writes = 0;

/**
 * A new, empty disk in memory. Stores on the same disk exclude one another as they would in a directory.
 *
 * @example const store = await Store.open("/data", { disk: createMemoryDisk() });
 */
export function createMemoryDisk(): Disk {
  const tree = new DiskTree(PAGE_BYTES, () => {});
  const locks = new Map<FileNode, MemoryFile>();
  const self: ProcessIdentity = { pid: process.pid, startTime: "memory", bootId: "memory" };
  const openNode = (path: string, mode: FileMode): MemoryFile =>
    new MemoryFile(mode === "create" ? tree.createFile(path) : tree.file(path, "open"), path, mode !== "read", locks);
  const makeOne = async (path: string): Promise<boolean> => tree.makeDirectory(path);
  const syncDirectory = async (path: string): Promise<void> => {
    tree.directory(path, "open");
  };
  return {
    open: async (path, mode) => openNode(path, mode),
    openSync: (path) => openNode(path, "read"),
    list: async (path) => [...tree.directory(path, "scandir").entries.keys()],
    status: async (path): Promise<EntryStatus | null> => {
      const node = tree.find(path);
      return node === null ? null : { type: node.type, size: node.type === "file" ? node.bytes.size : 0 };
    },
    makeDirectory: (path) => makeDirectories(path, { makeOne, syncDirectory }),
    rename: async (from, to) => tree.rename(from, to),
    link: async (from, to) => tree.link(from, to),
    remove: async (path) => tree.remove(path),
    syncDirectory,
    lock: async (file) => {
      assert(file instanceof MemoryFile, "a file is locked by the disk that opened it");
      return file.lock();
    },
    self,
    isAlive: (identity) => identity.pid === self.pid && identity.startTime === self.startTime && identity.bootId === self.bootId,
  };
}

class MemoryFile implements DiskFile {
  readonly #node: FileNode;
  readonly #path: string;
  readonly #writable: boolean;
  readonly #locks: Map<FileNode, MemoryFile>;
  #open = true;

  constructor(node: FileNode, path: string, writable: boolean, locks: Map<FileNode, MemoryFile>) {
    this.#node = node;
    this.#path = path;
    this.#writable = writable;
    this.#locks = locks;
  }

  async read(target: Uint8Array, offset: number, length: number, position: number): Promise<number> {
    return this.readSync(target, offset, length, position);
  }

  readSync(target: Uint8Array, offset: number, length: number, position: number): number {
    this.#check("read", false);
    return this.#node.bytes.read(target, offset, length, position);
  }

  async write(source: Uint8Array, offset: number, length: number, position: number): Promise<void> {
    this.writeSync(source, offset, length, position);
    if (++writes % WRITES_PER_TURN === 0) await rest();
  }

  writeSync(source: Uint8Array, offset: number, length: number, position: number): void {
    this.#check("write", true);
    this.#node.bytes.write(source, offset, length, position);
  }

  async sync(): Promise<void> {
    this.#check("fdatasync", false);
  }

  async truncate(size: number): Promise<void> {
    this.#check("ftruncate", true);
    this.#node.bytes.truncate(size);
  }

  async size(): Promise<number> {
    return this.sizeSync();
  }

  sizeSync(): number {
    this.#check("fstat", false);
    return this.#node.bytes.size;
  }

  async close(): Promise<void> {
    this.closeSync();
  }

  closeSync(): void {
    this.#open = false;
    if (this.#locks.get(this.#node) === this) this.#locks.delete(this.#node);
  }

  lock(): KernelLock | null {
    this.#check("lock", false);
    const holder = this.#locks.get(this.#node);
    if (holder !== undefined && holder !== this) return null;
    this.#locks.set(this.#node, this);
    return {
      release: async () => {
        if (this.#locks.get(this.#node) === this) this.#locks.delete(this.#node);
      },
    };
  }

  #check(syscall: string, writing: boolean): void {
    if (!this.#open || (writing && !this.#writable)) throw systemError("EBADF", syscall, this.#path);
  }
}
