/** Opening a directory: which store is there, who holds it, what may be shown of it. */
import { basename, dirname, join, relative, resolve } from "node:path";
import { sameBytes } from "./base/hex.ts";
import { viewOf } from "./base/msgpack.ts";
import { StoreError } from "./base/store-error.ts";
import { readLockHolder } from "./disk/directory-lock.ts";
import type { Disk } from "./disk/disk.ts";
import { ioError } from "./disk/io-error.ts";
import { isTemporaryName } from "./disk/replace-file.ts";
import { errorCode } from "./disk/system-error.ts";
import { CHECKPOINT_VERSION, CHECKPOINT_VERSIONS_LATER } from "./format/batpak03/layout.ts";
import { beginsHeaderMap } from "./format/batpak03/segment.ts";
import { CHECKPOINT, CHECKPOINT_FILE, CHECKPOINT_MAGIC, NATIVE_CHECKPOINT_VERSION } from "./format/native/checkpoint.ts";
import { DURABLE_MARK_FILE, type DurableMark } from "./format/native/durable-mark.ts";
import { readMark } from "./log/mark-file.ts";
import { segmentName } from "./log/segment-files.ts";
import { segmentIdsAmong } from "./log/segment-list.ts";
import type { StoreProblem } from "./open-report.ts";
import type { Layout } from "./store-options.ts";

/** Beside the log of a converted store: the source's last hash of each entity. */
export const CONVERSION_FILE = "conversion.jsonl";

/** In a directory that a conversion has not done with: what is there may be cleared by the next one. Of a store that is in use it says nothing. */
export const UNFINISHED_FILE = "conversion.unfinished";

/** Whether the path is the directory, or is in it. */
export function liesIn(directory: string, path: string): boolean {
  return /^(?!\.\.(?:[/\\]|$))/.test(relative(resolve(directory), resolve(path)));
}

/** The same, also where symbolic links lead there. */
export async function leadsInto(disk: Disk, directory: string, path: string): Promise<boolean> {
  return liesIn(directory, path) || liesIn(await realPathOf(disk, directory), await realPathOf(disk, path));
}

/** Without symbolic links. Of what is not there yet the directories above it tell; what cannot be followed is left as it is, for those who open it. */
async function realPathOf(disk: Disk, path: string): Promise<string> {
  try {
    return (await disk.realPath?.(path)) ?? path;
  } catch (error) {
    const above = dirname(path);
    return errorCode(error) !== "ENOENT" || above === path ? path : join(await realPathOf(disk, above), basename(path));
  }
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

/**
 * The layout of the segments in a directory, by the first that has its magic. Where damage has left none, by what else only one layout has: the map in a
 * header, the version of the checkpoint. Null where nothing says.
 */
export async function layoutOf(disk: Disk, directory: string, segmentIds: readonly number[]): Promise<Layout | null> {
  let hasMap = false;
  for (const id of segmentIds) {
    const start = readStart(disk, join(directory, segmentName(id)));
    const text = Buffer.from(start).toString("latin1");
    if (text.startsWith("BATPAKSG")) return "native";
    if (text.startsWith("FBAT")) return "batpak-0.3";
    hasMap ||= beginsHeaderMap(start);
  }
  if (hasMap) return "batpak-0.3";
  const path = join(directory, CHECKPOINT_FILE);
  if ((await disk.status(path))?.type !== "file") return null;
  return layoutOfCheckpoint(readStart(disk, path));
}

const START_BYTES = 32;

/** A few bytes, at once: an asynchronous call takes ten times as long. */
function readStart(disk: Disk, path: string): Uint8Array {
  const file = disk.openSync(path);
  try {
    const start = new Uint8Array(START_BYTES);
    return start.subarray(0, file.readSync(start, 0, start.length, 0));
  } finally {
    file.closeSync();
  }
}

function layoutOfCheckpoint(start: Uint8Array): Layout | null {
  if (start.length < CHECKPOINT.description || !sameBytes(start, 0, CHECKPOINT_MAGIC, 0, CHECKPOINT_MAGIC.length)) return null;
  const version = viewOf(start).getUint16(CHECKPOINT.version, true);
  if (version === NATIVE_CHECKPOINT_VERSION) return "native";
  return version >= CHECKPOINT_VERSION && version <= CHECKPOINT_VERSIONS_LATER.last ? "batpak-0.3" : null;
}

/** What a directory holds, for whoever opens it. */
export interface DirectoryListing {
  readonly segmentIds: readonly number[];
  readonly layout: Layout | null;
  /** Names of files that speak of events although there are no segments: these are lost. */
  readonly orphans: readonly string[];
  /** Whether a conversion made the directory. */
  readonly converted: boolean;
  /** Whether that one was cut off, if only before it could say that it was done. */
  readonly unfinished: boolean;
  /** Names of leftovers that the next writer is to remove. */
  readonly temporaries: readonly string[];
}

export async function listDirectory(disk: Disk, directory: string): Promise<DirectoryListing> {
  const names = await disk.list(directory);
  const segmentIds = segmentIdsAmong(names);
  const layout = await layoutOf(disk, directory, segmentIds);
  const orphans = segmentIds.length === 0 ? await orphansIn(disk, directory) : [];
  const converted = (await disk.status(join(directory, CONVERSION_FILE))) !== null;
  const unfinished = names.includes(UNFINISHED_FILE);
  return { segmentIds, layout, orphans, converted, unfinished, temporaries: names.filter(isTemporaryName) };
}

/** Says that the store is somebody's now. The directory must have its name for good: without the file, a conversion that lost it would be refused there. */
export async function endConversion(disk: Disk, directory: string): Promise<void> {
  await disk.remove(join(directory, UNFINISHED_FILE));
  await disk.syncDirectory(directory);
}

/** A checkpoint is written of segments only. A mark is written behind the first segment, and may speak of no event yet. */
async function orphansIn(disk: Disk, directory: string): Promise<string[]> {
  const orphans = (await disk.status(join(directory, CHECKPOINT_FILE))) === null ? [] : [CHECKPOINT_FILE];
  const mark = await readMark(disk, directory);
  if (mark !== null && mark.visibleSequence > 0) orphans.push(DURABLE_MARK_FILE);
  return orphans;
}

/** What a reader is told of a directory with orphans. */
export function segmentsLost(orphans: readonly string[]): StoreProblem {
  const message = `Every event is lost: ${orphans.join(" and ")} ${orphans.length > 1 ? "speak" : "speaks"} of some, and there are no segments`;
  return { code: "DAMAGED", message };
}

/** What a writer, or a repair, is refused with there. */
export function segmentsLostError(directory: string, orphans: readonly string[], operation: string): StoreError<"CORRUPT"> {
  const names = orphans.join(" and ");
  const what = `${directory} has ${names} and no segments`;
  return new StoreError("CORRUPT", `Cannot ${operation}: ${what}; its events are gone, restore them or remove ${names}`, {
    reason: "the segments that the checkpoint or the mark speaks of are missing",
    lost: "every event",
  });
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
