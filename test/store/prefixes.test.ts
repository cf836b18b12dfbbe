/** Queries by prefixes of entities: the same answers whether names are in order yet or not, and little to look at once they are. */
import assert from "node:assert/strict";
import { randomInt } from "node:crypto";
import { test } from "node:test";
import { isStoreError } from "../../src/base/store-error.ts";
import { rawEvent } from "../../src/events/definition.ts";
import type { TypedEvent } from "../../src/events/event.ts";
import { ActiveSegmentIndex } from "../../src/index/active-segment-index.ts";
import { SealedSegmentIndex } from "../../src/index/sealed-segment-index.ts";
import { Store } from "../../src/store.ts";
import { createMemoryDisk } from "../../src/testing/memory-disk.ts";
import { seededRandom } from "../../src/testing/seeded-random.ts";

const KINDS = [0xf001, 0xf002, 0xf003];

interface PrefixFilter {
  entity?: string;
  entityPrefix?: string;
  scope?: string;
  kind?: number;
  clock?: { from: number; to: number };
  sequence?: { from: number; to: number };
  correlation?: string;
}

function matches(filter: PrefixFilter, event: TypedEvent): boolean {
  const { entity, entityPrefix, scope, kind, clock, sequence, correlation } = filter;
  return (
    (entity === undefined || event.entity === entity) &&
    (entityPrefix === undefined || event.entity.startsWith(entityPrefix)) &&
    (scope === undefined || event.scope === scope) &&
    (kind === undefined || event.kind === kind) &&
    (clock === undefined || (event.clock >= clock.from && event.clock <= clock.to)) &&
    (sequence === undefined || (event.sequence >= sequence.from && event.sequence <= sequence.to)) &&
    (correlation === undefined || event.correlationId === correlation)
  );
}

const sequencesOf = (events: readonly TypedEvent[]): number[] => events.map(({ sequence }) => sequence);

/** What is random in the test below. */
class Choice {
  readonly #random: () => number;

  constructor(seed: number) {
    this.#random = seededRandom(seed);
  }

