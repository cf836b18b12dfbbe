/** An id that the writer did not issue is found in whichever segment it is, and in none where it is in none, whether or not slices were made. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { encodeIndexBlock } from "../format/native/index-block.ts";
import { INDEX_BLOCK } from "../format/native/index-block-layout.ts";
import { FILTER_PAGE_BITS } from "../format/native/index-filter.ts";
import { seededRandom } from "../testing/seeded-random.ts";
import { ActiveSegmentIndex } from "./active-segment-index.ts";
import { blockSource } from "./block-source.ts";
import { idTag, idTag2, viewOfId } from "./id-tag.ts";
import { ForeignIds } from "./foreign-ids.ts";
import { Interner } from "./interner.ts";
import { PageCache } from "./page-cache.ts";
import { SealedSegmentIndex } from "./sealed-segment-index.ts";
import { OFFSET_FOREIGN_ID } from "./segment-index.ts";
import { type SegmentEntry, StoreIndex } from "./store-index.ts";

const STORE_ID = new Uint8Array(16);
/** The filter of so many takes two pages, the first of which is enough to be one of a group. */
const IDS = (INDEX_BLOCK.streamPageBytes * 8) / INDEX_BLOCK.filterBitsPerId + 50;
const FRAME_BYTES = 100;

const nextRandom = seededRandom(11);
const random = (limit: number): number => Math.floor(nextRandom() * limit);

/** Of version 8, as a key's. */
function newId(): Uint8Array {
  const id = new Uint8Array(16);
  for (let i = 0; i < id.length; i++) id[i] = random(256);
  id[6] = 0x80 | (id[6]! & 0x0f);
  return id;
}

interface TestSegment {
  readonly entry: SegmentEntry;
  readonly ids: Uint8Array[];
  readonly block: Buffer;
}

function sealedSegment(id: number, generation: number, firstSequence: number, ids: Uint8Array[]): TestSegment {
  const [entities, scopes] = [new Interner(), new Interner()];
  entities.intern("order:1");
  scopes.intern("eu");
  const rows = new ActiveSegmentIndex(entities, scopes, firstSequence);
  for (const [row, foreign] of ids.entries()) {
    const tag = idTag(viewOfId(foreign), 0);
    const offset = (row * FRAME_BYTES + OFFSET_FOREIGN_ID) >>> 0;
    rows.pushValues(0, 0, 0x1000, row, offset, 1_000_000 + row, tag, tag, 0, firstSequence + row, -1);
  }
  const source = blockSource(rows, entities, scopes, {
    storeId: STORE_ID,
    segmentId: id,
    generation,
    lastIssuedId: new Uint8Array(16),
    systemRecords: [],
    foreignTag2: (row) => idTag2(viewOfId(ids[row]!), 0),
    copyLastHashAndId: () => {},
    framesRead: () => 0,
  });
  const frames = { framesEnd: ids.length * FRAME_BYTES, frames: ids.length, visibleFrames: ids.length };
  const sequences = { firstSequence, nextSequence: firstSequence + ids.length };
  const state = { generation, sealed: true, lastIssuedId: new Uint8Array(16), index: null, indexOnDisk: true, systemFrames: [] };
  return { entry: { id, ...sequences, ...frames, ...state }, ids, block: Buffer.concat([...encodeIndexBlock(source)]) };
}

class TestIndex {
  readonly cache: PageCache;
  readonly index: StoreIndex;
  readonly segments = new Map<SegmentEntry, TestSegment>();

  constructor(cacheBytes: number) {
    this.cache = new PageCache(cacheBytes);
    const open = (entry: SegmentEntry): SealedSegmentIndex => {
      const { block } = this.of(entry);
      const readSync = (target: Uint8Array, offset: number, length: number, position: number): number =>
        block.copy(target, offset, position, position + length);
      const outcome = SealedSegmentIndex.open(readSync, block.length, this.cache, { storeId: STORE_ID, segmentId: entry.id });
      assert.ok(outcome.ok);
      return outcome.index;
    };
    this.index = new StoreIndex({
      loadIndex: open,
      rebuildIndex: open,
      hasId: (entry, offset, id) => Buffer.compare(this.of(entry).ids[offset / FRAME_BYTES]!, id) === 0,
    });
  }

  of(entry: SegmentEntry): TestSegment {
    return this.segments.get(entry) as TestSegment;
  }

  add(ids: Uint8Array[]): void {
    const segment = sealedSegment((this.index.active?.id ?? 0) + 1, 0, this.index.acceptedSequence, ids);
    this.segments.set(segment.entry, segment);
    this.index.segments.push(segment.entry);
    this.index.acceptedSequence = segment.entry.nextSequence;
  }

  /** Puts one segment in the place of some, without every third event. */
  merge(from: number, to: number): void {
    const replaced = this.index.segments.slice(from, to);
    const ids = replaced.flatMap((entry) => this.of(entry).ids).filter((_, i) => i % 3 !== 0);
    const merged = sealedSegment(replaced[0]!.id, 1, replaced[0]!.firstSequence, ids);
    this.segments.set(merged.entry, merged);
    this.index.replaceSegments(replaced, merged.entry, 0);
  }

