/**
 * Makes one segment of several sealed ones that follow on each other, with the events that are to stay. Bodies and hashes stay as they are; the
 * prefixes (place, mark) are made anew. What is left out is told by retention frames, which come first.
 */
import { crc32 } from "node:zlib";
import { sortedInSteps } from "../base/rest.ts";
import { StoreError } from "../base/store-error.ts";
import { getUint64 } from "../base/u64.ts";
import { filterAdd, filterBytes } from "../format/native/index-filter.ts";
import { nativeFrames } from "../format/native/frame-format.ts";
import { COMMIT_MARK, FRAME, FRAME_FLAG, LENGTH_MASK } from "../format/native/frame-layout.ts";
import { checkFrame, frameFlags, frameLength, frameSeed, isMarked, payloadStart, segmentSeed } from "../format/native/frame.ts";
import { type Removal, type RemovedRow, type RemovedRun, RetentionFrames, rowPayload, summaryPayload } from "../format/native/retention.ts";
import { encodeSeal, isSeal } from "../format/native/seal.ts";
import { encodeSegmentHeader, SEGMENT_HEADER } from "../format/native/segment-header.ts";
import { idTag, idTag2 } from "../index/id-tag.ts";
import { blake3 } from "../kernel/frame-kernel.ts";
import type { FrameSource } from "./frame-source.ts";
import { Retention } from "./retention.ts";
import type { SegmentFiles } from "./segment-files.ts";
import { readHeader } from "./segment-list.ts";

/** A sealed segment, and which of its events stay. */
export interface SurveyedSegment {
  readonly id: number;
  readonly firstSequence: number;
  readonly nextSequence: number;
  /** The offset after its seal. */
  readonly framesEnd: number;
  /** A bit for each event frame, in order: set where it stays. */
  readonly kept: Uint8Array;
}

export interface MergeInput {
  readonly files: SegmentFiles;
  readonly frames: FrameSource;
  readonly storeId: Uint8Array;
  readonly generation: number;
  readonly nowMicros: number;
  /** Ascending, without a gap. */
  readonly segments: readonly SurveyedSegment[];
  /** Called between two steps: lets the event loop turn, and throws where the work is to end. */
  readonly pause: () => Promise<void>;
}

/** A frame in memory that is the visitor's until its next step. */
export interface WalkedEvent {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly at: number;
}

/** Looked at in one step, unless a frame is larger. */
const READ_BYTES = 256 * 1024;
const PIECE_BYTES = 256 * 1024;
/** About what a frame of records holds. */
const RECORD_BYTES = 64 * 1024;
const ITEMS_PER_STEP = 1024;
const KEYS_PER_FRAME = 2048;
const RUN_NUMBERS_PER_FRAME = 8192;

export interface FrameBlock {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  /** Where the block begins in its file. */
  readonly from: number;
  /** Where frames begin in the block. */
  readonly frames: readonly number[];
}

/** Every frame of a sealed segment up to its seal, in blocks, with a pause after each. Throws `CORRUPT` at one that is none. */
export async function* frameBlocks(
  files: SegmentFiles,
  storeId: Uint8Array,
  segmentId: number,
  framesEnd: number,
  pause: () => Promise<void>,
): AsyncGenerator<FrameBlock, void> {
  const seed = segmentSeed(storeId, segmentId);
  const file = files.pin(segmentId);
  try {
    let wanted = READ_BYTES;
    for (let from: number = SEGMENT_HEADER.bytes; from < framesEnd; ) {
      const bytes = new Uint8Array(Math.min(wanted, framesEnd - from));
      const view = new DataView(bytes.buffer);
      const count = await file.read(bytes, 0, bytes.length, from);
      const frames: number[] = [];
      let at = 0;
      for (;;) {
        const outcome = at < count ? checkFrame(bytes, view, at, count, seed, from + at) : "short";
        if (outcome === "short" && count === bytes.length && from + at < framesEnd && (at > 0 || bytes.length < framesEnd - from)) break;
        if (outcome !== "ok") {
          if (at === count && from + at === framesEnd) break;
          const reason = "a frame there is not right";
          throw new StoreError("CORRUPT", `Cannot compact segment ${segmentId}: ${reason} (offset ${from + at}), run batpak verify`, {
            segmentId,
            offset: from + at,
            reason,
          });
        }
        if (!isSeal(view, at)) frames.push(at);
        at += frameLength(view, at);
      }
      // A frame that is larger than what is read at once.
      wanted = at === 0 ? wanted * 4 : READ_BYTES;
      if (frames.length > 0) yield { bytes, view, from, frames };
      from += at;
      await pause();
    }
  } finally {
    files.unpin(segmentId);
  }
}

