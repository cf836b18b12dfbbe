/**
 * Replacing a small file whole: after a crash it holds either all of the old bytes or all of the new ones.
 *
 * Invariants:
 * 1. The new bytes are on stable storage before they get the file's name.
 * 2. The temporary file is new (never one that was there, so never a symbolic link) and in the same directory, so that a rename suffices.
 *
 * Commit point: the rename. Before it the old file stands; once its directory is synced the new one does; between the two a crash may
 * leave either. A crash can leave a temporary file behind: whoever opens the directory for writing removes what `isTemporaryName` knows.
 */
import { join } from "node:path";
import { StoreError } from "../base/store-error.ts";
import type { Disk, DiskFile } from "./disk.ts";
import { ioError } from "./io-error.ts";
import { errorCode } from "./system-error.ts";

const TEMPORARY_NAME = /^.+\.\d+-\d+\.tmp$/s;
const ATTEMPTS_MAX = 10_000;

/** What a file is to hold. */
export type FileContent = Uint8Array | Iterable<Uint8Array> | AsyncIterable<Uint8Array> | ((file: DiskFile) => Promise<void>);

/** Whether a file of this name is a leftover of `replaceFile`, to be removed by the directory's writer. */
export function isTemporaryName(name: string): boolean {
  return TEMPORARY_NAME.test(name);
}

/**
 * Replaces the file `name` in `directory`, or makes it, durably and whole.
 *
 * @param content the new bytes, or pieces of them in order; each piece is written or copied before the next is asked for. Or a function that
 * writes them to the temporary file, which it neither syncs nor closes.
 * @throws StoreError `IO` when the disk fails, or when `name` is a symbolic link. The old file then stands, unless it was the sync of
 * the directory that failed: then it is unknown which of the two a power cut would leave.
 * @example await replaceFile(disk, directory, "index.ckpt", bytes);
 */
export async function replaceFile(disk: Disk, directory: string, name: string, content: FileContent): Promise<void> {
  await putInPlace(disk, directory, name, await writeTemporary(disk, directory, name, content));
}

/** The second half of `replaceFile`: gives the file that `writeTemporary` wrote its name, or removes it where that fails. */
export async function putInPlace(disk: Disk, directory: string, name: string, temporary: string): Promise<void> {
  const target = join(directory, name);
  try {
    if ((await disk.status(target))?.type === "symlink") {
      throw new StoreError("IO", `Cannot replace "${target}": it is a symbolic link, and only a regular file is replaced`, {
        operation: "replace",
        path: target,
      });
    }
    await disk.rename(temporary, target);
  } catch (error) {
    await disk.remove(temporary).catch(() => {});
    throw error instanceof StoreError ? error : ioError("replace", target, error);
  }
  // Commit point: the rename above. It is durable from here on:
  try {
    await disk.syncDirectory(directory);
  } catch (error) {
    throw ioError("sync directory", directory, error);
  }
}

/** Writes and syncs the bytes under a temporary name, for `putInPlace` or to be removed by the caller; gives its path. */
export async function writeTemporary(disk: Disk, directory: string, name: string, content: FileContent): Promise<string> {
  const { path, file } = await createTemporary(disk, directory, name);
  try {
    await fill(file, content);
    return path;
  } catch (error) {
    await disk.remove(path).catch(() => {});
    throw error instanceof StoreError ? error : ioError("replace", join(directory, name), error);
  }
}

async function createTemporary(disk: Disk, directory: string, name: string): Promise<{ path: string; file: DiskFile }> {
  for (let attempt = 0; ; attempt += 1) {
    const path = join(directory, `${name}.${disk.self.pid}-${attempt}.tmp`);
    try {
      return { path, file: await disk.open(path, "create") };
    } catch (error) {
      if (errorCode(error) !== "EEXIST" || attempt === ATTEMPTS_MAX) throw ioError("create", path, error);
    }
  }
}

/** Smaller pieces are gathered up to this size: a write costs more than copying what it writes. */
const GATHER_BYTES = 256 * 1024;
/** How many writes of a list are under way at a time: Node's pool has four threads, and commits want one too. */
const WRITES_IN_FLIGHT = 3;

async function fill(file: DiskFile, content: FileContent): Promise<void> {
  try {
    if (typeof content === "function") await content(file);
    else if (Array.isArray(content)) await writeList(file, content as readonly Uint8Array[]);
    else await writePieces(file, content);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** Writes pieces that all are there already. */
async function writeList(file: DiskFile, pieces: readonly Uint8Array[]): Promise<void> {
  let next = 0;
  let position = 0;
  let failed = false;
  const writer = async (): Promise<void> => {
    while (next < pieces.length && !failed) {
      const from = next;
      let bytes = pieces[next++].length;
      while (next < pieces.length && bytes + pieces[next].length <= GATHER_BYTES) bytes += pieces[next++].length;
      const piece = next - from === 1 ? pieces[from] : Buffer.concat(pieces.slice(from, next), bytes);
      const at = position;
      position += bytes;
      await file.write(piece, 0, bytes, at, false).catch((error: unknown) => {
        failed = true;
        throw error;
      });
    }
  };
  // The file is not to be closed while something is still being written to it.
  for (const outcome of await Promise.allSettled(Array.from({ length: WRITES_IN_FLIGHT }, writer)))
    if (outcome.status === "rejected") throw outcome.reason;
}

async function writePieces(file: DiskFile, content: Exclude<FileContent, (file: DiskFile) => Promise<void>>): Promise<void> {
  let position = 0;
  let gathered = 0;
  let buffer: Uint8Array | null = null;
  const put = async (bytes: Uint8Array, length: number): Promise<void> => {
    if (length > 0) await file.write(bytes, 0, length, position, false);
    position += length;
  };
  for await (const piece of content instanceof Uint8Array ? [content] : content) {
    if (buffer !== null && gathered + piece.length > GATHER_BYTES) {
      await put(buffer, gathered);
      gathered = 0;
    }
    if (piece.length >= GATHER_BYTES || content instanceof Uint8Array) await put(piece, piece.length);
    else {
      buffer ??= new Uint8Array(GATHER_BYTES);
      buffer.set(piece, gathered);
      gathered += piece.length;
    }
  }
  if (buffer !== null) await put(buffer, gathered);
}
