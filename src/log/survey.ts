/**
 * The first half of a compaction: decides once about each event of the sealed segments, and says which neighbours are to become one.
 *
 * What is never taken: the last event of an entity; a part of a batch that has a key or a given id; the newest event whose id the store issued;
 * system records. Beside a writer the survey leans on events that are accepted and not yet durable: whoever commits a range waits until all that
 * was accepted when the survey ended is on stable storage.
 */
import { describeValue } from "../base/describe-value.ts";
import { invalidArgument, StoreError } from "../base/store-error.ts";
import { isStrayPromise } from "../base/stray-promise.ts";
import { getUint64 } from "../base/u64.ts";
import { StoredEvent } from "../events/event.ts";
import type { EventType } from "../events/upcast.ts";
import { nativeFrames } from "../format/native/frame-format.ts";
import { FRAME, FRAME_FLAG } from "../format/native/frame-layout.ts";
import { frameFlags, frameLength, isMarked, payloadStart } from "../format/native/frame.ts";
import { holdsBatches, readEntities, readKeys, readSequences } from "../format/native/retention.ts";
import { OFFSET_MASK } from "../index/segment-index.ts";
import type { SegmentEntry, StoreIndex } from "../index/store-index.ts";
import { frameBlocks, KeptEvents, type Pause, type SurveyedSegment } from "./merge-segments.ts";
import { MergedSize } from "./merged-size.ts";
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
  /** What a segment that is made of several takes up to its index block, at the most. */
  readonly segmentBytesMax: number;
  /** The newest id that the store has issued: 16 bytes. */
  readonly newestId: () => Uint8Array;
  readonly pause: Pause;
}

/** What is to become of a segment. */
export interface SegmentPlan extends SurveyedSegment {
  readonly entry: SegmentEntry;
  readonly removedEvents: number;
}

/** Neighbours that lose something and become one segment. */
export interface RangePlan {
  readonly segments: SegmentPlan[];
  /** What that segment takes up to its index block, at the most. */
  bytes: number;
}

/** An event of a commit that is not at its end yet. */
interface MetEvent {
  readonly keeps: boolean;
  readonly bytes: number;
  readonly entityId: number;
  readonly entityBytes: number;
  readonly scopeBytes: number;
  readonly clock: number;
  readonly sequence: number;
}

