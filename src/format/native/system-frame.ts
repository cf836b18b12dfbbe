/** Frames of system records that stand outside their place: index blocks and checkpoints carry copies. Pure. */
import { sameBytes } from "../../base/hex.ts";
import { blake3 } from "../../kernel/frame-kernel.ts";
import { FRAME, FRAME_FLAG } from "./frame-layout.ts";
import { checkShape, frameFlags, frameLength } from "./frame.ts";

/**
 * Whether these bytes are one whole frame of a system record, its hash right. Its CRC says nothing here, since that is seeded with the place
 * the frame was written to. Only then do its fields lie inside it.
 */
export function isSystemFrame(bytes: Uint8Array): boolean {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (checkShape(view, 0, bytes.length) !== "ok" || frameLength(view, 0) !== bytes.length) return false;
  if ((frameFlags(view, 0) & (FRAME_FLAG.system | FRAME_FLAG.seal)) !== FRAME_FLAG.system) return false;
  const hashAt = bytes.length - FRAME.hashBytes;
  return sameBytes(blake3(bytes.subarray(FRAME.body, hashAt)), 0, bytes, hashAt, FRAME.hashBytes);
}
