/**
 * What a consumer keeps on disk: `consumers/<name>/position` and, beside it, a `lock` of its own. No part of the log: a process that opened the
 * store read-only writes here as well, beside the writer.
 *
 * Invariants:
 * 1. Only the holder of the lock writes the position. Two holders of one name are refused, in one process or in two.
 * 2. A damaged position is never taken for none. The file has a whole record at any time: of its two, only that is overwritten which is not in force.
 * 3. The file is replaced by each holder's first position, by one that goes back, and after a write that failed; so an older record that is taken where the
 *    newer one is not whole is the position before it, and never further.
 * 4. A holder writes the position that it finds before it relies on it: what a killed one wrote may not be on stable storage.
 * 5. A holder that lets go leaves one record, where the disk lets it: damage to that is `CORRUPT`. Only while the name is held, and after a crash, is a bad
 *    record taken for a torn one.
 *
 * Commit point of a position: the rename in `replaceFile`, or the durable write of its record. A crash leaves the position before or the new one, and
 * perhaps a temporary file, which the next holder removes. A folder without a position is that of a consumer that was never begun, or is deleted.
 */
import { join } from "node:path";
import { sameBytes } from "../base/hex.ts";
import type { Clock } from "../base/clock.ts";
import { isStoreError, StoreError } from "../base/store-error.ts";
import { acquireDirectoryLock, type DirectoryLock, readLockHolder } from "../disk/directory-lock.ts";
import type { Disk, DiskFile } from "../disk/disk.ts";
import { ioError } from "../disk/io-error.ts";
import { isTemporaryName, replaceFile } from "../disk/replace-file.ts";
import { errorCode } from "../disk/system-error.ts";
import {
  CONSUMER_FILE_BYTES_MAX,
  CONSUMER_SLOT_BYTES,
  type ConsumerPositionContent,
  decodeConsumerPosition,
  encodeConsumerPosition,
} from "../format/consumer-position.ts";
import { consumerFolder, consumerOfFolder } from "./consumer-name.ts";

/** The folder in the store's directory that holds the consumers' folders. */
export const CONSUMERS_FOLDER = "consumers";
const POSITION_FILE = "position";

export class ConsumerFile {
  readonly name: string;
  readonly #disk: Disk;
  readonly #folder: string;
  readonly #storeId: Uint8Array;
  /** What this holder wrote last; null before. */
  #written: ConsumerPositionContent | null = null;
  /** Whether the next position replaces the file. */
  #isToReplace = true;
  /** The file, once its records are overwritten. */
  #file: DiskFile | null = null;

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

  /** Takes the name, and tidies its folder. Rejects with `LOCKED` where another has it. Whatever it rejects with, it does not have the name. */
  async hold(clock: Clock, waitMs: number, signal: AbortSignal | undefined): Promise<DirectoryLock> {
    let lock: DirectoryLock | null = null;
    try {
      await this.#disk.makeDirectory(this.#folder);
      lock = await acquireDirectoryLock(this.#disk, this.#folder, { clock, waitMs, signal });
      for (const entry of await this.#disk.list(this.#folder)) {
        if (isTemporaryName(entry)) await this.#disk.remove(join(this.#folder, entry));
      }
      return lock;
    } catch (error) {
      // A record that cannot be emptied names a holder whose lock is gone all the same: what went wrong before is what is told.
      await lock?.release().catch(() => {});
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
        const bytes = new Uint8Array(CONSUMER_FILE_BYTES_MAX + 1);
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

  /** Writes the position; durable when it resolves. Only for the holder, one at a time. */
  async write(position: number, hash: string | null): Promise<void> {
    const before = this.#written;
    const goesOn = before !== null && position >= before.position && !this.#isToReplace;
    const turn = goesOn ? (before.turn + 1) >>> 0 : 0;
    const content = { storeId: this.#storeId, name: this.name, position, hash, turn };
    this.#isToReplace = true;
    try {
      if (goesOn) await this.#overwrite(content);
      else await this.#replace(content);
    } catch (error) {
      throw asIoError("write the consumer's position", this.path, error);
    }
    this.#written = content;
    this.#isToReplace = false;
  }

  async #overwrite(content: ConsumerPositionContent): Promise<void> {
    const bytes = encodeConsumerPosition(content);
    this.#file ??= await this.#disk.open(this.path, "write");
    await this.#file.write(bytes, 0, bytes.length, (content.turn & 1) * CONSUMER_SLOT_BYTES, true);
  }

  async #replace(content: ConsumerPositionContent): Promise<void> {
    await this.#closeFile();
    await replaceFile(this.#disk, this.#folder, POSITION_FILE, encodeConsumerPosition(content));
  }

  async #closeFile(): Promise<void> {
    const file = this.#file;
    this.#file = null;
    await file?.close();
  }

  /** Lets go of the file. Only for the holder. */
  async close(): Promise<void> {
    if (this.#file === null || this.#written === null) return;
    this.#isToReplace = true;
    // The position is durable, whether or not its file can be tidied.
    await this.#replace(this.#written).catch(() => {});
  }

  /** Removes the position; the folder stays, since its lock file must. Commit point: the removal. */
  async remove(): Promise<void> {
    this.#isToReplace = true;
    try {
      await this.#closeFile();
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
