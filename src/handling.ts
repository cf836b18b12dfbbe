/**
 * Commands: load the state of the entity, decide, append on the expectation that nobody else was there meanwhile, and once more if somebody was.
 *
 * Invariants:
 * 1. What is appended was decided on a state that holds every event of the entity before it.
 * 2. In this process, commands on one entity are decided one after another, so they never conflict among themselves; what else is appended to
 *    the entity can get between, and makes the command be decided anew, having read only what is new.
 * 3. The state is loaded before the command's key is looked up: a state that has the effect of the command already is never decided on.
 *    Where events are in the log under the key, their receipts are the answer, whatever would be decided now.
 *
 * A command that came to no events leaves nothing behind: given again, it is decided again.
 */
import { assertOptions, assertSignal } from "./base/arguments.ts";
import { unlessEnded } from "./base/endable.ts";
import { turnShare } from "./base/rest.ts";
import { isStoreError, outOfRange } from "./base/store-error.ts";
import { assertCoordinate, type Coordinate } from "./events/coordinate.ts";
import type { AnyNewEvent } from "./events/definition.ts";
import type { Metadata, Receipt } from "./events/event.ts";
import type { Expectation } from "./events/expectation.ts";
import { keyedId } from "./events/id.ts";
import { blake3 } from "./kernel/frame-kernel.ts";
import type { KeptPlace } from "./log/acceptance.ts";
import { assertDecider, type Decider } from "./projections/decider.ts";
import { removedReceipts } from "./log/receipts.ts";
import { Fold, type FoldControl, type FoldSource } from "./projections/fold.ts";
import type { Projecting } from "./projecting.ts";
import { closedError, type StoreAccess } from "./store-access.ts";
import { tracedAppend } from "./tracing.ts";

/** What can be said about a command, and about the events that come of it. */
export interface HandleOptions {
  /**
   * How often a command is decided anew when somebody else appended to the entity meanwhile: 0 to 1,000, default 10. From the third time on, other
   * appends to the store wait while it is decided, so that nobody gets between unless `decide`, or a schema, answers later.
   */
  readonly retries?: number | undefined;
  /**
   * Names the command, 1 to 1,024 UTF-8 bytes. The same command given again returns the first receipts, also where it would be refused by
   * now. It belongs to the entity and never expires; it is the `idempotencyKey` of what is appended.
   */
  readonly commandId?: string | undefined;
  /** Id of the event that causes this: sets causation and inherits correlation. */
  readonly causedBy?: string | undefined;
  /** Id of the root of the chain of work, where `causedBy` does not say it. */
  readonly correlationId?: string | undefined;
  /** Noted beside each event. */
  readonly metadata?: Metadata | undefined;
  /** Gives the command up, as long as nothing of it is accepted: while it waits for those before it, too, and for what `decide` promised. */
  readonly signal?: AbortSignal | undefined;
}

const MEMBERS: ReadonlySet<string> = new Set(["retries", "commandId", "causedBy", "correlationId", "metadata", "signal"]);
const RETRIES = 10;
const RETRIES_MAX = 1000;
/** From this attempt on a place is kept: before, it would hold up all other appends for a conflict that is mostly over by itself. */
const PLACE_KEPT_FROM = 3;
/** States kept in memory for each decider: of more entities in turn, each would be folded from its beginning, or its snapshot, again and again. */
const STATES_MAX = 4096;

/** Where commands on one entity meet: the state that the last one left, and its end. */
interface Desk {
  readonly source: FoldSource;
  readonly fold: Fold<unknown>;
  /** Of the newest event of the entity, whether the state takes note of it or not; -1 while no state was loaded. */
  clock: number;
  /** Of the log that the state was folded of: compaction makes another. */
  readonly generation: number;
}

export class Handling {
  readonly #access: StoreAccess;
  readonly #projecting: Projecting;
  /** The end of the last command on each entity that has any under way. */
  readonly #turns = new Map<string, Promise<void>>();
  readonly #desks = new WeakMap<Decider, Map<string, Desk>>();

  constructor(access: StoreAccess, projecting: Projecting) {
    this.#access = access;
    this.#projecting = projecting;
  }

