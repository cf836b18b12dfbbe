// Header, frame, seal, mark and checkpoint of the native layout: round trip, golden bytes, and decoders that survive any bytes.

import assert from "node:assert/strict";
import { before, describe, test } from "node:test";
import { crc32 } from "node:zlib";
import { GrowingSink } from "../../base/byte-sink.ts";
import { blake3, loadHashing } from "../../kernel/frame-kernel.ts";
import { seededRandom } from "../../testing/seeded-random.ts";
import { decodeCheckpoint, encodeCheckpoint } from "./checkpoint.ts";
import { decodeDurableMark, DURABLE_MARK, encodeDurableMark, type DurableMark } from "./durable-mark.ts";
import { FRAME, FRAME_FLAG } from "./frame-layout.ts";
import {
  beginFrame,
  checkFrame,
  endFrame,
  frameSeed,
  isMarked,
  markFrame,
  payloadStart,
  segmentSeed,
  stampFrame,
  syncedBefore,
} from "./frame.ts";
import { decodeSeal, encodeSeal, isSeal } from "./seal.ts";
import { decodeSegmentHeader, encodeSegmentHeader } from "./segment-header.ts";

const seed = Number(process.env.BATPAK_TEST_SEED ?? Date.now() % 1_000_000);
const rounds = 3000;
const storeId = Uint8Array.from({ length: 16 }, (_, i) => i + 1);
const frameOffset = 4096;
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.length);

before(async () => {
  await loadHashing();
});

const header = {
  storeId,
  segmentId: 7,
  firstSequence: 1000,
  generation: 2,
  replacesFrom: 3,
  replacesTo: 5,
  retentionAt: 0,
  createdMicros: 1_700_000_000_000_000,
};
const mark: DurableMark = {
  storeId,
  generation: 2,
  visibleSegment: 7,
  visibleOffset: 4321,
  visibleSequence: 1017,
  syncedSegment: 7,
  syncedOffset: 4096,
};

function makeFrame(): Uint8Array {
  const sink = new GrowingSink(16);
  const start = beginFrame(sink, {
    flags: FRAME_FLAG.causation | FRAME_FLAG.foreignId,
    kind: 0x1001,
    version: 3,
    entity: "straße:1",
    scope: "道",
  });
  sink.grow(2);
  sink.bytes.set([0x91, 0x2a], sink.position);
  sink.position += 2;
  endFrame(sink, start);
  stampFrame(sink.view, start, 4, 1016, 1_700_000_000_000_123, 96);
  markFrame(sink.view, start);
  const bytes = sink.copy(start);
  for (let i = 0; i < 16; i++) bytes[FRAME.id + i] = 0xa0 + i;
  for (let i = 0; i < 16; i++) bytes[FRAME.variable + i] = 0xb0 + i;
  for (let i = 0; i < 32; i++) bytes[FRAME.previousHash + i] = 0xc0 + i;
  bytes.set(blake3(bytes.subarray(FRAME.body, bytes.length - FRAME.hashBytes)), bytes.length - FRAME.hashBytes);
  viewOf(bytes).setUint32(FRAME.crc, crc32(bytes.subarray(FRAME.length), frameSeed(segmentSeed(storeId, 7), frameOffset)), true);
  return bytes;
}

function makeMark(): Uint8Array {
  const bytes = new Uint8Array(DURABLE_MARK.bytes);
  encodeDurableMark(mark, bytes, viewOf(bytes));
  return bytes;
}

function makeCheckpoint(): Uint8Array {
  const columns = new Map([
    ["one", Uint8Array.of(1, 2, 3)],
    ["none", new Uint8Array(0)],
  ]);
  return Uint8Array.from(Buffer.concat(encodeCheckpoint({ description: { nextSequence: 5 }, columns })));
}

const check = (bytes: Uint8Array, offset = frameOffset, segmentId = 7): string =>
  checkFrame(bytes, viewOf(bytes), 0, bytes.length, segmentSeed(storeId, segmentId), offset);

