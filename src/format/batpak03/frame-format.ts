/**
 * The batpak 0.3 layout's frames, read through the door that every layout has. A frame is one MessagePack map, so its fields are found by
 * walking it: the walk of the frame looked at last is kept.
 */
import { sameBytes } from "../../base/hex.ts";
import { StoreError } from "../../base/store-error.ts";
import { formatHex, formatId } from "../../events/id.ts";
import { decodePayload } from "../../events/payload-decode.ts";
import { blake3 } from "../../kernel/frame-kernel.ts";
import type { FrameFormat } from "../frame-format.ts";
import { type Frame, frameEntity, frameFault, frameScope, walkFrame } from "./frame.ts";
import { FRAME_FORM } from "./frame-form.ts";
import { expandHash } from "./hash-array.ts";
import { FRAME_PREFIX, HASH_BYTES, ID_BYTES } from "./layout.ts";
import { payloadBytes } from "./payload.ts";

let last: Frame | null = null;

/** To be called where frames were written into memory that may have been read before. */
export function forgetFrame(): void {
  last = null;
}

/** The whole frame that stands there; it was checked before. */
function frameAt(view: DataView, at: number): Frame {
  if (last !== null && last.view === view && last.offset === at) return last;
  const bytes = new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
  const frame = walkFrame(bytes, view, at, at + batpak03Frames.length(view, at));
  if (frame.kind !== "ok") throw new StoreError("CORRUPT", `Cannot read an event: ${frame.reason}`, { reason: frame.reason });
  last = frame;
  return frame;
}

function hashText(frame: Frame, hashAt: number): string {
  const hash = new Uint8Array(HASH_BYTES);
  if (hashAt >= 0) expandHash(frame.bytes, hashAt, hash, 0);
  return formatHex(hash, 0, HASH_BYTES);
}

function payloadOf(frame: Frame): Uint8Array {
  const payload = payloadBytes(frame, blake3);
  if (payload.integrity === "broken") {
    throw new StoreError("CORRUPT", "Cannot read an event's payload: it does not hash to the event's hash", {
      reason: "the payload was changed",
    });
  }
  return payload.bytes;
}

function copyIdAt(bytes: Uint8Array, from: number, target: Uint8Array, to: number): void {
  for (let i = 0; i < ID_BYTES; i++) target[to + i] = bytes[from + i];
}

export const batpak03Frames: FrameFormat = {
  check(bytes, view, at, limit) {
    if (limit - at >= FRAME_PREFIX.body && view.getUint32(at) === 0) return "zero";
    const fault = frameFault(bytes, view, at, limit);
    if (fault !== null) return fault.kind === "torn" ? "short" : "bad";
    const frame = walkFrame(bytes, view, at, at + batpak03Frames.length(view, at));
    if (frame.kind !== "ok") return "unreadable";
    last = frame;
    return "ok";
  },
  form: FRAME_FORM,
  length: (view, at) => view.getUint32(at + FRAME_PREFIX.length) + FRAME_PREFIX.body,
  kind: (view, at) => frameAt(view, at).eventKind,
  version: () => 1,
  clock: (view, at) => frameAt(view, at).clock,
  timeMicros: (view, at) => frameAt(view, at).wallMs * 1000,
  id: (bytes, view, at) => formatId(bytes, frameAt(view, at).eventIdAt),
  correlationId: (bytes, view, at) => formatId(bytes, frameAt(view, at).correlationIdAt),
  causationId(bytes, view, at) {
    const { causationIdAt } = frameAt(view, at);
    return causationIdAt < 0 ? null : formatId(bytes, causationIdAt);
  },
  hash(_bytes, view, at) {
    const frame = frameAt(view, at);
    return hashText(frame, frame.eventHashAt);
  },
  previousHash(_bytes, view, at) {
    const frame = frameAt(view, at);
    return hashText(frame, frame.prevHashAt);
  },
  entity: (_bytes, view, at) => frameEntity(frameAt(view, at)),
  scope: (_bytes, view, at) => frameScope(frameAt(view, at)),
  metadata: () => null,
  payload(_bytes, view, at) {
    const payload = payloadOf(frameAt(view, at));
    return decodePayload(payload, new DataView(payload.buffer, payload.byteOffset, payload.byteLength), 0, payload.length);
  },
  hasId: (bytes, view, at, id) => sameBytes(bytes, frameAt(view, at).eventIdAt, id, 0, ID_BYTES),
  correlationAt: (view, at) => frameAt(view, at).correlationIdAt,
  causationAt: (view, at) => frameAt(view, at).causationIdAt,
  samePayload(_bytes, view, at, other, start, length) {
    const payload = payloadOf(frameAt(view, at));
    return payload.length === length && sameBytes(payload, 0, other, start, length);
  },
  copyId: (bytes, view, at, target, targetAt) => copyIdAt(bytes, frameAt(view, at).eventIdAt, target, targetAt),
  copyHash(bytes, view, at, target, targetAt) {
    const { eventHashAt } = frameAt(view, at);
    if (eventHashAt >= 0) expandHash(bytes, eventHashAt, target, targetAt);
  },
};
