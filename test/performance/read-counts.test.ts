/**
 * What reading asks of the disk and of the heap, counted instead of timed, so that it says the same on every machine: reads and bytes for each
 * event got, streamed and replayed, and for opening. A count that grows is a way that got slower.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { rawEvent } from "../../src/events/definition.ts";
import type { Disk, DiskFile } from "../../src/disk/disk.ts";
import type { TypedEvent } from "../../src/events/event.ts";
import { Store } from "../../src/store.ts";
import { createMemoryDisk } from "../../src/testing/memory-disk.ts";
import { allocatedBytes } from "./allocated-bytes.ts";

const ENTITIES = 200;
const EVENTS = 40_000;
const PER_ENTITY = EVENTS / ENTITIES;

interface Counts {
  reads: number;
  bytes: number;
}

function countingDisk(disk: Disk, counts: Counts): Disk {
  const count = (file: DiskFile): DiskFile => {
    const { readSync } = file;
    return Object.assign(file, {
      // A file in memory reads by this alone.
      readSync: (...[target, offset, length, position]: Parameters<DiskFile["readSync"]>) => {
        counts.reads++;
        counts.bytes += length;
        return readSync.call(file, target, offset, length, position);
      },
    });
  };
  return Object.assign(Object.create(disk) as Disk, {
    open: async (...[path, mode]: Parameters<Disk["open"]>) => count(await disk.open(path, mode)),
    openSync: (path: string) => count(disk.openSync(path)),
  });
}

/** A store of several sealed segments, closed, and the ids of some of its events. */
async function filled(): Promise<{ disk: Disk; ids: string[] }> {
  const disk = createMemoryDisk();
  const store = await Store.open("/store", { disk, segmentBytesMax: 2 << 20 });
  const ids: string[] = [];
  for (let n = 0; n < EVENTS; n += 1000) {
    const receipts = await store.appendBatch(
      Array.from({ length: 1000 }, (_, i) => ({
        coordinate: { entity: `order:${(n + i) % ENTITIES}`, scope: `shop:${(n + i) % 7}` },
        event: rawEvent(0xf001, { cents: n + i, note: "on time again" }),
      })),
    );
    ids.push(receipts[n % 997].id);
  }
  await store.close();
  return { disk, ids };
}

const { disk, ids } = await filled();

async function opened(): Promise<{ store: Store; cost(work: () => Promise<unknown>): Promise<Counts> }> {
  const counts: Counts = { reads: 0, bytes: 0 };
  const store = await Store.open("/store", { disk: countingDisk(disk, counts), readOnly: true });
  return {
    store,
    cost: async (work) => {
      const before = { ...counts };
      await work();
      return { reads: counts.reads - before.reads, bytes: counts.bytes - before.bytes };
    },
  };
}

test("a get: one read of a frame and the pages that lead to it, then no read at all", async () => {
  const { store, cost } = await opened();
  const first = await cost(async () => {
    for (const id of ids) assert.notEqual(await store.get(id), null);
  });
  // Trailer, root, seal, and the pages of ids and offsets, for each segment; and each frame.
  const { segments } = await store.stats();
  assert.ok(first.reads <= ids.length + segments * 8, `${first.reads} reads for ${ids.length} gets over ${segments} segments`);
  // A page is held from the second asking on, the one that a frame goes on in from the third.
  for (let time = 0; time < 2; time++) for (const id of ids) await store.get(id);
  const warm = await cost(async () => {
    for (let i = 0; i < 1000; i++) await store.get(ids[i % ids.length]);
  });
  assert.deepEqual(warm, { reads: 0, bytes: 0 });
  await store.close();
});

test("a stream whose events lie apart: a read for each, of no more than the frame", async () => {
  const { store, cost } = await opened();
  const read = async (): Promise<void> => {
    assert.equal((await store.read({ entity: "order:7" }).toArray()).length, PER_ENTITY);
  };
  await read();
  const { reads, bytes } = await cost(read);
  const { segments } = await store.stats();
  assert.ok(reads <= PER_ENTITY + segments, `${reads} reads`);
  assert.ok(bytes <= PER_ENTITY * 256 + 16 * 4096, `${bytes} bytes`);
  await store.close();
});

test("events of some kilobytes: a read for each, whether got or streamed", async () => {
  const large = createMemoryDisk();
  const writing = await Store.open("/store", { disk: large, segmentBytesMax: 8 << 20 });
  const got: string[] = [];
  for (let n = 0; n < 3000; n += 100) {
    const batch = Array.from({ length: 100 }, (_, i) => ({
      coordinate: { entity: `order:${(n + i) % ENTITIES}`, scope: "shop" },
      event: rawEvent(0xf001, { text: `${n + i}`.repeat(800) }),
    }));
    got.push((await writing.appendBatch(batch))[n % 97].id);
  }
  await writing.close();
  const counts: Counts = { reads: 0, bytes: 0 };
  const store = await Store.open("/store", { disk: countingDisk(large, counts), readOnly: true });
  const costOf = async (work: () => Promise<number>): Promise<number> => {
    for (let time = 0; time < 3; time++) await work();
    const before = counts.reads;
    const events = await work();
    return (counts.reads - before) / events;
  };
  const each = await costOf(async () => {
    for (const id of got) assert.notEqual(await store.get(id), null);
    return got.length;
  });
  const streamed = await costOf(async () => (await store.read({ entity: "order:7" }).toArray()).length);
  assert.ok(each <= 1 && streamed <= 1, `${each} reads for each that is got, ${streamed} for each that is streamed`);
  await store.close();
});

