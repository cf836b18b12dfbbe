/** Streams of entities among many segments: every part of them is what a plain filter gives, and few segments are looked at for it. */
import assert from "node:assert/strict";
import { randomInt } from "node:crypto";
import { describe, test } from "node:test";
import { rawEvent } from "../../src/events/definition.ts";
import type { ReadOptions } from "../../src/events/query.ts";
import type { TypedEvent } from "../../src/events/event.ts";
import { Store } from "../../src/store.ts";
import { createMemoryDisk } from "../../src/testing/memory-disk.ts";
import { seededRandom } from "../../src/testing/seeded-random.ts";

/** How often each entity has an event: in nearly each segment, in some, in hardly any. */
const SHARES: Readonly<Record<string, number>> = { everywhere: 0.5, often: 0.05, seldom: 0.004, hardly: 0.0005 };
const ENTITIES = [...Object.keys(SHARES), "early", "late", "others"];

interface StreamQuery {
  entity: string;
  clock?: { from?: number; to?: number };
  sequence?: { from?: number; to?: number };
}

function entityOf(random: () => number, n: number, events: number): string {
  if (n < events / 20 && random() < 0.1) return "early";
  if (n > (events * 19) / 20 && random() < 0.1) return "late";
  const share = random();
  let below = 0;
  for (const [entity, of] of Object.entries(SHARES)) if (share < (below += of)) return entity;
  return "others";
}

async function fill(store: Store, random: () => number, events: number): Promise<void> {
  for (let n = 0; n < events; n += 20) {
    await store.appendBatch(
      Array.from({ length: 20 }, (_, i) => ({
        coordinate: { entity: entityOf(random, n + i, events), scope: "s" },
        event: rawEvent(0xf001, n + i),
      })),
    );
  }
}

const within = (value: number, range: { from?: number; to?: number } | undefined): boolean =>
  value >= (range?.from ?? 0) && value <= (range?.to ?? Number.POSITIVE_INFINITY);
const sequencesOf = (events: readonly TypedEvent[]): number[] => events.map(({ sequence }) => sequence);

/** What is random in the test below. */
class Choice {
  readonly random: () => number;

  constructor(seed: number) {
    this.random = seededRandom(seed);
  }

  below(limit: number): number {
    return Math.floor(this.random() * limit);
  }

  of<Value>(values: readonly Value[]): Value {
    return values[this.below(values.length)]!;
  }

  range(limit: number): { from?: number; to?: number } {
    const from = this.below(limit);
    return this.of([{ from }, { to: from }, { from, to: from + this.below(limit - from) }]);
  }

  query(all: readonly TypedEvent[]): StreamQuery {
    const entity = this.random() < 0.05 ? "nobody" : this.of(ENTITIES);
    const query: StreamQuery = { entity };
    const last = all.findLast((event) => event.entity === entity);
    if (this.random() < 0.5) query.clock = this.range((last?.clock ?? 0) + 3);
    if (this.random() < 0.3) query.sequence = this.range((all.at(-1)?.sequence ?? 0) + 3);
    return query;
  }

  options(all: readonly TypedEvent[]): ReadOptions & { direction: "forward" | "backward" } {
    return {
      direction: this.of(["forward", "backward"]),
      ...(this.random() < 0.5 ? { limit: 1 + this.below(20) } : {}),
      ...(this.random() < 0.3 ? { after: this.of(all).sequence } : {}),
    };
  }
}

async function compare(store: Store, choice: Choice, questions: number): Promise<void> {
  const all = await store.read().toArray();
  for (let question = 0; question < questions; question++) {
    const filters = Array.from({ length: choice.below(3) > 0 ? 1 : 2 + choice.below(3) }, () => choice.query(all));
    const options = choice.options(all);
    const { after, direction, limit } = options;
    const matches = ({ entity, clock, sequence }: TypedEvent): boolean =>
      filters.some((filter) => filter.entity === entity && within(clock, filter.clock) && within(sequence, filter.sequence));
    const found = sequencesOf(all.filter(matches));
    const ordered = direction === "forward" ? found : found.toReversed();
    const isBehind = (sequence: number): boolean => after === undefined || (direction === "forward" ? sequence > after : sequence < after);
    const expected = ordered.filter(isBehind).slice(0, limit ?? ordered.length);
    const what = JSON.stringify({ filters, options });
    assert.deepEqual(sequencesOf(await store.read(filters, options).toArray()), expected, what);
    assert.equal(await store.count(filters), found.length, what);
  }
}

