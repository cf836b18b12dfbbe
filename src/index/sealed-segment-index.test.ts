import assert from "node:assert/strict";
import { randomInt } from "node:crypto";
import { test } from "node:test";
import { crc32 } from "node:zlib";
import { encodeIndexBlock } from "../format/native/index-block.ts";
import { blockSeed, INDEX_BLOCK, INDEX_SECTIONS, INDEX_TRAILER, pageChecksum } from "../format/native/index-block-layout.ts";
import { decodeIndexRoot, decodeIndexTrailer } from "../format/native/index-block-root.ts";
import { ActiveSegmentIndex } from "./active-segment-index.ts";
import { blockSource, type EmptiedEntity } from "./block-source.ts";
import { Interner } from "./interner.ts";
import { PageCache } from "./page-cache.ts";
import { IndexPageError, SealedSegmentIndex } from "./sealed-segment-index.ts";
import { endsBatch, OFFSET_FOREIGN_ID, type RowFilter, type SegmentIndex } from "./segment-index.ts";

const STORE_ID = new Uint8Array(16).fill(0xab);
const SEGMENT_ID = 12;
const ENTITIES = 40;

interface BlockOptions {
  foreign?: boolean;
  emptied?: ReadonlyMap<number, EmptiedEntity>;
  tag?: (row: number) => number;
}

/** A block over rows of 40 entities in turn, three of four rows of entity 0. */
function blockOf(rowCount: number, options: BlockOptions = {}): Buffer {
  const tag = options.tag ?? tagOf;
  const entities = new Interner();
  const scopes = new Interner();
  for (let i = 0; i < ENTITIES + 5; i++) entities.intern(`order:${i}`);
  for (const scope of ["eu", "us", "asia"]) scopes.intern(scope);
  const rows = new ActiveSegmentIndex(entities, scopes, 500);
  const clocks = new Uint32Array(ENTITIES);
  for (let row = 0; row < rowCount; row++) {
    const entity = row % 4 === 0 ? (row >>> 2) % ENTITIES : 0;
    const offset = 128 + row * 100 + (options.foreign === true && row % 3 === 0 ? OFFSET_FOREIGN_ID : 0);
    // Of the rows 0, 2, 4, … each one is caused by the one half as far, and correlated with it.
    const cause = row > 0 && row % 2 === 0 ? tag(row / 2) : 0;
    const correlation = cause === 0 ? tag(row) : cause;
    const kind = 0x1000 + (row % 5);
    rows.pushValues(entity, row % 3, kind, clocks[entity]!++, offset, 1_000_000 + row, tag(row), correlation, cause, 500 + row, -1);
  }
  const source = blockSource(rows, entities, scopes, {
    storeId: STORE_ID,
    segmentId: SEGMENT_ID,
    generation: 4,
    lastIssuedId: new Uint8Array(16),
    systemRecords: [Buffer.from("definition")],
    ...(options.emptied === undefined ? {} : { emptied: options.emptied }),
    foreignTag2: (row) => tagOf(row + 77),
    copyLastHashAndId: (entity, _lastRow, target, at) => target.fill(entity, at, at + 48),
    framesRead: () => 0,
  });
  return Buffer.concat([...encodeIndexBlock(source)]);
}

function tagOf(row: number): number {
  return Math.imul(row + 1, 0x9e3779b1) >>> 0;
}

function openBlock(file: Buffer, cache: PageCache, expected = {}): ReturnType<typeof SealedSegmentIndex.open> {
  const readSync = (target: Uint8Array, offset: number, length: number, position: number): number =>
    file.copy(target, offset, position, position + length);
  return SealedSegmentIndex.open(readSync, file.length, cache, { storeId: STORE_ID, segmentId: SEGMENT_ID, ...expected });
}

function opened(file: Buffer, cache: PageCache): SealedSegmentIndex {
  const outcome = openBlock(file, cache);
  assert.ok(outcome.ok, outcome.ok ? "" : outcome.reason);
  return outcome.index;
}

