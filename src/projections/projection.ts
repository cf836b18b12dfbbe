/**
 * Projections: a state, folded of events. A projection is a value that belongs to no store and is never changed; each fold begins with a
 * state of its own.
 */
import { isMap, isSet } from "node:util/types";
import { assertOptions } from "../base/arguments.ts";
import { GrowingSink } from "../base/byte-sink.ts";
import { describeValue } from "../base/describe-value.ts";
import { invalidArgument, isStoreError, outOfRange, StoreError } from "../base/store-error.ts";
import { assertName } from "../events/coordinate.ts";
import { type AnyDefinition, isDefinition } from "../events/definition.ts";
import type { EventOf } from "../events/event-union.ts";
import type { TypedEvent } from "../events/event.ts";
import { encodePayload } from "../events/payload-encode.ts";

/** One handler for each of the events, by its type: the next state, of the state so far and the event. */
export type Handlers<State, Definitions extends readonly AnyDefinition[], Returned = State> = {
  readonly [Name in Definitions[number]["name"]]: (
    state: State,
    event: EventOf<Extract<Definitions[number], { readonly name: Name }>>,
  ) => Returned;
};

/** When a state is kept on disk, so that the next fold begins there. */
export type SnapshotPolicy = { readonly everyEvents: number } | false;

declare const unmade: unique symbol;
interface LiteralsInside<Literal> {
  readonly [name: string]: Literals<Literal>;
  readonly [unmade]: never;
}
/**
 * Nothing has this type. A handler may return it beside the state so that the compiler keeps the literals in what it returns: while it still
 * infers the state, `{ status: "paid" }` would become `{ status: string }`, and be no state. `Literal` is a parameter that nothing is inferred
 * for, hence gone in the end; of a literal type, a generic call in a handler would infer its own, as `reduce((sum, line) => sum + line.cents, 0)`
 * would sum up to `0`.
 */
type Literals<Literal> = LiteralsInside<Literal> | (readonly Literals<Literal>[] & { readonly [unmade]: never }) | NoInfer<Literal>;

/**
 * Handlers as they are given. The names that are written let the compiler see what a handler returns before it knows of which event; a name
 * that is none of the events' takes no handler at all.
 */
export type GivenHandlers<State, Definitions extends readonly AnyDefinition[], Names extends string, Literal> = Handlers<
  State,
  Definitions,
  State | Literals<Literal>
> &
  Readonly<Record<Names, (state: State, event: never) => State | Literals<Literal>>> &
  Readonly<Record<Exclude<Names, Definitions[number]["name"]>, never>>;

/** What a projection is made of. */
export interface ProjectionOptions<
  Name extends string,
  Definitions extends readonly AnyDefinition[],
  State,
  Names extends string = string,
  Literal extends string | number = never,
> {
  /** 1 to 1,024 UTF-8 bytes. Names the snapshots: two projections of one name and version must be the same. */
  readonly name: Name;
  /** 1 to 4,294,967,295, default 1. Raise it when `initial` or a handler changes: snapshots of another version are not used. */
  readonly version?: number | undefined;
  /** The events that it is folded of; no others are read. */
  readonly events: Definitions;
  /** The state before the first event: a value, of which each fold gets a copy (as `structuredClone` makes it), or a function that makes one. */
  readonly initial: State | (() => State);
  /** One handler for each of the events, by its type: the next state. It answers at once, and may change the state it is given and return it. */
  readonly on: GivenHandlers<NoInfer<State>, Definitions, Names, Literal>;
  /**
   * How many events are folded before a state is kept on disk: default 1,000; false: never. A state that is kept consists of what a payload
   * may consist of.
   */
  readonly snapshot?: SnapshotPolicy | undefined;
}

/** A projection, as `defineProjection` makes it. */
export interface Projection<State = unknown, Definitions extends readonly AnyDefinition[] = readonly AnyDefinition[]> {
  /** Null where it has none: its states are never kept on disk. */
  readonly name: string | null;
  readonly version: number;
  readonly events: Definitions;
  /** Makes the state before the first event. */
  readonly initial: () => State;
  /** Handlers by the events' types. */
  readonly on: ReadonlyMap<string, (state: never, event: TypedEvent) => unknown>;
  /** Infinity: never. */
  readonly snapshotEveryEvents: number;
}

