import assert from "node:assert/strict";
import { randomInt } from "node:crypto";
import { test } from "node:test";
import { encodeIndexBlock, type IndexBlockSource, type NameTable } from "./index-block.ts";
import { blockLayout, INDEX_BLOCK, INDEX_FLAG, INDEX_SECTIONS, INDEX_TRAILER } from "./index-block-layout.ts";
import { decodeIndexRoot, decodeIndexTrailer, encodeIndexEnd } from "./index-block-root.ts";
import { sortPairs } from "./index-block-sort.ts";
import { filterAdd, filterBytes, filterMayHold, filterPage } from "./index-filter.ts";
import { nameHash } from "./name-hash.ts";

function namesOf(...texts: string[]): NameTable {
  const names = texts.map((text) => Buffer.from(text));
  return {
    hashOf: (id) => nameHash(names[id]!, 0, names[id]!.length),
    byteLength: (id) => names[id]!.length,
    copyName: (id, target, offset) => names[id]!.copy(target, offset),
  };
}

/** Three rows of two entities, one given id, and an entity that compaction emptied. */
const source: IndexBlockSource = {
  storeId: Uint8Array.from({ length: 16 }, (_, i) => 0xa0 + i),
  segmentId: 3,
  generation: 1,
  rowCount: 3,
  firstSequence: 1000,
  columns: {
    entity: Uint32Array.of(0, 1, 0, 99),
    scope: Uint32Array.of(0, 0, 0),
    kind: Uint16Array.of(0x1000, 0xf001, 0x1000),
    clock: Float64Array.of(4, 0, 5),
    offset: Uint32Array.of(0x8000_0080, 0x4000_0100, 0x8000_0180),
    time: Float64Array.of(1_700_000_000_000_000, 1_700_000_000_000_001, 1_700_000_000_000_001),
    idTag: Uint32Array.of(0x33333333, 0x11111111, 0x22222222),
    correlationTag: Uint32Array.of(0x33333333, 0x11111111, 0x33333333),
    causationTag: Uint32Array.of(0, 0, 0x33333333),
    sequence: undefined,
  },
  entityIds: Uint32Array.of(0, 1, 2),
  entityNames: namesOf("order:1", "order:2", "gone"),
  scopeIds: Uint32Array.of(0),
  scopeNames: namesOf("shop:eu"),
  lastIssuedId: new Uint8Array(16).fill(0x77),
  systemRecords: [Uint8Array.of(1, 2, 3)],
  foreignIdBit: 0x4000_0000,
  foreignTag2: (row) => row + 0xbeef,
  previousSequence: (entity) => [900, -1, 800][entity]!,
  emptiedClock: () => 41,
  copyLastHashAndId: (entity, lastRow, target, offset) => {
    target.fill(0x10 + entity, offset, offset + 32);
    target.fill(0x50 + lastRow + 1, offset + 32, offset + 48);
  },
  framesRead: () => 0,
};

function encoded(of: IndexBlockSource): Buffer {
  return Buffer.concat([...encodeIndexBlock(of)]);
}

/** Hex digits, 64 bytes a line: compare with the table in `index-block-layout`. */
const GOLDEN = `
0200000001000000020000001221b675000000000000ffb56d36001001f000100254d6c0040000000000000005000000256e68bc800000800001004080010080
992f1d0500007960902818430400796090281843040079609028184340bf2749333333331111111133333333de1fee3d000000000000000033333333b796be04
01000000000000000200000082858ec8111111112222222233333333010000000200000000000000f46cc3129e3e815286742d59af9bc06d0000000006000000
0f000000c363e8970400676f6e6507006f726465723a3207006f726465723a310070625a0000000000000000000000000000f0bf000000000080444000000000
0000f0bf000000000000894012121212121212121212121212121212121212121212121212121212121212125050505050505050505050505050505000000000
01000000000000000000000000000000000000000000000000488f40000000000000f0bf11111111111111111111111111111111111111111111111111111111
11111111525252525252525252525252525252520100000002000000000000000000104000000000000014400000000000508f400000000000208c4010101010
101010101010101010101010101010101010101010101010101010105353535353535353535353535353535310f1d7d39fd363a4000000008b70155907007368
6f703a65755f75d30800000000000008000000000000000400000000000000020000000000000001000000000000008000000000000000400000000000000020
000000000000001000c1efe29b030000000102035db98aa50300000089d740b3000000000100000002000000eeccae7902000000030000002600f80700000000
020000000100000003c1a90a3333333302000000bd35a8cda0a1a2a3a4a5a6a7a8a9aaabacadaeaf030000000000000001000000000000000300000003000000
010000002700000018000000090000004000000007000000e803000000000000eb0300000000000000401e18240a060001401e18240a06007777777777777777
777777777777777701000000010000000200000001000000001001f0111111119e3e81529fd363a433333333464241544944583101000000940000004e2f691f
00000000700300000000000003000000000000000100000000000000a0a1a2a3a4a5a6a7a8a9aaabacadaeafc8b1bb79
`;

