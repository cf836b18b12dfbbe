/** The rows of an active segment index as a checkpoint holds them: about 36 bytes a row, in the narrowest columns that fit. */
import { bytesOfColumn, columnFromBytes, columnOfBytes } from "../base/column-bytes.ts";
import type { ActiveColumns } from "./active-columns.ts";

/** Little-endian columns of `rowCount` elements each. */
export interface ActiveSegmentParts {
  readonly rowCount: number;
  readonly firstSequence: number;
  /** u32, the interner's ids. */
  readonly entity: Uint8Array;
  /** u16, or u32 where an id needs it. */
  readonly scope: Uint8Array;
  /** u16. */
  readonly kind: Uint8Array;
  /** u32, or f64 where a clock needs it. */
  readonly clock: Uint8Array;
  /** u32, with flag bits. */
  readonly offset: Uint8Array;
  /** f64, microseconds. */
  readonly time: Uint8Array;
  /** u32. */
  readonly idTag: Uint8Array;
  readonly correlationTag: Uint8Array;
  readonly causationTag: Uint8Array;
  /** f64; null where sequences are dense. */
  readonly sequence: Uint8Array | null;
  /** f64 for each entity, in the order of their first rows: the sequence of its last event before the segment, or -1. */
  readonly previousSequences: Uint8Array;
  /** What follows from the rows, so that loading need not look at any: u32 for each entity, in the order of their first rows. */
  readonly entityIds: Uint8Array;
  readonly firstRows: Uint8Array;
  readonly lastRows: Uint8Array;
  readonly rowCounts: Uint8Array;
  /** u32, in the order of their first rows. */
  readonly scopeIds: Uint8Array;
  /** f64: `ROW_SUMMARY`. */
  readonly summary: Uint8Array;
}

/** Places in `summary`. `row-summary` makes it. */
export const ROW_SUMMARY = { timeMin: 0, timeMax: 1, lastTime: 2, timeOrdered: 3, clockOrdered: 4, foreignIds: 5, length: 6 } as const;

/** Lists of so many bytes, a word for each entity, make each step as long as one may be. */
const LONG_LIST_BYTES = 128 * 1024;

/** The columns, and each entity's `previousSequences`; null where the parts cannot be right. In steps, where entities are many. */
export function* checkedColumns(
  parts: ActiveSegmentParts,
  entityLimit: number,
  scopeLimit: number,
): Generator<undefined, { readonly columns: ActiveColumns; readonly previous: Float64Array } | null> {
  const rows = parts.rowCount;
  const isLong = parts.entityIds.length >= LONG_LIST_BYTES;
  if (!isCount(parts.firstSequence) || !isCount(rows) || parts.entity.length !== rows * 4) return null;
  if (isLong) yield;
  if (!isSummary(parts, entityLimit, scopeLimit)) return null;
  if (isLong) yield;
  const columns = columnsOfParts(parts);
  const previous = new Float64Array(parts.previousSequences.length >>> 3);
  if (columns === null || !columnFromBytes(previous, parts.previousSequences, previous.length)) return null;
  if (columns.sequence !== undefined && (rows === 0 || columns.sequence[0] !== parts.firstSequence)) return null;
  if (isLong) yield;
  for (const sequence of previous) if (!Number.isSafeInteger(sequence) || sequence < -1) return null;
  return { columns, previous };
}

/** Whether a summary can be that of so many rows. The rows themselves are not looked at: the checkpoint's CRC speaks for them. */
function isSummary(parts: ActiveSegmentParts, entityLimit: number, scopeLimit: number): boolean {
  const { rowCount } = parts;
  const entities = parts.previousSequences.length / 8;
  const lists = [parts.entityIds, parts.firstRows, parts.lastRows, parts.rowCounts];
  if (
    lists.some((list) => list.length !== entities * 4) ||
    parts.summary.length !== ROW_SUMMARY.length * 8 ||
    parts.scopeIds.length % 4 !== 0
  ) {
    return false;
  }
  const [ids, first, last, counts] = lists.map((list) => new Uint32Array(list.slice().buffer));
  let rows = 0;
  for (let ordinal = 0; ordinal < entities; ordinal++) {
    if (ids[ordinal] >= entityLimit || first[ordinal] > last[ordinal] || last[ordinal] >= rowCount || counts[ordinal] === 0) return false;
    rows += counts[ordinal];
  }
  return rows === rowCount && new Uint32Array(parts.scopeIds.slice().buffer).every((scope) => scope < scopeLimit);
}

