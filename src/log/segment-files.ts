/**
 * The segment files of one directory, opened for reading when they are first needed and kept open, a bounded number of them.
 * Names are `NNNNNN.fbat`, numbered from 1; a seventh digit simply appears, so they are sorted by number, never by name.
 */
import { join } from "node:path";
import type { Disk, DiskFile } from "../disk/disk.ts";

const OPEN_FILES_MAX = 128;
const SEGMENT_NAME = /^(\d{6,15})\.fbat$/;

export function segmentName(id: number): string {
  return `${String(id).padStart(6, "0")}.fbat`;
}

/** The segment id that a file name stands for; null for any other name. */
export function segmentIdOf(name: string): number | null {
  const match = SEGMENT_NAME.exec(name);
  if (match === null) return null;
  const id = Number(match[1]);
  return id > 0 && segmentName(id) === name ? id : null;
}

export class SegmentFiles {
  readonly directory: string;
  readonly disk: Disk;
  readonly #open = new Map<number, DiskFile>();
  /** Files that may not be closed to make room: somebody reads them asynchronously. */
  readonly #pins = new Map<number, number>();
  /** Files that were forgotten while somebody read them. */
  readonly #forgotten = new Map<number, DiskFile>();

  /** Told of a file that was replaced or removed, before anybody can read the new one. */
  onForget: (id: number) => void = () => {};

  constructor(disk: Disk, directory: string) {
    this.disk = disk;
    this.directory = directory;
  }

  path(id: number): string {
    return join(this.directory, segmentName(id));
  }

  /** The file, open for reading. Valid until the caller's next turn of the event loop, or as long as it is pinned. */
  file(id: number): DiskFile {
    const open = this.#open.get(id);
    if (open !== undefined) return open;
    if (this.#open.size >= OPEN_FILES_MAX) this.#closeOne();
    const file = this.disk.openSync(this.path(id));
    this.#open.set(id, file);
    return file;
  }

  /** Keeps the file open until `unpin`. */
  pin(id: number): DiskFile {
    const file = this.file(id);
    this.#pins.set(id, (this.#pins.get(id) ?? 0) + 1);
    return file;
  }

  unpin(id: number): void {
    const pins = (this.#pins.get(id) ?? 0) - 1;
    if (pins > 0) this.#pins.set(id, pins);
    else {
      this.#pins.delete(id);
      this.#forgotten.get(id)?.closeSync();
      this.#forgotten.delete(id);
    }
  }

  #closeOne(): void {
    for (const [id, file] of this.#open) {
      if (this.#pins.has(id)) continue;
      this.#open.delete(id);
      file.closeSync();
      return;
    }
  }

  /** Forgets a file that was replaced or removed; whoever has pinned it reads on in the old one. */
  forget(id: number): void {
    const file = this.#open.get(id);
    this.#open.delete(id);
    this.onForget(id);
    if (file === undefined) return;
    if (this.#pins.has(id)) this.#forgotten.set(id, file);
    else file.closeSync();
  }

  closeAll(): void {
    for (const file of this.#open.values()) file.closeSync();
    for (const file of this.#forgotten.values()) file.closeSync();
    this.#open.clear();
    this.#forgotten.clear();
    this.#pins.clear();
  }
}