test("a small block has these bytes", () => {
  assert.deepEqual(
    encoded(source)
      .toString("hex")
      .match(/.{1,128}/g),
    GOLDEN.trim().split(/\s+/),
  );
});

test("the encoder's result is the number of bytes it gave out", () => {
  const steps = encodeIndexBlock(source);
  let bytes = 0;
  for (;;) {
    const step = steps.next();
    if (step.done === true) {
      assert.equal(step.value, bytes);
      return;
    }
    bytes += step.value.length;
  }
});

test("root and trailer come back as they went in, and sections fill the block", () => {
  const block = encoded(source);
  const trailer = decodeIndexTrailer(block.subarray(-INDEX_TRAILER.bytes), block.length);
  assert.ok(trailer.ok);
  assert.equal(trailer.trailer.blockBytes, block.length);
  assert.equal(trailer.trailer.segmentId, 3);
  const rootEnd = block.length - INDEX_TRAILER.bytes;
  const outcome = decodeIndexRoot(block.subarray(rootEnd - trailer.trailer.rootBytes, rootEnd), trailer.trailer);
  assert.ok(outcome.ok);
  const { root, layout } = outcome;
  assert.deepEqual(Buffer.from(encodeIndexEnd(root)), block.subarray(layout.pagesBytes));
  assert.deepEqual([...root.kinds], [0x1000, 0xf001]);
  assert.equal(root.nextSequence, 1003);
  assert.equal(root.foreignIds, 1);
  assert.equal(root.shape.flags, INDEX_FLAG.dense | INDEX_FLAG.timeOrdered | INDEX_FLAG.clockOrdered | INDEX_FLAG.lists);
  let offset = 0;
  for (const name of INDEX_SECTIONS) {
    assert.equal(layout[name].offset, offset, name);
    offset += layout[name].dataBytes + layout[name].pageCount * INDEX_BLOCK.pageChecksumBytes;
  }
  assert.deepEqual(layout, { ...blockLayout(root.shape), pagesBytes: offset });
});

test("a block of another version, a cut one and any changed byte of root or trailer are refused", () => {
  const block = encoded(source);
  const decode = (bytes: Buffer): boolean => {
    const trailer = decodeIndexTrailer(bytes.subarray(-INDEX_TRAILER.bytes), bytes.length);
    if (!trailer.ok) {
      assert.ok(trailer.reason.length > 0);
      return false;
    }
    const end = bytes.length - INDEX_TRAILER.bytes;
    return decodeIndexRoot(bytes.subarray(end - trailer.trailer.rootBytes, end), trailer.trailer).ok;
  };
  assert.equal(decode(block), true);
  const pagesBytes = block.length - encodedEndLength(block);
  for (let at = pagesBytes; at < block.length; at++) {
    const changed = Buffer.from(block);
    changed[at]! ^= 0x10;
    assert.equal(decode(changed), false, `byte ${at}`);
  }
  for (let length = 0; length < block.length; length += 7) assert.equal(decode(block.subarray(0, length)), false);
  for (let cut = 1; cut <= pagesBytes; cut += 5) assert.equal(decode(block.subarray(cut)), false);
});

