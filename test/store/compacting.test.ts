/** `store.compact` on an open store: what it says, what it refuses, and what everybody beside it sees. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { isStoreError } from "../../src/base/store-error.ts";
import { defineEvent, type } from "../../src/events/definition.ts";
import type { Disk } from "../../src/disk/disk.ts";
import { systemError } from "../../src/disk/system-error.ts";
import { compactStore } from "../../src/compaction.ts";
import { Store } from "../../src/store.ts";
import { createMemoryDisk } from "../../src/testing/memory-disk.ts";
import { hooked } from "./support/hooked-disk.ts";
import { slowDisk } from "./support/slow-disk.ts";

const DIRECTORY = "/store";
const Noted = defineEvent("Noted", { schema: type<{ n: number; pad: string }>() });
const OPTIONS = { segmentBytesMax: 8192, events: [Noted] } as const;
type Noting = Store<readonly [typeof Noted]>;

const noted = (n: number): ReturnType<typeof Noted> => Noted({ n, pad: "x".repeat(300) });
const place = (n: number): { entity: string; scope: string } => ({ entity: `e:${n % 3}`, scope: `s:${n % 2}` });
const odd = { keep: ({ data }: { data: unknown }): boolean => (data as { n: number }).n % 2 === 1 } as const;
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

function open(disk: Disk, options: object = {}): Promise<Noting> {
  return Store.open(DIRECTORY, { ...OPTIONS, ...options, disk });
}

/** Appends events `[from, to)`; every tenth has a key. */
async function fill(store: Noting, from: number, to: number): Promise<void> {
  for (let n = from; n < to; n++) await store.append(place(n), noted(n), n % 10 === 0 ? { idempotencyKey: `k${n}` } : {});
}

async function numbers(store: Noting, query = {}): Promise<number[]> {
  return (await store.read(query).toArray()).map(({ data }) => (data as { n: number }).n);
}

async function scopesOf(store: Noting): Promise<string[]> {
  return (await store.scopes().toArray()).sort();
}

test("an open store is compacted, goes on, and is found so by the next one", async () => {
  const disk = createMemoryDisk();
  const store = await open(disk);
  await fill(store, 0, 120);
  const hashes = new Map((await store.read().toArray()).map(({ sequence, hash }) => [sequence, hash]));
  const before = store.segments();
  const plan = await store.compact({ ...odd, dryRun: true });
  assert.deepEqual(store.segments(), before);
  const progress: string[] = [];
  const report = await store.compact({
    ...odd,
    onProgress: ({ step, segments, segmentsTotal }) => progress.push(`${step} ${segments}/${segmentsTotal}`),
  });
  assert.deepEqual({ ...report, applied: false, removedBytes: plan.removedBytes }, plan);
  assert.ok(report.applied && report.removedEvents > 30, JSON.stringify(report));
  assert.equal(progress.at(-1)?.startsWith("write"), true, progress.join());
  assert.equal(await store.count(), 120 - report.removedEvents);
  assert.equal((await store.stats()).events, 120 - report.removedEvents);
  assert.ok(store.segments().length < before.length);
  assert.equal(store.segments()[0]?.generation, report.ranges.length > 0 ? 1 : 0);
  await fill(store, 120, 200);
  for (let n = 0; n < 120; n += 10) {
    assert.equal((await store.append(place(n), noted(n), { idempotencyKey: `k${n}` })).sequence, n, "a retry has its first receipt");
    await assert.rejects(store.append(place(n), noted(n + 1), { idempotencyKey: `k${n}` }), { code: "IDEMPOTENCY_MISMATCH" });
  }
  const there = await store.read().toArray();
  assert.equal(there.length, 200 - report.removedEvents);
  for (const { sequence, hash } of there) if (sequence < 120) assert.equal(hash, hashes.get(sequence));
  const verified = await store.verify();
  assert.deepEqual([verified.problems, verified.removed], [[], report.removedEvents]);
  const again = await store.compact(odd);
  assert.ok(again.removedEvents > 10, "what was the newest segment then");
  assert.deepEqual((await store.verify()).problems, []);
  const left = await numbers(store);
  const segments = store.segments().length;
  await store.close();
  const names = await disk.list(DIRECTORY);
  assert.deepEqual(
    names.filter((name) => name.endsWith(".tmp")),
    [],
  );
  assert.equal(names.filter((name) => name.endsWith(".fbat")).length, segments);
  const next = await open(disk);
  assert.equal(next.openReport.route, "checkpoint", next.openReport.reasons.join());
  assert.deepEqual(await numbers(next), left);
  assert.deepEqual((await next.verify()).problems, []);
  await next.close();
});

