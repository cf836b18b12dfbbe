/**
 * Random work on an open store beside compactions, against a plain list: appends, batches, keys and their retries, reads of every sort,
 * subscriptions in this process and in a follower, all at once, on a disk that takes its time.
 *
 * What a compaction takes lies between two bounds: what the rules let go as it was called, and what they let go once it has ended. What a read
 * gives lies between what was there all the while, and what was there at any time.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { isStoreError } from "../../src/base/store-error.ts";
import type { CompactOptions } from "../../src/compacting.ts";
import type { Receipt } from "../../src/events/event.ts";
import { Store } from "../../src/store.ts";
import type { StoreOptions } from "../../src/store-options.ts";
import { createMemoryDisk } from "../../src/testing/memory-disk.ts";
import { seededRandom } from "../../src/testing/seeded-random.ts";
import { slowDisk } from "./support/slow-disk.ts";

const DIRECTORY = "/store";
const KIND = 0x1000;
const LONG = process.env.BATPAK_TEST_LONG === "1";
const ENTITIES = 7;
/** Beside the compactions of a session: the list is looked through at every read. */
const APPENDS_MAX = 120;

interface Modelled {
  readonly id: string;
  readonly sequence: number;
  readonly entity: string;
  readonly scope: string;
  readonly kind: number;
  readonly clock: number;
  readonly hash: string;
  readonly timestamp: number;
  readonly n: number;
  readonly batch: Batch;
  gone: boolean;
}

interface Batch {
  readonly items: readonly { entity: string; scope: string; kind: number; data: { n: number; pad: string }; key: string | null }[];
  receipts: readonly Receipt[];
}

interface Query {
  readonly entity?: string;
  readonly scope?: string;
  readonly kind?: number;
  readonly sequence?: { readonly from: number; readonly to: number };
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const short = ({ id, sequence, clock, hash, timestamp }: Receipt | Modelled): unknown => ({ id, sequence, clock, hash, timestamp });

/** A look that is under way already may have begun before what was acknowledged since. */
async function upToDate(follower: Store): Promise<void> {
  await follower.refresh();
  await follower.refresh();
}

class Model {
  readonly random: () => number;
  readonly events: Modelled[] = [];
  readonly batches: Batch[] = [];
  reads = 0;
  /** The rules of the compaction that is under way. */
  underWay: CompactOptions | null = null;
  #n = 0;

  constructor(seed: number) {
    this.random = seededRandom(seed);
  }

  pick(count: number): number {
    return Math.floor(this.random() * count);
  }

  async append(store: Store): Promise<void> {
    const count = this.pick(3) === 0 ? 2 + this.pick(4) : 1;
    const keyed = this.pick(3) === 0;
    const items = Array.from({ length: count }, () => {
      const n = this.#n++;
      const key = keyed && this.pick(2) === 0 ? `key-${n}` : null;
      const data = { n, pad: "x".repeat(this.pick(400)) };
      return { entity: `e:${this.pick(ENTITIES)}`, scope: `s:${this.pick(3)}`, kind: KIND + this.pick(2), data, key };
    });
    const batch: Batch = { items, receipts: [] };
    batch.receipts = await this.send(store, batch);
    this.batches.push(batch);
    for (const [i, { id, sequence, clock, hash, timestamp }] of batch.receipts.entries()) {
      const { entity, scope, kind, data } = items[i];
      this.events.push({ id, sequence, clock, hash, timestamp, entity, scope, kind, n: data.n, batch, gone: false });
    }
  }

  send(store: Store, batch: Batch): Promise<Receipt[]> {
    return store.appendBatch(
      batch.items.map(({ entity, scope, kind, data, key }) => ({
        coordinate: { entity, scope },
        event: { kind, data },
        ...(key === null ? {} : { idempotencyKey: key }),
      })),
    );
  }

  async retry(store: Store): Promise<void> {
    const keyed = this.batches.filter(({ items }) => items.some(({ key }) => key !== null));
    const batch = keyed[this.pick(keyed.length)];
    if (batch === undefined) return;
    assert.deepEqual((await this.send(store, batch)).map(short), batch.receipts.map(short), "a retry has the first receipts");
  }

