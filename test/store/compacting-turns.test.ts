/** Compactions of many events, and verifying what they left: how they end, and that the event loop has its turns. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { isStoreError } from "../../src/base/store-error.ts";
import type { Disk } from "../../src/disk/disk.ts";
import { systemError } from "../../src/disk/system-error.ts";
import { rawEvent } from "../../src/events/definition.ts";
import { Store } from "../../src/store.ts";
import { createMemoryDisk } from "../../src/testing/memory-disk.ts";
import { turnsDuring } from "../../src/testing/turn-counter.ts";
import { hooked } from "./support/hooked-disk.ts";
import { slowDisk } from "./support/slow-disk.ts";

const DIRECTORY = "/store";
const KIND = 0xf001;

async function fill(store: Store, events: number, entities: number): Promise<void> {
  for (let from = 0; from < events; from += 1024) {
    const items = Array.from({ length: Math.min(1024, events - from) }, (_, i) => ({
      coordinate: { entity: `e:${(from + i) % entities}`, scope: "s" },
      event: rawEvent(KIND, { n: from + i }),
      idempotencyKey: `k${from + i}`,
    }));
    await store.appendBatch(items);
  }
}

test("a signal that is aborted while a merged segment is written ends the compaction with its reason", async () => {
  const controller = new AbortController();
  const reason = new Error("no more");
  const memory = createMemoryDisk();
  const disk = hooked(memory, (when, operation, path) => {
    if (when === "after" && operation === "open" && path.includes("000001.fbat.")) controller.abort(reason);
  });
  const store = await Store.open(DIRECTORY, { disk, segmentBytesMax: 8192 });
  await fill(store, 4096, 4);
  await assert.rejects(store.compact({ keepLast: 1, signal: controller.signal }), (error) => error === reason);
  assert.deepEqual(
    (await memory.list(DIRECTORY)).filter((name) => name.endsWith(".tmp")),
    [],
  );
  assert.equal(await store.count(), 4096);
  await store.close();
});

test("a reader whose every look at the files meets one that is gone is told of compaction", async () => {
  const memory = createMemoryDisk();
  let gone = false;
  const disk = hooked(memory, (when, operation, path) => {
    if (gone && when === "before" && operation === "open" && path.endsWith("000001.fbat")) throw systemError("ENOENT", "open", path);
  });
  const store = await Store.open(DIRECTORY, { disk, segmentBytesMax: 8192 });
  await fill(store, 4096, 4);
  const reader = await Store.open(DIRECTORY, { disk, readOnly: true });
  gone = true;
  await assert.rejects(reader.verify(), (error) => isStoreError(error, "COMPACTED"));
  gone = false;
  assert.deepEqual((await reader.verify()).problems, []);
  await reader.close();
  await store.close();
});

test("a record of many removed events is verified in steps", { timeout: 60_000 }, async () => {
  const events = 64 * 1024;
  const disk = createMemoryDisk();
  const store = await Store.open(DIRECTORY, { disk, segmentBytesMax: 32 * 1024 * 1024 });
  await fill(store, events, 5000);
  // Seals the segment that is to be compacted.
  await store.append({ entity: "large", scope: "s" }, rawEvent(KIND, { pad: "x".repeat(15 * 1024 * 1024) }));
  await store.append({ entity: "large", scope: "s" }, rawEvent(KIND, { pad: "x".repeat(15 * 1024 * 1024) }));
  const { removedEvents } = await store.compact({ query: {} });
  assert.ok(removedEvents > events / 2, String(removedEvents));
  let before = 0;
  const progress = ({ events: verified }: { events: number }): void => void (verified === 0 && before++);
  const turns = await turnsDuring(async () => assert.deepEqual((await store.verify({ onProgress: progress })).problems, []));
  // Clocks, sequences and rows of keys.
  const due = removedEvents / 1024;
  assert.ok(before >= due, `${before} rests before the first event, ${due} are due`);
  assert.ok(turns >= due, `${turns} turns of ${due}`);
  await store.close();
});

/** As long as an opening takes at the least, so that rests that go by the time come after few of them on any machine. */
const OPENING_MS = 0.02;

/** The disk, and how many files were opened synchronously in one turn of the event loop, at the most. */
function countingOpens(disk: Disk): { readonly disk: Disk; readonly most: () => number; readonly stop: () => void } {
  let [most, opens, stopped] = [0, 0, false];
  const turn = (): void => {
    opens = 0;
    if (!stopped) setImmediate(turn).unref();
  };
  turn();
  const counting = new Proxy(disk, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name, target);
      if (name !== "openSync") return typeof value === "function" ? (value.bind(target) as unknown) : value;
      return (path: string) => {
        most = Math.max(most, ++opens);
        const until = performance.now() + OPENING_MS;
        while (performance.now() < until);
        return target.openSync(path);
      };
    },
  });
  return { disk: counting, most: () => most, stop: () => (stopped = true) };
}

