/**
 * A frame's payload, in either of the two forms that stores hold. A live frame holds the payload's own MessagePack, written again as an
 * array of integers. Retention and tombstone compaction of the original kept the decoded value instead (layout.md, defect 2). `[1,2,3]`
 * can be either: the array is the payload's bytes only if there are `payload_size` of them and they hash to the event's hash.
 */
import { copyOf, msgpackReader, readArrayHeader } from "../../base/msgpack.ts";
import type { Frame } from "./frame.ts";
import { isBatchMarker } from "./frame.ts";
import { hashEquals } from "./hash-array.ts";

/** BLAKE3 of `bytes`: 32 bytes, used before the next call. */
export type Blake3 = (bytes: Uint8Array) => Uint8Array;

export interface FramePayload {
  /** How the frame holds it. */
  readonly form: "bytes" | "value";
  /** MessagePack of the payload; a copy that the caller owns. */
  readonly bytes: Uint8Array;
  /**
   * `verified`: `bytes` hash to what the frame says they do. `unverifiable`: a kept value, whose keys compaction may have put in another
   * order. `broken`: as many integers as the payload had bytes, so it is no kept value (that would be longer); they were changed.
   */
  readonly integrity: "verified" | "unverifiable" | "broken";
}

/** The payload as MessagePack; the caller decodes. A batch marker's is empty. */
export function payloadBytes(frame: Frame, blake3: Blake3): FramePayload {
  const hashAt = frame.eventHashAt < 0 ? frame.contentHashAt : frame.eventHashAt;
  const integers = integerPayload(frame);
  if (integers !== null && (isBatchMarker(frame) || hashEquals(frame.bytes, hashAt, blake3(integers)))) {
    return { form: "bytes", bytes: integers, integrity: "verified" };
  }
  const value = copyOf(frame.bytes, frame.payloadAt, frame.payloadAt + frame.payloadLength);
  if (hashEquals(frame.bytes, hashAt, blake3(value))) return { form: "value", bytes: value, integrity: "verified" };
  return { form: "value", bytes: value, integrity: integers === null ? "unverifiable" : "broken" };
}

/** The payload's integers as bytes when it is an array of nothing but 0 to 255, and of the size that the header states. */
function integerPayload(frame: Frame): Uint8Array | null {
  const { bytes } = frame;
  const end = frame.payloadAt + frame.payloadLength;
  const reader = msgpackReader(bytes, frame.view, frame.payloadAt, end);
  const count = readArrayHeader(reader);
  if (reader.fault !== null || count > end - reader.position) return null;
  if (count !== frame.payloadSize && !isBatchMarker(frame)) return null;
  const target = new Uint8Array(count);
  let at = reader.position;
  let wrong = 0;
  for (let index = 0; index < count; index++) {
    const tag = bytes[at];
    const wide = tag >> 7;
    wrong |= (tag ^ 0xcc) & -wide;
    at += wide;
    target[index] = bytes[at++];
  }
  return wrong === 0 && at === end ? target : null;
}
