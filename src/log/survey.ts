/**
 * The first half of a compaction: decides once about each event of the sealed segments, and says which neighbours are to become one.
 *
 * What is never taken: the last event of an entity; a part of a batch that has a key or a given id; the newest event whose id the store issued;
 * system records. Beside a writer the survey leans on events that are accepted and not yet durable: whoever commits a range waits until all that
 * was accepted when the survey ended is on stable storage.
 */
import { describeValue } from "../base/describe-value.ts";
import { invalidArgument } from "../base/store-error.ts";
import { isStrayPromise } from "../base/stray-promise.ts";
import { getUint64 } from "../base/u64.ts";
import { StoredEvent } from "../events/event.ts";
import type { EventType } from "../events/upcast.ts";
import { nativeFrames } from "../format/native/frame-format.ts";
import { FRAME, FRAME_FLAG } from "../format/native/frame-layout.ts";
import { frameFlags, frameLength, isMarked } from "../format/native/frame.ts";
import type { SegmentEntry, StoreIndex } from "../index/store-index.ts";
import { frameBlocks, type SurveyedSegment } from "./merge-segments.ts";
import { RowSearch, type SearchFilter } from "./row-search.ts";
import type { SegmentFiles } from "./segment-files.ts";

/** What is to go: what matches a filter and nothing keeps. */
export interface RetentionRules {
  readonly filters: readonly SearchFilter[];
  /** Keeps the events for which it returns true. */
  readonly keep: ((event: StoredEvent) => boolean) | null;
  /** Keeps events of this time and later, in microseconds since the Unix epoch. */
  readonly newerMicros: number;
  /** Keeps so many of the last events of each entity. */
  readonly keepLast: number | null;
}

export interface SurveyInput {
  readonly files: SegmentFiles;
  readonly index: StoreIndex;
  readonly storeId: Uint8Array;
  readonly rules: RetentionRules;
  readonly typeOf: (kind: number) => EventType | null;
  /** The newest id that the store has issued: 16 bytes. */
  readonly newestId: () => Uint8Array;
  /** Called between two steps: lets the event loop turn, and throws where the work is to end. */
  readonly pause: () => Promise<void>;
}

/** What is to become of a segment. */
export interface SegmentPlan extends SurveyedSegment {
  readonly entry: SegmentEntry;
  readonly removedEvents: number;
  readonly keptBytes: number;
}

/** What a removed event with a key leaves behind, about. */
const ROW_BYTES = 200;
const ENTITIES_PER_STEP = 1024;
/** How long a caller's `keep` takes is not ours to say. */
const KEEP_CALLS_PER_STEP = 16;

export class Survey {
  /** Events that the rules would remove, and that stay all the same. */
  held = 0;
  readonly #input: SurveyInput;
  readonly #search: RowSearch;
  /** By entity id: its events, and how many of them were met. */
  #totals = new Float64Array(0);
  #met = new Float64Array(0);
  #keepCalls = 0;

  constructor(input: SurveyInput) {
    this.#input = input;
    this.#search = new RowSearch(input.index, input.rules.filters, { from: 0, to: 0, direction: "forward" });
  }

