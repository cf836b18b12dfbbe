/**
 * Folding: the state of a projection, carried on from a snapshot or from the beginning up to a bound.
 *
 * Invariants:
 * 1. `state` is what the handlers make of exactly the matching events up to `sequence`, in their order, wherever the fold began.
 * 2. A fold goes on behind the newest event that it holds, never behind a bound: what a snapshot says is about that event, whose hash
 *    names all of its entity's history. If the log does not have that very event there, the snapshot is not used.
 * 3. A fold whose handler has thrown is not used any more: its state may be half of something.
 */
import { isStrayPromise } from "../base/stray-promise.ts";
import { invalidArgument } from "../base/store-error.ts";
import type { TypedEvent } from "../events/event.ts";
import type { EventType } from "../events/upcast.ts";
import type { Projection } from "./projection.ts";
import type { SnapshotFolder } from "./snapshot-folder.ts";
import type { SnapshotOrigin } from "./snapshot-format.ts";

/** A state, and what it speaks of. */
export interface Projected<State> {
  readonly state: State;
  /** Of the newest event in it; -1 when there is none. Matching events behind it are not in the state. */
  readonly sequence: number;
  /** How many events are in it. */
  readonly events: number;
  /** How many of them had to be read now; the others were in a snapshot. */
  readonly eventsRead: number;
}

/** How far a fold has come. */
export interface ProjectProgress {
  /** Events that are in the state by now. */
  readonly events: number;
  /** Events that will be in it. */
  readonly eventsTotal: number;
}

/** What is folded: the events of one projection that match one query. */
export interface FoldSource {
  /** The sequence before which everything is visible. */
  visible(): number;
  /** Matching events with sequences in `(after, bound)`, ascending. */
  batches(after: number, bound: number, signal: AbortSignal | undefined): AsyncIterable<readonly TypedEvent[]>;
  /** What a kind means where it is one of the projection's events; null where it is not. */
  typeOf(kind: number): EventType | null;
  /** How many there are; with `kinds`, of these only. */
  count(after: number, bound: number, kinds?: readonly number[]): Promise<number>;
  /** The hash of the event with this sequence; null when there is none. */
  hashAt(sequence: number): Promise<string | null>;
  /** What a snapshot of it has to say; null where none are kept. */
  origin(): SnapshotOrigin | null;
  readonly snapshots: SnapshotFolder;
  /** Whether snapshots may be written: by the process that writes the store. */
  readonly writable: boolean;
}

export interface FoldControl {
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: ProjectProgress) => void) | undefined;
  /** False: whatever the fold comes to, it is not kept on disk. */
  readonly keep?: boolean;
}

export class Fold<State> {
  readonly #projection: Projection<State>;
  readonly #source: FoldSource;
  #state: State;
  #sequence = -1;
  #events = 0;
  #eventsRead = 0;
  /** Events folded since the snapshot that is on disk. */
  #eventsUnsaved = 0;
  /** What a snapshot says of the newest event. Not the event: its frame, and what was decoded of it, would be kept for as long as the state. */
  #last: { readonly hash: string; readonly timestamp: number } | null = null;
  /** Of the log as the fold began; -1 before. */
  #generation = -1;

  constructor(projection: Projection<State>, source: FoldSource) {
    this.#projection = projection;
    this.#source = source;
    this.#state = projection.initial();
  }

  get state(): State {
    return this.#state;
  }

