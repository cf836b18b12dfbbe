/**
 * Native frames: bytes <-> values (`frame-layout.ts` has the offsets). Encoding happens in two passes over the same bytes: `beginFrame` and
 * `endFrame` write what the caller gave, before the event is judged; `stampFrame` fills in what acceptance decides. Hash and CRC come
 * last, from the kernel (`kernel/frame-kernel.ts`).
 *
 * `checkFrame` is the one judge of whether the bytes at a place are a frame of that place.
 */
import { crc32 } from "node:zlib";
import type { ByteSink } from "../../base/byte-sink.ts";
import { getUint64, setUint64 } from "../../base/u64.ts";
import { writeUtf8 } from "../../events/utf8.ts";
import { COMMIT_MARK, FRAME, FRAME_FLAG, LENGTH_MASK, PAYLOAD_ENCODING } from "./frame-layout.ts";

const KNOWN_FLAGS = Object.values(FRAME_FLAG).reduce((all, flag) => all | flag, 0);
const NAME_BYTES_MAX = 1024;

/** What a frame needs before it is judged. */
export interface FrameStart {
  /** FRAME_FLAG bits; `metadata` is added where metadata is given. */
  readonly flags: number;
  readonly kind: number;
  readonly version: number;
  readonly entity: string;
  readonly scope: string;
}

/**
 * Starts a frame at the sink's position and leaves the sink where metadata or payload go. Room for correlation and causation is left as
 * the flags say. Returns the frame's start.
 */
export function beginFrame(sink: ByteSink, frame: FrameStart): number {
  const { entity, scope, flags } = frame;
  const bytesMax = FRAME.variable + 32 + 3 * (entity.length + scope.length) + 4;
  if (sink.capacity - sink.position < bytesMax) sink.grow(bytesMax);
  const start = sink.position;
  const { bytes, view } = sink;
  bytes[start + FRAME.flags] = flags;
  bytes[start + FRAME.encoding] = PAYLOAD_ENCODING.messagePack;
  view.setUint16(start + FRAME.kind, frame.kind, true);
  view.setUint16(start + FRAME.version, frame.version, true);
  let at = start + FRAME.variable;
  if ((flags & FRAME_FLAG.correlation) !== 0) at += 16;
  if ((flags & FRAME_FLAG.causation) !== 0) at += 16;
  const entityEnd = writeUtf8(bytes, at, entity);
  const scopeEnd = writeUtf8(bytes, entityEnd, scope);
  view.setUint16(start + FRAME.entityLength, entityEnd - at, true);
  view.setUint16(start + FRAME.scopeLength, scopeEnd - entityEnd, true);
  sink.position = scopeEnd;
  return start;
}

/** Ends the frame that began at `start`: room for the hash, and the length. Returns the frame's length in bytes. */
export function endFrame(sink: ByteSink, start: number): number {
  if (sink.capacity - sink.position < FRAME.hashBytes) sink.grow(FRAME.hashBytes);
  sink.position += FRAME.hashBytes;
  const length = sink.position - start;
  sink.view.setUint32(start + FRAME.length, length, true);
  return length;
}

/** Fills in what acceptance decides: where the event stands. Id, correlation, causation and previous hash are written by the caller. */
export function stampFrame(view: DataView, start: number, clock: number, sequence: number, timeMicros: number, syncBack: number): void {
  stampSynced(view, start, syncBack);
  setUint64(view, start + FRAME.clock, clock);
  setUint64(view, start + FRAME.sequence, sequence);
  setUint64(view, start + FRAME.time, timeMicros);
}

/** Fills in how far before the frame the segment is synced when the frame is written. */
export function stampSynced(view: DataView, start: number, syncBack: number): void {
  view.setUint32(start + FRAME.syncBack, syncBack, true);
}

/** Marks the frame as the last of its commit. */
export function markFrame(view: DataView, start: number): void {
  view.setUint32(start + FRAME.length, (view.getUint32(start + FRAME.length, true) | COMMIT_MARK) >>> 0, true);
}

/** The part of a frame's CRC seed that its segment gives; the place in it is XORed in. */
export function segmentSeed(storeId: Uint8Array, segmentId: number): number {
  const bytes = new Uint8Array(24);
  bytes.set(storeId, 0);
  setUint64(new DataView(bytes.buffer), 16, segmentId);
  return crc32(bytes);
}

/** The initial CRC value of a frame at `offset` of its segment. */
export function frameSeed(seed: number, offset: number): number {
  return (seed ^ offset) >>> 0;
}

/** The frame's length in bytes, as its prefix says. */
export function frameLength(view: DataView, at: number): number {
  return view.getUint32(at + FRAME.length, true) & LENGTH_MASK;
}

export function isMarked(view: DataView, at: number): boolean {
  return view.getUint8(at + FRAME.length + 3) >= 0x80;
}

