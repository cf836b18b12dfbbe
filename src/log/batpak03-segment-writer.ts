/**
 * The segment files of the batpak 0.3 layout that this writer makes: header, groups of frames, footer. It never goes on in a file that was there.
 *
 * Invariants:
 * 1. Bytes before `syncedOffset` of the current segment are on stable storage; nothing but frames and, at the end, a footer is ever written:
 *    no zeros are laid out beforehand, since other readers of this layout take them for empty frames.
 * 2. A segment is made only after the one before it has its footer and is synced whole. Its file, its name and the mark that names it are
 *    synced before a frame is written to it.
 *
 * A crash can leave: a torn group; a torn footer; a segment whose header is not whole, or without frames. Opening takes each of them.
 */
import type { DiskFile } from "../disk/disk.ts";
import type { SegmentFiles } from "./segment-files.ts";

export class Batpak03SegmentWriter {
  readonly #files: SegmentFiles;
  #file: DiskFile | null = null;
  #writtenTo = 0;
  /** The newest segment and how far it is synced: that of an earlier writer until this one has made its first. */
  segmentId: number;
  syncedOffset: number;

  constructor(files: SegmentFiles, segmentId: number, syncedOffset: number) {
    this.#files = files;
    this.segmentId = segmentId;
    this.syncedOffset = syncedOffset;
  }

  /** Makes a segment. Commit point: the directory sync, after which the name and the whole header are durable. */
  async create(segmentId: number, header: Uint8Array): Promise<void> {
    const { disk, directory } = this.#files;
    await this.close();
    const file = await this.#files.openToWrite(segmentId, "create");
    this.#file = file;
    await file.write(header, 0, header.length, 0, false);
    await file.sync();
    await disk.syncDirectory(directory);
    this.segmentId = segmentId;
    this.#writtenTo = header.length;
    this.syncedOffset = header.length;
  }

  /** Writes `length` bytes at `position`, the end of what was written. With `durable`, resolves when they are on stable storage. */
  async write(bytes: Uint8Array, length: number, position: number, durable: boolean): Promise<void> {
    await this.#current().write(bytes, 0, length, position, durable);
    this.#writtenTo = position + length;
    if (durable) this.syncedOffset = this.#writtenTo;
  }

  /** Resolves when everything written so far is on stable storage. */
  async sync(): Promise<void> {
    const { segmentId } = this;
    const end = this.#writtenTo;
    if (this.#file === null || this.syncedOffset >= end) return;
    await this.#file.sync();
    if (this.segmentId === segmentId) this.syncedOffset = Math.max(this.syncedOffset, end);
  }

  /** Writes the footer and syncs the whole segment: nothing follows it. Commit point: the sync. */
  async seal(parts: Iterable<Uint8Array>): Promise<void> {
    const file = this.#current();
    let position = this.#writtenTo;
    for (const part of parts) {
      await file.write(part, 0, part.length, position, false);
      position += part.length;
    }
    await file.sync();
    // The mark speaks of frames: of the footer it says nothing.
    this.syncedOffset = this.#writtenTo;
  }

  async close(): Promise<void> {
    await this.#file?.close();
    this.#file = null;
  }

  #current(): DiskFile {
    if (this.#file === null) throw new Error("The segment writer has no segment");
    return this.#file;
  }
}
