/**
 * What a simulated disk stores, twice: as processes see it (the page cache) and as a power cut may leave it.
 *
 * Invariants:
 * 1. A file without a history is wholly durable. A history is the durable bytes and, in order, what was done to them since. An operation
 *    is `durable` once a sync covers it; the durable ones at the front of a history have been folded into its bytes. The same holds for
 *    the entries of directories, with one list of operations for the whole tree.
 * 2. What a power cut leaves = the durable bytes and entries, plus every durable operation, plus any subset of the *pieces* of all others,
 *    applied in order. The pieces of a write are its parts in each 512-byte sector and, if it made the file longer, the new size; those of
 *    a truncation or of a change of directory entries are the whole (a rename may be made to leave both names, see `renames`).
 * 3. An operation that a failed sync covered is `abandoned`: no later sync makes it durable, as a kernel drops what it could not write.
 *
 * This is more than a real disk does (which writes whole sectors as they are at some time, and journals entries in order), so a store
 * that survives it relies on nothing but syncs. Real disks also show old bytes of other files in holes; here they read as zeros.
 */
import { createHash } from "node:crypto";
import { assert } from "../base/assert.ts";
import { applyChange, type DirectoryNode, type DiskNode, DiskTree, type EntryChange, type FileNode, pathParts } from "./disk-tree.ts";
import type { PagedBytes } from "./paged-bytes.ts";

export const SECTOR_BYTES = 512;
const PAGE_BYTES = 4096;
/** Of unsynced rewrites of one and the same range, this many are remembered: the first and the latest ones. */
const REWRITES_MAX = 4;

interface Pending {
  /** Position in the order of all operations. */
  readonly order: number;
  /** Whether the call has returned: a sync that began before covers it by chance only, so here it does not. */
  ended: boolean;
  durable: boolean;
  abandoned: boolean;
}
export interface WriteOperation extends Pending {
  readonly kind: "write";
  readonly position: number;
  readonly bytes: Uint8Array;
  readonly extends: boolean;
}
interface TruncateOperation extends Pending {
  readonly kind: "truncate";
  readonly size: number;
}
export type FileOperation = WriteOperation | TruncateOperation;
export interface EntryOperation extends Pending {
  readonly kind: "entries";
  readonly changes: readonly EntryChange[];
}

interface FileHistory {
  readonly durable: PagedBytes;
  operations: FileOperation[];
  syncsInFlight: number;
}

/** Something not yet durable that a power cut keeps or loses by itself. */
export interface CrashPiece {
  readonly kind: "sector" | "size" | "truncate" | "entries" | "old-name";
  /** The names that change, or for what happens in a file the byte range or new size. */
  readonly names: readonly string[];
  readonly start: number;
  readonly end: number;
}

/** One operation of a crash plan and where its pieces stand in the plan's list. */
interface Step {
  readonly operation: FileOperation | EntryOperation;
  /** Null for a change of entries. */
  readonly file: FileNode | null;
  readonly firstPiece: number;
}

export interface CrashPlan {
  readonly steps: readonly Step[];
  readonly pieces: readonly CrashPiece[];
}

export class SimulatedStorage {
  readonly tree: DiskTree;
  readonly #renames: "atomic" | "both-names";
  readonly #histories = new Map<FileNode, FileHistory>();
  readonly #durableEntries = new Map<DirectoryNode, Map<string, DiskNode>>();
  #entryOperations: EntryOperation[] = [];
  #nextOrder = 0;