export function isKept(kept: Uint8Array, event: number): boolean {
  return (kept[event >>> 3] & (1 << (event & 7))) !== 0;
}

/** What is removed from a range of segments, now and by earlier compactions. */
class Removed {
  readonly #runs = new Map<string, RemovedRun[]>();
  readonly #sequences: [number, number][] = [];
  readonly #batches: RemovedRow[][] = [];
  readonly #removals: Removal[] = [];
  #count = 0;
  #hash: Uint8Array = new Uint8Array(32);

  event(frame: WalkedEvent): void {
    const { bytes, view, at } = frame;
    const hashAt = at + frameLength(view, at) - FRAME.hashBytes;
    const lastHash = bytes.slice(hashAt, hashAt + FRAME.hashBytes);
    const sequence = getUint64(view, at + FRAME.sequence);
    const clock = getUint64(view, at + FRAME.clock);
    this.#run(nativeFrames.entity(bytes, view, at), { from: clock, to: clock, lastSequence: sequence, lastHash });
    this.#sequence(sequence, sequence);
    this.#count++;
    const both = new Uint8Array(64);
    both.set(this.#hash);
    both.set(lastHash, 32);
    this.#hash = blake3(both);
  }

  batch(rows: RemovedRow[]): void {
    this.#batches.push(rows);
  }

  /** What an earlier compaction had removed; to be told before the events of its segment. */
  async earlier(retention: Retention, pause: () => Promise<void>): Promise<void> {
    this.#removals.push(...retention.summary.removals);
    let steps = 0;
    const step = (): Promise<void> | undefined => (++steps % ITEMS_PER_STEP === 0 ? pause() : undefined);
    for (const [entity, runs] of retention.entities()) {
      for (const run of runs) {
        this.#run(entity, run);
        await step();
      }
    }
    for (const [from, to] of retention.sequences()) {
      this.#sequences.push([from, to]);
      await step();
    }
    for (const rows of retention.batches()) {
      this.#batches.push(rows);
      await step();
    }
  }

  #run(entity: string, run: RemovedRun): void {
    const runs = this.#runs.get(entity);
    if (runs === undefined) this.#runs.set(entity, [run]);
    else if (runs[runs.length - 1].to + 1 === run.from) runs[runs.length - 1] = { ...run, from: runs[runs.length - 1].from };
    else runs.push(run);
  }

