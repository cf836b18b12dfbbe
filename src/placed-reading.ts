/**
 * Reading for tools: events in batches, each with its place on disk. A frame that turns out damaged does not end the read where the caller
 * asks to be told of it: every whole event around it is still given. The everyday way of reading is `reading.ts`.
 */
import { inSteps, rest } from "./base/rest.ts";
import { isStoreError, type StoreError } from "./base/store-error.ts";
import { StoredEvent } from "./events/event.ts";
import type { CompiledReadOptions, ReadOptions } from "./events/query.ts";
import { IndexPageError } from "./index/sealed-segment-index.ts";
import { endsBatch } from "./index/segment-index.ts";
import type { SegmentEntry } from "./index/store-index.ts";
import type { LoadedFrame } from "./log/frame-loader.ts";
import { RowSearch, type SearchFilter, stepsBefore } from "./log/row-search.ts";
import { type ReadingParts, RENEWALS_MAX } from "./reading.ts";

/** An event and where it lies. */
export interface PlacedEvent {
  readonly event: StoredEvent;
  readonly segmentId: number;
  /** Where its frame begins in the segment file, in bytes. */
  readonly offset: number;
  /** Bytes of its frame. */
  readonly length: number;
  /** Whether it is the last of the events that were appended as one. */
  readonly endsBatch: boolean;
}

/** How to read where some of it may be damaged. */
export interface PlacedReadOptions extends ReadOptions {
  /**
   * Told of each event that cannot be read, or the first of several that nothing is known of, which are passed over; without it, the read ends
   * with the error.
   */
  readonly onDamage?: ((error: StoreError<"CORRUPT">, sequence: number) => void) | undefined;
}

const ROWS_FORWARD = 2048;
/** Frames of these many are held at once, to be turned round. */
const ROWS_BACKWARD = 128;

/** The events that match and were visible below `bound`, in batches. */
export async function* readPlaced(
  parts: ReadingParts,
  filters: readonly SearchFilter[],
  options: CompiledReadOptions,
  bound: number,
  onDamage: PlacedReadOptions["onDamage"],
): AsyncGenerator<readonly PlacedEvent[], undefined> {
  const { direction, after, limit, signal } = options;
  const backward = direction === "backward";
  let from = backward || after === undefined ? 0 : Math.max(0, after + 1);
  let to = backward && after !== undefined ? Math.min(bound, after) : bound;
  const rows = new Uint32Array(backward ? ROWS_BACKWARD : ROWS_FORWARD);
  let searched: symbol | null = null;
  let search: RowSearch | null = null;
  /** How often the log was read anew since events were found. */
  let renewals = 0;
  const steps = stepsBefore(parts.index, filters);
  if (steps !== null) await inSteps(steps);
  for (let left = limit; left > 0; ) {
    signal?.throwIfAborted();
    parts.assertReadable();
    try {
      const { index } = parts;
      const { revision } = index;
      // Compacted meanwhile, by this process or another: goes on behind what was given.
      const sound: RowSearch | null = searched === revision ? search : null;
      searched = revision;
      const current: RowSearch = sound ?? new RowSearch(index, filters, { from, to, direction });
      search = current;
      const count = current.next(rows);
      if (count === 0) return;
      if (count < 0) {
        await rest();
        continue;
      }
      const segment = current.segment as SegmentEntry;
      if (backward) rows.subarray(0, count).reverse();
      for (let start = 0; start < count && left > 0 && parts.index.revision === revision; ) {
        const length = backward ? count : parts.loader.chunk(segment, rows, start, count);
        const frames = await loadWhole(parts, segment, rows, start, length, onDamage);
        if (parts.index.revision !== revision) break;
        const events = placed(parts, current, segment, frames);
        if (backward) events.reverse();
        if (events.length > left) events.length = left;
        left -= events.length;
        const last = index.indexOf(segment).sequenceAt(rows[backward ? 0 : start + length - 1]);
        if (backward) to = last;
        else from = last + 1;
        start += length;
        renewals = 0;
        if (events.length > 0) yield events;
      }
    } catch (error) {
      const missed = search?.missed ?? null;
      search = null;
      if (parts.index.revision !== searched) continue;
      if (onDamage !== undefined && missed !== null && error === missed.error) {
        const { from: first, to: end } = missed.events;
        onDamage(missed.error, first);
        if (backward) to = first;
        else from = end;
        continue;
      }
      if (parts.renew !== undefined && isStoreError(error, "COMPACTED") && renewals++ < RENEWALS_MAX) await parts.renew();
      else if (error instanceof IndexPageError) parts.index.rebuildIndex(error.segmentId);
      else throw parts.asError(error);
    }
  }
}

/** The frames of ascending rows; of those that are damaged, `onDamage` is told. */
async function loadWhole(
  parts: ReadingParts,
  segment: SegmentEntry,
  rows: Uint32Array,
  from: number,
  count: number,
  onDamage: PlacedReadOptions["onDamage"],
): Promise<readonly LoadedFrame[]> {
  const { revision } = parts.index;
  try {
    return await parts.loader.load(segment, rows, from, count);
  } catch (error) {
    if (onDamage === undefined || !isStoreError(error, "CORRUPT") || parts.index.revision !== revision) throw error;
  }
  const index = parts.index.indexOf(segment);
  const whole: LoadedFrame[] = [];
  for (let i = from; i < from + count; i++) {
    const row = rows[i];
    try {
      const slice = parts.frames.readRow(segment, index, row);
      whole.push({ slab: slice, at: slice.at, row, format: parts.frames.format });
    } catch (error) {
      if (!isStoreError(error, "CORRUPT")) throw error;
      onDamage(error, index.sequenceAt(row));
    }
  }
  return whole;
}

function placed(parts: ReadingParts, search: RowSearch, segment: SegmentEntry, frames: readonly LoadedFrame[]): PlacedEvent[] {
  const { format } = parts.frames;
  const index = parts.index.indexOf(segment);
  const events: PlacedEvent[] = [];
  for (const { slab, at, row } of frames) {
    const sequence = index.sequenceAt(row);
    if (search.needsFrames && !search.confirms(format, slab.bytes, slab.view, at, sequence)) continue;
    const event = new StoredEvent(format, slab, at, sequence, parts.typeOf(format.kind(slab.view, at)));
    const length = format.length(slab.view, at);
    events.push({ event, segmentId: segment.id, offset: index.offsetAt(row), length, endsBatch: endsBatch(index, row) });
  }
  return events;
}
