/**
 * The segment files of one directory, opened for reading when they are first needed and kept open, a bounded number of them.
 * Names are `NNNNNN.fbat`, numbered from 1; a seventh digit simply appears, so they are sorted by number, never by name.
 */
import { join } from "node:path";
import { sameBytes } from "../base/hex.ts";
import { StoreError } from "../base/store-error.ts";
import type { Disk, DiskFile } from "../disk/disk.ts";
import { errorCode, isOutOfDescriptors } from "../disk/system-error.ts";
import { decodeSegmentHeader, SEGMENT_HEADER, type SegmentHeader, type SegmentHeaderOutcome } from "../format/native/segment-header.ts";

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

type ExpectedHeader = Pick<SegmentHeader, "storeId" | "generation">;

export class SegmentFiles {
  readonly directory: string;
  readonly disk: Disk;
  readonly #open = new Map<number, DiskFile>();
  /** Files that may not be closed to make room: somebody reads them asynchronously. */
  readonly #pins = new Map<number, number>();
  /** Files that were forgotten while somebody read them. */
  readonly #forgotten = new Map<number, DiskFile[]>();
  readonly #pathOf: (id: number) => string;

  /** Told of a file that was replaced or removed, before anybody can read the new one. */
  onForget: (id: number) => void = () => {};

  /** What a segment's header must say, beside a writer that may compact; null: anything. Asked when a file is opened. */
  expected: (id: number) => ExpectedHeader | null = () => null;
  /** Whether a file was found to be another than expected. */
  isOutdated = false;
  #retired = false;
  #closed = false;

  /** @param pathOf where a segment's file lies, if not under its name in the directory */
  constructor(disk: Disk, directory: string, pathOf?: (id: number) => string) {
    this.disk = disk;
    this.directory = directory;
    this.#pathOf = pathOf ?? ((id) => join(directory, segmentName(id)));
  }

  path(id: number): string {
    return this.#pathOf(id);
  }