type ColumnPartName = "entity" | "scope" | "kind" | "clock" | "offset" | "time" | "idTag" | "correlationTag" | "causationTag" | "sequence";

/**
 * The first `rowCount` rows. Mostly views: rows that are there never change, and columns that grow are replaced, not moved, so the views stay
 * right while they are written. `scopeMax` and `clockMax`: no row has more.
 */
export function partsOfColumns(
  columns: ActiveColumns,
  rowCount: number,
  scopeMax: number,
  clockMax: number,
): Pick<ActiveSegmentParts, "rowCount" | ColumnPartName> {
  const view = (column: Uint16Array | Uint32Array | Float64Array): Uint8Array => bytesOfColumn(column, rowCount);
  const scope = columns.scope.subarray(0, rowCount);
  const clock = columns.clock.subarray(0, rowCount);
  return {
    rowCount,
    entity: view(columns.entity),
    scope: scopeMax > 0xffff ? view(scope) : bytesOfColumn(new Uint16Array(scope), rowCount),
    kind: view(columns.kind),
    clock: clockMax > 0xffff_ffff ? view(clock) : bytesOfColumn(new Uint32Array(clock), rowCount),
    offset: view(columns.offset),
    time: view(columns.time),
    idTag: view(columns.idTag),
    correlationTag: view(columns.correlationTag),
    causationTag: view(columns.causationTag),
    sequence: columns.sequence === undefined || rowCount === 0 ? null : view(columns.sequence),
  };
}

/** The columns of these parts, with room for their rows alone, where they lie if they can; null when lengths or sequences cannot be right. */
function columnsOfParts(parts: ActiveSegmentParts): ActiveColumns | null {
  const rows = parts.rowCount;
  const wideScope = parts.scope.length === rows * 4;
  const wideClock = parts.clock.length === rows * 8;
  const columns = {
    entity: columnOfBytes(Uint32Array, parts.entity, rows),
    scope: wideScope ? columnOfBytes(Uint32Array, parts.scope, rows) : widened(Uint32Array, columnOfBytes(Uint16Array, parts.scope, rows)),
    kind: columnOfBytes(Uint16Array, parts.kind, rows),
    clock: wideClock
      ? columnOfBytes(Float64Array, parts.clock, rows)
      : widened(Float64Array, columnOfBytes(Uint32Array, parts.clock, rows)),
    offset: columnOfBytes(Uint32Array, parts.offset, rows),
    time: columnOfBytes(Float64Array, parts.time, rows),
    correlationTag: columnOfBytes(Uint32Array, parts.correlationTag, rows),
    causationTag: columnOfBytes(Uint32Array, parts.causationTag, rows),
    idTag: columnOfBytes(Uint32Array, parts.idTag, rows),
    sequence: parts.sequence === null ? undefined : columnOfBytes(Float64Array, parts.sequence, rows),
  };
  if (Object.values(columns).some((column) => column === null)) return null;
  const { sequence } = columns;
  return sequence === undefined || sequence === null || sequencesAscend(sequence, rows) ? (columns as ActiveColumns) : null;
}

function widened<Wide>(Kind: new (values: ArrayLike<number>) => Wide, narrow: ArrayLike<number> | null): Wide | null {
  return narrow === null ? null : new Kind(narrow);
}

function sequencesAscend(sequence: Float64Array, rows: number): boolean {
  for (let row = 0; row < rows; row++) if (!isCount(sequence[row]) || (row > 0 && sequence[row] <= sequence[row - 1])) return false;
  return true;
}

function isCount(value: number): boolean {
  return value >= 0 && Number.isSafeInteger(value);
}
