/**
 * What a consumer keeps on disk: `consumers/<name>/position` and, beside it, a `lock` of its own. No part of the log: a process that opened the
 * store read-only writes here as well, beside the writer.
 *
 * Invariants:
 * 1. Only the holder of the lock writes the position. Two holders of one name are refused, in one process or in two.
 * 2. The position file is there whole or not at all, and a damaged one is never taken for none.
 *
 * Commit point of a position: the rename in `replaceFile`. A crash leaves the position before or the new one, and perhaps a temporary file,
 * which the next holder removes. A folder without a position is that of a consumer that was never begun, or is deleted.
 */
import { join } from "node:path";
import { sameBytes } from "../base/hex.ts";
import type { Clock } from "../base/clock.ts";
import { isStoreError, StoreError } from "../base/store-error.ts";
import { acquireDirectoryLock, type DirectoryLock, readLockHolder } from "../disk/directory-lock.ts";
import type { Disk } from "../disk/disk.ts";
import { ioError } from "../disk/io-error.ts";
import { isTemporaryName, replaceFile } from "../disk/replace-file.ts";
import { errorCode } from "../disk/system-error.ts";
import { type ConsumerPositionContent, decodeConsumerPosition, encodeConsumerPosition } from "../format/consumer-position.ts";
import { consumerFolder, consumerOfFolder } from "./consumer-name.ts";

/** The folder in the store's directory that holds the consumers' folders. */
export const CONSUMERS_FOLDER = "consumers";
const POSITION_FILE = "position";
/** A position takes less; a file beyond this is none. */
const POSITION_BYTES_MAX = 4096;

export class ConsumerFile {
  readonly name: string;
  readonly #disk: Disk;
  readonly #folder: string;
  readonly #storeId: Uint8Array;

  /** @param storeId zeros where the layout has none */
  constructor(disk: Disk, directory: string, name: string, storeId: Uint8Array) {
    this.name = name;
    this.#disk = disk;
    this.#folder = join(directory, CONSUMERS_FOLDER, consumerFolder(name));
    this.#storeId = storeId;
  }

  get path(): string {
    return join(this.#folder, POSITION_FILE);
  }

  /** Takes the name, and tidies its folder. Rejects with `LOCKED` where another has it. */
  async hold(clock: Clock, waitMs: number, signal: AbortSignal | undefined): Promise<DirectoryLock> {
    try {
      await this.#disk.makeDirectory(this.#folder);
      const lock = await acquireDirectoryLock(this.#disk, this.#folder, { clock, waitMs, signal });
      for (const entry of await this.#disk.list(this.#folder)) {
        if (isTemporaryName(entry)) await this.#disk.remove(join(this.#folder, entry));
      }
      return lock;
    } catch (error) {
      throw isStoreError(error, "LOCKED") ? this.#lockedError(error) : asIoError("open the consumer", this.#folder, error);
    }
  }

  #lockedError(error: StoreError<"LOCKED">): StoreError<"LOCKED"> {
    const { pid, since, sameProcess } = error.details;
    const who = sameProcess ? "this process" : pid === null ? "another process" : `process ${pid}`;
    const text = `Cannot open the consumer ${this.name}: ${who} has it${since === null ? "" : ` since ${since.toISOString()}`}; close it there, or wait for it with lockWaitMs`;
    return new StoreError("LOCKED", text, error.details, { cause: error });
  }

  /** Whether a living process has the name. */
  async isHeld(): Promise<boolean> {
    return (await readLockHolder(this.#disk, this.#folder)) !== null;
  }

  /** The position; null where there is none. Throws `CORRUPT` where it cannot be believed. */
  async read(): Promise<ConsumerPositionContent | null> {
    const bytes = await this.#readAll();
    if (bytes === null) return null;
    const decoded = decodeConsumerPosition(bytes);
    if (decoded.kind !== "ok") throw this.#corrupt(decoded.reason);
    if (decoded.content.name !== this.name) throw this.#corrupt("it is another consumer's");
    if (!sameBytes(decoded.content.storeId, 0, this.#storeId, 0, 16)) throw this.#corrupt("it is another store's");
    return decoded.content;
  }

  async #readAll(): Promise<Uint8Array | null> {
    try {
      if ((await this.#disk.status(this.path)) === null) return null;
      const file = await this.#disk.open(this.path, "read");
      try {
        const bytes = new Uint8Array(POSITION_BYTES_MAX);
        return bytes.subarray(0, await file.read(bytes, 0, bytes.length, 0));
      } finally {
        await file.close();
      }
    } catch (error) {
      if (errorCode(error) === "ENOENT") return null;
      throw asIoError("read the consumer's position", this.path, error);
    }
  }

  #corrupt(reason: string): StoreError<"CORRUPT"> {
    return new StoreError(
      "CORRUPT",
      `Cannot open the consumer ${this.name}: its position in ${this.path} cannot be believed, ${reason}; restore the file, or say with resetTo where to go on`,
      { file: this.path, reason },
    );
  }

  /** Writes the position; durable when it resolves. Only for the holder. */
  async write(position: number, hash: string | null): Promise<void> {
    const bytes = encodeConsumerPosition({ storeId: this.#storeId, name: this.name, position, hash });
    try {
      await replaceFile(this.#disk, this.#folder, POSITION_FILE, bytes);
    } catch (error) {
      throw asIoError("write the consumer's position", this.path, error);
    }
  }

  /** Removes the position; the folder stays, since its lock file must. Commit point: the removal. */
  async remove(): Promise<void> {
    try {
      if ((await this.#disk.status(this.path)) === null) return;
      await this.#disk.remove(this.path);
      await this.#disk.syncDirectory(this.#folder);
    } catch (error) {
      throw asIoError("delete the consumer's position", this.path, error);
    }
  }
}

/** Names that have a folder, in order; those without a position are among them. */
export async function listConsumerNames(disk: Disk, directory: string): Promise<string[]> {
  const folder = join(directory, CONSUMERS_FOLDER);
  try {
    if ((await disk.status(folder)) === null) return [];
    const names = (await disk.list(folder)).map(consumerOfFolder);
    return names.filter((name) => name !== null).sort();
  } catch (error) {
    throw asIoError("list the consumers", folder, error);
  }
}

function asIoError(operation: string, path: string, error: unknown): unknown {
  return error instanceof StoreError || errorCode(error) === undefined ? error : ioError(operation, path, error);
}
