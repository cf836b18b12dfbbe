/**
 * Verifying the version 2 checkpoint of a batpak 0.3 store: every entry against its frame, and the entries against the rows of the index, which are
 * held against the frames elsewhere: none names an event that is not there, and up to the watermark no event is without one. What opening refuses to
 * believe is told here too.
 */
import { join } from "node:path";
import type { Disk } from "./disk/disk.ts";
import type { CheckpointEntry } from "./format/batpak03/checkpoint.ts";
import type { DecodedCheckpoint } from "./format/batpak03/checkpoint-decoder.ts";
import { checkpointMismatch } from "./format/batpak03/checkpoint-entry.ts";
import { CHECKPOINT_FILE } from "./format/native/checkpoint.ts";
import { ActiveSegmentIndex } from "./index/active-segment-index.ts";
import type { SegmentEntry, StoreIndex } from "./index/store-index.ts";
import { FrameReader } from "./log/batpak03-frame-reader.ts";
import type { SegmentFiles } from "./log/segment-files.ts";
import type { NativeStoreParts } from "./native-engine.ts";
import { readerView } from "./open-directory.ts";
import { decodeInPieces, headFault } from "./open-batpak03-checkpoint.ts";
import type { ProblemList } from "./verify-problems.ts";

/** Some hundred entries, whose frames are read one by one. */
const PIECE_BYTES = 256 * 1024;

/** Tells what the checkpoint says otherwise than the log; nothing where there is none, or one of a later release. */
export async function checkBatpak03Checkpoint(
  disk: Disk,
  parts: NativeStoreParts,
  problems: ProblemList,
  rest: () => Promise<void>,
): Promise<void> {
  const path = join(parts.directory, CHECKPOINT_FILE);
  if ((await disk.status(path))?.type !== "file") return;
  const file = await disk.open(path, "read");
  let comparison: EntryComparison | null = null;
  try {
    // Only now: one that a writer puts in its place from here on is another file.
    comparison = new EntryComparison(parts, (await readerView(disk, parts.directory)).writer);
    const decoded = await decodeInPieces(file, await file.size(), comparison, rest, PIECE_BYTES);
    const tell = (reason: string): void =>
      problems.tell({ code: "CHECKPOINT_MISMATCH", message: `The checkpoint does not fit the log: ${reason}` });
    if (decoded.kind !== "ok") {
      if (!decoded.reason.includes("later release")) tell(decoded.reason);
      return;
    }
    const newest = await disk.status(parts.files.path(decoded.head.watermarkSegmentId));
    const isAnywhere = parts.log.index.segments.length === 0;
    const fault = headFault(decoded.head, newest?.size ?? (isAnywhere ? Number.POSITIVE_INFINITY : null));
    const mismatch = fault ?? comparison.finish(decoded.head);
    if (mismatch !== null) tell(mismatch);
  } finally {
    comparison?.close();
    await file.close();
  }
}

/** Goes along the rows of the index as the entries come: each must be that of the next row. */
class EntryComparison {
  readonly #files: SegmentFiles;
  readonly #index: StoreIndex;
  /** What is looked at beside a writer: events before this sequence. One that it has written since is looked at the next time. */
  readonly #bound: number;
  readonly #strings: string[] = [];
  readonly #reader = new FrameReader();
  #mismatch: string | null = null;
  /** Which of the index's segments entries are in, and the row that comes next in it. */
  #at = 0;
  #row = 0;
  #pinned: number | null = null;

  constructor(parts: NativeStoreParts, isBesideWriter: boolean) {
    this.#files = parts.files;
    this.#index = parts.log.index;
    this.#bound = isBesideWriter ? parts.log.index.visible.sequence : Number.POSITIVE_INFINITY;
  }

  string(text: string): void {
    this.#strings.push(text);
  }

  entries(): void {}

  entry(entry: CheckpointEntry): undefined {
    if (entry.globalSequence >= this.#bound) return;
    this.#passSegments(entry.segmentId, entry.offset);
    this.#mismatch ??= this.#compare(entry);
    this.#row++;
  }

  /** What comes behind the last entry: nothing that counts, up to the watermark. Gives what does not fit, or null. */
  finish({ watermarkSegmentId, watermarkOffset }: DecodedCheckpoint["head"]): string | null {
    this.#passSegments(watermarkSegmentId, watermarkOffset);
    return this.#mismatch;
  }

  close(): void {
    if (this.#pinned !== null) this.#files.unpin(this.#pinned);
  }

  /** Goes on to this place, before which no row may be left. */
  #passSegments(segmentId: number, offset: number): void {
    for (;;) {
      const segment = this.#index.segments[this.#at];
      if (this.#mismatch !== null || segment === undefined || segment.id > segmentId) return;
      this.#checkLeft(segment, segment.id === segmentId ? offset : Number.POSITIVE_INFINITY);
      if (segment.id === segmentId) return;
      this.#at++;
      this.#row = 0;
    }
  }

  #checkLeft(segment: SegmentEntry, before: number): void {
    const rows = this.#index.indexOf(segment);
    if (this.#row >= this.#index.rowsBefore(segment, this.#bound)) return;
    const offset = rows.offsetAt(this.#row);
    if (offset < before) this.#mismatch = `no entry names the event at segment ${segment.id}, offset ${offset}`;
  }

  #compare(entry: CheckpointEntry): string | null {
    const place = `the event at segment ${entry.segmentId}, offset ${entry.offset}`;
    const segment = this.#index.segments[this.#at];
    const rows = segment?.id === entry.segmentId ? segment.index : null;
    if (!(rows instanceof ActiveSegmentIndex) || this.#row >= rows.rowCount || rows.offsetAt(this.#row) !== entry.offset)
      return `an entry names ${place}, which is not there`;
    if (rows.sequenceAt(this.#row) !== entry.globalSequence) return `an entry says otherwise than ${place}: sequence`;
    const reader = this.#readerOf(segment);
    reader.position = entry.offset;
    const frame = reader.next();
    // A frame that is damaged has been told.
    const what = frame === null ? null : checkpointMismatch(entry, this.#strings[entry.entityId], this.#strings[entry.scopeId], frame);
    return what === null ? null : `an entry says otherwise than ${place}: ${what}`;
  }

  #readerOf(segment: SegmentEntry): FrameReader {
    if (this.#pinned !== segment.id) {
      this.close();
      this.#reader.begin(this.#files.pin(segment.id), 0, segment.framesEnd);
      this.#pinned = segment.id;
    }
    return this.#reader;
  }
}
