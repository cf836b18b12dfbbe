/** Fuzz targets: every decoder of the batpak 0.3 layout. */
import { crc32 } from "node:zlib";
import { viewOf } from "../../src/base/msgpack.ts";
import { atOnce } from "../../src/base/rest.ts";
import { CheckpointDecoder, decodeCheckpoint, type CheckpointVisitor } from "../../src/format/batpak03/checkpoint-decoder.ts";
import { checkpointEntryFields, openEntryWalker } from "../../src/format/batpak03/checkpoint-entry.ts";
import { decodeFooter, decodeTrailer, footerMismatch, misplacedEntry } from "../../src/format/batpak03/footer.ts";
import { decodeFrame, frameEntity, frameFields, frameScope } from "../../src/format/batpak03/frame.ts";
import { payloadBytes } from "../../src/format/batpak03/payload.ts";
import { findNextFrame } from "../../src/format/batpak03/resync.ts";
import { decodeSegmentHeader, encodeSegmentHeader } from "../../src/format/batpak03/segment.ts";
import { GrowingSink } from "../../src/base/byte-sink.ts";
import { blake3 } from "../../src/kernel/frame-kernel.ts";
import { seededRandom } from "../../src/testing/seeded-random.ts";
import { fixtureNames, loadFixture } from "../support/batpak03-fixtures.ts";
import type { FuzzInput, FuzzTarget } from "./fuzz-run.ts";
import { below, joined } from "./mutation.ts";
import { text } from "./native-targets.ts";

const HEADER_BYTES = 57;
const TRAILER_BYTES = 16;

export function batpak03Targets(): FuzzTarget[] {
  const fixtures = fixtureNames().map(loadFixture);
  const segments = fixtures.flatMap((fixture) => fixture.segments.map(({ bytes }) => bytes)).filter((bytes) => bytes.length < 6000);
  const checkpoints = fixtures.flatMap(({ checkpoint }) => (checkpoint === null || checkpoint.length > 6000 ? [] : [checkpoint]));
  return [
    { name: "0.3-frame", weight: 20, corpus: framesOf(segments), mend: mendFrame, run: runFrame },
    { name: "0.3-segment-header", weight: 10, corpus: segments.map((bytes) => bytes.slice(0, HEADER_BYTES)), run: runHeader },
    { name: "0.3-segment", weight: 2, corpus: segments, run: runSegment },
    { name: "0.3-footer", weight: 6, corpus: footersOf(segments), mend: mendFooter, run: runFooter },
    { name: "0.3-checkpoint", weight: 3, corpus: checkpoints, mend: mendCheckpoint, run: runCheckpoint },
  ];
}

function framesOf(segments: readonly Uint8Array[]): Uint8Array[] {
  const frames: Uint8Array[] = [];
  for (const bytes of segments) {
    let offset = HEADER_BYTES;
    for (let count = 0; count < 6; count++) {
      const frame = decodeFrame(bytes, viewOf(bytes), offset, bytes.length);
      if (frame.kind !== "ok") break;
      frames.push(bytes.slice(offset, offset + frame.length));
      offset += frame.length;
    }
  }
  return frames;
}

function mendFrame(bytes: Uint8Array): Uint8Array {
  if (bytes.length < 9) return bytes;
  const view = viewOf(bytes);
  view.setUint32(0, bytes.length - 8);
  view.setUint32(4, crc32(bytes.subarray(8)));
  return bytes;
}

function runFrame({ bytes, whole, view, at }: FuzzInput): string {
  const frame = decodeFrame(whole, view, at, at + bytes.length);
  if (frame.kind !== "ok") return `${frame.kind} ${frame.reason}`;
  const payload = payloadBytes(frame, blake3);
  return `ok ${frameEntity(frame)} ${frameScope(frame)} ${text(frameFields(frame, payload))}`;
}

function runHeader({ bytes, whole, view, at }: FuzzInput): string {
  // It stands at the very beginning: a copy without margins before it.
  const fromStart = whole.slice(at);
  const outcome = decodeSegmentHeader(fromStart, viewOf(fromStart), bytes.length);
  void view;
  if (outcome.kind !== "ok") return `${outcome.kind} ${outcome.reason}`;
  const sink = new GrowingSink(64);
  encodeSegmentHeader(sink, outcome);
  const again = sink.copy();
  const decoded = decodeSegmentHeader(again, viewOf(again), again.length);
  if (text({ ...decoded, end: 0 }) !== text({ ...outcome, end: 0 })) throw new Error("the header does not come back as it was");
  return `ok ${text(outcome)}`;
}

