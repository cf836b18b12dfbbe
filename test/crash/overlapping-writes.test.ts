/**
 * Groups whose writes overlap: they end in any order, fail in any order, and a crash may keep any part of each. Held: nothing is acknowledged
 * before everything before it is durable, and what a crash leaves is a prefix with all that was acknowledged.
 */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { isStoreError, rawEvent, type Receipt, Store, type StoreOptions } from "../../src/index.ts";
import { seededRandom } from "../../src/testing/seeded-random.ts";
import { SimulatedDisk } from "../../src/testing/sim-disk.ts";

const SEED = Number(process.env["BATPAK_SEED"] ?? Math.floor(Math.random() * 2 ** 31));
const RUNS = process.env["BATPAK_TEST_LONG"] === "1" ? 120 : 25;

const tried = { disks: 0, overlaps: 0, endedOutOfOrder: 0, waited: 0 };
after(() => {
  console.log(
    `overlapping writes: ${tried.disks} disks tried, ${tried.endedOutOfOrder} of ${tried.overlaps} overlaps ended out of order, ` +
      `${tried.waited} writes had waited sealed (seed ${SEED})`,
  );
  assert.ok(tried.overlaps > RUNS && tried.endedOutOfOrder > RUNS / 2, "writes do overlap, and end out of order");
  assert.ok(tried.waited > RUNS, "large groups do wait for each other");
});

interface Held {
  readonly offset: number;
  readonly release: () => void;
}

interface Shape {
  readonly name: string;
  readonly callers: number;
  readonly segmentBytesMax: number;
  readonly padBytes: (caller: number) => number;
  readonly groupsWait: boolean;
  /** Writes that are let end before the power cut, at the most. */
  readonly steps: number;
}

const shapes: readonly Shape[] = [
  { name: "small segments", callers: 80, segmentBytesMax: 24 * 1024, padBytes: (caller) => caller, groupsWait: false, steps: 40 },
  // The zeros that writes may overlap in are laid out a piece at a time, and those end late as well.
  { name: "room that runs out", callers: 80, segmentBytesMax: 8 << 20, padBytes: (caller) => 1500 + caller, groupsWait: false, steps: 90 },
  // Nothing overlaps; groups are sealed while another is written, and wait.
  { name: "large groups", callers: 12, segmentBytesMax: 1 << 20, padBytes: (caller) => 70_000 + caller, groupsWait: true, steps: 30 },
];

/** A store whose synced writes end when they are released; appended to by many callers until `stop`. */
class Run {
  readonly options: StoreOptions;
  readonly #shape: Shape;
  readonly disk = new SimulatedDisk();
  readonly acknowledged: Receipt[] = [];
  readonly errors: unknown[] = [];
  held: Held[] = [];
  heldZeros: (() => void)[] = [];
  #stopped = false;
  #fails: ((offset: number) => boolean) | null = null;
  callers: Promise<unknown> = Promise.resolve();

  constructor(shape: Shape) {
    this.#shape = shape;
    let micros = 1_700_000_000_000_000;
    const clock = { nowMicros: () => (micros += 700), monotonicMs: () => micros / 1000 };
    this.options = {
      segmentBytesMax: shape.segmentBytesMax,
      checkpoint: { everyEvents: 150 },
      // Where groups are to wait, the disk takes no time that the clock knows of: it is quick, whatever the machine is at.
      ...(shape.groupsWait ? { clock } : {}),
    };
  }

