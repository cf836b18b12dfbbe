/**
 * What a crash scenario is made of: a store on a simulated disk, worked on step by step, and beside it the ledger of what was tried and what
 * was promised. The same scenario makes the same operations on the disk, byte for byte, each time it is run.
 */
import assert from "node:assert/strict";
import type { Clock } from "../../src/base/clock.ts";
import { compactStore } from "../../src/compaction.ts";
import { isStoreError } from "../../src/base/store-error.ts";
import type { AppendOptions, BatchItem } from "../../src/events/append-types.ts";
import type { Receipt } from "../../src/events/event.ts";
import { Store } from "../../src/store.ts";
import type { Layout, StoreOptions } from "../../src/store-options.ts";
import type { Consumer } from "../../src/subscriptions/consumer.ts";
import { seededRandom } from "../../src/testing/seeded-random.ts";
import type { SimulatedDisk } from "../../src/testing/sim-disk.ts";
import { type Attempt, type Item, Ledger } from "./ledger.ts";

export const DIRECTORY = "/store";
export const KIND = 0x1000;

export interface Scenario {
  readonly name: string;
  readonly options: StoreOptions;
  /** The layouts that can do what it does; all of them where it does not say. */
  readonly layouts?: readonly Layout[];
  run(driver: Driver): Promise<void>;
}

/** Which events a compaction is to keep, by what was appended. */
export type Keeps = (data: Item["data"]) => boolean;

export class Driver {
  readonly ledger = new Ledger();
  #disk: SimulatedDisk;
  readonly #options: StoreOptions;
  #store: Store | null = null;
  #processes = 1;
  #copies = 0;
  readonly #consumers = new Map<string, Consumer<{ sequence: number; hash: string }>>();

  constructor(disk: SimulatedDisk, options: StoreOptions) {
    this.#disk = disk;
    this.#options = { ...options, ...repeatable() };
  }

  get disk(): SimulatedDisk {
    return this.#disk;
  }

  get layout(): Layout {
    return this.#options.layout ?? "native";
  }

