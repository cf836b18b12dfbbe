/** A group's write as a traced operation, and the turn to a new segment in it: the same for both layouts. */
import { isTraced, traced } from "../base/diagnostics.ts";
import type { SegmentEntry } from "../index/store-index.ts";
import type { CommitGroup } from "./commit-group.ts";

/** Writes the group, told to whoever listens. */
export function writeTraced(directory: string, group: CommitGroup, write: (group: CommitGroup) => Promise<void>): Promise<void> {
  if (!isTraced("commit")) return write(group);
  const { segment, firstSequence, nextSequence, position: bytes } = group;
  const message = { directory, segmentId: segment.id, events: nextSequence - firstSequence, bytes };
  return traced(
    "commit",
    () => message,
    () => write(group),
  );
}

/** Turns to a new segment, told to whoever listens. */
export function turnTraced(directory: string, segment: SegmentEntry, turn: (segment: SegmentEntry) => Promise<void>): Promise<void> {
  return traced(
    "rotate",
    () => ({ directory, segmentId: segment.id }),
    () => turn(segment),
  );
}
