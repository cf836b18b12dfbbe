/** The typed arrays behind an active segment index. */
import { startedWith } from "../base/column-bytes.ts";
import type { Columns } from "./segment-index.ts";

export interface ActiveColumns extends Columns {
  /** `idTag` of the event's id. */
  idTag: Uint32Array;
}

export function newColumns(capacity: number): ActiveColumns {
  return {
    entity: new Uint32Array(capacity),
    scope: new Uint32Array(capacity),
    kind: new Uint16Array(capacity),
    clock: new Float64Array(capacity),
    offset: new Uint32Array(capacity),
    time: new Float64Array(capacity),
    correlationTag: new Uint32Array(capacity),
    causationTag: new Uint32Array(capacity),
    idTag: new Uint32Array(capacity),
    sequence: undefined,
  };
}

/** The same rows, with room for `capacity`. */
export function grownColumns(columns: ActiveColumns, capacity: number): ActiveColumns {
  const grown = newColumns(capacity);
  grown.entity.set(columns.entity);
  grown.scope.set(columns.scope);
  grown.kind.set(columns.kind);
  grown.clock.set(columns.clock);
  grown.offset.set(columns.offset);
  grown.time.set(columns.time);
  grown.correlationTag.set(columns.correlationTag);
  grown.causationTag.set(columns.causationTag);
  grown.idTag.set(columns.idTag);
  if (columns.sequence !== undefined) grown.sequence = startedWith(new Float64Array(capacity), columns.sequence);
  return grown;
}
