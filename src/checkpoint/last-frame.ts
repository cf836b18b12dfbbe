/** What a checkpoint's log has where the checkpoint ends: the frame that it names, which binds it to this log and to no other. */
import { sameBytes } from "../base/hex.ts";
import { FRAME } from "../format/native/frame-layout.ts";
import { checkFrame, frameLength, segmentSeed } from "../format/native/frame.ts";
import { SEGMENT_HEADER } from "../format/native/segment-header.ts";
import type { SegmentFiles } from "../log/segment-files.ts";
import type { RestoredCheckpoint } from "./restore.ts";

/** Whether the log has exactly the last frame before the watermark, another one, or none that is right. Blocking, a few microseconds. */
export function lookAtLastFrame(files: SegmentFiles, { lastFrame, index, storeId }: RestoredCheckpoint): "same" | "other" | "none" {
  const { segmentId, offset } = index.visible;
  if (lastFrame === null) return offset === SEGMENT_HEADER.bytes ? "same" : "other";
  const length = offset - lastFrame.offset;
  if (length < FRAME.bytesMin) return "other";
  const bytes = new Uint8Array(length);
  const count = files.file(segmentId).readSync(bytes, 0, length, lastFrame.offset);
  const view = new DataView(bytes.buffer);
  if (checkFrame(bytes, view, 0, count, segmentSeed(storeId, segmentId), lastFrame.offset) !== "ok") return "none";
  const same = frameLength(view, 0) === length && sameBytes(bytes, length - FRAME.hashBytes, lastFrame.hash, 0, FRAME.hashBytes);
  return same ? "same" : "other";
}