function encodedEndLength(block: Buffer): number {
  return block.readUInt32LE(block.length - INDEX_TRAILER.bytes + INDEX_TRAILER.rootBytes) + INDEX_TRAILER.bytes;
}

test("pairs are sorted by key, equal keys in their order, at every size around a step", () => {
  const seed = randomInt(1 << 30);
  console.log(`seed ${seed}`);
  let state = seed;
  for (const count of [0, 1, 2, 1000, 32_768, 32_769, 70_000]) {
    const keys = Uint32Array.from({ length: count }, () => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      return state % 3 === 0 ? state : Math.imul(state & 0xff, 0x01010101) >>> 0;
    });
    const expected = [...keys.keys()].sort((a, b) => keys[a]! - keys[b]! || a - b);
    const values = Uint32Array.from(keys.keys());
    const original = keys.slice();
    const steps = sortPairs(keys, values);
    let step = steps.next();
    while (step.done !== true) step = steps.next();
    assert.deepEqual([...step.value.values], expected);
    assert.ok(step.value.keys.every((key, i) => key === original[expected[i]!]));
  }
});

test("a filter knows what was added, and little else", () => {
  for (const ids of [1, 5, 1000, 16_384, 16_385, 60_000]) {
    const bytes = filterBytes(ids);
    assert.ok(bytes >= ids * 2 && bytes % 8 === 0);
    const pages = Array.from(
      { length: Math.ceil(bytes / INDEX_BLOCK.streamPageBytes) },
      () => new Uint8Array(Math.min(bytes, INDEX_BLOCK.streamPageBytes)),
    );
    const pageOf = (tag: number): Uint8Array => pages[filterPage(tag, pages.length)]!;
    // Any two hashes that do not follow from each other.
    const tag = (i: number): number => nameHash(Buffer.from(`first ${i}`), 0, `first ${i}`.length);
    const tag2 = (i: number): number => nameHash(Buffer.from(`second ${i}`), 0, `second ${i}`.length);
    for (let i = 0; i < ids; i++) filterAdd(pageOf(tag(i)), tag(i), tag2(i));
    for (let i = 0; i < ids; i++) assert.ok(filterMayHold(pageOf(tag(i)), tag(i), tag2(i)));
    let passed = 0;
    for (let i = ids; i < ids + 10_000; i++) if (filterMayHold(pageOf(tag(i)), tag(i), tag2(i))) passed++;
    assert.ok(passed < 40, `${passed} of 10,000 pass a filter of ${ids}`);
  }
  assert.equal(filterBytes(0), 0);
});

test("names of the greatest length, and many, never cross a page", () => {
  const texts = Array.from({ length: 200 }, (_, i) => `${i}:${"n".repeat(i % 2 === 0 ? 1000 : 3)}`);
  const block = encoded({ ...source, entityIds: Uint32Array.from(texts.keys()), entityNames: namesOf(...texts) });
  const trailer = decodeIndexTrailer(block.subarray(-INDEX_TRAILER.bytes), block.length);
  assert.ok(trailer.ok);
  const rootEnd = block.length - INDEX_TRAILER.bytes;
  const outcome = decodeIndexRoot(block.subarray(rootEnd - trailer.trailer.rootBytes, rootEnd), trailer.trailer);
  assert.ok(outcome.ok);
  const names = outcome.layout.entityNames;
  assert.equal(names.pageCount, 4);
  const found = new Set<string>();
  for (let page = 0; page < names.pageCount; page++) {
    const start = names.offset + page * (names.pageBytes + INDEX_BLOCK.pageChecksumBytes);
    const end = start + Math.min(names.pageBytes, names.dataBytes - page * names.pageBytes);
    for (let at = start; at + 2 < end; ) {
      const length = block.readUInt16LE(at);
      if (length === 0) break;
      assert.ok(at + 2 + length <= end);
      found.add(block.toString("utf8", at + 2, at + 2 + length));
      at += 2 + length;
    }
  }
  assert.deepEqual(found, new Set(texts));
});