  get result(): Projected<State> {
    return { state: this.#state, sequence: this.#sequence, events: this.#events, eventsRead: this.#eventsRead };
  }

  /**
   * Begins where a snapshot ends, if there is one that may be used.
   *
   * @param sequenceMax the snapshot may speak of no event behind this one …
   * @param timestampMax … and of none later than this, in milliseconds
   */
  async restore(sequenceMax: number, timestampMax: number): Promise<void> {
    if (this.#projection.snapshotEveryEvents === Number.POSITIVE_INFINITY) return;
    const source = this.#source;
    const origin = source.origin();
    if (origin === null) return;
    const snapshot = await source.snapshots.load(origin);
    if (snapshot === null) return;
    const { position, kinds, state } = snapshot;
    // Not for now: an earlier state was asked for.
    if (position.sequence < source.visible() && (position.sequence > sequenceMax || position.timestamp > timestampMax)) return;
    const hash = await source.hashAt(position.sequence);
    // Looking found that another process has compacted the store: then of what is left, from the beginning.
    if (source.origin()?.generation !== origin.generation) return;
    this.#generation = origin.generation;
    if (hash !== position.hash) {
      source.snapshots.ignored(origin, `the log has no such event at sequence ${position.sequence}`);
      return;
    }
    // A kind that was given to one of the events since has none before, unless it was written by its number.
    const added = origin.kinds.filter((kind) => !kinds.includes(kind));
    if (added.length > 0 && (await source.count(-1, position.sequence + 1, added)) > 0) {
      source.snapshots.ignored(origin, "events of a kind that it did not know stand before its end");
      return;
    }
    this.#state = state as State;
    this.#sequence = position.sequence;
    this.#events = position.events;
  }

  /** Folds what is behind the state and before the bound. When the signal stops it between batches, what was folded so far is kept on disk. */
  async advance(bound: number, { signal, onProgress, keep = true }: FoldControl = {}): Promise<void> {
    const source = this.#source;
    if (this.#generation < 0) this.#generation = source.origin()?.generation ?? -1;
    const eventsTotal = onProgress === undefined ? 0 : this.#events + (await source.count(this.#sequence, bound));
    // A handler may have changed the state in place when it throws, and what it throws may be the signal's reason.
    let isWhole = true;
    try {
      for await (const events of source.batches(this.#sequence, bound, signal)) {
        isWhole = false;
        this.#apply(events);
        isWhole = true;
        onProgress?.({ events: this.#events, eventsTotal });
        signal?.throwIfAborted();
      }
    } catch (error) {
      if (keep && isWhole && signal?.aborted === true && error === signal.reason) await this.#save(1);
      throw error;
    }
    if (keep) await this.#save(this.#projection.snapshotEveryEvents);
  }

  /** Folds the one event that is behind the state and before the bound. */
  async take(event: TypedEvent, { keep = true }: FoldControl): Promise<void> {
    this.#apply([event]);
    if (keep) await this.#save(this.#projection.snapshotEveryEvents);
  }

  #apply(events: readonly TypedEvent[]): void {
    const { on } = this.#projection;
    let state = this.#state;
    for (let i = 0; i < events.length; i++) {
      const event = events[i];
      const handler = on.get(event.type as string) as unknown as (state: State, event: TypedEvent) => State;
      state = handler(state, event);
      if (state === undefined || isStrayPromise(state)) throw notAState(this.#projection, event, state);
    }
    this.#state = state;
    this.#events += events.length;
    this.#eventsRead += events.length;
    this.#eventsUnsaved += events.length;
    const last = events[events.length - 1];
    this.#sequence = last.sequence;
    const isKept = this.#projection.snapshotEveryEvents !== Number.POSITIVE_INFINITY;
    if (isKept) this.#last = { hash: last.hash, timestamp: last.timestamp };
  }

  /** Keeps the state on disk if this many events or more were folded since it was kept. */
  async #save(eventsMin: number): Promise<void> {
    const source = this.#source;
    if (this.#eventsUnsaved < eventsMin || this.#last === null || !source.writable) return;
    const origin = source.origin();
    if (origin === null) return;
    // A state that was begun on one log and ended on another, compacted or repaired since, is of neither.
    if (origin.generation !== this.#generation) return;
    const { hash, timestamp } = this.#last;
    // Counted from here on whatever comes of it: a disk that is full is not asked again at once.
    this.#eventsUnsaved = 0;
    await source.snapshots.save(origin, { sequence: this.#sequence, hash, timestamp, events: this.#events }, this.#state);
  }
}

function notAState(projection: Projection, event: TypedEvent, state: unknown): TypeError {
  const found = state === undefined ? "undefined" : "a promise";
  const name = projection.name ?? "the decider";
  return invalidArgument(`Cannot project ${name}: its handler of ${event.type} returned ${found}, the next state is allowed`);
}