  get store(): Store {
    assert.ok(this.#store !== null, "the scenario has opened its store");
    return this.#store;
  }

  async open(): Promise<void> {
    this.#consumers.clear();
    this.#store = await Store.open(DIRECTORY, { ...this.#options, disk: this.#disk });
  }

  /**
   * The process is killed, whatever is in flight, and another one opens the store. What that one shows is promised from then on, and what
   * it does not show must never come back.
   */
  async dieAndReopen(inFlight: readonly Promise<unknown>[] = []): Promise<void> {
    const settled = Promise.allSettled(inFlight);
    this.#disk.kill();
    await settled;
    await this.abandon();
    this.#disk = this.#disk.asProcess(5000 + this.#processes++);
    await this.open();
    this.ledger.settle(await this.store.read().toArray());
  }

  /** One append of one event. */
  async append(entity: string, options: AppendOptions & { padBytes?: number } = {}): Promise<Attempt> {
    const { padBytes = 20, ...rest } = options;
    const attempt = this.ledger.begin([{ entity, scope: "scope:a" }], padBytes);
    if (rest.idempotencyKey !== undefined) attempt.again = (store) => appendAgain(store, attempt, rest);
    await this.retry(attempt, rest);
    return attempt;
  }

  /** The same events once more: with a key, as a client does that got no answer. */
  async retry(attempt: Attempt, options: AppendOptions): Promise<void> {
    this.ledger.acknowledge(attempt, await appendAgain(this.store, attempt, options));
  }

  /** One batch of an event for each entity. */
  async batch(entities: readonly string[], padBytes = 20, keys = false): Promise<Attempt> {
    const attempt = this.ledger.begin(
      entities.map((entity, i) => ({ entity, scope: i % 2 === 0 ? "scope:a" : "scope:b" })),
      padBytes,
    );
    const items = attempt.items.map(({ entity, scope, data }, item): BatchItem => {
      const plain = { coordinate: { entity, scope }, event: { kind: KIND, data } };
      return keys ? { ...plain, idempotencyKey: `batch-${attempt.number}-${item}` } : plain;
    });
    if (keys) attempt.again = (store) => store.appendBatch(items);
    this.ledger.acknowledge(attempt, await this.store.appendBatch(items));
    return attempt;
  }

  /** Every append with a key that was ever acknowledged, again: removed meanwhile or not, it is answered as it was. */
  async retryAll(): Promise<void> {
    for (const attempt of this.ledger.acknowledged()) {
      if (attempt.again !== null && !attempt.lost) this.ledger.acknowledge(attempt, await attempt.again(this.store));
    }
  }

  async sync(): Promise<void> {
    const visible = this.ledger.acknowledged();
    await this.store.sync();
    for (const attempt of visible) attempt.durable = true;
  }

  async close(): Promise<void> {
    await this.store.close();
    for (const attempt of this.ledger.acknowledged()) attempt.durable = true;
  }

  /** Removes what is not to be kept from the store, which must be closed (a compaction of an open store would go here too), and opens it. */
  async compact(keeps: Keeps): Promise<void> {
    const { removedEvents } = await this.#beginCompaction(keeps);
    await this.open();
    const gone = this.ledger.settleRemovals(await this.store.read().toArray());
    assert.equal(gone, removedEvents, "a compaction removed other events than it said");
  }

  /** The same, killed once it has begun so many operations; then another process opens the store. */
  async dieInCompaction(keeps: Keeps, operations: number): Promise<void> {
    const until = this.#disk.operationCount + operations;
    const compaction = this.#beginCompaction(keeps).catch((error: unknown) =>
      assert.ok(this.#disk.crashed || isDead(error), String(error)),
    );
    let ended = false;
    void compaction.then(() => (ended = true));
    while (!ended && this.#disk.operationCount < until) await new Promise((resolve) => setImmediate(resolve));
    await this.dieAndReopen([compaction]);
  }

  async #beginCompaction(keeps: Keeps): Promise<{ readonly removedEvents: number }> {
    this.ledger.allowRemovals(keeps);
    const { clock = repeatable().clock, segmentBytesMax = 4096 } = this.#options;
    return await compactStore(DIRECTORY, {
      keep: ({ data }) => keeps(data as Item["data"]),
      segmentBytesMax,
      disk: this.#disk,
      clock,
    });
  }

  /** While this store is open, no other process and nobody in this one gets it for writing. */
  async refused(): Promise<void> {
    for (const disk of [this.#disk, this.#disk.asProcess(9000)]) {
      const options = { ...this.#options, disk };
      await Store.open(DIRECTORY, options).then(
        () => assert.fail("a second writer got the store"),
        (error: unknown) => assert.ok(this.#disk.crashed || isStoreError(error, "LOCKED"), String(error)),
      );
    }
  }

  /** Commits a consumer to the newest visible event. */
  async commit(name: string): Promise<void> {
    let consumer = this.#consumers.get(name);
    consumer ??= await this.store.consumer(name);
    this.#consumers.set(name, consumer);
    const position = (await this.store.read(undefined, { direction: "backward" }).first())?.sequence;
    if (position === undefined || position < consumer.position) return;
    const commits = this.ledger.commitsOf(name);
    commits.asked = position;
    await consumer.commit(position);
    // In whatever durability: the file names no event that is not on stable storage.
    commits.promised = position;
    for (const attempt of this.ledger.acknowledged()) {
      if ((attempt.receipts?.at(-1)?.sequence ?? Infinity) <= position) attempt.durable = true;
    }
  }

  /** Copies the store while it is open. */
  async copy(): Promise<void> {
    const directory = `/copy-${this.#copies++}`;
    const { events } = await this.store.snapshot(directory);
    this.ledger.copies.push({ directory, events });
  }

  /** Lets go of what a crash has cut short: timers above all. */
  async abandon(): Promise<void> {
    await this.#store?.close().catch(() => {});
  }
}

/** Whether its process was killed meanwhile. */
function isDead(error: unknown): boolean {
  return String(error).includes("ESIMCRASH");
}

async function appendAgain(store: Store, { items }: Attempt, options: AppendOptions): Promise<Receipt[]> {
  const [item] = items;
  assert.ok(item !== undefined, "an attempt has an item");
  const { entity, scope, data } = item;
  return [await store.append({ entity, scope }, { kind: KIND, data }, options)];
}

/** A clock that steps and randomness that repeats: the same run makes the same operations. */
export function repeatable(): { readonly clock: Clock; random(target: Uint8Array): void } {
  let micros = 1_700_000_000_000_000;
  const random = seededRandom(7);
  return {
    clock: { nowMicros: () => (micros += 700), monotonicMs: () => micros / 1000 },
    random: (target) => {
      for (let i = 0; i < target.length; i++) target[i] = Math.floor(random() * 256);
    },
  };
}
