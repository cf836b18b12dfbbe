/**
 * A picture of the index as of the last visible event, taken between two commits: names as views, since they are only ever added. Heads change,
 * and are pictured (`index/heads-picture.ts`); these, and the rows in memory, which do not, are worked out afterwards, in steps (`developSnapshot`).
 *
 * At that moment no group is in flight. An open one may hold events that are accepted and not visible: the heads are ahead by these, and the
 * picture takes them back. Hashes need no taking back, since they move on only when a group is sealed.
 */
import { getUint64 } from "../base/u64.ts";
import { FRAME } from "../format/native/frame-layout.ts";
import type { CheckpointContent } from "../format/native/checkpoint.ts";
import { ActiveSegmentIndex } from "../index/active-segment-index.ts";
import type { HeadsPicture } from "../index/heads-picture.ts";
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

export interface Snapshot {
  /** Complete once `developSnapshot` is done. */
  readonly content: CheckpointContent;
  /** To be ended by whoever took the picture, whatever becomes of it. */
  readonly heads: HeadsPicture;
  /** Rows in memory that are still to be entered. */
  readonly rows: readonly { readonly segmentId: number; readonly index: ActiveSegmentIndex; readonly rowCount: number }[];
}

/** How many rows a step looks at: well under a millisecond. */
const ROWS_PER_STEP = 4096;

/** Takes the picture. */
export function takeSnapshot(input: SnapshotInput): Snapshot {
  const { index } = input;
  const segments = index.segments.filter((segment) => segment.id <= index.visible.segmentId);
  const rows: { segmentId: number; index: ActiveSegmentIndex; rowCount: number }[] = [];
  const described = segments.map((segment) => {
    if (segment.indexOnDisk || !(segment.index instanceof ActiveSegmentIndex)) return describeSegment(segment, index, 0);
    const rowCount = index.rowsBefore(segment, index.visible.sequence);
    rows.push({ segmentId: segment.id, index: segment.index, rowCount });
    return describeSegment(segment, index, rowCount);
  });
  const columns = new Map<string, Uint8Array>();
  putColumns(columns, "entities", index.entities.toParts(index.heads.count));
  putColumns(columns, "scopes", index.scopes.toParts());
  const firstSequences = Float64Array.from(index.scopeFirstSequence);
  const heads = visibleHeads(index, input.open);
  putColumns(columns, "heads", heads.parts);
  columns.set("scopes.firstSequence", new Uint8Array(firstSequences.buffer));
  const content: CheckpointContent = {
    columns,
    description: {
      storeId: input.storeId,
      generation: input.generation,
      watermark: { segmentId: index.visible.segmentId, offset: index.visible.offset },
      lastFrame: input.lastFrame,
      nextSequence: index.visible.sequence,
      visibleEvents: index.visibleEvents,
      lastTimeMicros: visibleTime(index, input.open),
      lastIssuedId: input.lastIssuedId.slice(),
      records: [...input.records],
      entityCount: index.heads.count,
      segments: described,
    },
  };
  return { content, heads, rows };
}

/** Works out the heads, and enters the rows in memory. They are those of the picture, whatever came since. */
export function* developSnapshot(snapshot: Snapshot): Generator<undefined, void> {
  const columns = snapshot.content.columns as Map<string, Uint8Array>;
  while (!snapshot.heads.advance()) yield;
  for (const { segmentId, index, rowCount } of snapshot.rows) {
    while (!index.prepareCheckpoint(rowCount, ROWS_PER_STEP)) yield;
    putColumns(columns, `rows.${segmentId}`, index.columnsForCheckpoint(rowCount));
    yield;
  }
}

function putColumns(columns: Map<string, Uint8Array>, prefix: string, parts: object): void {
  for (const [name, value] of Object.entries(parts)) if (value instanceof Uint8Array) columns.set(`${prefix}.${name}`, value);
}

function describeSegment(segment: SegmentEntry, index: StoreIndex, rowCount: number): Record<string, unknown> {
  const growing = segment.id === index.visible.segmentId;
  const { id, firstSequence, generation, sealed, indexOnDisk, lastIssuedId, systemFrames } = segment;
  // Damage, and compaction, may have taken the first events of a segment.
  const rowsFrom = rowCount === 0 ? firstSequence : (segment.index?.firstSequence ?? firstSequence);
  return {
    id,
    firstSequence,
    ...(rowsFrom === firstSequence ? {} : { rowsFrom }),
    nextSequence: Math.min(segment.nextSequence, index.visible.sequence),
    generation,
    sealed,
    indexOnDisk,
    framesEnd: growing ? index.visible.offset : segment.framesEnd,
    frames: growing ? segment.visibleFrames : segment.frames,
    lastIssuedId,
    rowCount,
    systemFrames: indexOnDisk ? [] : [...systemFrames],
  };
}

function visibleTime(index: StoreIndex, open: CommitGroup | null): number {
  return open === null || open.frames === 0 ? index.lastTimeMicros : open.previousTimeMicros;
}

/** Begins a picture of the heads, without what the open group added. */
function visibleHeads(index: StoreIndex, open: CommitGroup | null): HeadsPicture {
  const picture = index.heads.beginPicture();
  for (let frame = 0; frame < (open?.frames ?? 0); frame++) {
    const group = open as CommitGroup;
    // Only an entity's first frame in the group knows the head before the group.
    if (group.kernel.links[frame] >= 0) continue;
    const clock = getUint64(group.view, group.kernel.offsets[frame] + FRAME.clock) - 1;
    picture.takeBack(group.entityIds[frame], clock, group.previousSequences[frame], group.previousTimes[frame]);
  }
  return picture;
}
