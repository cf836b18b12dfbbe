/**
 * Random operations on a store and on the model beside it: they must agree on every answer, whatever the options, over closing, reopening,
 * kills and power cuts, and so must a reader in another process. `BATPAK_SEED` replays a run, `BATPAK_TEST_LONG=1` makes many.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { isStoreError } from "../../src/base/store-error.ts";
import type { BatchItem } from "../../src/events/append-types.ts";
import type { Receipt } from "../../src/events/event.ts";
import type { Filter } from "../../src/events/query.ts";
import { Store } from "../../src/store.ts";
import type { Layout, StoreOptions } from "../../src/store-options.ts";
import { seededRandom } from "../../src/testing/seeded-random.ts";
import { SimulatedDisk } from "../../src/testing/sim-disk.ts";
import { type Expected, type ModelEvent, type ModelItem, type Outcome, StoreModel } from "./store-model.ts";

const LONG = process.env.BATPAK_TEST_LONG === "1";
const SEEDS =
  process.env.BATPAK_SEED === undefined ? Array.from({ length: LONG ? 40 : 2 }, (_, i) => 1 + i) : [Number(process.env.BATPAK_SEED)];
const STEPS = LONG ? 400 : 120;
const DIRECTORY = "/store";
const READER_PID = 2000;

/** An append that is under way, and what it must come to. */
interface Begun {
  readonly outcome: Outcome;
  readonly receipts: Promise<readonly Receipt[]>;
}

class Run {
  readonly model = new StoreModel();
  readonly #random: () => number;
  readonly #options: StoreOptions;
  #disk = new SimulatedDisk();
  #store: Store | null = null;
  #reader: Store | null = null;
  /** Events before this sequence survive a power cut. */
  #durable = 0;
  #number = 0;
  readonly #keyed: (readonly ModelItem[])[] = [];
  steps = 0;

  constructor(seed: number, options: StoreOptions) {
    this.#random = seededRandom(seed);
    this.#options = options;
  }

  #below(bound: number): number {
    return Math.floor(this.#random() * bound);
  }

