/**
 * What appending asks of the disk and of the heap, counted instead of timed, so that it says the same on every machine: writes, syncs and bytes
 * for each thousand events, frames for each group. A count that grows is a way that got slower.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type AnyNewEvent, rawEvent } from "../../src/events/definition.ts";
import type { Disk, DiskFile } from "../../src/disk/disk.ts";
import { Store } from "../../src/store.ts";
import { createMemoryDisk } from "../../src/testing/memory-disk.ts";
import { allocatedBytes } from "./allocated-bytes.ts";

const ENTITIES = Array.from({ length: 1000 }, (_, n) => ({
  entity: `order:${String(n).padStart(7, "0")}`,
  scope: `shop:${String(n % 16).padStart(2, "0")}`,
}));
/** A frame of the events below: 126 bytes, 13 of the entity, 7 of the scope, 73 of the payload. */
const FRAME_BYTES = 219;

interface Counts {
  durableWrites: number;
  plainWrites: number;
  syncs: number;
  marks: number;
  durableBytes: number;
  plainBytes: number;
}

function nothing(): Counts {
  return { durableWrites: 0, plainWrites: 0, syncs: 0, marks: 0, durableBytes: 0, plainBytes: 0 };
}

/** A disk in memory that counts. A durable write takes a turn of the event loop, as a real one takes several. */
function countingDisk(counts: Counts): Disk {
  const disk = createMemoryDisk();
  return Object.assign(Object.create(disk) as Disk, {
    open: async (...[path, mode]: Parameters<Disk["open"]>): Promise<DiskFile> => countCalls(await disk.open(path, mode), path, counts),
  });
}

function countCalls(file: DiskFile, path: string, counts: Counts): DiskFile {
  const segment = path.endsWith(".fbat");
  return Object.assign(file, {
    write: async (...[source, offset, length, position, durable]: Parameters<DiskFile["write"]>): Promise<void> => {
      counts[durable ? "durableWrites" : "plainWrites"]++;
      counts[durable ? "durableBytes" : "plainBytes"] += length;
      assert(!durable || segment, "only segments are written durably");
      if (durable) await new Promise((resolve) => setImmediate(resolve));
      Object.getPrototypeOf(file).writeSync.call(file, source, offset, length, position);
    },
    writeSync: (...[source, offset, length, position]: Parameters<DiskFile["writeSync"]>): void => {
      counts.marks++;
      Object.getPrototypeOf(file).writeSync.call(file, source, offset, length, position);
    },
    sync: async (): Promise<void> => {
      counts.syncs++;
    },
  });
}

function eventOf(number: number): AnyNewEvent {
  return rawEvent(0xf001 + (number % 8), {
    product: `article-${String((number * 7919) % 1_000_000).padStart(6, "0")}`,
    quantity: 10 + (number % 90),
    cents: 100_000 + ((number * 31) % 900_000),
    paid: number % 2 === 0 ? "yes" : "not",
    note: "on time again",
  });
}

class Appender {
  readonly counts: Counts;
  readonly store: Store;
  #next = 0;

  private constructor(store: Store, counts: Counts) {
    this.store = store;
    this.counts = counts;
  }

  static async open(): Promise<Appender> {
    const counts = nothing();
    const store = await Store.open("/store", { disk: countingDisk(counts), checkpoint: false });
    const appender = new Appender(store, counts);
    await appender.batches(1);
    return appender;
  }

  #one(): Promise<unknown> {
    const number = this.#next++;
    return this.store.append(ENTITIES[number % ENTITIES.length], eventOf(number));
  }

  /** So many single appends, none of which waits for another. */
  atOnce(count: number): Promise<unknown>[] {
    return Array.from({ length: count }, () => this.#one());
  }

  /** Batches of 1,000 with four in flight. */
  async batches(count: number): Promise<void> {
    const flying: Promise<unknown>[] = [];
    for (let i = 0; i < count; i++) {
      if (flying.length === 4) await flying.shift();
      const items = Array.from({ length: 1000 }, () => {
        const number = this.#next++;
        return { coordinate: ENTITIES[number % ENTITIES.length], event: eventOf(number) };
      });
      flying.push(this.store.appendBatch(items));
    }
    await Promise.all(flying);
  }

  /** So many callers, each with one append in flight; before each append, caller `n` waits for `stepsOf(n)` promises of its own. */
  async callers(count: number, each: number, stepsOf: (caller: number) => number = () => 0): Promise<void> {
    const call = async (caller: number): Promise<void> => {
      for (let i = 0; i < each; i++) {
        for (let step = 0; step < stepsOf(caller); step++) await Promise.resolve();
        await this.#one();
      }
    };
    await Promise.all(Array.from({ length: count }, (_, caller) => call(caller)));
  }

  /** What `work` cost, and the commits that it took. */
  async cost(work: () => Promise<void>): Promise<Counts & { commits: number }> {
    const before = { ...this.counts };
    const { commits } = await this.store.stats();
    await work();
    const after = { ...this.counts, commits: (await this.store.stats()).commits - commits };
    for (const name of Object.keys(before) as (keyof Counts)[]) after[name] -= before[name];
    return after;
  }
}

