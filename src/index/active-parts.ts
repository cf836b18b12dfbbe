/** The rows of an active segment index as a checkpoint holds them: about 36 bytes a row, in the narrowest columns that fit. */
import { bytesOfColumn, columnFromBytes } from "../base/column-bytes.ts";
import { type ActiveColumns, newColumns } from "./active-columns.ts";

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
}

/** Copies of the first `rowCount` rows. */
export function partsOfColumns(columns: ActiveColumns, rowCount: number): Omit<ActiveSegmentParts, "firstSequence" | "previousSequences"> {
  const copy = (column: Uint16Array | Uint32Array | Float64Array): Uint8Array => bytesOfColumn(column, rowCount).slice();
  let scopeMax = 0;
  let clockMax = 0;
  for (let row = 0; row < rowCount; row++) {
    if (columns.scope[row]! > scopeMax) scopeMax = columns.scope[row]!;
    if (columns.clock[row]! > clockMax) clockMax = columns.clock[row]!;
  }
  const scope = columns.scope.subarray(0, rowCount);
  const clock = columns.clock.subarray(0, rowCount);
  return {
    rowCount,
    entity: copy(columns.entity),
    scope: scopeMax > 0xffff ? copy(scope) : bytesOfColumn(new Uint16Array(scope), rowCount),
    kind: copy(columns.kind),
    clock: clockMax > 0xffff_ffff ? copy(clock) : bytesOfColumn(new Uint32Array(clock), rowCount),
    offset: copy(columns.offset),
    time: copy(columns.time),
    idTag: copy(columns.idTag),
    correlationTag: copy(columns.correlationTag),
    causationTag: copy(columns.causationTag),
    sequence: columns.sequence === undefined || rowCount === 0 ? null : copy(columns.sequence),
  };
}

/** Columns of copied parts, with room for `capacity` rows; null when lengths or numbers cannot be right. */
export function columnsOfParts(parts: ActiveSegmentParts, entityLimit: number, scopeLimit: number, capacity: number): ActiveColumns | null {
  const rows = parts.rowCount;
  const columns = newColumns(capacity);
  const wideScope = parts.scope.length === rows * 4;
  const wideClock = parts.clock.length === rows * 8;
  const narrowScope = new Uint16Array(wideScope ? 0 : rows);
  const narrowClock = new Uint32Array(wideClock ? 0 : rows);
  if (parts.sequence !== null) columns.sequence = new Float64Array(capacity);
  const copied =
    columnFromBytes(columns.entity, parts.entity, rows) &&
    columnFromBytes(wideScope ? columns.scope : narrowScope, parts.scope, rows) &&
    columnFromBytes(columns.kind, parts.kind, rows) &&
    columnFromBytes(wideClock ? columns.clock : narrowClock, parts.clock, rows) &&
    columnFromBytes(columns.offset, parts.offset, rows) &&
    columnFromBytes(columns.time, parts.time, rows) &&
    columnFromBytes(columns.idTag, parts.idTag, rows) &&
    columnFromBytes(columns.correlationTag, parts.correlationTag, rows) &&
    columnFromBytes(columns.causationTag, parts.causationTag, rows) &&
    (columns.sequence === undefined || parts.sequence === null || columnFromBytes(columns.sequence, parts.sequence, rows));
  if (!copied) return null;
  if (!wideScope) columns.scope.set(narrowScope);
  if (!wideClock) columns.clock.set(narrowClock);
  return areWithin(columns, rows, entityLimit, scopeLimit, wideClock) ? columns : null;
}

function areWithin(columns: ActiveColumns, rows: number, entityLimit: number, scopeLimit: number, wideClock: boolean): boolean {
  const { entity, scope, clock, time, sequence } = columns;
  let within = true;
  for (let row = 0; row < rows; row++) {
    within &&= entity[row]! < entityLimit && scope[row]! < scopeLimit && time[row]! >= 0 && time[row]! <= Number.MAX_SAFE_INTEGER;
  }
  if (wideClock) for (let row = 0; row < rows; row++) within &&= isCount(clock[row]!);
  if (sequence !== undefined) {
    for (let row = 0; row < rows; row++) within &&= isCount(sequence[row]!) && (row === 0 || sequence[row]! > sequence[row - 1]!);
  }
  return within;
}

function isCount(value: number): boolean {
  return value >= 0 && Number.isSafeInteger(value);
}