  async handle<Command>(
    coordinate: Coordinate,
    decider: Decider<unknown, Command>,
    command: Command,
    options: HandleOptions = {},
  ): Promise<Receipt[]> {
    this.#access.assertWritable("handle a command");
    assertCoordinate(coordinate, "handle the command");
    assertDecider(decider);
    assertOptions(options, MEMBERS, "handle the command");
    const { signal, retries = RETRIES } = options;
    if (typeof retries !== "number" || !Number.isInteger(retries) || retries < 0 || retries > RETRIES_MAX) {
      throw outOfRange(`Cannot handle the command: retries is ${String(retries)}, 0 to ${RETRIES_MAX} is allowed`);
    }
    assertSignal(signal, "handle the command");
    signal?.throwIfAborted();
    // Whoever calls may use both for the next command before it is this one's turn.
    const { entity, scope } = coordinate;
    const own = { ...options };
    return await this.#inTurn(entity, signal, () => this.#decideAndAppend({ entity, scope }, decider, command, own, retries));
  }

  /** Does the work when the commands on this entity that came before are done. */
  async #inTurn<Result>(entity: string, signal: AbortSignal | undefined, work: () => Promise<Result>): Promise<Result> {
    const before = this.#turns.get(entity);
    let done = (): void => {};
    const turn = new Promise<void>((resolve) => {
      done = resolve;
    });
    this.#turns.set(entity, turn);
    const leave = (): void => {
      if (this.#turns.get(entity) === turn) this.#turns.delete(entity);
      done();
    };
    let isMyTurn = before === undefined;
    try {
      if (before !== undefined) {
        await this.#unlessGivenUp(before, signal);
        isMyTurn = true;
      }
      return await work();
    } finally {
      // Who gives up while he waits leaves his place to those behind when it comes.
      if (isMyTurn) leave();
      else void before?.then(leave);
    }
  }

  #unlessGivenUp<Result>(work: PromiseLike<Result>, signal: AbortSignal | undefined): Promise<Result> {
    return unlessEnded(work, signal, this.#access.closing, () => closedError("handle a command"));
  }

