/**
 * What the types must say: checked by `tsc`, never run. Each block holds a line of the example in DESIGN section 2.
 */
import { z } from "zod";
import type { Appending, EventReading, Reading } from "../../src/events/append-types.ts";
import type { Coordinate } from "../../src/events/coordinate.ts";
import { defineEvent, rawEvent, type } from "../../src/events/definition.ts";
import type { AnyDefinition, NewEvent } from "../../src/events/definition.ts";
import type { Metadata, PlainEvent, Receipt, TypedEvent } from "../../src/events/event.ts";
import type { Event, EventOf, OtherName, UntypedEvent } from "../../src/events/event-union.ts";
import type { Query } from "../../src/events/query.ts";

type Equal<Left, Right> = (<T>() => T extends Left ? 1 : 2) extends <T>() => T extends Right ? 1 : 2 ? true : false;
type Expect<Yes extends true> = Yes;
/** Holds a type to be checked where it stands. */
declare function check<Yes extends true>(): Yes;

interface Position {
  x: number;
  y: number;
}

const PlayerMoved = defineEvent("PlayerMoved", { schema: type<{ x: number; y: number }>() });
const PlayerJoined = defineEvent("PlayerJoined", { schema: z.object({ nick: z.string() }), version: 2, kind: { category: 0xf, type: 1 } });
/** Input and output of the schema differ. */
const Scored = defineEvent("Scored", { schema: z.object({ points: z.string().transform(Number), tag: z.string().default("none") }) });
const Placed = defineEvent("Placed", { schema: type<Position>() });
const Free = defineEvent("Free");

declare const store: Appending & Reading<[typeof PlayerMoved, typeof PlayerJoined]>;
declare const untyped: Appending & Reading;
declare const alice: Coordinate;
declare const bob: Coordinate;

// Definitions
export type Definitions = [
  Expect<Equal<typeof PlayerMoved.name, "PlayerMoved">>,
  Expect<Equal<typeof PlayerMoved.kind, number | undefined>>,
  Expect<Equal<Parameters<typeof Scored>, [data: { points: string; tag?: string | undefined }]>>,
  Expect<Equal<EventOf<typeof Scored>["data"], { points: number; tag: string }>>,
  Expect<Equal<EventOf<typeof Placed>["data"], Position>>,
  Expect<Equal<EventOf<typeof Free>["data"], unknown>>,
  Expect<Equal<ReturnType<typeof PlayerMoved>, NewEvent<"PlayerMoved", { x: number; y: number }>>>,
];
PlayerMoved({ x: 10, y: 20 });
Free({ anything: [1, "two"] });
declare const position: Position;
Placed(position);
Scored({ points: "7" });
// @ts-expect-error: y is missing
PlayerMoved({ x: 10 });
// @ts-expect-error: z is not known
PlayerMoved({ x: 10, y: 20, z: 30 });
// @ts-expect-error: the schema's input is text
Scored({ points: 7 });
// @ts-expect-error: a definition is called with data
PlayerMoved();
// @ts-expect-error: no such option
defineEvent("Wrong", { schemas: type<number>() });
// @ts-expect-error: no schema
defineEvent("Wrong", { schema: 5 });
// @ts-expect-error: nothing is no data
defineEvent("Nothing", { schema: type<void>() });
// @ts-expect-error: nor is undefined
defineEvent("Nothing", { schema: type<undefined>() });
// @ts-expect-error: what could not be read as it was written is not stored
defineEvent("Wrong", { schema: type<Map<string, number>>() });
// @ts-expect-error: the same of sets
defineEvent("Wrong", { schema: type<Set<string>>() });
// @ts-expect-error: of functions
defineEvent("Wrong", { schema: type<(n: number) => void>() });
// @ts-expect-error: of symbols
defineEvent("Wrong", { schema: type<symbol>() });
const Empty = defineEvent("Empty", { schema: type<Record<string, never>>() });
Empty({});
// oxlint-disable-next-line typescript/no-explicit-any -- whoever says so is taken at his word
const Anything = defineEvent("Anything", { schema: type<any>() });
Anything(5).data.toFixed();
defineEvent("Unknown", { schema: type() })({ any: "thing" });
defineEvent("Null", { schema: type<null>() })(null);
defineEvent("Maybe", { schema: type<Position | null>() })(position);
export function wrapped<Data>(name: string, data: Data): NewEvent<string, Data> {
  return defineEvent(name, { schema: type<Data>() })(data);
}
check<Equal<typeof wrapped<Position>, (name: string, data: Position) => NewEvent<string, Position>>>();
// @ts-expect-error: the name is given once
PlayerMoved.name = "Other";

