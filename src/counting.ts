/** How many events match, and the first that does: by the index alone where no frame needs a look. */
import { bytesShare, inSteps, turnShare } from "./base/rest.ts";
import { isStoreError } from "./base/store-error.ts";
import { nativeFrames } from "./format/native/frame-format.ts";
import { hopsBackward, LOOKS_PER_STEP } from "./index/entity-walk.ts";
import { IndexPageError } from "./index/sealed-segment-index.ts";
import type { SegmentEntry, StoreIndex } from "./index/store-index.ts";
import type { FrameSource } from "./log/frame-source.ts";
import { RowSearch, type SearchBounds, type SearchFilter, stepsBefore } from "./log/row-search.ts";
import { IndexReplaced, lookShare, type ReadingParts, RENEWALS_MAX } from "./reading.ts";

/** Rows counted at once, unless an index tells their number, or each needs a look at its frame. */
const ROWS_MAX = 4096;
/** What looking an entity up in a segment takes of a turn, in events: two or three pages of its index. */
const HOP_SHARE = 4;

/** How many events with sequences in `(after, bound)` match, by the index alone where no frame needs a look. */
export function countMatches(parts: ReadingParts, filters: readonly SearchFilter[], bound: number, after = -1): Promise<number> {
  return withSoundIndex(parts, () => countOnce(parts, filters, { from: after + 1, to: bound, direction: "forward" }));
}

/** Repeats a look that met a bad page of an index block, after that index was rebuilt. What the file system says comes as the store's errors. */
async function withSoundIndex<Result>(parts: ReadingParts, look: () => Promise<Result>): Promise<Result> {
  for (let renewals = 0; ; ) {
    const { revision } = parts.index;
    try {
      return await look();
    } catch (error) {
      if (parts.index.revision !== revision) continue;
      if (parts.renew !== undefined && isStoreError(error, "COMPACTED") && renewals++ < RENEWALS_MAX) {
        await parts.renew();
        continue;
      }
      if (!(error instanceof IndexPageError)) throw parts.asError(error);
      parts.index.rebuildIndex(error.segmentId);
    }
  }
}

/** Waits for the turn that others' looks have left. */
async function waitOver(turn: Promise<void>, parts: ReadingParts, revision: symbol): Promise<void> {
  await turn;
  assertSame(parts.index, revision);
}

function assertSame(index: StoreIndex, revision: symbol): void {
  if (index.revision !== revision) throw new IndexReplaced("The log was read anew");
}

function prepare(parts: ReadingParts, filters: readonly SearchFilter[]): Promise<void> | null {
  const steps = stepsBefore(parts.index, filters);
  return steps === null ? null : inSteps(steps).then(() => parts.assertReadable());
}

/** The entity of which all events are counted, and nothing else is asked; null where something else is, or where some may be lost. */
function entityAlone(index: StoreIndex, filters: readonly SearchFilter[], { from }: SearchBounds): string | null {
  if (filters.length !== 1 || from > 0 || index.hasLost) return null;
  const { entity = null, ...others } = filters[0];
  return Object.values(others).every((value) => value === undefined) ? entity : null;
}

/** Where no event was ever lost, removed or left out, the clock of an entity counts its events; null where it may not. */
function countByClock({ index, frames }: ReadingParts, entity: string, bound: number): number | null {
  const { entities, heads, visible, visibleEvents } = index;
  if (frames.format !== nativeFrames || bound !== visible.sequence || visibleEvents !== visible.sequence) return null;
  const id = entities.find(entity);
  if (id < 0 || heads.visibleSequence(id) < 0) return 0;
  return heads.sequence(id) === heads.visibleSequence(id) ? heads.clock(id) + 1 : null;
}

