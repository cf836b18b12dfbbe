/** The types of what is read, from the definitions that a store knows or a query names. Types only. */
import type { AnyDefinition } from "./definition.ts";
import type { TypedEvent } from "./event.ts";

/** The event that a definition describes; of a union of definitions, the union of theirs. */
export type EventOf<Definition extends AnyDefinition> = Definition extends AnyDefinition
  ? TypedEvent<Definition["name"], NonNullable<Definition["~types"]>["output"]>
  : never;

declare const other: unique symbol;

/**
 * The name of a definition that is not among the known ones: recorded in the store, or learnt from an append. It is text that is compared with
 * none of the known names, so that those tell events apart; a definition tells its own all the same: `definition.is(event)`.
 */
// `${any}` is any text, as `string` is; but a `string` could be any of the known names to the compiler, whatever it is intersected with.
// oxlint-disable-next-line typescript/no-explicit-any -- it stands for text, and nothing else comes of it
export type OtherName = `${any}` & { readonly [other]: true };

/** An event that no known definition describes: its kind has no name, or another one. */
export type UntypedEvent = TypedEvent<null, unknown> | TypedEvent<OtherName, unknown>;

/**
 * What a store with these definitions reads: their events, told apart by `type`, and events that none of them describes, whose `type` is null or
 * another name. Without known definitions, any event; `definition.is(event)` narrows it all the same.
 *
 * @example
 * type Known = Event<[typeof PlayerMoved, typeof PlayerJoined]>;
 */
export type Event<Definitions extends readonly AnyDefinition[] = readonly []> = Definitions extends readonly []
  ? TypedEvent
  : EventOf<Definitions[number]> | UntypedEvent;
