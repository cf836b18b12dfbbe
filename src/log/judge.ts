/**
 * Judges a staged request against everything accepted so far: keys first, then causes, then expectations. Synchronous, without side effects
 * but for the correlations that it fills in. What needed the disk was looked up before; here it is only finished.
 */
import { sameBytes } from "../base/hex.ts";
import { StoreError } from "../base/store-error.ts";
import { formatId } from "../events/id.ts";
import type { RemovedRow } from "../format/native/retention.ts";
import { endsBatch } from "../index/segment-index.ts";
import type { FoundRow, RowPlace, StoreIndex } from "../index/store-index.ts";
import { blake3 } from "../kernel/frame-kernel.ts";
import type { AppendItem, AppendRequest, ExpectedState } from "./append-request.ts";
import type { FrameSource } from "./frame-source.ts";
import { RowSearch, type SearchFilter } from "./row-search.ts";

export type Verdict =
  | { readonly kind: "accept" }
  /** A retry: the events are there already, from this row on. */
  | { readonly kind: "repeat"; readonly first: RowPlace; readonly lastSequence: number }
  /** A retry of a batch that compaction removed. */
  | { readonly kind: "removed"; readonly rows: readonly RemovedRow[]; readonly lastSequence: number }
  /** `metSequence`: the event that the request ran into, -1 for none. The answer is given once that event is visible. */
  | { readonly kind: "refuse"; readonly error: unknown; readonly metSequence: number };

export const ACCEPT: Verdict = { kind: "accept" };

export function judge(request: AppendRequest, staged: Uint8Array, index: StoreIndex, frames: FrameSource): Verdict {
  const events = request.recordCount === 0 ? request.items : request.items.slice(request.recordCount);
  for (let i = 0; i < events.length; i++) {
    const { id } = events[i];
    const found = id === null ? null : index.findById(id, Number.POSITIVE_INFINITY);
    if (found !== null) return judgeRepeat(events, i, found, staged, index, frames);
  }
  for (let i = 0; i < events.length; i++) {
    const { id } = events[i];
    const rows = id === null ? null : index.findRemoved(id);
    if (rows !== null) return judgeRemoved(events, i, rows, staged);
  }
  for (let i = 0; i < events.length; i++) {
    if (events[i].cause === null) continue;
    const refusal = resolveCause(events, i, index, frames);
    if (refusal !== null) return refusal;
  }
  return judgeExpectations(request, events, index, frames);
}

/** One of the request's ids is there: then all of it must be one earlier batch, item for item. */
function judgeRepeat(
  events: readonly AppendItem[],
  position: number,
  found: FoundRow,
  staged: Uint8Array,
  index: StoreIndex,
  frames: FrameSource,
): Verdict {
  const segmentIndex = index.indexOf(found.segment);
  const first = found.row - position;
  const lastSequence = segmentIndex.sequenceAt(found.row);
  const id = events[position].id as Uint8Array;
  const mismatch = (reason: string): Verdict => ({
    kind: "refuse",
    metSequence: lastSequence,
    error: mismatchError(events[position].entity, id, reason),
  });
  if (first < 0 || (first > 0 && !endsBatch(segmentIndex, first - 1))) return mismatch("the first append was another batch");
  for (let i = 0; i < events.length; i++) {
    const row = first + i;
    if (row >= segmentIndex.rowCount || endsBatch(segmentIndex, row) !== (i === events.length - 1)) {
      return mismatch("the first append had another number of events");
    }
    const difference = itemDifference(events[i], found.segment.id, segmentIndex.offsetAt(row), staged, frames);
    if (difference !== null) return mismatch(`event ${i} of the first append had another ${difference}`);
  }
  return {
    kind: "repeat",
    first: { segment: found.segment, row: first },
    lastSequence: segmentIndex.sequenceAt(first + events.length - 1),
  };
}