test("what cannot be compacted, or not so, is told", async () => {
  const disk = createMemoryDisk();
  const store = await open(disk);
  await fill(store, 0, 60);
  const bad = async (options: object, what: RegExp): Promise<void> => {
    await assert.rejects(store.compact(options), { code: "INVALID_ARGUMENT", message: what });
  };
  await bad({}, /nothing says what goes/);
  await bad({ keepLast: 0 }, /keepLast is 0/);
  await bad({ keepLast: 1, disk }, /the option disk is unknown/);
  await bad({ keepNewerThan: Number.NaN }, /no time/);
  await bad({ keep: 1 }, /keep is 1, a function is allowed/);
  await bad({ keepLast: 1, onProgress: 1 }, /onProgress is 1, a function is allowed/);
  await bad({ keepLast: 1, signal: 1 }, /signal is 1, an AbortSignal is allowed/);
  await bad({ keepLast: 1, segmentBytesMax: 1 }, /segmentBytesMax is 1/);
  await bad({ keepLast: 1, dryRun: "no" }, /dryRun is "no"/);
  for (const options of [undefined, null, []]) await bad(options as unknown as object, /the options are/);
  // What has gone missing on the way to here: less would be kept, or more be asked for, than was meant.
  await bad({ query: { scope: undefined } }, /scope of the query is there and undefined/);
  await bad({ query: [{ scope: "s" }, { entity: undefined }], keepLast: 1 }, /entity of the query is there and undefined/);
  await bad({ query: { sequence: { before: undefined } } }, /before of sequence is there and undefined/);
  await bad({ query: { scope: "s", time: { from: 1, to: undefined } } }, /to of time is there and undefined/);
  await bad({ query: { scope: "s" }, keepNewerThan: undefined }, /keepNewerThan is there and undefined/);
  await bad({ query: { scope: "s" }, keepLast: undefined }, /keepLast is there and undefined/);
  await bad({ keepLast: 1, query: undefined }, /query is there and undefined/);
  for (const answer of [undefined, 1, "yes", {}]) await bad({ keep: () => answer }, /keep returned .*, true and false are allowed/);
  await bad({ keep: () => Promise.reject(new Error("nobody's")) }, /keep returned a promise/);
  assert.equal(await store.count(), 60);
  const reader = await open(disk, { readOnly: true });
  await assert.rejects(reader.compact({ keepLast: 1 }), { code: "READ_ONLY", message: /^Cannot compact: / });
  await reader.close();
  await assert.rejects(compactStore(DIRECTORY, { keepLast: 1, disk }), { code: "LOCKED" });
  await assert.rejects(
    store.compact({
      keep: () => {
        throw new RangeError("mine");
      },
    }),
    new RangeError("mine"),
  );
  await store.close();
  await assert.rejects(store.compact({ keepLast: 1 }), { code: "CLOSED" });
  const other = await Store.open("/other", { disk, layout: "batpak-0.3" });
  await assert.rejects(other.compact({ keepLast: 1 }), { code: "UNSUPPORTED_BY_LAYOUT" });
  await other.close();
});

