/** Consumers and reactions see the events of their query, without a cast. Never run. */
import { type Consumer, defineEvent, type EventOf, type OtherName, Store, type } from "../../src/index.ts";

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
function expectType<Condition extends true>(_holds?: Condition): void {}

const Placed = defineEvent("Placed", { schema: type<{ cents: number }>() });
const Paid = defineEvent("Paid", { schema: type<{ by: string }>() });

export async function consumers(): Promise<void> {
  const store = await Store.open("./data", { events: [Placed, Paid] });
  const consumer = await store.consumer("mailer", { kind: Placed }, { positionIn: "log", after: "end", lockWaitMs: 5 });
  expectType<Equal<typeof consumer, Consumer<EventOf<typeof Placed>>>>();
  for await (const event of consumer) {
    expectType<Equal<typeof event.data.cents, number>>();
    await consumer.commit(event);
    await consumer.commit(event.sequence);
    await store.appendBatch([{ coordinate: event, event: Paid({ by: "card" }) }], { commit: consumer.at(event) });
  }
  for await (const events of (await store.consumer("all")).batches()) {
    const [event] = events;
    expectType<Equal<typeof event.type, "Placed" | "Paid" | OtherName | null>>();
    if (Placed.is(event)) expectType<Equal<typeof event.data.cents, number>>();
  }
  // @ts-expect-error: a position is kept in a file or in the log
  await store.consumer("mailer", undefined, { positionIn: "memory" });
  // @ts-expect-error: only consumer.at makes a position
  await store.appendBatch([], { commit: { consumer: "mailer", position: 3 } });

  const status = (await store.consumers())[0];
  expectType<Equal<typeof status.lag, number | null>>();

  await store.react("billing", { kind: [Placed, Paid] }, (event, { signal }) => {
    expectType<Equal<typeof event.type, "Placed" | "Paid">>();
    expectType<Equal<typeof signal, AbortSignal>>();
    return event.type === "Placed" ? { coordinate: event, event: Paid({ by: "card" }), expect: "exists" } : null;
  });
  await store.react("several", { kind: Placed }, async ({ data }) => [
    { coordinate: { entity: "a", scope: "b" }, event: Paid({ by: String(data.cents) }) },
  ]);
  await store.react("none", undefined, () => {});
  // @ts-expect-error: the reaction gives the key itself
  await store.react("keyed", { kind: Placed }, (event) => ({ coordinate: event, event: Paid({ by: "" }), idempotencyKey: "k" }));
}
