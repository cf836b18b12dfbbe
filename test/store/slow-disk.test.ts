/** Reading where the page cache answers at once, and where a disk is waited for: large blocks are then read without holding up the event loop. */
import assert from "node:assert/strict";
import { performance } from "node:perf_hooks";
import { test } from "node:test";
import type { Disk, DiskFile } from "../../src/disk/disk.ts";
import { delegateTo } from "../../src/disk/delegate-disk.ts";
import { rawEvent } from "../../src/events/definition.ts";
import { Store } from "../../src/store.ts";
import { createMemoryDisk } from "../../src/testing/memory-disk.ts";

const EVENTS = 12_000;
const LARGE_BYTES = 32 * 1024;

/** A disk whose large reads take a millisecond while it `isSlow`, and what was read of it, `s` at once and `a` asynchronously. */
class PacedDisk {
  isSlow = false;
  reads = "";
  readonly disk: Disk;

  constructor(disk: Disk) {
    this.disk = {
      ...delegateTo(disk),
      open: async (path, mode) => this.#paced(await disk.open(path, mode)),
      openSync: (path) => this.#paced(disk.openSync(path)),
    };
  }

  #paced(file: DiskFile): DiskFile {
    const readSync = file.readSync.bind(file);
    return Object.assign(file, {
      readSync: (target: Uint8Array, offset: number, length: number, position: number) => {
        if (length > LARGE_BYTES) {
          this.reads += "s";
          const start = performance.now();
          while (this.isSlow && performance.now() - start < 1);
        }
        return readSync(target, offset, length, position);
      },
      read: async (target: Uint8Array, offset: number, length: number, position: number) => {
        if (length > LARGE_BYTES) this.reads += "a";
        await new Promise((resolve) => setImmediate(resolve));
        return readSync(target, offset, length, position);
      },
    });
  }
}

async function filled(): Promise<{ paced: PacedDisk; store: Store }> {
  const paced = new PacedDisk(createMemoryDisk());
  const store = await Store.open("/store", { disk: paced.disk, segmentBytesMax: 4 << 20 });
  for (let n = 0; n < EVENTS; n += 1000) {
    await store.appendBatch(
      Array.from({ length: 1000 }, (_, i) => ({
        coordinate: { entity: `e${i % 10}`, scope: "s" },
        event: rawEvent(0xf001, { n: n + i, text: "x".repeat(1000) }),
      })),
    );
  }
  return { paced, store };
}

async function numbers(store: Store): Promise<number[]> {
  const seen: number[] = [];
  for await (const event of store.read()) seen.push((event.data as { n: number }).n);
  return seen;
}

test("large blocks are read at once while that is quick, and after a slow one asynchronously, for longer each time", async () => {
  const { paced, store } = await filled();
  const all = Array.from({ length: EVENTS }, (_, n) => n);

  paced.reads = "";
  paced.isSlow = true;
  assert.deepEqual(await numbers(store), all);
  assert.match(paced.reads, /^s*a{16}sa{17}/);

  paced.isSlow = false;
  for (let round = 0; round < 40 && !/s{20}$/.test(paced.reads); round++) assert.deepEqual(await numbers(store), all);
  assert.match(paced.reads, /s{20}$/, "whatever was slow once is tried again");
  await store.close();
});

test("a block that is larger on account of one long event is not read at once, however quick that is", async () => {
  const paced = new PacedDisk(createMemoryDisk());
  const store = await Store.open("/store", { disk: paced.disk });
  const texts = [...Array.from({ length: 300 }, () => "x".repeat(1000)), "y".repeat(600_000)];
  await store.append(
    { entity: "e", scope: "s" },
    texts.map((text) => rawEvent(0xf001, text)),
  );
  paced.reads = "";
  assert.deepEqual(
    (await store.read().toArray()).map(({ data }) => data),
    texts,
  );
  assert.match(paced.reads, /^s*a$/);
  await store.close();
});

test("a read that waits for the disk goes on beside a compaction that replaces the segments under it", async () => {
  const { paced, store } = await filled();
  paced.isSlow = true;
  const seen: number[] = [];
  let compacting: Promise<unknown> | null = null;
  for await (const event of store.read()) {
    seen.push((event.data as { n: number }).n);
    if (seen.length === 1) compacting = store.compact({ keepLast: EVENTS / 20 });
  }
  await compacting;
  // What was removed meanwhile may be missing, nothing else, and nothing comes twice or out of order.
  assert.deepEqual(
    seen,
    seen.toSorted((a, b) => a - b),
  );
  assert.equal(new Set(seen).size, seen.length);
  assert.deepEqual(
    seen.filter((n) => n >= EVENTS / 2),
    Array.from({ length: EVENTS / 2 }, (_, i) => EVENTS / 2 + i),
  );
  assert.match(paced.reads, /a/);
  assert.equal((await store.verify()).ok, true);
  await store.close();
});