  constructor(renames: "atomic" | "both-names", root?: DirectoryNode) {
    this.#renames = renames;
    this.tree = new DiskTree(PAGE_BYTES, (changes) => this.#entriesChanged(changes), root);
  }

  /** Treats everything in the tree as durable: for a tree that was just built. */
  settle(): void {
    this.#histories.clear();
    this.#entryOperations = [];
    this.#durableEntries.clear();
    const visit = (directory: DirectoryNode): void => {
      this.#durableEntries.set(directory, new Map(directory.entries));
      for (const node of directory.entries.values()) if (node.type === "directory") visit(node);
    };
    visit(this.tree.root);
  }

  write(node: FileNode, source: Uint8Array, offset: number, length: number, position: number): WriteOperation {
    const history = this.#historyOf(node);
    const operation: WriteOperation = {
      kind: "write",
      order: this.#nextOrder++,
      ended: false,
      durable: false,
      abandoned: false,
      position,
      bytes: source.slice(offset, offset + length),
      extends: position + length > node.bytes.size,
    };
    node.bytes.write(source, offset, length, position);
    if (length > 0) history.operations.push(operation);
    if (history.syncsInFlight === 0) forgetRewrites(history, operation);
    return operation;
  }

  truncate(node: FileNode, size: number): FileOperation {
    const history = this.#historyOf(node);
    node.bytes.truncate(size);
    const operation: TruncateOperation = {
      kind: "truncate",
      order: this.#nextOrder++,
      ended: false,
      durable: false,
      abandoned: false,
      size,
    };
    history.operations.push(operation);
    return operation;
  }

  /** What a sync of the file that begins now will cover: pass it to `endSync` once it has ended. */
  beginSync(node: FileNode, only?: WriteOperation): readonly FileOperation[] {
    const history = this.#histories.get(node);
    if (history === undefined) return [];
    history.syncsInFlight += 1;
    return only === undefined ? history.operations.filter((operation) => operation.ended) : [only];
  }

  endSync(node: FileNode, covered: readonly FileOperation[], succeeded: boolean): void {
    markCovered(covered, succeeded);
    const history = this.#histories.get(node);
    if (history === undefined) return;
    history.syncsInFlight = Math.max(0, history.syncsInFlight - 1);
    const pendingFrom = firstPending(history.operations);
    for (const operation of history.operations.slice(0, pendingFrom)) applyOperation(history.durable, operation);
    history.operations = history.operations.slice(pendingFrom);
    if (history.operations.length === 0) this.#histories.delete(node);
  }

  /** Makes changes to the tree and tells which operations they were: their `ended` is to be set once the call has returned. */
  changeEntries<Result>(change: () => Result): { readonly result: Result; readonly operations: readonly EntryOperation[] } {
    const before = this.#entryOperations.length;
    const result = change();
    return { result, operations: this.#entryOperations.slice(before) };
  }

  beginDirectorySync(directory: DirectoryNode): readonly EntryOperation[] {
    return this.#entryOperations.filter(
      (operation) => operation.ended && operation.changes.some((change) => change.directory === directory),
    );
  }

  endDirectorySync(covered: readonly EntryOperation[], succeeded: boolean): void {
    markCovered(covered, succeeded);
    const pendingFrom = firstPending(this.#entryOperations);
    for (const operation of this.#entryOperations.slice(0, pendingFrom)) {
      for (const change of operation.changes) applyChange(this.#durableEntriesOf(change.directory), change);
    }
    this.#entryOperations = this.#entryOperations.slice(pendingFrom);
  }

  /** Ends every call that is under way, as the death of its caller does: a sync that begins later covers it. */
  endCalls(): void {
    for (const operation of this.#entryOperations) operation.ended = true;
    for (const { operations } of this.#histories.values()) for (const operation of operations) operation.ended = true;
  }

  /** Whether the name, and those of all directories above it, survive any crash. */
  isNameDurable(path: string): boolean {
    let directory: DirectoryNode = this.tree.root;
    const parts = pathParts(path);
    for (const [index, name] of parts.entries()) {
      const node = directory.entries.get(name);
      if (node === undefined || !this.#isEntryDurable(directory, name, node)) return false;
      if (node.type === "directory") directory = node;
      else if (index < parts.length - 1) return false;
    }
    return true;
  }

  /** Whether these bytes of the file survive any crash, as long as the file does. */
  areBytesDurable(node: FileNode, start: number, end: number): boolean {
    const history = this.#histories.get(node);
    let sizeMin = history === undefined ? node.bytes.size : history.durable.size;
    let uncertain: Range[] = [];
    for (const operation of history?.operations ?? []) {
      if (operation.kind === "truncate") {
        sizeMin = operation.durable ? operation.size : Math.min(sizeMin, operation.size);
        if (operation.durable) uncertain = without(uncertain, { start: operation.size, end: Number.POSITIVE_INFINITY });
        else if (operation.size < end) uncertain.push({ start: Math.max(start, operation.size), end });
      } else {
        const written = { start: Math.max(start, operation.position), end: Math.min(end, operation.position + operation.bytes.length) };
        if (operation.durable) sizeMin = Math.max(sizeMin, operation.position + operation.bytes.length);
        if (written.start >= written.end) continue;
        if (operation.durable) uncertain = without(uncertain, written);
        else uncertain.push(written);
      }
    }
    return sizeMin >= end && uncertain.length === 0;
  }

  /** Changes bytes as a failing medium does: at once, in what is cached, durable and on its way. `change` maps old byte and offset to the new one. */
  damage(node: FileNode, start: number, end: number, change: (byte: number, offset: number) => number): void {
    const history = this.#histories.get(node);
    const one = new Uint8Array(1);
    for (const bytes of history === undefined ? [node.bytes] : [node.bytes, history.durable]) {
      for (let offset = start; offset < Math.min(end, bytes.size); offset += 1) {
        bytes.read(one, 0, 1, offset);
        one[0] = change(one[0] ?? 0, offset);
        bytes.write(one, 0, 1, offset);
      }
    }
    for (const operation of history?.operations ?? []) {
      if (operation.kind !== "write") continue;
      for (
        let offset = Math.max(start, operation.position);
        offset < Math.min(end, operation.position + operation.bytes.length);
        offset += 1
      ) {
        const index = offset - operation.position;
        operation.bytes[index] = change(operation.bytes[index] ?? 0, offset);
      }
    }
  }

  /** Everything that a power cut now could keep or lose. */
  planCrash(): CrashPlan {
    const reachable = this.#reachableFiles();
    const unplaced: Omit<Step, "firstPiece">[] = this.#entryOperations.map((operation) => ({ operation, file: null }));
    for (const [file, history] of this.#histories) {
      if (!reachable.has(file)) continue;
      for (const operation of history.operations) unplaced.push({ operation, file });
    }
    unplaced.sort((one, other) => one.operation.order - other.operation.order);
    const pieces: CrashPiece[] = [];
    const steps = unplaced.map(({ operation, file }) => {
      const firstPiece = pieces.length;
      if (!operation.durable) pieces.push(...piecesOf(operation, this.#renames));
      return { operation, file, firstPiece };
    });
    return { steps, pieces };
  }

  /** What a power cut leaves when it keeps the pieces that are marked 1. */
  afterCrash(plan: CrashPlan, keep: Uint8Array): SimulatedStorage {
    const entriesOf = new Map<DirectoryNode, Map<string, DiskNode>>();
    const bytesOf = new Map<FileNode, PagedBytes>();
    const entries = (directory: DirectoryNode): Map<string, DiskNode> => {
      let copy = entriesOf.get(directory);
      if (copy === undefined) entriesOf.set(directory, (copy = new Map(this.#durableEntriesOf(directory))));
      return copy;
    };
    const bytes = (file: FileNode): PagedBytes => {
      let copy = bytesOf.get(file);
      if (copy === undefined) bytesOf.set(file, (copy = (this.#histories.get(file)?.durable ?? file.bytes).share()));
      return copy;
    };
    for (const { operation, file, firstPiece } of plan.steps) {
      if (operation.kind === "entries") {
        if (!operation.durable && keep[firstPiece] !== 1) continue;
        const oldNameStays =
          !operation.durable && this.#renames === "both-names" && operation.changes.length > 1 && keep[firstPiece + 1] !== 1;
        for (const change of oldNameStays ? operation.changes.slice(0, 1) : operation.changes)
          applyChange(entries(change.directory), change);
      } else if (file !== null) {
        if (operation.durable) applyOperation(bytes(file), operation);
        else if (operation.kind === "write") keepPieces(bytes(file), operation, keep, firstPiece);
        else if (keep[firstPiece] === 1) applyOperation(bytes(file), operation);
      }
    }
    const copies = new Map<DiskNode, DiskNode>();
    const root = copyTree(this.tree.root, entries, bytes, copies);
    const storage = new SimulatedStorage(this.#renames, root);
    storage.settle();
    return storage;
  }

  /** The same storage with the same unsynced operations, independent of this one. */
  clone(): SimulatedStorage {
    const copies = new Map<DiskNode, DiskNode>();
    const entries = (directory: DirectoryNode): Map<string, DiskNode> => directory.entries;
    const bytes = (file: FileNode): PagedBytes => file.bytes.share();
    const root = copyTree(this.tree.root, entries, bytes, copies);
    const copyOf = (node: DiskNode): DiskNode => copies.get(node) ?? copyTree(node, entries, bytes, copies);
    const storage = new SimulatedStorage(this.#renames, root);
    storage.#nextOrder = this.#nextOrder;
    for (const [directory, durable] of this.#durableEntries) {
      const copy = copyOf(directory);
      assert(copy.type === "directory", "a directory's copy is a directory");
      storage.#durableEntries.set(copy, new Map([...durable].map(([name, node]) => [name, copyOf(node)])));
    }
    storage.#entryOperations = this.#entryOperations.map((operation) => ({
      ...operation,
      changes: operation.changes.map(({ directory, name, node }) => {
        const copy = copyOf(directory);
        assert(copy.type === "directory", "a directory's copy is a directory");
        return { directory: copy, name, node: node === null ? null : copyOf(node) };
      }),
    }));
    for (const [file, history] of this.#histories) {
      const copy = copies.get(file);
      // A file that is nowhere in the tree, nor was or may be again, is of no consequence.
      if (copy?.type !== "file") continue;
      const operations = history.operations.map((operation) => ({
        ...operation,
        ...(operation.kind === "write" ? { bytes: operation.bytes.slice() } : {}),
      }));
      storage.#histories.set(copy, { durable: history.durable.share(), operations, syncsInFlight: 0 });
    }
    return storage;
  }

  /** A digest of all names and bytes as processes see them. */
  fingerprint(): string {
    const hash = createHash("sha1");
    const visit = (directory: DirectoryNode): void => {
      for (const [name, node] of [...directory.entries].sort(([one], [other]) => (one < other ? -1 : 1))) {
        hash.update(`${name.length}:${name}:${node.type === "file" ? node.bytes.digest() : "d"}:`);
        if (node.type === "directory") visit(node);
      }
      hash.update("/");
    };
    visit(this.tree.root);
    return hash.digest("hex");
  }

  #entriesChanged(changes: readonly EntryChange[]): void {
    this.#entryOperations.push({ kind: "entries", order: this.#nextOrder++, ended: false, durable: false, abandoned: false, changes });
  }

  #historyOf(node: FileNode): FileHistory {
    let history = this.#histories.get(node);
    if (history === undefined) {
      history = { durable: node.bytes.share(), operations: [], syncsInFlight: 0 };
      this.#histories.set(node, history);
    }
    return history;
  }

  #durableEntriesOf(directory: DirectoryNode): Map<string, DiskNode> {
    let entries = this.#durableEntries.get(directory);
    if (entries === undefined) this.#durableEntries.set(directory, (entries = new Map<string, DiskNode>()));
    return entries;
  }

  #isEntryDurable(directory: DirectoryNode, name: string, node: DiskNode): boolean {
    let durable = this.#durableEntriesOf(directory).get(name) === node;
    for (const operation of this.#entryOperations) {
      for (const change of operation.changes) {
        if (change.directory !== directory || change.name !== name) continue;
        if (operation.durable) durable = change.node === node;
        else if (change.node !== node) durable = false;
      }
    }
    return durable;
  }

  #reachableFiles(): Set<FileNode> {
    const files = new Set<FileNode>();
    const seen = new Set<DirectoryNode>();
    const visit = (node: DiskNode | null): void => {
      if (node === null) return;
      if (node.type === "file") {
        files.add(node);
      } else if (!seen.has(node)) {
        seen.add(node);
        for (const child of this.#durableEntriesOf(node).values()) visit(child);
      }
    };
    visit(this.tree.root);
    for (const operation of this.#entryOperations) for (const change of operation.changes) visit(change.node);
    return files;
  }
}

interface Range {
  readonly start: number;
  readonly end: number;
}

function without(ranges: readonly Range[], hole: Range): Range[] {
  return ranges
    .flatMap(({ start, end }) => [
      { start, end: Math.min(end, hole.start) },
      { start: Math.max(start, hole.end), end },
    ])
    .filter(({ start, end }) => start < end);
}

function markCovered(covered: readonly Pending[], succeeded: boolean): void {
  for (const operation of covered) {
    if (!succeeded) operation.abandoned = !operation.durable;
    else if (!operation.abandoned) operation.durable = true;
  }
}

function firstPending(operations: readonly Pending[]): number {
  const index = operations.findIndex((operation) => !operation.durable);
  return index < 0 ? operations.length : index;
}

function applyOperation(bytes: PagedBytes, operation: FileOperation): void {
  if (operation.kind === "truncate") bytes.truncate(operation.size);
  else bytes.write(operation.bytes, 0, operation.bytes.length, operation.position);
}

/** A small record that is rewritten in place without syncs would grow the history, and the number of states, without bound. */
function forgetRewrites(history: FileHistory, latest: WriteOperation): void {
  const rewrites = history.operations.filter(
    (operation) =>
      operation.kind === "write" &&
      !operation.durable &&
      operation.position === latest.position &&
      operation.bytes.length === latest.bytes.length,
  );
  const forgotten = rewrites.length > REWRITES_MAX ? rewrites[1] : undefined;
  if (forgotten !== undefined) history.operations = history.operations.filter((operation) => operation !== forgotten);
}

function piecesOf(operation: FileOperation | EntryOperation, renames: "atomic" | "both-names"): CrashPiece[] {
  if (operation.kind === "entries") {
    const names = operation.changes.map((change) => change.name);
    const pieces: CrashPiece[] = [{ kind: "entries", names, start: 0, end: 0 }];
    if (renames === "both-names" && names.length > 1) pieces.push({ kind: "old-name", names: names.slice(1), start: 0, end: 0 });
    return pieces;
  }
  if (operation.kind === "truncate") return [{ kind: "truncate", names: [], start: operation.size, end: operation.size }];
  const pieces: CrashPiece[] = [];
  const end = operation.position + operation.bytes.length;
  for (let start = operation.position; start < end; ) {
    const sectorEnd = Math.min(end, start - (start % SECTOR_BYTES) + SECTOR_BYTES);
    pieces.push({ kind: "sector", names: [], start, end: sectorEnd });
    start = sectorEnd;
  }
  if (operation.extends) pieces.push({ kind: "size", names: [], start: operation.position, end });
  return pieces;
}

/** Applies the kept sectors of a write, neighbours in one go. The pieces stand as `piecesOf` lists them. */
function keepPieces(bytes: PagedBytes, operation: WriteOperation, keep: Uint8Array, firstPiece: number): void {
  const { position } = operation;
  const end = position + operation.bytes.length;
  let piece = firstPiece;
  let keptFrom = -1;
  for (let start = position; start < end; piece += 1) {
    const sectorEnd = Math.min(end, start - (start % SECTOR_BYTES) + SECTOR_BYTES);
    if (keep[piece] === 1) {
      if (keptFrom < 0) keptFrom = start;
    } else if (keptFrom >= 0) {
      bytes.write(operation.bytes, keptFrom - position, start - keptFrom, keptFrom);
      keptFrom = -1;
    }
    start = sectorEnd;
  }
  if (keptFrom >= 0) bytes.write(operation.bytes, keptFrom - position, end - keptFrom, keptFrom);
  if (operation.extends && keep[piece] === 1 && bytes.size < end) bytes.truncate(end);
}

/** Copies a tree whose entries and bytes are told by functions; a node met twice (a hard link) has one copy. */
function copyTree<Node extends DiskNode>(
  node: Node,
  entries: (directory: DirectoryNode) => Map<string, DiskNode>,
  bytes: (file: FileNode) => PagedBytes,
  copies: Map<DiskNode, DiskNode>,
): Node {
  const known = copies.get(node);
  if (known !== undefined) return known as Node;
  if (node.type === "file") {
    const copy: FileNode = { type: "file", bytes: bytes(node) };
    copies.set(node, copy);
    return copy as Node;
  }
  const copy: DirectoryNode = { type: "directory", entries: new Map() };
  copies.set(node, copy);
  for (const [name, child] of entries(node)) copy.entries.set(name, copyTree(child, entries, bytes, copies));
  return copy as Node;
}