test("every part of a stream is what a plain filter gives: among many segments, opened anew, compacted, read only", {
  timeout: 240_000,
}, async () => {
  const seed = randomInt(1 << 30);
  console.log(`seed ${seed}`);
  const choice = new Choice(seed);
  const disk = createMemoryDisk();
  const options = { disk, segmentBytesMax: 4096, durability: "os" as const };
  let store: Store = await Store.open("/store", options);
  await fill(store, choice.random, 300);
  await compare(store, choice, 60);
  await fill(store, choice.random, 6000);
  assert.ok(store.segments().length > 200);
  await compare(store, choice, 250);
  await store.close();
  for (const how of [{ indexCacheBytes: 64 * 1024 }, { readOnly: true }]) {
    store = await Store.open("/store", { ...options, ...how });
    await compare(store, choice, 100);
    await store.close();
  }
  store = await Store.open("/store", options);
  await store.compact({ keep: ({ sequence }) => sequence % 5 !== 0 || (sequence > 2000 && sequence < 2500), segmentBytesMax: 16 * 1024 });
  await store.compact({ query: { sequence: { from: 1000, to: 1800 } } });
  await compare(store, choice, 200);
  await fill(store, choice.random, 200);
  await compare(store, choice, 60);
  await store.close();
  await disk.remove("/store/index.ckpt");
  store = await Store.open("/store", options);
  await compare(store, choice, 150);
  await store.close();
});

/** How many pages of index blocks a read loads in a store that was just opened, and what it gives. */
describe("few segments of many are looked at", async () => {
  const disk = createMemoryDisk();
  const options = { disk, segmentBytesMax: 4096, durability: "os" as const };
  const filling = (async () => {
    const store = await Store.open("/store", options);
    await fill(store, seededRandom(7), 24_000);
    assert.ok(store.segments().length > 700, `${store.segments().length} segments`);
    await store.close();
  })();

  async function pagesOf(query: StreamQuery | StreamQuery[], readOptions: ReadOptions): Promise<{ pages: number; events: TypedEvent[] }> {
    await filling;
    const store = await Store.open("/store", { ...options, readOnly: true });
    const before = (await store.stats()).indexPagesLoaded;
    const events = await store.read(query, readOptions).toArray();
    const pages = (await store.stats()).indexPagesLoaded - before;
    await store.close();
    return { pages, events };
  }

  const cases: Record<string, { query: (at: TypedEvent) => StreamQuery; options: (at: TypedEvent) => ReadOptions; pages: number }> = {
    first: { query: ({ entity }) => ({ entity }), options: () => ({ limit: 5 }), pages: 30 },
    newest: { query: ({ entity }) => ({ entity }), options: () => ({ limit: 5, direction: "backward" }), pages: 30 },
    "from a clock on": { query: ({ entity, clock }) => ({ entity, clock: { from: clock } }), options: () => ({ limit: 5 }), pages: 80 },
    "before a clock": {
      query: ({ entity, clock }) => ({ entity, clock: { to: clock } }),
      options: () => ({ limit: 5, direction: "backward" }),
      pages: 80,
    },
    "behind a sequence": { query: ({ entity }) => ({ entity }), options: ({ sequence }) => ({ limit: 5, after: sequence }), pages: 40 },
    "before a sequence": {
      query: ({ entity }) => ({ entity }),
      options: ({ sequence }) => ({ limit: 5, after: sequence, direction: "backward" }),
      pages: 40,
    },
  };
  for (const [what, { query, options: readOptions, pages: most }] of Object.entries(cases)) {
    for (const entity of ["everywhere", "early", "late"]) {
      test(`${what}, of what is ${entity}`, async () => {
        const stream = (await pagesOf({ entity }, {})).events;
        const at = stream[stream.length >> 1]!;
        const { pages, events } = await pagesOf(query(at), readOptions(at));
        assert.equal(events.length, 5);
        // What begins late is found by hops from its end alone: it is in 35 segments.
        assert.ok(pages <= (entity === "late" ? 240 : most), `${pages} pages`);
      });
    }
  }
  test("of several that are everywhere, or begin early", async () => {
    const list = ["everywhere", "often", "early", "nobody"].map((entity) => ({ entity }));
    for (const direction of ["forward", "backward"] as const) {
      for (const after of [undefined, 12_000]) {
        const { pages, events } = await pagesOf(list, { limit: 5, direction, ...(after === undefined ? {} : { after }) });
        assert.equal(events.length, 5);
        // Hops of the one that ended early, backwards from there, and its looks forward.
        assert.ok(pages <= 150, `${pages} pages ${direction} after ${after}`);
      }
    }
  });
  test("the first ones of what is hardly anywhere", async () => {
    for (const entity of ["seldom", "hardly"]) {
      const stream = (await pagesOf({ entity }, {})).events;
      const { pages } = await pagesOf({ entity }, { limit: 1 });
      // A hop and a look for each segment without it, until the hops have met the looks.
      assert.ok(pages <= 10 + stream.length * 10, `${pages} pages for ${stream.length} events`);
    }
  });
});