test("neighbours among events that lie apart are read at once", async () => {
  const { store, cost } = await opened();
  // Ten entities that come one after the other, then 190 others.
  const read = async (): Promise<void> => {
    assert.equal((await store.read({ entityPrefix: "order:11" }).toArray()).length, 11 * PER_ENTITY);
  };
  await read();
  const { reads } = await cost(read);
  const { segments } = await store.stats();
  // "order:110" to "order:119", and "order:11" far from them.
  assert.ok(reads <= 2 * PER_ENTITY + 4 * segments, `${reads} reads of ${11 * PER_ENTITY} events`);
  await store.close();
});

test("a read with a limit loads no more events than are asked for", async () => {
  const { store, cost } = await opened();
  const queries = [{}, { scope: "shop:3" }, { kind: 0xf001 }, { entity: "order:7" }];
  for (const query of queries) {
    for (const direction of ["forward", "backward"] as const) {
      for (const limit of [1, 5, 20]) {
        const read = async (): Promise<void> => assert.equal((await store.read(query, { direction, limit }).toArray()).length, limit);
        // An event is 200 bytes or so, those of an entity are 40,000 apart, and of a scope 1,400.
        // Pages of index and frames that are asked for again are held.
        await read();
        await read();
        const { bytes } = await cost(read);
        assert.ok(bytes <= limit * 1600, `${bytes} bytes for ${limit} of ${JSON.stringify(query)}, ${direction}`);
      }
    }
  }
  await store.close();
});

test("an entity's newest events look at the segments that hold them, and at no others", async () => {
  const small = createMemoryDisk();
  const writing = await Store.open("/store", { disk: small, segmentBytesMax: 16_384 });
  for (let n = 0; n < 3000; n++) await writing.append({ entity: `order:${n % 3}`, scope: "shop" }, rawEvent(0xf001, { n }));
  await writing.close();
  const counts: Counts = { reads: 0, bytes: 0 };
  const store = await Store.open("/store", { disk: countingDisk(small, counts), readOnly: true });
  const { segments } = await store.stats();
  assert.ok(segments > 20, `${segments} segments`);
  const before = counts.reads;
  const newest = await store.read({ entity: "order:1" }, { direction: "backward", limit: 3 }).toArray();
  assert.deepEqual(
    newest.map(({ data }) => (data as { n: number }).n),
    [2998, 2995, 2992],
  );
  assert.ok(counts.reads - before < 20, `${counts.reads - before} reads`);
  await store.close();
});

test("counting a scope or kinds reads no column of rows", async () => {
  const { store, cost } = await opened();
  const { segments } = await store.stats();
  for (const query of [{ scope: "shop:3" }, { kind: 0xf001 }, { kind: [0xf001, 0xf002] }]) {
    const { bytes } = await cost(() => store.count(query));
    // Of names and the ends of lists; a column of a segment's rows takes 20,000 and more.
    assert.ok(bytes <= segments * 12_000, `${bytes} bytes for ${JSON.stringify(query)} in ${segments} segments`);
  }
  await store.close();
});

test("a consumer's lag: what is behind its position is looked at, and nothing before", async () => {
  const { store, cost } = await opened();
  const last = EVENTS - 1;
  for (const query of [{ scope: "shop:3" }, { entityPrefix: "order:1" }, { correlation: ids[0] }, { entity: "order:7" }]) {
    const consumer = await store.consumer("lagging", query, { resetTo: last - 10 });
    const behind = (await store.read(query, { after: last - 10 }).toArray()).length;
    const looked = await cost(async () => assert.equal(await consumer.lag(), behind));
    // The rows of the newest segment are in memory.
    assert.deepEqual(looked, { reads: 0, bytes: 0 }, JSON.stringify(query));
    await consumer.close();
  }
  await store.close();
});

test("a replay: large blocks, and no byte twice", async () => {
  const { store, cost } = await opened();
  const replay = async (): Promise<void> => {
    let events = 0;
    for await (const batch of store.read().batches()) events += batch.length;
    assert.equal(events, EVENTS);
  };
  await replay();
  const { segments, bytes: total } = await store.stats();
  const { reads, bytes } = await cost(replay);
  assert.ok(reads <= total / (150 * 1024) + 2 * segments, `${reads} reads of ${total} bytes`);
  assert.ok(bytes <= total, `${bytes} of ${total} bytes`);
  await store.close();
});