  async #decideAndAppend<Command>(
    coordinate: Coordinate,
    decider: Decider<unknown, Command>,
    command: Command,
    options: HandleOptions,
    retries: number,
  ): Promise<Receipt[]> {
    for (let attempt = 0; ; attempt++) {
      options.signal?.throwIfAborted();
      const { acceptance } = this.#access.assertWritable("handle a command");
      const place = attempt < PLACE_KEPT_FROM ? null : acceptance.keepPlace();
      try {
        const receipts = await this.#attempt(coordinate, decider, command, options, place, attempt < retries);
        if (receipts !== null) return receipts;
      } finally {
        place?.leave();
      }
    }
  }

  /** The receipts; null where somebody got between and the command may be decided anew. */
  async #attempt<Command>(
    coordinate: Coordinate,
    decider: Decider<unknown, Command>,
    command: Command,
    options: HandleOptions,
    place: KeptPlace | null,
    mayRetry: boolean,
  ): Promise<Receipt[] | null> {
    const { signal, commandId } = options;
    const { entity } = coordinate;
    if (place !== null) await this.#unlessGivenUp(place.reached, signal);
    const seen = this.#access.visibleSequence;
    const repeated = this.#receiptsOf(entity, commandId);
    if (repeated !== null) return repeated;
    // While others wait behind the place no snapshot is written.
    const { state, expect } = await this.#load(entity, decider, { signal, keep: place === null });
    const meanwhile = this.#access.visibleSequence === seen ? null : this.#receiptsOf(entity, commandId);
    if (meanwhile !== null) return meanwhile;
    const decision = (decider.decide as (command: Command, state: unknown) => unknown)(command, state);
    const isLater = isThenable(decision);
    // Whoever answers later may wait for an append of his own.
    if (isLater) place?.leave();
    const events = eventsOf(isLater ? await this.#unlessGivenUp(decision, signal) : decision);
    if (events.length === 0) return [];
    const appending = this.#append(coordinate, events, expect, options, place);
    // It is taken by now, or lost to a schema that answers later.
    place?.leave();
    try {
      return await appending;
    } catch (error) {
      // The same command was under way twice and came to different events: the first to be accepted is the answer.
      const first = isStoreError(error, "IDEMPOTENCY_MISMATCH") ? this.#receiptsOf(entity, commandId) : null;
      if (first !== null) return first;
      if (mayRetry && isStoreError(error, "CONFLICT")) return null;
      throw error;
    }
  }

  async #append(
    coordinate: Coordinate,
    events: readonly AnyNewEvent[],
    expect: Expectation,
    { commandId, causedBy, correlationId, metadata, signal }: HandleOptions,
    place: KeptPlace | null,
  ): Promise<Receipt[]> {
    const options = {
      expect,
      ...(commandId === undefined ? {} : { idempotencyKey: commandId }),
      ...(causedBy === undefined ? {} : { causedBy }),
      ...(correlationId === undefined ? {} : { correlationId }),
      ...(metadata === undefined ? {} : { metadata }),
      signal,
    };
    return (await tracedAppend(this.#access, coordinate, events, options, place)) as Receipt[];
  }

  /** The state as it is visible now, and what the log must look like for a decision upon it to count. */
  async #load(entity: string, decider: Decider, control: FoldControl): Promise<{ state: unknown; expect: Expectation }> {
    const turn = turnShare.wait();
    if (turn !== null) await turn;
    turnShare.spend(1);
    const desks = this.#desksOf(decider);
    const { generation } = this.#access.parts.log;
    let desk = desks.get(entity);
    // Taken out while it is worked on: a fold that fails half-way is not used again.
    desks.delete(entity);
    if (desk === undefined || desk.generation !== generation) {
      const source = this.#projecting.source(decider, { entity }, "handle the command");
      desk = { source, fold: new Fold(decider, source), clock: -1, generation };
      await desk.fold.restore(Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY);
    }
    const expect = await this.#catchUp(entity, desk, control);
    desks.set(entity, desk);
    if (desks.size > STATES_MAX) desks.delete(desks.keys().next().value as string);
    return { state: desk.fold.state, expect };
  }

  /** Folds what is visible now and not in the state yet. */
  async #catchUp(entity: string, desk: Desk, control: FoldControl): Promise<Expectation> {
    const { source, fold } = desk;
    // The bound and the newest event are looked at together.
    const bound = this.#access.visibleSequence;
    const latest = this.#access.latest(entity, (kind) => source.typeOf(kind));
    const clock = latest?.clock ?? -1;
    // Mostly it is what the command before came to, and here already: a search for it would take longer than all the rest.
    if (latest !== null && desk.clock >= 0 && clock - desk.clock <= 1) {
      if (clock > desk.clock && latest.type !== null) await fold.take(latest, control);
    } else await fold.advance(bound, control);
    desk.clock = clock;
    return latest === null ? "none" : { clock };
  }

  #desksOf(decider: Decider): Map<string, Desk> {
    let desks = this.#desks.get(decider);
    if (desks === undefined) {
      desks = new Map();
      this.#desks.set(decider, desks);
    }
    return desks;
  }

  /** The receipts of what the command of this id came to before; null when it did not, or has no id. */
  #receiptsOf(entity: string, commandId: string | undefined): Receipt[] | null {
    if (commandId === undefined) return null;
    const receipts: Receipt[] = [];
    const durable = this.#access.writer?.acceptance.durable ?? false;
    for (;;) {
      const key = keyedId(entity, receipts.length, commandId, blake3);
      const event = this.#access.find(key);
      if (event === null) return receipts.length === 0 ? this.#receiptsOfRemoved(key, durable) : receipts;
      const { id, sequence, clock, hash, timestamp } = event;
      receipts.push({ id, sequence, clock, hash, timestamp, durable });
    }
  }

  /** The receipts of a batch that compaction removed: what is left of it says enough. */
  #receiptsOfRemoved(key: Uint8Array, durable: boolean): Receipt[] | null {
    const rows = this.#access.findRemoved(key);
    return rows === null ? null : [...removedReceipts(rows, durable)];
  }
}

function eventsOf(decision: unknown): readonly AnyNewEvent[] {
  if (decision === undefined || decision === null) return [];
  return Array.isArray(decision) ? (decision as readonly AnyNewEvent[]) : [decision as AnyNewEvent];
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === "object" && value !== null && "then" in value && typeof value.then === "function";
}