test("what is removed is what the query said when it was asked for, also where the compaction waits for another", async () => {
  const store = await open(createMemoryDisk());
  await fill(store, 0, 120);
  const query = { sequence: { before: 10 } };
  const first = store.compact({ keepLast: 1000 });
  const second = store.compact({ query, dryRun: true });
  query.sequence.before = 1000;
  await first;
  const { removedEvents, heldEvents } = await second;
  assert.ok(removedEvents + heldEvents <= 10, `${removedEvents} of 10`);
  await store.close();
});

test("a time that is a Date is the one that it was when it was given", async () => {
  const disk = createMemoryDisk();
  const store = await open(disk);
  await fill(store, 0, 120);
  const { timestamp } = (await store.read().first()) as { timestamp: number };
  const late = timestamp + 1_000_000_000;
  for (const rulesBy of [(date: Date) => ({ keepNewerThan: date }), (date: Date) => ({ query: { time: { before: date } } })]) {
    const date = new Date(timestamp - 1000);
    const compacting = store.compact({ ...rulesBy(date), dryRun: true });
    date.setTime(late);
    assert.deepEqual(await compacting.then(({ removedEvents, heldEvents }) => [removedEvents, heldEvents]), [0, 0]);
  }
  // No range at all is not a range without bounds.
  await assert.rejects(store.compact({ query: { time: new Date(late) as never } }), { code: "INVALID_ARGUMENT" });
  await store.close();
  const date = new Date(timestamp - 1000);
  const query = { sequence: { before: 0 } };
  const compacting = compactStore(DIRECTORY, { disk, keepNewerThan: date, query });
  date.setTime(late);
  query.sequence.before = 1000;
  assert.equal((await compacting).removedEvents, 0);
});

test("thousands of scopes that lose their events are gone, and no others", async () => {
  const store = await open(createMemoryDisk(), { segmentBytesMax: 512 * 1024 });
  for (let n = 0; n < 8000; ) {
    const batch = Array.from({ length: 500 }, () => {
      const coordinate = { entity: "e", scope: `s:${n % 5000}` };
      return { coordinate, event: Noted({ n: n++, pad: "" }) };
    });
    await store.appendBatch(batch);
  }
  const { removedEvents } = await store.compact({ query: { sequence: { before: 3400 } } });
  assert.equal(removedEvents, 3400);
  const left = new Set(Array.from({ length: 4600 }, (_, i) => `s:${(3400 + i) % 5000}`));
  assert.equal(left.size, 4600);
  assert.deepEqual(await scopesOf(store), [...left].sort());
  await store.close();
});

test("compactions take turns, a signal ends one, and closing ends them all", async () => {
  const disk = slowDisk(createMemoryDisk(), () => 1);
  const store = await open(disk);
  await fill(store, 0, 150);
  const [first, second] = await Promise.all([store.compact({ query: { scope: "s:0" } }), store.compact({ query: { scope: "s:1" } })]);
  assert.ok(first.removedEvents > 30 && second.removedEvents > 30);
  assert.deepEqual((await store.verify()).problems, []);
  await fill(store, 150, 300);
  const left = await numbers(store);
  const controller = new AbortController();
  const reason = new Error("no more");
  const stopped = store.compact({ keepLast: 2, signal: controller.signal, onProgress: () => controller.abort(reason) });
  await assert.rejects(stopped, reason);
  await assert.rejects(store.compact({ keepLast: 2, signal: controller.signal }), reason);
  assert.deepEqual(await numbers(store), left);
  const ends: unknown[] = [];
  const note = (error: unknown): void => void ends.push((error as { code: string }).code);
  const [one, other] = [store.compact({ keepLast: 2 }).catch(note), store.compact({ keepLast: 3 }).catch(note)];
  await turn();
  await turn();
  await store.close();
  await Promise.all([one, other]);
  assert.deepEqual(ends, ["CLOSED", "CLOSED"]);
  assert.deepEqual(
    (await disk.list(DIRECTORY)).filter((name) => name.endsWith(".tmp")),
    [],
  );
  const next = await open(disk);
  assert.deepEqual((await next.verify()).problems, []);
  assert.deepEqual(
    (await numbers(next)).filter((n) => !left.includes(n)),
    [],
  );
  await next.close();
});

