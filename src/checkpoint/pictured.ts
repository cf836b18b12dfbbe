/** What a checkpoint says of the log beside its index: whose it is, how far it went, and which system records were in force. For a repair, which needs no more. */
import { inSteps } from "../base/rest.ts";
import type { Disk } from "../disk/disk.ts";
import { CHECKPOINT_FILE, decodeCheckpointInSteps } from "../format/native/checkpoint.ts";
import { readCheckpointFile } from "./checkpoint-file.ts";
import { NO_SOURCE, type RestoredCheckpoint, restoreCheckpoint } from "./restore.ts";

/** A log as a checkpoint pictures it. */
export interface PicturedLog {
  readonly storeId: Uint8Array;
  readonly generation: number;
  readonly nextSequence: number;
  /** Where it ends: the log was synced up to there. */
  readonly segmentId: number;
  readonly offset: number;
  /** System records in force. */
  readonly records: readonly Uint8Array[];
}

/** The name that a repair gives to the checkpoint while it writes segments anew: one of those that the next writer clears away. */
export const CHECKPOINT_ASIDE = `${CHECKPOINT_FILE}.0-0.tmp`;

export function picturedBy({ storeId, generation, index, records }: RestoredCheckpoint): PicturedLog {
  const { sequence, segmentId, offset } = index.visible;
  return { storeId, generation, nextSequence: sequence, segmentId, offset, records };
}

/** What the checkpoint says that a repair put aside and was then cut off; null where none did. */
export async function picturedAside(disk: Disk, directory: string): Promise<PicturedLog | null> {
  const file = await readCheckpointFile(disk, directory, CHECKPOINT_ASIDE);
  if (file.kind !== "whole") return null;
  const decoded = await inSteps(decodeCheckpointInSteps(file.bytes));
  if (decoded.kind !== "ok") return null;
  const outcome = await inSteps(restoreCheckpoint(decoded.content, NO_SOURCE));
  return outcome.kind === "ok" ? picturedBy(outcome.restored) : null;
}