/** The state that a projection folds. */
export type StateOf<Folded> = Folded extends { readonly initial: () => infer State } ? State : never;

const PROJECTION = Symbol.for("batpak.projection");
const SNAPSHOT_EVERY_EVENTS = 1000;
const VERSION_MAX = 0xffff_ffff;
const MEMBERS: ReadonlySet<string> = new Set(["name", "version", "events", "initial", "on", "snapshot"]);

/**
 * Defines a projection.
 *
 * @throws TypeError or RangeError `INVALID_ARGUMENT`; StoreError `PAYLOAD_UNSUPPORTED` when the initial state could not be kept on disk and
 * `snapshot` is not false
 *
 * @example
 * const Balance = defineProjection({
 *   name: "balance",
 *   events: [Deposited, Withdrawn],
 *   initial: { cents: 0 },
 *   on: {
 *     Deposited: (state, event) => ({ cents: state.cents + event.data.cents }),
 *     Withdrawn: (state, event) => ({ cents: state.cents - event.data.cents }),
 *   },
 * });
 * const { state } = await store.project(Balance, "account:1");
 */
export function defineProjection<
  const Name extends string,
  const Definitions extends readonly AnyDefinition[],
  State,
  const Names extends string,
  Literal extends string | number = never,
>(options: ProjectionOptions<Name, Definitions, State, Names, Literal>): Projection<State, Definitions> {
  assertOptions(options, MEMBERS, "define a projection");
  assertName(options.name, "name", "define a projection");
  return compileProjection(options, `define the projection ${options.name}`);
}

/** What projections and deciders are made of, checked. */
export interface FoldOptions<Definitions extends readonly AnyDefinition[], State> {
  readonly name?: string | undefined;
  readonly version?: number | undefined;
  readonly events: Definitions;
  readonly initial: State | (() => State);
  readonly on: Readonly<Record<string, unknown>>;
  readonly snapshot?: SnapshotPolicy | undefined;
}

export function compileProjection<const Definitions extends readonly AnyDefinition[], State>(
  options: FoldOptions<Definitions, State>,
  operation: string,
  handlersName = "on",
): Projection<State, Definitions> {
  const { name, version = 1, events, initial, on, snapshot } = options;
  if (typeof version !== "number" || !Number.isInteger(version) || version < 1 || version > VERSION_MAX) {
    throw outOfRange(`Cannot ${operation}: the version is ${String(version)}, 1 to ${VERSION_MAX} is allowed`);
  }
  const handlers = compileHandlers(events, on, operation, handlersName);
  const makeInitial = compileInitial(initial, operation);
  const everyEvents = name === undefined ? Number.POSITIVE_INFINITY : compileSnapshot(snapshot, operation);
  if (everyEvents !== Number.POSITIVE_INFINITY) assertKeepable(makeInitial(), operation);
  return Object.freeze({
    [PROJECTION]: true,
    name: name ?? null,
    version,
    events,
    initial: makeInitial,
    on: handlers as Projection["on"],
    snapshotEveryEvents: everyEvents,
  });
}

/** Checks a projection argument. */
export function assertProjection(projection: unknown, operation: string): asserts projection is Projection {
  if (typeof projection === "object" && projection !== null && PROJECTION in projection) return;
  throw invalidArgument(`Cannot ${operation}: what was given is no projection, one made by defineProjection or defineDecider is allowed`);
}