  async start(): Promise<Store> {
    const store = await Store.open("/store", { ...this.options, disk: this.disk });
    // Zeros are laid out for a writer's fourth small commit: only into them may writes overlap.
    for (let i = 0; i < 4; i++) this.acknowledged.push(await store.append({ entity: "first", scope: "s" }, rawEvent(0xf001, i)));
    this.disk.faults = ({ kind, durable, path, offset, length = 0 }) => {
      if (kind !== "write" || !path.endsWith(".fbat")) return undefined;
      if (durable !== true) return { until: new Promise<void>((release) => this.heldZeros.push(release)) };
      // Two of its events, where those of all the others would have come together.
      if (this.#shape.groupsWait && length > 140_000 && length < 200_000) tried.waited++;
      const error = this.#fails?.(offset as number) === true ? { error: "EIO", afterBytes: (offset as number) % 700 } : {};
      return { ...error, until: new Promise<void>((release) => this.held.push({ offset: offset as number, release })) };
    };
    const call = async (caller: number): Promise<void> => {
      for (let n = 0; !this.#stopped; n++) {
        const receipt = await store.append(
          { entity: `entity:${caller % 7}`, scope: "s" },
          rawEvent(0xf001, { caller, n, pad: "x".repeat(this.#shape.padBytes(caller)) }),
        );
        this.acknowledged.push(receipt);
      }
    };
    this.callers = Promise.all(
      Array.from({ length: this.#shape.callers }, (_, caller) => call(caller).catch((error: unknown) => this.errors.push(error))),
    );
    return store;
  }

  stop(): void {
    this.#stopped = true;
  }

  failWrites(fails: (offset: number) => boolean): void {
    this.#fails = fails;
  }

  /** Lets one of the held writes end, and now and then zeros. */
  releaseOne(random: () => number): void {
    if (random() < 0.7) this.heldZeros.splice(Math.floor(random() * this.heldZeros.length), 1)[0]?.();
    if (this.held.length === 0) return;
    if (this.held.length > 1) tried.overlaps++;
    const [{ offset, release }] = this.held.splice(Math.floor(random() * this.held.length), 1);
    if (this.held.some((other) => other.offset < offset)) tried.endedOutOfOrder++;
    release();
  }

  async releaseAll(): Promise<void> {
    this.disk.faults = undefined;
    for (const release of this.heldZeros.splice(0)) release();
    for (const { release } of this.held.splice(0)) release();
    await turns(20);
  }
}

async function turns(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await new Promise((resolve) => setImmediate(resolve));
}

/** What is there is a prefix, and has everything that was acknowledged. */
async function checkLeft(disk: SimulatedDisk, options: StoreOptions, acknowledged: readonly Receipt[]): Promise<void> {
  tried.disks++;
  const store = await Store.open("/store", { ...options, disk });
  const events = await store.read().toArray();
  assert.deepEqual(
    events.map(({ sequence }) => sequence),
    events.map((_, i) => i),
  );
  for (const { sequence, id, hash } of acknowledged) {
    assert.ok(events[sequence] !== undefined, `event ${sequence} was acknowledged and is gone, ${events.length} are there`);
    assert.deepEqual({ id: events[sequence].id, hash: events[sequence].hash }, { id, hash });
  }
  const { ok, problems } = await store.verify();
  assert.ok(ok, JSON.stringify(problems));
  await store.append({ entity: "entity:1", scope: "s" }, rawEvent(0xf001, "goes on"));
  await store.close();
}

for (const shape of shapes) {
  test(`writes that end in any order, and a power cut at any time: ${shape.name}`, async () => {
    for (let run = 0; run < RUNS; run++) {
      const seed = SEED + run;
      const random = seededRandom(seed);
      const one = new Run(shape);
      const store = await one.start();
      await turns(5);
      for (let steps = Math.floor(random() * shape.steps); steps > 0; steps--) {
        one.releaseOne(random);
        await turns(1 + Math.floor(random() * 4));
      }
      const acknowledged = [...one.acknowledged];
      try {
        for (const left of one.disk.possibleDisks({ limit: 12, seed })) await checkLeft(left, one.options, acknowledged);
        await checkLeft(one.disk.diskAfterKill(), one.options, acknowledged);
      } catch (error) {
        throw new Error(`seed ${seed}`, { cause: error });
      }
      one.stop();
      await one.releaseAll();
      await one.callers;
      await store.close();
      assert.deepEqual(one.errors, [], `seed ${seed}`);
      await checkLeft(one.disk.diskAfterCrash(), one.options, one.acknowledged);
    }
  });

  test(`a write that fails takes with it what was written behind it, and nothing that was acknowledged: ${shape.name}`, async () => {
    for (let run = 0; run < RUNS; run++) {
      const seed = SEED ^ (run + 1);
      const random = seededRandom(seed);
      const one = new Run(shape);
      const store = await one.start();
      await turns(5);
      const before = Math.floor(random() * 6);
      for (let steps = 0; steps < before; steps++) {
        one.releaseOne(random);
        await turns(2);
      }
      // Those that are held have begun already: some of the ones that follow them fail.
      one.failWrites(() => random() < 0.3);
      for (let steps = 200; steps > 0 && one.errors.length === 0; steps--) {
        one.releaseOne(random);
        await turns(2);
      }
      const acknowledged = [...one.acknowledged];
      one.stop();
      await one.releaseAll();
      await one.callers;
      assert.equal(one.acknowledged.length, acknowledged.length, `nothing is acknowledged after a failure (seed ${seed})`);
      assert.ok(one.errors.length > 0, `seed ${seed}`);
      assert.ok(one.errors.every((error) => isStoreError(error, "COMMIT_UNKNOWN") || isStoreError(error, "POISONED")));
      await assert.rejects(store.append({ entity: "a", scope: "s" }, rawEvent(0xf001, 1)), (error) => isStoreError(error, "POISONED"));
      await assert.rejects(store.close(), (error) => isStoreError(error, "POISONED"));
      for (const left of one.disk.possibleDisks({ limit: 8, seed })) await checkLeft(left, one.options, acknowledged);
      await checkLeft(one.disk.diskAfterKill(), one.options, acknowledged);
    }
  });
}
