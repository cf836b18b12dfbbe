/**
 * What a writer does to a batpak 0.3 directory before it shows or appends anything: makes durable what opening found whole, and sees to it that
 * what was torn can never be read again as something else.
 *
 * The writer never goes on in a segment that it found; the next one has the highest id and one. So a torn tail could stay, as the original
 * leaves it. But where the mark says how far the newest segment was synced, whole frames that were never synced may follow a hole, and once
 * another segment is the newest they would pass for damage: that tail is kept aside and cut. Every step may be repeated after a crash.
 */
import type { Disk } from "./disk/disk.ts";
import type { DurableMark } from "./format/native/durable-mark.ts";
import { keepAside, settleTail } from "./log/recovery.ts";
import type { SegmentFiles } from "./log/segment-files.ts";
import type { OpenedNativeLog } from "./open-native.ts";
import type { OpenReport } from "./open-report.ts";
import { removeNeverBegun, removeTemporaries } from "./recover-native.ts";

/** Settles what opening found; gives what was cut, for the report. */
export async function settleBatpak03Log(
  disk: Disk,
  files: SegmentFiles,
  log: OpenedNativeLog,
  mark: DurableMark | null,
): Promise<OpenReport["cut"]> {
  const { directory } = files;
  await removeTemporaries(disk, directory);
  const { segmentId, end, cutBytes } = log.unsettled;
  if (segmentId === null) return null;
  const newest = log.index.active;
  if (newest !== undefined && newest.id === segmentId && newest.framesEnd === 0 && newest.frames === 0) {
    await removeNeverBegun(disk, files, segmentId);
    await disk.syncDirectory(directory);
    forgetNewest(log);
    return null;
  }
  const synced = mark !== null && mark.syncedSegment === segmentId && mark.storeId.every((byte) => byte === 0) ? mark.syncedOffset : -1;
  const file = await disk.open(files.path(segmentId), "write");
  try {
    if (synced < 0) {
      await file.sync();
      await disk.syncDirectory(directory);
      return null;
    }
    const size = await file.size();
    const kept = cutBytes > 0 ? end : size;
    let cut: OpenReport["cut"] = null;
    if (cutBytes > 0)
      cut = { segmentId, offset: end, bytes: cutBytes, keptIn: await keepAside(disk, directory, segmentId, file, end, cutBytes) };
    await settleTail(disk, directory, file, Math.min(synced, kept), kept);
    return cut;
  } finally {
    await file.close();
    // What was read of it ends elsewhere now.
    files.forget(segmentId);
  }
}

/** The newest segment's file is gone: it held nothing. */
function forgetNewest({ index }: OpenedNativeLog): void {
  index.segments.pop();
  index.visible.segmentId = index.active?.id ?? 0;
  index.visible.offset = index.active?.framesEnd ?? 0;
}