/** One of the request's ids was removed: then all of it must be the removed batch, item for item. */
function judgeRemoved(events: readonly AppendItem[], position: number, rows: readonly RemovedRow[], staged: Uint8Array): Verdict {
  const { sequence: lastSequence } = rows[rows.length - 1];
  const differs = (): string | null => {
    if (rows.length !== events.length) return "the first append had another number of events";
    for (const [i, item] of events.entries()) {
      const difference = removedDifference(item, rows[i], staged);
      if (difference !== null) return `event ${i} of the first append had another ${difference}`;
    }
    return null;
  };
  const reason = differs();
  if (reason === null) return { kind: "removed", rows, lastSequence };
  const { id, entity } = events[position];
  return { kind: "refuse", metSequence: lastSequence, error: mismatchError(entity, id as Uint8Array, reason) };
}

function removedDifference(item: AppendItem, row: RemovedRow, staged: Uint8Array): string | null {
  if (item.id !== null && !sameBytes(item.id, 0, row.id, 0, 16)) return "key";
  if (item.entity !== row.entity) return "entity";
  if (item.scope !== row.scope) return "scope";
  if (item.kind !== row.kind) return "kind";
  const payload = staged.subarray(item.payloadAt, item.payloadAt + item.payloadLength);
  return sameBytes(blake3(payload), 0, row.payloadHash, 0, 32) ? null : "payload";
}

function mismatchError(entity: string, id: Uint8Array, reason: string): StoreError {
  return new StoreError(
    "IDEMPOTENCY_MISMATCH",
    `Cannot append with this key again: ${reason}; a retry must be the same batch, item for item`,
    { entity, id: formatId(id, 0), reason },
  );
}

function itemDifference(item: AppendItem, segmentId: number, offset: number, staged: Uint8Array, frames: FrameSource): string | null {
  const { format } = frames;
  const { bytes, view, at } = frames.peek(segmentId, offset);
  if (item.id !== null && !format.hasId(bytes, view, at, item.id)) return "key";
  if (format.entity(bytes, view, at) !== item.entity) return "entity";
  if (format.scope(bytes, view, at) !== item.scope) return "scope";
  if (format.kind(view, at) !== item.kind) return "kind";
  return format.samePayload(bytes, view, at, staged, item.payloadAt, item.payloadLength) ? null : "payload";
}

/** Finds the cause among the batch's own earlier items or in the log, and takes its correlation. */
function resolveCause(events: readonly AppendItem[], position: number, index: StoreIndex, frames: FrameSource): Verdict | null {
  const item = events[position];
  const cause = item.cause as Uint8Array;
  for (let i = 0; i < position; i++) {
    const { id, correlation } = events[i];
    if (id !== null && sameBytes(id, 0, cause, 0, 16)) {
      item.correlation = correlation ?? id;
      return null;
    }
  }
  const found = index.findById(cause, Number.POSITIVE_INFINITY);
  if (found === null) {
    const what = `event ${formatId(cause, 0)}`;
    const error = new StoreError("NOT_FOUND", `Cannot append: the cause, ${what}, is not in this store`, { what });
    return { kind: "refuse", error, metSequence: -1 };
  }
  const { bytes, view, at } = frames.peek(found.segment.id, found.offset);
  const correlation = frames.format.correlationAt(view, at);
  item.correlation = bytes.slice(correlation, correlation + 16);
  return null;
}

function judgeExpectations(request: AppendRequest, events: readonly AppendItem[], index: StoreIndex, frames: FrameSource): Verdict {
  /** Events that earlier items of the batch add to each entity; made only where an item expects something. */
  let added: Map<string, number> | null = null;
  for (let i = 0; i < events.length; i++) {
    const item = events[i];
    if (item.expected !== null) {
      added ??= countByEntity(events, i);
      const verdict =
        item.expected.kind === "noneMatching"
          ? judgeCondition(request, item, item.expected, index, frames)
          : judgeClock(item, item.expected, added.get(item.entity) ?? 0, index);
      if (verdict !== null) return verdict;
    }
    added?.set(item.entity, (added.get(item.entity) ?? 0) + 1);
  }
  return ACCEPT;
}