  below(limit: number): number {
    return Math.floor(this.#random() * limit);
  }

  of<Value>(values: readonly Value[]): Value {
    return values[this.below(values.length)];
  }

  letters(): string {
    const letters = ["a", "b", "c", "é", "è", "中", "丮", "😀", "😁", ":", "\u{10ffff}"];
    return this.of(letters) + this.of(letters);
  }

  filter(all: readonly TypedEvent[]): PrefixFilter {
    const { entity, scope, correlationId, sequence } = this.of(all);
    const points = Array.from(entity);
    const entityPrefix = this.below(12) === 0 ? "nobody" : points.slice(0, 1 + this.below(points.length)).join("");
    const filter: PrefixFilter = this.below(8) === 0 ? { entity } : { entityPrefix };
    if (this.below(4) === 0) filter.scope = scope;
    if (this.below(4) === 0) filter.kind = this.of(KINDS);
    if (this.below(6) === 0) filter.clock = { from: 0, to: this.below(4) };
    if (this.below(6) === 0) filter.sequence = { from: sequence - this.below(500), to: sequence + this.below(500) };
    if (this.below(6) === 0) filter.correlation = correlationId;
    return filter;
  }
}

async function fill(store: Store, choice: Choice, batches: number): Promise<void> {
  for (let batch = 0; batch < batches; batch++) {
    await store.appendBatch(
      Array.from({ length: 100 }, () => ({
        coordinate: { entity: `${choice.letters()}${choice.below(12)}`, scope: `shop:${choice.below(3)}` },
        event: rawEvent(choice.of(KINDS), { pad: "p".repeat(choice.below(40)) }),
      })),
    );
  }
}

async function compare(store: Store, choice: Choice, questions: number): Promise<void> {
  const all = await store.read().toArray();
  for (let question = 0; question < questions; question++) {
    const filters = Array.from({ length: choice.below(3) === 0 ? 3 : 1 }, () => choice.filter(all));
    const query = filters.length === 1 ? filters[0] : filters;
    const expected = sequencesOf(all.filter((event) => filters.some((filter) => matches(filter, event))));
    const what = JSON.stringify(query);
    assert.deepEqual(sequencesOf(await store.read(query).toArray()), expected, what);
    assert.equal(await store.count(query), expected.length, what);
    const limit = choice.below(5);
    const after = choice.of(all).sequence;
    const behind = await store.read(query, { after, limit }).toArray();
    assert.deepEqual(sequencesOf(behind), expected.filter((sequence) => sequence > after).slice(0, limit), what);
    const backward = expected.toReversed();
    assert.deepEqual(sequencesOf(await store.read(query, { direction: "backward" }).toArray()), backward, what);
    const before = await store.read(query, { direction: "backward", after, limit }).toArray();
    assert.deepEqual(sequencesOf(before), backward.filter((sequence) => sequence < after).slice(0, limit), what);
  }
}

test("every query by prefixes is what a plain filter gives: in one segment and many, compacted, opened anew, with names in between", async () => {
  const seed = randomInt(1 << 30);
  console.log(`seed ${seed}`);
  const choice = new Choice(seed);
  const disk = createMemoryDisk();
  const options = { disk, segmentBytesMax: 96 * 1024 };
  let store: Store = await Store.open("/store", options);
  for (let round = 0; round < 5; round++) {
    await fill(store, choice, 5);
    await compare(store, choice, 25);
  }
  await store.compact({ keep: ({ sequence }) => sequence % 3 !== 0 });
  await compare(store, choice, 40);
  await fill(store, choice, 2);
  await compare(store, choice, 20);
  await store.close();
  for (const how of [{ readOnly: true }, { indexCacheBytes: 64 * 1024 }]) {
    store = await Store.open("/store", { ...options, ...how });
    await compare(store, choice, 40);
    await store.close();
  }
});

/** Entities of two thousand tenants, ten each, more than are looked through at once, asked for until they are in order. */
async function inOrder(): Promise<Store> {
  const store = await Store.open("/store", { disk: createMemoryDisk(), segmentBytesMax: 1 << 20 });
  for (let n = 0; n < 40_000; n += 1000) {
    await store.appendBatch(
      Array.from({ length: 1000 }, (_, i) => ({
        coordinate: { entity: `tenant:${String((n + i) % 2000).padStart(4, "0")}:order:${Math.floor(n / 2000) % 10}`, scope: "shop" },
        event: rawEvent(0xf001, { n: n + i }),
      })),
    );
  }
  for (let question = 0; question < 16; question++) assert.equal(await store.count({ entityPrefix: "tenant:0777:" }), 20);
  return store;
}

test("once names are in order, a prefix of few neither goes through the names of a segment nor through its rows", async () => {
  const store = await inOrder();
  assert.ok((await store.stats()).segments >= 3);
  const looks = { names: 0, pages: 0 };
  const restore = [ActiveSegmentIndex.prototype, SealedSegmentIndex.prototype].map((index) => {
    const { markPrefixes, chunkValues } = index;
    Object.assign(index, {
      markPrefixes(this: ActiveSegmentIndex, ...given: Parameters<typeof markPrefixes>) {
        looks.names++;
        return (markPrefixes as ActiveSegmentIndex["markPrefixes"]).apply(this, given);
      },
      chunkValues(this: ActiveSegmentIndex, ...given: Parameters<typeof chunkValues>) {
        looks.pages++;
        return (chunkValues as ActiveSegmentIndex["chunkValues"]).apply(this, given);
      },
    });
    return () => Object.assign(index, { markPrefixes, chunkValues });
  });
  try {
    const query = { entityPrefix: "tenant:0123:" };
    assert.equal((await store.read(query).toArray()).length, 20);
    assert.equal((await store.read(query, { direction: "backward", limit: 1 }).toArray()).length, 1);
    assert.equal(await store.count(query), 20);
    assert.equal(await store.count({ entityPrefix: "tenant:none" }), 0);
    assert.deepEqual(looks, { names: 0, pages: 0 });
    // A kind is looked up for the rows of these alone.
    assert.equal(await store.count({ ...query, kind: 0xf001 }), 20);
    assert.equal(looks.names, 0);
    assert.ok(looks.pages <= 20, `${looks.pages} looks at columns`);
  } finally {
    for (const put of restore) put();
  }
  await store.close();
});

test("a read ends at what was visible when it began, and who looks again later finds entities that are new", async () => {
  const store = await inOrder();
  const query = { entityPrefix: "tenant:0123:" };
  const append = (entity: string): Promise<unknown> => store.append({ entity, scope: "shop" }, rawEvent(0xf001, { n: -1 }));
  const readings = [store.read(query), store.read(query, { direction: "backward" })];
  const begun = readings.map((reading) => reading[Symbol.asyncIterator]());
  for (const reading of begun) await reading.next();
  const followed: string[] = [];
  const following = (async () => {
    for await (const { entity } of store.subscribe(query, { after: "end" })) if (followed.push(entity) === 3) break;
  })();
  await append("tenant:0123:new");
  for (const reading of begun) {
    let left = 0;
    while ((await reading.next()).done !== true) left++;
    assert.equal(left, 19);
  }
  for (const reading of readings) assert.equal((await reading.toArray()).length, 20);
  assert.equal(await store.count(query), 21);
  await append("tenant:0123:newer");
  await append("tenant:0123:newest");
  await following;
  assert.deepEqual(followed, ["tenant:0123:new", "tenant:0123:newer", "tenant:0123:newest"]);
  await store.close();
});

test("no event of an entity that was accepted a moment ago is missed by a condition", async () => {
  const store = await inOrder();
  const append = (entity: string, entityPrefix: string): Promise<unknown> =>
    store.append({ entity, scope: "shop" }, rawEvent(0xf001, { n: -1 }), { expect: { noneMatching: { entityPrefix } } });
  const conflict = (error: unknown): boolean => isStoreError(error, "CONFLICT");
  await append("tenant:new:1", "tenant:new:");
  await assert.rejects(append("tenant:new:2", "tenant:new:"), conflict);
  // Judged one after the other before the first is visible.
  const answers = await Promise.allSettled([append("late:1", "late:"), append("late:2", "late:"), append("later:1", "later:")]);
  assert.deepEqual(
    answers.map(({ status }) => status),
    ["fulfilled", "rejected", "fulfilled"],
  );
  assert.ok(answers[1].status === "rejected" && conflict(answers[1].reason));
  await store.close();
});
