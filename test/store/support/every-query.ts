/** A store with something for every filter, and its answers to many queries, to compare ways of opening, caching and reading. */
import { defineEvent, type } from "../../../src/events/definition.ts";
import type { Query } from "../../../src/events/query.ts";
import type { Store } from "../../../src/store.ts";
import { seededRandom } from "../../../src/testing/seeded-random.ts";

export const Made = defineEvent("Made", { schema: type<{ n: number; pad: string }>() });
export const Sent = defineEvent("Sent", { schema: type<{ n: number; pad: string }>(), version: 3 });
export const Lost = defineEvent("Lost", { schema: type<{ n: number; pad: string }>(), kind: { category: 0xf, type: 9 } });
export const varied = [Made, Sent, Lost] as const;

type VariedStore = Store<typeof varied>;

/** Appends `count` events: several entities and scopes, kinds, causes, keys, batches; the same for the same seed but for ids and times. */
export async function fillVaried(store: VariedStore, count: number, seed: number): Promise<void> {
  const random = seededRandom(seed);
  const pick = <Value>(values: readonly Value[]): Value => values[Math.floor(random() * values.length)];
  const ids: string[] = [];
  for (let n = 0; n < count; ) {
    const size = random() < 0.3 ? Math.min(count - n, 1 + Math.floor(random() * 9)) : 1;
    const coordinate = {
      entity: `${pick(["order", "user", "øre"])}:${Math.floor(random() ** 2 * 25)}`,
      scope: pick(["shop:eu", "shop:us", "lager"]),
    };
    const events = Array.from({ length: size }, (_, i) => pick(varied)({ n: n + i, pad: "p".repeat(Math.floor(random() * 60)) }));
    const cause = ids.length > 0 && random() < 0.4 ? { causedBy: pick(ids) } : {};
    const key = random() < 0.2 ? { idempotencyKey: `key ${n}` } : {};
    const receipts = await store.append(coordinate, events, { ...cause, ...key, ...(random() < 0.2 ? { metadata: { n } } : {}) });
    ids.push(...receipts.map((receipt) => receipt.id));
    n += size;
  }
}

/** Many queries, each filter alone and several together, with bounds from what is there. */
async function queriesFor(store: VariedStore): Promise<Query[]> {
  const events = await store.read().toArray();
  const last = events[events.length - 1];
  const middle = events[events.length >> 1];
  const caused = events.filter((event) => event.causationId !== null);
  const filters: Query[] = [
    {},
    [],
    { entity: "order:0" },
    { entity: "order:3" },
    { entity: "nobody" },
    { entityPrefix: "user:" },
    { entityPrefix: "ø" },
    { scope: "shop:eu" },
    { scope: "nowhere" },
    { kind: Made },
    { kind: [Sent, Lost] },
    { kind: middle.kind },
    { category: 0xf },
    { category: 1 },
    { category: 9 },
    { sequence: { from: 10, to: 30 } },
    { sequence: { after: middle.sequence, before: last.sequence } },
    { time: { from: middle.timestamp } },
    { time: { before: new Date(middle.timestamp) } },
    { time: { after: events[0].timestamp, to: middle.timestamp } },
    { clock: { from: 1, to: 3 } },
    { entity: "order:0", clock: { after: 2, before: 9 } },
    { entity: "order:1", scope: "lager" },
    { entityPrefix: "order:", kind: Lost, scope: "shop:us" },
    { scope: "lager", sequence: { from: middle.sequence } },
    { kind: Sent, time: { to: middle.timestamp }, entityPrefix: "user" },
    [{ entity: "order:2" }, { entity: "user:1" }, { scope: "lager", kind: Lost }],
    [{ sequence: { to: 5 } }, { sequence: { from: last.sequence - 5 } }],
  ];
  for (const event of [caused[0], caused[caused.length >> 1], caused[caused.length - 1]]) {
    filters.push(
      { correlation: event.correlationId },
      { causedBy: event.causationId ?? "" },
      { correlation: event.correlationId, kind: Made },
    );
  }
  return filters;
}

/** Every answer of the store as one list of texts. Names are listed in no order that holds from one way of opening to another. */
export async function answersOf(store: VariedStore): Promise<string[]> {
  const answers: string[] = [];
  const say = (what: string, answer: unknown): void => void answers.push(`${what}: ${JSON.stringify(answer)}`);
  for (const query of await queriesFor(store)) {
    const name = JSON.stringify(query);
    for (const direction of ["forward", "backward"] as const) {
      const all = (await store.read(query, { direction }).toArray()).map((event) => event.sequence);
      say(`${name} ${direction}`, all);
      say(
        `${name} ${direction} 5`,
        (await store.read(query, { direction, limit: 5 }).toArray()).map((event) => event.sequence),
      );
      if (all.length > 2) {
        const after = all[all.length >> 1];
        say(
          `${name} ${direction} after`,
          (await store.read(query, { direction, after, limit: 3 }).toArray()).map((event) => event.sequence),
        );
      }
      say(`${name} ${direction} first`, (await store.read(query, { direction }).first())?.id);
    }
    say(`${name} count`, await store.count(query));
  }
  const entities = (await store.entities().toArray()).sort();
  say("entities", entities);
  say("entities order:", (await store.entities({ prefix: "order:" }).toArray()).sort());
  say("scopes", (await store.scopes().toArray()).sort());
  for (const entity of [...entities, "nobody"]) say(`head ${entity}`, await store.head(entity));
  const { events, entities: count, nextSequence } = await store.stats();
  say("stats", { events, count, nextSequence });
  for await (const event of store.read()) {
    say(`event ${event.sequence}`, event);
    const got = await store.get(event.id);
    if (JSON.stringify(got) !== JSON.stringify(event)) say(`get ${event.id}`, got);
    if (event.sequence % 7 === 0) {
      const chain = [];
      for await (const cause of store.ancestors(event.id)) chain.push(cause.sequence);
      say(`ancestors ${event.sequence}`, chain);
    }
  }
  return answers;
}
