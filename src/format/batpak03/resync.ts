/**
 * Finding the next whole frame after a bad one, so that damage in the middle of a segment is told from a torn tail and costs no more than
 * itself. A candidate is a place where a map with a known first key begins; its CRC decides. Lengths that lie could make every candidate cost the
 * rest of the segment, so the bytes that are checksummed in vain have a limit.
 */
import { decodeFrame } from "./frame.ts";
import { FRAME_KEYS, FRAME_PREFIX } from "./layout.ts";

export type NextFrame =
  | { readonly kind: "found"; readonly offset: number }
  | { readonly kind: "none" }
  /** The limit was reached at `offset`: whether a frame follows is not known. To be treated as if one did. */
  | { readonly kind: "unknown"; readonly offset: number };

/** Bytes checksummed in vain, as a multiple of the bytes searched. */
const CHECKED_RATIO_MAX = 8;
const CHECKED_BYTES_MIN = 1 << 24;

/** The first offset in `[from, limit)` at which a whole frame stands. */
export function findNextFrame(bytes: Uint8Array, view: DataView, from: number, limit: number): NextFrame {
  const last = limit - FRAME_PREFIX.body - 2;
  let checkable = Math.max(CHECKED_BYTES_MIN, (limit - from) * CHECKED_RATIO_MAX);
  for (let offset = from; offset <= last; offset++) {
    if (!mayBeginFrame(bytes, offset)) continue;
    const body = offset + FRAME_PREFIX.body;
    const length = view.getUint32(offset + FRAME_PREFIX.length);
    if (length === 0 || length > limit - body) continue;
    if (length > checkable) return { kind: "unknown", offset };
    checkable -= length;
    if (decodeFrame(bytes, view, offset, limit).kind === "ok") return { kind: "found", offset };
  }
  return { kind: "none" };
}

/**
 * Whether the body of a frame at `offset` would begin as one does: a map of few keys, the first of them one of the frame's. Two bytes rule out
 * nearly every place.
 */
export function mayBeginFrame(bytes: Uint8Array, offset: number): boolean {
  const body = offset + FRAME_PREFIX.body;
  if ((bytes[body] & 0xf0) !== 0x80) return false;
  const tag = bytes[body + 1];
  return FIRST_KEY_TAGS.includes(tag);
}

const FIRST_KEY_TAGS: readonly number[] = FRAME_KEYS.encoded.map((key) => key[0]);
