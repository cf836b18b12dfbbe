/**
 * What is whole of a damaged segment's record of what compaction removed (`format/native/retention.ts`), and what follows from it for the rest:
 *
 * - `summary` and `keys` repeat what the other frames say: whoever writes the record anew makes them anew. Only the hashes in the summary cannot be.
 * - A row of a removed batch tells of its event what `sequences` and `entities` do.
 * - Where as many sequences are missing among the events as were removed, these are the removed ones.
 *
 * Nothing else tells what a lost `batches` frame did: retries of these batches are answered no more. Nor what a lost `entities` frame did of events without
 * a key: `verify` takes them for lost.
 */
import { isStoreError } from "../base/store-error.ts";
import { getUint64 } from "../base/u64.ts";
import { FRAME } from "../format/native/frame-layout.ts";
import { nativeFrames } from "../format/native/frame-format.ts";
import {
  readBatches,
  readEntities,
  readKeys,
  readSequences,
  readSummary,
  type RemovedRow,
  type RemovedRun,
  retentionSort,
  type RetentionSummary,
} from "../format/native/retention.ts";
import type { RetentionRecord } from "./removed.ts";

/** What the segment itself tells of the events that are missing from it. */
export interface SegmentRange {
  /** The sequences of its events that are whole, in order. */
  readonly events: readonly number[];
  readonly first: number;
  /** The sequence that follows on the segment; null where nothing tells. */
  readonly next: number | null;
  /** The newest generation that the log knows. */
  readonly generation: number;
}

export interface SalvagedRecord extends RetentionRecord {
  /** After the last removed sequence. */
  readonly end: number;
  /** What of the record is lost for good, in words. */
  readonly lost: readonly string[];
}

const HASH_BYTES = 32;

export class RetentionSalvage {
  #summary: RetentionSummary | null = null;
  readonly #sequences: [number, number][] = [];
  readonly #runs = new Map<string, RemovedRun[]>();
  /** By the offset of their frame. */
  readonly #batches = new Map<number, RemovedRow[][]>();
  readonly #keys: DataView[] = [];
  /** Of the first event of the segment when it was written, as each frame of the record repeats it; -1 before there is one. */
  firstSequence = -1;
  #frames = 0;
  #last: { readonly clock: number; readonly sort: unknown } = { clock: -1, sort: null };

  /** The newest generation of which the summary tells; 0 where that is lost. */
  get generation(): number {
    return Math.max(0, ...(this.#summary?.removals ?? []).map(({ generation }) => generation));
  }

  /** After the last sequence that is known to be removed. */
  get end(): number {
    const lasts = [...this.#sequences.map(([, to]) => to), ...[...this.#batches.values()].flat(2).map(({ sequence }) => sequence)];
    return lasts.reduce((end, last) => Math.max(end, last + 1), 0);
  }

  /** Takes a right frame of the record, in the order of their places. One whose payload is none of a record's is as good as lost. */
  take(bytes: Uint8Array, view: DataView, at: number): void {
    try {
      const payload = nativeFrames.payload(bytes, view, at);
      const sort = retentionSort(payload);
      if (sort === "sequences") for (const run of readSequences(payload)) this.#sequences.push(run);
      else if (sort === "entities") for (const [name, runs] of readEntities(payload)) this.#addRuns(name, runs);
      else if (sort === "batches") this.#batches.set(at, readBatches(payload));
      else if (sort === "keys") this.#keys.push(readKeys(payload).places);
      else this.#summary = readSummary(payload);
      this.#frames++;
      this.firstSequence = getUint64(view, at + FRAME.sequence);
      this.#last = { clock: nativeFrames.clock(view, at), sort };
    } catch (error) {
      if (!isStoreError(error, "CORRUPT")) throw error;
    }
  }

  #addRuns(name: string, runs: readonly RemovedRun[]): void {
    const known = this.#runs.get(name);
    if (known === undefined) this.#runs.set(name, [...runs]);
    else for (const run of runs) known.push(run);
  }

  /** The record to be written in the place of the damaged one. */
  record({ events, first, next, generation }: SegmentRange): SalvagedRecord {
    const batches = [...this.#batches.values()].flat();
    for (const { entity, sequence, clock, hash } of batches.flat()) {
      this.#addRuns(entity, [{ from: clock, to: clock, lastSequence: sequence, lastHash: hash }]);
      this.#sequences.push([sequence, sequence]);
    }
    const runs = [...this.#runs].map(([name, known]): [string, RemovedRun[]] => [name, union(known, ({ from, to }) => [from, to])]);
    let sequences = union(this.#sequences, (run) => run);
    const byClock = runs.reduce((sum, [, known]) => sum + countOf(known.map(({ from, to }) => [from, to])), 0);
    const removed = this.#summary?.removed ?? Math.max(byClock, countOf(sequences));
    const missing = next === null ? [] : gapsIn(events, first, next);
    if (countOf(missing) === removed) sequences = missing;
    const untold = removed - Math.min(byClock, countOf(sequences));
    const removals = this.#summary?.removals ?? (removed === 0 ? [] : [{ generation, count: removed, hash: new Uint8Array(HASH_BYTES) }]);
    return {
      summary: { removals },
      sequences: () => sequences,
      entities: () => runs,
      batches: () => batches,
      end: (sequences[sequences.length - 1]?.[1] ?? -1) + 1,
      lost: [
        ...this.#lostKeys(),
        ...(untold > 0 ? [`where ${untold} removed events stood (verify takes them for lost)`] : []),
        ...(this.#summary === null ? ["the hash over the removed events"] : []),
      ],
    };
  }

  /** What would have answered retries; none where all of it is there. */
  #lostKeys(): string[] {
    const summary = this.#summary;
    let count = 0;
    for (const places of this.#keys) {
      for (let at = 0; at < places.byteLength; at += 8) if (!this.#batches.has(places.getUint32(at, true))) count++;
    }
    // Without the summary, keys at the end of a record without a gap tell that all the batches before them are there.
    const isCounted =
      summary === null ? this.#last.sort === "keys" && this.#frames > this.#last.clock : summary.keys.length === this.#keys.length;
    const isWhole = summary === null ? isCounted && count === 0 : summary.batches.every((offset) => this.#batches.has(offset));
    if (isWhole) return [];
    const more = isCounted ? "" : count > 0 ? ", and perhaps of others" : ", if there were any";
    return [
      `what answers retries of ${count > 0 ? `${count} ` : ""}removed events with keys or given ids${more} (such a retry appends them again)`,
    ];
  }
}

/** Ascending, without those that lie within another. */
function union<Run>(runs: readonly Run[], bounds: (run: Run) => readonly [number, number]): Run[] {
  const kept: Run[] = [];
  let last = -1;
  for (const run of runs.toSorted((a, b) => bounds(a)[0] - bounds(b)[0] || bounds(b)[1] - bounds(a)[1])) {
    const [, to] = bounds(run);
    if (to <= last) continue;
    kept.push(run);
    last = to;
  }
  return kept;
}

function countOf(runs: readonly (readonly [number, number])[]): number {
  return runs.reduce((sum, [from, to]) => sum + to - from + 1, 0);
}

/** The runs of sequences from `first` up to `next` that no event has. */
function gapsIn(events: readonly number[], first: number, next: number): [number, number][] {
  const gaps: [number, number][] = [];
  let due = first;
  for (const sequence of [...events, next]) {
    if (sequence > due) gaps.push([due, sequence - 1]);
    due = sequence + 1;
  }
  return gaps;
}
