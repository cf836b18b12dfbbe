/** The first step of a repair: everything that it will change is copied into a directory of its own, with the report, for whoever meets the holes later. */
import { join } from "node:path";
import type { Clock } from "./base/clock.ts";
import { uninitializedBytes } from "./base/uninitialized.ts";
import type { Disk } from "./disk/disk.ts";
import { replaceFile } from "./disk/replace-file.ts";
import type { RepairReport } from "./repair.ts";

const PIECE_BYTES = 1024 * 1024;

/**
 * Copies every file that will be changed, into a new directory: what another repair kept, cut off or not, may be all that is left of a file. Gives its name.
 * Where that fails, nothing was changed yet, and the copies go: they would fill the disk with each attempt. Commit point: the sync of the directory that holds
 * the copies.
 */
export async function copyAside(
  disk: Disk,
  directory: string,
  clock: Clock,
  { problems, actions }: Pick<RepairReport, "problems" | "actions">,
): Promise<string> {
  const repairedAt = new Date(Math.floor(clock.nowMicros() / 1000)).toISOString();
  const name = await freeName(disk, directory, `damaged-${repairedAt.replaceAll(/[:.]/g, "-")}`);
  const target = join(directory, name);
  await disk.makeDirectory(target);
  const made: string[] = [];
  const keep = async (file: string, contents: Parameters<typeof replaceFile>[3]): Promise<void> => {
    made.push(file);
    await replaceFile(disk, target, file, contents);
  };
  try {
    for (const { file } of actions) {
      const path = join(directory, file);
      if ((await disk.status(path)) !== null) await keep(file, piecesOf(disk, path));
    }
    const record = JSON.stringify({ repairedAt, problems, actions }, null, 2);
    await keep("repair.json", new TextEncoder().encode(`${record}\n`));
    await disk.syncDirectory(directory);
    return name;
  } catch (error) {
    for (const file of made) await disk.remove(join(target, file)).catch(() => {});
    throw error;
  }
}

/** No name that is there: repairs may begin within a millisecond, and clocks go back. The caller keeps other repairs out. */
async function freeName(disk: Disk, directory: string, wanted: string): Promise<string> {
  let name = wanted;
  for (let more = 2; (await disk.status(join(directory, name))) !== null; more++) name = `${wanted}-${more}`;
  return name;
}

/** The file's bytes, or the first of them: whatever it has become, no more of it is in memory than a piece. */
export async function* piecesOf(disk: Disk, path: string, bytes = Number.POSITIVE_INFINITY): AsyncGenerator<Uint8Array, void> {
  const file = await disk.open(path, "read");
  try {
    const piece = uninitializedBytes(PIECE_BYTES);
    for (let at = 0; at < bytes; ) {
      const count = await file.read(piece, 0, Math.min(piece.length, bytes - at), at);
      if (count === 0) return;
      yield piece.subarray(0, count);
      at += count;
    }
  } finally {
    await file.close();
  }
}
