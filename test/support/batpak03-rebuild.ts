/** What rebuilding the fixtures of the original takes: what their rows of truth do not say by themselves. */
import assert from "node:assert/strict";
import { decode } from "@msgpack/msgpack";
import type { FixtureRow } from "./batpak03-fixtures.ts";

/** The clock of the process that wrote the fixtures went on by this much at each look. */
export const TICK_US = 400;
export const CREATED_NS = 1_700_000_000_000_000_000n;
/** A marker's frame in these fixtures: what the offsets of the rows leave free. */
const MARKER_BYTES = 309;

/** The rows of truth give a payload's keys sorted; this is how the original's struct had them. Its hash tells whether it is right. */
export function reorderRecord(payload: Uint8Array): Uint8Array {
  const record = decode(payload);
  if (typeof record !== "object" || record === null || !("zeta" in record)) return payload;
  const slices = new Map<string, Uint8Array>();
  let at = 1;
  for (const key of Object.keys(record)) {
    // Every value ends where the next key's text begins.
    const next = Object.keys(record)[slices.size + 1];
    const end =
      next === undefined
        ? payload.length
        : Buffer.from(payload).indexOf(Buffer.from([0xa0 | next.length, ...Buffer.from(next)]), at + 1 + key.length);
    slices.set(key, payload.subarray(at, end));
    at = end;
  }
  const order = ["zeta", "name", "amount", "ratio", "flag", "none", "tags"];
  return Buffer.concat([payload.subarray(0, 1), ...order.map((key) => slices.get(key) ?? assert.fail(key))]);
}

export interface Append {
  readonly batch: boolean;
  readonly rows: FixtureRow[];
}

/** The rows as appends: single ones, and batches, told from the room that the markers left. */
export function appendsOf(rows: readonly FixtureRow[]): Append[] {
  const appends: Append[] = [];
  let open = false;
  let end = 57;
  for (const row of rows) {
    let markers = row.segment_id === 1 && row.offset > end ? (row.offset - end) / MARKER_BYTES : 0;
    end = row.offset + row.length;
    if (open && markers > 0) {
      open = false;
      markers--;
    }
    if (markers > 0) open = true;
    if (open && markers === 0) appends[appends.length - 1].rows.push(row);
    else appends.push({ batch: open, rows: [row] });
  }
  return appends;
}
