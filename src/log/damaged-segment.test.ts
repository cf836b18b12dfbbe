/** What is made of a damaged segment, and that making it holds nobody up. What comes of repairs is in `repair*.test.ts`. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { segmentSeed } from "../format/native/frame.ts";
import { decodeSegmentHeader, SEGMENT_HEADER } from "../format/native/segment-header.ts";
import { Store } from "../store.ts";
import { SimulatedDisk } from "../testing/sim-disk.ts";
import { turnsDuring } from "../testing/turn-counter.ts";
import { readDamagedSegment, rebuildSegment } from "./damaged-segment.ts";

const PATH = "/store/000001.fbat";
const EVENTS = 20_000;

// Found by a review: a segment of 64 MiB was written anew within one turn, of half a second.
test("a segment is written anew in many turns, and is what it was where nothing is damaged", async () => {
  const disk = new SimulatedDisk();
  const store = await Store.open("/store", { disk, checkpoint: false });
  for (let n = 0; n < EVENTS; n += 1000)
    await store.append(
      { entity: "e", scope: "s" },
      Array.from({ length: 1000 }, (_, i) => ({ kind: 0x1001, data: n + i })),
    );
  await store.close();
  const outcome = decodeSegmentHeader(disk.bytesOf(PATH).slice(0, SEGMENT_HEADER.bytes));
  assert.equal(outcome.kind, "ok");
  if (outcome.kind !== "ok") return;
  const { header } = outcome;
  const { bytes, frames, events } = await readDamagedSegment(disk, PATH, segmentSeed(header.storeId, 1));
  assert.deepEqual([frames.length, events.length], [EVENTS, EVENTS]);
  let made: Uint8Array = new Uint8Array();
  const turns = await turnsDuring(async () => {
    made = await rebuildSegment({ bytes, frames, header, record: null, nextSequence: null });
  });
  assert.ok(turns >= 5, `${turns} turns`);
  assert.equal(made.length, bytes.length);
  disk.put(PATH, made);
  const again = await Store.open("/store", { disk });
  assert.deepEqual((await again.verify()).problems, []);
  assert.equal(await again.count(), EVENTS);
  await again.close();
});
