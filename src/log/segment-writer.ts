/**
 * Writes groups of frames to the newest segment, and makes the next segment when one is full.
 *
 * Invariants:
 * 1. Bytes before `syncedOffset` of the current segment are on stable storage.
 * 2. A new segment's file and name are synced before anything in it is acknowledged, and it is made only after every frame of the old one,
 *    its seal included, is synced, whatever the durability.
 * 3. Only zeros lie between the last frame and the end of the file. They are laid out past `#extendedTo`, which no commit passes meanwhile.
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
/** Zeros are laid out this many bytes at a time, twice as many each time, up to the greater. */
const EXTEND_STEP_BYTES_MIN = 1024 * 1024;
const EXTEND_STEP_BYTES_MAX = 8 * 1024 * 1024;
/** A writer makes so many small commits without zeros: the first megabyte takes as long as a dozen of these, for nothing where few come. */
const COMMITS_BEFORE_ZEROS = 3;
/** One write of zeros: short, since a commit beside it waits for it. */
const ZEROS = new Uint8Array(128 * 1024);
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
  #extendStepBytes = EXTEND_STEP_BYTES_MIN;
  /** Small synced commits so far, no more than `COMMITS_BEFORE_ZEROS`. */
  #smallCommits = 0;
  /** Zeros being laid out beside the commits, past `#extendedTo`. Whoever writes there, or ends the segment, waits for it first. */
  #extending: Promise<void> | null = null;
  #syncing: Promise<void> | null = null;
  #failure: { readonly error: unknown } | null = null;

  constructor(files: SegmentFiles, segmentBytesMax: number) {
    this.#disk = files.disk;
    this.#files = files;
    this.#segmentBytesMax = segmentBytesMax;
  }

  /** Goes on in a segment that is there, of which `end` bytes are frames, all of them synced. */
  async resume(segmentId: number, end: number): Promise<void> {
    this.#file = await this.#files.openToWrite(segmentId, "write");
    this.segmentId = segmentId;
    this.syncedOffset = end;
    this.#writtenTo = end;
    this.#extends = true;
    this.#extendedTo = await this.#file.size();
  }

  /** Makes a segment. Commit point: the directory sync, after which the name and the whole header are durable. */
  async create(header: SegmentHeader): Promise<void> {
    await this.#extended();
    // Somebody may have begun to sync it since it was sealed: a file is not closed under a sync.
    await this.#syncing;
    await this.#file?.close();
    this.#file = null;
    const file = await this.#files.openToWrite(header.segmentId, "create");
    this.#file = file;
    await file.write(encodeSegmentHeader(header), 0, SEGMENT_HEADER.bytes, 0, false);
    await file.sync();
    await this.#disk.syncDirectory(this.#files.directory);
    this.segmentId = header.segmentId;
    this.syncedOffset = SEGMENT_HEADER.bytes;
    this.#writtenTo = SEGMENT_HEADER.bytes;
    this.#extendedTo = SEGMENT_HEADER.bytes;
    this.#extends = true;
    this.#extendStepBytes = EXTEND_STEP_BYTES_MIN;
  }

  /** Whether a synced write of `length` bytes at `position` needs nothing but itself: then others may be in flight beside it. */
  isPrepared(length: number, position: number): boolean {
    return length <= EXTEND_FOR_BYTES_MAX && position + length <= this.#extendedTo && this.#failure === null;
  }

  /**
   * Writes `length` bytes at `position`. With `durable`, resolves when they are on stable storage. Only writes that are prepared may overlap;
   * any other begins at the end of what was noted as written.
   */
  write(bytes: Uint8Array, length: number, position: number, durable: boolean): Promise<void> {
    const file = this.#open();
    const isPast = position + length > this.#extendedTo;
    const needsZeros = isPast && this.#extends && durable && length <= EXTEND_FOR_BYTES_MAX && this.#smallCommits === COMMITS_BEFORE_ZEROS;
    const mustWait = needsZeros || (isPast && this.#extending !== null) || this.#failure !== null;
    // Begun within the call where nothing holds it up: behind a step of the microtask queue it would wait for whoever encodes the next events.
    return mustWait
      ? this.#writeLater(file, bytes, length, position, durable, needsZeros)
      : file.write(bytes, 0, length, position, durable);
  }

  async #writeLater(
    file: DiskFile,
    bytes: Uint8Array,
    length: number,
    position: number,
    durable: boolean,
    needsZeros: boolean,
  ): Promise<void> {
    await this.#extended();
    if (needsZeros && this.#extends && position + length > this.#extendedTo) await this.#extend(file, position + length);
    await file.write(bytes, 0, length, position, durable);
  }

  /** Everything before `end` is written, with a last write of `length` bytes, and `durable` as well. Called in the order of the log. */
  noteWritten(end: number, length: number, durable: boolean): void {
    this.#writtenTo = end;
    if (!durable) return;
    this.syncedOffset = end;
    if (length > EXTEND_FOR_BYTES_MAX || this.#file === null) return;
    if (this.#smallCommits < COMMITS_BEFORE_ZEROS) this.#smallCommits++;
    else this.#extendBeside(this.#file);
  }

  /** Lays out the next zeros before they are needed, so that no commit waits for them. */
  #extendBeside(file: DiskFile): void {
    const isAmple = this.#extendedTo - this.#writtenTo > this.#extendStepBytes / 2 || this.#extendedTo >= this.#segmentBytesMax;
    if (isAmple || !this.#extends || this.#extending !== null) return;
    this.#extendStepBytes = Math.min(this.#extendStepBytes * 2, EXTEND_STEP_BYTES_MAX);
    this.#extending = this.#extend(file, this.#extendedTo).then(
      () => {
        this.#extending = null;
      },
      (error: unknown) => {
        this.#failure = { error };
      },
    );
  }

  /** Resolves when no zeros are being laid out; throws what failed there, for ever: a sync is not tried again. */
  async #extended(): Promise<void> {
    await this.#extending;
    if (this.#failure !== null) throw this.#failure.error;
  }

  /** Lays out zeros from the end of what was written or laid out, `needed` at the least. */
  async #extend(file: DiskFile, needed: number): Promise<void> {
    const from = Math.max(this.#extendedTo, this.#writtenTo);
    const end = Math.min(needed + this.#extendStepBytes, Math.max(this.#segmentBytesMax, needed));
    try {
      for (let at = from; at < end; at += ZEROS.length) await file.write(ZEROS, 0, Math.min(ZEROS.length, end - at), at, false);
    } catch (error) {
      if (!NO_ROOM.has(errorCode(error) ?? "")) throw error;
      // What was asked for may fit without them: the zeros give way to it. Nothing but zeros was written here, so nothing can be lost.
      await file.truncate(from);
      this.#extendedTo = from;
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
      this.#syncing = this.#open().sync();
      try {
        await this.#syncing;
      } finally {
        this.#syncing = null;
      }
      if (this.segmentId === segmentId) this.syncedOffset = Math.max(this.syncedOffset, end);
    }
    return end;
  }

  /** Appends the seal and syncs the whole segment: after this, nothing more is appended to it. Commit point: the sync. */
  async seal(frame: Uint8Array): Promise<void> {
    const file = this.#open();
    await this.#extended();
    await file.write(frame, 0, frame.length, this.#writtenTo, false);
    this.#writtenTo += frame.length;
    await file.truncate(this.#writtenTo);
    await file.sync();
    this.syncedOffset = this.#writtenTo;
    this.#extendedTo = this.#writtenTo;
  }

  /** Gives back the zeros at the end. */
  async trim(): Promise<void> {
    await this.#extended();
    if (this.#file === null || this.#extendedTo <= this.#writtenTo) return;
    await this.#file.truncate(this.#writtenTo);
    this.#extendedTo = this.#writtenTo;
  }

  async close(): Promise<void> {
    await this.#extending;
    await this.#file?.close();
    this.#file = null;
  }

  #open(): DiskFile {
    if (this.#file === null) throw new Error("The segment writer is closed");
    return this.#file;
  }
}
