/**
 * Deciders: what a command makes of an entity. The state is folded of the entity's events, `decide` says which events come of a command, and
 * `evolve` what the state is after each of them. A decider is a projection of one stream that can be asked for more events.
 */
import { assertOptions } from "../base/arguments.ts";
import { describeValue } from "../base/describe-value.ts";
import { invalidArgument } from "../base/store-error.ts";
import { assertName } from "../events/coordinate.ts";
import type { AnyDefinition, NewEvent } from "../events/definition.ts";
import { compileProjection, type GivenHandlers, type Projection, type SnapshotPolicy } from "./projection.ts";

/** An event that one of the definitions makes. */
export type NewEventOf<Definition extends AnyDefinition> = Definition extends AnyDefinition
  ? NewEvent<Definition["name"], NonNullable<Definition["~types"]>["input"]>
  : never;

/** What `decide` may return: an event, events, or none. */
export type Decision<Definitions extends readonly AnyDefinition[]> =
  | NewEventOf<Definitions[number]>
  | readonly NewEventOf<Definitions[number]>[]
  | null
  | undefined;

/** What a decider is made of. */
export interface DeciderOptions<
  Definitions extends readonly AnyDefinition[],
  State,
  Command,
  Names extends string = string,
  Literal extends string | number = never,
> {
  /** Gives it snapshots on disk, as a projection of this name; without it, the stream is folded from its beginning once a process. */
  readonly name?: string | undefined;
  /** As of a projection: raise it when `initial` or `evolve` changes. */
  readonly version?: number | undefined;
  /** The events that it is folded of, and that it may decide upon. */
  readonly events: Definitions;
  /** The state of an entity without events: a value, which is copied, or a function that makes one. */
  readonly initial: State | (() => State);
  /**
   * What comes of the command: an event, a list of events, or none. Throws where the command is refused; the error comes to whoever gave the
   * command, as it is. It may answer later, and it may be asked again when somebody else was faster. It changes neither state nor anything else.
   */
  readonly decide: (command: Command, state: NoInfer<State>) => Decision<NoInfer<Definitions>> | Promise<Decision<NoInfer<Definitions>>>;
  /** One handler for each of the events, by its type: the state after it. */
  readonly evolve: GivenHandlers<NoInfer<State>, Definitions, Names, Literal>;
  readonly snapshot?: SnapshotPolicy | undefined;
}

/** A decider, as `defineDecider` makes it. It is a projection too: `store.project(decider, entity)` gives the state. */
export interface Decider<State = unknown, Command = never, Definitions extends readonly AnyDefinition[] = readonly AnyDefinition[]>
  extends Projection<State, Definitions> {
  readonly decide: (command: Command, state: never) => unknown;
}

const MEMBERS: ReadonlySet<string> = new Set(["name", "version", "events", "initial", "decide", "evolve", "snapshot"]);

/**
 * Defines a decider.
 *
 * @throws TypeError or RangeError `INVALID_ARGUMENT`; StoreError `PAYLOAD_UNSUPPORTED` as `defineProjection`
 *
 * @example
 * const Account = defineDecider({
 *   events: [Deposited, Withdrawn],
 *   initial: { cents: 0 },
 *   decide: (command: { withdraw: number }, state) => {
 *     if (command.withdraw > state.cents) throw new Error("not enough");
 *     return Withdrawn({ cents: command.withdraw });
 *   },
 *   evolve: {
 *     Deposited: (state, event) => ({ cents: state.cents + event.data.cents }),
 *     Withdrawn: (state, event) => ({ cents: state.cents - event.data.cents }),
 *   },
 * });
 * await store.handle({ entity: "account:1", scope: "bank" }, Account, { withdraw: 500 });
 */
export function defineDecider<
  const Definitions extends readonly AnyDefinition[],
  State,
  Command,
  const Names extends string,
  Literal extends string | number = never,
>(options: DeciderOptions<Definitions, State, Command, Names, Literal>): Decider<State, Command, Definitions> {
  assertOptions(options, MEMBERS, "define a decider");
  const { name, version, events, initial, decide, evolve, snapshot } = options;
  if (name !== undefined) assertName(name, "name", "define a decider");
  const operation = name === undefined ? "define a decider" : `define the decider ${name}`;
  if (typeof decide !== "function") throw invalidArgument(`Cannot ${operation}: decide is ${describeValue(decide)}, a function is allowed`);
  const folded = compileProjection<Definitions, State>({ name, version, events, initial, on: evolve, snapshot }, operation, "evolve");
  return Object.freeze({ ...folded, decide: decide as Decider<State, Command>["decide"] });
}

/** Checks a decider argument. */
export function assertDecider(decider: unknown): asserts decider is Decider {
  if (typeof decider === "object" && decider !== null && "decide" in decider && "initial" in decider) return;
  throw invalidArgument("Cannot handle the command: what was given is no decider, one made by defineDecider is allowed");
}