function rowsOf(index: SegmentIndex, filter: RowFilter, size: number): number[] {
  const out = new Uint32Array(size);
  const cursor = index.cursor(filter, 0, index.rowCount, "forward");
  let count = cursor.next(out);
  while (count === -1) count = cursor.next(out);
  return [...out.subarray(0, count)];
}

function countOf(index: SegmentIndex, filter: RowFilter): number {
  const scratch = new Uint32Array(64);
  const cursor = index.cursor(filter, 0, index.rowCount, "forward");
  let counted = 0;
  for (let count = cursor.count(scratch); count !== 0; count = cursor.count(scratch)) counted += Math.max(0, count);
  return counted;
}

test("each look-up loads as many pages as it must, however long the segment", () => {
  for (const rowCount of [2000, 120_000]) {
    const cache = new PageCache(64 * 1024 * 1024);
    const file = blockOf(rowCount, { foreign: true });
    const pages = (work: (index: SealedSegmentIndex) => unknown): number => {
      const index = opened(file, cache);
      const before = cache.pagesLoaded;
      work(index);
      const loaded = cache.pagesLoaded - before;
      work(index);
      assert.equal(cache.pagesLoaded - before, loaded, "the second time, all pages are cached");
      index.release();
      assert.equal(cache.bytes, 0);
      return loaded;
    };
    const what = `${rowCount} rows`;
    assert.equal(
      pages(() => undefined),
      0,
      `opening loads no page: ${what}`,
    );
    // A tag that begins a page costs the page before as well.
    const byId = pages((index) => assert.deepEqual(index.rowsByIdTag(tagOf(1234)), [1234]));
    assert.ok(byId === 1 || byId === 2, `an id: ${what}`);
    assert.equal(pages((index) => index.rowsByIdTag(tagOf(1234) + 1)) <= 2, true);
    assert.equal(
      pages((index) => assert.equal(index.offsetAt(1999), 128 + 199_900)),
      1,
      `an offset: ${what}`,
    );
    assert.equal(
      pages((index) => assert.equal(index.sequenceAt(1999), 2499)),
      0,
      `a dense sequence: ${what}`,
    );
    // Keys, name, entry.
    assert.equal(
      pages((index) => assert.equal(index.entity("order:0")?.firstClock, 0)),
      3,
      `an entity: ${what}`,
    );
    // Absent with its hash: its page of keys alone.
    assert.ok(pages((index) => assert.equal(index.entity("order:x"), null)) <= 1, `an absent entity: ${what}`);
    // Keys, name, entry, and its list's page.
    assert.equal(
      pages((index) => assert.equal(rowsOf(index, { entity: "order:0" }, 10).length, 10)),
      4,
      `first ten: ${what}`,
    );
    const middle = Math.floor(rowCount / 3);
    const tenFromMiddle = pages((index) => assert.equal(rowsOf(index, { entity: "order:0", clockFrom: middle }, 10).length, 10));
    assert.ok(tenFromMiddle === 4 || tenFromMiddle === 5, `ten from the middle: ${what}`);
    assert.equal(
      pages((index) => assert.ok(index.mayHoldForeignId(tagOf(3), tagOf(80)))),
      1,
      `the filter: ${what}`,
    );
    // The scope's key and name, where its list ends, and the list's page.
    assert.equal(
      pages((index) => assert.deepEqual(rowsOf(index, { scope: "us" }, 2), [1, 4])),
      4,
      `a scope: ${what}`,
    );
    assert.equal(
      pages((index) => assert.equal(countOf(index, { scope: "us" }), Math.ceil((rowCount - 1) / 3))),
      3,
      `how many a scope has: ${what}`,
    );
    assert.equal(
      pages((index) => assert.deepEqual(rowsOf(index, { kinds: [0x1001] }, 2), [1, 6])),
      2,
      `a kind: ${what}`,
    );
    assert.equal(
      pages((index) => assert.equal(countOf(index, { kinds: [0x1001, 0x1003] }), (rowCount * 2) / 5)),
      1,
      `how many kinds have: ${what}`,
    );
    // Of links and of ids a page each, or two where the tag begins one; and the column, which says which of both it is.
    const linked = pages((index) => assert.deepEqual(rowsOf(index, { causationTag: tagOf(701) }, 2), [1402]));
    assert.ok(linked === 2 || linked === 3, `what one has caused: ${what}`);
    const correlated = pages((index) => assert.deepEqual(rowsOf(index, { correlationTag: tagOf(701) }, 2), [701, 1402]));
    assert.ok(correlated >= 3 && correlated <= 6, `what is correlated: ${what}`);
    assert.equal(
      pages((index) => assert.deepEqual(rowsOf(index, { kinds: [0x2000] }, 2), [])),
      0,
      `a kind that no row has: ${what}`,
    );
    assert.equal(
      pages((index) => assert.deepEqual(rowsOf(index, { timeTo: 999_999 }, 2), [])),
      0,
      `a time before all: ${what}`,
    );
  }
});