// const receipt = await store.append(alice, PlayerMoved({ x: 10, y: 20 }));
export async function appending(): Promise<void> {
  const receipt = await store.append(alice, PlayerMoved({ x: 10, y: 20 }));
  check<Equal<typeof receipt, Receipt>>();
  check<Equal<typeof receipt.clock, number>>();
  check<Equal<typeof receipt.durable, boolean>>();
  const receipts = await store.append(alice, [PlayerMoved({ x: 11, y: 20 }), PlayerMoved({ x: 12, y: 20 })], {
    expect: { clock: receipt.clock },
    idempotencyKey: "move-42",
    causedBy: receipt.id,
    metadata: { userId: "u1" },
  });
  check<Equal<typeof receipts, [Receipt, Receipt]>>();
  await store.append(alice, PlayerMoved({ x: 1, y: 1 }), { expect: "none" });
  await store.append(alice, PlayerMoved({ x: 1, y: 1 }), { expect: "exists", correlationId: receipt.id });
  await store.append(alice, Scored({ points: "1" }), { expect: { noneMatching: { kind: Scored, scope: "s" }, after: receipt.sequence } });
  await store.append(alice, [PlayerMoved({ x: 1, y: 1 }), PlayerJoined({ nick: "a" }), Free(1), Placed(position)]);
  await store.append(alice, rawEvent(0xf001, { any: "thing" }));
  await store.append(alice, { kind: 0xf001, data: 5 });
  await store.append(alice, { kind: 0xf001, data: 5, type: undefined, version: 2 });
  await store.appendBatch([
    { coordinate: alice, event: PlayerMoved({ x: 1, y: 1 }) },
    { coordinate: bob, event: PlayerJoined({ nick: "bob" }), expect: "none", idempotencyKey: "join-7" },
  ]);
  // @ts-expect-error: a definition is no event
  await store.append(alice, PlayerMoved);
  // @ts-expect-error: an event needs a kind
  await store.append(alice, { data: 5 });
  // @ts-expect-error: no coordinate
  await store.append("alice", PlayerMoved({ x: 1, y: 1 }));
  // @ts-expect-error: no such expectation
  await store.append(alice, PlayerMoved({ x: 1, y: 1 }), { expect: "any" });
  // @ts-expect-error: no such option
  await store.append(alice, PlayerMoved({ x: 1, y: 1 }), { expects: "none" });
  // @ts-expect-error: a signal belongs to the batch
  await store.appendBatch([{ coordinate: alice, event: Free(1), signal: new AbortController().signal }]);
}

type Known = EventOf<typeof PlayerMoved> | EventOf<typeof PlayerJoined> | UntypedEvent;

// for await (const event of store.read({ entity: "player:alice" })) { if (PlayerMoved.is(event)) event.data.x; }
export async function reading(): Promise<void> {
  for await (const event of store.read({ entity: "player:alice" })) {
    check<Equal<typeof event, Known>>();
    if (PlayerMoved.is(event)) {
      check<Equal<typeof event, TypedEvent<"PlayerMoved", { x: number; y: number }>>>();
      event.data.x.toFixed();
    } else {
      check<Equal<typeof event.type, "PlayerJoined" | OtherName | null>>();
    }
    if (event.type === "PlayerJoined") event.data.nick.trim();
    if (event.type === null) check<Equal<typeof event.data, unknown>>();
    switch (event.type) {
      case "PlayerMoved":
        event.data.y.toFixed();
        break;
      case "PlayerJoined":
        event.data.nick.trim();
        break;
      case null:
        check<Equal<typeof event.data, unknown>>();
        break;
      // Names that the store has recorded or learnt, and was not given.
      default:
        check<Equal<typeof event, TypedEvent<OtherName, unknown>>>();
    }
    // Nor is the name of an event that none of them describes null, as the next line would have it.
    // @ts-expect-error: it may be another name
    if (event.type !== "PlayerMoved" && event.type !== "PlayerJoined") check<Equal<typeof event.type, null>>();
    const text: string | null = event.type;
    check<Equal<typeof text, string | null>>();
    // A definition that was learnt from an append tells its own events.
    if (PlayerMoved.is(event)) event.data.x.toFixed();
    else if (PlayerJoined.is(event)) event.data.nick.trim();
    else if (Scored.is(event)) {
      check<Equal<typeof event.data.points, number>>();
      const scored: EventOf<typeof Scored> = event;
      check<Equal<typeof scored.type, "Scored">>();
    }
    // @ts-expect-error: not told apart yet
    String(event.data.x);
  }
  const event = await store.get("018bcfe5-6800-7fff-9234-567812345678");
  check<Equal<typeof event, Known | null>>();
  if (event !== null && PlayerJoined.is(event)) event.data.nick.trim();
}

