/**
 * Every option of every call may be there and undefined, also where the compiler tells that from being absent: what may be missing is passed on as
 * it is. Not so the members of a query and the rules of a compaction, which would mean more than was meant. Never run.
 */
import {
  type AppendOptions,
  type BatchItem,
  type BatchOptions,
  type CompactOptions,
  compactStore,
  type CompactStoreOptions,
  type ConsumerOptions,
  type ConversionOptions,
  type DeciderOptions,
  defineDecider,
  defineEvent,
  type DefinitionOptions,
  type Expectation,
  type HandleOptions,
  type ImportOptions,
  type ImportRecord,
  type PlacedReadOptions,
  type ProjectionOptions,
  type ProjectOptions,
  type RawEvent,
  type ReactOptions,
  type ReadOptions,
  type RepairOptions,
  type Store,
  type StoreOptions,
  type SubscribeOptions,
  type VerifyOptions,
  type WatchOptions,
  type,
} from "../../src/index.ts";
import type { Fault, PossibleDisksOptions, SimulatedDiskOptions } from "../../src/testing/index.ts";

type Expect<Yes extends true> = Yes;
type Optional<Options> = { [Name in keyof Options]-?: Record<never, never> extends Pick<Options, Name> ? Name : never }[keyof Options];
type TakesUndefined<Options, Names extends keyof Options = Optional<Options>> =
  { readonly [Name in Names]: undefined } extends Pick<Options, Names> ? true : false;

const Counted = defineEvent("Counted", { schema: type<{ n: number }>() });
type Rules = "query" | "keep" | "keepNewerThan" | "keepLast";

export type EveryOption = [
  Expect<TakesUndefined<AppendOptions>>,
  Expect<TakesUndefined<BatchItem>>,
  Expect<TakesUndefined<BatchOptions>>,
  Expect<TakesUndefined<Extract<Expectation, { readonly noneMatching: unknown }>>>,
  Expect<TakesUndefined<CompactOptions, "dryRun" | "segmentBytesMax" | "onProgress" | "signal">>,
  Expect<TakesUndefined<CompactStoreOptions, Exclude<Optional<CompactStoreOptions>, Rules>>>,
  Expect<TakesUndefined<ConsumerOptions>>,
  Expect<TakesUndefined<ConversionOptions>>,
  Expect<TakesUndefined<DeciderOptions<readonly [typeof Counted], number, string>>>,
  Expect<TakesUndefined<DefinitionOptions<NonNullable<typeof Counted.schema>>>>,
  Expect<TakesUndefined<HandleOptions>>,
  Expect<TakesUndefined<ImportOptions>>,
  Expect<TakesUndefined<ImportRecord>>,
  Expect<TakesUndefined<PlacedReadOptions>>,
  Expect<TakesUndefined<ProjectOptions>>,
  Expect<TakesUndefined<ProjectionOptions<"p", readonly [typeof Counted], number>>>,
  Expect<TakesUndefined<RawEvent>>,
  Expect<TakesUndefined<ReactOptions>>,
  Expect<TakesUndefined<ReadOptions>>,
  Expect<TakesUndefined<RepairOptions>>,
  Expect<TakesUndefined<StoreOptions>>,
  Expect<TakesUndefined<SubscribeOptions>>,
  Expect<TakesUndefined<NonNullable<Parameters<Store["entities"]>[0]>>>,
  Expect<TakesUndefined<NonNullable<Parameters<Store["scopes"]>[0]>>>,
  Expect<TakesUndefined<VerifyOptions>>,
  Expect<TakesUndefined<WatchOptions>>,
  Expect<TakesUndefined<Fault>>,
  Expect<TakesUndefined<PossibleDisksOptions>>,
  Expect<TakesUndefined<SimulatedDiskOptions>>,
];

export async function passedOn(store: Store, maybe: string | undefined, limit: number | undefined): Promise<void> {
  await store.append({ entity: "e", scope: "s" }, Counted({ n: 1 }), { idempotencyKey: maybe, causedBy: maybe, correlationId: maybe });
  store.entities({ prefix: maybe });
  defineEvent("Made", { schema: type<{ n: number }>(), version: limit, kind: limit, upcast: undefined });
  defineDecider({ name: maybe, events: [Counted], initial: 0, decide: () => null, evolve: { Counted: (n) => n } });
  // @ts-expect-error: what would ask for everything is no filter
  store.read({ entity: maybe });
  // @ts-expect-error: what would remove more than was meant is no rule
  await store.compact({ query: { scope: "s" }, keepLast: limit });
  // @ts-expect-error: the same without an open store
  await compactStore("./data", { query: undefined, keepLast: 1 });
}
