/**
 * Where the log ends, and what to do about what comes after it.
 *
 * A crash leaves unsynced writes in any state: a hole may be followed by whole frames that were never synced. So a bad place is a torn tail
 * unless something proves that it had been synced: then it is damage, and nobody may append after it or pretend that it was not there.
 *
 * Steps on disk, in order, each safe to repeat: keep the cut bytes aside (file and name synced), write again what is kept and not proven
 * durable, cut the file, sync file and directory. Commit point: that sync. Until it nothing that was recovered is shown or appended to.
 */
import { join } from "node:path";
import { StoreError } from "../base/store-error.ts";
import type { Disk, DiskFile } from "../disk/disk.ts";
import { replaceFile } from "../disk/replace-file.ts";
import { SEGMENT_HEADER } from "../format/native/segment-header.ts";
import { segmentName } from "./segment-files.ts";
import { findFrames } from "./frame-search.ts";
import { type ScanResult } from "./segment-scan.ts";

export interface Tail {
  /** Offset after the last whole commit. */
  readonly end: number;
  /** Bytes after it that are not zeros to the end, up to the last that is not zero. */
  readonly cutBytes: number;
  /** Set where the bytes at or after `end` had been synced. */
  readonly damage: StoreError<"CORRUPT"> | null;
}

export interface TailQuestion {
  readonly file: DiskFile;
  readonly segmentId: number;
  readonly seed: number;
  readonly scan: ScanResult;
  /** The furthest offset of this segment that is known to have been synced. */
  readonly provenSynced: number;
}

/** Tells a torn tail from damage, in the newest segment. */
export async function judgeTail(question: TailQuestion): Promise<Tail> {
  const { file, segmentId, seed, scan, provenSynced } = question;
  const lastByte = await lastNonZero(file, scan.end, scan.fileBytes);
  const cutBytes = scan.sealed ? 0 : Math.max(0, lastByte - scan.end);
  const badAt = scan.outcome === "bad" ? scan.goodEnd : scan.end;
  if (scan.end < provenSynced) {
    const what = scan.outcome === "bad" ? "the bytes there are no frame" : "the log ends there";
    return { end: scan.end, cutBytes, damage: damageError(segmentId, badAt, `${what}, though it was synced up to ${provenSynced}`) };
  }
  if (scan.outcome === "bad") {
    let proof = -1;
    await findFrames(file, seed, scan.goodEnd, scan.fileBytes, (frame) => {
      if (frame.syncedBefore > scan.goodEnd) proof = frame.offset;
      return proof < 0;
    });
    if (proof >= 0)
      return { end: scan.end, cutBytes, damage: damageError(segmentId, badAt, `the frame at ${proof} was written after it was synced`) };
  }
  return { end: scan.end, cutBytes, damage: null };
}

type Layout = "native" | "batpak-0.3";

/** What can be done about a damaged store. Those of the batpak 0.3 layout are not repaired. */
export function remedyOf(layout: Layout): string {
  return layout === "native"
    ? "run batpak repair"
    : "restore a copy of it or carry what is whole over to a new store, with batpak dump and batpak import";
}

/** Damage in the middle of the log, or at its end. */
export function damageError(segmentId: number, offset: number, reason: string, layout: Layout = "native"): StoreError<"CORRUPT"> {
  return new StoreError(
    "CORRUPT",
    `Cannot open the store for writing: segment ${segmentId} is damaged at offset ${offset} (${reason}); open it with readOnly to read what is whole, or ${remedyOf(layout)}`,
    { segmentId, offset, file: segmentName(segmentId), reason, lost: "events at and after this offset may be lost" },
  );
}

const BLOCK_BYTES = 256 * 1024;

/** The offset after the last byte in `[from, to)` that is not zero; `from` where there is none. */
async function lastNonZero(file: DiskFile, from: number, to: number): Promise<number> {
  const block = Buffer.allocUnsafe(BLOCK_BYTES);
  for (let end = to; end > from; ) {
    const start = Math.max(from, end - BLOCK_BYTES);
    const count = await file.read(block, 0, end - start, start);
    for (let i = count - 1; i >= 0; i--) if (block[i] !== 0) return start + i + 1;
    end = start;
  }
  return from;
}

/** At most this much of a cut tail is kept aside. */
const KEPT_BYTES_MAX = 64 * 1024 * 1024;

/** Keeps `[from, from + length)` of a segment in a file of its own, durably; gives the file's name. */
export async function keepAside(
  disk: Disk,
  directory: string,
  segmentId: number,
  source: DiskFile,
  from: number,
  length: number,
): Promise<string> {
  for (let attempt = 0; ; attempt++) {
    const name = `${segmentName(segmentId)}.cut-${from}${attempt === 0 ? "" : `-${attempt}`}`;
    if ((await disk.status(join(directory, name))) !== null) continue;
    // Under a temporary name until it is whole: what a crash or a full disk cuts short is removed, not left beside the next attempt's.
    await replaceFile(disk, directory, name, (target) => copyRange(source, from, target, 0, Math.min(length, KEPT_BYTES_MAX)));
    return name;
  }
}

async function copyRange(source: DiskFile, from: number, target: DiskFile, to: number, length: number): Promise<void> {
  const block = Buffer.allocUnsafe(Math.min(length, BLOCK_BYTES));
  for (let done = 0; done < length; ) {
    const count = await source.read(block, 0, Math.min(block.length, length - done), from + done);
    if (count === 0) return;
    await target.write(block, 0, count, to + done, false);
    done += count;
  }
}

/**
 * Makes what recovery keeps durable: rewrites, byte for byte, what is not proven to be on stable storage (it may be in the page cache only),
 * cuts the rest, syncs file and directory.
 */
export async function settleTail(disk: Disk, directory: string, file: DiskFile, provenSynced: number, end: number): Promise<void> {
  const from = provenSynced <= SEGMENT_HEADER.bytes ? 0 : provenSynced;
  if (from < end) await copyRange(file, from, file, from, end - from);
  if ((await file.size()) > end) await file.truncate(end);
  await file.sync();
  await disk.syncDirectory(directory);
}
