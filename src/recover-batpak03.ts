/**
 * What a writer does to a batpak 0.3 directory before it shows or appends anything: makes durable what opening found whole, and sees to it that
 * what was torn can never be read again as something else.
 *
 * The writer never goes on in a segment that it found; the next one has the highest id and one. So a torn tail could stay, as the original
 * leaves it. But where the mark says how far the newest segment was synced, whole frames that were never synced may follow a hole, and once
 * another segment is the newest they would pass for damage: that tail is kept aside and cut. So is a footer of which not all has arrived.
 * Every step may be repeated after a crash.
 *
 * The mark also proves that all segments before the one that it names are durable. The original proves nothing: it goes on in a new segment
 * whether or not the one before is synced. So those from the marked one on, or all where there is no mark, are synced here.
 */
import { join } from "node:path";
import { GrowingSink } from "./base/byte-sink.ts";
import { inSteps } from "./base/rest.ts";
import type { Disk, DiskFile } from "./disk/disk.ts";
import { syncFile } from "./disk/sync-file.ts";
import { readCheckpointHead } from "./format/batpak03/checkpoint-decoder.ts";
import { Footer, footerMismatch } from "./format/batpak03/footer.ts";
import { decodeFrame } from "./format/batpak03/frame.ts";
import { SegmentBuilder } from "./format/batpak03/segment-builder.ts";
import { CHECKPOINT_FILE } from "./format/native/checkpoint.ts";
import type { DurableMark } from "./format/native/durable-mark.ts";
import type { SegmentEntry } from "./index/store-index.ts";
import { lookAtSegment, readFooter } from "./log/batpak03-segment.ts";
import { keepAside, settleTail } from "./log/recovery.ts";
import { newSegmentEntry } from "./log/segment-entry.ts";
import type { SegmentFiles } from "./log/segment-files.ts";
import type { NativeStoreParts } from "./native-engine.ts";
import type { OpenedNativeLog } from "./open-native.ts";
import type { OpenReport } from "./open-report.ts";
import { removeNeverBegun } from "./recover-native.ts";

const HEADER_ROOM_BYTES = 128;
const FRAMES_PER_STEP = 256;

/** Settles what opening found; gives what was cut, for the report. */
export async function settleBatpak03Log(disk: Disk, parts: NativeStoreParts, mark: DurableMark | null): Promise<OpenReport["cut"]> {
  const { files, log } = parts;
  const { directory } = files;
  const { segmentId, end, cutBytes } = log.unsettled;
  const newest = log.index.active;
  if (segmentId === null || newest === undefined) return null;
  const own = mark !== null && mark.storeId.every((byte) => byte === 0) ? mark : null;
  await syncOlder(disk, parts, own?.syncedSegment ?? 0);
  if (newest.framesEnd === 0 && newest.frames === 0) {
    const cut = await removeNeverBegun(disk, files, segmentId);
    forgetNewest(log);
    // The original begins a segment at each opening, whoever was killed before it: the one behind which it did need not be synced.
    const before = log.index.active;
    if (before === undefined) await disk.syncDirectory(directory);
    else await writeAgain(disk, files, before.id);
    return cut;
  }
  const synced = own?.syncedSegment === segmentId ? own.syncedOffset : -1;
  if (synced < 0) {
    await writeAgain(disk, files, segmentId);
    return null;
  }
  const file = await disk.open(files.path(segmentId), "write");
  try {
    const size = await file.size();
    let kept = cutBytes > 0 ? end : size;
    if (cutBytes === 0 && !(await footerHolds(disk, parts, newest, file, size))) kept = newest.framesEnd;
    let cut: OpenReport["cut"] = null;
    if (kept < size) {
      newest.sealed = false;
      const keptIn = await keepAside(disk, directory, segmentId, file, kept, size - kept);
      cut = { segmentId, offset: kept, bytes: size - kept, keptIn };
    }
    await settleTail(disk, directory, file, Math.min(synced, kept), kept);
    return cut;
  } finally {
    await file.close();
    // What was read of it ends elsewhere now.
    files.forget(segmentId);
  }
}

