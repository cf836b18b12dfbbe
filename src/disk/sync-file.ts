/** Makes a file durable that nobody here has open. */
import type { Disk } from "./disk.ts";

/** Syncs what the file has; its name is durable once its directory is synced. Throws what the disk does. */
export async function syncFile(disk: Disk, path: string): Promise<void> {
  const file = await disk.open(path, "write");
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}
