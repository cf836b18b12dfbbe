/** Every fixture of the original against the truth beside it, and every piece of it encoded again to the same bytes. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { decode } from "@msgpack/msgpack";
import { blake3 } from "@noble/hashes/blake3.js";
import type { FixtureRow, FixtureSegment } from "../../../test/support/batpak03-fixtures.ts";
import { fixtureNames, hex, loadFixture } from "../../../test/support/batpak03-fixtures.ts";
import { GrowingSink } from "../../base/byte-sink.ts";
import { viewOf } from "../../base/msgpack.ts";
import { atOnce } from "../../base/rest.ts";
import { BatchTracker } from "./batch-tracker.ts";
import type { CheckpointEntryFields } from "./checkpoint.ts";
import { decodeCheckpoint } from "./checkpoint-decoder.ts";
import { encodeCheckpoint } from "./checkpoint-encoder.ts";
import { checkpointEntryFields, checkpointMismatch } from "./checkpoint-entry.ts";
import type { FooterEntryFields } from "./footer.ts";
import { decodeFooter, decodeTrailer, encodeFooter, Footer, footerMismatch, misplacedEntry } from "./footer.ts";
import type { Frame } from "./frame.ts";
import { decodeFrame, encodeFrame, frameEntity, frameFields, frameScope, hashBytes, isBatchMarker } from "./frame.ts";
import { payloadBytes } from "./payload.ts";
import { decodeSegmentHeader, encodeSegmentHeader, parseSegmentFileName, segmentFileName } from "./segment.ts";

interface ScannedSegment {
  readonly segmentId: number;
  readonly frames: Frame[];
  readonly framesOffset: number;
  readonly footer: Footer | null;
  readonly tornAt: number;
}

function scan(segment: FixtureSegment): ScannedSegment {
  const { bytes } = segment;
  const view = viewOf(bytes);
  const header = decodeSegmentHeader(bytes, view, bytes.length);
  assert(header.kind === "ok");
  assert.equal(header.segmentId, segment.segmentId);
  assert.equal(parseSegmentFileName(segment.name), segment.segmentId);
  assert.equal(segmentFileName(segment.segmentId), segment.name);
  const trailer = decodeTrailer(bytes.subarray(-16), bytes.length, header.end);
  assert.notEqual(trailer.kind, "corrupt");
  const footer = trailer.kind === "ok" ? atOnce(decodeFooter(bytes.subarray(trailer.tableOffset), trailer)) : null;
  assert(footer === null || footer instanceof Footer);
  const framesEnd = footer === null ? bytes.length : footer.tableOffset;
  const frames: Frame[] = [];
  let offset = header.end;
  while (offset < framesEnd) {
    const frame = decodeFrame(bytes, view, offset, framesEnd);
    if (frame.kind === "torn") return { segmentId: segment.segmentId, frames, framesOffset: header.end, footer, tornAt: offset };
    assert(frame.kind === "ok", `${segment.name} at ${offset}: ${frame.kind === "corrupt" ? frame.reason : ""}`);
    frames.push(frame);
    offset += frame.length;
  }
  return { segmentId: segment.segmentId, frames, framesOffset: header.end, footer, tornAt: -1 };
}

/** The events that count, in file order. */
function eventsOf(segments: readonly ScannedSegment[]): { segmentId: number; frame: Frame }[] {
  const all = segments.flatMap(({ segmentId, frames }) => frames.map((frame) => ({ segmentId, frame })));
  const accepted: { segmentId: number; frame: Frame }[] = [];
  const tracker = new BatchTracker({ accept: (handle) => accepted.push(all[handle]), drop: (_, reason) => assert.fail(reason) });
  let handle = 0;
  for (const { frames, footer } of segments) {
    for (const frame of frames) tracker.push(frame, handle++);
    tracker.endSegment(footer !== null);
  }
  tracker.end();
  return accepted;
}

/** Decoded by a codec that is not ours: the rows of truth give a map's keys in another order. */
function unpack(bytes: Uint8Array): unknown {
  return decode(bytes, { useBigInt64: true });
}

function idAt(frame: Frame, at: number): string | null {
  return at < 0 ? null : hex(frame.bytes, at, 16);
}

/** A frame as a row's members. */
function rowOf(segmentId: number, frame: Frame): Partial<FixtureRow> {
  return {
    event_id: idAt(frame, frame.eventIdAt) ?? "",
    correlation_id: idAt(frame, frame.correlationIdAt) ?? "",
    causation_id: idAt(frame, frame.causationIdAt),
    entity: frameEntity(frame),
    scope: frameScope(frame),
    kind: frame.eventKind,
    wall_ms: frame.wallMs,
    clock: frame.clock,
    prev_hash: hex(hashBytes(frame, frame.prevHashAt)),
    event_hash: hex(hashBytes(frame, frame.eventHashAt)),
    segment_id: segmentId,
    offset: frame.offset,
    length: frame.length,
  };
}

