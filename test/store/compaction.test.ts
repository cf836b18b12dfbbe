/** Compaction against a simple model: what stays is as it was, what goes is recorded, and everybody is answered as before. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { isStoreError } from "../../src/base/store-error.ts";
import { type CompactOptions, compactStore } from "../../src/compaction.ts";
import { Store } from "../../src/store.ts";
import type { Receipt } from "../../src/events/event.ts";
import { createMemoryDisk } from "../../src/testing/memory-disk.ts";
import type { Disk } from "../../src/disk/disk.ts";
import { seededRandom } from "../../src/testing/seeded-random.ts";

const DIRECTORY = "/store";
const KIND = 0x1000;
const SMALL = { segmentBytesMax: 8192 } as const;

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
}

interface Batch {
  readonly items: readonly { entity: string; scope: string; kind: number; data: { n: number; pad: string }; key: string | null }[];
  receipts: readonly Receipt[];
}

class Model {
  events: Modelled[] = [];
  readonly batches: Batch[] = [];
  readonly removed: Modelled[] = [];
  readonly random: () => number;
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
      const data = { n, pad: "x".repeat(this.pick(400)) };
      const key = keyed && this.pick(2) === 0 ? `key-${n}` : null;
      return { entity: `e:${this.pick(6)}`, scope: `s:${this.pick(2)}`, kind: KIND + this.pick(2), data, key };
    });
    const batch: Batch = { items, receipts: [] };
    batch.receipts = await this.retry(store, batch);
    this.batches.push(batch);
    batch.receipts.forEach(({ id, sequence, clock, hash, timestamp }, i) => {
      const { entity, scope, kind, data } = items[i];
      this.events.push({ id, sequence, clock, hash, timestamp, entity, scope, kind, n: data.n, batch });
    });
  }

  retry(store: Store, batch: Batch, change = 0): Promise<Receipt[]> {
    return store.appendBatch(
      batch.items.map(({ entity, scope, kind, data, key }) => ({
        coordinate: { entity, scope },
        event: { kind, data: { ...data, n: data.n + change } },
        ...(key === null ? {} : { idempotencyKey: key }),
      })),
    );
  }

  /** What must go: written down once more, from what docs/compaction says. */
  expectedRemovals(newestFirst: number, options: CompactOptions, newestIssued: string): Set<Modelled> {
    const head = new Map<string, number>();
    for (const { entity, clock } of [...this.events, ...this.removed]) head.set(entity, Math.max(head.get(entity) ?? -1, clock));
    const asked = (event: Modelled): boolean => {
      const last = head.get(event.entity) as number;
      const { query, keep, keepNewerThan, keepLast } = options;
      const { scope, entity } = (query ?? {}) as { scope?: string; entity?: string };
      if (event.sequence >= newestFirst || event.clock === last || event.id === newestIssued) return false;
      if ((scope !== undefined && event.scope !== scope) || (entity !== undefined && event.entity !== entity)) return false;
      if (keepNewerThan !== undefined && event.timestamp >= Number(keepNewerThan)) return false;
      if (keepLast !== undefined && event.clock > last - keepLast) return false;
      return keep === undefined || !keep({ data: { n: event.n } } as never);
    };
    const present = new Set(this.events);
    return new Set(
      this.events.filter((event) => {
        const mates = this.events.filter(({ batch }) => batch === event.batch);
        const keyed = event.batch.items.some(({ key }) => key !== null);
        return present.has(event) && (keyed ? mates.every(asked) : asked(event));
      }),
    );
  }
}

const short = ({ id, sequence, clock, hash }: { id: string; sequence: number; clock: number; hash: string }): unknown => ({
  id,
  sequence,
  clock,
  hash,
});

async function checkAll(disk: Disk, model: Model, blocksLost = false): Promise<void> {
  for (const readOnly of [true, false]) {
    const store = await Store.open(DIRECTORY, { ...SMALL, disk, readOnly });
    assert.deepEqual((await store.read().toArray()).map(short), model.events.map(short));
    assert.deepEqual((await store.read({}, { direction: "backward" }).toArray()).map(short), model.events.map(short).reverse());
    assert.equal(await store.count(), model.events.length);
    for (let e = 0; e < 6; e++) {
      const entity = `e:${e}`;
      const own = model.events.filter((event) => event.entity === entity);
      assert.deepEqual((await store.read({ entity }).toArray()).map(short), own.map(short), entity);
      assert.deepEqual((await store.read({ entity }, { direction: "backward" }).toArray()).map(short), own.map(short).reverse());
      const head = await store.head(entity);
      assert.equal(head?.hash ?? null, own.at(-1)?.hash ?? null);
      const from = model.pick(30);
      const clocked = own.filter(({ clock }) => clock >= from);
      assert.deepEqual((await store.read({ entity, clock: { from } }).toArray()).map(short), clocked.map(short));
    }
    for (const scope of ["s:0", "s:1"]) {
      assert.equal(await store.count({ scope }), model.events.filter((event) => event.scope === scope).length);
    }
    const from = model.pick(200);
    const ranged = model.events.filter(({ sequence }) => sequence >= from && sequence <= from + 40);
    assert.deepEqual(
      (await store.read({ sequence: { from, to: from + 40 }, kind: [KIND, KIND + 1] }).toArray()).map(short),
      ranged.map(short),
    );
    for (const { id } of model.removed) assert.equal(await store.get(id), null);
    for (let i = 0; i < 10; i++) {
      const event = model.events[model.pick(model.events.length)];
      assert.equal((await store.get(event.id))?.hash, event.hash);
    }
    const verified = await store.verify();
    assert.deepEqual(
      verified.problems.filter(({ code }) => !(readOnly && blocksLost && code === "INDEX_UNUSABLE")),
      [],
    );
    assert.equal(verified.removed, model.removed.length);
    if (!readOnly) {
      for (const batch of model.batches) {
        if (batch.items.every(({ key }) => key === null)) continue;
        const plain = ({ id, sequence, clock, hash, timestamp }: Receipt): unknown => ({ id, sequence, clock, hash, timestamp });
        assert.deepEqual((await model.retry(store, batch)).map(plain), batch.receipts.map(plain), "a retry has the first receipts");
        await assert.rejects(model.retry(store, batch, 1), { code: "IDEMPOTENCY_MISMATCH" });
      }
      assert.equal(await store.count(), model.events.length, "retries add nothing");
    }
    await store.close();
  }
}

