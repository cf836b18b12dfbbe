/**
 * What the first rows of a growing segment say together: per entity its first and last row and how many, the scopes, the times. Kept from one
 * checkpoint to the next, so that each looks only at the rows that came since.
 */
import { bytesOfColumn, grownColumn } from "../base/column-bytes.ts";
import type { ActiveColumns } from "./active-columns.ts";
import { type ActiveSegmentParts, ROW_SUMMARY } from "./active-parts.ts";
import { OFFSET_FOREIGN_ID } from "./segment-index.ts";

type SummaryParts = Pick<ActiveSegmentParts, "entityIds" | "firstRows" | "lastRows" | "rowCounts" | "scopeIds" | "summary">;

export class RowSummary {
  /** How many rows have been looked at. */
  rows = 0;
  #entities = 0;
  #entityIds = new Uint32Array(64);
  #firstRows = new Uint32Array(64);
  #lastRows = new Uint32Array(64);
  #rowCounts = new Uint32Array(64);
  readonly #scopes = new Set<number>();
  #timeMin = 0;
  #timeMax = 0;
  #lastTime = Number.NEGATIVE_INFINITY;
  #timeOrdered = true;
  #clockOrdered = true;
  #foreignIds = 0;
  /** The largest of each: what tells how narrow a column may be written. */
  scopeMax = 0;
  clockMax = 0;

  /** Looks at the rows up to `rowCount`. `ordinals` gives each entity's place in the order of first rows, and one. */
  advance(columns: ActiveColumns, rowCount: number, ordinals: Uint32Array): void {
    const { entity, scope, clock, offset, time } = columns;
    let lastScope = -1;
    for (let row = this.rows; row < rowCount; row++) {
      const ordinal = ordinals[entity[row]] - 1;
      if (ordinal >= this.#entities) this.#enter(ordinal, entity[row], row);
      else if (clock[this.#lastRows[ordinal]] >= clock[row]) this.#clockOrdered = false;
      this.#lastRows[ordinal] = row;
      this.#rowCounts[ordinal]++;
      if (scope[row] !== lastScope) {
        lastScope = scope[row];
        this.#scopes.add(lastScope);
        if (lastScope > this.scopeMax) this.scopeMax = lastScope;
      }
      if (clock[row] > this.clockMax) this.clockMax = clock[row];
      if ((offset[row] & OFFSET_FOREIGN_ID) !== 0) this.#foreignIds++;
      if (time[row] < this.#lastTime) this.#timeOrdered = false;
      this.#lastTime = time[row];
      if (row === 0 || this.#lastTime < this.#timeMin) this.#timeMin = this.#lastTime;
      if (this.#lastTime > this.#timeMax) this.#timeMax = this.#lastTime;
    }
    this.rows = Math.max(this.rows, rowCount);
  }

  /** Entities come in the order of their ordinals, since that is the order of their first rows. */
  #enter(ordinal: number, entity: number, row: number): void {
    if (ordinal === this.#entityIds.length) {
      this.#entityIds = grownColumn(this.#entityIds, this.#entityIds.length * 2);
      this.#firstRows = grownColumn(this.#firstRows, this.#firstRows.length * 2);
      this.#lastRows = grownColumn(this.#lastRows, this.#lastRows.length * 2);
      this.#rowCounts = grownColumn(this.#rowCounts, this.#rowCounts.length * 2);
    }
    this.#entities = ordinal + 1;
    this.#entityIds[ordinal] = entity;
    this.#firstRows[ordinal] = row;
  }

  /** For a checkpoint: copies. */
  toParts(): SummaryParts {
    const list = (values: Uint32Array): Uint8Array => bytesOfColumn(values, this.#entities).slice();
    const summary = new Float64Array(ROW_SUMMARY.length);
    summary[ROW_SUMMARY.timeMin] = this.#timeMin;
    summary[ROW_SUMMARY.timeMax] = this.#timeMax;
    summary[ROW_SUMMARY.lastTime] = this.#lastTime;
    summary[ROW_SUMMARY.timeOrdered] = this.#timeOrdered ? 1 : 0;
    summary[ROW_SUMMARY.clockOrdered] = this.#clockOrdered ? 1 : 0;
    summary[ROW_SUMMARY.foreignIds] = this.#foreignIds;
    return {
      entityIds: list(this.#entityIds),
      firstRows: list(this.#firstRows),
      lastRows: list(this.#lastRows),
      rowCounts: list(this.#rowCounts),
      scopeIds: bytesOfColumn(Uint32Array.from(this.#scopes), this.#scopes.size),
      summary: bytesOfColumn(summary, summary.length),
    };
  }
}