describe("golden bytes", () => {
  const golden: Record<string, { make: () => Uint8Array; bytes: string }> = {
    "segment header": {
      make: () => encodeSegmentHeader(header),
      bytes:
        "42415450414b534701008000000000000102030405060708090a0b0c0d0e0f100700000000000000e80300000000000002000000000000000300000000000000050000000000000000401e18240a06000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000bc5621da",
    },
    frame: {
      make: makeFrame,
      bytes:
        "2ded100c9c000080600000000a0001100300090003000400000000000000f8030000000000007b401e18240a0600a0a1a2a3a4a5a6a7a8a9aaabacadaeafc0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcdddedfb0b1b2b3b4b5b6b7b8b9babbbcbdbebf73747261c39f653a31e98193912a4104afa4cf96bbbe8fffb9eb4a241a7269244715c06af61b353d21186c81cb3b",
    },
    seal: {
      make: () => encodeSeal({ frames: 9, nextSequence: 1017, timeMicros: 5 }, segmentSeed(storeId, 7), frameOffset, 4000),
      bytes:
        "6c9f45527e00008060000000200000000000000000000900000000000000f9030000000000000500000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000f40efcff7c19faa4743ddbe0c1585b6331c681755d34ff49428769b86a4b485f",
    },
    "durable mark": {
      make: makeMark,
      bytes:
        "42415450414b444d0102030405060708090a0b0c0d0e0f1002000000000000000700000000000000e110000000000000f90300000000000007000000000000000010000000000000dae3a3a7",
    },
    checkpoint: {
      make: makeCheckpoint,
      bytes:
        "46424154434b00014333035ace0000003783ac6e65787453657175656e636505a766696c6c696e67a62d2d2d2d2d2da7636f6c756d6e739392a36f6e650392a00592a46e6f6e65000102030000000000",
    },
  };
  for (const [name, { make, bytes }] of Object.entries(golden)) test(name, () => assert.equal(hex(make()), bytes));
});

describe("round trip", () => {
  test("segment header", () => assert.deepEqual(decodeSegmentHeader(encodeSegmentHeader(header)), { kind: "ok", header }));
  test("durable mark", () => assert.deepEqual(decodeDurableMark(makeMark()), mark));
  test("seal", () => {
    const seal = { frames: 9, nextSequence: 1017, timeMicros: 5 };
    const bytes = encodeSeal(seal, segmentSeed(storeId, 7), frameOffset, 4000);
    assert.equal(check(bytes), "ok");
    assert.ok(isSeal(viewOf(bytes), 0));
    assert.deepEqual(decodeSeal(viewOf(bytes), 0), seal);
    assert.equal(syncedBefore(viewOf(bytes), 0, frameOffset), 4000);
  });
  test("checkpoint", () => {
    const outcome = decodeCheckpoint(makeCheckpoint());
    assert.equal(outcome.kind, "ok");
    if (outcome.kind !== "ok") return;
    assert.equal(outcome.content.description.nextSequence, 5);
    assert.deepEqual(outcome.content.columns.get("one"), Uint8Array.of(1, 2, 3));
    assert.equal(outcome.content.columns.get("none")?.length, 0);
  });
  test("a checkpoint whose columns stand anywhere, as they did before version 0.2, is read as well", () => {
    const unaligned = "46424154434b00011ce991fbce0000002582ac6e65787453657175656e636505a7636f6c756d6e739292a36f6e650392a46e6f6e6500010203";
    const outcome = decodeCheckpoint(Uint8Array.from(Buffer.from(unaligned, "hex")));
    assert.equal(outcome.kind, "ok");
    assert.deepEqual(outcome.kind === "ok" && outcome.content.columns.get("one"), Uint8Array.of(1, 2, 3));
  });
  test("a frame passes in its place, and in no other segment, store or place", () => {
    const bytes = makeFrame();
    assert.equal(check(bytes), "ok");
    assert.equal(check(bytes, frameOffset + 1), "bad");
    assert.equal(check(bytes, frameOffset, 8), "bad");
    const otherStore = segmentSeed(new Uint8Array(16), 7);
    assert.equal(checkFrame(bytes, viewOf(bytes), 0, bytes.length, otherStore, frameOffset), "bad");
    assert.ok(isMarked(viewOf(bytes), 0));
    assert.equal(payloadStart(viewOf(bytes), 0), bytes.length - FRAME.hashBytes - 2);
  });
  test("a frame that is cut is short, zeros are zero", () => {
    const bytes = makeFrame();
    for (let length = 0; length < bytes.length; length++) {
      assert.equal(checkFrame(bytes, viewOf(bytes), 0, length, segmentSeed(storeId, 7), frameOffset), "short", `of ${length} bytes`);
    }
    assert.equal(check(new Uint8Array(200)), "zero");
  });
});