/** By its clock, or else by what each segment knows of the entity; where some of a segment's are not counted, they are looked for. */
async function countEntity(parts: ReadingParts, filters: readonly SearchFilter[], entity: string, bound: number): Promise<number> {
  const { index } = parts;
  const { revision } = index;
  const first = turnShare.wait();
  if (first !== null) await waitOver(first, parts, revision);
  parts.assertReadable();
  const counted = countByClock(parts, entity, bound);
  if (counted !== null) {
    turnShare.spend(HOP_SHARE);
    return counted;
  }
  const hops = hopsBackward(index, entity, { from: 0, bound });
  let total = 0;
  for (;;) {
    const turn = turnShare.wait();
    if (turn !== null) await turn;
    assertSame(parts.index, revision);
    parts.assertReadable();
    const hop = hops.next();
    if (hop.done === true) return total;
    turnShare.spend(hop.value === null ? HOP_SHARE * LOOKS_PER_STEP : HOP_SHARE);
    if (hop.value === null) continue;
    const { segment, summary } = hop.value;
    if (segment.nextSequence <= bound) total += summary.rows;
    else total += await countRows(parts, filters, { from: segment.firstSequence, to: bound, direction: "forward" });
  }
}

async function countOnce(parts: ReadingParts, filters: readonly SearchFilter[], bounds: SearchBounds): Promise<number> {
  const preparing = prepare(parts, filters);
  if (preparing !== null) await preparing;
  const entity = entityAlone(parts.index, filters, bounds);
  return entity === null ? await countRows(parts, filters, bounds) : await countEntity(parts, filters, entity, bounds.to);
}

async function countRows(parts: ReadingParts, filters: readonly SearchFilter[], bounds: SearchBounds): Promise<number> {
  const { index, frames } = parts;
  const { revision } = index;
  const search = new RowSearch(index, filters, bounds);
  // For most counts of one entity that is enough, and making a large array costs as much as counting them.
  let rows = new Uint32Array(64);
  const share = lookShare(filters);
  let total = 0;
  for (;;) {
    const turn = turnShare.wait();
    if (turn !== null) await waitOver(turn, parts, revision);
    parts.assertReadable();
    const count = search.needsFrames ? search.next(rows) : search.count(rows);
    if (count === 0) return total;
    turnShare.spend(share + (search.needsFrames && count > 0 ? count : 0));
    if (count > 0) total += search.needsFrames ? confirmed(search, rows, count, index, frames) : count;
    if (!search.needsFrames && rows.length < ROWS_MAX && count >= rows.length) rows = new Uint32Array(ROWS_MAX);
  }
}

function confirmed(search: RowSearch, rows: Uint32Array, count: number, index: StoreIndex, frames: FrameSource): number {
  const segment = search.segment as SegmentEntry;
  const segmentIndex = index.indexOf(segment);
  let total = 0;
  for (let i = 0; i < count; i++) {
    const { bytes, view, at, length } = frames.readRow(segment, segmentIndex, rows[i]);
    turnShare.spend(bytesShare(length));
    if (search.confirms(frames.format, bytes, view, at, segmentIndex.sequenceAt(rows[i]))) total++;
  }
  return total;
}

/** The sequence of the first event in `[from, to)` that matches, or -1. */
export function findMatch(parts: ReadingParts, filters: readonly SearchFilter[], from: number, to: number): Promise<number> {
  return withSoundIndex(parts, () => findOnce(parts, filters, from, to));
}

async function findOnce(parts: ReadingParts, filters: readonly SearchFilter[], from: number, to: number): Promise<number> {
  const preparing = prepare(parts, filters);
  if (preparing !== null) await preparing;
  const { index, frames } = parts;
  const { revision } = index;
  const search = new RowSearch(index, filters, { from, to, direction: "forward" });
  const rows = new Uint32Array(64);
  const share = lookShare(filters);
  for (;;) {
    const turn = turnShare.wait();
    if (turn !== null) await waitOver(turn, parts, revision);
    const count = search.next(rows);
    if (count === 0) return -1;
    turnShare.spend(share);
    if (count < 0) continue;
    const segment = search.segment as SegmentEntry;
    const segmentIndex = index.indexOf(segment);
    for (let i = 0; i < count; i++) {
      const sequence = segmentIndex.sequenceAt(rows[i]);
      if (!search.needsFrames) return sequence;
      const { bytes, view, at, length } = frames.readRow(segment, segmentIndex, rows[i]);
      turnShare.spend(bytesShare(length));
      if (search.confirms(frames.format, bytes, view, at, sequence)) return sequence;
    }
  }
}
