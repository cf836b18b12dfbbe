/** Each line of the example in the design's section 2, held by the compiler against the real store. Never run. */
import { z } from "zod";
import {
  type CompactOptions,
  type CompactReport,
  compactStore,
  defineEvent,
  isStoreError,
  type OtherName,
  rawEvent,
  type Receipt,
  Store,
  type,
} from "../../src/index.ts";

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
function expectType<Condition extends true>(_holds?: Condition): void {}

const PlayerMoved = defineEvent("PlayerMoved", { schema: type<{ x: number; y: number }>() });
const PlayerJoined = defineEvent("PlayerJoined", {
  schema: z.object({ nick: z.string() }),
  version: 2,
  kind: { category: 0xf, type: 1 },
});

export async function example(): Promise<void> {
  const store = await Store.open("./data", { events: [PlayerMoved, PlayerJoined] });
  const alice = { entity: "player:alice", scope: "room:dungeon" };
  const bob = { entity: "player:bob", scope: "room:dungeon" };

  const receipt = await store.append(alice, PlayerMoved({ x: 10, y: 20 }));
  expectType<Equal<typeof receipt, Receipt>>();
  const receipts = await store.append(alice, [PlayerMoved({ x: 11, y: 20 }), PlayerMoved({ x: 12, y: 20 })], {
    expect: { clock: receipt.clock },
    idempotencyKey: "move-42",
    causedBy: receipt.id,
    metadata: { userId: "u1" },
  });
  expectType<Equal<typeof receipts, [Receipt, Receipt]>>();
  const moves = [1, 2].map((x) => PlayerMoved({ x, y: 20 }));
  expectType<Equal<Awaited<ReturnType<typeof several>>, Receipt[]>>();
  const several = () => store.append(alice, moves);
  const either = await store.append(alice, moves.length > 1 ? moves : PlayerMoved({ x: 1, y: 1 }), { expect: "exists" });
  expectType<Equal<typeof either, Receipt | Receipt[]>>();
  const mixed = await store.append(alice, [PlayerJoined({ nick: "a" }), ...moves]);
  expectType<Equal<typeof mixed, [Receipt, ...Receipt[]]>>();
  const list: Receipt[] = await store.append(alice, [PlayerMoved({ x: 1, y: 1 }), rawEvent(0xf002, { any: ["thing"] })]);
  expectType<Equal<typeof list, Receipt[]>>();
  await store.append(alice, PlayerMoved({ x: 1, y: 1 }), { expect: { noneMatching: { kind: PlayerJoined }, after: 3 } });
  await store.append(alice, rawEvent(0xf002, { any: "thing" }), { expect: "exists" });
  await store.appendBatch([
    { coordinate: alice, event: PlayerMoved({ x: 1, y: 1 }) },
    { coordinate: bob, event: PlayerJoined({ nick: "bob" }), expect: "none", idempotencyKey: "join-7" },
  ]);

  const found = await store.get(receipt.id);
  if (found !== null && PlayerMoved.is(found)) expectType<Equal<typeof found.data, { x: number; y: number }>>();
  for await (const event of store.read({ entity: "player:alice" })) {
    expectType<Equal<typeof event.type, "PlayerMoved" | "PlayerJoined" | OtherName | null>>();
    if (PlayerMoved.is(event)) expectType<Equal<typeof event.data.x, number>>();
    if (event.type === "PlayerJoined") expectType<Equal<typeof event.data.nick, string>>();
    if (event.type === null) expectType<Equal<typeof event.data, unknown>>();
  }
  const some = await store.read({ kind: [PlayerMoved, PlayerJoined] }, { direction: "backward", limit: 10 }).toArray();
  expectType<Equal<(typeof some)[number]["type"], "PlayerMoved" | "PlayerJoined">>();
  const first = await store.read({ kind: PlayerMoved }).first();
  if (first !== null) expectType<Equal<typeof first.data.y, number>>();

  const head = await store.head("player:alice");
  if (head !== null) expectType<Equal<typeof head.hash, string>>();
  expectType<Equal<Awaited<ReturnType<typeof store.count>>, number>>();
  for await (const entity of store.entities({ prefix: "player:" })) expectType<Equal<typeof entity, string>>();
  for await (const event of store.ancestors(receipt.id)) expectType<Equal<typeof event.id, string>>();

  try {
    await store.sync();
  } catch (error) {
    if (isStoreError(error, "CONFLICT")) expectType<Equal<typeof error.details.entity, string>>();
    if (isStoreError(error, "LOCKED")) expectType<Equal<typeof error.details.pid, number | null>>();
  }

  // @ts-expect-error the data must fit the definition
  await store.append(alice, PlayerMoved({ x: "10", y: 20 }));
  // @ts-expect-error an expectation is one of four
  await store.append(alice, PlayerMoved({ x: 1, y: 2 }), { expect: "never" });
  // @ts-expect-error unknown options are refused by name
  await Store.open("./data", { segmentMegabytes: 64 });
  await store.close();
}