test("a scope without events is no scope any more, until it has one again", async () => {
  const disk = createMemoryDisk();
  const store = await open(disk);
  for (let n = 0; n < 60; n++) await store.append({ entity: "e", scope: n < 20 ? "early" : "late" }, noted(n));
  await store.append({ entity: "e", scope: "soon" }, noted(60));
  assert.deepEqual(await scopesOf(store), ["early", "late", "soon"]);
  await store.compact({ query: { scope: "early" } });
  assert.deepEqual(await scopesOf(store), ["late", "soon"]);
  await store.checkpoint();
  const reader = await open(disk, { readOnly: true });
  assert.deepEqual(await scopesOf(reader), ["late", "soon"]);
  await reader.close();
  await store.append({ entity: "e", scope: "early" }, noted(61));
  assert.deepEqual(await scopesOf(store), ["early", "late", "soon"]);
  await store.close();
  const next = await open(disk);
  assert.deepEqual(await scopesOf(next), ["early", "late", "soon"]);
  await next.close();
});

test("pages and frames of what was replaced are let go of: nothing is read at its old place", async () => {
  const disk = createMemoryDisk();
  const store = await open(disk);
  await fill(store, 0, 120);
  const all = await store.read().toArray();
  // Twice: what is asked for again is held.
  for (let round = 0; round < 3; round++) for (const { id } of all) await store.get(id);
  const held = (await store.stats()).indexCacheBytes;
  await store.compact(odd);
  const { indexCacheBytes } = await store.stats();
  assert.ok(indexCacheBytes < held / 2, `${indexCacheBytes} of ${held} bytes of pages are still held`);
  const left = new Map((await store.read().toArray()).map((event) => [event.id, event]));
  for (let round = 0; round < 3; round++) {
    for (const { id, hash, data } of all) {
      const found = await store.get(id);
      assert.equal(found?.hash ?? null, left.has(id) ? hash : null);
      if (found !== null) assert.deepEqual(found.data, data);
    }
  }
  await store.close();
});

test("a key is answered in every turn of a compaction", async () => {
  const disk = slowDisk(createMemoryDisk(), () => 1);
  const store = await open(disk);
  await fill(store, 0, 120);
  let turns = 0;
  let goesOn = true;
  const retrying = (async () => {
    for (; goesOn; turns++) {
      const n = (turns * 10) % 120;
      const receipt = await store.append(place(n), noted(n), { idempotencyKey: `k${n}` });
      assert.equal(receipt.sequence, n);
      await turn();
    }
  })();
  const { removedEvents } = await store.compact({ query: {} });
  goesOn = false;
  await retrying;
  assert.ok(removedEvents > 50 && turns > 20, `${removedEvents} removed, ${turns} turns`);
  assert.equal(await store.count(), 120 - removedEvents);
  await store.close();
});

