/** An index block whose pages turn out bad while the store is used: rebuilt from the frames, and no answer changes. */
import assert from "node:assert/strict";
import { subscribe } from "node:diagnostics_channel";
import { test } from "node:test";
import { defineEvent, Store, type } from "../../src/index.ts";
import {
  blockSeed,
  INDEX_ENTITY,
  INDEX_TRAILER,
  pageChecksum,
  pageDataBytes,
  pageOffset,
} from "../../src/format/native/index-block-layout.ts";
import { decodeIndexRoot, decodeIndexTrailer } from "../../src/format/native/index-block-root.ts";
import { SEGMENT_HEADER } from "../../src/format/native/segment-header.ts";
import { segmentName } from "../../src/log/segment-files.ts";
import { SimulatedDisk } from "../../src/testing/sim-disk.ts";
import { spoilPages } from "./support/bad-pages.ts";
import { framesOf } from "./support/log-image.ts";

const Noted = defineEvent("Noted", { schema: type<{ n: number }>() });

test("a bad page met by get, head, count, a key and a read changes no answer", async () => {
  const disk = new SimulatedDisk();
  const writing = await Store.open("/store", { disk, segmentBytesMax: 8192 });
  const ids: string[] = [];
  for (let n = 0; n < 300; n++) {
    const receipt = await writing.append({ entity: `e${n % 5}`, scope: `s${n % 3}` }, Noted({ n }), { idempotencyKey: `k${n}` });
    ids.push(receipt.id);
  }
  const segments = writing.segments().filter(({ sealed }) => sealed);
  assert(segments.length > 2);
  await writing.close();
  for (const { id, bytes } of segments) {
    const path = `/store/${String(id).padStart(6, "0")}.fbat`;
    // Pages lie right behind the frames; root and trailer, at the end, stay right.
    for (let at = bytes; at < disk.bytesOf(path).length - 600; at += 40) disk.corrupt(path, at, (byte) => byte ^ 1);
  }
  const rebuilt = new Set<unknown>();
  subscribe("batpak:index-rebuilt", (message) => rebuilt.add((message as { segmentId: unknown }).segmentId));
  const store = await Store.open("/store", { disk });
  for (const [n, id] of ids.entries()) assert.equal((await store.get(id))?.sequence, n);
  assert.equal(await store.count({ scope: "s1" }), 100);
  assert.equal((await store.head("e3"))?.sequence, 298);
  assert.deepEqual(
    (await store.read({ entity: "e2" }, { direction: "backward" }).toArray()).map((event) => event.clock),
    Array.from({ length: 60 }, (_, i) => 59 - i),
  );
  const again = await store.append({ entity: "e0", scope: "s0" }, Noted({ n: 0 }), { idempotencyKey: "k0" });
  assert.equal(again.id, ids[0]);
  assert.equal(rebuilt.size, segments.length, "every bad index was met and rebuilt");
  await store.close();
});

test("bad pages of all segments, met from the newest backwards, change no answer either", async () => {
  // Making one index anew leads to those before it: the error of another segment's page was what the read rejected with.
  const disk = new SimulatedDisk();
  const writing = await Store.open("/store", { disk, segmentBytesMax: 8192 });
  for (let n = 0; n < 200; n++) await writing.append({ entity: `e${n % 5}`, scope: "s" }, Noted({ n }));
  const segments = writing.segments().filter(({ sealed }) => sealed);
  assert(segments.length > 2);
  await writing.close();
  for (const { id } of segments) spoilPages(disk, `/store/${String(id).padStart(6, "0")}.fbat`);
  for (const look of ["read", "stream", "count"] as const) {
    const store = await Store.open("/store", { disk, readOnly: true });
    if (look === "read") assert.equal((await store.read({}, { direction: "backward" }).toArray()).length, 200);
    if (look === "stream") assert.equal((await store.read({ entity: "e1" }).toArray()).length, 40);
    if (look === "count") assert.equal(await store.count({ entity: "e1", clock: { from: 0 } }), 40);
    await store.close();
  }
});

