/** What the plan of a repair says. */
import { StoreError } from "./base/store-error.ts";
import type { DamagedSegment } from "./log/damaged-segment.ts";
import { segmentName } from "./log/segment-files.ts";

export function recordsText(records: number): string {
  return `${records} system record${records === 1 ? "" : "s"}`;
}

export function withoutEvents(file: string, records: number): string {
  return records === 0 ? `an empty ${file}` : `a ${file} with ${recordsText(records)} of the checkpoint`;
}

export function namesLost(kinds: readonly number[]): string {
  if (kinds.length === 0) return "";
  const numbers = kinds.map((kind) => `0x${kind.toString(16).padStart(4, "0")}`).join(", ");
  return `; nothing is left that names the kind${kinds.length === 1 ? "" : "s"} ${numbers} (a definition without a kind gets another one, and reads by it miss those events)`;
}

export function sourceOf({ retention }: DamagedSegment, rightFrames: number): string {
  if (rightFrames > 0) return `its ${rightFrames} right frame${rightFrames === 1 ? "" : "s"}`;
  return retention === null ? "nothing (no frame of it is right, all its events go)" : "its record of what compaction removed";
}

export function manyMissing(ids: readonly number[]): StoreError<"CORRUPT"> {
  const reason = `${ids.length} segments or more are missing from ${segmentName(ids[0])} on`;
  return new StoreError("CORRUPT", `Cannot repair the store: ${reason}; move files behind these that are none of its segments elsewhere`, {
    reason,
  });
}