test("of thousands of segments no step of a compaction looks at all", { timeout: 60_000 }, async () => {
  const segments = 3000;
  const counting = countingOpens(createMemoryDisk());
  const options = { disk: counting.disk, segmentBytesMax: 4096, indexCacheBytes: 64 * 1024, durability: "os", checkpoint: false } as const;
  const store = await Store.open(DIRECTORY, options);
  for (let n = 0; n < segments; n++) await store.append({ entity: "e", scope: `s:${n}` }, rawEvent(KIND, { pad: "x".repeat(3500) }));
  assert.ok(store.segments().length >= segments, String(store.segments().length));
  const before = counting.most();
  // The scopes of these are looked for in all segments, in vain; then all of these become one.
  await store.compact({ query: { sequence: { from: 0, to: 9 } } });
  assert.ok(counting.most() <= Math.max(before, segments / 2), `${counting.most()} files were opened in one turn, ${before} before`);
  assert.equal((await store.scopes().toArray()).length, segments - 10);
  await store.compact({ query: {} });
  assert.ok(counting.most() <= Math.max(before, segments / 2), `${counting.most()} files were opened in one turn, ${before} before`);
  assert.deepEqual(await store.scopes().toArray(), [`s:${segments - 1}`]);
  counting.stop();
  await store.close();
});

/** How much of a turn of the event loop others take. */
const BUSY_MS = 6;

/** How many turns the event loop has while the work is done beside others who take their part of each. */
async function busyTurnsDuring(work: () => Promise<unknown>, began: () => void = () => {}): Promise<number> {
  let [turns, stopped] = [0, false];
  const turn = (): void => {
    if (stopped) return;
    turns++;
    began();
    const until = performance.now() + BUSY_MS;
    while (performance.now() < until);
    setImmediate(turn);
  };
  setImmediate(turn);
  try {
    await work();
  } finally {
    stopped = true;
  }
  return turns;
}

test("a compaction of many tiny segments goes over several of them in a turn, where others keep the event loop busy", async () => {
  const segments = 200;
  const disk = slowDisk(createMemoryDisk(), () => 1);
  const store = await Store.open(DIRECTORY, { disk, segmentBytesMax: 4096, durability: "os", checkpoint: false });
  for (let n = 0; n < segments; n++) await store.append({ entity: `e:${n % 3}`, scope: "s" }, rawEvent(KIND, { pad: "x".repeat(3500) }));
  const there = store.segments().length;
  assert.ok(there >= segments, String(there));
  const turns = await busyTurnsDuring(async () => {
    const { removedEvents } = await store.compact({ keepLast: 1 });
    assert.ok(removedEvents > segments - 10, String(removedEvents));
  });
  assert.ok(turns < segments, `${turns} turns for ${there} segments`);
  await store.close();
});

test("however long others keep the event loop busy, a compaction reads a bounded number of bytes in a turn of it", async () => {
  let [bytes, most, inAll] = [0, 0, 0];
  const count = (length: number): void => {
    bytes += length;
    inAll += length;
    most = Math.max(most, bytes);
  };
  const memory = createMemoryDisk();
  const disk = Object.assign(Object.create(memory) as Disk, {
    openSync(path: string) {
      const file = memory.openSync(path);
      const plain = file.readSync.bind(file);
      file.read = async (target, offset, length, position) => {
        count(length);
        return plain(target, offset, length, position);
      };
      file.readSync = (target, offset, length, position) => {
        count(length);
        return plain(target, offset, length, position);
      };
      return file;
    },
  });
  const store = await Store.open(DIRECTORY, { disk, segmentBytesMax: 1024 * 1024, durability: "os", checkpoint: false });
  for (let n = 0; n < 5; n++) {
    const items = Array.from({ length: 500 }, (_, i) => ({
      coordinate: { entity: `e:${i % 7}`, scope: "s" },
      event: rawEvent(KIND, { n, pad: "x".repeat(2000) }),
    }));
    await store.appendBatch(items);
  }
  inAll = most = 0;
  await busyTurnsDuring(
    async () => assert.ok((await store.compact({ query: {} })).removedEvents > 1000),
    () => (bytes = 0),
  );
  assert.ok(inAll > 4 * 1024 * 1024, `${inAll} bytes in all`);
  assert.ok(most <= 512 * 1024, `${most} bytes in one turn`);
  await store.close();
});