describe(`any bytes (seed ${seed}, ${rounds} rounds)`, () => {
  const decoders: Record<string, { make: () => Uint8Array; isWhole: (bytes: Uint8Array) => boolean }> = {
    "segment header": { make: () => encodeSegmentHeader(header), isWhole: (bytes) => decodeSegmentHeader(bytes).kind === "ok" },
    frame: { make: makeFrame, isWhole: (bytes) => check(bytes) === "ok" },
    "durable mark": { make: makeMark, isWhole: (bytes) => decodeDurableMark(bytes) !== null },
    checkpoint: { make: makeCheckpoint, isWhole: (bytes) => decodeCheckpoint(bytes).kind === "ok" },
  };
  for (const [name, { make, isWhole }] of Object.entries(decoders)) {
    test(`${name}: a changed bit is never believed`, () => {
      const good = make();
      assert.ok(isWhole(good));
      for (let bit = 0; bit < good.length * 8; bit++) {
        const bytes = good.slice();
        bytes[bit >> 3] ^= 1 << (bit & 7);
        assert.equal(isWhole(bytes), false, `bit ${bit}`);
      }
    });
    test(`${name}: cut, spliced and random bytes neither pass nor throw`, () => {
      const random = seededRandom(seed);
      const below = (limit: number): number => Math.floor(random() * limit);
      const good = make();
      for (let round = 0; round < rounds; round++) {
        const bytes = round % 3 === 0 ? Uint8Array.from({ length: below(300) }, () => below(256)) : good.slice(0, below(good.length));
        if (round % 3 === 2) for (let i = 0; i < 3; i++) if (bytes.length > 0) bytes[below(bytes.length)] = below(256);
        assert.equal(isWhole(bytes), false, `round ${round}`);
      }
    });
    // The shape is judged before the CRC: whatever it lets pass must lie within the bytes, also where the CRC was made to fit.
    test(`${name}: bytes whose CRC was made to fit do not throw`, () => {
      const random = seededRandom(seed + 1);
      const below = (limit: number): number => Math.floor(random() * limit);
      let believed = 0;
      for (let round = 0; round < rounds; round++) {
        const bytes = make();
        for (let i = 0; i <= below(3); i++) bytes[below(bytes.length)] = below(256);
        fitChecksum(name, bytes);
        if (isWhole(bytes)) believed++;
      }
      assert.ok(believed > 0 && believed < rounds, `${believed} of ${rounds} believed`);
    });
  }
});

function fitChecksum(name: string, bytes: Uint8Array): void {
  const view = viewOf(bytes);
  if (name === "segment header") view.setUint32(124, crc32(bytes.subarray(0, 124)), true);
  else if (name === "durable mark") view.setUint32(DURABLE_MARK.crc, crc32(bytes.subarray(0, DURABLE_MARK.crc)), true);
  else if (name === "checkpoint") view.setUint32(8, crc32(bytes.subarray(12)), true);
  else view.setUint32(FRAME.crc, crc32(bytes.subarray(FRAME.length), frameSeed(segmentSeed(storeId, 7), frameOffset)), true);
}