function headerOf(frame: Frame): unknown {
  const { wallMs, counter, depth, lane, clock } = frame;
  return {
    event_id: idAt(frame, frame.eventIdAt),
    correlation_id: idAt(frame, frame.correlationIdAt),
    causation_id: idAt(frame, frame.causationIdAt),
    timestamp_us: frame.timestampUs,
    position: { wall_ms: wallMs, counter, depth, lane, sequence: clock },
    payload_size: frame.payloadSize,
    event_kind: frame.eventKind,
    flags: frame.flags,
    content_hash: hex(hashBytes(frame, frame.contentHashAt)),
  };
}

for (const name of fixtureNames()) {
  const fixture = loadFixture(name);
  const segments = fixture.segments.map(scan);

  test(`${name}: a frame scan gives the events of the truth`, () => {
    const events = eventsOf(segments);
    assert.equal(events.length, fixture.scanRows.length);
    assert.equal(
      segments.some((segment) => segment.tornAt >= 0),
      name === "torn",
    );
    fixture.scanRows.forEach((row, index) => {
      const { segmentId, frame } = events[index];
      const { global_sequence: _, header, payloadBytes: payload, read_error: __, ...expected } = row;
      const { payload: ___, ...plain } = expected as typeof expected & { payload?: unknown };
      assert.deepEqual(rowOf(segmentId, frame), plain);
      if (header !== undefined)
        assert.deepEqual(
          { ...(headerOf(frame) as object) },
          { correlation_id: row.correlation_id, causation_id: row.causation_id, ...header },
        );
      const read = payloadBytes(frame, blake3);
      assert.equal(read.form, row.read_error === undefined ? "bytes" : "value");
      if (row.read_error === undefined) assert.equal(read.integrity, "verified");
      else assert.notEqual(read.integrity, "broken");
      assert.equal(hex(blake3(read.bytes)) === row.event_hash, read.integrity === "verified");
      if (payload !== null) assert.deepEqual(unpack(read.bytes), unpack(payload));
    });
  });

  test(`${name}: headers and frames encode again to the same bytes`, () => {
    let frameCount = 0;
    fixture.segments.forEach(({ bytes }, index) => {
      const header = decodeSegmentHeader(bytes, viewOf(bytes), bytes.length);
      assert(header.kind === "ok");
      const sink = new GrowingSink(16);
      encodeSegmentHeader(sink, header);
      for (const frame of segments[index].frames) {
        assert.equal(sink.position, frame.offset);
        encodeFrame(sink, frameFields(frame, payloadBytes(frame, blake3)));
        frameCount++;
      }
      assert.equal(hex(sink.copy()), hex(bytes, 0, sink.position));
    });
    assert(frameCount >= fixture.rows.length);
  });

  test(`${name}: footers encode again to the same bytes, and are right unless known to be wrong`, () => {
    for (const [index, segment] of segments.entries()) {
      const { footer } = segment;
      if (footer === null) {
        assert.ok(["compact", "compact_retention", "torn", "unclean", "ckpt_tail"].includes(name));
        continue;
      }
      const { bytes } = fixture.segments[index];
      assert.equal(hex(encodeFooter(footer.tableOffset, footerEntries(footer))), hex(bytes.subarray(footer.tableOffset)));
      const misplaced = atOnce(misplacedEntry(footer, segment.framesOffset));
      const gaps = gapsOf(footer, segment.framesOffset);
      const wrong =
        name === "batch_rotate" &&
        (misplaced !== null ||
          gaps.some((gap) =>
            segment.frames.some(({ offset, eventKind }) => offset >= gap.from && offset < gap.to && eventKind !== 6 && eventKind !== 7),
          ));
      assert.equal(wrong, name === "batch_rotate");
      if (wrong) continue;
      assert.equal(misplaced, null);
      checkFooter(segment, footer, gaps, fixture.rows, name === "compact_retention" && segment.segmentId === 5 ? 12 : 0);
    }
  });

  test(`${name}: the checkpoint gives the rows of the truth, and encodes again to the same bytes`, () => {
    if (fixture.checkpoint === null) {
      assert.ok(["torn", "unclean"].includes(name));
      return;
    }
    const strings: string[] = [];
    const entries: CheckpointEntryFields[] = [];
    const decoded = decodeCheckpoint(fixture.checkpoint, {
      string: (text) => void strings.push(text),
      entries: () => {},
      entry: (entry) => {
        const row = fixture.rows[entries.push(checkpointEntryFields(entry)) - 1];
        const segment = segments.find(({ segmentId }) => segmentId === entry.segmentId);
        const frame = segment?.frames.find(({ offset }) => offset === entry.offset);
        assert(frame !== undefined);
        assert.equal(checkpointMismatch(entry, row.entity, row.scope, frame), null);
        return undefined;
      },
    });
    if (name === "ckpt_badcrc") {
      assert.equal(decoded.kind, "corrupt");
      assert.equal(strings.length, 0);
      return;
    }
    assert(decoded.kind === "ok", decoded.kind === "ok" ? "" : decoded.reason);
    assert.equal(decoded.entryCount, entries.length);
    assert.equal(entries.length, name === "ckpt_tail" ? 20 : fixture.rows.length);
    entries.forEach((entry, index) => {
      const row = fixture.rows[index];
      assert.equal(entry.globalSequence, row.global_sequence);
      assert.deepEqual([strings[entry.entityId], strings[entry.scopeId]], [row.entity, row.scope]);
      assert.equal(entry.segmentId, row.segment_id);
    });
    assert.equal(hex(writeCheckpoint(decoded.head, strings, entries)), hex(fixture.checkpoint));
  });
}