  /** What these rules let go now, of events before this sequence. */
  removable(options: CompactOptions, before: number): Set<Modelled> {
    const present = this.events.filter(({ gone }) => !gone);
    const head = new Map<string, number>();
    for (const { entity, clock } of this.events) head.set(entity, Math.max(head.get(entity) ?? -1, clock));
    const issued = this.events.filter(({ id }) => id[14] === "7").sort((a, b) => b.sequence - a.sequence)[0]?.id;
    const { query, keep, keepNewerThan, keepLast } = options;
    const asked = (event: Modelled): boolean => {
      if (event.sequence >= before || event.clock === head.get(event.entity) || event.id === issued) return false;
      if (query !== undefined && !matches(query as Query, event)) return false;
      if (keepNewerThan !== undefined && event.timestamp >= Number(keepNewerThan)) return false;
      if (keepLast !== undefined) {
        const behind = present.filter((other) => other.entity === event.entity && other.clock > event.clock).length;
        if (behind < keepLast) return false;
      }
      return keep === undefined || !keep({ data: { n: event.n } } as never);
    };
    const going = new Set(present.filter(asked));
    return new Set(
      [...going].filter(({ batch }) => {
        const isKeyed = batch.items.some(({ key }) => key !== null);
        return !isKeyed || present.filter((event) => event.batch === batch).every((mate) => going.has(mate));
      }),
    );
  }

  /** Compacts, and finds what went between the two bounds. */
  async compact(store: Store, seed: number): Promise<number> {
    const keep = ({ data }: { data: unknown }): boolean => ((data as { n: number }).n * 7 + seed) % 3 !== 0;
    const middle = this.events[this.pick(this.events.length)]?.timestamp ?? 0;
    const rules: CompactOptions[] = [
      { keepLast: 1 + this.pick(10) },
      { query: { scope: `s:${this.pick(3)}` } },
      { keep },
      { keepNewerThan: middle },
      { query: { entity: `e:${this.pick(ENTITIES)}` }, keepLast: 2 },
      { query: {} },
    ];
    const options = { ...(rules[this.pick(rules.length)] as CompactOptions), segmentBytesMax: this.pick(2) === 0 ? 8192 : 65536 };
    const atLeast = this.removable(options, store.segments().at(-2)?.firstSequence ?? 0);
    this.underWay = options;
    const report = await store.compact(options);
    const atMost = this.removable(options, store.segments().at(-1)?.firstSequence ?? 0);
    const bound = this.events.length;
    const there = new Set((await store.read().toArray()).map(({ id }) => id));
    let went = 0;
    for (const event of this.events.slice(0, bound)) {
      const gone = !there.has(event.id);
      if (gone && !event.gone) {
        went++;
        assert.ok(atMost.has(event), `event ${event.sequence} went, which ${JSON.stringify(options)} keeps`);
      }
      assert.ok(gone || !event.gone, `event ${event.sequence} is there again`);
      assert.ok(gone || !atLeast.has(event), `event ${event.sequence} stayed, which ${JSON.stringify(options)} lets go`);
      event.gone = gone;
    }
    assert.equal(went, report.removedEvents);
    this.underWay = null;
    return went;
  }

  #query(): Query {
    const from = this.pick(Math.max(1, this.events.length));
    const queries: Query[] = [
      {},
      { entity: `e:${this.pick(ENTITIES)}` },
      { scope: `s:${this.pick(3)}` },
      { kind: KIND + this.pick(2) },
      { sequence: { from, to: from + 60 } },
    ];
    return queries[this.pick(queries.length)] as Query;
  }

  /** Reads beside whatever goes on. `store` may be a follower, which is behind. */
  async read(store: Store, isFollower: boolean): Promise<void> {
    const query = this.#query();
    const backward = this.pick(2) === 0;
    // Asked before a follower looks: what is acknowledged while it does may not be seen by it.
    const before = this.events.filter((event) => !event.gone && matches(query, event));
    if (isFollower) await upToDate(store);
    const slow = this.pick(3) === 0;
    const given: { sequence: number; id: string; hash: string; data: unknown }[] = [];
    if (this.pick(4) === 0) {
      const batches = store.readPlaced(query, { direction: backward ? "backward" : "forward" });
      for await (const batch of batches) {
        for (const { event } of batch) given.push(event as never);
        if (slow) await turn();
      }
    } else {
      for await (const event of store.read(query, { direction: backward ? "backward" : "forward" })) {
        given.push(event);
        if (slow && given.length % 7 === 0) await turn();
      }
    }
    if (backward) given.reverse();
    this.reads++;
    this.#checkGiven(given, before, query);
  }

