/**
 * A reader of a batpak 0.3 store takes up what came since it last looked: frames past what it knows, up to the mark of a living writer, or to
 * the end where none lives. What is there of an open batch is looked at again the next time. Where a footer that came since gives events other sequences
 * than they have in file order, the log is read anew, as opening would.
 */
import { inSteps } from "./base/rest.ts";
import type { DurableMark } from "./format/native/durable-mark.ts";
import { FrameReader } from "./log/batpak03-frame-reader.ts";
import { Batpak03Rows } from "./log/batpak03-rows.ts";
import { type Batpak03Segment, lookAtSegment, standsAlone, walkSegment } from "./log/batpak03-segment.ts";
import { listSegmentIds } from "./log/segment-list.ts";
import type { Disk } from "./disk/disk.ts";
import type { NativeStoreParts } from "./native-engine.ts";
import { numbersOtherwise, soundFooter } from "./open-batpak03-footers.ts";
import { readerView } from "./open-directory.ts";

export interface FollowBatpak03Input {
  readonly disk: Disk;
  readonly parts: NativeStoreParts;
  /** What is visible now; null: everything that is whole. */
  readonly mark: DurableMark | null;
}

/** False where the log has changed in a way that following cannot take up: the store must be read anew. */
export async function followBatpak03({ disk, parts, mark }: FollowBatpak03Input): Promise<boolean> {
  const { files, log } = parts;
  const { index } = log;
  const { active } = index;
  if (active === undefined || log.problems.length > 0) return false;
  if (mark !== null && (mark.storeId.some((byte) => byte !== 0) || mark.visibleSegment < active.id)) return mark.visibleSegment > 0;
  if (mark !== null && mark.visibleSegment === active.id && mark.visibleOffset <= active.framesEnd) return true;
  const later = (await listSegmentIds(disk, files.directory)).filter((id) => id > active.id);
  // Its header was not whole when it was looked at. It may be another file by now: what a killed writer only began is removed by the next one.
  if (active.framesEnd === 0) {
    files.forget(active.id);
    return later.length === 0 && lookAtSegment(files.file(active.id), active.id, Number.POSITIVE_INFINITY).framesOffset === 0;
  }
  const shown = mark === null ? later : later.filter((id) => id <= mark.visibleSegment);
  const ends = new Map<number, number>();
  if (mark !== null) ends.set(mark.visibleSegment, mark.visibleOffset);
  else for (const id of [active.id, ...shown]) ends.set(id, files.file(id).sizeSync());
  const isMore = shown.length > 0 || (!active.sealed && (ends.get(active.id) ?? 0) > active.framesEnd);
  // Where no writer lived, one may have come since, and what it has not committed yet is nobody's to see: it is asked for again.
  if (!isMore || (mark === null && (await readerView(disk, parts.directory)).writer)) return true;
  if (log.mayGoOn === true) {
    const { end, cutBytes } = log.unsettled;
    // It would go on behind a part of the batch; unless nothing came since the log was read.
    return mark === null && shown.length === 0 && ends.get(active.id) === end + cutBytes;
  }
  const following = new Following(parts, ends);
  if (!active.sealed && !(await following.take(active.id, active.framesEnd, shown.length > 0))) return false;
  for (const [i, id] of shown.entries()) {
    following.rows.beginSegment(id);
    if (!(await following.take(id, -1, i < shown.length - 1))) return false;
  }
  following.rows.settle();
  return !following.carriesBatch;
}

class Following {
  readonly rows: Batpak03Rows;
  #wasCarried = false;
  readonly #parts: NativeStoreParts;
  /** Nothing at or past these offsets is looked at, by segment. */
  readonly #ends: ReadonlyMap<number, number>;
  readonly #reader = new FrameReader();

  constructor(parts: NativeStoreParts, ends: ReadonlyMap<number, number>) {
    this.#parts = parts;
    this.#ends = ends;
    this.rows = new Batpak03Rows(parts.log.index);
  }

  /** Whether a batch that began before the last segment is still open: what is held of it would be forgotten. */
  get carriesBatch(): boolean {
    return this.#wasCarried && !this.rows.idle;
  }

  /** Whether opening would number a segment's events by its footer, and otherwise than they are, or are about to be: the original burns sequences where a batch fails. */
  async #isNumberedOtherwise(segment: Batpak03Segment): Promise<boolean> {
    const { files, log } = this.#parts;
    const { index } = log;
    const footer = await soundFooter(files, segment, () => {});
    if (footer === null || footer.entryCount === 0) return false;
    const entry = index.segmentWithId(segment.id);
    // Opening by a checkpoint passes it over.
    if (log.route === "checkpoint" && footer.globalSequence(0) < (entry?.firstSequence ?? index.acceptedSequence)) return false;
    return await inSteps(numbersOtherwise(footer, entry === undefined ? null : index.indexOf(entry), index.acceptedSequence));
  }

  /** Takes a segment's frames, from its first one where `from` is -1. `isOver`: a later segment is there. False where something is damaged. */
  async take(id: number, from: number, isOver: boolean): Promise<boolean> {
    const { rows } = this;
    const { visible } = rows.index;
    const { files } = this.#parts;
    const limit = this.#ends.get(id) ?? Number.POSITIVE_INFINITY;
    const file = files.pin(id);
    try {
      const segment: Batpak03Segment = lookAtSegment(file, id, limit);
      if (await this.#isNumberedOtherwise(segment)) return false;
      const start = from < 0 ? segment.framesOffset : from;
      if (from < 0 && standsAlone(segment)) rows.doubtBatch();
      let isDamaged = segment.framesOffset === 0;
      let decidedEnd = start;
      const sink = {
        frame: (frame: Parameters<Batpak03Rows["frame"]>[0], offset: number) => {
          rows.frame(frame, offset, -1, "free");
          if (!rows.idle) return;
          decidedEnd = offset + frame.length;
          rows.moveEnd(decidedEnd);
          // Names, heads and numbers of events tell of it at once, and others may look between two frames.
          visible.segmentId = id;
          visible.offset = decidedEnd;
          visible.sequence = rows.index.acceptedSequence;
        },
        damage: () => {
          isDamaged = true;
        },
        unreadable: () => {
          isDamaged = true;
        },
        torn: () => {},
        foreign: () => {},
      };
      const policy = { syncedOffset: -1, claimedEnd: 0 };
      const { framesEnd, atFooter } = await inSteps(walkSegment(this.#reader, file, segment, start, segment.end, policy, sink));
      if (isDamaged || rows.fault !== null) return false;
      if (atFooter || isOver) {
        rows.endSegment(framesEnd, atFooter);
        this.#wasCarried = !rows.idle;
      } else rows.moveEnd(decidedEnd);
      return true;
    } finally {
      files.unpin(id);
    }
  }
}