/** Has a store make the index of a segment anew, which looks through it, and keep it: in a checkpoint, and in the block that the next one writes. */
async function keepRebuilt(disk: SimulatedDisk, look: (store: Store) => Promise<unknown>): Promise<void> {
  const store = await Store.open("/store", { disk });
  await look(store);
  await store.append({ entity: "z", scope: "s" }, Noted({ n: -1 }));
  await store.checkpoint();
  await store.close();
  await (await Store.open("/store", { disk })).close();
}

// The block that was written from what was made anew had no records: without the checkpoint kinds had no names, and consumers no positions.
test("an index that is made anew, and the block that is written from it, have the segment's system records", async () => {
  const disk = new SimulatedDisk();
  const writing = await Store.open("/store", { disk, segmentBytesMax: 8192 });
  for (let n = 0; n < 100; n++) await writing.append({ entity: `e${n % 5}`, scope: "s" }, Noted({ n }));
  await writing.close();
  spoilPages(disk, "/store/000001.fbat");
  const damaged = new SimulatedDisk();
  for (const path of disk.paths()) damaged.put(path, disk.bytesOf(path).slice());
  await keepRebuilt(disk, (store) => store.count({ entity: "e1", clock: { from: 0 } }));
  disk.put("/store/index.ckpt", null);
  const store = await Store.open("/store", { disk });
  assert.equal(store.openReport.route, "index-blocks");
  assert.equal((await store.read().first())?.type, "Noted");
  assert.deepEqual((await store.verify()).problems, []);
  await store.close();

  // Where damage took the record, no block says that there was none.
  damaged.corrupt("/store/000001.fbat", SEGMENT_HEADER.bytes + 80, (byte) => byte ^ 1);
  await keepRebuilt(damaged, (opened) => opened.count({ entity: "e1", clock: { from: 0 } }));
  damaged.put("/store/index.ckpt", null);
  await assert.rejects(Store.open("/store", { disk: damaged }), { code: "CORRUPT" });
});

// The later segment's rows led from the entity's event there to the one before the lost one, and the block that was written from them for good.
test("an index that is made anew behind a segment of which events were lost is not kept", async () => {
  const disk = new SimulatedDisk();
  const writing = await Store.open("/store", { disk, segmentBytesMax: 8192 });
  const rare = { entity: "rare", scope: "s" };
  for (let segment = 1; segment <= 4; segment++) {
    await writing.append(rare, Noted({ n: segment }));
    while (writing.segments().length === segment) await writing.append({ entity: "e", scope: "s" }, Noted({ n: 0 }));
  }
  await writing.close();
  const second = framesOf(disk, 2);
  // Its first event made the segment, its second is the rare one.
  disk.corrupt("/store/000002.fbat", second[1].offset + 60, (byte) => byte ^ 1);
  for (const id of [2, 3]) spoilPages(disk, `/store/00000${id}.fbat`);
  const look = (store: Store): Promise<void> => assert.rejects(store.read({ entity: "rare" }).toArray(), { code: "CORRUPT" });
  await keepRebuilt(disk, look);
  const store = await Store.open("/store", { disk });
  await look(store);
  await store.close();
});

