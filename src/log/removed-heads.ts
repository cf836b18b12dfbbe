/**
 * Heads of entities whose newest events damage took, and of which a compaction had removed others behind those that are left: they go on behind the removed
 * ones, whose clocks and hashes the record of what was removed tells (`format/native/retention.ts`). Otherwise the next event would get the clock of a
 * removed one.
 *
 * In a sound log an entity's newest event is never removed, and no head moves. A checkpoint has the heads as they were moved: only who opens without one
 * asks, and only where events are missing that no compaction removed (lost, or never there in a conversion's source) are the runs read.
 */
import type { StoreIndex } from "../index/store-index.ts";
import type { FrameSource } from "./frame-source.ts";
import { Retention } from "./retention.ts";
import type { SegmentFiles } from "./segment-files.ts";

const RUNS_PER_STEP = 1024;

/**
 * Moves the heads, in steps. The event that is left stays the entity's last: the head keeps its sequence, and has no time, as those of index blocks; so that
 * whoever wants that event's own clock knows to ask for it (`judge.ts`). Throws `CORRUPT` at a damaged record.
 */
export function* passRemovedHeads(index: StoreIndex, files: SegmentFiles, frames: FrameSource): Generator<undefined, void> {
  const { entities, heads } = index;
  // No other segment has a record.
  const made = index.segments.filter(({ generation, sealed }) => generation > 0 && sealed);
  let events = index.visibleEvents;
  for (const { id } of made) {
    events += Retention.of(files, frames, id)?.summary.removed ?? 0;
    yield;
  }
  if (events === index.acceptedSequence) return;
  let steps = 0;
  for (const { id } of made) {
    for (const [name, runs] of Retention.of(files, frames, id)?.entities() ?? []) {
      const entity = entities.intern(name);
      heads.ensure(entity);
      for (const { to, lastSequence, lastHash } of runs) {
        if (++steps % RUNS_PER_STEP === 0) yield;
        if (lastSequence < heads.sequence(entity) || to <= heads.clock(entity)) continue;
        heads.accept(entity, to, heads.sequence(entity), 0);
        heads.setHashBytes(entity, lastHash);
      }
    }
  }
}
