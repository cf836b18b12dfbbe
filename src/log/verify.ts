/**
 * Verification: every visible frame read again, its CRC and hash computed anew, each entity's chain and clock followed, sequences counted, and
 * index, seals and checkpoint held against the frames. Memory goes with the number of entities, not of events.
 *
 * A bad place hides nothing behind it: the walk goes on at the next right frame. An entity that lost an event there is followed from what
 * comes next, and the break is told once.
 */
import { sameBytes } from "../base/hex.ts";
import { getUint64 } from "../base/u64.ts";
import { SYSTEM_ENTITY } from "../events/coordinate.ts";
import { FRAME, FRAME_FLAG } from "../format/native/frame-layout.ts";
import { entityStart, frameFlags, frameLength, isMarked, scopeStart, segmentSeed } from "../format/native/frame.ts";
import { nativeFrames } from "../format/native/frame-format.ts";
import { decodeSeal, isSeal } from "../format/native/seal.ts";
import { SEGMENT_HEADER } from "../format/native/segment-header.ts";
import { Heads } from "../index/heads.ts";
import { idTag } from "../index/id-tag.ts";
import { Interner } from "../index/interner.ts";
import { IndexPageError } from "../index/sealed-segment-index.ts";
import type { SegmentEntry, StoreIndex } from "../index/store-index.ts";
import { createFrameKernel, type FrameKernel } from "../kernel/frame-kernel.ts";
import type { SegmentFiles } from "./segment-files.ts";
import { readHeader } from "./segment-list.ts";
import { findFrames, type ScannedCommit, scanSegment } from "./segment-scan.ts";

/** Something that is wrong, in plain values. */
export interface VerifyFinding {
  readonly code: string;
  readonly message: string;
  readonly entity?: string;
  readonly sequence?: number;
  readonly segmentId?: number;
  readonly offset?: number;
}

export interface VerifyProgress {
  /** Events looked at so far. */
  readonly events: number;
  readonly eventsTotal: number;
  readonly segmentId: number;
}

/** What a checkpoint says of the moment that it pictures, to be held against the frames. */
export interface CheckpointClaim {
  readonly segmentId: number;
  readonly offset: number;
  readonly visibleEvents: number;
  readonly entities: Interner;
  readonly heads: Heads;
}

