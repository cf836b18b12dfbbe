/**
 * A picture of the index as of the last visible event, taken between two commits, synchronously and by copying.
 *
 * At that moment no group is in flight. An open one may hold events that are accepted and not visible: the heads are ahead by these, and the
 * picture takes them back. Hashes need no taking back, since they move on only when a group is sealed.
 */
import { getUint64 } from "../base/u64.ts";
import { FRAME } from "../format/native/frame-layout.ts";
import type { CheckpointContent } from "../format/native/checkpoint.ts";
import { ActiveSegmentIndex } from "../index/active-segment-index.ts";
import type { HeadsParts } from "../index/heads.ts";
import type { SegmentEntry, StoreIndex } from "../index/store-index.ts";
import type { CommitGroup } from "../log/commit-group.ts";

export interface SnapshotInput {
  readonly index: StoreIndex;
  readonly open: CommitGroup | null;
  readonly storeId: Uint8Array;
  readonly generation: number;
  /** The last frame before the visible position; null where its segment has none. */
  readonly lastFrame: { readonly offset: number; readonly hash: Uint8Array } | null;
  /** System records in force: whole frames, oldest first. */
  readonly records: readonly Uint8Array[];
  /** The newest id that the writer issued for a visible event. */
  readonly lastIssuedId: Uint8Array;
}

/** Takes the picture. Nothing in the result shares memory with the index. */
export function takeSnapshot(input: SnapshotInput): CheckpointContent {
  const { index } = input;
  const columns = new Map<string, Uint8Array>();
  const put = (prefix: string, parts: object, own: boolean): void => {
    for (const [name, value] of Object.entries(parts)) {
      if (value instanceof Uint8Array) columns.set(`${prefix}.${name}`, own ? value : value.slice());
    }
  };
  put("entities", index.entities.toParts(index.heads.count), false);
  put("scopes", index.scopes.toParts(), false);
  put("heads", visibleHeads(index, input.open), false);
  const firstSequences = Float64Array.from(index.scopeFirstSequence);
  columns.set("scopes.firstSequence", new Uint8Array(firstSequences.buffer));
  const segments = index.segments.filter((segment) => segment.id <= index.visible.segmentId);
  const described = segments.map((segment) => {
    const inMemory = !segment.indexOnDisk;
    const parts = inMemory && segment.index instanceof ActiveSegmentIndex ? rowsOf(index, segment, segment.index) : null;
    if (parts !== null) put(`rows.${segment.id}`, parts, true);
    return describeSegment(segment, index, parts);
  });
  return {
    columns,
    description: {
      storeId: input.storeId,
      generation: input.generation,
      watermark: { segmentId: index.visible.segmentId, offset: index.visible.offset },
      lastFrame: input.lastFrame,
      nextSequence: index.visible.sequence,
      visibleEvents: index.visibleEvents,
      lastTimeMicros: visibleTime(index, input.open),
      lastIssuedId: input.lastIssuedId,
      records: [...input.records],
      entityCount: index.heads.count,
      segments: described,
    },
  };
}

function rowsOf(
  index: StoreIndex,
  segment: SegmentEntry,
  rows: ActiveSegmentIndex,
): ReturnType<ActiveSegmentIndex["columnsForCheckpoint"]> {
  return rows.columnsForCheckpoint(index.rowsBefore(segment, index.visible.sequence));
}

function describeSegment(segment: SegmentEntry, index: StoreIndex, rows: { rowCount: number } | null): Record<string, unknown> {
  const growing = segment.id === index.visible.segmentId;
  const { id, firstSequence, generation, sealed, indexOnDisk, lastIssuedId, systemFrames } = segment;
  return {
    id,
    firstSequence,
    nextSequence: Math.min(segment.nextSequence, index.visible.sequence),
    generation,
    sealed,
    indexOnDisk,
    framesEnd: growing ? index.visible.offset : segment.framesEnd,
    frames: growing ? segment.visibleFrames : segment.frames,
    lastIssuedId,
    rowCount: rows?.rowCount ?? 0,
    systemFrames: indexOnDisk ? [] : [...systemFrames],
  };
}

function visibleTime(index: StoreIndex, open: CommitGroup | null): number {
  return open === null || open.frames === 0 ? index.lastTimeMicros : open.previousTimeMicros;
}

/** The heads without what the open group added. */
function visibleHeads(index: StoreIndex, open: CommitGroup | null): HeadsParts {
  const parts = index.heads.toParts();
  if (open === null || open.frames === 0) return parts;
  const clock = new Float64Array(parts.clock.slice().buffer);
  const sequence = new Float64Array(parts.sequence.slice().buffer);
  const timeMicros = new Float64Array(parts.timeMicros.slice().buffer);
  for (let frame = 0; frame < open.frames; frame++) {
    // Only an entity's first frame in the group knows the head before the group.
    if (open.kernel.links[frame] >= 0) continue;
    const entityId = open.entityIds[frame];
    clock[entityId] = getUint64(open.view, open.kernel.offsets[frame] + FRAME.clock) - 1;
    sequence[entityId] = open.previousSequences[frame];
    timeMicros[entityId] = open.previousTimes[frame];
  }
  const bytes = (column: Float64Array): Uint8Array => new Uint8Array(column.buffer);
  return { ...parts, clock: bytes(clock), sequence: bytes(sequence), timeMicros: bytes(timeMicros) };
}