  #checkGiven(
    given: readonly { sequence: number; id: string; hash: string; data: unknown }[],
    before: readonly Modelled[],
    query: Query,
  ): void {
    const known = new Map(this.events.map((event) => [event.id, event]));
    let last = -1;
    for (const { sequence, id, hash, data } of given) {
      assert.ok(sequence > last, `in order, each once: ${sequence} after ${last}`);
      last = sequence;
      const event = known.get(id);
      // Not acknowledged yet.
      if (event === undefined) continue;
      assert.ok(matches(query, event), "what was not asked for");
      assert.deepEqual([sequence, hash, (data as { n: number }).n], [event.sequence, event.hash, event.n]);
    }
    const ids = new Set(given.map(({ id }) => id));
    const passing = this.underWay === null ? new Set<Modelled>() : this.removable(this.underWay, Number.POSITIVE_INFINITY);
    for (const event of before) {
      assert.ok(
        ids.has(event.id) || event.gone || passing.has(event),
        `event ${event.sequence} stays, and was not given for ${JSON.stringify(query)}`,
      );
    }
  }

  async look(store: Store, isFollower: boolean): Promise<void> {
    const event = this.events[this.pick(this.events.length)];
    if (event === undefined) return;
    if (isFollower) await upToDate(store);
    const found = await store.get(event.id);
    if (found !== null) assert.deepEqual([found.hash, (found.data as { n: number }).n], [event.hash, event.n]);
    const head = await store.head(event.entity);
    assert.ok(head !== null && head.clock >= event.clock);
    const mayGo = this.underWay !== null && this.removable(this.underWay, Number.POSITIVE_INFINITY).has(event);
    if (found === null) assert.ok(event.gone || mayGo, `event ${event.sequence} is not found`);
    else assert.ok(isFollower || !event.gone, `event ${event.sequence} is there again`);
  }

  /** At rest: everything is as the list says. */
  async checkAll(store: Store): Promise<void> {
    const present = this.events.filter(({ gone }) => !gone).sort((a, b) => a.sequence - b.sequence);
    assert.deepEqual((await store.read().toArray()).map(short as never), present.map(short));
    assert.deepEqual((await store.read({}, { direction: "backward" }).toArray()).reverse().map(short as never), present.map(short));
    assert.equal(await store.count(), present.length);
    for (let e = 0; e < ENTITIES; e++) {
      const entity = `e:${e}`;
      const own = present.filter((event) => event.entity === entity);
      assert.deepEqual((await store.read({ entity }).toArray()).map(short as never), own.map(short));
      assert.equal((await store.head(entity))?.hash, own.at(-1)?.hash);
    }
    const scopes = [...new Set(present.map(({ scope }) => scope))].sort();
    assert.deepEqual((await store.scopes().toArray()).sort(), scopes);
    for (const scope of scopes) assert.equal(await store.count({ scope }), present.filter((event) => event.scope === scope).length);
    const verified = await store.verify();
    assert.deepEqual(verified.problems, []);
    assert.equal(verified.removed, this.events.length - present.length);
  }
}

function matches({ entity, scope, kind, sequence }: Query, event: Modelled): boolean {
  return (
    (entity === undefined || event.entity === entity) &&
    (scope === undefined || event.scope === scope) &&
    (kind === undefined || event.kind === kind) &&
    (sequence === undefined || (event.sequence >= sequence.from && event.sequence <= sequence.to))
  );
}

/** Follows until closed; what it was given is in order and lacks nothing that stayed. */
function follow(store: Store, model: Model): { end(): Promise<void> } {
  const seen = new Map<string, number>();
  let last = -1;
  const following = (async () => {
    for await (const { id, sequence } of store.subscribe()) {
      assert.ok(sequence > last, `a subscriber was given ${sequence} after ${last}`);
      last = sequence;
      seen.set(id, sequence);
      if (sequence % 16 === 0) await turn();
    }
  })();
  following.catch(() => {});
  return {
    async end() {
      const newest = Math.max(...model.events.filter(({ gone }) => !gone).map(({ sequence }) => sequence));
      while (last < newest) await Promise.race([new Promise((resolve) => setTimeout(resolve, 1)), following]);
      await store.close();
      await following;
      for (const { id, sequence, gone } of model.events) assert.ok(gone || seen.has(id), `a subscriber missed event ${sequence}`);
    },
  };
}

