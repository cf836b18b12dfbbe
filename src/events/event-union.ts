/** The types of what is read, from the definitions that a store knows or a query names. Types only. */
import type { AnyDefinition } from "./definition.ts";
import type { TypedEvent } from "./event.ts";

/** The event that a definition describes; of a union of definitions, the union of theirs. */
export type EventOf<Definition extends AnyDefinition> = Definition extends AnyDefinition
  ? TypedEvent<Definition["name"], NonNullable<Definition["~types"]>["output"]>
  : never;

/** An event whose kind no known definition describes. */
export type UntypedEvent = TypedEvent<null, unknown>;

/**
 * What a store with these definitions reads: their events, told apart by `type`, and events that none of them describes. Without known
 * definitions, any event; `definition.is(event)` narrows it all the same.
 *
 * @example
 * type Known = Event<[typeof PlayerMoved, typeof PlayerJoined]>;
 */
export type Event<Definitions extends readonly AnyDefinition[] = readonly []> = Definitions extends readonly []
  ? TypedEvent
  : EventOf<Definitions[number]> | UntypedEvent;