/** Syncs the segments from this one on, but for the newest: their names are durable with the directory sync that follows for that one. */
async function syncOlder(disk: Disk, { files, log }: NativeStoreParts, from: number): Promise<void> {
  for (const { id } of log.index.segments.slice(0, -1)) {
    if (id >= from) await syncFile(disk, files.path(id));
  }
}

/** Makes a segment durable of which nothing says that it is: all that it has, a torn tail as well, since a failed sync may have dropped what can still be read. */
async function writeAgain(disk: Disk, files: SegmentFiles, segmentId: number): Promise<void> {
  const file = await disk.open(files.path(segmentId), "write");
  try {
    await settleTail(disk, files.directory, file, 0, await file.size());
  } finally {
    await file.close();
  }
}

/**
 * Where the log ends in a batch without its COMMIT and a footer behind it, readers take the next segment for the batch's rest and drop it too. A
 * segment with nothing in it and no footer tells them that this writer went no further; the next one stands for itself.
 */
export async function endCarriedBatch(disk: Disk, { files, log }: NativeStoreParts, nowMicros: number): Promise<void> {
  const { index } = log;
  const newest = index.active;
  if (log.carriesBatch !== true || newest === undefined) return;
  const segment = newSegmentEntry(index, newest.id + 1, 0);
  const sink = new GrowingSink(HEADER_ROOM_BYTES);
  const builder = new SegmentBuilder(sink, { segmentId: segment.id, createdNs: BigInt(nowMicros) * 1000n, segmentBytesMax: 1 });
  const header = sink.copy();
  const file = await disk.open(files.path(segment.id), "create");
  try {
    await file.write(header, 0, header.length, 0, false);
    await file.sync();
  } finally {
    await file.close();
  }
  await disk.syncDirectory(files.directory);
  segment.framesEnd = builder.writtenBytes;
  index.segments.push(segment);
  index.visible.segmentId = segment.id;
  index.visible.offset = segment.framesEnd;
}

/** The newest segment's file is gone: it held nothing. */
function forgetNewest({ index }: OpenedNativeLog): void {
  index.segments.pop();
  index.visible.segmentId = index.active?.id ?? 0;
  index.visible.offset = index.active?.framesEnd ?? 0;
}

/** False where a segment ends in a footer that is not whole. A checkpoint that was written after it is proof that it is. */
async function footerHolds(disk: Disk, parts: NativeStoreParts, segment: SegmentEntry, file: DiskFile, size: number): Promise<boolean> {
  const found = lookAtSegment(file, segment.id, Number.POSITIVE_INFINITY);
  if (found.trailer === null) return found.footerFault === null;
  if (parts.log.route === "checkpoint") {
    const head = await checkpointHead(disk, parts.directory);
    if (head?.watermarkSegmentId === segment.id && head.watermarkOffset === size) return true;
  }
  const footer = await readFooter(file, found);
  return footer instanceof Footer && footer.tableOffset === segment.framesEnd && (await inSteps(listsAll(footer, parts, segment)));
}

async function checkpointHead(disk: Disk, directory: string): Promise<ReturnType<typeof readCheckpointHead>> {
  const file = await disk.open(join(directory, CHECKPOINT_FILE), "read");
  try {
    const bytes = new Uint8Array(256);
    const count = await file.read(bytes, 0, bytes.length, 0);
    return readCheckpointHead(bytes.subarray(0, count));
  } finally {
    await file.close();
  }
}

/** Whether the footer lists the segment's events, each as its frame has it. In steps. */
function* listsAll(footer: Footer, { log, frames }: NativeStoreParts, segment: SegmentEntry): Generator<void, boolean, undefined> {
  const rows = log.index.indexOf(segment);
  if (footer.entryCount !== rows.rowCount) return false;
  for (let row = 0; row < rows.rowCount; row++) {
    const offset = rows.offsetAt(row);
    if (footer.frameOffset(row) !== offset || footer.globalSequence(row) !== rows.sequenceAt(row)) return false;
    const { bytes, view, at, length } = frames.read(segment.id, offset);
    const frame = decodeFrame(bytes, view, at, at + length);
    if (frame.kind !== "ok" || footerMismatch(footer, row, frame, offset) !== null) return false;
    if (row % FRAMES_PER_STEP === FRAMES_PER_STEP - 1) yield;
  }
  return true;
}