test("opening by the checkpoint reads no frames but the last, and pages of no index", async () => {
  const counts: Counts = { reads: 0, bytes: 0 };
  const store = await Store.open("/store", { disk: countingDisk(disk, counts), readOnly: true });
  assert.equal(store.openReport.route, "checkpoint");
  const { bytes } =
    (await disk.status("/store/index.ckpt")) === null ? { bytes: 0 } : { bytes: (await disk.status("/store/index.ckpt"))?.size ?? 0 };
  assert.ok(counts.bytes <= bytes + 64 * 1024, `${counts.bytes} bytes read, of which the checkpoint has ${bytes}`);
  await store.close();
});

test("bytes allocated for an event that is read, its data included", async () => {
  const { store } = await opened();
  const cents = async (): Promise<void> => {
    for await (const batch of store.read().batches()) for (const event of batch) assert.ok((event.data as { cents: number }).cents >= 0);
  };
  const stream = async (): Promise<void> => {
    for (let i = 0; i < 20; i++) for await (const event of store.read({ entity: `order:${i}` })) assert.ok(event.data !== null);
  };
  const got = async (): Promise<void> => {
    for (let i = 0; i < 5000; i++) assert.ok((await store.get(ids[i % ids.length]))?.data !== null);
  };
  for (const work of [cents, stream, got]) await work();
  const replayed = (await allocatedBytes(cents)) / EVENTS;
  const streamed = (await allocatedBytes(stream)) / (20 * PER_ENTITY);
  const byId = (await allocatedBytes(got)) / 5000;
  const told = `replayed ${replayed.toFixed(0)}, streamed ${streamed.toFixed(0)}, got ${byId.toFixed(0)}`;
  console.log(told);
  // 250, 1,350 and 1,450 when this was written, in a disk in memory and through objects that count.
  assert.ok(replayed < 600 && streamed < 2000 && byId < 2500, told);
  await store.close();
});

test("bytes allocated for an event's ids and hashes, and for its plain form", async () => {
  const { store } = await opened();
  const events: TypedEvent[] = [];
  for await (const batch of store.read({ sequence: { from: 0, to: 4999 } }).batches()) for (const event of batch) events.push(event);
  const allocatedFor = async (look: (event: TypedEvent) => unknown): Promise<number> => {
    const work = async (): Promise<void> => {
      for (let round = 0; round < 4; round++) for (const event of events) assert.ok(look(event) !== undefined);
      await Promise.resolve();
    };
    await work();
    return (await allocatedBytes(work)) / (4 * events.length);
  };
  const [id, hash] = [await allocatedFor((event) => event.id), await allocatedFor((event) => event.hash)];
  const [plain, json] = [await allocatedFor((event) => event.toObject()), await allocatedFor((event) => event.toJSON())];
  const told = `id ${id.toFixed(0)}, hash ${hash.toFixed(0)}, plain ${plain.toFixed(0)}, for JSON ${json.toFixed(0)}`;
  console.log(told);
  // Text that is put together piece by piece takes ten times as much.
  assert.ok(id < 200 && hash < 200 && plain < 900 && json < 900, told);
  await store.close();
});

test("sealing reads no frame back: neither of segments with many entities, nor with many keys, nor with entities that have newer events", async () => {
  for (const [entities, keyed] of [
    [20_000, false],
    [10, true],
    [1000, false],
  ] as const) {
    const counts: Counts = { reads: 0, bytes: 0 };
    const store = await Store.open("/sealed", { disk: countingDisk(createMemoryDisk(), counts), segmentBytesMax: 1 << 20 });
    for (let n = 0; n < 20_000; n += 1000) {
      await store.appendBatch(
        Array.from({ length: 1000 }, (_, i) => ({
          coordinate: { entity: `order:${(n + i) % entities}`, scope: "shop" },
          event: rawEvent(0xf001, { cents: n + i }),
          ...(keyed ? { idempotencyKey: `key ${n + i}` } : {}),
        })),
      );
    }
    const { segments } = await store.stats();
    // Which waits for the index blocks.
    await store.close();
    assert.ok(segments >= 3, `${segments} segments`);
    // Of each sealed segment the index block's end and its filter.
    assert.ok(counts.reads <= segments * 3, `${counts.reads} reads for ${segments} segments of ${entities} entities, keyed: ${keyed}`);
  }
});

// Found by a review: each frame behind the damage was read by itself, which took seconds for a segment, whoever opened the store.
test("opening past a damaged frame reads what is behind it in blocks", async () => {
  const damaged = createMemoryDisk();
  const counts: Counts = { reads: 0, bytes: 0 };
  const options = { disk: damaged, checkpoint: false } as const;
  const writing = await Store.open("/damaged", options);
  for (let n = 0; n < 10_000; n += 1000) {
    await writing.append(
      { entity: "order", scope: "shop" },
      Array.from({ length: 1000 }, (_, i) => rawEvent(0xf001, { cents: n + i })),
    );
  }
  await writing.close();
  const file = await damaged.open("/damaged/000001.fbat", "write");
  await file.write(Uint8Array.of(0xff), 0, 1, 1000, false);
  await file.close();
  const store = await Store.open("/damaged", { disk: countingDisk(damaged, counts), readOnly: true });
  assert.equal(store.openReport.problems.length, 1);
  assert.equal(await store.count(), 9999);
  assert.ok(counts.reads < 100, `${counts.reads} reads`);
  await store.close();
});