for (const [name, way] of Object.entries({
  "did not happen": { effect: false, readable: true },
  happened: { effect: true, readable: true },
  "nobody can tell of": { effect: true, readable: false },
})) {
  test(`a rename that failed and ${name}`, async () => {
    const memory = createMemoryDisk();
    const disk = slowDisk(memory, () => 0);
    const store = await open(disk);
    await fill(store, 0, 90);
    const before = await numbers(store);
    const failure = systemError("EIO", "rename");
    let failed = false;
    disk[way.effect ? "after" : "before"] = (verb, path) => {
      if (verb !== "rename" || !path.endsWith(".fbat")) return;
      failed = true;
      throw failure;
    };
    const { openSync } = disk;
    disk.openSync = (path) => {
      if (failed && !way.readable) throw systemError("EIO", "open", path);
      return openSync(path);
    };
    const compacting = store.compact(odd);
    if (name === "happened") assert.ok((await compacting).removedEvents > 20);
    else await assert.rejects(compacting, { code: "IO" });
    disk.before = disk.after = () => {};
    failed = false;
    if (name === "nobody can tell of") {
      await assert.rejects(store.append(place(0), noted(90)), { code: "POISONED" });
      assert.deepEqual(await numbers(store), before, "what was readable remains so");
      await store.close().catch(() => {});
    } else {
      await fill(store, 90, 120);
      if (name !== "happened") assert.ok((await store.compact(odd)).removedEvents > 20);
      assert.deepEqual((await store.verify()).problems, []);
      await store.close();
    }
    assert.deepEqual(
      (await memory.list(DIRECTORY)).filter((file) => file.endsWith(".tmp")),
      [],
    );
    const next = await open(memory);
    assert.deepEqual((await next.verify()).problems, []);
    const there = new Set(await numbers(next));
    assert.deepEqual(
      before.filter((n) => n % 2 === 1 && !there.has(n)),
      [],
    );
    await next.close();
  });
}

test("reads under way go on over a compaction: in order, each event once, and nothing that stays is missing", async () => {
  const disk = createMemoryDisk();
  const store = await open(disk, { indexCacheBytes: 64 * 1024 });
  await fill(store, 0, 160);
  const reads = {
    forward: store.read()[Symbol.asyncIterator](),
    backward: store.read({}, { direction: "backward" })[Symbol.asyncIterator](),
    entity: store.read({ entity: "e:1" })[Symbol.asyncIterator](),
    batches: flat(store.read({ scope: "s:1" }).batches()),
    placed: flat(store.readPlaced({}, { direction: "backward" })),
    subscription: store.subscribe()[Symbol.asyncIterator](),
  };
  const given: Record<string, number[]> = {};
  const take = async (name: keyof typeof reads, count: number): Promise<boolean> => {
    given[name] ??= [];
    for (; count > 0; count--) {
      const next = await reads[name].next();
      if (next.done === true) return false;
      const { event = next.value } = next.value as { event?: { sequence: number } };
      given[name].push((event as { sequence: number }).sequence);
    }
    return true;
  };
  const names = Object.keys(reads) as (keyof typeof reads)[];
  for (const [i, name] of names.entries()) await take(name, 1 + i);
  const { removedEvents } = await store.compact(odd);
  assert.ok(removedEvents > 40);
  await fill(store, 160, 170);
  const left = await store.read().toArray();
  for (const name of names) {
    if (name === "subscription") while ((given[name]?.at(-1) ?? 0) < 169) await take(name, 1);
    else while (await take(name, 1));
    const sequences = given[name] as number[];
    if (name === "backward" || name === "placed") sequences.reverse();
    assert.deepEqual(
      sequences,
      [...new Set(sequences)].sort((a, b) => a - b),
      `${name}: in order, each once`,
    );
    const mustBe = left.filter(({ sequence, entity, scope }) => {
      if (name === "entity" && entity !== "e:1") return false;
      if (name === "batches" && scope !== "s:1") return false;
      return name === "subscription" || sequence < 160;
    });
    assert.deepEqual(
      mustBe.filter(({ sequence }) => !sequences.includes(sequence)),
      [],
      name,
    );
  }
  await store.close();
});

async function* flat<Item>(batches: AsyncIterable<readonly Item[]>): AsyncGenerator<Item, undefined> {
  for await (const batch of batches) yield* batch;
}

test("a segment that is full is not closed under a sync that somebody asked for", async () => {
  const disk = slowDisk(createMemoryDisk(), () => 2);
  const store = await open(disk, { durability: "os", segmentBytesMax: 4096 });
  let syncing = true;
  const syncs = (async () => {
    while (syncing) {
      await store.sync();
      await turn();
    }
  })();
  await fill(store, 0, 60);
  syncing = false;
  await syncs;
  assert.equal(await store.count(), 60);
  await store.close();
});