/** Three rows as an earlier version has written them: of `order:1`, `order:2` and `order:1`, the last with the first for its correlation and cause. */
const WITHOUT_LISTS = `
0200000001000000020000001221b675000000000000ffb56d36001001f000100254d6c0040000000000000005000000256e68bc800000800001004080010080
992f1d0500007960902818430400796090281843040079609028184340bf2749333333331111111133333333de1fee3d000000000000000033333333b796be04
01000000000000000200000082858ec8111111112222222233333333010000000200000000000000f46cc3129e3e815286742d59af9bc06d0000000006000000
0f000000c363e8970400676f6e6507006f726465723a3207006f726465723a310070625a0000000000000000000000000000f0bf000000000080444000000000
0000f0bf000000000000894012121212121212121212121212121212121212121212121212121212121212125050505050505050505050505050505000000000
01000000000000000000000000000000000000000000000000488f40000000000000f0bf11111111111111111111111111111111111111111111111111111111
11111111525252525252525252525252525252520100000002000000000000000000104000000000000014400000000000508f400000000000208c4010101010
101010101010101010101010101010101010101010101010101010105353535353535353535353535353535310f1d7d39fd363a4000000008b70155907007368
6f703a65755f75d30800000000000008000000000000000400000000000000020000000000000001000000000000008000000000000000400000000000000020
000000000000001000c1efe29b030000000102035db98aa5a0a1a2a3a4a5a6a7a8a9aaabacadaeaf030000000000000001000000000000000300000003000000
010000000700000018000000090000004000000007000000e803000000000000eb0300000000000000401e18240a060001401e18240a06007777777777777777
777777777777777701000000010000000200000000000000001001f0111111119e3e81529fd363a4464241544944583101000000900000004a0c66b900000000
2c0300000000000003000000000000000100000000000000a0a1a2a3a4a5a6a7a8a9aaabacadaeafc9ca2dc4
`;

test("a block of an earlier version, without lists, is scanned", () => {
  const file = Buffer.from(WITHOUT_LISTS.replaceAll("\n", ""), "hex");
  const storeId = Uint8Array.from({ length: 16 }, (_, i) => 0xa0 + i);
  const outcome = openBlock(file, new PageCache(1_000_000), { storeId, segmentId: 3 });
  assert.ok(outcome.ok);
  const { index } = outcome;
  assert.equal(index.lists, null);
  assert.deepEqual(rowsOf(index, { scope: "shop:eu" }, 5), [0, 1, 2]);
  assert.deepEqual(rowsOf(index, { kinds: [0x1000] }, 5), [0, 2]);
  assert.deepEqual(rowsOf(index, { correlationTag: 0x33333333 }, 5), [0, 2]);
  assert.deepEqual(rowsOf(index, { causationTag: 0x33333333 }, 5), [2]);
  assert.equal(countOf(index, { scope: "shop:eu", kinds: [0xf001] }), 1);
});

