/** What a repair decides, of logs that would take long to make. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { defineEvent, type } from "./events/definition.ts";
import type { SegmentHeader } from "./format/native/segment-header.ts";
import { SegmentFiles } from "./log/segment-files.ts";
import { type Bounds, lookAtDamage } from "./repair-look.ts";
import { planRepair } from "./repair-plan.ts";
import { Store } from "./store.ts";
import { growth } from "./testing/growth.ts";
import { SimulatedDisk } from "./testing/sim-disk.ts";

const Noted = defineEvent("Noted", { schema: type<{ n: number }>() });
const SEGMENTS = 200_000;

// Found by a review: from some 125,000 segments on a call got more arguments than it can have, and each segment was looked for in a list of them all.
test("a log of very many segments is planned in one pass over them", async () => {
  const disk = new SimulatedDisk();
  const store = await Store.open("/store", { disk });
  for (let n = 0; n < 10; n++) await store.append({ entity: "e", scope: "s" }, Noted({ n }));
  await store.close();
  disk.corrupt("/store/000001.fbat", 300, (byte) => byte ^ 1);
  const files = new SegmentFiles(disk, "/store");
  const log = await lookAtDamage(files, [1]);
  assert(log !== null);
  const header = log.headers.get(1) as SegmentHeader;
  const grown = await growth(SEGMENTS / 8, 8, async (count) => {
    // Behind the damaged one, as many of an event each, of which some are missing.
    const ids = Array.from({ length: count }, (_, i) => i + 1).filter((id) => id === 1 || id % 25 !== 1);
    const opened = new Map<number, Bounds>(log.opened);
    for (const id of ids.slice(1)) opened.set(id, { first: id + 8, next: id + 9, framesEnd: 300, sealed: id < count });
    const headers = new Map(ids.map((id) => [id, id === 1 ? header : { ...header, segmentId: id, firstSequence: id + 8 }]));
    const plan = await planRepair({ ...log, ids, opened, headers });
    assert.equal(plan.places.length, 1 + count - ids.length);
    assert.deepEqual([plan.places[0].next, plan.places[1].first, plan.successor], [10, 34, null]);
  });
  assert.ok(grown < 24, `eight times as many took ${grown.toFixed(1)} times as much`);
  files.closeAll();
});
