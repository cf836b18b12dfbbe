/**
 * Opens a log of the batpak 0.3 layout: by its checkpoint and the frames past it, which footers number where they can, else by its frames, numbered by
 * the footers of its segments, else by its frames alone, numbered in file order. Each step down has its reason in the report. Changes nothing on disk.
 *
 * Footers have no checksum, and stores exist whose footers are wrong: every entry is compared with its frame, so that a footer adds the
 * sequences, which no frame holds, and nothing else. They are believed if each fits its segment's events one by one, and if they ascend from
 * segment to segment. A segment without one (its writer died, or it was compacted) is numbered on from the one before it, as the original does;
 * where that comes to more than the next footer begins with, they do not ascend.
 */
import { inSteps } from "./base/rest.ts";
import type { Disk } from "./disk/disk.ts";
import type { Footer } from "./format/batpak03/footer.ts";
import type { Frame } from "./format/batpak03/frame.ts";
import type { DurableMark } from "./format/native/durable-mark.ts";
import type { IndexSource, StoreIndex } from "./index/store-index.ts";
import { FrameReader } from "./log/batpak03-frame-reader.ts";
import { SEQUENCE_MAX } from "./log/batpak03-rows.ts";
import { type Batpak03Segment, standsAlone } from "./log/batpak03-segment.ts";
import type { SegmentFiles } from "./log/segment-files.ts";
import { Batpak03Attempt, type Batpak03Log, lookAtSegments } from "./open-batpak03-attempt.ts";
import { openByCheckpoint } from "./open-batpak03-checkpoint.ts";
import { FooterNumbers, soundFooter } from "./open-batpak03-footers.ts";
import type { OpenedNativeLog } from "./open-native.ts";
import type { OpenRoute } from "./open-report.ts";

export interface OpenBatpak03Input {
  readonly disk: Disk;
  readonly files: SegmentFiles;
  /** Ids of the segment files that are there, ascending. */
  readonly segmentIds: readonly number[];
  readonly source: IndexSource;
  /** `durable.mark`, as a writer of this project leaves it. */
  readonly mark: DurableMark | null;
  /** Damage is reported and what is whole is read, instead of throwing. */
  readonly tolerant: boolean;
  /** Nothing past this position is looked at: a living writer's visible one. */
  readonly limit: { readonly segmentId: number; readonly offset: number } | null;
  /** False: as if there were no checkpoint, or no footers either. */
  readonly routes?: { readonly checkpoint?: boolean; readonly blocks?: boolean };
}

export async function openBatpak03Log(input: OpenBatpak03Input): Promise<OpenedNativeLog> {
  return await new Batpak03Opening(input).run();
}

const STORE_ID_BYTES = 16;
const ID_VERSION_BYTE = 6;
const LAST_FRAME_BYTES = 4096;

class Batpak03Opening {
  readonly #input: OpenBatpak03Input;
  readonly #log: Batpak03Log & { segments: readonly Batpak03Segment[] };
  readonly #reasons: string[] = [];
  #lost: { readonly segmentId: number; readonly offset: number } | null = null;
  #replayed = 0;

  constructor(input: OpenBatpak03Input) {
    this.#input = input;
    const { files, source, limit } = input;
    // A mark of the native layout names its store.
    const mark = input.mark !== null && input.mark.storeId.every((byte) => byte === 0) ? input.mark : null;
    this.#log = { files, source, segments: [], mark, limit, claimedEnds: new Map() };
  }

  async run(): Promise<OpenedNativeLog> {
    const { files, segmentIds, limit } = this.#input;
    this.#log.segments = await inSteps(lookAtSegments(files, segmentIds, limit));
    const byCheckpoint = await this.#byCheckpoint();
    if (byCheckpoint !== null) return this.#result("checkpoint", byCheckpoint);
    const byFooters = await this.#byFooters();
    if (byFooters !== null) return this.#result("footers", byFooters);
    return this.#result(segmentIds.length === 0 ? "new" : "scan", await this.#byFrames(new Map()));
  }

  async #byCheckpoint(): Promise<Batpak03Attempt | null> {
    if (this.#input.routes?.checkpoint === false) return this.#refuse("the checkpoint is ignored: it was not asked for");
    const { disk, routes } = this.#input;
    let outcome = await openByCheckpoint(disk, this.#log, routes?.blocks !== false);
    if (outcome.kind === "ignored" && outcome.isOfFooters) {
      this.#refuse(`the footers behind the checkpoint are ignored: ${outcome.reason}`);
      outcome = await openByCheckpoint(disk, this.#log, false);
    }
    if (outcome.kind === "absent") return this.#input.segmentIds.length === 0 ? null : this.#refuse("there is no checkpoint");
    if (outcome.kind === "ok") {
      this.#replayed = outcome.replayed;
      this.#reasons.push(...outcome.reasons);
      return outcome.attempt;
    }
    this.#lost = outcome.lost;
    return this.#refuse(`the checkpoint is ignored: ${outcome.reason}`);
  }

  #refuse(reason: string): null {
    this.#reasons.push(reason);
    return null;
  }

  // Footers and frames.

  async #byFooters(): Promise<Batpak03Attempt | null> {
    if (this.#input.routes?.blocks === false) return this.#refuse("the footers are ignored: they were not asked for");
    const trailers = await this.#believableFooters();
    if (trailers === null) return null;
    const attempt = await this.#byFrames(trailers);
    return attempt.rows.fault === null ? attempt : this.#refuse(`the footers are ignored: ${attempt.rows.fault}`);
  }

  /** The segments whose footers may number the log; null where none do. Only one footer is held at a time. */
  async #believableFooters(): Promise<Map<number, Batpak03Segment> | null> {
    const believed = new Map<number, Batpak03Segment>();
    let next = 0;
    for (const segment of this.#log.segments) {
      const footer = await this.#footerOf(segment);
      if (footer === null) continue;
      believed.set(segment.id, segment);
      if (footer.entryCount === 0) continue;
      const first = footer.globalSequence(0);
      const last = footer.globalSequence(footer.entryCount - 1);
      if (first < next || last >= SEQUENCE_MAX)
        return this.#refuse(`the footers are ignored: that of segment ${segment.id} has sequence ${first} after ${next - 1}`);
      next = last + 1;
    }
    return believed.size === 0 ? null : believed;
  }