test("no checkpoint is written across the commit of a range: it would picture files that are not there any more", async () => {
  const disk = slowDisk(createMemoryDisk(), () => 0);
  const store = await open(disk, { checkpoint: { everyEvents: 100_000 } });
  await fill(store, 0, 120);
  await store.checkpoint();
  const story: string[] = [];
  disk.before = async (verb, path) => {
    if (verb !== "rename") return;
    // Held for longer than the segments are merged in.
    if (path.endsWith("index.ckpt") && story.length === 0) for (let turns = 0; turns < 3000; turns++) await turn();
    story.push(path.endsWith(".fbat") ? "segment" : "checkpoint");
  };
  await Promise.all([store.checkpoint(), store.compact(odd)]);
  await store.close();
  assert.equal(story[0], "checkpoint", story.join());
  assert.ok(story.indexOf("segment") > 0 && story.lastIndexOf("checkpoint") > story.lastIndexOf("segment"), story.join());
});

/** The disk of a reader before whose listings the writer appends, and after which it compacts what was listed, so many times. */
function disturbed(disk: Disk, store: Noting, times: number): { readonly disk: Disk; readonly left: () => number } {
  let left = times;
  const disturbing = hooked(disk, async (when, operation) => {
    if (operation !== "list" || left === 0) return;
    if (when === "before") return await fill(store, 0, 60);
    left--;
    await store.compact(odd);
  });
  return { disk: disturbing, left: () => left };
}

test("a reader is opened beside a writer that compacts again and again, and told so where it never ends", async () => {
  const disk = createMemoryDisk();
  const store = await open(disk);
  const some = disturbed(disk, store, 20);
  const reader = await open(some.disk, { readOnly: true });
  assert.equal(some.left(), 0);
  assert.deepEqual(await numbers(reader), await numbers(store));
  await reader.close();
  const endless = disturbed(disk, store, Number.POSITIVE_INFINITY);
  await assert.rejects(open(endless.disk, { readOnly: true }), (error) => {
    assert(isStoreError(error, "COMPACTED"), String(error));
    assert.equal(typeof error.details.segmentId, "number");
    return true;
  });
  await store.close();
});

test("a segment whose file is gone, though nobody compacts, is no compaction for who opens beside its writer", async () => {
  const disk = createMemoryDisk();
  const store = await open(disk);
  await fill(store, 0, 60);
  const missing = hooked(disk, (when, operation, path) => {
    if (when === "before" && operation === "open" && path.endsWith("000002.fbat")) throw systemError("ENOENT", "open", path);
  });
  const openSync = (path: string): ReturnType<Disk["openSync"]> => {
    if (path.endsWith("000002.fbat")) throw systemError("ENOENT", "open", path);
    return disk.openSync(path);
  };
  const gone = new Proxy(missing, { get: (target, name) => (name === "openSync" ? openSync : (Reflect.get(target, name) as unknown)) });
  await assert.rejects(open(gone, { readOnly: true }), (error) => isStoreError(error, "IO"));
  await store.close();
});

test("a follower whose next segment is removed between two looks at it looks again", async () => {
  const disk = createMemoryDisk();
  const store = await open(disk);
  await fill(store, 0, 10);
  let isArmed = false;
  let compactions = 0;
  const disturbed = hooked(disk, async (when, operation, path) => {
    if (!isArmed || when !== "after" || operation !== "status" || !/00000[3-9]\.fbat$/.test(path)) return;
    isArmed = false;
    compactions++;
    await store.compact(odd);
  });
  const reader = await open(disturbed, { readOnly: true });
  await fill(store, 0, 120);
  isArmed = true;
  await reader.refresh();
  assert.equal(compactions, 1);
  assert.deepEqual(await numbers(reader), await numbers(store));
  await reader.close();
  await store.close();
});
