/** A query has no member that none has, whatever it is written as, and its events are known all the same. Never run. */
import {
  type Consumer,
  defineEvent,
  type Event,
  type EventOf,
  type EventReading,
  type Filter,
  type KnownQuery,
  type Query,
  type QueryEvents,
  type Store,
  type Subscription,
  type AnyDefinition,
  type,
} from "../../src/index.ts";

type Equal<Left, Right> = (<T>() => T extends Left ? 1 : 2) extends <T>() => T extends Right ? 1 : 2 ? true : false;
function expectType<Condition extends true>(_holds?: Condition): void {}

const Placed = defineEvent("Placed", { schema: type<{ cents: number }>() });
const Paid = defineEvent("Paid", { schema: type<{ by: string }>() });
const Sent = defineEvent("Sent", { schema: type<{ to: string }>() });

declare const untyped: Store<readonly []>;
declare const store: Store<readonly [typeof Placed, typeof Paid]>;
declare const query: Query;
declare const filter: Filter;
declare const maybe: Query | undefined;
declare const either: boolean;

type PlacedEvent = EventOf<typeof Placed>;
type PaidEvent = EventOf<typeof Paid>;
type Any = Event<readonly [typeof Placed, typeof Paid]>;
type Read<Call extends (filters: never) => unknown> = ReturnType<Call> extends EventReading<infer Given> ? Given : never;

export function literals(): void {
  store.read({ entity: "e", entityPrefix: "e", scope: "s", category: 1, correlation: "", causedBy: "" });
  store.read({ clock: { from: 1, before: 5 }, sequence: { after: 1, to: 5 }, time: { from: new Date(), before: 5 } });
  // @ts-expect-error: how many is an option, beside the query
  store.read({ entity: "e", limit: 5 });
  // @ts-expect-error: also where a kind tells the type of the events
  store.read({ kind: Placed, direction: "backward" });
  // @ts-expect-error: there is no such member
  store.read({ kind: Placed, entityId: "e" });
  // @ts-expect-error: nor where it is the only one
  store.read({ entityId: "e" });
  // @ts-expect-error: it would be asked for
  store.read({ entity: "e", limit: undefined });
  // @ts-expect-error: a range has no such bound
  store.read({ sequence: { from: 1, upTo: 5 } });
  // @ts-expect-error: nor one of several
  store.read([{ entity: "e" }, { kind: Placed, time: { since: 5, to: 6 } }]);
  // @ts-expect-error: one of several filters has it
  store.read([{ kind: Paid }, { kind: Placed, limit: 5 }]);
  // @ts-expect-error: one of two cases has it
  store.read(either ? { kind: Paid } : { kind: Placed, limit: 5 });
  // @ts-expect-error: text is no query
  store.read("e");
  // @ts-expect-error: nor is a function
  store.read(() => 5);
  // @ts-expect-error: nor a Map
  store.read(new Map());
}

export async function calls(): Promise<void> {
  // @ts-expect-error: the same of every call that takes a query
  store.subscribe({ kind: Placed, after: 5 });
  // @ts-expect-error: the same
  await store.consumer("c", { kind: Placed, after: "end" });
  // @ts-expect-error: the same, and the handler knows its events none the less
  await store.react("r", { kind: Placed, after: "end" }, (event) => void event.data.cents);
  // @ts-expect-error: the same
  await store.count({ entity: "e", limit: 5 });
  // @ts-expect-error: the same
  await store.count([{ entity: "e", limit: 5 }]);
  // @ts-expect-error: the same
  store.readPlaced({ limit: 5 });

  expectType<Equal<ReturnType<typeof subscribed>, Subscription<PlacedEvent>>>();
  const subscribed = () => store.subscribe({ kind: Placed }, { after: "end" });
  expectType<Equal<Awaited<ReturnType<typeof consumed>>, Consumer<PlacedEvent | PaidEvent>>>();
  const consumed = () => store.consumer("c", { kind: [Placed, Paid] }, { after: "end" });
  expectType<Equal<Awaited<ReturnType<typeof named>>, Consumer<Any>>>();
  const named = () => store.consumer("c");
  await store.react("r", { kind: Placed }, (event) => expectType<Equal<typeof event, PlacedEvent>>());
  await store.react("r", undefined, (event) => expectType<Equal<typeof event, Any>>());
  await store.react("r", maybe, (event) => expectType<Equal<typeof event, Any>>(), { after: "end" });
}

