/** The file of the durable mark (`format/native/durable-mark.ts`), open for writing: one small write to the page cache after each commit. */
import { join } from "node:path";
import type { Disk, DiskFile } from "../disk/disk.ts";
import { ifThere } from "../disk/system-error.ts";
import { DURABLE_MARK, DURABLE_MARK_FILE, decodeDurableMark, encodeDurableMark, type DurableMark } from "../format/native/durable-mark.ts";

export class MarkFile {
  readonly #file: DiskFile;
  readonly #bytes = new Uint8Array(DURABLE_MARK.bytes);
  readonly #view = new DataView(this.#bytes.buffer);

  /** Makes its name durable; null where it was there before. */
  #syncName: (() => Promise<void>) | null;

  private constructor(file: DiskFile, syncName: (() => Promise<void>) | null) {
    this.#file = file;
    this.#syncName = syncName;
  }

  /** Opens the mark for writing, making it where there is none. */
  static async open(disk: Disk, directory: string): Promise<MarkFile> {
    const path = join(directory, DURABLE_MARK_FILE);
    const there = (await disk.status(path)) !== null;
    return new MarkFile(await disk.open(path, there ? "write" : "create"), there ? null : () => disk.syncDirectory(directory));
  }

  write(mark: DurableMark): void {
    encodeDurableMark(mark, this.#bytes, this.#view);
    this.#file.writeSync(this.#bytes, 0, this.#bytes.length, 0);
  }

  async sync(): Promise<void> {
    await this.#file.sync();
  }

  /** Makes its name durable where it was made here. Nothing that was promised rests on it: where that fails, it is as it was. */
  async syncName(): Promise<void> {
    await this.#syncName?.().catch(() => {});
    this.#syncName = null;
  }

  async close(): Promise<void> {
    await this.#file.close();
  }
}

/** Calls `written` after each write of the mark; null where that is not told of, or no mark is there. As `watch` of a disk. */
export function watchMark(disk: Disk, directory: string, written: (isGone: boolean) => void): (() => void) | null {
  return disk.watch?.(join(directory, DURABLE_MARK_FILE), written) ?? null;
}

/** The mark in this directory; null where there is none that can be believed. */
export async function readMark(disk: Disk, directory: string): Promise<DurableMark | null> {
  const path = join(directory, DURABLE_MARK_FILE);
  if ((await disk.status(path))?.type !== "file") return null;
  // A few bytes, at once: an asynchronous call takes ten times as long. A repair may remove the file in between.
  const file = await ifThere(() => disk.openSync(path));
  if (file === null) return null;
  try {
    const bytes = new Uint8Array(DURABLE_MARK.bytes);
    const count = file.readSync(bytes, 0, bytes.length, 0);
    return decodeDurableMark(bytes.subarray(0, count));
  } finally {
    file.closeSync();
  }
}
