/** Fixtures of the original rebuilt byte for byte from their rows of truth, through the writer's own parts. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { blake3 } from "@noble/hashes/blake3.js";
import type { Fixture, FixtureRow } from "../../../test/support/batpak03-fixtures.ts";
import { hex, loadFixture, unhex } from "../../../test/support/batpak03-fixtures.ts";
import { appendsOf, CREATED_NS, reorderRecord, TICK_US } from "../../../test/support/batpak03-rebuild.ts";
import { InvariantError } from "../../base/assert.ts";
import { GrowingSink } from "../../base/byte-sink.ts";
import type { CheckpointEntryFields } from "./checkpoint.ts";
import { encodeCheckpoint } from "./checkpoint-encoder.ts";
import type { FrameFields } from "./frame.ts";
import { batchMarker, SegmentBuilder } from "./segment-builder.ts";

function fieldsOf(row: FixtureRow): FrameFields {
  const { header } = row;
  assert(header !== undefined && row.payloadBytes !== null);
  const payload = reorderRecord(row.payloadBytes);
  assert.equal(hex(blake3(payload)), row.event_hash);
  return {
    eventId: unhex(row.event_id),
    correlationId: unhex(row.correlation_id),
    causationId: row.causation_id === null ? null : unhex(row.causation_id),
    timestampUs: header.timestamp_us,
    wallMs: row.wall_ms,
    counter: 0,
    depth: 0,
    lane: 0,
    clock: row.clock,
    payloadSize: payload.length,
    eventKind: row.kind,
    flags: header.flags,
    contentHash: unhex(row.event_hash),
    hashChain: { prevHash: unhex(row.prev_hash), eventHash: unhex(row.event_hash) },
    entity: row.entity,
    scope: row.scope,
    payloadForm: "bytes",
    payload,
  };
}

interface Rebuilt {
  readonly segments: Uint8Array[];
  readonly checkpoint: Uint8Array;
}

function rebuild(fixture: Fixture, segmentBytesMax: number): Rebuilt {
  const segments: Uint8Array[] = [];
  const begin = (segmentId: number): { sink: GrowingSink; builder: SegmentBuilder } => {
    const sink = new GrowingSink();
    return {
      sink,
      builder: new SegmentBuilder(sink, { segmentId, createdNs: CREATED_NS + BigInt(segmentId - 1) * 1_000_000_000n, segmentBytesMax }),
    };
  };
  let { sink, builder } = begin(1);
  const seal = (): void => void segments.push(Buffer.concat([sink.copy(), ...builder.seal()]));
  for (const append of appendsOf(fixture.rows)) {
    if (builder.isFull) {
      seal();
      ({ sink, builder } = begin(builder.segmentId + 1));
    }
    const timeUs = append.rows[0].header?.timestamp_us ?? 0;
    const marker = (ticks: number): [number, number] => [timeUs + ticks * TICK_US, Math.floor((timeUs + ticks * TICK_US) / 1000)];
    if (append.batch) builder.beginBatch(sink, append.rows.length, append.rows[0].global_sequence, ...marker(1));
    for (const row of append.rows) {
      assert.deepEqual(builder.append(sink, fieldsOf(row), row.global_sequence), { offset: row.offset, length: row.length });
    }
    if (append.batch) builder.commitBatch(sink, ...marker(2));
  }
  seal();
  return { segments, checkpoint: rebuildCheckpoint(fixture, segments) };
}

function rebuildCheckpoint(fixture: Fixture, segments: readonly Uint8Array[]): Uint8Array {
  const strings = [""];
  const intern = (text: string): number => {
    if (!strings.includes(text)) strings.push(text);
    return strings.indexOf(text);
  };
  const entries = fixture.rows.map(
    (row): CheckpointEntryFields => ({
      eventId: unhex(row.event_id),
      correlationId: unhex(row.correlation_id),
      causationId: row.causation_id === null ? null : unhex(row.causation_id),
      entityId: intern(row.entity),
      scopeId: intern(row.scope),
      eventKind: row.kind,
      wallMs: row.wall_ms,
      clock: row.clock,
      prevHash: unhex(row.prev_hash),
      eventHash: unhex(row.event_hash),
      segmentId: row.segment_id,
      offset: row.offset,
      length: row.length,
      globalSequence: row.global_sequence,
    }),
  );
  const head = {
    globalSequence: entries.length,
    watermarkSegmentId: segments.length,
    watermarkOffset: segments[segments.length - 1].length,
  };
  const generator = encodeCheckpoint({ head, strings, entryCount: entries.length, entries });
  const chunks: Uint8Array[] = [];
  let step = generator.next();
  for (; !step.done; step = generator.next()) chunks.push(step.value);
  const file = Buffer.concat(chunks);
  file.set(step.value, 0);
  return file;
}

for (const [name, segmentBytesMax] of [
  ["empty", 256 << 20],
  ["tiny", 256 << 20],
  ["multi", 256 << 20],
  ["rotate", 8192],
  ["batch", 256 << 20],
] as const) {
  test(`rebuilds ${name} from its rows, byte for byte`, () => {
    const fixture = loadFixture(name);
    const rebuilt = rebuild(fixture, segmentBytesMax);
    assert.deepEqual(
      rebuilt.segments.map((bytes) => hex(bytes)),
      fixture.segments.map(({ bytes }) => hex(bytes)),
    );
    assert(fixture.checkpoint !== null);
    assert.equal(hex(rebuilt.checkpoint), hex(fixture.checkpoint));
  });
}

test("a builder refuses what would make a wrong segment", () => {
  const [row] = loadFixture("tiny").rows;
  const sink = new GrowingSink();
  const options = { segmentId: 1, createdNs: CREATED_NS, segmentBytesMax: 100 };
  const builder = new SegmentBuilder(sink, options);
  assert.equal(builder.isFull, false);
  builder.beginBatch(sink, 1, 0, 1, 1);
  assert.equal(builder.isFull, true);
  assert.throws(() => builder.beginBatch(sink, 1, 0, 1, 1), InvariantError);
  assert.throws(() => builder.commitBatch(sink, 1, 1), InvariantError);
  assert.throws(() => builder.seal(), InvariantError);
  builder.append(sink, fieldsOf(row), 0);
  builder.commitBatch(sink, 1, 1);
  assert.equal(builder.eventCount, 1);
  assert.equal(builder.writtenBytes, sink.position);
  assert.equal([...builder.seal()].length, 3);
  assert.throws(() => builder.append(sink, fieldsOf(row), 1), InvariantError);
});

test("a marker's ids are the allocator's value", () => {
  const marker = batchMarker(6, 3, 0x1_0000_0002, 5, 0);
  assert.equal(hex(marker.eventId), "00000000000000000000000100000002");
  assert.equal(marker.payloadSize, 3);
});
