/**
 * System records that damage took: the names of kinds, consumers' positions. The index block of their segment and the checkpoint repeat those in force word
 * for word, so a repair puts them back where they stood. Without the name of a kind the next writer would give that name another number, and no read by the
 * name would find the events before.
 */
import { rest } from "../base/rest.ts";
import { isStoreError } from "../base/store-error.ts";
import { getUint64 } from "../base/u64.ts";
import { isAutomaticKind } from "../events/definition-registry.ts";
import { FRAME, FRAME_FLAG } from "../format/native/frame-layout.ts";
import { frameFlags } from "../format/native/frame.ts";
import { SEGMENT_HEADER } from "../format/native/segment-header.ts";
import { isSystemFrame } from "../format/native/system-frame.ts";
import { ActiveSegmentIndex } from "../index/active-segment-index.ts";
import { PageCache } from "../index/page-cache.ts";
import { IndexPageError } from "../index/sealed-segment-index.ts";
import type { StoreIndex } from "../index/store-index.ts";
import { openBlock } from "./block-files.ts";
import type { DamagedSegment, RightFrame } from "./damaged-segment.ts";
import { addRecordInForce } from "./records-in-force.ts";
import type { SegmentFiles } from "./segment-files.ts";
import { definitionRecordOf } from "./system-records.ts";

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
const hashOf = (frame: Uint8Array): string => Buffer.from(frame.subarray(frame.length - FRAME.hashBytes)).toString("hex");
const clockOf = (record: Uint8Array): number => getUint64(viewOf(record), FRAME.clock);

/** The sequence of the event that came next when the record was written. */
export function sequenceOfRecord(record: Uint8Array): number {
  return getUint64(viewOf(record), FRAME.sequence);
}

/** The records that a segment's own index block repeats; none where that is not whole. */
export function recordsInBlock(files: SegmentFiles, id: number, storeId: Uint8Array): readonly Uint8Array[] {
  try {
    const opened = openBlock(files, id, storeId, new PageCache(0));
    return opened.kind === "ok" ? opened.block.index.systemRecords().filter(isSystemFrame) : [];
  } catch (error) {
    if (error instanceof IndexPageError || isStoreError(error, "CORRUPT")) return [];
    throw error;
  }
}

/**
 * Of the records that a checkpoint repeats those that no whole frame tells, and that no later one has put out of force.
 *
 * @param found the records in force by the frames that are whole
 */
export function lostRecords(pictured: readonly Uint8Array[], found: readonly Uint8Array[]): readonly Uint8Array[] {
  const there = new Set(found.map(hashOf));
  const clocks = new Set(found.map(clockOf));
  // Where another record has its clock, the checkpoint is of another history of the store.
  const missing = pictured.filter((record) => isSystemFrame(record) && !there.has(hashOf(record)) && !clocks.has(clockOf(record)));
  const inForce: Uint8Array[] = [];
  for (const record of [...found, ...missing].toSorted((a, b) => clockOf(a) - clockOf(b))) addRecordInForce(inForce, record);
  return missing.filter((record) => inForce.includes(record));
}

/** Of each kind that events have, the sequence of the first of them. `index`: with the rows of all segments in memory. */
export async function kindsIn({ segments }: StoreIndex): Promise<ReadonlyMap<number, number>> {
  const first = new Map<number, number>();
  for (const { index } of segments) {
    if (!(index instanceof ActiveSegmentIndex)) continue;
    const { kind } = index.columns;
    for (let row = 0; row < index.rowCount; row++) if (!first.has(kind[row])) first.set(kind[row], index.sequenceAt(row));
    await rest();
  }
  return first;
}

/** Those of these kinds that no record names, and that a definition without a kind may have had. */
export function unnamedKinds(kinds: Iterable<number>, records: readonly Uint8Array[]): number[] {
  const named = new Set(records.map((record) => definitionRecordOf(record)?.kind));
  return [...kinds].filter((kind) => isAutomaticKind(kind) && !named.has(kind));
}

/** The segment with these records among its frames, but for those that it has. */
export function withRecords(segment: DamagedSegment, records: readonly Uint8Array[]): DamagedSegment {
  const { bytes, frames, retention } = segment;
  if (records.length === 0) return segment;
  const isSystem = ({ offset }: RightFrame): boolean => (bytes[offset + FRAME.flags] & FRAME_FLAG.system) !== 0;
  const there = new Set(frames.filter(isSystem).map(({ offset, length }) => hashOf(bytes.subarray(offset, offset + length))));
  const lost = records.filter((record) => !there.has(hashOf(record)) && there.add(hashOf(record)));
  if (lost.length === 0) return segment;
  lost.sort((a, b) => clockOf(a) - clockOf(b));
  const all = Buffer.concat([bytes, ...lost]);
  const view = viewOf(all);
  const merged: RightFrame[] = [];
  let [next, copyAt] = [0, bytes.length];
  // Behind a record of what compaction removed, nothing tells where the first frame stood.
  let end: number = retention === null ? SEGMENT_HEADER.bytes : Number.NaN;
  for (const frame of [...frames, null]) {
    const before: Uint8Array[] = [];
    while (next < lost.length && (frame === null || isBefore(lost[next], view, frame.offset))) before.push(lost[next++]);
    // Into the hole that they left: then what was one commit still is one, whose frames follow on each other.
    const fits = before.length > 0 && end + before.reduce((sum, { length }) => sum + length, 0) === frame?.offset;
    for (const record of before) {
      if (fits) all.set(record, end);
      merged.push({ offset: fits ? end : copyAt, length: record.length });
      end += record.length;
      copyAt += record.length;
    }
    if (frame === null) break;
    merged.push(frame);
    end = frame.offset + frame.length;
  }
  return { ...segment, bytes: all, frames: merged };
}

/** Whether a record stood before this frame: it names the next event's sequence, and records have clocks of their own. */
function isBefore(record: Uint8Array, view: DataView, at: number): boolean {
  const [own, other] = [sequenceOfRecord(record), getUint64(view, at + FRAME.sequence)];
  if (own !== other) return own < other;
  return (frameFlags(view, at) & FRAME_FLAG.system) === 0 || clockOf(record) < getUint64(view, at + FRAME.clock);
}
