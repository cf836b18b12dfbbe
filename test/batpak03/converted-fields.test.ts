/** What only one of the layouts has a field for, converted there and back; and what has no room in the native one. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { crc32 } from "node:zlib";
import { GrowingSink } from "../../src/base/byte-sink.ts";
import { viewOf } from "../../src/base/msgpack.ts";
import { decodeFrame, type Frame, type FrameFields } from "../../src/format/batpak03/frame.ts";
import { SegmentBuilder } from "../../src/format/batpak03/segment-builder.ts";
import { convertStore, rawEvent, Store } from "../../src/index.ts";
import { loadHashing } from "../../src/kernel/frame-kernel.ts";
import { SimulatedDisk } from "../../src/testing/sim-disk.ts";
import { EVENT_MS, eventFields } from "../support/batpak03-events.ts";
import { DIRECTORY, diskWith } from "../support/small-stores.ts";

const FRAMES_AT = 57;

async function diskWithSegment(fill: (builder: SegmentBuilder, sink: GrowingSink) => void): Promise<SimulatedDisk> {
  await loadHashing();
  const sink = new GrowingSink();
  const builder = new SegmentBuilder(sink, { segmentId: 1, createdNs: BigInt(EVENT_MS) * 1_000_000n, segmentBytesMax: 65_536 });
  fill(builder, sink);
  return diskWith(new Map([["000001.fbat", Buffer.concat([sink.copy(), ...builder.seal()])]]));
}

function diskOf(...events: readonly Partial<FrameFields>[]): Promise<SimulatedDisk> {
  return diskWithSegment((builder, sink) => {
    for (const [n, given] of events.entries()) builder.append(sink, eventFields(n, given), n);
  });
}

function firstFrame(segment: Uint8Array): Frame {
  const frame = decodeFrame(segment, viewOf(segment), FRAMES_AT, segment.length);
  assert(frame.kind === "ok");
  return frame;
}

test("all that a frame of the old layout holds comes back, bytes and all", async () => {
  const disk = await diskOf(
    { flags: 0xff, counter: 9, depth: 2, lane: 3 },
    { flags: 300, timestampUs: EVENT_MS * 1000 + 999 },
    { lane: 0xffff_ffff, timestampUs: EVENT_MS * 1000 + 1000 },
    { timestampUs: -1 },
  );
  await convertStore(DIRECTORY, "/native", { disk, layout: "native" });
  await convertStore("/native", "/back", { disk, layout: "batpak-0.3" });
  const [before, after] = [DIRECTORY, "/back"].map((directory) => Buffer.from(disk.bytesOf(`${directory}/000001.fbat`)));
  assert.ok(after.subarray(FRAMES_AT).equals(before.subarray(FRAMES_AT)));
  const native = await Store.open("/native", { disk, readOnly: true });
  assert.deepEqual(
    (await native.read().toArray()).map(({ metadata }) => metadata),
    [
      { batpak03: { flags: 0xff, counter: 9, depth: 2, lane: 3 } },
      { batpak03: { flags: 300 } },
      { batpak03: { timestamp_us: EVENT_MS * 1000 + 1000, lane: 0xffff_ffff } },
      { batpak03: { timestamp_us: -1 } },
    ],
  );
  await native.close();
});

test("behind numbers that were left out, a batch's markers have the number of its first event", async () => {
  const disk = await diskWithSegment((builder, sink) => {
    builder.beginBatch(sink, 2, 1000, EVENT_MS * 1000, EVENT_MS);
    for (const n of [0, 1]) builder.append(sink, eventFields(n, {}), 1000 + n);
    builder.commitBatch(sink, EVENT_MS * 1000, EVENT_MS);
  });
  await convertStore(DIRECTORY, "/native", { disk, layout: "native" });
  await convertStore("/native", "/back", { disk, layout: "batpak-0.3" });
  for (const directory of [DIRECTORY, "/back"]) {
    const begin = firstFrame(disk.bytesOf(`${directory}/000001.fbat`));
    assert.equal(begin.eventKind, 6);
    assert.equal(begin.view.getBigUint64(begin.eventIdAt + 8), 1000n);
  }
});

// Found by looking: a native event's microseconds came back as metadata that it never had.
test("a native event comes back without metadata, and to the microsecond", async () => {
  const disk = new SimulatedDisk();
  let nowMicros = EVENT_MS * 1000 + 123;
  const clock = { nowMicros: () => (nowMicros += 457), monotonicMs: () => 0 };
  const store = await Store.open(DIRECTORY, { disk, clock });
  for (let n = 0; n < 10; n++) await store.append({ entity: "e", scope: "s" }, rawEvent(0xf001, { n }));
  await store.close();
  await convertStore(DIRECTORY, "/old", { disk, layout: "batpak-0.3" });
  await convertStore("/old", "/native", { disk, layout: "native" });
  await convertStore("/native", "/again", { disk, layout: "batpak-0.3" });
  const native = await Store.open("/native", { disk, readOnly: true });
  for await (const { metadata } of native.read()) assert.equal(metadata, null);
  await native.close();
  const [one, other] = ["/old", "/again"].map((directory) => firstFrame(disk.bytesOf(`${directory}/000001.fbat`)).timestampUs);
  assert.ok(Number(one) % 1000 > 0);
  assert.equal(other, one);
});

test("what later releases add to a frame is left out, and it is told of how many events", async () => {
  const disk = await diskOf({}, {}, {});
  const bytes = Buffer.from(disk.bytesOf(`${DIRECTORY}/000001.fbat`));
  const first = firstFrame(bytes);
  const added = Buffer.from("\xa5extra\x93\x01\x02\x03", "latin1");
  const frame = Buffer.concat([bytes.subarray(FRAMES_AT, FRAMES_AT + first.length), added]);
  frame[8]++;
  frame.writeUInt32BE(frame.length - 8, 0);
  frame.writeUInt32BE(crc32(frame.subarray(8)), 4);
  const framesEnd = Number(bytes.readBigUInt64LE(bytes.length - 16));
  const rest = bytes.subarray(FRAMES_AT + first.length, framesEnd);
  const later = diskWith(new Map([["000001.fbat", Buffer.concat([bytes.subarray(0, FRAMES_AT), frame, rest])]]));
  const { events, dropped } = await convertStore(DIRECTORY, "/native", { disk: later, layout: "native" });
  assert.deepEqual([events, dropped.unknownKeys], [3, 1]);
});

test("a name that the native layout has no room for ends the conversion by its own name", async () => {
  for (const name of ["entity", "scope"]) {
    const fits = await diskOf({ [name]: "é".repeat(512) });
    assert.equal((await convertStore(DIRECTORY, "/native", { disk: fits, layout: "native" })).events, 1);
    const disk = await diskOf({}, { [name]: "é".repeat(513) });
    await assert.rejects(convertStore(DIRECTORY, "/native", { disk, layout: "native" }), {
      code: "UNSUPPORTED_BY_LAYOUT",
      message: `Cannot convert: the ${name} of the event with sequence 1 takes 1026 bytes, the native layout has room for names up to 1024 bytes`,
    });
    const reader = await Store.open(DIRECTORY, { disk, readOnly: true });
    assert.equal(await reader.count(), 2);
    await reader.close();
  }
});
