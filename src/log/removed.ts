/**
 * What is missing from a compacted segment, gathered and written as the frames that tell of it (`format/native/retention.ts`): what a compaction
 * removes now, and what the records of before say, in segments that become one or in one that repair writes anew.
 *
 * A record has three lists: runs of sequences and of clocks, which stay in memory until the last one is known, and rows, of which only ids and places
 * do (`log/removed-rows.ts`): whoever has rows tells of them when it is their turn.
 */
import { isText } from "../base/msgpack.ts";
import { RecordList } from "../base/record-list.ts";
import { sortedPlaces } from "../base/sorted-places.ts";
import { getUint64 } from "../base/u64.ts";
import { nativeFrames } from "../format/native/frame-format.ts";
import { entityStart, frameLength, payloadStart, scopeStart } from "../format/native/frame.ts";
import { FRAME } from "../format/native/frame-layout.ts";
import { type Removal, type RemovedRow, type RemovedRun, type RetentionFrames, summaryPayload } from "../format/native/retention.ts";
import { blake3 } from "../kernel/frame-kernel.ts";
import { RemovedRows } from "./removed-rows.ts";
import { RemovedRuns } from "./removed-runs.ts";

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
const RUN_NUMBERS_PER_FRAME = 8192;

export class Removed {
  readonly #runs = new RemovedRuns();
  /** First and last of each run of sequences. */
  readonly #sequences = new RecordList(2);
  #sequencesAscend = true;
  readonly #removals: Removal[] = [];
  #count = 0;
  /** The hash over what was removed so far, and behind it that of the next event. */
  readonly #hashes = new Uint8Array(2 * FRAME.hashBytes);

  event({ bytes, view, at }: WalkedEvent): void {
    const hashAt = at + frameLength(view, at) - FRAME.hashBytes;
    const sequence = getUint64(view, at + FRAME.sequence);
    const clock = getUint64(view, at + FRAME.clock);
    const [start, end] = [entityStart(view, at), scopeStart(view, at)];
    const runs = this.#runs;
    const entity = isText(bytes, start, end) ? runs.entityOfBytes(bytes, start, end) : runs.entity(nativeFrames.entity(bytes, view, at));
    runs.add(entity, clock, clock, sequence, bytes, hashAt);
    this.#sequence(sequence, sequence);
    this.#count++;
    const hashes = this.#hashes;
    for (let i = 0; i < FRAME.hashBytes; i++) hashes[FRAME.hashBytes + i] = bytes[hashAt + i];
    hashes.set(blake3(hashes));
  }

  /** What a record tells of a segment, but for its rows; to be told before the segment's events. */
  async earlier(record: RetentionRecord, pause: () => Promise<void>): Promise<void> {
    this.#removals.push(...record.summary.removals);
    let steps = 0;
    for (const [name, runs] of record.entities()) {
      const entity = this.#runs.entity(name);
      for (const { from, to, lastSequence, lastHash } of runs) {
        this.#runs.add(entity, from, to, lastSequence, lastHash, 0);
        if (++steps % ITEMS_PER_STEP === 0) await pause();
      }
    }
    for (const [from, to] of record.sequences()) {
      this.#sequence(from, to);
      if (++steps % ITEMS_PER_STEP === 0) await pause();
    }
  }

  #sequence(from: number, to: number): void {
    const list = this.#sequences;
    const last = list.length - 1;
    if (last >= 0) {
      if (list.number(last, 1) + 1 === from) return list.setNumber(last, 1, to);
      if (list.number(last, 0) > from) this.#sequencesAscend = false;
    }
    const run = list.add();
    list.setNumber(run, 0, from);
    list.setNumber(run, 1, to);
  }

  /**
   * Writes it as frames; gives where the summary stands, 0 where nothing was removed.
   *
   * @param tellRows tells of the rows, in the order in which the rest was told
   */
  async write(
    frames: RetentionFrames,
    generation: number,
    tellRows: (rows: RemovedRows) => Promise<void>,
    pause: () => Promise<void>,
  ): Promise<number> {
    const hash = this.#hashes.slice(0, FRAME.hashBytes);
    const removals = this.#count === 0 ? this.#removals : [...this.#removals, { generation, count: this.#count, hash }];
    if (removals.length === 0) return 0;
    const sequences = await this.#writeSequences(frames, pause);
    const entities = await this.#writeEntities(frames, pause);
    const rows = new RemovedRows(frames);
    await tellRows(rows);
    const { batches, keys, filter } = await rows.end(pause);
    const removed = removals.reduce((sum, { count }) => sum + count, 0);
    return frames.add(summaryPayload({ removals, removed, sequences, entities, batches, keys, filter }));
  }

  async #writeSequences(frames: RetentionFrames, pause: () => Promise<void>): Promise<number[]> {
    const list = this.#sequences;
    const byFirst = (one: number, other: number): number => list.number(one, 0) - list.number(other, 0);
    const places = this.#sequencesAscend ? null : await sortedPlaces(list.length, byFirst, pause);
    const offsets: number[] = [];
    let runs: number[] = [];
    for (let i = 0; i < list.length; i++) {
      if (i % ITEMS_PER_STEP === 0) await pause();
      const place = places === null ? i : places[i];
      const [from, to] = [list.number(place, 0), list.number(place, 1)];
      if (runs.length > 0 && runs[runs.length - 1] + 1 === from) runs[runs.length - 1] = to;
      else {
        if (runs.length === RUN_NUMBERS_PER_FRAME) {
          offsets.push(frames.add({ retention: "sequences", runs }));
          runs = [];
        }
        runs.push(from, to);
      }
    }
    if (runs.length > 0) offsets.push(frames.add({ retention: "sequences", runs }));
    return offsets;
  }

  async #writeEntities(frames: RetentionFrames, pause: () => Promise<void>): Promise<number[]> {
    const offsets: number[] = [];
    const runs = this.#runs;
    let entities: unknown[] = [];
    let bytes = 0;
    const flush = async (): Promise<void> => {
      if (entities.length > 0) offsets.push(frames.add({ retention: "entities", entities }));
      entities = [];
      bytes = 0;
      await pause();
    };
    for (let entity = 0; entity < runs.entities; entity++) {
      const ordering = runs.order(entity, pause);
      if (ordering !== null) await ordering;
      const name = runs.name(entity);
      let flat: unknown[] = [name];
      const add = (): void => {
        entities.push(flat);
        bytes += name.length + flat.length * 13;
        flat = [name];
      };
      for (let run = runs.first(entity); run >= 0; run = runs.next(run)) {
        const { from, to, lastSequence, lastHash } = runs.run(run);
        flat.push(from, to, lastSequence, lastHash);
        // An entity of many runs goes on in the next frame, under its name once more.
        if (bytes + flat.length * 13 <= RECORD_BYTES || runs.next(run) < 0) continue;
        add();
        await flush();
      }
      add();
      if (bytes > RECORD_BYTES) await flush();
    }
    await flush();
    return offsets;
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