  async #footerOf(segment: Batpak03Segment): Promise<Footer | null> {
    return await soundFooter(this.#input.files, segment, (reason) => void this.#refuse(reason));
  }

  /** Reads all frames; the segments in `numbered` are numbered by their footers. */
  async #byFrames(numbered: ReadonlyMap<number, Batpak03Segment>): Promise<Batpak03Attempt> {
    const attempt = new Batpak03Attempt(this.#log);
    const { rows } = attempt;
    for (const segment of this.#log.segments) {
      rows.beginSegment(segment.id);
      if (standsAlone(segment)) rows.doubtBatch();
      const footer = numbered.has(segment.id) ? await this.#footerOf(segment) : null;
      const numbers = footer === null ? null : new FooterNumbers(footer, attempt, segment.framesOffset);
      const visit = (frame: Frame, offset: number): void =>
        numbers === null ? rows.frame(frame, offset, -1, "free") : numbers.frame(frame, offset);
      const { framesEnd, atFooter } = await inSteps(attempt.walk(segment, segment.framesOffset, segment.end, visit));
      numbers?.finish(segment.id, atFooter);
      rows.endSegment(framesEnd, atFooter);
      if (rows.fault !== null) return attempt;
    }
    rows.finish();
    this.#replayed = rows.events;
    return attempt;
  }

  // The result.

  #result(route: OpenRoute, attempt: Batpak03Attempt): OpenedNativeLog {
    const { rows, tornTails } = attempt;
    const { index } = rows;
    this.#tellLosses(attempt);
    this.#tellUnusableFooters(index);
    if (rows.dropped > 0)
      this.#reasons.push(`${rows.dropped} events of batches that are not whole do not count, the first at ${rows.firstDrop}`);
    if (attempt.refusal !== null && !this.#input.tolerant) throw attempt.refusal;
    const newest = index.active;
    const tail = tornTails[tornTails.length - 1];
    const isTailNewest = tail !== undefined && tail.segmentId === newest?.id;
    return {
      index,
      storeId: new Uint8Array(STORE_ID_BYTES),
      generation: 0,
      records: [],
      lastIssuedId: this.#lastIssuedId(attempt),
      lastFrame: null,
      route,
      reasons: this.#reasons,
      eventsReplayed: this.#replayed,
      problems: attempt.problems,
      tornTails,
      carriesBatch: rows.carriesBatch,
      mayGoOn: rows.mayGoOn,
      unsettled: {
        segmentId: newest?.id ?? null,
        end: isTailNewest ? tail.offset : (newest?.framesEnd ?? 0),
        cutBytes: isTailNewest ? tail.bytes : 0,
        provenSynced: 0,
        marked: false,
        neverBegun: [],
        replaced: [],
      },
    };
  }

  #tellUnusableFooters(index: StoreIndex): void {
    const told: string[] = [];
    for (const { id, end, footerFault } of this.#log.segments) {
      const framesEnd = index.segmentWithId(id)?.framesEnd;
      if (footerFault !== null && framesEnd !== end) told.push(`the footer of segment ${id} is ignored: ${footerFault}`);
    }
    this.#reasons.unshift(...told);
  }

  /** What is not there at all: frames that a checkpoint knows, or segments that the mark knows. */
  #tellLosses(attempt: Batpak03Attempt): void {
    if (this.#lost !== null) {
      const { segmentId, offset } = this.#lost;
      if (!attempt.problems.some((problem) => problem.segmentId === segmentId && problem.offset === offset))
        attempt.damage(segmentId, offset, "the file ends here, the checkpoint knows of events past it");
    }
    const { segments, mark, limit } = this.#log;
    const newest = segments[segments.length - 1]?.id ?? 0;
    if (mark !== null && limit === null && mark.syncedSegment > newest) attempt.damage(mark.syncedSegment, 0, "its file is missing");
  }

  /** The newest event's id, where a writer would have issued such: ids go on behind it. */
  #lastIssuedId(attempt: Batpak03Attempt): Uint8Array {
    const { index } = attempt.rows;
    const id = new Uint8Array(STORE_ID_BYTES);
    for (let i = index.segments.length - 1; i >= 0; i--) {
      const segment = index.segments[i];
      const rows = index.indexOf(segment);
      if (rows.rowCount === 0) continue;
      const reader = new FrameReader(LAST_FRAME_BYTES);
      reader.begin(this.#input.files.file(segment.id), rows.offsetAt(rows.rowCount - 1), segment.framesEnd);
      const frame = reader.next();
      if (frame !== null && frame.bytes[frame.eventIdAt + ID_VERSION_BYTE] >>> 4 === 7)
        id.set(frame.bytes.subarray(frame.eventIdAt, frame.eventIdAt + STORE_ID_BYTES));
      break;
    }
    return id;
  }
}