// With the rows behind what was lost in other places, reads under way passed over as many events as were lost, and an id led to a later one's sequence.
test("an index made anew without what damage took moves no event that is read across it", async () => {
  const disk = new SimulatedDisk();
  const writing = await Store.open("/store", { disk, segmentBytesMax: 256 * 1024 });
  const batch = Array.from({ length: 100 }, (_, i) => Noted({ n: i }));
  while (writing.segments().length < 3) for (let e = 0; e < 5; e++) await writing.append({ entity: `e${e}`, scope: "s" }, batch);
  await writing.close();
  const store = await Store.open("/store", { disk, indexCacheBytes: 2 ** 16 });
  const end = await store.count();
  const known = await store.read({}, { after: 699, limit: 1 }).first();
  assert(known !== null);
  assert.equal((await store.get(known.id))?.sequence, 700);
  const forward = store.read({}, { after: 599 })[Symbol.asyncIterator]();
  const backward = store.read({ entity: "e1" }, { direction: "backward" })[Symbol.asyncIterator]();
  const placed = store.readPlaced({ scope: "s" }, { after: 599 });
  const [seen, reversed]: [number[], number[]] = [[], []];
  const ofStream = (await store.read({ entity: "e1" }).toArray()).map(({ sequence }) => sequence).filter((sequence) => sequence >= 600);
  seen.push((await forward.next()).value?.sequence ?? -1);
  // One of the first segment.
  while ((reversed.at(-1) ?? end) > 1500) reversed.push((await backward.next()).value?.sequence ?? -1);
  const first = (await placed.next()).value?.map(({ event }) => event.sequence) ?? [];

  const frames = framesOf(disk, 1).filter(({ seal }) => !seal);
  for (const frame of frames.slice(100, 103)) disk.corrupt("/store/000001.fbat", frame.offset + 100, (byte) => byte ^ 1);
  spoilPages(disk, "/store/000001.fbat");
  // What is held of the index goes, and a bad page is met.
  for (let round = 0; round < 5; round++) await store.count({ clock: { from: 1 }, time: { from: 1 } }).catch(() => {});
  await assert.rejects(store.read({ entity: "e0" }).toArray(), { code: "CORRUPT" });

  for (let next = await forward.next(); next.done !== true; next = await forward.next()) seen.push(next.value.sequence);
  assert.deepEqual(
    seen,
    Array.from({ length: end - 600 }, (_, i) => 600 + i),
  );
  for await (const events of placed) first.push(...events.map(({ event }) => event.sequence));
  assert.deepEqual(first, seen);
  while ((reversed.at(-1) ?? -1) > ofStream[0]) reversed.push((await backward.next()).value?.sequence ?? -1);
  assert.deepEqual(reversed, ofStream.toReversed());
  assert.equal((await store.get(known.id))?.sequence, 700);
  await store.close();
});

test("a bad page that is needed only once the frames are there changes no answer either", async () => {
  // After a compaction sequences lie in pages of their own, which nothing looks at before the frames are loaded. Where those came asynchronously,
  // the read rejected with the index's inner error, and so did each one after it.
  const disk = new SimulatedDisk();
  const options = { disk, segmentBytesMax: 256 * 1024 };
  const writing = await Store.open("/store", options);
  for (let n = 0; n < 60; n++) {
    const events = Array.from({ length: 50 }, (_, i) => ({ kind: 0x1000 + (i & 1), data: { n, pad: "p".repeat(100) } }));
    await writing.append({ entity: `e${n % 5}`, scope: "s" }, events);
  }
  await writing.compact({ query: { kind: 0x1001 }, keepLast: 1 });
  const expected = (await writing.read().toArray()).map(({ sequence }) => sequence);
  const [first] = writing.segments();
  await writing.close();
  const path = `/store/${String(first.id).padStart(6, "0")}.fbat`;
  const pages = { from: first.bytes, to: disk.bytesOf(path).length - 600 };
  const whole = disk.bytesOf(path).slice();
  for (let at = pages.from; at < pages.to; at += 2000) {
    disk.put(path, whole);
    disk.corrupt(path, at, (byte) => byte ^ 1);
    for (const direction of ["forward", "backward"] as const) {
      const store = await Store.open("/store", { ...options, readOnly: true });
      const sequences = (await store.read({}, { direction }).toArray()).map(({ sequence }) => sequence);
      assert.deepEqual(direction === "forward" ? sequences : sequences.reverse(), expected, `a bad page at ${at}, ${direction}`);
      await store.close();
    }
  }
});

