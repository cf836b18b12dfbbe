/** Reading the native checkpoint's file, which a writer may replace or remove at any time. */
import { join } from "node:path";
import { uninitializedBytes } from "../base/uninitialized.ts";
import type { Disk } from "../disk/disk.ts";
import { errorCode } from "../disk/system-error.ts";
import { CHECKPOINT_FILE } from "../format/native/checkpoint.ts";

/** Up to this size it is read at once: from the page cache that takes less than the way to the thread pool. */
const SYNC_READ_BYTES = 64 * 1024;

export type CheckpointFile =
  | { readonly kind: "whole"; readonly bytes: Uint8Array }
  | { readonly kind: "absent" }
  | { readonly kind: "other"; readonly type: string };

/** The checkpoint in this directory, as it was at one moment: all bytes are of one file, the one that was opened. */
export async function readCheckpointFile(disk: Disk, directory: string): Promise<CheckpointFile> {
  const path = join(directory, CHECKPOINT_FILE);
  const status = await disk.status(path);
  if (status === null) return { kind: "absent" };
  if (status.type !== "file") return { kind: "other", type: status.type };
  try {
    const file = await disk.open(path, "read");
    try {
      const bytes = uninitializedBytes(file.sizeSync());
      const isSmall = bytes.length <= SYNC_READ_BYTES;
      const count = isSmall ? file.readSync(bytes, 0, bytes.length, 0) : await file.read(bytes, 0, bytes.length, 0);
      return { kind: "whole", bytes: bytes.subarray(0, count) };
    } finally {
      await file.close();
    }
  } catch (error) {
    // A compaction removes it.
    if (errorCode(error) === "ENOENT") return { kind: "absent" };
    throw error;
  }
}
