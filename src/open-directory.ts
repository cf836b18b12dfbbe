/** Opening a directory: which store is there, who holds it, what may be shown of it. */
import { join, relative, resolve } from "node:path";
import { StoreError } from "./base/store-error.ts";
import { readLockHolder } from "./disk/directory-lock.ts";
import type { Disk } from "./disk/disk.ts";
import { ioError } from "./disk/io-error.ts";
import { isTemporaryName } from "./disk/replace-file.ts";
import { errorCode } from "./disk/system-error.ts";
import { CHECKPOINT_FILE } from "./format/native/checkpoint.ts";
import type { DurableMark } from "./format/native/durable-mark.ts";
import { readMark } from "./log/mark-file.ts";
import { segmentName } from "./log/segment-files.ts";
import { segmentIdsAmong } from "./log/segment-list.ts";
import type { Layout } from "./store-options.ts";

/** Beside the log of a converted store: the source's last hash of each entity. */
export const CONVERSION_FILE = "conversion.jsonl";

/** Whether the path is the directory, or is in it. */
export function liesIn(directory: string, path: string): boolean {
  return /^(?!\.\.(?:[/\\]|$))/.test(relative(resolve(directory), resolve(path)));
}

/** Makes an error of the file system one of ours; anything else passes. */
export function asStoreError(operation: string, path: string, error: unknown): unknown {
  if (error instanceof StoreError || errorCode(error) === undefined || errorCode(error) === "INVALID_ARGUMENT") return error;
  return ioError(operation, path, error);
}

/** Whether there is a directory; throws `IO` where something else has its name. */
export async function directoryExists(disk: Disk, directory: string): Promise<boolean> {
  const status = await disk.status(directory);
  if (status === null) return false;
  if (status.type === "directory" || status.type === "symlink") return true;
  throw new StoreError("IO", `Cannot open the store: ${directory} is a ${status.type}, a directory is allowed`, {
    operation: "open",
    path: directory,
    errno: "ENOTDIR",
  });
}

/** The layout of the segments in a directory; null where there are none that say. */
export function layoutOf(disk: Disk, directory: string, segmentIds: readonly number[]): Layout | null {
  for (const id of segmentIds) {
    // A few bytes, at once: an asynchronous call takes ten times as long.
    const file = disk.openSync(join(directory, segmentName(id)));
    try {
      const magic = new Uint8Array(8);
      const count = file.readSync(magic, 0, 8, 0);
      const text = Buffer.from(magic.subarray(0, count)).toString("latin1");
      if (text.startsWith("BATPAKSG")) return "native";
      if (text.startsWith("FBAT")) return "batpak-0.3";
    } finally {
      file.closeSync();
    }
  }
  return null;
}

/** What a directory holds, for whoever opens it. */
export interface DirectoryListing {
  readonly segmentIds: readonly number[];
  readonly layout: Layout | null;
  /** Whether there is a checkpoint although there are no segments. */
  readonly orphanCheckpoint: boolean;
  /** Whether a conversion made the directory. */
  readonly converted: boolean;
  /** Names of leftovers that the next writer is to remove. */
  readonly temporaries: readonly string[];
}

export async function listDirectory(disk: Disk, directory: string): Promise<DirectoryListing> {
  const names = await disk.list(directory);
  const segmentIds = segmentIdsAmong(names);
  const layout = layoutOf(disk, directory, segmentIds);
  const orphanCheckpoint = segmentIds.length === 0 && (await disk.status(join(directory, CHECKPOINT_FILE))) !== null;
  const converted = (await disk.status(join(directory, CONVERSION_FILE))) !== null;
  return { segmentIds, layout, orphanCheckpoint, converted, temporaries: names.filter(isTemporaryName) };
}

/** What a reader may see: everything that recovery would keep, or, beside a living writer, what its mark says. */
export type ReaderView =
  | { readonly writer: false; readonly mark: DurableMark | null }
  | { readonly writer: true; readonly mark: DurableMark | null };

export async function readerView(disk: Disk, directory: string): Promise<ReaderView> {
  const holder = await readLockHolder(disk, directory);
  const mark = await readMark(disk, directory);
  return { writer: holder !== null, mark };
}
