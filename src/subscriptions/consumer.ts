/**
 * A consumer: a name with a durable position, and the events behind it, past and to come.
 *
 *   open -> (iterate, do the work, commit)* -> closed: by `close`, by `delete`, or with its store
 *
 * Invariants:
 * 1. Everything up to the position is done, as its holder said; an iteration begins behind it. So work whose commit a crash took is done again.
 * 2. The position moves forward only, but for `reset`. It never points past what is visible. A batch that is accepted when the position is past the
 *    one that it takes along is stored without that.
 * 3. One position is written, or removed, at a time, but for batches that take theirs along, of which there may be many; none is under way when the position
 *    is reset or removed. Of commits asked for meanwhile only the furthest is written, and it answers all of them. Nothing is begun
 *    once it is being closed or deleted, and its name is let go of when all that was begun has ended.
 */
import { endable, type Ending } from "../base/endable.ts";
import { assert } from "../base/assert.ts";
import { invalidArgument, outOfRange, StoreError } from "../base/store-error.ts";
import { ConsumerPosition } from "../events/consumer-position.ts";
import type { Subscription } from "./subscription.ts";

/** What can be committed: an event that the consumer gave. */
export interface ConsumedEvent {
  readonly sequence: number;
  /** 64 hex digits. */
  readonly hash: string;
}

/** A place in the log: behind the event of this sequence, -1 or `"start"` for the beginning, `"end"` for what is visible now. */
export type ConsumerPlace = number | "start" | "end";

/** Where a consumer keeps its position. */
export interface PositionKeeper {
  /** `"file"`: one of its own; `"log"`: records between the events. */
  readonly kind: "file" | "log";
  /** Makes the position durable. `goesBack`: also where a batch has taken a further one along by then. */
  write(position: number, hash: string | null, goesBack: boolean): Promise<void>;
  /** As if there never had been one. */
  remove(): Promise<void>;
}

/** What a consumer needs of its store. */
export interface ConsumerSource<Read extends ConsumedEvent> {
  /** Matching events behind a sequence, past and to come. */
  follow(after: number, signal: AbortSignal | undefined): Subscription<Read>;
  /** How many visible events behind a sequence match. */
  countBehind(position: number): Promise<number>;
  /** The next visible event's sequence. */
  visible(): number;
  /** The hash of an event, as hex; null where there is none. */
  hashAt(sequence: number): Promise<string | null>;
  /** The same at once; null also where it cannot be told at once. */
  hashNow(sequence: number): string | null;
  /** Throws where the store is closed. */
  assertReadable(): void;
  /** The store, as the positions that go with batches name it. */
  readonly owner: object;
  /** Lets go of the name. */
  release(): Promise<void>;
}

const NOTHING = (): void => {};

/** The sequence that a place stands for. */
export function placeOf(place: ConsumerPlace, visible: number, operation: string): number {
  if (place === "start") return -1;
  if (place === "end") return visible - 1;
  if (!Number.isSafeInteger(place)) {
    throw invalidArgument(`Cannot ${operation}: the place is ${String(place)}, "start", "end" and a sequence are allowed`);
  }
  if (place < -1 || place >= visible) {
    throw outOfRange(`Cannot ${operation}: the sequence is ${place}, -1 to ${visible - 1} are allowed`);
  }
  return place;
}

/**
 * What `store.consumer` gives. An iteration gives the events behind the position, one by one or in `batches()`, and waits for more; it ends
 * when the consumer's store is closed.
 *
 * @example
 * const consumer = await store.consumer("mailer", { kind: OrderPlaced });
 * for await (const event of consumer) {
 *   await sendMail(event.data);
 *   await consumer.commit(event);
 * }
 */
export class Consumer<Read extends ConsumedEvent> implements AsyncIterable<Read> {
  /** Its name, which nobody else holds. */
  readonly name: string;
  readonly #source: ConsumerSource<Read>;
  readonly #keeper: PositionKeeper;
  readonly #signal: AbortSignal | undefined;
  #state: "open" | "closed" = "open";
  #position: number;
  /** What is to be written next; null where nothing is. */
  #wanted: { readonly position: number; readonly hash: string | null } | null = null;
  /** The last write that was begun or is to begin. It never rejects. */
  #writing: Promise<void> | null = null;
  #queued: Promise<void> | null = null;
  /** Batches under way that take a position along. None of them rejects. */
  readonly #moving = new Set<Promise<void>>();
  /** The reset under way, behind which such batches begin. It never rejects. */
  #resetting: Promise<void> | null = null;
  #closing: Promise<void> | null = null;
  #removing: Promise<void> | null = null;
  /** Those under way, which end with the consumer. */
  readonly #iterations = new Set<Ending>();

