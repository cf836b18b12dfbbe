/** What merged segments take: within what was asked for, as it was reckoned, and as the report says. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { CompactOptions } from "../../src/compacting.ts";
import { defineEvent, type } from "../../src/events/definition.ts";
import type { Disk } from "../../src/disk/disk.ts";
import { assertOffsetsFit, type SegmentPlan } from "../../src/log/survey.ts";
import { Store } from "../../src/store.ts";
import { createMemoryDisk } from "../../src/testing/memory-disk.ts";
import { seededRandom } from "../../src/testing/seeded-random.ts";

const DIRECTORY = "/store";
const KIB = 1024;
const Noted = defineEvent("Noted", { schema: type<{ n: number }>() });
const LONG = "x".repeat(1000);

interface Shape {
  readonly name: string;
  readonly events: number;
  readonly entities: number;
  readonly prefix: string;
  /** One of so many events has a key. */
  readonly keyed: number;
  readonly rules: readonly CompactOptions[];
}

const everyThird: CompactOptions["keep"] = ({ data }) => (data as { n: number }).n % 3 === 0;
const everyNinth: CompactOptions["keep"] = ({ data }) => (data as { n: number }).n % 9 === 0;
const SHAPES: readonly Shape[] = [
  { name: "keys and long names", events: 600, entities: 50, prefix: LONG, keyed: 1, rules: [{ keepLast: 1 }] },
  { name: "keys and long names, with gaps", events: 600, entities: 7, prefix: LONG, keyed: 2, rules: [{ keep: everyThird }] },
  { name: "many entities that lose events in every segment", events: 6000, entities: 300, prefix: "e", keyed: 0, rules: [{ keepLast: 2 }] },
  { name: "entities of long names", events: 1500, entities: 100, prefix: LONG, keyed: 0, rules: [{ keepLast: 3 }] },
  { name: "runs of one", events: 4000, entities: 3, prefix: "e", keyed: 0, rules: [{ keep: everyThird }] },
  {
    name: "compacted again and again",
    events: 3000,
    entities: 40,
    prefix: "entity:",
    keyed: 3,
    rules: [{ keep: everyThird }, { keep: everyNinth }, { keepLast: 5 }, { keepLast: 1 }],
  },
];

async function filled(disk: Disk, shape: Shape): Promise<Store> {
  const store = await Store.open(DIRECTORY, { disk, segmentBytesMax: 64 * KIB });
  const random = seededRandom(5);
  const appends: Promise<unknown>[] = [];
  for (let n = 0; n < shape.events; n++) {
    const place = { entity: `${shape.prefix}${Math.floor(random() * shape.entities)}`, scope: shape.prefix };
    const key = shape.keyed > 0 && n % shape.keyed === 0 ? { idempotencyKey: `k${n}` } : {};
    appends.push(store.append(place, Noted({ n }), key));
  }
  await Promise.all(appends);
  return store;
}

async function logBytes(disk: Disk): Promise<number> {
  const names = (await disk.list(DIRECTORY)).filter((name) => name.endsWith(".fbat"));
  const states = await Promise.all(names.map((name) => disk.status(`${DIRECTORY}/${name}`)));
  return states.reduce((sum, state) => sum + (state?.size ?? 0), 0);
}

for (const shape of SHAPES)
  for (const segmentBytesMax of [64 * KIB, 300 * KIB]) {
    test(`merged segments keep to ${segmentBytesMax} bytes: ${shape.name}`, async () => {
      const disk = createMemoryDisk();
      const store = await filled(disk, shape);
      let several = 0;
      for (const rules of shape.rules) {
        const options = { ...rules, segmentBytesMax };
        const before = store.segments();
        const plan = await store.compact({ ...options, dryRun: true });
        const bytesBefore = await logBytes(disk);
        const report = await store.compact(options);
        const after = store.segments();
        assert.equal(report.removedBytes, bytesBefore - (await logBytes(disk)));
        let [replacedBytes, mergedBytes] = [0, 0];
        for (const { from, to } of report.ranges) {
          const merged = after.find(({ id }) => id === from);
          assert.ok(merged !== undefined);
          if (to > from) assert.ok(merged.bytes <= segmentBytesMax, `segments ${from} to ${to} became ${merged.bytes} bytes`);
          if (to > from) several++;
          mergedBytes += merged.bytes;
          for (const { id, bytes } of before) if (id >= from && id <= to) replacedBytes += bytes;
        }
        const reckonedBytes = replacedBytes - plan.removedBytes;
        assert.ok(mergedBytes <= reckonedBytes, `${mergedBytes} bytes, ${reckonedBytes} reckoned`);
        assert.ok(reckonedBytes <= mergedBytes * 1.25 + 2 * KIB * report.ranges.length, `${reckonedBytes} reckoned, ${mergedBytes} bytes`);
      }
      if (segmentBytesMax > 64 * KIB) assert.ok(several > 0, "no segments became one");
      assert.ok((await store.verify()).ok);
      await store.close();
    });
  }

test("where what is recorded takes more than the events did, the report says so", async () => {
  const disk = createMemoryDisk();
  const store = await Store.open(DIRECTORY, { disk, segmentBytesMax: 64 * KIB });
  const place = (n: number): { entity: string; scope: string } => ({ entity: `${LONG}${n >> 1}`, scope: "s" });
  await Promise.all(Array.from({ length: 300 }, (_, n) => store.append(place(n), Noted({ n }), { idempotencyKey: `k${n}` })));
  const { removedEvents, removedBytes } = await store.compact({ keepLast: 1 });
  assert.ok(removedEvents > 100 && removedBytes < 0, `${removedBytes} bytes`);
  await store.close();
});

// The merge went on, and ended in a CORRUPT of a store that was whole: in a row bit 30 of an offset is a flag.
test("a segment that would pass 1 GiB is told before anything is written", () => {
  const segment = { id: 7, firstSequence: 100, nextSequence: 600_000, removedEvents: 500_000 } as SegmentPlan;
  assertOffsetsFit({ segments: [segment], bytes: 2 ** 30 });
  assert.throws(() => assertOffsetsFit({ segments: [segment], bytes: 2 ** 30 + 1 }), {
    code: "TOO_LARGE",
    message:
      /^Cannot compact: segment 7 without 500000 of its events takes .* leave some of its sequences, 100 to 599999, out of the query$/,
  });
});