/** As opening reads one: frame by frame, found again after each bad place. */
function runSegment({ bytes, whole, at }: FuzzInput): string {
  const fromStart = whole.slice(at);
  const view = viewOf(fromStart);
  const limit = bytes.length;
  const header = decodeSegmentHeader(fromStart, view, limit);
  const said: unknown[] = [header.kind];
  let offset = header.kind === "ok" ? header.end : HEADER_BYTES;
  while (offset <= limit) {
    const frame = decodeFrame(fromStart, view, offset, limit);
    said.push(frame.kind, offset);
    if (frame.kind === "ok") {
      offset += frame.length;
      continue;
    }
    const next = findNextFrame(fromStart, view, offset + 1, limit);
    if (next.kind !== "found") break;
    if (next.offset <= offset) throw new Error("the search went back");
    offset = next.offset;
  }
  return `${header.kind} ${text(said)}`;
}

function footersOf(segments: readonly Uint8Array[]): Uint8Array[] {
  return segments.flatMap((bytes) => {
    const trailer = decodeTrailer(bytes.subarray(-TRAILER_BYTES), bytes.length, HEADER_BYTES);
    // With a few frames before it, so that entries lead somewhere.
    return trailer.kind === "ok" ? [bytes.slice(0)] : [];
  });
}

/** The trailer's place of the table, from what stands before: the count stays. */
function mendFooter(bytes: Uint8Array, random: () => number): Uint8Array {
  if (bytes.length < TRAILER_BYTES) return bytes;
  const view = viewOf(bytes);
  const at = bytes.length - TRAILER_BYTES;
  if (below(random, 2) === 0) bytes.set(Buffer.from("SIDX"), at + 12);
  if (below(random, 4) === 0) view.setUint32(at + 8, below(random, 12), true);
  return bytes;
}

function runFooter({ bytes, whole, at }: FuzzInput): string {
  const trailer = decodeTrailer(bytes.subarray(-TRAILER_BYTES), bytes.length, HEADER_BYTES);
  if (trailer.kind !== "ok") return trailer.kind;
  const footer = atOnce(decodeFooter(bytes.subarray(trailer.tableOffset), trailer));
  if (footer.kind !== "ok") return `${footer.kind} ${footer.reason}`;
  const misplaced = atOnce(misplacedEntry(footer, HEADER_BYTES));
  if (misplaced !== null) return `misplaced ${misplaced.reason}`;
  const fromStart = whole.slice(at);
  const said: unknown[] = [footer.strings];
  for (let entry = 0; entry < footer.entryCount; entry++) {
    const frame = decodeFrame(fromStart, viewOf(fromStart), footer.frameOffset(entry), footer.tableOffset);
    said.push(frame.kind === "ok" ? footerMismatch(footer, entry, frame, frame.offset) : frame.kind);
  }
  return `ok ${text(said)}`;
}

function mendCheckpoint(bytes: Uint8Array): Uint8Array {
  if (bytes.length > 12) viewOf(bytes).setUint32(8, crc32(bytes.subarray(12)), true);
  return bytes;
}

/** Memory in which the kernel describes entries. */
const walker = openEntryWalker(1 << 20);

/** Whole and in pieces of random sizes, some of them with the kernel's help: the same outcome, the same entries. */
function runCheckpoint({ bytes, seed }: FuzzInput): string {
  const collect = (): { visitor: CheckpointVisitor; said: unknown[] } => {
    const said: unknown[] = [];
    const visitor: CheckpointVisitor = {
      string: (name, index) => void said.push(name, index),
      entries: (count) => {
        if (count * 100 > bytes.length) throw new Error(`${count} entries in ${bytes.length} bytes`);
      },
      entry: (entry) => void said.push(text(checkpointEntryFields(entry))),
    };
    return { visitor, said };
  };
  const random = seededRandom(seed);
  const whole = collect();
  const outcome = decodeCheckpoint(bytes, whole.visitor);
  const pieces = collect();
  const decoder = new CheckpointDecoder(bytes.length, pieces.visitor);
  let kept: Uint8Array = new Uint8Array(0);
  for (let at = 0; at < bytes.length; ) {
    const next = Math.min(bytes.length, at + 1 + below(random, random() < 0.5 ? 8 : 900));
    const piece = joined(kept, bytes.subarray(at, next));
    const base = below(random, 64);
    if (walker !== null && base + piece.length <= walker.bytes.length && random() < 0.7) {
      const room = walker.bytes;
      room.set(piece, base);
      const stop = decoder.push(room, viewOf(room), base, base + piece.length, walker);
      kept = piece.subarray(stop - base);
      room.fill(below(random, 256));
    } else kept = piece.subarray(decoder.push(piece, viewOf(piece), 0, piece.length));
    at = next;
  }
  const streamed = decoder.finish();
  if ((streamed.kind === "ok") !== (outcome.kind === "ok")) throw new Error(`whole ${text(outcome)}, in pieces ${text(streamed)}`);
  if (outcome.kind === "ok" && text(pieces.said) !== text(whole.said)) throw new Error("in pieces it says something else");
  return `${outcome.kind} ${text([outcome, whole.said])}`;
}
