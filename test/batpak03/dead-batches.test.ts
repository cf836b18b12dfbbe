/** A batch of the original's over several segments, whose process died when a segment had its footer and the next was not there: what others wrote behind it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { GrowingSink } from "../../src/base/byte-sink.ts";
import { encodeFooter } from "../../src/format/batpak03/footer.ts";
import { encodeFrame, type FrameFields } from "../../src/format/batpak03/frame.ts";
import { BATCH } from "../../src/format/batpak03/layout.ts";
import { encodeSegmentHeader } from "../../src/format/batpak03/segment.ts";
import { batchMarker, SegmentBuilder } from "../../src/format/batpak03/segment-builder.ts";
import { rawEvent, Store } from "../../src/index.ts";
import { blake3, loadHashing } from "../../src/kernel/frame-kernel.ts";
import { DIRECTORY, diskWith } from "../support/small-stores.ts";

const MS = 1_700_000_000_000;
const CREATED_NS = BigInt(MS) * 1_000_000n;
const ITEMS = 2;
const SINGLES = 5;

/** An event of an entity of its own. */
function fieldsOf(n: number): FrameFields {
  const id = new Uint8Array(16).fill(n + 1);
  const payload = Uint8Array.of(0x81, 0xa1, 0x6e, n);
  const contentHash = Uint8Array.from(blake3(payload));
  const names = { entity: `e${n}`, scope: "s", payloadForm: "bytes", payload, payloadSize: payload.length } as const;
  const numbers = { timestampUs: MS * 1000, wallMs: MS, clock: 0, counter: 0, depth: 0, lane: 0, eventKind: 0xf001, flags: 0 };
  const ids = { eventId: id, correlationId: id, causationId: null };
  return { ...names, ...numbers, ...ids, contentHash, hashChain: { prevHash: new Uint8Array(32), eventHash: contentHash } };
}

/** BEGIN and some items. What is not committed stands in no footer. */
function unfinished(size: number): Uint8Array {
  const sink = new GrowingSink();
  encodeSegmentHeader(sink, { flags: 0, createdNs: CREATED_NS, segmentId: 1 });
  encodeFrame(sink, batchMarker(BATCH.beginKind, size, 0, MS * 1000, MS));
  for (let n = 0; n < ITEMS; n++) encodeFrame(sink, fieldsOf(100 + n));
  return Buffer.concat([sink.copy(), encodeFooter(sink.position, [])]);
}

function singles(segmentId: number, count: number, isSealed = true, isBatch = false): Uint8Array {
  const sink = new GrowingSink();
  const builder = new SegmentBuilder(sink, { segmentId, createdNs: CREATED_NS, segmentBytesMax: 65_536 });
  if (isBatch) builder.beginBatch(sink, count, 0, MS * 1000 + 1, MS);
  for (let n = 0; n < count; n++) builder.append(sink, { ...fieldsOf(n), timestampUs: MS * 1000 + n + 1 }, n);
  if (isBatch) builder.commitBatch(sink, MS * 1000 + 1, MS);
  return isSealed ? Buffer.concat([sink.copy(), ...builder.seal()]) : sink.copy();
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
      for (const options of [{ readOnly: true }, {}, { readOnly: true }]) {
        const store = await Store.open(DIRECTORY, { disk, ...options });
        const events = await store.read({ sequence: { before: SINGLES } }).toArray();
        assert.deepEqual(
          events.map(({ data }) => (data as { n: number }).n),
          [0, 1, 2, 3, 4],
          `${size} ${isEmptyFirst} ${store.openReport.reasons.join()}`,
        );
        // Of what was never committed, no footer speaks.
        assert.ok((await store.verify()).problems.every(({ code, segmentId }) => code === "INDEX_MISMATCH" && segmentId === 1));
        if (options.readOnly !== true) await store.append({ entity: "later", scope: "s" }, rawEvent(0xf001, 1));
        await store.close();
      }
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
    for (const options of [{ readOnly: true }, {}, { readOnly: true }]) {
      const store = await Store.open(DIRECTORY, { disk, ...options });
      const events = await store.read({ sequence: { before: SINGLES } }).toArray();
      assert.deepEqual(
        events.map(({ data }) => (data as { n: number }).n),
        [0, 1, 2, 3, 4],
        `${size} ${isBatch} ${store.openReport.reasons.join()}`,
      );
      assert.ok((await store.verify()).problems.every(({ code, segmentId }) => code === "INDEX_MISMATCH" && segmentId === 1));
      if (options.readOnly !== true) await store.append({ entity: "later", scope: "s" }, rawEvent(0xf001, 1));
      await store.close();
    }
  }
});
