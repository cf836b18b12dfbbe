/**
 * What a writer does to the directory before it shows or appends anything: removes segments that do not count, keeps a torn tail aside, makes what recovery
 * keeps durable. Every step may be repeated after a crash; the commit point of each is named where it is done.
 */
import { tell } from "./base/diagnostics.ts";
import type { Disk } from "./disk/disk.ts";
import { keepAside, settleTail } from "./log/recovery.ts";
import type { SegmentFiles } from "./log/segment-files.ts";
import type { OpenedNativeLog } from "./open-native.ts";
import type { OpenReport } from "./open-report.ts";

/** Settles what opening found; gives what was cut, for the report. */
export async function settleNativeLog(disk: Disk, files: SegmentFiles, log: OpenedNativeLog): Promise<OpenReport["cut"]> {
  const { directory } = files;
  const { unsettled } = log;
  let cut: OpenReport["cut"] = null;
  for (const id of unsettled.neverBegun) cut = await removeNeverBegun(disk, files, id);
  // Whoever gave a merged segment its name may have been killed before that was durable: a power cut must not take it and keep the removals, nor
  // bring back what was shown to be gone. Its checkpoint was removed before, and none is written until the name is durable.
  if (log.route !== "checkpoint" && log.index.segments.some(({ generation }) => generation > 0)) await disk.syncDirectory(directory);
  for (const id of unsettled.replaced) {
    files.forget(id);
    // Held fast again, it counts for nothing all the same: the next writer tries.
    await disk
      .remove(files.path(id))
      .catch((error: unknown) => tell("background-failed", { directory, what: "remove a replaced segment", error }));
  }
  if (unsettled.neverBegun.length + unsettled.replaced.length > 0) await disk.syncDirectory(directory);
  const { segmentId, end, cutBytes, marked, provenSynced } = unsettled;
  if (segmentId === null) return cut;
  const size = files.file(segmentId).sizeSync();
  const { active } = log.index;
  if (marked && provenSynced >= end && (active?.sealed === true || size === end)) return cut;
  const file = await disk.open(files.path(segmentId), "write");
  try {
    if (cutBytes > 0) {
      const keptIn = await keepAside(disk, directory, segmentId, file, end, cutBytes);
      cut = { segmentId, offset: end, bytes: cutBytes, keptIn };
    }
    // The index block that was taken stays behind the seal.
    await settleTail(disk, directory, file, provenSynced, active?.indexOnDisk === true ? size : end);
    return cut;
  } finally {
    await file.close();
  }
}

/** Commit point: the directory sync that follows. What it holds is kept aside first, unless that is nothing; gives what was, for the report. */
export async function removeNeverBegun(disk: Disk, files: SegmentFiles, id: number): Promise<OpenReport["cut"]> {
  const path = files.path(id);
  let cut: OpenReport["cut"] = null;
  const file = await disk.open(path, "read");
  try {
    const bytes = await file.size();
    if (bytes > 0) cut = { segmentId: id, offset: 0, bytes, keptIn: await keepAside(disk, files.directory, id, file, 0, bytes) };
  } finally {
    await file.close();
  }
  files.forget(id);
  await disk.remove(path);
  return cut;
}
