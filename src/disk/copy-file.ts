/** Copying the beginning of a file into a new one, durably but for its name. */
import type { Disk } from "./disk.ts";
import { errorCode, systemError } from "./system-error.ts";

const BLOCK_BYTES = 1024 * 1024;

/**
 * Copies the first `bytes` bytes of a file, or all that it has where null is given, into one that must not exist yet, and syncs it. The name is
 * durable once its directory is synced. Gives the number of bytes.
 *
 * @throws the disk's own errors; EIO where the source is shorter than that
 */
export async function copyFile(disk: Disk, from: string, to: string, bytes: number | null): Promise<number> {
  const source = await disk.open(from, "read");
  try {
    const length = bytes ?? (await source.size());
    const target = await disk.open(to, "create");
    try {
      const block = Buffer.allocUnsafe(Math.max(1, Math.min(BLOCK_BYTES, length)));
      for (let done = 0; done < length; ) {
        const count = await source.read(block, 0, Math.min(block.length, length - done), done).catch((error: unknown) => {
          // A handle does not say of which file it is, and two are open.
          throw errorCode(error) === undefined ? error : Object.assign(error as Error, { path: from });
        });
        if (count === 0) throw systemError("EIO", "read", from);
        await target.write(block, 0, count, done, false);
        done += count;
      }
      await target.sync();
      return length;
    } finally {
      await target.close();
    }
  } finally {
    await source.close();
  }
}
