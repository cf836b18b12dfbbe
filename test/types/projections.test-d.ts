/** What the types of projections and deciders must say: checked by `tsc`, never run. */
import { z } from "zod";
import {
  defineDecider,
  defineEvent,
  defineProjection,
  type Projected,
  type Receipt,
  type StateOf,
  type Store,
  type,
} from "../../src/index.ts";

type Equal<Left, Right> = (<T>() => T extends Left ? 1 : 2) extends <T>() => T extends Right ? 1 : 2 ? true : false;
function expectType<Condition extends true>(_holds?: Condition): void {}

const Deposited = defineEvent("Deposited", { schema: type<{ cents: number }>() });
const Renamed = defineEvent("Renamed", { schema: z.object({ to: z.string(), from: z.string().default("nobody") }) });
const Closed = defineEvent("Closed", { schema: type<Record<string, never>>() });

interface State {
  readonly cents: number;
  readonly names: readonly string[];
}
const initial: State = { cents: 0, names: [] };

const Account = defineProjection({
  name: "account",
  events: [Deposited, Renamed],
  initial,
  on: {
    Deposited: (state, event) => {
      expectType<Equal<typeof state, State>>();
      expectType<Equal<typeof event.data, { cents: number }>>();
      expectType<Equal<typeof event.type, "Deposited">>();
      return { ...state, cents: state.cents + event.data.cents };
    },
    // The schema's output, not its input.
    Renamed: (state, { data: { from } }) => ({ ...state, names: [...state.names, from] }),
  },
});
expectType<Equal<StateOf<typeof Account>, State>>();

const made = defineProjection({ name: "made", events: [Deposited], initial: () => [] as number[], on: { Deposited: (state) => state } });
expectType<Equal<StateOf<typeof made>, number[]>>();

defineProjection({
  name: "missing",
  events: [Deposited, Renamed],
  initial: 0,
  // @ts-expect-error Renamed has no handler
  on: { Deposited: (state) => state + 1 },
});
defineProjection({
  name: "extra",
  events: [Deposited],
  initial: 0,
  on: {
    Deposited: (state) => state + 1,
    // @ts-expect-error Renamed is not among the events
    Renamed: (state: number) => state + 1,
  },
});
defineProjection({
  name: "wrong state",
  events: [Deposited],
  initial: { cents: 0 },
  // @ts-expect-error a handler returns a state
  on: { Deposited: (state, event) => ({ euros: state.cents + event.data.cents }) },
});
defineProjection({
  name: "wrong member",
  events: [Deposited],
  initial: 0,
  // @ts-expect-error the event's data has no such member
  on: { Deposited: (state, event) => state + event.data.euros },
});
defineProjection({
  name: "asynchronous",
  events: [Deposited],
  initial: 0,
  // @ts-expect-error handlers answer at once
  on: { Deposited: (state) => Promise.resolve(state) },
});

interface Status {
  readonly is: "new" | "open" | "closed";
}
const fresh: Status = { is: "new" };
// Literals that handlers return are the state's, whether or not a handler looks at what it is given.
const Statuses = defineProjection({
  name: "status",
  events: [Deposited, Renamed, Closed],
  initial: fresh,
  on: {
    Deposited: () => ({ is: "open" }),
    Renamed: (status, { data }) => (data.to === "" ? { is: "closed" } : status),
    Closed: (_status) => ({ is: "closed" }),
  },
});
expectType<Equal<StateOf<typeof Statuses>, Status>>();
defineDecider({
  events: [Deposited, Closed],
  initial: fresh,
  decide: (command: Command, status) =>
    status.is === "closed" || command.do === "close" ? Closed({}) : Deposited({ cents: command.cents }),
  evolve: { Deposited: (_status) => ({ is: "open" }), Closed: () => ({ is: "closed" }) },
});
// Keeping them does not make literals of what a generic call in a handler begins with.
defineProjection({
  name: "sums",
  events: [Deposited],
  initial: { cents: 0, text: "" },
  on: {
    Deposited: (state, event) => ({
      cents: [state, event.data].reduce((sum, each) => sum + each.cents, 0),
      text: [state].reduce((text, each) => text + each.text, ""),
    }),
  },
});
defineDecider({
  events: [Deposited],
  initial: { cents: 0 },
  decide: (cents: number) => Deposited({ cents: [cents].reduce((sum, each) => sum + each, 0) }),
  evolve: { Deposited: (state, { data }) => ({ cents: [state, data].reduce((sum, each) => sum + each.cents, 0) }) },
});

type Command = { readonly do: "deposit"; readonly cents: number } | { readonly do: "close" };
const Decides = defineDecider({
  events: [Deposited, Renamed, Closed],
  initial,
  decide: (command: Command, state) => {
    expectType<Equal<typeof state, State>>();
    if (command.do === "close") return [Deposited({ cents: -state.cents }), Closed({})];
    return state.cents > 100 ? [] : Deposited({ cents: command.cents });
  },
  evolve: {
    Deposited: (state, event) => ({ ...state, cents: state.cents + event.data.cents }),
    Renamed: (state) => state,
    Closed: (state) => state,
  },
});
defineDecider({
  events: [Renamed],
  initial: 0,
  decide: async (to: string) => await Promise.resolve(Renamed({ to })),
  evolve: { Renamed: (n) => n },
});
defineDecider({ events: [Renamed], initial: 0, decide: () => undefined, evolve: { Renamed: (n) => n } });
defineDecider({
  events: [Deposited],
  initial: 0,
  // @ts-expect-error Closed is not among the events
  decide: (_command: Command) => Closed({}),
  evolve: { Deposited: (n) => n },
});
// @ts-expect-error Closed has no handler
defineDecider({ events: [Deposited, Closed], initial: 0, decide: (_command: Command) => [], evolve: { Deposited: (n) => n } });

export async function example(store: Store): Promise<void> {
  const projected = await store.project(Account, "account:1", { at: new Date() });
  expectType<Equal<typeof projected, Projected<State>>>();
  await store.project(Account);
  await store.project(
    Account,
    { query: { scope: "bank", kind: Deposited } },
    { onProgress: ({ events, eventsTotal }) => events / eventsTotal },
  );
  for await (const { state } of store.watch(Account, "account:1")) expectType<Equal<typeof state, State>>();
  const receipts = await store.handle({ entity: "account:1", scope: "bank" }, Decides, { do: "close" }, { commandId: "c1", retries: 3 });
  expectType<Equal<typeof receipts, Receipt[]>>();
  const { state } = await store.project(Decides, "account:1");
  expectType<Equal<typeof state, State>>();
  // @ts-expect-error no such command
  await store.handle({ entity: "account:1", scope: "bank" }, Decides, { do: "open" });
  // @ts-expect-error a projection decides nothing
  await store.handle({ entity: "account:1", scope: "bank" }, Account, { do: "close" });
  // @ts-expect-error a definition is no projection
  await store.project(Deposited, "account:1");
}
