/**
 * What compaction removed from a merged segment, read from its frames (`format/native/retention.ts`) when somebody asks. In memory stays the
 * summary: for the rows without a frame two bytes each of filter, and one id for every 2,048.
 */
import { StoreError } from "../base/store-error.ts";
import { idTag, idTag2 } from "../index/id-tag.ts";
import { filterMayHold } from "../format/native/index-filter.ts";
import { FRAME_FLAG } from "../format/native/frame-layout.ts";
import { frameFlags } from "../format/native/frame.ts";
import {
  readBatches,
  readEntities,
  readKeys,
  readSequences,
  readSummary,
  type RemovedRow,
  type RemovedRun,
  type RetentionSummary,
} from "../format/native/retention.ts";
import type { FrameSource } from "./frame-source.ts";
import type { SegmentFiles } from "./segment-files.ts";
import { readHeader } from "./segment-list.ts";

export class Retention {
  readonly summary: RetentionSummary;
  readonly #frames: FrameSource;
  readonly #segmentId: number;

  private constructor(frames: FrameSource, segmentId: number, retentionAt: number) {
    this.#frames = frames;
    this.#segmentId = segmentId;
    this.summary = readSummary(this.#payload(retentionAt));
  }

  /** What was removed where this segment stands; null where nothing was. Blocking: two small reads. Throws `CORRUPT` where nothing tells. */
  static of(files: SegmentFiles, frames: FrameSource, segmentId: number): Retention | null {
    const outcome = readHeader(files, segmentId);
    if (outcome.kind !== "ok") {
      // Whoever opened by a checkpoint has not seen the header. Taken for "nothing", a retry would be appended again, and a compaction drop the record.
      const reason = `its header is damaged: ${outcome.reason}`;
      const message = `Cannot read what compaction removed from segment ${segmentId} (${reason}), run batpak repair`;
      throw new StoreError("CORRUPT", message, { segmentId, offset: 0, reason });
    }
    const { retentionAt = 0 } = outcome.header;
    return retentionAt === 0 ? null : new Retention(frames, segmentId, retentionAt);
  }

  #payload(offset: number): unknown {
    const { bytes, view, at } = this.#frames.read(this.#segmentId, offset);
    if ((frameFlags(view, at) & FRAME_FLAG.retention) === 0) {
      const reason = "no record of what was removed stands there";
      throw new StoreError("CORRUPT", `Cannot read segment ${this.#segmentId} at offset ${offset}: ${reason}`, {
        segmentId: this.#segmentId,
        offset,
        reason,
      });
    }
    return this.#frames.format.payload(bytes, view, at);
  }

  /** The runs of removed sequences, ascending. */
  *sequences(): Generator<[number, number], void> {
    for (const offset of this.summary.sequences) yield* readSequences(this.#payload(offset));
  }

  /** The removed runs of each entity that lost any, ascending. */
  *entities(): Generator<[string, RemovedRun[]], void> {
    for (const offset of this.summary.entities) yield* readEntities(this.#payload(offset));
  }

  *batches(): Generator<RemovedRow[], void> {
    for (const offset of this.summary.batches) yield* readBatches(this.#payload(offset));
  }

  /** How many removed events had a key, or were of a batch with one. */
  countKeys(): number {
    return this.summary.keys.reduce((sum, { offset }) => sum + readKeys(this.#payload(offset)).ids.length / 16, 0);
  }

  /** The removed batch that has this id, which the writer did not issue; null when there is none. Reads two frames at most. */
  batchOf(id: Uint8Array): RemovedRow[] | null {
    const { keys, filter } = this.summary;
    const view = new DataView(id.buffer, id.byteOffset, 16);
    if (filter.length === 0 || !filterMayHold(filter, idTag(view, 0), idTag2(view, 0))) return null;
    const key = keys.findLast(({ firstId }) => Buffer.compare(firstId, id) <= 0);
    if (key === undefined) return null;
    const { ids, places } = readKeys(this.#payload(key.offset));
    let low = 0;
    let high = ids.length / 16;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (Buffer.compare(ids.subarray(middle * 16, middle * 16 + 16), id) < 0) low = middle + 1;
      else high = middle;
    }
    if (low === ids.length / 16 || Buffer.compare(ids.subarray(low * 16, low * 16 + 16), id) !== 0) return null;
    const batches = readBatches(this.#payload(places.getUint32(low * 8, true)));
    return batches[places.getUint32(low * 8 + 4, true)] ?? null;
  }
}