function countByEntity(events: readonly AppendItem[], end: number): Map<string, number> {
  const counts = new Map<string, number>();
  for (let i = 0; i < end; i++) counts.set(events[i].entity, (counts.get(events[i].entity) ?? 0) + 1);
  return counts;
}

function judgeClock(item: AppendItem, expected: ExpectedState, added: number, index: StoreIndex): Verdict | null {
  const entityId = index.entities.find(item.entity);
  const sequence = entityId < 0 ? -1 : index.heads.sequence(entityId);
  if (isExpected(expected, (sequence < 0 ? -1 : index.heads.clock(entityId)) + added)) return null;
  const clock = (sequence < 0 ? -1 : newestClock(entityId, sequence, index)) + added;
  if (isExpected(expected, clock)) return null;
  const actual = clock === -1 ? "none" : { clock };
  const asked = expected.kind === "clock" ? { clock: (expected as { clock: number }).clock } : expected.kind;
  const so = clock === -1 ? "it has no events" : `its latest clock is ${clock}`;
  return {
    kind: "refuse",
    metSequence: sequence,
    error: new StoreError("CONFLICT", `Cannot append to ${item.entity}: ${so}, ${describe(asked)} was expected`, {
      entity: item.entity,
      expected: asked,
      actual,
    }),
  };
}

function isExpected(expected: ExpectedState, clock: number): boolean {
  if (expected.kind === "none") return clock === -1;
  return expected.kind === "exists" ? clock >= 0 : clock === (expected as { clock: number }).clock;
}

/** The clock of the entity's newest event: another than its head's where that is one of removed events behind it (`removed-heads`), and has no time. */
function newestClock(entityId: number, sequence: number, index: StoreIndex): number {
  const { heads } = index;
  const found = heads.timeMicros(entityId) === 0 ? index.findBySequence(sequence) : null;
  return found === null ? heads.clock(entityId) : index.indexOf(found.segment).clockAt(found.row);
}

function describe(expected: "none" | "exists" | "noneMatching" | { clock: number }): string {
  if (typeof expected === "object") return `clock ${expected.clock}`;
  return expected === "none" ? "no event" : "at least one event";
}

function judgeCondition(
  request: AppendRequest,
  item: AppendItem,
  expected: Extract<ExpectedState, { kind: "noneMatching" }>,
  index: StoreIndex,
  frames: FrameSource,
): Verdict | null {
  const looked = request.conditions.find((condition) => condition.item === item);
  const from = looked?.checkedTo ?? expected.after + 1;
  const found =
    looked !== undefined && looked.found >= 0 ? looked.found : firstMatch(expected.filters(), from, index.acceptedSequence, index, frames);
  if (found < 0) return null;
  return {
    kind: "refuse",
    metSequence: found,
    error: new StoreError("CONFLICT", `Cannot append to ${item.entity}: event ${found} matches, no matching event was expected`, {
      entity: item.entity,
      expected: expected.expected,
      actual: { sequence: found },
    }),
  };
}

const ROWS = new Uint32Array(64);

/** The sequence of a matching event in `[from, to)`, or -1; blocks until it is known. */
export function firstMatch(filters: readonly SearchFilter[], from: number, to: number, index: StoreIndex, frames: FrameSource): number {
  const search = new RowSearch(index, filters, { from, to, direction: "forward" });
  for (let count = search.next(ROWS); count !== 0; count = search.next(ROWS)) {
    const sequence = confirmedSequence(search, count, index, frames);
    if (sequence >= 0) return sequence;
  }
  return -1;
}

function confirmedSequence(search: RowSearch, count: number, index: StoreIndex, frames: FrameSource): number {
  for (let i = 0; i < count; i++) {
    const segment = search.segment;
    if (segment === null) return -1;
    const segmentIndex = index.indexOf(segment);
    const sequence = segmentIndex.sequenceAt(ROWS[i]);
    if (!search.needsFrames) return sequence;
    const { bytes, view, at } = frames.peek(segment.id, segmentIndex.offsetAt(ROWS[i]));
    if (search.confirms(frames.format, bytes, view, at, sequence)) return sequence;
  }
  return -1;
}