test("without ids that the writer did not issue there is no filter to load", () => {
  const cache = new PageCache(1_000_000);
  const index = opened(blockOf(100), cache);
  assert.equal(index.mayHoldForeignId(tagOf(1), tagOf(78)), false);
  assert.equal(cache.pagesLoaded, 0);
});

test("an entity that compaction emptied keeps its entry", () => {
  const emptied = new Map([[ENTITIES + 2, { lastClock: 17, previousSequence: 321 }]]);
  for (const rowCount of [0, 100]) {
    const index = opened(blockOf(rowCount, { emptied }), new PageCache(1_000_000));
    const entity = index.entity(`order:${ENTITIES + 2}`);
    assert.ok(entity);
    const { rows, firstClock, lastClock, lastSequence, previousSequence } = entity;
    assert.deepEqual(
      { rows, firstClock, lastClock, lastSequence, previousSequence },
      {
        rows: 0,
        firstClock: -1,
        lastClock: 17,
        lastSequence: -1,
        previousSequence: 321,
      },
    );
    assert.deepEqual(entity.lastHash, new Uint8Array(32).fill(ENTITIES + 2));
    const words = entity.words.slice(entity.lastHashWord, entity.lastHashWord + 8);
    assert.deepEqual(new Uint8Array(words.buffer), entity.lastHash);
    assert.deepEqual(rowsOf(index, { entity: `order:${ENTITIES + 2}` }, 5), []);
    assert.equal(index.nextSequence, 500 + rowCount);
  }
});

test("a block that is not the one looked for is refused, with the reason", () => {
  const cache = new PageCache(1_000_000);
  const block = blockOf(100);
  const reasonOf = (file: Buffer, expected = {}): string => {
    const outcome = openBlock(file, cache, expected);
    return outcome.ok ? "" : outcome.reason;
  };
  assert.equal(reasonOf(block), "");
  assert.equal(reasonOf(block, { generation: 4, blockStart: 0 }), "");
  assert.match(reasonOf(block, { storeId: new Uint8Array(16) }), /another store/);
  assert.match(reasonOf(block, { segmentId: 13 }), /another segment/);
  assert.match(reasonOf(block, { generation: 5 }), /another generation/);
  assert.match(reasonOf(block, { blockStart: 8 }), /does not begin/);
  assert.match(reasonOf(Buffer.alloc(0)), /too short/);
  assert.match(reasonOf(Buffer.alloc(5000)), /no index trailer/);
  assert.match(reasonOf(block.subarray(1)), /do not fit/);
});

/** Asks everything there is to ask; returns the answers as text. */
function interrogate(index: SealedSegmentIndex): string {
  const answers: unknown[] = [index.rowCount, index.firstSequence, index.nextSequence, index.scopes(), index.systemRecords()];
  index.entities((name, { rows, firstClock, lastClock, lastSequence, previousSequence, lastHash, lastId }) => {
    answers.push([name, rows, firstClock, lastClock, lastSequence, previousSequence, lastHash.join(), lastId.join()]);
  });
  const rows = [0, 1, 57, 4095, 4096, index.rowCount - 1].filter((row) => row >= 0 && row < index.rowCount);
  for (const row of rows) {
    answers.push([index.sequenceAt(row), index.clockAt(row), index.timeAt(row), index.offsetAt(row), endsBatch(index, row)]);
    answers.push(index.rowsByIdTag(tagOf(row)), index.rowAtSequence(500 + row), index.mayHoldForeignId(tagOf(row), tagOf(row + 77)));
  }
  const filters: RowFilter[] = [
    {},
    { entity: "order:0", clockFrom: 30, clockTo: 60 },
    { entity: "order:7", scope: "eu" },
    { entityPrefix: "order:1" },
    { scope: "us", kinds: [0x1001, 0x1002] },
    { timeFrom: 1_000_500, timeTo: 1_001_000, sequenceFrom: 600 },
    { correlationTag: tagOf(9) },
    { clockFrom: 10, clockTo: 12 },
  ];
  const out = new Uint32Array(700);
  for (const filter of filters) {
    for (const direction of ["forward", "backward"] as const) {
      const cursor = index.cursor(filter, 0, index.rowCount, direction);
      let total = 0;
      for (let calls = 0; ; calls++) {
        assert.ok(calls < 1000, "a cursor ends");
        const count = cursor.next(out);
        if (count === 0) break;
        if (count > 0) answers.push(out.subarray(0, count).join());
        total += Math.max(0, count);
      }
      assert.ok(total <= index.rowCount * 2);
    }
  }
  return JSON.stringify(answers);
}

