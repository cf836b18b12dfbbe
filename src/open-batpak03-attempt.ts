/**
 * One attempt to read a batpak 0.3 log by one route: the index that it builds, and what it finds wrong on the way. An attempt that is not
 * believed is thrown away whole.
 */
import { StoreError } from "./base/store-error.ts";
import type { DiskFile } from "./disk/disk.ts";
import type { Foreign } from "./format/batpak03/outcome.ts";
import type { DurableMark } from "./format/native/durable-mark.ts";
import { StoreIndex } from "./index/store-index.ts";
import type { IndexSource } from "./index/store-index.ts";
import { FrameReader } from "./log/batpak03-frame-reader.ts";
import { Batpak03Rows } from "./log/batpak03-rows.ts";
import { type Batpak03Segment, lookAtSegment, type WalkEnd, type WalkSink, walkSegment } from "./log/batpak03-segment.ts";
import { damageError } from "./log/recovery.ts";
import { type SegmentFiles, segmentName } from "./log/segment-files.ts";
import { foreignFile } from "./log/segment-list.ts";
import type { StoreProblem, TornTail } from "./open-report.ts";

/** What every attempt has in common. */
export interface Batpak03Log {
  readonly files: SegmentFiles;
  readonly source: IndexSource;
  /** Ascending by id. */
  readonly segments: readonly Batpak03Segment[];
  readonly mark: DurableMark | null;
  readonly limit: { readonly segmentId: number; readonly offset: number } | null;
  /** Up to where a whole checkpoint knows of frames, by segment, whether or not it was believed otherwise. */
  claimedEnds: ReadonlyMap<number, number>;
}

/** Looks at the segments that may be shown. */
export function* lookAtSegments(
  files: SegmentFiles,
  segmentIds: readonly number[],
  limit: Batpak03Log["limit"],
): Generator<void, Batpak03Segment[], undefined> {
  const segments: Batpak03Segment[] = [];
  for (const id of segmentIds) {
    if (limit !== null && id > limit.segmentId) break;
    segments.push(lookAtSegment(files.file(id), id, limit?.segmentId === id ? limit.offset : Number.POSITIVE_INFINITY));
    if (segments.length % 64 === 0) yield;
  }
  return segments;
}

export class Batpak03Attempt {
  readonly rows: Batpak03Rows;
  readonly problems: StoreProblem[] = [];
  /** What a writer is refused with, for the first of them. */
  refusal: StoreError<"CORRUPT"> | null = null;
  readonly tornTails: TornTail[] = [];
  readonly #log: Batpak03Log;
  readonly #reader = new FrameReader();

  constructor(log: Batpak03Log, index = new StoreIndex(log.source)) {
    this.#log = log;
    this.rows = new Batpak03Rows(index);
  }

  /**
   * The frames in `[from, to)` of a segment, each given to `frame`, in steps.
   *
   * @param claimedEnd up to where entries are known to lie, where the checkpoint is still being read
   */
  walk(
    segment: Batpak03Segment,
    from: number,
    to: number,
    frame: WalkSink["frame"],
    claimedEnd: number = this.#log.claimedEnds.get(segment.id) ?? 0,
  ): Generator<void, WalkEnd, undefined> {
    const sink: WalkSink = {
      frame,
      damage: (offset, reason) => this.damage(segment.id, offset, reason),
      unreadable: (offset, reason) => this.unreadable(segment.id, offset, reason),
      foreign: (outcome) => this.foreign(segment.id, outcome),
      torn: (offset, bytes, reason) => this.tornTails.push({ segmentId: segment.id, offset, bytes, reason }),
    };
    const file: DiskFile = this.#log.files.file(segment.id);
    return walkSegment(this.#reader, file, segment, from, to, { syncedOffset: this.#syncedOffset(segment), claimedEnd }, sink);
  }

  /** The mark tells of the newest segment only: an older mark is that of a writer before the last one. */
  #syncedOffset(segment: Batpak03Segment): number {
    const { mark, segments } = this.#log;
    const isNewest = segment === segments[segments.length - 1];
    return isNewest && mark !== null && mark.syncedSegment === segment.id ? mark.syncedOffset : -1;
  }

  damage(segmentId: number, offset: number, reason: string): void {
    const message = `Segment ${segmentId} is damaged at offset ${offset}: ${reason}`;
    this.#leaveOut({ code: "DAMAGED", segmentId, offset, message }, damageError(segmentId, offset, reason, "batpak-0.3"));
  }

  unreadable(segmentId: number, offset: number, reason: string): void {
    const message = `The event at segment ${segmentId}, offset ${offset} is left out: ${reason}`;
    const refusal = new StoreError(
      "CORRUPT",
      `Cannot open the store for writing: the event at segment ${segmentId}, offset ${offset} cannot be read (${reason}); open it with readOnly to read the others`,
      { segmentId, offset, file: segmentName(segmentId), reason },
    );
    this.#leaveOut({ code: "EVENT_UNREADABLE", segmentId, offset, message }, refusal);
  }

  foreign(segmentId: number, { kind, reason }: Foreign): void {
    const what = kind === "later" ? "it cannot be read" : "its file is not one of this store's segments";
    const message = `Segment ${segmentId} is left out, ${what}: ${reason}`;
    const refusal = foreignFile(this.#log.files.path(segmentId), segmentId, { kind, reason });
    this.#leaveOut({ code: "DAMAGED", segmentId, offset: 0, message }, refusal);
  }

  #leaveOut(problem: StoreProblem, refusal: StoreError<"CORRUPT">): void {
    this.rows.damage();
    this.problems.push(problem);
    this.refusal ??= refusal;
  }
}