/** Where the frame says its segment was synced up to before it was written, for a frame that stands at `offset`. */
export function syncedBefore(view: DataView, at: number, offset: number): number {
  return offset - view.getUint32(at + FRAME.syncBack, true);
}

export function frameFlags(view: DataView, at: number): number {
  return view.getUint8(at + FRAME.flags);
}

/** Where the payload of the whole frame at `at` begins. */
export function payloadStart(view: DataView, at: number): number {
  const start = metadataStart(view, at);
  return (frameFlags(view, at) & FRAME_FLAG.metadata) === 0 ? start : start + 4 + view.getUint32(start, true);
}

/** Where the metadata's length stands, or the payload begins where there is none. */
export function metadataStart(view: DataView, at: number): number {
  return scopeStart(view, at) + view.getUint16(at + FRAME.scopeLength, true);
}

export function entityStart(view: DataView, at: number): number {
  const flags = frameFlags(view, at);
  return at + FRAME.variable + ((flags & FRAME_FLAG.correlation) !== 0 ? 16 : 0) + ((flags & FRAME_FLAG.causation) !== 0 ? 16 : 0);
}

export function scopeStart(view: DataView, at: number): number {
  return entityStart(view, at) + view.getUint16(at + FRAME.entityLength, true);
}

/** Where the 16 bytes of the correlation id stand: a root event's is its own id. */
export function correlationAt(view: DataView, at: number): number {
  return (frameFlags(view, at) & FRAME_FLAG.correlation) === 0 ? at + FRAME.id : at + FRAME.variable;
}

/** Where the 16 bytes of the causation id stand; -1 when there is none. */
export function causationAt(view: DataView, at: number): number {
  const flags = frameFlags(view, at);
  if ((flags & FRAME_FLAG.causation) === 0) return -1;
  return at + FRAME.variable + ((flags & FRAME_FLAG.correlation) === 0 ? 0 : 16);
}

export type FrameCheck =
  /** A whole frame of this place. */
  | "ok"
  /** Its length is zero: the end, if only zeros follow. */
  | "zero"
  /** Fewer bytes are there than it needs. */
  | "short"
  | "bad";

/**
 * Whether a frame of this place stands at `at` in `bytes`, of which those before `limit` may be looked at. `offset` is its offset in the
 * segment whose seed is given. Only "ok" says anything about the rest of the fields: then all of them lie inside the frame.
 */
export function checkFrame(bytes: Uint8Array, view: DataView, at: number, limit: number, seed: number, offset: number): FrameCheck {
  const shape = checkShape(view, at, limit);
  if (shape !== "ok") return shape;
  const length = frameLength(view, at);
  const crc = crc32(bytes.subarray(at + FRAME.length, at + length), frameSeed(seed, offset));
  return crc === view.getUint32(at + FRAME.crc, true) ? "ok" : "bad";
}

/** The same without the CRC: whether these bytes have a frame's shape at all. */
export function checkShape(view: DataView, at: number, limit: number): FrameCheck {
  if (limit - at < FRAME.body) return limit - at >= 8 && view.getUint32(at + FRAME.length, true) === 0 ? "zero" : "short";
  const word = view.getUint32(at + FRAME.length, true);
  if (word === 0) return "zero";
  const length = word & LENGTH_MASK;
  if (length < FRAME.bytesMin || (word & 0x4000_0000) !== 0) return "bad";
  if (length > limit - at) return "short";
  if (!checkHead(view, at)) return "bad";
  const end = at + length - FRAME.hashBytes;
  const metadata = metadataStart(view, at);
  if (metadata > end) return "bad";
  if ((frameFlags(view, at) & FRAME_FLAG.metadata) !== 0 && (metadata + 4 > end || view.getUint32(metadata, true) > end - metadata - 4))
    return "bad";
  return "ok";
}

/** Whether the fixed fields, of which all must be there, may be a frame's. */
export function checkHead(view: DataView, at: number): boolean {
  const flags = view.getUint8(at + FRAME.flags);
  if (view.getUint8(at + FRAME.encoding) !== PAYLOAD_ENCODING.messagePack || (flags & ~KNOWN_FLAGS) !== 0) return false;
  const word = view.getUint32(at + FRAME.length, true);
  if ((word & LENGTH_MASK) < FRAME.bytesMin || (word & 0x4000_0000) !== 0) return false;
  const entityBytes = view.getUint16(at + FRAME.entityLength, true);
  const scopeBytes = view.getUint16(at + FRAME.scopeLength, true);
  const seal = (flags & FRAME_FLAG.seal) !== 0;
  if (entityBytes > NAME_BYTES_MAX || scopeBytes > NAME_BYTES_MAX || (entityBytes === 0) !== seal || (scopeBytes === 0) !== seal)
    return false;
  return (
    Number.isSafeInteger(getUint64(view, at + FRAME.clock)) &&
    Number.isSafeInteger(getUint64(view, at + FRAME.sequence)) &&
    Number.isSafeInteger(getUint64(view, at + FRAME.time))
  );
}