function compileHandlers(
  events: unknown,
  on: Readonly<Record<string, unknown>>,
  operation: string,
  handlersName: string,
): ReadonlyMap<string, unknown> {
  if (!Array.isArray(events) || events.length === 0 || !events.every(isDefinition)) {
    throw invalidArgument(`Cannot ${operation}: events is ${describeValue(events)}, a list of one definition or more is allowed`);
  }
  if (typeof on !== "object" || on === null)
    throw invalidArgument(`Cannot ${operation}: ${handlersName} is no object, one of handlers is allowed`);
  const handlers = new Map<string, unknown>();
  for (const { name } of events) {
    if (handlers.has(name)) throw invalidArgument(`Cannot ${operation}: events has two definitions of the name ${name}, one is allowed`);
    const handler = Object.hasOwn(on, name) ? on[name] : undefined;
    if (typeof handler !== "function") {
      throw invalidArgument(
        `Cannot ${operation}: ${handlersName} has no handler for ${name}, a function for each of the events is allowed`,
      );
    }
    handlers.set(name, handler);
  }
  const extra = Object.keys(on).find((name) => !handlers.has(name));
  if (extra === undefined) return handlers;
  throw invalidArgument(`Cannot ${operation}: ${handlersName} has a handler for ${extra}, which is not among the events`);
}

function compileInitial<State>(initial: State | (() => State), operation: string): () => State {
  if (typeof initial === "function") return initial as () => State;
  if (initial === undefined) throw invalidArgument(`Cannot ${operation}: initial is undefined, any other value or a function is allowed`);
  if (typeof initial !== "object" || initial === null) return () => initial;
  let kept: State;
  try {
    // A copy of now: what the caller does to the value later is not seen.
    kept = structuredClone(initial);
  } catch (error) {
    throw invalidArgument(`Cannot ${operation}: initial cannot be copied, a function that makes it is allowed`, { cause: error });
  }
  if (losesClass(initial, kept)) {
    const message = "initial holds an instance of a class, and a copy of it would be none; a function that makes it is allowed";
    throw invalidArgument(`Cannot ${operation}: ${message}`);
  }
  return () => structuredClone(kept);
}

/** Whether a structured clone, or anything in it, is of another class than what it was made of: the built-in ones are kept, in whatever realm. */
function losesClass(given: unknown, copy: unknown, seen = new Set<object>()): boolean {
  if (typeof given !== "object" || given === null || seen.has(given)) return false;
  seen.add(given);
  // What an error holds is not copied at all.
  if (copy === undefined || classDepth(given) > classDepth(copy)) return true;
  const copies = partsOf(copy as object);
  return partsOf(given).some((part, at) => losesClass(part, copies[at], seen));
}

function partsOf(value: object): unknown[] {
  if (ArrayBuffer.isView(value)) return [];
  return isMap(value) ? [...value].flat(1) : isSet(value) ? [...value] : Object.values(value);
}

/** How many prototypes a value has: of a plain object one, of an instance of a class one more. */
function classDepth(value: unknown): number {
  let depth = 0;
  for (let prototype: unknown = Object.getPrototypeOf(value); prototype !== null; prototype = Object.getPrototypeOf(prototype)) depth++;
  return depth;
}

function compileSnapshot(snapshot: unknown, operation: string): number {
  if (snapshot === undefined) return SNAPSHOT_EVERY_EVENTS;
  if (snapshot === false) return Number.POSITIVE_INFINITY;
  const everyEvents = typeof snapshot === "object" && snapshot !== null ? (snapshot as { everyEvents?: unknown }).everyEvents : undefined;
  if (
    typeof everyEvents === "number" &&
    Number.isSafeInteger(everyEvents) &&
    everyEvents >= 1 &&
    Object.keys(snapshot as object).length === 1
  ) {
    return everyEvents;
  }
  throw invalidArgument(`Cannot ${operation}: snapshot is ${describeValue(snapshot)}, false and { everyEvents } of 1 or more are allowed`);
}

/** A state that can never be kept is told when the projection is defined, not a thousand events later. */
function assertKeepable(state: unknown, operation: string): void {
  try {
    encodePayload(new GrowingSink(), state);
  } catch (error) {
    if (!isStoreError(error, "PAYLOAD_UNSUPPORTED")) throw error;
    const { path, reason } = error.details;
    const message = `Cannot ${operation}: its initial state cannot be kept on disk (${path} is ${reason}), plain values or snapshot: false are allowed`;
    throw new StoreError("PAYLOAD_UNSUPPORTED", message, error.details, { cause: error });
  }
}
