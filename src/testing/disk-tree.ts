/**
 * Directories and files in memory, with the error codes of a POSIX system; the simulated and the memory disk share it. All calls are
 * synchronous, and every change of a directory is reported, so that the simulated disk can lose it.
 *
 * Paths: parts are separated by `/` or `\`, absolute and relative ones begin at the same root, `.` and empty parts count for nothing.
 */
import { systemError } from "../disk/system-error.ts";
import { PagedBytes } from "./paged-bytes.ts";

export interface FileNode {
  readonly type: "file";
  bytes: PagedBytes;
}

export interface DirectoryNode {
  readonly type: "directory";
  readonly entries: Map<string, DiskNode>;
}

export type DiskNode = FileNode | DirectoryNode;

/** `name` in `directory` became `node`, or was removed when it is null. */
export interface EntryChange {
  readonly directory: DirectoryNode;
  readonly name: string;
  readonly node: DiskNode | null;
}

export function pathParts(path: string): string[] {
  const parts: string[] = [];
  for (const part of path.split(/[\\/]/)) {
    if (part === "..") parts.pop();
    else if (part !== "" && part !== ".") parts.push(part);
  }
  return parts;
}

export class DiskTree {
  readonly root: DirectoryNode;
  readonly #pageBytes: number;
  /** Told of each change after it was made; the changes of one call belong together. */
  readonly #onChange: (changes: readonly EntryChange[]) => void;

  constructor(pageBytes: number, onChange: (changes: readonly EntryChange[]) => void, root?: DirectoryNode) {
    this.root = root ?? { type: "directory", entries: new Map() };
    this.#pageBytes = pageBytes;
    this.#onChange = onChange;
  }

  find(path: string): DiskNode | null {
    let node: DiskNode | undefined = this.root;
    for (const part of pathParts(path)) {
      if (node.type !== "directory") return null;
      node = node.entries.get(part);
      if (node === undefined) return null;
    }
    return node;
  }

  file(path: string, syscall: string): FileNode {
    const { parent, name } = this.#parentOf(path, syscall);
    const node = parent.entries.get(name);
    if (node === undefined) throw systemError("ENOENT", syscall, path);
    if (node.type === "directory") throw systemError("EISDIR", syscall, path);
    return node;
  }

  directory(path: string, syscall: string): DirectoryNode {
    let node: DiskNode | undefined = this.root;
    for (const part of pathParts(path)) {
      if (node.type !== "directory") throw systemError("ENOTDIR", syscall, path);
      node = node.entries.get(part);
      if (node === undefined) throw systemError("ENOENT", syscall, path);
    }
    if (node.type !== "directory") throw systemError("ENOTDIR", syscall, path);
    return node;
  }

  createFile(path: string): FileNode {
    const { parent, name } = this.#parentOf(path, "open");
    if (parent.entries.has(name)) throw systemError("EEXIST", "open", path);
    const node: FileNode = { type: "file", bytes: new PagedBytes(this.#pageBytes) };
    this.#change([{ directory: parent, name, node }]);
    return node;
  }

  /** True when made, false when there is one. */
  makeDirectory(path: string): boolean {
    if (pathParts(path).length === 0) return false;
    const { parent, name } = this.#parentOf(path, "mkdir");
    const existing = parent.entries.get(name);
    if (existing?.type === "directory") return false;
    if (existing !== undefined) throw systemError("EEXIST", "mkdir", path);
    this.#change([{ directory: parent, name, node: { type: "directory", entries: new Map() } }]);
    return true;
  }

  rename(from: string, to: string): void {
    const source = this.#parentOf(from, "rename");
    const node = source.parent.entries.get(source.name);
    if (node === undefined) throw systemError("ENOENT", "rename", from);
    const target = this.#parentOf(to, "rename");
    const replaced = target.parent.entries.get(target.name);
    if (replaced === node) return;
    if (replaced?.type === "directory") throw systemError(node.type === "file" ? "EISDIR" : "ENOTEMPTY", "rename", from);
    if (replaced !== undefined && node.type === "directory") throw systemError("ENOTDIR", "rename", from);
    this.#change([
      { directory: target.parent, name: target.name, node },
      { directory: source.parent, name: source.name, node: null },
    ]);
  }

  link(from: string, to: string): void {
    const { parent, name } = this.#parentOf(from, "link");
    const node = parent.entries.get(name);
    if (node === undefined) throw systemError("ENOENT", "link", from);
    if (node.type === "directory") throw systemError("EPERM", "link", from);
    const target = this.#parentOf(to, "link");
    if (target.parent.entries.has(target.name)) throw systemError("EEXIST", "link", from);
    this.#change([{ directory: target.parent, name: target.name, node }]);
  }

  remove(path: string): void {
    const { parent, name } = this.#parentOf(path, "unlink");
    const node = parent.entries.get(name);
    if (node === undefined) throw systemError("ENOENT", "unlink", path);
    if (node.type === "directory") throw systemError("EISDIR", "unlink", path);
    this.#change([{ directory: parent, name, node: null }]);
  }

  #change(changes: readonly EntryChange[]): void {
    for (const change of changes) applyChange(change.directory.entries, change);
    this.#onChange(changes);
  }

  #parentOf(path: string, syscall: string): { parent: DirectoryNode; name: string } {
    const parts = pathParts(path);
    const name = parts.pop();
    if (name === undefined) throw systemError("EISDIR", syscall, path);
    let parent: DirectoryNode = this.root;
    for (const part of parts) {
      const next = parent.entries.get(part);
      if (next === undefined) throw systemError("ENOENT", syscall, path);
      if (next.type !== "directory") throw systemError("ENOTDIR", syscall, path);
      parent = next;
    }
    return { parent, name };
  }
}

export function applyChange(entries: Map<string, DiskNode>, change: EntryChange): void {
  if (change.node === null) entries.delete(change.name);
  else entries.set(change.name, change.node);
}
