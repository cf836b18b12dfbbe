/**
 * What is missing from a compacted segment, gathered and written as the frames that tell of it (`format/native/retention.ts`): what a compaction
 * removes now, and what the records of before say, in segments that become one or in one that repair writes anew.
 */
import { sortedInSteps } from "../base/rest.ts";
import { getUint64 } from "../base/u64.ts";
import { nativeFrames } from "../format/native/frame-format.ts";
import { frameLength, payloadStart } from "../format/native/frame.ts";
import { FRAME } from "../format/native/frame-layout.ts";
import { filterAdd, filterBytes } from "../format/native/index-filter.ts";
import {
  type Removal,
  type RemovedRow,
  type RemovedRun,
  type RetentionFrames,
  rowPayload,
  summaryPayload,
} from "../format/native/retention.ts";
import { idTag, idTag2 } from "../index/id-tag.ts";
import { blake3 } from "../kernel/frame-kernel.ts";

/** A frame in memory that is the visitor's until its next step. */
export interface WalkedEvent {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly at: number;
}

/** What a record of removed events tells. */
export interface RetentionRecord {
  readonly summary: { readonly removals: readonly Removal[] };
  /** The runs of removed sequences, ascending. */
  sequences(): Iterable<readonly [number, number]>;
  /** The removed runs of each entity that lost any, ascending; of some entities in several parts. */
  entities(): Iterable<readonly [string, readonly RemovedRun[]]>;
  batches(): Iterable<RemovedRow[]>;
}

/** About what a frame of records holds. */
const RECORD_BYTES = 64 * 1024;
const ITEMS_PER_STEP = 1024;
const KEYS_PER_FRAME = 2048;
const RUN_NUMBERS_PER_FRAME = 8192;

export class Removed {
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

  /** What a record tells of a segment; to be told before the segment's events. */
  async earlier(record: RetentionRecord, pause: () => Promise<void>): Promise<void> {
    this.#removals.push(...record.summary.removals);
    let steps = 0;
    const step = (): Promise<void> | undefined => (++steps % ITEMS_PER_STEP === 0 ? pause() : undefined);
    for (const [entity, runs] of record.entities()) {
      for (const run of runs) {
        this.#run(entity, run);
        await step();
      }
    }
    for (const [from, to] of record.sequences()) {
      this.#sequences.push([from, to]);
      await step();
    }
    for (const rows of record.batches()) {
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
      // One view of all: see `viewOfId`.
      const view = new DataView(ids.buffer, ids.byteOffset, ids.length);
      const where = new DataView(new ArrayBuffer(some.length * 8));
      some.forEach(({ offset, number }, i) => {
        filterAdd(filter, idTag(view, i * 16), idTag2(view, i * 16));
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

/** What stays of an event whose batch has a key. */
export function rowOf({ bytes, view, at }: WalkedEvent): RemovedRow {
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
