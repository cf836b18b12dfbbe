/** A batch of the original's over several segments, whose process died when a segment had its footer and the next was not there: what others wrote behind it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { GrowingSink } from "../../src/base/byte-sink.ts";
import { encodeFooter } from "../../src/format/batpak03/footer.ts";
import { encodeFrame } from "../../src/format/batpak03/frame.ts";
import { BATCH } from "../../src/format/batpak03/layout.ts";
import { encodeSegmentHeader } from "../../src/format/batpak03/segment.ts";
import { batchMarker, SegmentBuilder } from "../../src/format/batpak03/segment-builder.ts";
import { rawEvent, Store } from "../../src/index.ts";
import { loadHashing } from "../../src/kernel/frame-kernel.ts";
import type { SimulatedDisk } from "../../src/testing/sim-disk.ts";
import { EVENT_MS, eventFields } from "../support/batpak03-events.ts";
import { DIRECTORY, diskWith } from "../support/small-stores.ts";

const CREATED_NS = BigInt(EVENT_MS) * 1_000_000n;
const ITEMS = 2;
const SINGLES = 5;

/** BEGIN and some items. What is not committed stands in no footer. */
function unfinished(size: number, hasFooter = true): Uint8Array {
  const sink = new GrowingSink();
  encodeSegmentHeader(sink, { flags: 0, createdNs: CREATED_NS, segmentId: 1 });
  encodeFrame(sink, batchMarker(BATCH.beginKind, size, 0, EVENT_MS * 1000, EVENT_MS));
  for (let n = 0; n < ITEMS; n++) encodeFrame(sink, eventFields(100 + n));
  return hasFooter ? Buffer.concat([sink.copy(), encodeFooter(sink.position, [])]) : sink.copy();
}

function singles(segmentId: number, count: number, isSealed = true, isBatch = false): Uint8Array {
  const sink = new GrowingSink();
  const builder = new SegmentBuilder(sink, { segmentId, createdNs: CREATED_NS, segmentBytesMax: 65_536 });
  if (isBatch) builder.beginBatch(sink, count, 0, EVENT_MS * 1000 + 1, EVENT_MS);
  for (let n = 0; n < count; n++) builder.append(sink, { ...eventFields(n), timestampUs: EVENT_MS * 1000 + n + 1 }, n);
  if (isBatch) builder.commitBatch(sink, EVENT_MS * 1000 + 1, EVENT_MS);
  return isSealed ? Buffer.concat([sink.copy(), ...builder.seal()]) : sink.copy();
}

/** A reader, a writer, and a reader behind it find the singles, and no damage; the writer goes on behind them. */
async function assertSinglesStand(disk: SimulatedDisk, what: string): Promise<void> {
  for (const options of [{ readOnly: true }, {}, { readOnly: true }]) {
    const store = await Store.open(DIRECTORY, { disk, ...options });
    const events = await store.read({ sequence: { before: SINGLES } }).toArray();
    assert.deepEqual(
      events.map(({ data }) => (data as { n: number }).n),
      [0, 1, 2, 3, 4],
      `${what} ${store.openReport.reasons.join()}`,
    );
    // Of what was never committed, no footer speaks.
    assert.ok((await store.verify()).problems.every(({ code, segmentId }) => code === "INDEX_MISMATCH" && segmentId === 1));
    if (options.readOnly !== true) await store.append({ entity: "later", scope: "s" }, rawEvent(0xf001, 1));
    await store.close();
  }
}

// Found by `npm run interop`: the original was killed there, and the events that it acknowledged when it was started again were dropped with the batch.
test("what stands in a footer behind a batch that was never ended is no rest of it", async () => {
  await loadHashing();
  for (const size of [ITEMS + 1, ITEMS + SINGLES, 20]) {
    for (const isEmptyFirst of [false, true]) {
      const files = new Map([["000001.fbat", unfinished(size)]]);
      if (isEmptyFirst) files.set("000002.fbat", singles(2, 0));
      const last = isEmptyFirst ? 3 : 2;
      files.set(`00000${last}.fbat`, singles(last, SINGLES));
      const disk = diskWith(files);
      await assertSinglesStand(disk, `${size} ${isEmptyFirst}`);
    }
  }
});

// Where it was killed once more there is no footer. The original looks at its clock once for a batch.
test("what is of another time in a segment behind a batch that was never ended is no rest of it", async () => {
  await loadHashing();
  for (const [size, isBatch] of [ITEMS + 1, ITEMS + SINGLES, 20].flatMap((size) => [[size, false] as const, [size, true] as const])) {
    const disk = diskWith(
      new Map([
        ["000001.fbat", unfinished(size)],
        ["000002.fbat", singles(2, SINGLES, false, isBatch)],
      ]),
    );
    await assertSinglesStand(disk, `${size} ${isBatch}`);
  }
});

// Found by a review: each look, and a subscription looks fifty times a second, read the whole store anew.
test("a reader looks only once at a torn end behind a batch that was never ended", async () => {
  await loadHashing();
  // Of the first event behind it: nothing tells yet that it is none of the batch.
  const torn = singles(2, 1, false);
  const disk = diskWith(
    new Map([
      ["000001.fbat", unfinished(20, false)],
      ["000002.fbat", torn.subarray(0, torn.length - 7)],
    ]),
  );
  const reader = await Store.open(DIRECTORY, { disk: disk.asProcess(7), readOnly: true });
  await reader.refresh();
  const before = disk.log.length;
  await reader.refresh();
  const opened = disk.log.slice(before).filter(({ kind, path }) => kind === "open" && path.endsWith(".fbat"));
  assert.deepEqual(opened, []);
  // What comes behind it is looked at all the same.
  disk.put(`${DIRECTORY}/000003.fbat`, singles(3, SINGLES));
  await reader.refresh();
  const anew = await Store.open(DIRECTORY, { disk: disk.asProcess(8), readOnly: true });
  assert.ok((await anew.count()) >= SINGLES);
  assert.equal(await reader.count(), await anew.count());
  await anew.close();
  await reader.close();
});