export interface VerifyInput {
  readonly index: StoreIndex;
  readonly files: SegmentFiles;
  readonly storeId: Uint8Array;
  readonly checkpoint: CheckpointClaim | null;
  readonly onProgress?: ((progress: VerifyProgress) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface VerifyOutcome {
  readonly events: number;
  readonly entities: number;
  readonly findings: readonly VerifyFinding[];
  /** All findings, also those past the bound of the list. */
  readonly findingCount: number;
}

const FINDINGS_MAX = 1000;
const KERNEL_BYTES = 1024 * 1024;
const KERNEL_FRAMES = 4096;

/** Walks all that is visible when it is called. */
export async function verifyLog(input: VerifyInput): Promise<VerifyOutcome> {
  return await new LogVerification(input).run();
}

class LogVerification {
  readonly #input: VerifyInput;
  readonly #findings: VerifyFinding[] = [];
  #findingCount = 0;
  readonly #names = new Interner();
  readonly #heads = new Heads();
  readonly #kernel: FrameKernel = createFrameKernel(KERNEL_BYTES, KERNEL_FRAMES);
  #nextSequence = 0;
  #events = 0;
  /** Set where frames were lost: the next break of an entity's chain is a consequence. */
  #lossBefore = false;
  // Of the segment being walked:
  #segment!: SegmentEntry;
  #seed = 0;
  #row = 0;
  #frames = 0;
  #indexUsable = true;

  constructor(input: VerifyInput) {
    this.#input = input;
  }

  async run(): Promise<VerifyOutcome> {
    const { index } = this.#input;
    const bound = { segmentId: index.visible.segmentId, offset: index.visible.offset };
    const segments = index.segments.filter((segment) => segment.id <= bound.segmentId);
    for (const segment of segments) await this.#verifySegment(segment, segment.id === bound.segmentId ? bound.offset : segment.framesEnd);
    return {
      events: this.#events,
      entities: this.#heads.liveEntities,
      findings: this.#findings,
      findingCount: this.#findingCount,
    };
  }

  #report(finding: VerifyFinding): void {
    this.#findingCount++;
    if (this.#findings.length < FINDINGS_MAX) this.#findings.push(finding);
  }

  async #verifySegment(segment: SegmentEntry, end: number): Promise<void> {
    const { files, storeId, signal, onProgress, index } = this.#input;
    signal?.throwIfAborted();
    this.#segment = segment;
    this.#seed = segmentSeed(storeId, segment.id);
    this.#row = 0;
    this.#frames = 0;
    this.#indexUsable = true;
    this.#verifyHeader(segment);
    const file = await files.disk.open(files.path(segment.id), "read");
    try {
      let sealed = false;
      for (let from: number = SEGMENT_HEADER.bytes; from < end; ) {
        const scan = await scanSegment({
          file,
          seed: this.#seed,
          from,
          to: end,
          visit: (commit) => this.#verifyCommit(commit),
          onProgress: () => {
            signal?.throwIfAborted();
            onProgress?.({ events: this.#events, eventsTotal: index.visibleEvents, segmentId: segment.id });
          },
        });
        sealed = scan.sealed;
        if (sealed || scan.end >= end) break;
        this.#lossBefore = true;
        this.#report({
          code: "FRAME_DAMAGED",
          message: `Segment ${segment.id} is damaged at offset ${scan.goodEnd}: no right frame stands there`,
          segmentId: segment.id,
          offset: scan.goodEnd,
        });
        from = await this.#nextFrame(file, Math.max(scan.goodEnd + 1, scan.end), end);
      }
      if (segment.sealed && !sealed) this.#place("SEAL_MISSING", end, "its seal is missing");
    } finally {
      await file.close();
    }
    this.#verifyRows(segment);
  }

  async #nextFrame(file: Parameters<typeof findFrames>[0], from: number, end: number): Promise<number> {
    let next = end;
    await findFrames(file, this.#seed, from, end, ({ offset }) => {
      next = offset;
      return false;
    });
    return next;
  }

  #place(code: string, offset: number, what: string, more: { entity?: string; sequence?: number } = {}): void {
    const { id } = this.#segment;
    this.#report({ code, message: `Segment ${id}, offset ${offset}: ${what}`, segmentId: id, offset, ...more });
  }

  #verifyHeader(segment: SegmentEntry): void {
    const outcome = readHeader(this.#input.files, segment.id);
    if (outcome.kind !== "ok") this.#place("HEADER_DAMAGED", 0, `its header is wrong: ${outcome.reason}`);
    else if (!sameBytes(outcome.header.storeId, 0, this.#input.storeId, 0, 16))
      this.#place("HEADER_DAMAGED", 0, "it belongs to another store");
  }

  /** The scan has checked the CRCs; the hashes are computed here, a kernel's table at a time. */
  #verifyCommit(commit: ScannedCommit): void {
    const { frames, bytes, view, base } = commit;
    for (let from = 0; from < frames.length; ) {
      const count = Math.min(KERNEL_FRAMES, frames.length - from);
      const start = frames[from];
      const last = frames[from + count - 1];
      this.#verifyHashes(commit, from, count, start, last + frameLength(view, last));
      from += count;
    }
    for (const at of frames) {
      if (isSeal(view, at)) this.#verifySeal(view, at, base + at);
      else this.#verifyFrame(bytes, view, at, base + at);
    }
    this.#compareCheckpoint(commit.end);
  }

  #verifyHashes(commit: ScannedCommit, from: number, count: number, start: number, end: number): void {
    const kernel = this.#kernel;
    if (kernel.capacity < end - start) kernel.reserve(end - start);
    kernel.bytes.set(commit.bytes.subarray(start, end));
    for (let i = 0; i < count; i++) {
      kernel.offsets[i] = commit.frames[from + i] - start;
      kernel.lengths[i] = frameLength(commit.view, commit.frames[from + i]);
    }
    const bad = kernel.check(count, this.#seed, commit.base + start, true);
    if (bad < 0) return;
    const at = commit.frames[from + bad];
    const sequence = getUint64(commit.view, at + FRAME.sequence);
    const entity = isSeal(commit.view, at) ? {} : { entity: nativeFrames.entity(commit.bytes, commit.view, at) };
    this.#place("HASH_MISMATCH", commit.base + at, "the event's hash is not that of its bytes", { sequence, ...entity });
  }

  #verifySeal(view: DataView, at: number, offset: number): void {
    const seal = decodeSeal(view, at);
    if (seal.frames !== this.#frames || seal.nextSequence !== this.#nextSequence) {
      this.#place(
        "SEAL_MISMATCH",
        offset,
        `the seal counts ${seal.frames} frames up to sequence ${seal.nextSequence}, ${this.#frames} up to ${this.#nextSequence} are there`,
      );
    }
    this.#nextSequence = Math.max(this.#nextSequence, seal.nextSequence);
  }

  #verifyFrame(bytes: Uint8Array, view: DataView, at: number, offset: number): void {
    this.#frames++;
    const heads = this.#heads;
    const entityId = this.#names.internBytes(bytes, entityStart(view, at), scopeStart(view, at));
    heads.ensure(entityId);
    const sequence = getUint64(view, at + FRAME.sequence);
    const clock = getUint64(view, at + FRAME.clock);
    const where = (): { entity: string; sequence: number } => ({ entity: this.#names.name(entityId), sequence });
    const expectedClock = heads.clock[entityId] + 1;
    const chained = sameBytes(bytes, at + FRAME.previousHash, heads.hash, entityId * FRAME.hashBytes, FRAME.hashBytes);
    if (clock !== expectedClock) {
      const code = this.#lossBefore ? "LOST_EVENTS" : "CLOCK_GAP";
      this.#place(code, offset, `the clock of ${where().entity} is ${clock}, ${expectedClock} is due`, where());
    } else if (!chained) {
      this.#place("CHAIN_BROKEN", offset, `the previous hash is not that of the event before it of ${where().entity}`, where());
    }
    heads.clock[entityId] = clock;
    const hashAt = at + frameLength(view, at) - FRAME.hashBytes;
    heads.hash.set(bytes.subarray(hashAt, hashAt + FRAME.hashBytes), entityId * FRAME.hashBytes);
    if ((frameFlags(view, at) & FRAME_FLAG.system) !== 0) return;
    if (sequence < this.#nextSequence)
      this.#place("SEQUENCE_GAP", offset, `its sequence is ${sequence}, ${this.#nextSequence} is due`, where());
    heads.setVisible(entityId, sequence);
    this.#nextSequence = sequence + 1;
    this.#events++;
    this.#verifyRow(view, at, offset, sequence, clock);
  }

  /** The row of an event, against its frame. */
  #verifyRow(view: DataView, at: number, offset: number, sequence: number, clock: number): void {
    if (!this.#indexUsable) return;
    try {
      const rows = this.#input.index.indexOf(this.#segment);
      const row = this.#row++;
      const right =
        row < rows.rowCount &&
        rows.offsetAt(row) === offset &&
        rows.sequenceAt(row) === sequence &&
        rows.clockAt(row) === clock &&
        rows.timeAt(row) === getUint64(view, at + FRAME.time) &&
        rows.endsBatch(row) === isMarked(view, at) &&
        rows.rowsByIdTag(idTag(view, at + FRAME.id)).includes(row);
      if (right) return;
      this.#indexUsable = false;
      this.#place("INDEX_MISMATCH", offset, `row ${row} of the index is not this event`, { sequence });
    } catch (error) {
      this.#indexBroke(error);
    }
  }

  #indexBroke(error: unknown): void {
    if (!(error instanceof IndexPageError)) throw error;
    this.#indexUsable = false;
    this.#place("INDEX_UNUSABLE", this.#segment.framesEnd, `page ${error.page} of the index block is bad: ${error.reason}`);
  }

  /** What the index says of each entity at the segment's end, against the heads that the frames gave. */
  #verifyRows(segment: SegmentEntry): void {
    if (!this.#indexUsable || !segment.sealed) return;
    try {
      const rows = this.#input.index.indexOf(segment);
      if (rows.rowCount !== this.#row)
        this.#place("INDEX_MISMATCH", segment.framesEnd, `the index has ${rows.rowCount} rows, ${this.#row} events are there`);
      rows.entities((name, summary) => {
        const entityId = this.#names.find(name);
        if (entityId >= 0 && this.#heads.clock[entityId] === summary.lastClock) return;
        this.#place("INDEX_MISMATCH", segment.framesEnd, `the index says that the last clock of ${name} is ${summary.lastClock}`, {
          entity: name,
        });
      });
    } catch (error) {
      this.#indexBroke(error);
    }
  }

  /** At the place that the checkpoint pictures: every head that it has. */
  #compareCheckpoint(offset: number): void {
    const claim = this.#input.checkpoint;
    if (claim === null || claim.segmentId !== this.#segment.id || claim.offset !== offset) return;
    let wrong = claim.visibleEvents === this.#events ? null : `it counts ${claim.visibleEvents} events, ${this.#events} are there`;
    for (let entityId = 0; entityId < claim.heads.count && wrong === null; entityId++) {
      const name = claim.entities.name(entityId);
      const own = this.#names.find(name);
      const clock = own < 0 ? -1 : this.#heads.clock[own];
      const sameHash =
        own < 0 || sameBytes(claim.heads.hash, entityId * FRAME.hashBytes, this.#heads.hash, own * FRAME.hashBytes, FRAME.hashBytes);
      if (claim.heads.clock[entityId] !== clock || !sameHash)
        wrong = `its head of ${name === SYSTEM_ENTITY ? "the system's records" : name} is another`;
    }
    if (wrong !== null) this.#place("CHECKPOINT_MISMATCH", offset, `the checkpoint does not picture the log: ${wrong}`);
  }
}
