/** Rows are made only of frames whose place a row can tell: of its offset bit 30 is a flag. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { InvariantError } from "../base/assert.ts";
import { rawEvent } from "../events/definition.ts";
import { FRAME_FLAG } from "../format/native/frame-layout.ts";
import { frameFlags, frameLength } from "../format/native/frame.ts";
import { SEGMENT_HEADER } from "../format/native/segment-header.ts";
import { ActiveSegmentIndex } from "../index/active-segment-index.ts";
import { type SegmentEntry, StoreIndex } from "../index/store-index.ts";
import { Store } from "../store.ts";
import { createMemoryDisk } from "../testing/memory-disk.ts";
import { runOfFrame } from "./frame-walker.ts";
import { pushFrameRow, replayRun } from "./replay.ts";

const LIMIT = 2 ** 30;

async function eventFrame(): Promise<Uint8Array> {
  const disk = createMemoryDisk();
  const store = await Store.open("/s", { disk });
  await store.append({ entity: "e", scope: "s" }, rawEvent(0xf001, 1));
  await store.close();
  const file = await disk.open("/s/000001.fbat", "read");
  const bytes = new Uint8Array(await file.size());
  await file.read(bytes, 0, bytes.length, 0);
  const view = new DataView(bytes.buffer);
  let at: number = SEGMENT_HEADER.bytes;
  while ((frameFlags(view, at) & FRAME_FLAG.system) !== 0) at += frameLength(view, at);
  return bytes.slice(at, at + frameLength(view, at));
}

test("no row is made of a frame behind the first 1 GiB of its segment", async () => {
  const bytes = await eventFrame();
  const view = new DataView(bytes.buffer);
  const nothing = (): never => assert.fail("the log is asked");
  const source = { hasId: nothing, loadIndex: nothing, rebuildIndex: nothing };
  for (const [offset, isTaken] of [
    [LIMIT - 1, true],
    [LIMIT, false],
  ] as const) {
    const index = new StoreIndex(source);
    const rows = new ActiveSegmentIndex(index.entities, index.scopes, 0);
    const segment = { id: 1, generation: 0, frames: 0, index: rows } as unknown as SegmentEntry;
    const target = { index, systemRecord: nothing, lastIssuedId: new Uint8Array(16), events: 0, leavesOut: false };
    const told: string[] = [];
    replayRun(target, segment, runOfFrame(bytes, view, offset), ({ message }) => told.push(message));
    assert.equal(rows.rowCount, isTaken ? 1 : 0);
    assert.equal(told.length, isTaken ? 0 : 1);
    for (const message of told) assert.match(message, /segment 1, offset 1073741824: it stands behind 1073741824 bytes/);

    const other = new StoreIndex(source);
    const merged = new ActiveSegmentIndex(other.entities, other.scopes, 0);
    const push = (): number => pushFrameRow(other, merged, bytes, view, 0, offset, () => -1);
    if (isTaken) assert.equal(merged.offsetAt(push()), offset);
    else assert.throws(push, InvariantError);
  }
});