  /** The file, open for reading. Valid until the caller's next turn of the event loop, or as long as it is pinned. */
  file(id: number): DiskFile {
    const open = this.#open.get(id);
    if (open !== undefined) return open;
    if (this.#closed) throw new StoreError("CLOSED", "Cannot read: the store is closed, open it again", {});
    if (this.#retired) throw this.#outdatedError(id);
    if (this.#open.size >= OPEN_FILES_MAX) this.#closeOne();
    const file = this.#openWithRoom(id);
    this.#open.set(id, file);
    return file;
  }

  #openWithRoom(id: number): DiskFile {
    for (;;) {
      try {
        return this.#openExpected(id);
      } catch (error) {
        // The descriptor of a large file that was replaced may be free only a little later: then another is let go of.
        if (!isOutOfDescriptors(error) || !this.#closeOne()) throw error;
      }
    }
  }

  /** Opens a segment's file to write it. Where the system gives no more descriptors, those that are held for reading are let go of first. */
  async openToWrite(id: number, mode: "write" | "create"): Promise<DiskFile> {
    try {
      return await this.disk.open(this.path(id), mode);
    } catch (error) {
      if (!isOutOfDescriptors(error) || !this.#closeOne()) throw error;
      while (this.#closeOne());
      return await this.disk.open(this.path(id), mode);
    }
  }

  /** The size of a segment's file, which is not held open: a reader must notice where another one has its name by the time it is read. */
  sizeOf(id: number): number {
    return this.glance(id, (file) => file.sizeSync());
  }

  /** What `look` finds in a segment's file, which is not held open either. */
  glance<Result>(id: number, look: (file: DiskFile) => Result): Result {
    const open = this.#open.get(id);
    if (open !== undefined) return look(open);
    const file = this.disk.openSync(this.path(id));
    try {
      return look(file);
    } finally {
      file.closeSync();
    }
  }

  #openExpected(id: number): DiskFile {
    const expected = this.expected(id);
    if (expected === null) return this.disk.openSync(this.path(id));
    let file: DiskFile;
    try {
      file = this.disk.openSync(this.path(id));
    } catch (error) {
      if (errorCode(error) !== "ENOENT") throw error;
      throw this.#outdatedError(id);
    }
    try {
      this.assertGeneration(file, id, expected);
    } catch (error) {
      file.closeSync();
      throw error;
    }
    return file;
  }

  /** Throws `COMPACTED` where the segment's file is of a later generation: another process has made it anew, by a compaction or a repair. */
  assertGeneration(file: DiskFile, id: number, { storeId, generation }: ExpectedHeader): void {
    const outcome = headerIn(file);
    // A broken header, or another segment's, says nothing of either, and generations only rise: what lies behind it is checked frame by frame.
    if (outcome.kind !== "ok" || outcome.header.segmentId !== id || outcome.header.generation <= generation) return;
    if (sameBytes(outcome.header.storeId, 0, storeId, 0, storeId.length)) throw this.#outdatedError(id);
  }

  /** Throws `COMPACTED` where the file that has the segment's name by now is another than the one that is held open, or of a later generation than expected. */
  assertNameKept(id: number): void {
    if (this.expected(id) === null || this.#closed) return;
    const file = this.#openExpected(id);
    try {
      if (this.isOther(id, headerBytes(file))) throw this.#outdatedError(id);
    } finally {
      file.closeSync();
    }
  }

  /** Whether the file that begins so, and has the segment's name by now, is another than the one that is held open: a header is written once, and says when. */
  isOther(id: number, header: Uint8Array): boolean {
    const held = this.#open.get(id);
    return held !== undefined && Buffer.compare(headerBytes(held), header) !== 0;
  }

  #outdatedError(id: number): StoreError<"COMPACTED"> {
    this.isOutdated = true;
    const message = `Cannot read segment ${id}: another process has compacted or repaired the store, call refresh() and read again`;
    return new StoreError("COMPACTED", message, { segmentId: id });
  }

  /** The log was read anew, into other parts: nothing is opened any more, and what somebody reads in stays open until he has done. */
  retire(): void {
    this.#retired = true;
    for (const id of Array.from(this.#open.keys())) this.forget(id);
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
      for (const file of this.#forgotten.get(id) ?? []) file.closeSync();
      this.#forgotten.delete(id);
    }
  }

  /** False where none can be. */
  #closeOne(): boolean {
    for (const [id, file] of this.#open) {
      if (this.#pins.has(id)) continue;
      this.#open.delete(id);
      file.closeSync();
      return true;
    }
    return false;
  }

  /** Forgets a file that was replaced or removed; whoever has pinned it reads on in the old one. */
  forget(id: number): void {
    const file = this.#open.get(id);
    this.#open.delete(id);
    this.onForget(id);
    if (file === undefined) return;
    if (!this.#pins.has(id)) return file.closeSync();
    const forgotten = this.#forgotten.get(id);
    if (forgotten === undefined) this.#forgotten.set(id, [file]);
    else forgotten.push(file);
  }

  closeAll(): void {
    this.#closed = true;
    for (const file of this.#open.values()) file.closeSync();
    for (const file of Array.from(this.#forgotten.values()).flat()) file.closeSync();
    this.#open.clear();
    this.#forgotten.clear();
    this.#pins.clear();
  }
}

/** The header of a segment's file, whatever it says. Blocking, about ten microseconds. */
export function headerIn(file: DiskFile): SegmentHeaderOutcome {
  return decodeSegmentHeader(headerBytes(file));
}

/** The bytes where a header stands, as many as the file has. */
export function headerBytes(file: DiskFile): Uint8Array {
  const bytes = new Uint8Array(SEGMENT_HEADER.bytes);
  return bytes.subarray(0, file.readSync(bytes, 0, bytes.length, 0));
}