  /** Looks for some of each segment's ids, and for as many that are nowhere. */
  check(count: number): void {
    for (let i = 0; i < count; i++) {
      for (const entry of this.index.segments) {
        const { ids } = this.of(entry);
        if (ids.length > 0) {
          const row = random(ids.length);
          const found = this.index.findById(ids[row]!, Number.POSITIVE_INFINITY);
          assert.ok(found !== null && found.segment === entry && found.row === row && found.offset === row * FRAME_BYTES);
          assert.equal(this.index.findById(ids[row]!, entry.firstSequence + row), null, "not before it is visible");
        }
        assert.equal(this.index.findById(newId(), Number.POSITIVE_INFINITY), null);
      }
    }
  }

  /** Segments whose filter is held in no page of its own. */
  get sliced(): number {
    const isSliced = ({ index }: SegmentEntry): boolean =>
      index instanceof SealedSegmentIndex && index.filterPages === 2 && [0, 1].every((page) => index.heldFilterPage(page) === undefined);
    return this.index.segments.filter(isSliced).length;
  }
}

const manyIds = (count = IDS): Uint8Array[] => Array.from({ length: count }, newId);

test("each id is found where it is and nowhere else, while segments come, are merged, and have their indexes rebuilt", () => {
  const store = new TestIndex(256 * 1024 * 1024);
  const { index, cache } = store;
  for (let i = 0; i < 5; i++) store.add(manyIds());
  store.add([]);
  store.add(manyIds(70));
  for (let i = 0; i < 6; i++) store.add(manyIds());
  store.check(150);
  assert.equal(store.sliced, 8, "of eleven, eight are held side by side");
  const { bytes } = cache;
  store.check(50);
  assert.equal(store.sliced, 8, "their own pages are not loaded again");

  for (const { id } of index.segments.slice(0, 2)) index.rebuildIndex(id);
  store.check(150);
  assert.equal(store.sliced, 8, "a group that is no more makes room for another");
  assert.ok(cache.bytes < bytes + FILTER_PAGE_BITS, "and leaves no slice behind");

  store.add(manyIds());
  store.merge(2, 5);
  store.check(150);
  assert.equal(store.sliced, 8);
  for (let i = 0; i < 8; i++) store.add(manyIds());
  store.check(150);
  assert.equal(store.sliced, 16);

  for (let i = 0; i < 18; i++) store.add(manyIds());
  store.check(150);
  assert.equal(store.sliced, 32);
  index.rebuildIndex(index.segments[20]!.id);
  store.check(150);
  store.merge(0, 3);
  store.check(150);
});

test("four groups of eight become one, which says what its segments' filters say", () => {
  const store = new TestIndex(256 * 1024 * 1024);
  const { segments } = store.index;
  for (let i = 0; i < 36; i++) store.add(manyIds());
  for (const entry of segments) store.index.indexOf(entry);
  const foreign = new ForeignIds();
  foreign.follow(segments, Symbol("once"));
  assert.deepEqual(
    foreign.groups.map((group) => group.segments.length),
    [4, 32],
  );
  const [, wide] = foreign.groups;
  assert.ok(wide !== undefined);
  let absent = 0;
  for (let i = 0; i < 30_000; i++) {
    const entry = segments[random(32)]!;
    const id = i % 2 === 0 ? newId() : store.of(entry).ids[random(IDS)]!;
    const [tag, tag2] = [idTag(viewOfId(id), 0), idTag2(viewOfId(id), 0)];
    const found = wide.mayHold(tag, tag2);
    if (i % 2 === 1) assert.ok(found.includes(entry));
    else absent += found.length;
    // As often as that its pages can be held, the segments' own among them.
    if (i % 1000 === 0) {
      assert.deepEqual(
        found,
        segments.slice(0, 32).filter(({ index }) => index?.mayHoldForeignId(tag, tag2)),
      );
    }
  }
  assert.ok(wide.held(0) !== undefined && wide.held(1) !== undefined, "both of its slices are there");
  assert.ok(absent < 15_000 * 32 * 0.002, `${absent} segments asked for nothing`);
});

test("what was lost of one segment hides nothing of the others, and is told to whoever finds nothing", () => {
  for (const lost of [0, 5]) {
    const store = new TestIndex(256 * 1024 * 1024);
    for (let i = 0; i < 6; i++) store.add(manyIds(IDS));
    const { segments } = store.index;
    segments[lost]!.lost = [{ from: segments[lost]!.firstSequence, to: segments[lost]!.firstSequence + 1, offset: 0 }];
    for (const entry of segments) {
      const found = store.index.findById(store.of(entry).ids[7]!, Number.POSITIVE_INFINITY);
      assert.equal(found?.segment, entry, `segment ${entry.id}, events of segment ${segments[lost]!.id} lost`);
    }
    assert.throws(() => store.index.findById(newId(), Number.POSITIVE_INFINITY), { code: "CORRUPT" });
  }
});

test("a cache with no room for slices gives the same answers", () => {
  for (const cacheBytes of [0, 100_000, 400_000]) {
    const store = new TestIndex(cacheBytes);
    for (let i = 0; i < 9; i++) store.add(manyIds());
    store.check(cacheBytes === 0 ? 20 : 100);
    assert.ok(store.cache.bytes <= cacheBytes);
  }
});