/** No frame stands behind it: of a row's offset bit 30 is a flag. */
const SEGMENT_BYTES_LIMIT = OFFSET_MASK + 1;
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
  readonly #size: MergedSize;
  #keepCalls = 0;

  constructor(input: SurveyInput) {
    this.#input = input;
    this.#search = new RowSearch(input.index, input.rules.filters, { from: 0, to: 0, direction: "forward" });
    this.#size = new MergedSize(input.index.entities.size, input.segmentBytesMax);
  }

  /** The ranges among these segments, which must be the oldest ones of the log, without a gap. Neighbours that lose something become one, as long as they fit. */
  async run(segments: readonly SegmentEntry[], surveyed: (segments: number) => void): Promise<RangePlan[]> {
    if (this.#input.rules.keepLast !== null) await this.#countEvents();
    const size = this.#size;
    const ranges: RangePlan[] = [];
    for (const [done, segment] of segments.entries()) {
      size.begin();
      const plan = await this.#survey(segment);
      if (plan.removedEvents === 0) size.close();
      else {
        if (!size.join()) ranges.push({ segments: [], bytes: 0 });
        const range = ranges[ranges.length - 1];
        range.segments.push(plan);
        range.bytes = size.rangeBytes;
        assertOffsetsFit(range);
      }
      surveyed(done + 1);
    }
    return ranges;
  }

  async #survey(segment: SegmentEntry): Promise<SegmentPlan> {
    const { files, storeId, pause } = this.#input;
    const size = this.#size;
    const kept = new KeptEvents();
    const commit: MetEvent[] = [];
    let [hasForeign, removedEvents] = [false, 0];
    for await (const { bytes, view, from, frames } of frameBlocks(files, storeId, segment.id, segment.framesEnd, pause)) {
      for (const at of frames) {
        const flags = frameFlags(view, at);
        if ((flags & FRAME_FLAG.retention) !== 0) this.#reckonEarlier(bytes, view, at);
        else if ((flags & FRAME_FLAG.system) !== 0) size.frame(frameLength(view, at));
        else {
          commit.push(this.#meet(bytes, view, at, this.#entityOf(bytes, view, at, segment.id, from)));
          hasForeign ||= (flags & FRAME_FLAG.foreignId) !== 0;
          if (this.#keepCalls >= KEEP_CALLS_PER_STEP) await this.#restFromKeep();
        }
        if (!isMarked(view, at)) continue;
        const holds = hasForeign && commit.some(({ keeps }) => keeps);
        for (const event of commit) {
          const stays = event.keeps || holds;
          kept.add(stays);
          if (stays) size.kept(event.bytes);
          else {
            removedEvents++;
            size.removed(event.entityId, event.entityBytes, event.clock, event.sequence);
            if (hasForeign) size.row(event.entityBytes + event.scopeBytes);
          }
          if (holds && !event.keeps) this.held++;
        }
        commit.length = 0;
        hasForeign = false;
      }
    }
    const { id, firstSequence, nextSequence, framesEnd } = segment;
    return { entry: segment, id, firstSequence, nextSequence, framesEnd, kept, removedEvents };
  }

  async #restFromKeep(): Promise<void> {
    this.#keepCalls = 0;
    await this.#input.pause();
  }

  /** What an earlier compaction removed from the segment. It is written anew, and runs of it may become one. */
  #reckonEarlier(bytes: Uint8Array, view: DataView, at: number): void {
    const { entities } = this.#input.index;
    const size = this.#size;
    if (holdsBatches(bytes, payloadStart(view, at))) return size.frame(frameLength(view, at));
    const payload = nativeFrames.payload(bytes, view, at) as { readonly retention?: unknown };
    if (payload.retention === "sequences") size.earlierSequences(readSequences(payload).length);
    else if (payload.retention === "entities") {
      for (const [name, runs] of readEntities(payload)) {
        const [entityId, entityBytes] = [entities.find(name), Buffer.byteLength(name)];
        for (const { from, to } of runs) size.run(entityId, entityBytes, from, to);
      }
    } else size.frame(frameLength(view, at), payload.retention === "keys" ? readKeys(payload).ids.length / 16 : 0);
  }

  /** A checksum anybody can make: a frame that was changed on purpose may name an entity that the index does not know. */
  #entityOf(bytes: Uint8Array, view: DataView, at: number, segmentId: number, from: number): number {
    const entityId = this.#input.index.entities.find(nativeFrames.entity(bytes, view, at));
    if (entityId >= 0) return entityId;
    const [offset, reason] = [from + at, "the event there is of an entity that the index does not know"];
    const message = `Cannot compact segment ${segmentId}: ${reason} (offset ${offset}), run batpak verify`;
    throw new StoreError("CORRUPT", message, { segmentId, offset, reason });
  }

  #meet(bytes: Uint8Array, view: DataView, at: number, entityId: number): MetEvent {
    const sequence = getUint64(view, at + FRAME.sequence);
    return {
      keeps: this.#keeps(bytes, view, at, sequence, entityId),
      bytes: frameLength(view, at),
      entityId,
      entityBytes: view.getUint16(at + FRAME.entityLength, true),
      scopeBytes: view.getUint16(at + FRAME.scopeLength, true),
      clock: getUint64(view, at + FRAME.clock),
      sequence,
    };
  }

  #keeps(bytes: Uint8Array, view: DataView, at: number, sequence: number, entityId: number): boolean {
    const { index, rules, newestId } = this.#input;
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
    if (sequence !== index.heads.sequence(entityId) && !nativeFrames.hasId(bytes, view, at, newestId())) return false;
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

/** Exported for its test: a segment that cannot be made has half a million events with keys and long names. */
export function assertOffsetsFit({ segments: [first], bytes }: RangePlan): void {
  if (bytes <= SEGMENT_BYTES_LIMIT) return;
  const what = `segment ${first.id} without ${first.removedEvents} of its events`;
  const allowed = `${SEGMENT_BYTES_LIMIT} are allowed; leave some of its sequences, ${first.firstSequence} to ${first.nextSequence - 1}, out of the query`;
  throw new StoreError("TOO_LARGE", `Cannot compact: ${what} takes ${bytes} bytes, with what is recorded of them, ${allowed}`, {
    what,
    bytes,
    bytesMax: SEGMENT_BYTES_LIMIT,
  });
}

function noAnswer(answer: unknown): TypeError {
  const found = isStrayPromise(answer) ? "a promise" : describeValue(answer);
  return invalidArgument(`Cannot compact: keep returned ${found}, true and false are allowed`);
}