test("a bad page met when a store opens without a checkpoint leaves no trace in the rows made from the frames", async () => {
  // The entities of the pages before it had been entered already: the scan that followed took their last events for those before their first.
  const disk = new SimulatedDisk();
  const options = { disk, segmentBytesMax: 1024 * 1024 };
  const writing = await Store.open("/store", options);
  for (let from = 0; from < 15_000; from += 600) {
    const batch = Array.from({ length: 600 }, (_, i) => ({
      coordinate: { entity: `a rather long name of an entity ${(from + i) % 2500}`, scope: `s${i % 3}` },
      event: Noted({ n: from + i }),
    }));
    await writing.appendBatch(batch);
  }
  const expected = new Map<string, number[]>();
  for (const n of [0, 1, 1250, 2300, 2499]) {
    const entity = `a rather long name of an entity ${n}`;
    const stream = await writing.read({ entity }, { direction: "backward" }).toArray();
    expected.set(
      entity,
      stream.map((event) => event.clock),
    );
  }
  const sealed = writing.segments().filter((segment) => segment.sealed);
  assert.equal(sealed.length, 2);
  await writing.close();
  disk.put("/store/index.ckpt", null);
  for (const { id, bytes } of sealed.slice(0, 2)) {
    const path = `/store/${String(id).padStart(6, "0")}.fbat`;
    const whole = new Map(disk.paths().map((name) => [name, disk.bytesOf(name).slice()]));
    const end = disk.bytesOf(path).length - 600;
    for (let at = bytes; at < end; at += (end - bytes) / 13) {
      disk.corrupt(path, Math.floor(at), (byte) => byte ^ 1);
      for (const again of [false, true]) {
        const about = `with byte ${Math.floor(at)} changed${again ? ", opened again" : ""}`;
        const store = await Store.open("/store", options);
        for (const [entity, clocks] of expected) {
          const stream = await store.read({ entity }, { direction: "backward" }).toArray();
          assert.deepEqual(
            stream.map((event) => event.clock),
            clocks,
            `${entity} ${about}`,
          );
        }
        // A page that nothing has asked for yet is still bad on disk.
        const [problem] = (await store.verify()).problems;
        if (problem !== undefined) assert.match(problem.message, /page \d+ is bad/, about);
        await store.close();
      }
      for (const name of disk.paths()) disk.put(name, whole.get(name) ?? null);
    }
  }
});

// The page had been right when the block was looked at, and was read anew to enter it: the opening ended in the index's inner error.
test("a page that turns bad between any two reads of an opening leads to the frames", async () => {
  const disk = new SimulatedDisk();
  const writing = await Store.open("/store", { disk, segmentBytesMax: 8192 });
  for (let n = 0; n < 200; n++) await writing.append({ entity: `e${n % 5}`, scope: "s" }, Noted({ n }));
  const sealed = writing.segments().filter((segment) => segment.sealed);
  await writing.close();
  disk.put("/store/index.ckpt", null);
  for (const { id } of sealed.slice(0, 3)) {
    const path = `/store/${segmentName(id)}`;
    let isSpoilt = true;
    for (let reads = 1; isSpoilt; reads++) {
      const copy = disk.diskAfterKill();
      let left = reads;
      copy.faults = (operation) => {
        if (operation.kind === "read" && operation.path === path && --left === 0) spoilPages(copy, path);
        return undefined;
      };
      const store = await Store.open("/store", { disk: copy, readOnly: true });
      isSpoilt = left <= 0;
      copy.faults = undefined;
      assert.equal(store.openReport.route, "index-blocks");
      assert.deepEqual(store.openReport.problems, []);
      for (let e = 0; e < 5; e++) assert.equal(await store.count({ entity: `e${e}` }), 40);
      assert.equal((await store.read({}).toArray()).length, 200);
      await store.close();
    }
  }
});