export function variables(): void {
  const limited = { kind: Placed, limit: 5 };
  // @ts-expect-error: a variable is looked at as a literal is
  store.read(limited);
  const several = [{ kind: Placed }, { entityId: "e" }];
  // @ts-expect-error: and a list of filters
  store.read(several);
  interface Named extends Filter {
    readonly label?: string;
  }
  const labelled: Named = { entity: "e" };
  // @ts-expect-error: it may be there
  store.read(labelled);
  // @ts-expect-error: a spread brings nothing that is not known
  store.read({ ...filter, limit: 5 });
  const { label: _label, ...unlabelled } = labelled;
  store.read(unlabelled);

  expectType<Equal<Read<typeof asked>, Any>>();
  const asked = () => store.read(query, { limit: 5 });
  expectType<Equal<Read<typeof filtered>, Any>>();
  const filtered = () => store.read(filter);
  expectType<Equal<Read<typeof optional>, Any>>();
  const optional = () => store.read(maybe);
  expectType<Equal<Read<typeof listed>, Any>>();
  const listed = (filters: readonly Filter[]) => store.read(filters);
  expectType<Equal<Read<typeof mutable>, Any>>();
  const mutable = (filters: Filter[]) => store.read(filters);
  expectType<Equal<Read<typeof paired>, Any>>();
  const paired = (filters: readonly [Filter, Filter]) => store.read(filters);
  expectType<Equal<Read<typeof all>, Any>>();
  const all = () => store.read(undefined, { direction: "backward" });
}

export function inferred(): void {
  const kinds = [Placed, Paid] as const;
  expectType<Equal<Read<typeof ofKinds>, PlacedEvent | PaidEvent>>();
  const ofKinds = () => store.read({ kind: kinds });
  const widened = { kind: Placed, time: { from: new Date() } };
  expectType<Equal<Read<typeof ofWidened>, PlacedEvent>>();
  const ofWidened = () => store.read(widened);
  expectType<Equal<Read<typeof frozen>, PlacedEvent>>();
  const frozen = () => store.read(Object.freeze({ kind: Placed }));
  expectType<Equal<Read<typeof satisfied>, PlacedEvent>>();
  const satisfied = () => store.read({ kind: Placed } as const satisfies Query);
  expectType<Equal<Read<typeof spread>, PlacedEvent>>();
  const spread = () => store.read({ ...filter, ...(either ? { scope: "s" } : {}), kind: Placed });
  const filters = [{ kind: Placed }, { kind: Paid }];
  expectType<Equal<Read<typeof ofFilters>, PlacedEvent | PaidEvent>>();
  const ofFilters = () => store.read(filters);
  expectType<Equal<Read<typeof andAnother>, PlacedEvent | PaidEvent | EventOf<typeof Sent>>>();
  const andAnother = () => store.read([...filters, { kind: Sent, entity: "e" }]);
  expectType<Equal<Read<typeof oneOfTwo>, PlacedEvent | PaidEvent>>();
  const oneOfTwo = () => store.read(either ? { kind: Placed } : [{ kind: Paid }]);
  // Nothing stands for everything.
  expectType<Equal<Read<typeof orAll>, PlacedEvent | Any>>();
  const orAll = () => store.read(either ? { kind: Placed } : undefined);
  expectType<Equal<Read<typeof ofNumbers>, Any>>();
  const ofNumbers = () => store.read({ kind: [Placed, 0xf001] });
}

/** A function of a user's own passes on what it is asked, and refuses what the store would. */
export function newest<const Asked extends Query>(asked: KnownQuery<Asked>): Promise<QueryEvents<Asked> | null> {
  return untyped.read(asked, { direction: "backward", limit: 1 }).first();
}
export async function wrapped(): Promise<void> {
  const event = await newest({ kind: Placed });
  expectType<Equal<typeof event, PlacedEvent | null>>();
  await newest(query);
  // @ts-expect-error: as the store itself
  await newest({ kind: Placed, limit: 5 });
}
export function ofDefinition(): void {
  const byDefinition = <Definition extends AnyDefinition>(kind: Definition) => store.read({ kind, scope: "s" });
  expectType<Equal<Read<typeof placed>, PlacedEvent>>();
  const placed = () => byDefinition(Placed);
}
