/**
 * Reading the native checkpoint's file, which a writer may replace or remove at any time, and in whose place anything may lie, of any size: room is
 * made for what begins as a checkpoint of that size does.
 */
import { join } from "node:path";
import { uninitializedBytes } from "../base/uninitialized.ts";
import type { Disk, DiskFile } from "../disk/disk.ts";
import { errorCode } from "../disk/system-error.ts";
import {
  CHECKPOINT,
  CHECKPOINT_BYTES_MAX,
  CHECKPOINT_FILE,
  descriptionEnd,
  prefixFault,
  statedBytes,
} from "../format/native/checkpoint.ts";

/** Up to this size it is read at once: from the page cache that takes less than the way to the thread pool. */
const SYNC_READ_BYTES = 64 * 1024;
/** Up to this size it is read whatever its description says: reading that first takes time as well. */
const PLAIN_BYTES_MAX = 64 * 1024 * 1024;

export type CheckpointBytes =
  | { readonly kind: "whole"; readonly bytes: Uint8Array }
  /** Not read; why, and how the file begins. */
  | { readonly kind: "unfit"; readonly bytes: Uint8Array; readonly reason: string };

export type CheckpointFile = CheckpointBytes | { readonly kind: "absent" } | { readonly kind: "other"; readonly type: string };

/** The checkpoint in this directory, as it was at one moment: all bytes are of one file, the one that was opened. */
export async function readCheckpointFile(disk: Disk, directory: string, name: string = CHECKPOINT_FILE): Promise<CheckpointFile> {
  const path = join(directory, name);
  const status = await disk.status(path);
  if (status === null) return { kind: "absent" };
  if (status.type !== "file") return { kind: "other", type: status.type };
  try {
    const file = await disk.open(path, "read");
    try {
      return await readCheckpoint(file);
    } finally {
      await file.close();
    }
  } catch (error) {
    // A compaction removes it.
    if (errorCode(error) === "ENOENT") return { kind: "absent" };
    throw error;
  }
}

export async function readCheckpoint(file: DiskFile): Promise<CheckpointBytes> {
  const size = file.sizeSync();
  if (size > SYNC_READ_BYTES) {
    const prefix = await read(file, CHECKPOINT.description);
    const reason = prefixFault(prefix, size) ?? (await sizeFault(file, prefix, size));
    if (reason !== null) return { kind: "unfit", bytes: prefix, reason };
  }
  return { kind: "whole", bytes: await read(file, size) };
}

async function sizeFault(file: DiskFile, prefix: Uint8Array, size: number): Promise<string | null> {
  if (size > CHECKPOINT_BYTES_MAX) return `it has ${size} bytes, at most ${CHECKPOINT_BYTES_MAX} are read`;
  const end = descriptionEnd(prefix);
  if (size <= PLAIN_BYTES_MAX || end > PLAIN_BYTES_MAX) return null;
  const head = await read(file, end);
  const stated = head.length === end ? statedBytes(head) : null;
  if (stated === null) return "its description does not decode";
  return stated === size ? null : `it has ${size} bytes, its description speaks of ${stated}`;
}

/** The first bytes of a file. */
async function read(file: DiskFile, length: number): Promise<Uint8Array> {
  const bytes = uninitializedBytes(length);
  const count = length <= SYNC_READ_BYTES ? file.readSync(bytes, 0, length, 0) : await file.read(bytes, 0, length, 0);
  return bytes.subarray(0, count);
}