/** The index made anew: from blocks, and from frames alone. */
async function loseIndexes(disk: Disk, blocks: boolean): Promise<void> {
  const names = (await disk.list(DIRECTORY)).sort();
  const newest = names.findLast((name) => name.endsWith(".fbat"));
  for (const name of names) {
    if (name === "index.ckpt") await disk.remove(`${DIRECTORY}/${name}`);
    if (!blocks || name === newest || !name.endsWith(".fbat")) continue;
    const file = await disk.open(`${DIRECTORY}/${name}`, "write");
    const size = await file.size();
    await file.write(new Uint8Array(8), 0, 8, size - 8, false);
    await file.close();
  }
}

const seeds = process.env.COMPACTION_SEED === undefined ? [1, 2, 3, 4, 5, 6] : [Number(process.env.COMPACTION_SEED)];
for (const seed of seeds) {
  test(`random appends and compactions, seed ${seed}: everything is as the model says`, async () => {
    const disk = createMemoryDisk();
    const model = new Model(seed);
    for (let round = 0; round < 4; round++) {
      const store = await Store.open(DIRECTORY, { ...SMALL, disk });
      for (let i = 0; i < 40; i++) await model.append(store);
      const newestFirst = store.segments().at(-1)?.firstSequence ?? 0;
      await store.close();
      const keep = ({ data }: { data: unknown }): boolean => ((data as { n: number }).n * 7 + seed) % 3 !== 0;
      const middle = model.events[model.pick(model.events.length)].timestamp;
      const rules: CompactOptions[] = [
        { keepLast: 1 + model.pick(10) },
        { query: { scope: "s:1" } },
        { keep },
        { keepNewerThan: middle },
        { query: { entity: `e:${model.pick(6)}` }, keepLast: 2 },
        { query: {} },
      ];
      const options = { ...rules[model.pick(rules.length)], segmentBytesMax: model.pick(2) === 0 ? 8192 : 65536, disk };
      const issued = [...model.events].reverse().find((event) => event.id[14] === "7")?.id ?? "";
      const expected = model.expectedRemovals(newestFirst, options, issued);
      const plan = await compactStore(DIRECTORY, { ...options, dryRun: true });
      assert.equal(plan.removedEvents, expected.size, `the plan of ${JSON.stringify(options)}`);
      assert.equal(plan.applied, false);
      const report = await compactStore(DIRECTORY, options);
      assert.deepEqual({ ...report, applied: false }, plan);
      model.events = model.events.filter((event) => {
        if (expected.has(event)) model.removed.push(event);
        return !expected.has(event);
      });
      await checkAll(disk, model);
      if (round % 2 === 1) {
        await loseIndexes(disk, round === 3);
        await checkAll(disk, model, round === 3);
      }
    }
    assert.ok(model.removed.length > 0);
  });
}

test("compaction says what it does not take", async () => {
  const disk = createMemoryDisk();
  await assert.rejects(compactStore("", { keepLast: 1, disk }), { code: "INVALID_ARGUMENT" });
  await assert.rejects(compactStore(DIRECTORY, { disk }), { code: "INVALID_ARGUMENT" });
  await assert.rejects(compactStore(DIRECTORY, { keepLast: 0, disk }), { code: "INVALID_ARGUMENT" });
  await assert.rejects(compactStore(DIRECTORY, { keepLast: 1, bogus: 1, disk } as CompactOptions), { code: "INVALID_ARGUMENT" });
  await assert.rejects(compactStore(DIRECTORY, { keepLast: 1, disk }), { code: "NOT_FOUND" });
  const store = await Store.open(DIRECTORY, { disk });
  await assert.rejects(compactStore(DIRECTORY, { keepLast: 1, disk }), (error) => isStoreError(error, "LOCKED"));
  await store.close();
});