  #sequence(from: number, to: number): void {
    const last = this.#sequences[this.#sequences.length - 1];
    if (last !== undefined && last[1] + 1 === from) last[1] = to;
    else this.#sequences.push([from, to]);
  }

  /** Writes it as frames; gives where the summary stands, 0 where nothing was removed. */
  async write(frames: RetentionFrames, generation: number, pause: () => Promise<void>): Promise<number> {
    const removals = this.#count === 0 ? this.#removals : [...this.#removals, { generation, count: this.#count, hash: this.#hash }];
    if (removals.length === 0) return 0;
    const sequences = await this.#writeSequences(frames, pause);
    const entities = await this.#writeEntities(frames, pause);
    const { batches, keys, filter } = await this.#writeBatches(frames, pause);
    const removed = removals.reduce((sum, { count }) => sum + count, 0);
    return frames.add(summaryPayload({ removals, removed, sequences, entities, batches, keys, filter }));
  }

  async #writeSequences(frames: RetentionFrames, pause: () => Promise<void>): Promise<number[]> {
    const sorted = await sortedInSteps(this.#sequences, (a, b) => a[0] - b[0], pause);
    const runs: number[] = [];
    for (const [from, to] of sorted) {
      if (runs.length > 0 && runs[runs.length - 1] + 1 === from) runs[runs.length - 1] = to;
      else runs.push(from, to);
    }
    const offsets: number[] = [];
    for (let from = 0; from < runs.length; from += RUN_NUMBERS_PER_FRAME) {
      offsets.push(frames.add({ retention: "sequences", runs: runs.slice(from, from + RUN_NUMBERS_PER_FRAME) }));
      await pause();
    }
    return offsets;
  }

  async #writeEntities(frames: RetentionFrames, pause: () => Promise<void>): Promise<number[]> {
    const offsets: number[] = [];
    let entities: unknown[] = [];
    let bytes = 0;
    const flush = async (): Promise<void> => {
      if (entities.length > 0) offsets.push(frames.add({ retention: "entities", entities }));
      entities = [];
      bytes = 0;
      await pause();
    };
    for (const [name, unsorted] of this.#runs) {
      const byClock = (a: RemovedRun, b: RemovedRun): number => a.from - b.from;
      const runs = unsorted.length > ITEMS_PER_STEP ? await sortedInSteps(unsorted, byClock, pause) : unsorted.sort(byClock);
      let flat: unknown[] = [name];
      const add = (): void => {
        entities.push(flat);
        bytes += name.length + flat.length * 13;
        flat = [name];
      };
      for (let i = 0; i < runs.length; i++) {
        let run = runs[i];
        while (i + 1 < runs.length && runs[i + 1].from === run.to + 1) run = { ...runs[++i], from: run.from };
        flat.push(run.from, run.to, run.lastSequence, run.lastHash);
        // An entity of many runs goes on in the next frame, under its name once more.
        if (bytes + flat.length * 13 <= RECORD_BYTES || i + 1 === runs.length) continue;
        add();
        await flush();
      }
      add();
      if (bytes > RECORD_BYTES) await flush();
    }
    await flush();
    return offsets;
  }

  async #writeBatches(
    frames: RetentionFrames,
    pause: () => Promise<void>,
  ): Promise<{ batches: number[]; keys: { firstId: Uint8Array; offset: number }[]; filter: Uint8Array }> {
    const batches: number[] = [];
    const places: { id: Uint8Array; offset: number; number: number }[] = [];
    for (let from = 0; from < this.#batches.length; ) {
      let to = from;
      for (let rows = 0; to < this.#batches.length && rows < RECORD_BYTES / 160; to++) rows += this.#batches[to].length;
      const some = this.#batches.slice(from, to);
      const offset = frames.add({ retention: "batches", batches: some.map((rows) => rows.map(rowPayload)) });
      batches.push(offset);
      some.forEach((rows, number) => rows.forEach(({ id }) => places.push({ id, offset, number })));
      from = to;
      await pause();
    }
    const sorted = await sortedInSteps(places, (a, b) => Buffer.compare(a.id, b.id), pause);
    const filter = new Uint8Array(Math.min(filterBytes(sorted.length), 64 * 1024 * 1024));
    const keys: { firstId: Uint8Array; offset: number }[] = [];
    for (let from = 0; from < sorted.length; from += KEYS_PER_FRAME) {
      const some = sorted.slice(from, from + KEYS_PER_FRAME);
      const ids = Buffer.concat(some.map(({ id }) => id));
      const where = new DataView(new ArrayBuffer(some.length * 8));
      some.forEach(({ id, offset, number }, i) => {
        const view = new DataView(id.buffer, id.byteOffset, 16);
        filterAdd(filter, idTag(view, 0), idTag2(view, 0));
        where.setUint32(i * 8, offset, true);
        where.setUint32(i * 8 + 4, number, true);
      });
      const offset = frames.add({ retention: "keys", ids: new Uint8Array(ids), places: new Uint8Array(where.buffer) });
      keys.push({ firstId: some[0].id, offset });
      await pause();
    }
    return { batches, keys, filter };
  }
}

function rowOf({ bytes, view, at }: WalkedEvent): RemovedRow {
  const hashAt = at + frameLength(view, at) - FRAME.hashBytes;
  return {
    id: bytes.slice(at + FRAME.id, at + FRAME.id + 16),
    entity: nativeFrames.entity(bytes, view, at),
    scope: nativeFrames.scope(bytes, view, at),
    kind: view.getUint16(at + FRAME.kind, true),
    payloadHash: blake3(bytes.subarray(payloadStart(view, at), hashAt)),
    sequence: getUint64(view, at + FRAME.sequence),
    clock: getUint64(view, at + FRAME.clock),
    timeMicros: getUint64(view, at + FRAME.time),
    hash: bytes.slice(hashAt, hashAt + FRAME.hashBytes),
  };
}