function writeCheckpoint(
  head: Parameters<typeof encodeCheckpoint>[0]["head"],
  strings: string[],
  entries: CheckpointEntryFields[],
): Uint8Array {
  const chunks: Uint8Array[] = [];
  const generator = encodeCheckpoint({ head, strings, entryCount: entries.length, entries });
  for (;;) {
    const step = generator.next();
    if (!step.done) {
      chunks.push(step.value);
      continue;
    }
    const file = Buffer.concat(chunks);
    file.set(step.value, 0);
    return file;
  }
}

function* footerEntries(footer: Footer): Generator<FooterEntryFields> {
  const slice = (at: number, length: number): Uint8Array => footer.bytes.slice(at, at + length);
  const id = (at: number): Uint8Array => slice(at, 16).reverse();
  for (let entry = 0; entry < footer.entryCount; entry++) {
    const causationAt = footer.causationIdAt(entry);
    yield {
      frame: {
        eventId: id(footer.eventIdAt(entry)),
        correlationId: id(footer.correlationIdAt(entry)),
        causationId: causationAt < 0 ? null : id(causationAt),
        eventKind: footer.eventKind(entry),
        wallMs: footer.wallMs(entry),
        clock: footer.clock(entry),
        hashChain: { prevHash: slice(footer.prevHashAt(entry), 32), eventHash: slice(footer.eventHashAt(entry), 32) },
        entity: footer.strings[footer.entityIndex(entry)],
        scope: footer.strings[footer.scopeIndex(entry)],
      },
      frameOffset: footer.frameOffset(entry),
      frameLength: footer.frameLength(entry),
      globalSequence: footer.globalSequence(entry),
    };
  }
}

/** Where frames stand that no entry points at: `[from, to)` in the file. In a sound segment these are batch markers only. */
function gapsOf(footer: Footer, framesOffset: number): { readonly from: number; readonly to: number }[] {
  const gaps: { readonly from: number; readonly to: number }[] = [];
  let end = framesOffset;
  for (let entry = 0; entry < footer.entryCount; entry++) {
    const offset = footer.frameOffset(entry);
    if (offset > end) gaps.push({ from: end, to: offset });
    end = offset + footer.frameLength(entry);
  }
  if (end < footer.tableOffset) gaps.push({ from: end, to: footer.tableOffset });
  return gaps;
}

function checkFooter(
  segment: ScannedSegment,
  footer: Footer,
  gaps: readonly { from: number; to: number }[],
  rows: readonly FixtureRow[],
  droppedBefore: number,
): void {
  const events = segment.frames.filter((frame) => !isBatchMarker(frame));
  assert.equal(events.length, footer.entryCount);
  events.forEach((frame, entry) => {
    assert.equal(footerMismatch(footer, entry, frame, frame.offset), null);
    const row = rows.find(({ segment_id, offset }) => segment_id === segment.segmentId && offset === frame.offset);
    assert(row !== undefined);
    // Retention dropped twelve events and numbered the rest anew; the footer of segment 5, written before, kept the old numbers.
    assert.equal(footer.globalSequence(entry), row.global_sequence + droppedBefore);
  });
  const markers = segment.frames.filter(isBatchMarker);
  const markerBytes = markers.reduce((sum, frame) => sum + frame.length, 0);
  assert.equal(
    gaps.reduce((sum, { from, to }) => sum + to - from, 0),
    markerBytes,
  );
}
