/**
 * Writes groups of frames to the newest segment, and makes the next segment when one is full.
 *
 * Invariants:
 * 1. Bytes before `syncedOffset` of the current segment are on stable storage.
 * 2. A new segment's file and name are synced before anything in it is acknowledged, and it is made only after every frame of the old one,
 *    its seal included, is synced, whatever the durability.
 * 3. Only zeros lie between the last frame and the end of the file.
 *
 * A crash can leave: a torn tail of the last group; zeros after the last frame; a sealed segment without a successor; a successor whose
 * header is not whole. Recovery takes each of them.
 */
import type { Disk, DiskFile } from "../disk/disk.ts";
import { errorCode } from "../disk/system-error.ts";
import { SEGMENT_HEADER, encodeSegmentHeader, type SegmentHeader } from "../format/native/segment-header.ts";
import type { SegmentFiles } from "./segment-files.ts";

/** Commits up to this size are written into zeros laid out beforehand: overwriting costs no journal commit (docs/performance.md). */
const EXTEND_FOR_BYTES_MAX = 64 * 1024;
const EXTEND_STEP_BYTES = 1024 * 1024;
const ZEROS = new Uint8Array(EXTEND_STEP_BYTES);
/** A full disk, a quota, a limit on the size of files. */
const NO_ROOM: ReadonlySet<string> = new Set(["ENOSPC", "EDQUOT", "EFBIG"]);

export class SegmentWriter {
  readonly #disk: Disk;
  readonly #files: SegmentFiles;
  readonly #segmentBytesMax: number;
  #file: DiskFile | null = null;
  /** The id of the segment being written; 0 where there is none yet. */
  segmentId = 0;
  syncedOffset = 0;
  #extendedTo = 0;
  #writtenTo = 0;
  /** False once the disk had no room for zeros in this segment. */
  #extends = true;

  constructor(files: SegmentFiles, segmentBytesMax: number) {
    this.#disk = files.disk;
    this.#files = files;
    this.#segmentBytesMax = segmentBytesMax;
  }

  /** Goes on in a segment that is there, of which `end` bytes are frames, all of them synced. */
  async resume(segmentId: number, end: number): Promise<void> {
    this.#file = await this.#disk.open(this.#files.path(segmentId), "write");
    this.segmentId = segmentId;
    this.syncedOffset = end;
    this.#writtenTo = end;
    this.#extends = true;
    this.#extendedTo = await this.#file.size();
  }

  /** Makes a segment. Commit point: the directory sync, after which the name and the whole header are durable. */
  async create(header: SegmentHeader): Promise<void> {
    await this.#file?.close();
    this.#file = null;
    const file = await this.#disk.open(this.#files.path(header.segmentId), "create");
    this.#file = file;
    await file.write(encodeSegmentHeader(header), 0, SEGMENT_HEADER.bytes, 0, false);
    await file.sync();
    await this.#disk.syncDirectory(this.#files.directory);
    this.segmentId = header.segmentId;
    this.syncedOffset = SEGMENT_HEADER.bytes;
    this.#writtenTo = SEGMENT_HEADER.bytes;
    this.#extendedTo = SEGMENT_HEADER.bytes;
    this.#extends = true;
  }

  /** Writes `length` bytes at `position`, the end of what was written. With `durable`, resolves when they are on stable storage. */
  async write(bytes: Uint8Array, length: number, position: number, durable: boolean): Promise<void> {
    const file = this.#open();
    const isSmall = durable && length <= EXTEND_FOR_BYTES_MAX;
    if (isSmall && this.#extends && position + length > this.#extendedTo) await this.#extend(file, position + length);
    await file.write(bytes, 0, length, position, durable);
    this.#writtenTo = position + length;
    if (durable) this.syncedOffset = this.#writtenTo;
  }

  async #extend(file: DiskFile, needed: number): Promise<void> {
    const end = Math.min(needed + EXTEND_STEP_BYTES, Math.max(this.#segmentBytesMax, needed));
    const from = Math.max(this.#extendedTo, this.#writtenTo);
    try {
      for (let at = from; at < end; at += ZEROS.length) await file.write(ZEROS, 0, Math.min(ZEROS.length, end - at), at, false);
    } catch (error) {
      if (!NO_ROOM.has(errorCode(error) ?? "")) throw error;
      // What was asked for may fit without them: the zeros give way to it. Nothing but zeros was written here, so nothing can be lost.
      await file.truncate(this.#writtenTo);
      this.#extendedTo = this.#writtenTo;
      this.#extends = false;
      return;
    }
    await file.sync();
    this.#extendedTo = end;
  }

  /** Resolves when everything written so far is on stable storage; gives the position up to which. */
  async sync(): Promise<number> {
    const end = this.#writtenTo;
    const { segmentId } = this;
    if (this.syncedOffset < end) {
      await this.#open().sync();
      if (this.segmentId === segmentId) this.syncedOffset = Math.max(this.syncedOffset, end);
    }
    return end;
  }

  /** Appends the seal and syncs the whole segment: after this, nothing more is appended to it. Commit point: the sync. */
  async seal(frame: Uint8Array): Promise<void> {
    const file = this.#open();
    await file.write(frame, 0, frame.length, this.#writtenTo, false);
    this.#writtenTo += frame.length;
    await file.truncate(this.#writtenTo);
    await file.sync();
    this.syncedOffset = this.#writtenTo;
    this.#extendedTo = this.#writtenTo;
  }

  /** Gives back the zeros at the end. */
  async trim(): Promise<void> {
    if (this.#file === null || this.#extendedTo <= this.#writtenTo) return;
    await this.#file.truncate(this.#writtenTo);
    this.#extendedTo = this.#writtenTo;
  }

  async close(): Promise<void> {
    await this.#file?.close();
    this.#file = null;
  }

  #open(): DiskFile {
    if (this.#file === null) throw new Error("The segment writer is closed");
    return this.#file;
  }
}