// Upcasters: each step gives what the next one takes, the last what the schema puts out.
defineEvent("Chained", {
  version: 3,
  schema: type<{ x: number; y: number }>(),
  upcast: { 1: (old: { left: number }) => ({ x: old.left }), 2: (old: { x: number }) => ({ ...old, y: 0 }) },
});
// @ts-expect-error a step says what the old data was
defineEvent("Unannotated", { version: 2, schema: type<{ x: number }>(), upcast: { 1: (old) => ({ x: old.left }) } });
// @ts-expect-error the last step gives something else than the schema
defineEvent("Chained", { version: 2, schema: type<{ x: number }>(), upcast: { 1: (old: { left: number }) => ({ y: old.left }) } });
defineEvent("Chained", {
  version: 3,
  schema: type<{ x: number }>(),
  // @ts-expect-error the first step gives something else than the second takes
  upcast: { 1: (old: { left: number }) => ({ y: old.left }), 2: (old: { x: number }) => old },
});

/** A store that was opened with any events is a `Store`, whose events are known once they were asked what they are. */
export async function passedOn(): Promise<void> {
  const use = async (store: Store): Promise<void> => {
    const found = await store.get("");
    if (found !== null) expectType<Equal<typeof found.data, unknown>>();
    if (found !== null && PlayerMoved.is(found)) expectType<Equal<typeof found.data, { x: number; y: number }>>();
    for await (const event of store.read({ kind: PlayerMoved })) expectType<Equal<typeof event.data, { x: number; y: number }>>();
    await store.append({ entity: "a", scope: "b" }, PlayerMoved({ x: 1, y: 1 }));
  };
  await use(await Store.open("./data", { events: [PlayerMoved, PlayerJoined] }));
  await use(await Store.open("./data"));
}

/** Without a code, an error's own tells what its details are. */
export function told(error: unknown): void {
  if (!isStoreError(error)) return;
  if (error.code === "CONFLICT") expectType<Equal<typeof error.details.entity, string>>();
  if (error.code === "TOO_LARGE") expectType<Equal<typeof error.details.bytes, number>>();
}

/** Compaction: `keep` is asked with the store's own events, as they are read. */
export async function compaction(): Promise<void> {
  const store = await Store.open("./data", { events: [PlayerMoved, PlayerJoined] });
  const report = await store.compact({
    query: { kind: PlayerMoved },
    keep: (event) => {
      expectType<Equal<typeof event.type, "PlayerMoved" | "PlayerJoined" | OtherName | null>>();
      return PlayerMoved.is(event) && event.data.x > 0;
    },
    keepNewerThan: new Date(0),
    keepLast: 10,
    onProgress: ({ step }) => expectType<Equal<typeof step, "survey" | "write">>(),
    signal: AbortSignal.timeout(1),
  });
  expectType<Equal<typeof report, CompactReport>>();
  const options: CompactOptions<readonly [typeof PlayerMoved, typeof PlayerJoined]> = { keepLast: 1, dryRun: true };
  await store.compact(options);
  await compactStore("./data", { events: [PlayerMoved], keep: (event) => PlayerMoved.is(event) && event.data.y > 0 });
  // @ts-expect-error a disk is given when the store is opened
  await store.compact({ keepLast: 1, disk: null });
  // @ts-expect-error a predicate tells true or false
  await store.compact({ keep: () => "yes" });
}