test("a changed block is refused, or is found out at the page, or answers as before", () => {
  const seed = randomInt(1 << 30);
  console.log(`seed ${seed}`);
  let state = seed;
  const random = (limit: number): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 0x1_0000_0000) * limit);
  };
  const block = blockOf(5000, { foreign: true });
  const answers = interrogate(opened(block, new PageCache(4_000_000)));
  const seen = { refused: 0, page: 0, same: 0 };
  for (let round = 0; round < 400; round++) {
    const changed = Buffer.from(block);
    for (let change = random(3); change >= 0; change--) changed[random(changed.length)] = random(256);
    const outcome = openBlock(changed, new PageCache(random(2) === 0 ? 20_000 : 4_000_000));
    if (!outcome.ok) {
      seen.refused++;
      continue;
    }
    try {
      assert.equal(interrogate(outcome.index), answers);
      seen.same++;
    } catch (error) {
      if (!(error instanceof IndexPageError)) throw error;
      assert.equal(error.segmentId, SEGMENT_ID);
      seen.page++;
    }
  }
  assert.ok(seen.page > 100, JSON.stringify(seen));
});

/** Puts right every checksum in a block that was changed by hand; false when its root no longer leads anywhere. */
function reseal(block: Buffer): boolean {
  const trailerAt = block.length - INDEX_TRAILER.bytes;
  const rootBytes = block.readUInt32LE(trailerAt + INDEX_TRAILER.rootBytes);
  if (rootBytes > trailerAt) return false;
  block.writeUInt32LE(crc32(block.subarray(trailerAt - rootBytes, trailerAt)), trailerAt + INDEX_TRAILER.rootChecksum);
  const checksum = crc32(block.subarray(trailerAt, trailerAt + INDEX_TRAILER.checksum));
  block.writeUInt32LE(checksum, trailerAt + INDEX_TRAILER.checksum);
  const trailer = decodeIndexTrailer(block.subarray(trailerAt), block.length);
  if (!trailer.ok) return false;
  const outcome = decodeIndexRoot(block.subarray(trailerAt - rootBytes, trailerAt), trailer.trailer);
  if (!outcome.ok) return false;
  const seed = blockSeed(outcome.root.storeId, outcome.root.segmentId, outcome.root.generation);
  for (const name of INDEX_SECTIONS) {
    const section = outcome.layout[name];
    for (let page = 0; page < section.pageCount; page++) {
      const start = section.offset + page * (section.pageBytes + INDEX_BLOCK.pageChecksumBytes);
      const end = start + Math.min(section.pageBytes, section.dataBytes - page * section.pageBytes);
      block.writeUInt32LE(pageChecksum(block.subarray(start, end), seed, section.firstPage + page), end);
    }
  }
  return true;
}