const drawn = Date.now() % 1_000_000;
const seeds = process.env.BATPAK_SEED === undefined ? [1, drawn] : [Number(process.env.BATPAK_SEED)];
if (LONG && process.env.BATPAK_SEED === undefined) for (let more = 2; more < 40; more++) seeds.push(more, drawn + more);
for (const seed of seeds) {
  test(`random work beside compactions, seed ${seed}`, { timeout: 120_000 }, async (context) => {
    context.diagnostic(`seed ${seed} (BATPAK_SEED replays it)`);
    const model = new Model(seed);
    const memory = createMemoryDisk();
    const disk = slowDisk(memory, () => model.pick(3));
    const durabilities: StoreOptions["durability"][] = ["fsync", "os", { everyMs: 5, everyEvents: 20 }];
    const options: StoreOptions = {
      segmentBytesMax: 8192,
      indexCacheBytes: model.pick(2) === 0 ? 1024 * 1024 : 64 * 1024 * 1024,
      checkpoint: model.pick(3) === 0 ? false : { everyEvents: 50 },
      durability: durabilities[model.pick(3)] as "fsync",
    };
    let removed = 0;
    for (let session = 0; session < 2; session++) {
      const store = await Store.open(DIRECTORY, { ...options, disk });
      for (let i = 0; i < 40; i++) await model.append(store);
      const follower = await Store.open(DIRECTORY, { disk, readOnly: true });
      const reader = await Store.open(DIRECTORY, { disk, readOnly: true });
      const followed = follow(follower, model);
      let working = true;
      const actor = async (work: () => Promise<void>): Promise<void> => {
        while (working) {
          await work();
          for (let i = model.pick(4); i >= 0; i--) await turn();
        }
      };
      let appends = 0;
      const appendOne = async (): Promise<void> => {
        if (appends++ < APPENDS_MAX) await model.append(store);
      };
      const failed: unknown[] = [];
      const note = (error: unknown): void => void failed.push(error);
      const beside = [
        actor(() => appendOne()),
        actor(() => appendOne()),
        actor(() => model.retry(store)),
        actor(() => model.read(store, false)),
        actor(() => model.read(reader, true)),
        actor(() => model.look(store, false)),
        actor(() => model.look(reader, true)),
        actor(async () => assert.deepEqual((await store.verify()).problems, [])),
        actor(async () => assert.deepEqual((await reader.verify()).problems, [])),
      ].map((work) => work.catch(note));
      try {
        for (let round = 0; round < 4 && failed.length === 0; round++) {
          removed += await model.compact(store, seed + round);
          for (let i = 0; i < 20; i++) await turn();
        }
      } catch (error) {
        failed.push(error);
      }
      working = false;
      await Promise.all(beside);
      if (failed.length > 0) await Promise.allSettled([store, reader, follower].map((one) => one.close()));
      if (failed.length > 0) throw new Error(`seed ${seed}: ${String(failed[0])}`, { cause: failed[0] });
      await model.checkAll(store);
      await upToDate(reader);
      await model.checkAll(reader);
      await reader.close();
      // Closed while it compacts: nothing that it says of itself counts, but what is found.
      const cut = store.compact({ query: {} }).catch((error: unknown) => assert.ok(isStoreError(error, "CLOSED")));
      for (let i = model.pick(60); i > 0; i--) await turn();
      await store.close();
      await cut;
      const next = await Store.open(DIRECTORY, { ...options, disk });
      const there = new Set((await next.read().toArray()).map(({ id }) => id));
      const atMost = model.removable({ query: {} }, Number.POSITIVE_INFINITY);
      for (const event of model.events) {
        if (!there.has(event.id)) assert.ok(event.gone || atMost.has(event));
        event.gone = !there.has(event.id);
      }
      await model.checkAll(next);
      await next.close();
      await followed.end();
    }
    context.diagnostic(`${model.events.length} events, ${removed} removed, ${model.reads} reads`);
    assert.ok(removed > 0);
  });
}
