/**
 * Times that no number of JavaScript holds exactly. `timestamp_us` is an i64 that nothing shows: such an event is read, and converted without a loss.
 * An event of such a `wall_ms` cannot be shown, and that is what is told of it: its frame is whole.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { crc32 } from "node:zlib";
import { GrowingSink } from "../../src/base/byte-sink.ts";
import { viewOf } from "../../src/base/msgpack.ts";
import { decodeFrame } from "../../src/format/batpak03/frame.ts";
import { SegmentBuilder } from "../../src/format/batpak03/segment-builder.ts";
import { convertStore, isStoreError, rawEvent, Store } from "../../src/index.ts";
import { blake3, loadHashing } from "../../src/kernel/frame-kernel.ts";
import { loadFixture } from "../support/batpak03-fixtures.ts";
import { DIRECTORY, diskWith, fixtureFiles } from "../support/small-stores.ts";

const MS = 1_700_000_000_000;
const FRAMES_AT = 57;

interface Times {
  readonly timestampUs?: number | bigint;
  readonly wallMs?: number;
}

/** A segment with an event of each of these times. */
async function segmentWith(times: readonly Times[], isSealed: boolean): Promise<Uint8Array> {
  await loadHashing();
  const sink = new GrowingSink();
  const builder = new SegmentBuilder(sink, { segmentId: 1, createdNs: BigInt(MS) * 1_000_000n, segmentBytesMax: 65_536 });
  for (const [n, { timestampUs = MS * 1000, wallMs = MS }] of times.entries()) {
    const id = new Uint8Array(16).fill(n + 1);
    const payload = Uint8Array.of(0x81, 0xa1, 0x6e, n);
    const hash = blake3(payload);
    const names = { entity: `e${n}`, scope: "s", payloadForm: "bytes", eventKind: 0xf001, flags: 0 } as const;
    const numbers = { timestampUs, wallMs, clock: 0, counter: 0, depth: 0, lane: 0, payloadSize: payload.length };
    const ids = { eventId: id, correlationId: id, causationId: null };
    const hashes = { contentHash: hash, hashChain: { prevHash: new Uint8Array(32), eventHash: hash } };
    builder.append(sink, { ...names, ...numbers, ...ids, ...hashes, payload }, n);
  }
  return isSealed ? Buffer.concat([sink.copy(), ...builder.seal()]) : sink.copy();
}

function timestampsIn(segment: Uint8Array, count: number): (number | bigint)[] {
  const view = viewOf(segment);
  const timestamps: (number | bigint)[] = [];
  let offset = FRAMES_AT;
  while (timestamps.length < count) {
    const frame = decodeFrame(segment, view, offset, segment.length);
    assert(frame.kind === "ok");
    timestamps.push(frame.timestampUs);
    offset += frame.length;
  }
  return timestamps;
}

/** Of a store that has nothing but this segment. */
async function numbersOf(segment: Uint8Array): Promise<number[]> {
  const reader = await Store.open(DIRECTORY, { disk: diskWith(new Map([["000001.fbat", segment]])), readOnly: true });
  assert.deepEqual([reader.openReport.route, reader.openReport.problems], ["scan", []]);
  const numbers = await numbersIn(reader);
  await reader.close();
  return numbers;
}

async function numbersIn(store: Store): Promise<number[]> {
  return (await store.read().toArray()).map((event) => (event.data as { n: number }).n);
}

test("an event of any timestamp_us is read by every route, gone on from, and converted there and back", async () => {
  const given = [2n ** 63n - 1n, -(2n ** 63n), 2n ** 53n, -(2n ** 53n), 2 ** 53 - 1, 1 - 2 ** 53, -5, MS * 1000];
  const all = given.map((_, n) => n);
  const times = given.map((timestampUs) => ({ timestampUs }));
  const segment = await segmentWith(times, true);
  assert.deepEqual(timestampsIn(segment, given.length), given);
  assert.deepEqual(await numbersOf(await segmentWith(times, false)), all);
  const disk = diskWith(new Map([["000001.fbat", segment]]));
  for (const route of ["footers", "checkpoint"]) {
    const reader = await Store.open(DIRECTORY, { disk, readOnly: true });
    assert.deepEqual([reader.openReport.route, reader.openReport.problems], [route, []]);
    assert.deepEqual(await numbersIn(reader), all);
    assert.deepEqual((await reader.verify()).problems, []);
    await reader.close();
    await (await Store.open(DIRECTORY, { disk })).close();
  }
  await convertStore(DIRECTORY, "/native", { disk, layout: "native" });
  await convertStore("/native", "/back", { disk, layout: "batpak-0.3" });
  assert.deepEqual(timestampsIn(disk.bytesOf("/back/000001.fbat"), given.length), given);
  const writer = await Store.open(DIRECTORY, { disk });
  assert.equal((await writer.append({ entity: "e0", scope: "s" }, rawEvent(0xf001, { n: given.length }))).clock, 1);
  await writer.close();
});

test("an event whose wall_ms is past 2^53 is told as one that cannot be read, never as damage", async () => {
  for (const wallMs of [2 ** 53, 2 ** 63]) {
    const segment = await segmentWith([{}, { wallMs }, {}], false);
    const disk = diskWith(new Map([["000001.fbat", segment]]));
    const offset = FRAMES_AT + 8 + viewOf(segment).getUint32(FRAMES_AT);
    const reason = "its wall_ms is past 9007199254740991, the last time that is read here";
    await assert.rejects(Store.open(DIRECTORY, { disk }), (error) => {
      assert(isStoreError(error, "CORRUPT"), String(error));
      assert.deepEqual(error.details, { segmentId: 1, offset, file: "000001.fbat", reason });
      assert.doesNotMatch(error.message, /damaged|repair/);
      return true;
    });
    const reader = await Store.open(DIRECTORY, { disk, readOnly: true });
    assert.deepEqual(await numbersIn(reader), [0, 2]);
    const message = `The event at segment 1, offset ${offset} is left out: ${reason}`;
    assert.deepEqual(reader.openReport.problems, [{ code: "EVENT_UNREADABLE", segmentId: 1, offset, message }]);
    const { problems } = await reader.verify();
    assert.deepEqual([...new Set(problems.map((problem) => problem.code))], ["EVENT_UNREADABLE"]);
    await reader.close();
  }
});

test("a frame whose checksum is right and whose body is none is not told as one with a wrong checksum", async () => {
  const { rows } = loadFixture("tiny");
  const { offset, length } = rows[1];
  const files = new Map(fixtureFiles("tiny"));
  const segment = Buffer.from(files.get("000001.fbat") as Uint8Array);
  const tag = segment.indexOf("correlation_id", offset) + "correlation_id".length;
  assert(segment[tag] === 0xc4 && tag < offset + length);
  segment[tag] = 0xc5;
  segment.writeUInt32BE(crc32(segment.subarray(offset + 8, offset + length)), offset + 4);
  files.set("000001.fbat", segment);
  const disk = diskWith(files);
  const reader = await Store.open(DIRECTORY, { disk, readOnly: true });
  assert.equal(reader.openReport.route, "checkpoint");
  for (const attempt of [reader.read().toArray(), reader.get(rows[1].event_id)])
    await assert.rejects(attempt, /its checksum matches, and what it holds cannot be read/);
  await reader.close();
});