/** Where the range's retention frames end, and the frames themselves. */
async function retentionOf(input: MergeInput): Promise<{ frames: RetentionFrames; retentionAt: number }> {
  const { files, frames: source, storeId, segments, generation, nowMicros, pause } = input;
  const [first] = segments;
  const removed = new Removed();
  for (const segment of segments) {
    const retention = Retention.of(files, source, segment.id);
    if (retention !== null) await removed.earlier(retention, pause);
    let event = 0;
    let commit: WalkedEvent[] = [];
    let hasForeign = false;
    for await (const { bytes, view, frames } of frameBlocks(files, storeId, segment.id, segment.framesEnd, pause)) {
      for (const at of frames) {
        const flags = frameFlags(view, at);
        if ((flags & FRAME_FLAG.system) === 0 && !isKept(segment.kept, event++)) {
          removed.event({ bytes, view, at });
          commit.push({ bytes, view, at });
          hasForeign ||= (flags & FRAME_FLAG.foreignId) !== 0;
        }
        if (!isMarked(view, at)) continue;
        // A batch with a key goes whole or not at all.
        if (hasForeign) removed.batch(commit.map(rowOf));
        commit = [];
        hasForeign = false;
      }
    }
  }
  const frames = new RetentionFrames(segmentSeed(storeId, first.id), first.firstSequence, nowMicros);
  return { retentionAt: await removed.write(frames, generation, pause), frames };
}

/** The bytes of the merged segment, in pieces: header, retention frames, what stays, seal. Its id is that of the first. */
export async function* mergedSegment(input: MergeInput): AsyncGenerator<Uint8Array, void> {
  const { files, storeId, segments, generation, nowMicros, pause } = input;
  const [first] = segments;
  const last = segments[segments.length - 1];
  const { frames: retention, retentionAt } = await retentionOf(input);
  const lastHeader = readHeader(files, last.id);
  // What was compacted before stands for a range itself.
  const replacesTo = Math.max(last.id, lastHeader.kind === "ok" ? lastHeader.header.replacesTo : 0);
  yield encodeSegmentHeader({
    storeId,
    segmentId: first.id,
    firstSequence: first.firstSequence,
    generation,
    replacesFrom: first.id,
    replacesTo,
    createdMicros: nowMicros,
    retentionAt,
  });
  yield* retention.pieces;
  const writer = new KeptFrames(segmentSeed(storeId, first.id), retention.offset);
  for (const segment of segments) {
    let event = 0;
    for await (const { bytes, view, frames } of frameBlocks(files, storeId, segment.id, segment.framesEnd, pause)) {
      for (const at of frames) {
        const flags = frameFlags(view, at);
        const isSystem = (flags & FRAME_FLAG.system) !== 0;
        const stays = isSystem ? (flags & FRAME_FLAG.retention) === 0 : isKept(segment.kept, event++);
        if (stays) writer.add(bytes.subarray(at, at + frameLength(view, at)));
        if (isMarked(view, at)) writer.endCommit();
      }
      yield* writer.take(PIECE_BYTES);
    }
  }
  yield* writer.take(0);
  const seal = { frames: retention.pieces.length + writer.frames, nextSequence: last.nextSequence, timeMicros: nowMicros };
  yield encodeSeal(seal, segmentSeed(storeId, first.id), writer.offset, SEGMENT_HEADER.bytes);
}

/** Gives frames their new places and marks. */
class KeptFrames {
  frames = 0;
  /** Where the next frame will stand. */
  offset: number;
  readonly #seed: number;
  #commit: Uint8Array[] = [];
  #ready: Uint8Array[] = [];
  #readyBytes = 0;

  constructor(seed: number, offset: number) {
    this.#seed = seed;
    this.offset = offset;
  }

  add(frame: Uint8Array): void {
    this.#commit.push(Uint8Array.from(frame));
  }

  endCommit(): void {
    const commit = this.#commit;
    for (const [i, bytes] of commit.entries()) {
      const view = new DataView(bytes.buffer);
      const mark = i === commit.length - 1 ? COMMIT_MARK : 0;
      view.setUint32(FRAME.length, ((view.getUint32(FRAME.length, true) & LENGTH_MASK) | mark) >>> 0, true);
      view.setUint32(FRAME.syncBack, this.offset - SEGMENT_HEADER.bytes, true);
      view.setUint32(FRAME.crc, crc32(bytes.subarray(FRAME.length), frameSeed(this.#seed, this.offset)), true);
      this.offset += bytes.length;
      this.#readyBytes += bytes.length;
      this.#ready.push(bytes);
    }
    this.frames += commit.length;
    this.#commit = [];
  }

  /** What is ready, once it is more than so many bytes. */
  *take(bytesMin: number): Generator<Uint8Array, void> {
    if (this.#readyBytes <= bytesMin) return;
    yield Buffer.concat(this.#ready);
    this.#ready = [];
    this.#readyBytes = 0;
  }
}