test("a hostile block whose checksums are right neither throws anything else, nor hangs, nor costs memory", () => {
  const seed = randomInt(1 << 30);
  console.log(`seed ${seed}`);
  let state = seed;
  const random = (limit: number): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 0x1_0000_0000) * limit);
  };
  const block = blockOf(5000, { foreign: true });
  const trailerAt = block.length - INDEX_TRAILER.bytes;
  const rootAt = trailerAt - block.readUInt32LE(trailerAt + INDEX_TRAILER.rootBytes);
  const trailer = decodeIndexTrailer(block.subarray(trailerAt), block.length);
  assert.ok(trailer.ok);
  const decoded = decodeIndexRoot(block.subarray(rootAt, trailerAt), trailer.trailer);
  assert.ok(decoded.ok);
  const seen = { refused: 0, page: 0, answered: 0 };
  for (let round = 0; round < 600; round++) {
    const changed = Buffer.from(block);
    // A third of the changes hit the root, the rest a section chosen at random, so that the small ones are hit too.
    const section = decoded.layout[INDEX_SECTIONS[random(INDEX_SECTIONS.length)]!];
    const [start, length] = random(3) === 0 ? [rootAt, block.length - rootAt] : [section.offset, Math.max(1, section.dataBytes)];
    for (let change = random(8); change >= 0; change--) {
      const at = start + random(length);
      changed[at] = [0, 0xff, 0x80, random(256)][random(4)]!;
    }
    if (!reseal(changed)) {
      seen.refused++;
      assert.equal(openBlock(changed, new PageCache(100_000)).ok, false);
      continue;
    }
    const outcome = openBlock(changed, new PageCache(100_000));
    if (!outcome.ok) {
      seen.refused++;
      continue;
    }
    try {
      interrogate(outcome.index);
      seen.answered++;
    } catch (error) {
      if (!(error instanceof IndexPageError)) throw error;
      seen.page++;
    }
  }
  assert.ok(seen.refused > 20 && seen.page > 20 && seen.answered > 20, JSON.stringify(seen));
});

test("a file that was cut after opening is found out at the page", () => {
  let file = blockOf(5000);
  const readSync = (target: Uint8Array, offset: number, length: number, position: number): number =>
    position < file.length ? file.copy(target, offset, position, position + length) : 0;
  const outcome = SealedSegmentIndex.open(readSync, file.length, new PageCache(0), { storeId: STORE_ID, segmentId: SEGMENT_ID });
  assert.ok(outcome.ok);
  const { index } = outcome;
  assert.equal(index.clockAt(0), 0);
  file = file.subarray(0, 20_000);
  assert.throws(() => index.clockAt(0), IndexPageError);
});

test("an id is found however its tags are spread: evenly, in lumps, all alike, or at the edges", () => {
  const rowCount = 20_000;
  const spreads: Record<string, (row: number) => number> = {
    evenly: tagOf,
    "in lumps": (row) => 1 + (row % 3) * 0x5000_0000 + (row >>> 6),
    "nearly all alike": (row) => (row % 10 === 0 ? tagOf(row) : 0x8000_0000 + (row >>> 8)),
    "at the edges": (row) => (row % 2 === 0 ? 1 + (row >>> 4) : 0xffff_ffff - (row >>> 4)),
  };
  for (const [name, tag] of Object.entries(spreads)) {
    const index = opened(blockOf(rowCount, { tag }), new PageCache(64 * 1024 * 1024));
    const rowsByTag = new Map<number, number[]>();
    for (let row = 0; row < rowCount; row++) rowsByTag.set(tag(row), [...(rowsByTag.get(tag(row)) ?? []), row]);
    for (const [asked, rows] of rowsByTag)
      assert.deepEqual(
        index.rowsByIdTag(asked).toSorted((a, b) => a - b),
        rows,
        `${name}: ${asked}`,
      );
    for (let i = 0; i < 2000; i++) {
      const absent = randomInt(2 ** 32);
      if (!rowsByTag.has(absent)) assert.deepEqual(index.rowsByIdTag(absent), [], `${name}: ${absent}`);
    }
  }
});
