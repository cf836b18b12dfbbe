/**
 * Reckons what a merged segment takes up to its index block, while the survey goes over the segments that may become one: never less than it
 * will (where damage took events, a little less), so that what is said to fit does. What stays keeps its bytes. What goes leaves runs of clocks and
 * sequences, and where its batch had a key, rows with their names.
 *
 * A segment has two sizes until it is known whether it joins the range before it: an entity that lost events there has its name there already, and its
 * run may go on. In memory stand two numbers for each entity, none for an event.
 */
import { filterBytes } from "../format/native/index-filter.ts";

/** Header, seal, summary, and of each sort of retention frames one that is not full. */
const FIXED_BYTES = 1536;
/** Two numbers, and their share of a frame. */
const SEQUENCE_RUN_BYTES = 19;
/** Three numbers and a hash, and their share of a frame, which may begin with the entity's name once more. */
const CLOCK_RUN_BYTES = 64;
/** An entity beyond its name. */
const ENTITY_BYTES = 12;
/** A row beyond its names, and its id and place among the keys, with their shares of frames. */
const ROW_BYTES = 156;

/** The entities that lose events. */
interface Losses {
  count: number;
  nameBytes: number;
  /** Runs of clocks. */
  runs: number;
}

interface Size extends Losses {
  readonly bytes: number;
  /** Events that stay. */
  readonly events: number;
  readonly sequenceRuns: number;
  /** How many ids the filter is over. */
  readonly keys: number;
}

const EMPTY: Size = { bytes: FIXED_BYTES, events: 0, sequenceRuns: 0, keys: 0, count: 0, nameBytes: 0, runs: 0 };

export class MergedSize {
  readonly #bytesMax: number;
  /** By entity id: the segment in which it lost an event last, counted from 1, and that event's clock. */
  readonly #lostIn: Uint32Array;
  readonly #lastClock: Float64Array;
  #lastSequence = -1;
  #segment = 0;
  /** The range that is open, and its first segment. */
  #range: Size | null = null;
  #rangeFrom = 0;
  /** Of the segment: what it takes whether it joins or not, and what depends on that. */
  #bytes = 0;
  #events = 0;
  #sequenceRuns = 0;
  #keys = 0;
  #alone = noLosses();
  #joined = noLosses();

  constructor(entities: number, bytesMax: number) {
    this.#bytesMax = bytesMax;
    this.#lostIn = new Uint32Array(entities);
    this.#lastClock = new Float64Array(entities);
  }

  /** A segment begins. */
  begin(): void {
    this.#segment++;
    this.#bytes = this.#events = this.#sequenceRuns = this.#keys = 0;
    this.#alone = noLosses();
    this.#joined = noLosses();
  }

  /** An event stays. */
  kept(bytes: number): void {
    this.#bytes += bytes;
    this.#events++;
  }

  /** A system record stays, or a frame of rows that an earlier compaction left, with so many ids of keys. */
  frame(bytes: number, keys = 0): void {
    this.#bytes += bytes;
    this.#keys += keys;
  }

  /** An event goes. */
  removed(entityId: number, entityBytes: number, clock: number, sequence: number): void {
    this.run(entityId, entityBytes, clock, clock);
    if (sequence !== this.#lastSequence + 1) this.#sequenceRuns++;
    this.#lastSequence = sequence;
  }

  /** So many runs of sequences went in an earlier compaction. */
  earlierSequences(runs: number): void {
    this.#sequenceRuns += runs;
  }

  /** Events of an entity go, or went in an earlier compaction. */
  run(entityId: number, entityBytes: number, from: number, to: number): void {
    const lostIn = this.#lostIn[entityId];
    const goesOn = this.#lastClock[entityId] + 1 === from;
    const isKnown = lostIn === this.#segment;
    addRun(this.#alone, isKnown, goesOn, entityBytes);
    addRun(this.#joined, isKnown || (this.#range !== null && lostIn >= this.#rangeFrom), goesOn, entityBytes);
    this.#lostIn[entityId] = this.#segment;
    this.#lastClock[entityId] = to;
  }

  /** The event that goes is of a batch with a key. */
  row(namesBytes: number): void {
    this.#bytes += ROW_BYTES + namesBytes;
    this.#keys++;
  }

  /** Whether the segment, which loses events, joins the range that is open; else it opens one. */
  join(): boolean {
    const joined = this.#range === null ? null : this.#after(this.#range, this.#joined);
    const joins = joined !== null && total(joined) <= this.#bytesMax;
    if (!joins) this.#rangeFrom = this.#segment;
    this.#range = joins ? joined : this.#after(EMPTY, this.#alone);
    return joins;
  }

  /** The segment loses nothing: the range before it ends there. */
  close(): void {
    this.#range = null;
  }

  /** What the range that is open takes at the most. */
  get rangeBytes(): number {
    return total(this.#range ?? EMPTY);
  }

  #after(range: Size, { count, nameBytes, runs }: Losses): Size {
    return {
      bytes: range.bytes + this.#bytes,
      events: range.events + this.#events,
      sequenceRuns: range.sequenceRuns + this.#sequenceRuns,
      keys: range.keys + this.#keys,
      count: range.count + count,
      nameBytes: range.nameBytes + nameBytes,
      runs: range.runs + runs,
    };
  }
}

function noLosses(): Losses {
  return { count: 0, nameBytes: 0, runs: 0 };
}

function addRun(losses: Losses, isKnown: boolean, goesOn: boolean, entityBytes: number): void {
  if (!isKnown) {
    losses.count++;
    losses.nameBytes += entityBytes;
  }
  if (!isKnown || !goesOn) losses.runs++;
}

function total({ bytes, events, sequenceRuns, keys, count, nameBytes, runs }: Size): number {
  // Between two runs of an entity, or of sequences, stands an event that stays: more were counted where one that goes stood there.
  const clockBytes = Math.min(runs, events + count) * CLOCK_RUN_BYTES;
  const sequenceBytes = Math.min(sequenceRuns, events + 1) * SEQUENCE_RUN_BYTES;
  return bytes + filterBytes(keys) + count * ENTITY_BYTES + nameBytes + clockBytes + sequenceBytes;
}