// await store.read({ kind: [PlayerMoved, PlayerJoined] }, { direction: "backward", limit: 10 }).toArray();
export async function unions(): Promise<void> {
  const pair = await store.read({ kind: [PlayerMoved, PlayerJoined] }, { direction: "backward", limit: 10 }).toArray();
  check<Equal<(typeof pair)[number], EventOf<typeof PlayerMoved> | EventOf<typeof PlayerJoined>>>();
  for (const event of pair) {
    if (event.type === "PlayerMoved") event.data.x.toFixed();
    else event.data.nick.trim();
  }
  const one = await store.read({ kind: Scored, scope: "s" }).first();
  check<Equal<typeof one, EventOf<typeof Scored> | null>>();
  one?.data.points.toFixed();
  const either = store.read([{ kind: PlayerMoved }, { kind: [Scored], entity: "a" }]);
  check<Equal<typeof either, EventReading<EventOf<typeof PlayerMoved> | EventOf<typeof Scored>>>>();
  const mixed = await store.read({ kind: [PlayerMoved, 0xf001] }).first();
  check<Equal<typeof mixed, Known | null>>();
  const partly = await store.read([{ kind: PlayerMoved }, { entity: "a" }]).first();
  check<Equal<typeof partly, Known | null>>();
  const everything = await store.read().first();
  check<Equal<typeof everything, Known | null>>();
  const query: Query = { kind: PlayerMoved };
  const later = await store.read(query).first();
  check<Equal<typeof later, Known | null>>();
  for await (const batch of store.read({ kind: PlayerMoved }).batches()) batch[0].data.x.toFixed();
  await store.count({ scope: "room:dungeon", time: { from: new Date(0), before: 5 }, clock: { after: 1 } });
  // @ts-expect-error: how to read is no part of the query
  await store.count({ limit: 5 });
  // @ts-expect-error: text is no kind
  store.read({ kind: "PlayerMoved" });
  // @ts-expect-error: no such direction
  store.read({}, { direction: "up" });
}

// A store that was given no definitions still narrows by the one that is asked.
export async function withoutDefinitions(): Promise<void> {
  for await (const event of untyped.read()) {
    check<Equal<typeof event, Event>>();
    check<Equal<typeof event.type, string | null>>();
    if (Scored.is(event)) event.data.points.toFixed();
    else check<Equal<typeof event.data, unknown>>();
  }
  const one = await untyped.read({ kind: PlayerJoined }).first();
  one?.data.nick.trim();
}

// Fields
declare const moved: EventOf<typeof PlayerMoved>;
export type Fields = [
  Expect<Equal<typeof moved.id, string>>,
  Expect<Equal<typeof moved.sequence, number>>,
  Expect<Equal<typeof moved.timestamp, number>>,
  Expect<Equal<typeof moved.causationId, string | null>>,
  Expect<Equal<typeof moved.correlationId, string>>,
  Expect<Equal<typeof moved.metadata, Metadata | null>>,
  Expect<Equal<ReturnType<typeof moved.toObject>, PlainEvent<"PlayerMoved", { x: number; y: number }>>>,
];
// @ts-expect-error: events are not changed
moved.sequence = 5;

// Lists of definitions of whatever types
const list = [PlayerMoved, PlayerJoined, Scored, Free] as const;
export const widened: readonly AnyDefinition[] = list;
declare const some: Event<typeof list>;
if (Scored.is(some)) some.data.points.toFixed();
