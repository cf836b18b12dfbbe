/**
 * Where snapshots lie: `projections/<projection>/<target>.snapshot` in the store's directory, one file for a projection and what it was
 * folded of. Names are made of hashes, so that any name and any entity will do.
 *
 * Invariants:
 * 1. A snapshot is a shortcut. One that cannot be read or written is told on `batpak:projection-snapshot`, and nothing else comes of it.
 * 2. Only the process that writes the store writes here. A crash leaves the old snapshot or the new one, and perhaps a temporary file,
 *    which the next process that writes to that projection's folder removes.
 *
 * Commit point of a snapshot: the rename in `replaceFile`.
 */
import { join } from "node:path";
import { tell } from "../base/diagnostics.ts";
import type { Disk } from "../disk/disk.ts";
import { isTemporaryName, replaceFile } from "../disk/replace-file.ts";
import { errorCode } from "../disk/system-error.ts";
import { formatHex } from "../events/id.ts";
import { utf8 } from "../events/utf8.ts";
import { blake3 } from "../kernel/frame-kernel.ts";
import { decodeSnapshot, encodeSnapshot, type Snapshot, type SnapshotOrigin, type SnapshotPosition } from "./snapshot-format.ts";

export const PROJECTIONS_FOLDER = "projections";
const SLUG_LENGTH = 40;
const NAME_HASH_BYTES = 8;
const TARGET_HASH_BYTES = 16;

export class SnapshotFolder {
  readonly #disk: Disk;
  readonly #directory: string;
  /** Folders that this process has made and tidied, or is about to. */
  readonly #prepared = new Map<string, Promise<void>>();

  /** @param directory the store's */
  constructor(disk: Disk, directory: string) {
    this.#disk = disk;
    this.#directory = directory;
  }

  /** The snapshot of this origin; null when there is none that may be used. */
  async load(origin: SnapshotOrigin): Promise<Snapshot | null> {
    const path = join(this.#folderOf(origin), fileName(origin));
    try {
      const bytes = await this.#read(path);
      if (bytes === null) return null;
      const decoded = decodeSnapshot(bytes, origin);
      if (!("reason" in decoded)) return decoded;
      this.ignored(origin, decoded.reason);
    } catch (error) {
      this.ignored(origin, "it cannot be read", error);
    }
    return null;
  }

  /** Keeps a state; false where that failed. */
  async save(origin: SnapshotOrigin, position: SnapshotPosition, state: unknown): Promise<boolean> {
    const folder = this.#folderOf(origin);
    try {
      const bytes = encodeSnapshot(origin, position, state);
      await this.#prepare(folder);
      await replaceFile(this.#disk, folder, fileName(origin), bytes);
      return true;
    } catch (error) {
      this.#tell(origin, "not written", error instanceof Error ? error.message : String(error), error);
      return false;
    }
  }

  /** Tells that a snapshot was not used, and why. */
  ignored(origin: SnapshotOrigin, reason: string, error?: unknown): void {
    this.#tell(origin, "ignored", reason, error);
  }

  #tell(origin: SnapshotOrigin, outcome: string, reason: string, error: unknown): void {
    const { projection, target } = origin;
    tell("projection-snapshot", { directory: this.#directory, projection, target, outcome, reason, error });
  }

  async #read(path: string): Promise<Uint8Array | null> {
    let file;
    try {
      file = await this.#disk.open(path, "read");
    } catch (error) {
      if (errorCode(error) === "ENOENT") return null;
      throw error;
    }
    try {
      const bytes = new Uint8Array(await file.size());
      const count = await file.read(bytes, 0, bytes.length, 0);
      return bytes.subarray(0, count);
    } finally {
      await file.close();
    }
  }

  #folderOf({ projection }: SnapshotOrigin): string {
    const slug = projection
      .toLowerCase()
      .replaceAll(/[^a-z0-9]+/g, "-")
      .slice(0, SLUG_LENGTH);
    return join(this.#directory, PROJECTIONS_FOLDER, `${slug}-${hashOf(projection, NAME_HASH_BYTES)}`);
  }

  #prepare(folder: string): Promise<void> {
    let prepared = this.#prepared.get(folder);
    if (prepared === undefined) {
      prepared = this.#makeAndTidy(folder);
      this.#prepared.set(folder, prepared);
      prepared.catch(() => this.#prepared.delete(folder));
    }
    return prepared;
  }

  async #makeAndTidy(folder: string): Promise<void> {
    await this.#disk.makeDirectory(folder);
    for (const name of await this.#disk.list(folder)) if (isTemporaryName(name)) await this.#disk.remove(join(folder, name));
  }
}

function fileName({ target }: SnapshotOrigin): string {
  return `${hashOf(target, TARGET_HASH_BYTES)}.snapshot`;
}

function hashOf(text: string, byteCount: number): string {
  return formatHex(blake3(utf8(text)), 0, byteCount);
}
