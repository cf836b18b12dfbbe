/** Iterations that wait for what may never come are ended from outside: by `return`, by a stream that is destroyed, by who closes a consumer. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { Readable } from "node:stream";
import { after, before, test } from "node:test";
import { setImmediate as nextTurn } from "node:timers/promises";
import { defineEvent, type } from "../events/definition.ts";
import { defineProjection } from "../projections/projection.ts";
import { Store } from "../store.ts";
import { createMemoryDisk } from "../testing/memory-disk.ts";

const Ticked = defineEvent("Ticked", { schema: type<{ n: number }>() });
const Counted = defineProjection({ name: "counted", events: [Ticked], initial: 0, on: { Ticked: (count) => count + 1 } });
const at = { entity: "a", scope: "test" };

const disk = createMemoryDisk();
const definitions = [Ticked];
let store: Store<typeof definitions>;
let reader: Store<typeof definitions>;

before(async () => {
  store = await Store.open("/store", { disk, events: definitions });
  await store.append(at, [Ticked({ n: 0 }), Ticked({ n: 1 })]);
  reader = await Store.open("/store", { disk, events: definitions, readOnly: true });
});

after(async () => {
  await reader.close();
  await store.close();
});

let names = 0;
const newName = (): string => `consumer ${names++}`;

const iterations: Record<string, (from: Store<typeof definitions>) => Promise<AsyncIterable<unknown>> | AsyncIterable<unknown>> = {
  subscription: (from) => from.subscribe(),
  "batches of a subscription": (from) => from.subscribe().batches(),
  watch: (from) => from.watch(Counted, "a"),
  consumer: (from) => from.consumer(newName()),
  "batches of a consumer": async (from) => (await from.consumer(newName())).batches(),
};

/** Takes what is there; gives the `next` that waits for more. */
async function firstThatWaits(iterator: AsyncIterator<unknown>): Promise<Promise<IteratorResult<unknown>>[]> {
  for (;;) {
    let isWaiting = true;
    const next = iterator.next().finally(() => {
      isWaiting = false;
    });
    for (let i = 0; i < 200 && isWaiting; i++) await nextTurn();
    if (isWaiting) return [next];
  }
}

for (const [what, make] of Object.entries(iterations)) {
  for (const how of ["return", "throw", "destroy"] as const) {
    for (const which of ["writer", "reader"] as const) {
      test(`${what}, ended by ${how} while it waits (${which})`, { timeout: 10_000 }, async () => {
        const made = await make(which === "writer" ? store : reader);
        if (how === "destroy") {
          const stream = Readable.from(made).resume();
          await once(stream, "data");
          for (let i = 0; i < 5; i++) await nextTurn();
          stream.destroy();
          await once(stream, "close");
        } else {
          const iterator = made[Symbol.asyncIterator]();
          const [waiting] = await firstThatWaits(iterator);
          const error = new Error("enough");
          const ended = how === "return" ? iterator.return?.() : iterator.throw?.(error);
          const outcome = await (ended as Promise<IteratorResult<unknown>>).catch((reason: unknown) => reason);
          assert.deepEqual(outcome, how === "return" ? { done: true, value: undefined } : error);
          assert.deepEqual(await waiting, { done: true, value: undefined });
          assert.deepEqual(await iterator.next(), { done: true, value: undefined });
        }
      });
    }
  }
}

test("closing or deleting a consumer ends its loops", { timeout: 10_000 }, async () => {
  for (const end of ["close", "delete"] as const) {
    const consumer = await store.consumer("looping");
    const loop = (async (): Promise<void> => {
      for await (const event of consumer) await consumer.commit(event);
    })();
    const batches = (async (): Promise<void> => {
      for await (const events of consumer.batches()) assert.ok(events.length > 0);
    })();
    while (consumer.position < 1) await nextTurn();
    await consumer[end]();
    await Promise.all([loop, batches]);
  }
});

test("what was loaded is not given any more once the store is closed", async () => {
  const short = await Store.open("/short", { disk, events: definitions });
  await short.append(
    at,
    [0, 1, 2, 3].map((n) => Ticked({ n })),
  );
  const given: number[] = [];
  for await (const event of short.subscribe({ kind: Ticked })) {
    given.push(event.data.n);
    if (event.data.n === 1) await short.close();
  }
  assert.deepEqual(given, [0, 1]);
});
