/**
 * The second half of a compaction of an open store: a merged segment takes the place of its range, beside appending and reading.
 *
 * Invariants:
 * 1. Everything that the survey leant on is on stable storage, and no checkpoint is being written: the caller sees to both.
 * 2. No checkpoint of before is on stable storage when the new file may be. (The active segment's header, and perhaps the mark, still bear the old
 *    generation: such a checkpoint would be believed, and lead into a file that is another.)
 * 3. Until the turn of the swap everybody in this process reads the old file, which is held open; from that turn on nobody does: index,
 *    files and generation change in one turn, and other processes are told of it in the mark in the same one.
 * 4. A sync that fails poisons the store: what is on the disk cannot be told, and it is never tried again.
 *
 * Commit point: the rename. Before it the old segments stand, and a temporary file that the next writer removes. After it the header of the new one
 * names the range and a newer generation: the others count for nothing, whether they are removed yet or not.
 */
import { join } from "node:path";
import type { Disk } from "../disk/disk.ts";
import { ioError } from "../disk/io-error.ts";
import { CHECKPOINT_FILE } from "../format/native/checkpoint.ts";
import { SealedSegmentIndex } from "../index/sealed-segment-index.ts";
import type { SegmentEntry, StoreIndex } from "../index/store-index.ts";
import type { MergedFile } from "./merged-file.ts";
import { headerIn, type SegmentFiles } from "./segment-files.ts";

/** Each takes a turn of the event loop; more would hold up commits, which want a thread of Node's pool as well. */
const REMOVALS_AT_ONCE = 8;

export interface RangeCommitParts {
  readonly disk: Disk;
  readonly files: SegmentFiles;
  readonly index: StoreIndex;
  /** Takes this generation, and notes it in the mark. Called in the turn of the swap. */
  moveOn(generation: number): void;
  /** Throws where nothing may be written any more. */
  assertSound(): void;
  /** Nothing may be written any more. */
  poison(error: unknown): void;
  /** What was replaced could not be removed: the next writer does it. */
  notRemoved(error: unknown): void;
}

export interface MergedRange {
  /** The segments that are replaced, oldest first. */
  readonly entries: readonly SegmentEntry[];
  readonly merged: MergedFile;
  readonly removedEvents: number;
}

/** Puts the merged segment in the place of the range. Rejects where it did not, and then has removed the temporary file if it could. */
export async function commitRange(parts: RangeCommitParts, range: MergedRange): Promise<void> {
  const { disk, files } = parts;
  try {
    await removeCheckpoint(parts);
    parts.assertSound();
    // Nobody opens the new file under the old segment's entry.
    files.pin(range.entries[0].id);
  } catch (error) {
    await disk.remove(range.merged.path).catch(() => {});
    throw error;
  }
  await rename(parts, range);
  swap(parts, range);
  await syncDirectory(parts);
  await removeReplaced(parts, range.entries.slice(1));
}

async function removeCheckpoint(parts: RangeCommitParts): Promise<void> {
  const { disk, files } = parts;
  const checkpoint = join(files.directory, CHECKPOINT_FILE);
  try {
    if ((await disk.status(checkpoint)) !== null) await disk.remove(checkpoint);
  } catch (error) {
    throw ioError("remove", checkpoint, error);
  }
  // Also where there is none: whoever removed it may not have come to this.
  await syncDirectory(parts);
}

async function syncDirectory(parts: RangeCommitParts): Promise<void> {
  const { disk, files } = parts;
  try {
    await disk.syncDirectory(files.directory);
  } catch (error) {
    parts.poison(error);
    throw ioError("sync directory", files.directory, error);
  }
}

/** Commit point. */
async function rename(parts: RangeCommitParts, { entries, merged }: MergedRange): Promise<void> {
  const { disk, files } = parts;
  const [first] = entries;
  try {
    await disk.rename(merged.path, files.path(first.id));
  } catch (error) {
    const there = generationThere(disk, files.path(first.id));
    if (there === merged.entry.generation) return;
    const failure = ioError("replace", files.path(first.id), error);
    if (there !== first.generation) {
      // Neither is known to stand there: the old file stays held, so that what was readable remains so.
      parts.poison(failure);
      throw failure;
    }
    files.unpin(first.id);
    await disk.remove(merged.path).catch(() => {});
    throw failure;
  }
}

/** The generation in the header of the file that has this name now; null where that cannot be told. */
function generationThere(disk: Disk, path: string): number | null {
  try {
    const file = disk.openSync(path);
    try {
      const outcome = headerIn(file);
      return outcome.kind === "ok" ? outcome.header.generation : null;
    } finally {
      file.closeSync();
    }
  } catch {
    return null;
  }
}

/** Everything in one turn: whoever reads or judges sees the range as it was, or as it is. */
function swap(parts: RangeCommitParts, { entries, merged, removedEvents }: MergedRange): void {
  const { files, index } = parts;
  const [first] = entries;
  index.replaceSegments(entries, merged.entry, removedEvents);
  files.forget(first.id);
  files.unpin(first.id);
  releasePages(first);
  try {
    parts.moveOn(merged.entry.generation);
  } catch (error) {
    // Readers beside would go on by a mark that does not say it.
    parts.poison(error);
    throw ioError("write", "durable.mark", error);
  }
}

function releasePages({ index: rows }: SegmentEntry): void {
  if (rows instanceof SealedSegmentIndex) rows.release();
}

/** Nobody in this process asks for them any more. A file that stays counts for nothing. */
async function removeReplaced(parts: RangeCommitParts, replaced: readonly SegmentEntry[]): Promise<void> {
  if (replaced.length === 0) return;
  const { disk, files } = parts;
  const remove = async (entry: SegmentEntry): Promise<void> => {
    const { id } = entry;
    // Not in the turn of the swap: there may be thousands.
    releasePages(entry);
    files.forget(id);
    await disk.remove(files.path(id)).catch((error: unknown) => parts.notRemoved(error));
  };
  for (let from = 0; from < replaced.length; from += REMOVALS_AT_ONCE)
    await Promise.all(replaced.slice(from, from + REMOVALS_AT_ONCE).map(remove));
  await syncDirectory(parts);
}