  #chance(share: number): boolean {
    return this.#random() < share;
  }

  get #open(): Store {
    assert.ok(this.#store !== null, "the run has opened its store");
    return this.#store;
  }

  async run(steps: number): Promise<void> {
    await this.#reopen();
    for (; this.steps < steps; this.steps++) await this.#step();
    await this.#open.close();
    await this.#reader?.close();
    assert.equal(this.#disk.openFileCount, 0, "files were left open");
  }

  async #step(): Promise<void> {
    const choice = this.#random();
    if (choice < 0.5) await this.#settle(this.#appendSome());
    else if (choice < 0.8) await this.#readSome(this.#open, this.model.events.length);
    else if (choice < 0.87) await this.#readBeside();
    else if (choice < 0.9) await this.#sync();
    else if (choice < 0.92) await this.#open.checkpoint();
    else if (choice < 0.95) await this.#closeAndReopen();
    else await this.#crash(this.#chance(0.6));
  }

  // Appending.

  /** Begins appends, without waiting; gives what each must come to. */
  #appendSome(): Begun[] {
    const count = this.#chance(0.3) ? 1 + this.#below(12) : 1;
    const begun: Begun[] = [];
    for (let i = 0; i < count; i++) {
      const retried = this.#keyed[this.#below(this.#keyed.length)];
      const items = retried !== undefined && this.#chance(0.15) ? retried : this.#newItems();
      if (items.some(({ key }) => key !== undefined)) this.#keyed.push(items);
      const receipts = this.#append(items);
      // Looked at in order, later: until then a rejection is nobody's.
      receipts.catch(() => {});
      begun.push({ outcome: this.model.append(items), receipts });
    }
    return begun;
  }

  #newItems(): ModelItem[] {
    const count = this.#chance(0.25) ? 1 + this.#below(6) : 1;
    const used = new Set<string>();
    return Array.from({ length: count }, () => {
      const entity = `entity:${this.#below(6)}`;
      const key = `key:${this.#below(40)}`;
      const isKeyed = this.#chance(0.15) && !used.has(entity + key);
      if (isKeyed) used.add(entity + key);
      const known = this.model.events.filter(({ id }) => id !== "");
      const cause = known[this.#below(known.length)]?.sequence;
      return {
        entity,
        scope: `scope:${this.#below(3)}`,
        kind: this.#chance(0.7) ? 0x1000 + this.#below(3) : 0x2000 + this.#below(2),
        data: { number: this.#number++, pad: "p".repeat(this.#below(this.#chance(0.1) ? 3000 : 60)) },
        ...(isKeyed ? { key } : {}),
        ...(cause !== undefined && this.#chance(0.2) ? { cause } : {}),
        ...(this.#chance(0.25) ? { expect: this.#expectation(entity) } : {}),
      };
    });
  }

  #expectation(entity: string): Expected {
    const choice = this.#below(4);
    if (choice === 0) return "none";
    if (choice === 1) return "exists";
    if (choice === 2) return { clock: Math.max(0, this.model.clockOf(entity) - (this.#chance(0.3) ? 1 : 0)) };
    const after = this.model.events.length - this.#below(8);
    // The model learns the time of an event only with its receipt: too late for a condition beside it.
    const { time: _, ...noneMatching } = this.#filter();
    return { noneMatching, ...(this.#chance(0.8) ? { after: Math.max(-1, after) } : {}) };
  }

  async #append(items: readonly ModelItem[]): Promise<readonly Receipt[]> {
    const given = items.map(({ entity, scope, kind, data, key, expect, cause }): BatchItem => {
      const causedBy = cause === undefined ? undefined : this.model.events[cause]?.id;
      return {
        coordinate: { entity, scope },
        event: { kind, data },
        ...(key === undefined ? {} : { idempotencyKey: key }),
        ...(expect === undefined ? {} : { expect }),
        ...(causedBy === undefined ? {} : { causedBy }),
      };
    });
    const [only] = given;
    if (given.length > 1 || only === undefined) return await this.#open.appendBatch(given);
    const { coordinate, event, ...rest } = only;
    return [await this.#open.append(coordinate, event, rest)];
  }

  /** Waits for appends and compares what they came to. */
  async #settle(begun: readonly Begun[]): Promise<void> {
    for (const { outcome, receipts } of begun) {
      const result = await receipts.catch((error: unknown) => error);
      if (outcome.code !== null) {
        assert.ok(isStoreError(result, outcome.code), `an append was to reject with ${outcome.code} and came to ${JSON.stringify(result)}`);
        continue;
      }
      assert.ok(Array.isArray(result), `an append was to succeed and came to ${String(result)}`);
      this.#take(outcome.events, result as readonly Receipt[]);
    }
  }

  #take(events: readonly ModelEvent[], receipts: readonly Receipt[]): void {
    assert.deepEqual(
      receipts.map(({ sequence, clock }) => ({ sequence, clock })),
      events.map(({ sequence, clock }) => ({ sequence, clock })),
    );
    receipts.forEach(({ id, hash, timestamp, durable }, i) => {
      const event = events[i] as ModelEvent;
      if (event.id !== "") assert.deepEqual({ id, hash, timestamp }, { id: event.id, hash: event.hash, timestamp: event.timestamp });
      Object.assign(event, { id, hash, timestamp });
      if (durable) this.#durable = Math.max(this.#durable, event.sequence + 1);
    });
  }

  // Reading.

  #filter(): Filter {
    const known = this.model.events.filter(({ id }) => id !== "");
    const some = known[this.#below(known.length)];
    const near = (value: number): number => value - 3 + this.#below(7);
    const range = (value: number): object => ({
      ...(this.#chance(0.6) ? (this.#chance(0.5) ? { from: near(value) } : { after: near(value) }) : {}),
      ...(this.#chance(0.4) ? (this.#chance(0.5) ? { to: near(value) } : { before: near(value) }) : {}),
    });
    return {
      ...(this.#chance(0.35) ? { entity: `entity:${this.#below(8)}` } : {}),
      ...(this.#chance(0.1) ? { entityPrefix: ["entity", "entity:1", "x"][this.#below(3)] as string } : {}),
      ...(this.#chance(0.25) ? { scope: `scope:${this.#below(4)}` } : {}),
      ...(this.#chance(0.2) ? { kind: this.#chance(0.5) ? 0x1000 : [0x1001, 0x2000, 0x1000] } : {}),
      ...(this.#chance(0.1) ? { category: 1 + this.#below(3) } : {}),
      ...(some !== undefined && this.#chance(0.1) ? { correlation: this.model.rootOf(some).id } : {}),
      ...(some !== undefined && this.#chance(0.1) ? { causedBy: some.id } : {}),
      ...(this.#chance(0.15) ? { clock: range(this.#below(20)) } : {}),
      ...(this.#chance(0.15) ? { sequence: range(this.#below(this.model.events.length + 4)) } : {}),
      ...(some !== undefined && this.#chance(0.1) ? { time: range(some.timestamp) } : {}),
    };
  }

  /** Reads by random queries, counts, gets and heads. `bound`: only events before it are visible. */
  async #readSome(store: Store, bound: number): Promise<void> {
    const visible = this.model.events.slice(0, bound);
    const query = this.#chance(0.1) ? undefined : this.#chance(0.8) ? this.#filter() : [this.#filter(), this.#filter()];
    const filters: readonly Filter[] = query === undefined ? [{}] : Array.isArray(query) ? (query as Filter[]) : [query as Filter];
    const matching = visible.filter((event) => filters.some((filter) => this.model.matches(event, filter)));
    const backward = this.#chance(0.4);
    const limit = this.#chance(0.4) ? this.#below(9) : undefined;
    const after = this.#chance(0.3) ? this.#below(bound + 2) : undefined;
    const wanted = (backward ? matching.toReversed() : matching)
      .filter(({ sequence }) => after === undefined || (backward ? sequence < after : sequence > after))
      .slice(0, limit);
    const options = {
      direction: backward ? ("backward" as const) : ("forward" as const),
      ...(limit === undefined ? {} : { limit }),
      ...(after === undefined ? {} : { after }),
    };
    const asked = JSON.stringify({ query, options });
    const read = await store.read(query, options).toArray();
    assert.deepEqual(
      read.map(({ sequence, clock, entity, scope, kind, id, hash, timestamp, causationId, correlationId, data }) => ({
        sequence,
        clock,
        entity,
        scope,
        kind,
        id,
        hash,
        timestamp,
        causationId,
        correlationId,
        data,
      })),
      wanted.map((event) => this.#full(event)),
      `read ${asked}`,
    );
    assert.equal(await store.count(query), matching.length, `count ${asked}`);
    const one = visible[this.#below(visible.length)];
    if (one === undefined) return;
    assert.equal((await store.get(one.id))?.sequence, one.sequence, `get of event ${one.sequence}`);
    const head = visible.findLast((event) => event.entity === one.entity) as ModelEvent;
    const { clock, sequence, hash, id, timestamp } = head;
    assert.deepEqual(await store.head(one.entity), { clock, sequence, hash, id, timestamp }, `head of ${one.entity}`);
  }

  #full(event: ModelEvent): object {
    const { cause, ...rest } = event;
    return { ...rest, causationId: cause < 0 ? null : this.model.events[cause]?.id, correlationId: this.model.rootOf(event).id };
  }

  /** A reader of another process sees what is visible, and while appends are in flight a whole part of it. */
  async #readBeside(): Promise<void> {
    const visibleBefore = this.model.events.length;
    this.#reader ??= await Store.open(DIRECTORY, { readOnly: true, disk: this.#disk.asProcess(READER_PID) });
    const begun = this.#chance(0.5) ? this.#appendSome() : [];
    const seen = await this.#reader.refresh();
    await this.#settle(begun);
    assert.ok(seen >= visibleBefore, `a reader was behind: it saw ${seen} of ${visibleBefore} events`);
    assert.ok(this.model.boundaries.includes(seen), `a reader saw part of a batch: ${seen} events`);
    await this.#readSome(this.#reader, seen);
  }

  // Closing, crashing, opening.

  async #sync(): Promise<void> {
    const visible = this.model.events.length;
    await this.#open.sync();
    this.#durable = visible;
  }

  async #closeAndReopen(): Promise<void> {
    const begun = this.#chance(0.5) ? this.#appendSome() : [];
    // What has its place in the order is drained; the condition that waits for a look at the disk may have none yet.
    await this.#settle(begun);
    await this.#open.close();
    this.#durable = this.model.events.length;
    await this.#reopen();
    assert.equal(this.#open.openReport.cut, null, "a clean close left a torn tail");
  }

  async #crash(powerCut: boolean): Promise<void> {
    const visible = this.model.events.length;
    const begun = this.#chance(0.8) ? this.#appendSome() : [];
    for (let turns = this.#below(4); turns > 0; turns--) await new Promise((resolve) => setImmediate(resolve));
    const settled = begun.map(({ receipts }) => receipts.catch((error: unknown) => error));
    const before = this.#disk;
    if (powerCut) before.crashNow();
    else before.kill();
    const results = await Promise.all(settled);
    await this.#open.close().catch(() => {});
    if (this.#reader !== null) await this.#reader.close().catch(() => {});
    this.#reader = null;
    // What was acknowledged before the lights went out must be there.
    begun.forEach(({ outcome }, i) => {
      const result = results[i];
      if (outcome.code === null && Array.isArray(result)) this.#take(outcome.events, result as readonly Receipt[]);
    });
    const acknowledged = this.model.events.findLastIndex(({ id }) => id !== "") + 1;
    if (powerCut) this.#disk = [...before.possibleDisks({ limit: 4, seed: this.#below(1000) })].at(-1) as SimulatedDisk;
    else this.#disk = before.diskAfterKill();
    await this.#reopen();
    const found = await this.#open.read().toArray();
    const least = powerCut ? this.#durable : Math.max(visible, acknowledged);
    assert.ok(found.length >= least, `${found.length} events are left, ${least} were acknowledged (power cut: ${powerCut})`);
    assert.ok(this.model.boundaries.includes(found.length), `a batch is there in part: ${found.length} events`);
    found.forEach(({ id, hash, timestamp }, sequence) => {
      const event = this.model.events[sequence] as ModelEvent;
      if (event.id !== "") assert.deepEqual({ id, hash }, { id: event.id, hash: event.hash }, `event ${sequence} has changed`);
      Object.assign(event, { id, hash, timestamp });
    });
    this.model.cutTo(found.length);
    this.#durable = found.length;
    await this.#readSome(this.#open, found.length);
  }

  async #reopen(): Promise<void> {
    this.#store = await Store.open(DIRECTORY, { ...this.#options, disk: this.#disk });
    assert.equal(this.#open.openReport.problems.length, 0);
  }
}

const VARIANTS: readonly (readonly [string, StoreOptions])[] = [
  ["small segments, small cache", { segmentBytesMax: 4096, indexCacheBytes: 64 * 1024 }],
  ["checkpoint after every event", { segmentBytesMax: 16 * 1024, checkpoint: { everyEvents: 1 } }],
  ["os durability, no checkpoint", { segmentBytesMax: 8192, durability: "os", checkpoint: false }],
  ["interval durability", { segmentBytesMax: 8192, durability: { everyMs: 1, everyEvents: 7 }, checkpoint: { everyEvents: 20 } }],
  ["one segment", { segmentBytesMax: 256 * 1024 }],
  ["batpak 0.3, small segments", { segmentBytesMax: 4096, layout: "batpak-0.3" }],
];

/** Any of them may meet any other; the answers must be the same. */
function randomOptions(seed: number, layout: Layout): StoreOptions {
  const random = seededRandom(seed ^ 0x0a7);
  const one = <Value>(values: readonly Value[]): Value => values[Math.floor(random() * values.length)] as Value;
  return {
    layout,
    segmentBytesMax: one([4096, 8192, 16 * 1024, 64 * 1024, 1024 * 1024]),
    indexCacheBytes: one([64 * 1024, 256 * 1024, 16 * 1024 * 1024]),
    durability: one(["fsync", "os", { everyMs: 1, everyEvents: 3 }, { everyMs: 50, everyEvents: 100 }] as const),
    checkpoint: one([false, { everyEvents: 1 }, { everyEvents: 9 }, { everyEvents: 100_000 }] as const),
    queuedBytesMax: one([64 * 1024, 64 * 1024 * 1024]),
  };
}

// The same work with the same options in both layouts: what answers like the model in one answers like the other.
const RANDOM = (["native", "batpak-0.3"] as const).map(
  (layout) => [`random options, ${layout}`, (seed: number) => randomOptions(seed, layout)] as const,
);

for (const [name, given] of [...VARIANTS, ...RANDOM]) {
  test(`a store answers like the model: ${name}`, async () => {
    for (const seed of SEEDS) {
      const options = typeof given === "function" ? given(seed) : given;
      const run = new Run(seed, options);
      try {
        await run.run(STEPS);
      } catch (error) {
        throw new Error(`seed ${seed}, step ${run.steps}, ${name} ${JSON.stringify(options)}: ${String(error)}`, { cause: error });
      }
    }
    console.log(`model: ${SEEDS.length} runs of ${STEPS} steps, seeds ${SEEDS.join(", ")}: ${name}`);
  });
}