  constructor(
    name: string,
    source: ConsumerSource<Read>,
    keeper: PositionKeeper,
    position: number,
    options: { readonly signal?: AbortSignal | undefined },
  ) {
    this.name = name;
    this.#source = source;
    this.#keeper = keeper;
    this.#position = position;
    this.#signal = options.signal;
  }

  /** Sequence of the last event that is committed; -1 before the first. */
  get position(): number {
    return this.#position;
  }

  /** Where the position is kept: in a file of its own, or in the log. */
  get positionIn(): "file" | "log" {
    return this.#keeper.kind;
  }

  /** How many visible events behind the position match. */
  async lag(): Promise<number> {
    this.#assertOpen("count");
    return await this.#source.countBehind(this.#position);
  }

  /** The events behind the position in batches: whatever is there at once, at least one each. */
  batches(): AsyncGenerator<readonly Read[], undefined> {
    return endable((ending) => this.#batches(ending));
  }

  [Symbol.asyncIterator](): AsyncGenerator<Read, undefined> {
    return endable((ending) => this.#events(ending));
  }

  async *#batches(ending: Ending): AsyncGenerator<readonly Read[], undefined> {
    this.#assertOpen("read");
    const following = this.#source.follow(this.#position, this.#signal).batches();
    ending.onEnd(() => void following.return(undefined));
    this.#iterations.add(ending);
    try {
      for await (const events of following) {
        if (this.#state === "closed") return;
        yield events;
      }
    } finally {
      this.#iterations.delete(ending);
    }
  }

  async *#events(ending: Ending): AsyncGenerator<Read, undefined> {
    for await (const events of this.#batches(ending)) {
      for (const event of events) {
        if (this.#state === "closed") return;
        this.#signal?.throwIfAborted();
        yield event;
      }
    }
  }

  /**
   * Notes durably that everything up to this event is done. Committed once for many events it costs less: the position is one file, or one
   * record, whatever it passes over.
   *
   * @param done the last event that is done, or its sequence
   * @throws RangeError `INVALID_ARGUMENT` where that goes back, or past what is visible, TypeError for an event of another log; StoreError `IO`, `CLOSED`
   */
  async commit(done: Read | number): Promise<void> {
    this.#assertOpen("commit");
    const position = this.#checked(done, "commit");
    if (position === this.#position && this.#wanted === null) return;
    const there = this.#source.hashNow(position);
    let hash = typeof done === "number" ? there : done.hash;
    if (there !== null && there !== hash) {
      throw invalidArgument(`Cannot commit ${position}: another event stands there in this log, events that this store gave are allowed`);
    }
    // Noted in this very turn, so that it is written before whoever closes the consumer next lets go of it; unless it has to be looked for.
    if (hash === null) {
      hash = await this.#source.hashAt(position);
      // Meanwhile it may have been closed, or moved further.
      this.#assertOpen("commit");
      if (position <= this.#position && this.#wanted === null) return;
    }
    if (this.#wanted === null || position > this.#wanted.position) this.#wanted = { position, hash };
    this.#queued ??= this.#writeNext();
    await this.#queued;
  }

  /**
   * The position behind this event, to be moved by a batch: `store.appendBatch(items, { commit: consumer.at(event) })` stores the events and
   * the position together or not at all. Where the position is further by then, since batches were appended in another order, the events are stored
   * and it stays. For consumers with `positionIn: "log"`.
   */
  at(done: Read | number): ConsumerPosition {
    this.#assertOpen("commit");
    if (this.#keeper.kind !== "log") {
      throw invalidArgument(
        `Cannot commit ${this.name} with a batch: its position is kept in a file, a consumer opened with positionIn: "log" is allowed`,
      );
    }
    const position = this.#checked(done, "commit");
    return new ConsumerPosition(this.name, position, this.#source.owner, (append) => this.#moveBy(append, position));
  }

  async #moveBy<Result>(append: () => Promise<Result>, position: number): Promise<Result> {
    while (this.#resetting !== null) await this.#resetting;
    this.#assertOpen("commit");
    // Noted before the append is made: a schema may close the consumer while it is.
    let end = NOTHING;
    const moving = new Promise<void>((resolve) => {
      end = resolve;
    });
    this.#moving.add(moving);
    try {
      const result = await append();
      this.#position = Math.max(this.#position, position);
      return result;
    } finally {
      this.#moving.delete(moving);
      end();
    }
  }

  #checked(done: Read | number, operation: string): number {
    const position = typeof done === "number" ? done : done?.sequence;
    if (!Number.isSafeInteger(position)) throw invalidArgument(`Cannot ${operation}: an event or its sequence is allowed`);
    const last = this.#source.visible() - 1;
    if (position < this.#position || position > last) {
      throw outOfRange(
        `Cannot ${operation} ${position}: ${this.name} stands at ${this.#position} and the log ends at ${last}, a sequence between them is allowed; reset goes back`,
      );
    }
    return position;
  }

  async #writeNext(): Promise<void> {
    // What is asked for until the write before this one is done goes with this one.
    do await this.#writing;
    while (this.#writing !== null);
    const wanted = this.#wanted;
    this.#queued = null;
    this.#wanted = null;
    // The write that was waited for may have passed it.
    if (wanted === null || wanted.position <= this.#position) return;
    await this.#write(wanted.position, wanted.hash, false);
  }

  /** The only writer of the position but for batches: there must be no other write under way. */
  async #write(position: number, hash: string | null, goesBack: boolean): Promise<void> {
    assert(this.#writing === null, "one position is written at a time");
    const writing = this.#keeper.write(position, hash, goesBack).then(() => {
      this.#position = goesBack ? position : Math.max(this.#position, position);
    });
    this.#writing = writing
      .catch(() => {})
      .then(() => {
        this.#writing = null;
      });
    await writing;
    await this.#writing;
  }

  /**
   * Moves the position, forward or back. Iterations that are under way go on where they are. Batches that take the position along and were appended before it
   * are waited for (so what such a batch waits for, a schema, must not wait for this); those that are appended later come behind it.
   */
  async reset(to: ConsumerPlace): Promise<void> {
    this.#assertOpen("reset");
    const position = placeOf(to, this.#source.visible(), `reset ${this.name}`);
    while (this.#resetting !== null) await this.#resetting;
    const resetting = this.#resetTo(position);
    this.#resetting = resetting.then(NOTHING, NOTHING).then(() => {
      this.#resetting = null;
    });
    await resetting;
  }

  async #resetTo(position: number): Promise<void> {
    const hash = await this.#source.hashAt(position);
    // Others may have waited for the same end, and have begun to write since.
    do await this.#idle();
    while (this.#isBusy);
    this.#assertOpen("reset");
    await this.#write(position, hash, true);
  }

  /** Forgets the position and closes the consumer: who opens the name again begins a new one. Waits as `reset` does. */
  async delete(): Promise<void> {
    this.#assertOpen("delete");
    this.#state = "closed";
    this.#removing = this.#idle().then(() => this.#keeper.remove());
    try {
      await this.#removing;
    } finally {
      await this.close();
    }
  }

  /** Ends the iterations under way, and lets go of the name when what is being committed is written, by batches as well. Idempotent. */
  close(): Promise<void> {
    this.#state = "closed";
    for (const iteration of this.#iterations) iteration.end();
    this.#closing ??= this.#ended().then(() => this.#source.release());
    return this.#closing;
  }

  /** Resolves when everything that was begun has ended. */
  async #ended(): Promise<void> {
    await this.#idle();
    await this.#removing?.catch(() => {});
  }

  get #isBusy(): boolean {
    return this.#queued !== null || this.#writing !== null || this.#moving.size > 0;
  }

  async #idle(): Promise<void> {
    while (this.#isBusy) {
      await (this.#queued ?? this.#writing)?.catch(() => {});
      await Promise.all(this.#moving);
    }
  }

  #assertOpen(operation: string): void {
    this.#source.assertReadable();
    if (this.#state === "closed") {
      throw new StoreError("CLOSED", `Cannot ${operation}: the consumer ${this.name} is closed, open it again`, {});
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