test("batches of 1,000 with four in flight: a write for each group, none for zeros, no byte beyond the frames", async () => {
  const appender = await Appender.open();
  const cost = await appender.cost(() => appender.batches(20));
  // Four at a time in one group would be 5: then nothing is left to encode while the disk works.
  assert(cost.commits >= 8 && cost.commits <= 20, `batches share commits, and the disk works beside the encoding: ${cost.commits} commits`);
  assert.deepEqual(cost, {
    commits: cost.commits,
    durableWrites: cost.commits,
    durableBytes: 20_000 * FRAME_BYTES,
    plainWrites: 0,
    plainBytes: 0,
    syncs: 0,
    marks: cost.commits,
  });
  await appender.store.close();
});

test("64 in flight: groups of 16 and more, four at a time, and zeros laid out beside them in growing steps", async () => {
  const appender = await Appender.open();
  await appender.callers(64, 2);
  const cost = await appender.cost(() => appender.callers(64, 100));
  const bytes = 6400 * FRAME_BYTES;
  assert(cost.commits >= 100 && cost.commits <= 400, `${cost.commits} commits`);
  assert.equal(cost.durableWrites, cost.commits);
  // Groups that are written together are told of together.
  assert(cost.marks <= cost.commits, `${cost.marks} marks`);
  assert.equal(cost.durableBytes, bytes);
  // Ahead by half a step at the least, each step twice the one before.
  const zeros = 2 * bytes + 2 * 1024 * 1024;
  assert(cost.syncs <= 2, `${cost.syncs} syncs`);
  assert(cost.plainBytes <= zeros, `${cost.plainBytes} bytes of zeros`);
  assert(cost.plainWrites <= zeros / (128 * 1024) + 2, `${cost.plainWrites} writes of zeros`);
  await appender.store.close();
});

test("callers who take some steps of their own between two appends share commits all the same", async () => {
  const appender = await Appender.open();
  const stepsOf = (caller: number): number => (caller % 5) * 3;
  await appender.callers(20, 2, stepsOf);
  const cost = await appender.cost(() => appender.callers(20, 50, stepsOf));
  assert(cost.commits <= 60, `${cost.commits} commits for 1,000 appends of 20 callers`);
  await appender.store.close();
});

test("a writer that makes few commits lays out no zeros", async () => {
  const appender = await Appender.open();
  assert.deepEqual(await appender.cost(() => appender.callers(1, 3)), {
    commits: 3,
    durableWrites: 3,
    durableBytes: 3 * FRAME_BYTES,
    plainWrites: 0,
    plainBytes: 0,
    syncs: 0,
    marks: 3,
  });
  const { plainBytes, syncs } = await appender.cost(() => appender.callers(1, 1));
  assert(plainBytes >= 1024 * 1024 && syncs === 1, "they come with the next one");
  await appender.store.close();
});

test("one at a time: a write and a mark for each", async () => {
  const appender = await Appender.open();
  await appender.callers(1, 4);
  assert.deepEqual(await appender.cost(() => appender.callers(1, 200)), {
    commits: 200,
    durableWrites: 200,
    durableBytes: 200 * FRAME_BYTES,
    plainWrites: 0,
    plainBytes: 0,
    syncs: 0,
    marks: 200,
  });
  await appender.store.close();
});

test("50,000 appends at once: who waits takes little more memory than his bytes, and a turn of the event loop tells some thousands", async () => {
  const appender = await Appender.open();
  const before = process.memoryUsage().arrayBuffers;
  let told = 0;
  let toldMost = 0;
  const all = Promise.all(appender.atOnce(50_000).map((receipt) => receipt.then(() => told++)));
  const bytes = (process.memoryUsage().arrayBuffers - before) / 50_000;
  assert.ok(bytes < 2.5 * FRAME_BYTES, `${bytes} bytes for one that waits`);
  for (let ended = 0; ended < 50_000; ) {
    await new Promise((resolve) => setImmediate(resolve));
    toldMost = Math.max(toldMost, told - ended);
    ended = told;
  }
  await all;
  assert.ok(toldMost <= 2 * 4096, `${toldMost} told in one turn`);
  await appender.store.close();
});

test("bytes allocated for an event, the caller's own objects included", async () => {
  const appender = await Appender.open();
  await appender.batches(20);
  await appender.callers(64, 100);
  const batched = (await allocatedBytes(() => appender.batches(20))) / 20_000;
  const flying = (await allocatedBytes(() => appender.callers(64, 200))) / 12_800;
  assert(batched < 1200, `${batched.toFixed(0)} bytes in batches, 750 when this was written`);
  assert(flying < 3500, `${flying.toFixed(0)} bytes with 64 in flight, 2,250 when this was written`);
  await appender.store.close();
});