  /** The plans for these segments, which must be the oldest ones of the log, without a gap. */
  async run(segments: readonly SegmentEntry[], surveyed: (segments: number) => void): Promise<SegmentPlan[]> {
    if (this.#input.rules.keepLast !== null) await this.#countEvents();
    const plans: SegmentPlan[] = [];
    for (const segment of segments) {
      plans.push(await this.#survey(segment));
      surveyed(plans.length);
    }
    return plans;
  }

  async #survey(segment: SegmentEntry): Promise<SegmentPlan> {
    const { files, storeId, pause } = this.#input;
    const kept: number[] = [];
    const commit: { keeps: boolean; bytes: number }[] = [];
    let [hasForeign, keptBytes, removedEvents] = [false, 0, 0];
    for await (const { bytes, view, frames } of frameBlocks(files, storeId, segment.id, segment.framesEnd, pause)) {
      for (const at of frames) {
        const flags = frameFlags(view, at);
        if ((flags & FRAME_FLAG.system) !== 0) keptBytes += frameLength(view, at);
        else {
          commit.push({ keeps: this.#keeps(bytes, view, at), bytes: frameLength(view, at) });
          hasForeign ||= (flags & FRAME_FLAG.foreignId) !== 0;
          if (this.#keepCalls >= KEEP_CALLS_PER_STEP) await this.#restFromKeep();
        }
        if (!isMarked(view, at)) continue;
        const holds = hasForeign && commit.some(({ keeps }) => keeps);
        for (const { keeps, bytes: length } of commit) {
          if (holds && !keeps) this.held++;
          kept.push(keeps || holds ? 1 : 0);
          keptBytes += keeps || holds ? length : hasForeign ? ROW_BYTES : 0;
          if (!keeps && !holds) removedEvents++;
        }
        commit.length = 0;
        hasForeign = false;
      }
    }
    const bits = new Uint8Array((kept.length + 7) >>> 3);
    for (let i = 0; i < kept.length; i++) bits[i >>> 3] |= kept[i] << (i & 7);
    const { id, firstSequence, nextSequence, framesEnd } = segment;
    return { entry: segment, id, firstSequence, nextSequence, framesEnd, kept: bits, removedEvents, keptBytes };
  }

  async #restFromKeep(): Promise<void> {
    this.#keepCalls = 0;
    await this.#input.pause();
  }

  #keeps(bytes: Uint8Array, view: DataView, at: number): boolean {
    const { index, rules, newestId } = this.#input;
    const sequence = getUint64(view, at + FRAME.sequence);
    const entity = nativeFrames.entity(bytes, view, at);
    const entityId = index.entities.find(entity);
    const isOfLast = rules.keepLast !== null && this.#behind(entityId) < rules.keepLast;
    if (!this.#search.confirms(nativeFrames, bytes, view, at, sequence)) return true;
    if (getUint64(view, at + FRAME.time) >= rules.newerMicros) return true;
    if (isOfLast) return true;
    if (rules.keep !== null) {
      this.#keepCalls++;
      const answer: unknown = rules.keep(this.#eventOf(bytes, view, at, sequence));
      if (answer === true) return true;
      // Not taken for a no: what is removed is gone.
      if (answer !== false) throw noAnswer(answer);
    }
    if (getUint64(view, at + FRAME.clock) !== index.heads.clock(entityId) && !nativeFrames.hasId(bytes, view, at, newestId())) return false;
    this.held++;
    return true;
  }

  /** How many events of the entity follow on the one that is met now. Clocks do not tell: an earlier compaction may have left gaps in them. */
  #behind(entityId: number): number {
    this.#met[entityId]++;
    return this.#totals[entityId] - this.#met[entityId];
  }

  /** Counts the events of every entity, in steps. What is appended meanwhile may be counted or not: it only ever keeps more. */
  async #countEvents(): Promise<void> {
    const { index, pause } = this.#input;
    let totals = new Float64Array(index.heads.count);
    for (let position = 0; position < index.segments.length; position++) {
      const segment = index.segments[position];
      const rows = index.indexOf(segment);
      for (let from = 0, ended = false; !ended; await pause()) {
        const met = index.withSoundIndex(() => {
          const some: [string, number][] = [];
          index.indexOf(segment).entities((name, summary) => some.push([name, summary.rows]) < ENTITIES_PER_STEP, from);
          return some;
        });
        // Made anew where a page of it was bad, and in another order then: counted from the beginning.
        if (rows !== index.indexOf(segment)) return await this.#countEvents();
        for (const [name, count] of met) {
          const id = index.entities.find(name);
          if (id >= totals.length) totals = grown(totals, id + 1);
          totals[id] += count;
        }
        from += met.length;
        ended = met.length < ENTITIES_PER_STEP;
      }
    }
    this.#totals = totals;
    this.#met = new Float64Array(totals.length);
  }

  /** In memory of its own: it may be kept. */
  #eventOf(bytes: Uint8Array, view: DataView, at: number, sequence: number): StoredEvent {
    const own = bytes.slice(at, at + frameLength(view, at));
    const slab = { bytes: own, view: new DataView(own.buffer) };
    return new StoredEvent(nativeFrames, slab, 0, sequence, this.#input.typeOf(nativeFrames.kind(slab.view, 0)));
  }
}

function grown(counts: Float64Array, length: number): Float64Array<ArrayBuffer> {
  const longer = new Float64Array(Math.max(length, counts.length * 2));
  longer.set(counts);
  return longer;
}

/** Neighbours that lose something become one, as long as they fit. */
export function rangesOf(plans: readonly SegmentPlan[], bytesMax: number): SegmentPlan[][] {
  const ranges: SegmentPlan[][] = [];
  let last: SegmentPlan | null = null;
  let bytes = 0;
  for (const plan of plans) {
    if (plan.removedEvents > 0) {
      if (last !== null && bytes + plan.keptBytes <= bytesMax) {
        ranges[ranges.length - 1].push(plan);
        bytes += plan.keptBytes;
      } else {
        ranges.push([plan]);
        bytes = plan.keptBytes;
      }
    }
    last = plan.removedEvents > 0 ? plan : null;
  }
  return ranges;
}

function noAnswer(answer: unknown): TypeError {
  const found = isStrayPromise(answer) ? "a promise" : describeValue(answer);
  return invalidArgument(`Cannot compact: keep returned ${found}, true and false are allowed`);
}