test("an entry that leads to a later event, in a page whose checksum is right, is made anew from the frames", async () => {
  const disk = new SimulatedDisk();
  const writing = await Store.open("/store", { disk, segmentBytesMax: 8192 });
  for (let n = 0; n < 200; n++) await writing.append({ entity: `e${n % 5}`, scope: "s" }, Noted({ n }));
  const [, second] = writing.segments();
  await writing.close();
  const path = `/store/${String(second.id).padStart(6, "0")}.fbat`;
  const bytes = disk.bytesOf(path).slice();
  const end = decodeIndexTrailer(bytes.subarray(-INDEX_TRAILER.bytes), bytes.length);
  assert(end.ok);
  const rootAt = bytes.length - INDEX_TRAILER.bytes - end.trailer.rootBytes;
  const decoded = decodeIndexRoot(bytes.subarray(rootAt, rootAt + end.trailer.rootBytes), end.trailer);
  assert(decoded.ok);
  const { root, layout } = decoded;
  const at = bytes.length - end.trailer.blockBytes + pageOffset(layout.entityDetails, 0);
  const page = bytes.subarray(at, at + pageDataBytes(layout.entityDetails, 0));
  const view = new DataView(bytes.buffer, at);
  for (let entry = 0; entry < page.length; entry += INDEX_ENTITY.bytes) view.setFloat64(entry + INDEX_ENTITY.previousSequence, 199, true);
  view.setUint32(
    page.length,
    pageChecksum(page, blockSeed(root.storeId, root.segmentId, root.generation), layout.entityDetails.firstPage),
    true,
  );
  disk.put(path, bytes);
  const store = await Store.open("/store", { disk });
  for (let e = 0; e < 5; e++) {
    const stream = await store.read({ entity: `e${e}` }, { direction: "backward" }).toArray();
    assert.deepEqual(
      stream.map(({ clock }) => clock),
      Array.from({ length: 40 }, (_, i) => 39 - i),
    );
  }
  await store.close();
});

test("an event is found by its id in a segment whose seal is damaged, by who only reads", async () => {
  const disk = new SimulatedDisk();
  const writing = await Store.open("/store", { disk, segmentBytesMax: 8192 });
  const ids: string[] = [];
  for (let n = 0; n < 150; n++) ids.push((await writing.append({ entity: `e${n % 5}`, scope: "s" }, Noted({ n }))).id);
  const [first, second] = writing.segments();
  await writing.close();
  disk.put("/store/index.ckpt", null);
  for (const { id, bytes } of [first, second]) {
    const path = `/store/${String(id).padStart(6, "0")}.fbat`;
    const whole = disk.bytesOf(path).slice();
    disk.corrupt(path, bytes - 20, (byte) => byte ^ 1);
    const store = await Store.open("/store", { disk, readOnly: true });
    assert.notEqual(store.openReport.problems.length, 0);
    for (const [sequence, eventId] of ids.entries()) assert.equal((await store.get(eventId))?.sequence, sequence);
    await store.close();
    disk.put(path, whole);
  }
});

for (const [part, code] of [
  ["a page", "INDEX_MISMATCH"],
  ["the root", "INDEX_UNUSABLE"],
  ["the trailer", "INDEX_UNUSABLE"],
] as const) {
  test(`verify tells that ${part} of a block is bad before anything was read and after, and the next writer has it made anew`, async () => {
    for (const reads of [false, true]) {
      const disk = new SimulatedDisk();
      const writing = await Store.open("/store", { disk, segmentBytesMax: 8192 });
      for (let n = 0; n < 100; n++) await writing.append({ entity: `e${n % 5}`, scope: "s" }, Noted({ n }));
      const { id, bytes } = writing.segments()[0];
      await writing.close();
      const path = `/store/${segmentName(id)}`;
      const spoilt = disk.bytesOf(path).slice();
      spoilt[part === "a page" ? bytes + 20 : part === "the root" ? spoilt.length - 80 : spoilt.length - 3] ^= 1;
      disk.put(path, spoilt);
      const codesOf = async (store: Store): Promise<string[]> => [
        ...new Set((await store.verify()).problems.map((problem) => problem.code)),
      ];
      const store = await Store.open("/store", { disk });
      if (reads) assert.equal((await store.read().toArray()).length, 100);
      assert.deepEqual(await codesOf(store), [code]);
      for (const entity of ["e0", "e1"]) assert.equal(await store.count({ entity }), 20);
      assert.deepEqual(await codesOf(store), [code]);
      await store.close();
      const reader = await Store.open("/store", { disk, readOnly: true });
      assert.deepEqual(await codesOf(reader), [code]);
      await reader.close();
      const next = await Store.open("/store", { disk });
      await next.close();
      const after = await Store.open("/store", { disk, readOnly: true });
      assert.deepEqual(await codesOf(after), []);
      assert.equal(after.segments()[0]?.indexOnDisk, true);
      assert.equal((await after.read({ entity: "e3" }).toArray()).length, 20);
      await after.close();
    }
  });
}
