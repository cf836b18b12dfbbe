/**
 * Damage to stores whose segments were compacted, one thing at a time. Held for each: what repair leaves opens for writing and needs no second repair; it has
 * every event that is whole, gives no sequence twice, and answers a retry of a removed batch with the first receipts, as long as the frame that tells of
 * that batch is whole; `verify` tells of nothing but what was lost, and the plan says where retries are answered no more.
 * `BATPAK_TEST_LONG=1` flips every byte.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { BatchItem } from "../../src/events/append-types.ts";
import type { Receipt } from "../../src/events/event.ts";
import { formatId } from "../../src/events/id.ts";
import { nativeFrames } from "../../src/format/native/frame-format.ts";
import { readBatches, readSequences, retentionSort } from "../../src/format/native/retention.ts";
import { defineEvent, type } from "../../src/events/definition.ts";
import { repairStore } from "../../src/repair.ts";
import { Store } from "../../src/store.ts";
import { seededRandom } from "../../src/testing/seeded-random.ts";
import { SimulatedDisk } from "../../src/testing/sim-disk.ts";
import { DIRECTORY, diskWith, type Files, filesOf } from "../support/small-stores.ts";
import { type Damage, damages, type FrameSpan, framesOf, readEvents, retentionFramesOf, WAYS } from "./damage-ways.ts";

/** Its kind is no system record's, which damage may take. */
const Noted = defineEvent("Noted", { kind: 0x1001, schema: type<{ n: number; text: string }>() });
const LONG = process.env.BATPAK_TEST_LONG === "1";
const EVENTS = 240;

interface Compacted {
  readonly files: Files;
  readonly events: ReadonlyMap<number, string>;
  readonly spans: readonly FrameSpan[];
  /** The frames of what was removed, and the ids that the rows in each have. */
  readonly record: readonly { readonly span: FrameSpan; readonly sort: unknown; readonly ids: ReadonlySet<string> }[];
  /** Batches with keys that were removed, and their receipts. */
  readonly removed: readonly { readonly items: readonly BatchItem[]; readonly receipts: readonly Receipt[] }[];
  readonly removedSequences: ReadonlySet<number>;
  /** Whether every batch has a key: then the rows tell all that was removed. */
  readonly allKeyed: boolean;
}

/** Three segments that became one and end in removed events, one as it was, two that became one and were compacted again, and some as they were. */
async function compacted(isKeyed: (batch: number) => boolean): Promise<Compacted> {
  const disk = new SimulatedDisk();
  let nowMicros = 1_700_000_000_000_000;
  const clock = { nowMicros: (): number => (nowMicros += 700), monotonicMs: (): number => nowMicros / 1000 };
  const store = await Store.open(DIRECTORY, { disk, clock, segmentBytesMax: 4096 });
  const batches: { readonly items: readonly BatchItem[]; readonly receipts: readonly Receipt[] }[] = [];
  for (let batch = 0, n = 0; n < EVENTS; batch++) {
    const items = Array.from({ length: batch % 4 === 0 ? 3 : 1 }, (): BatchItem => {
      const key = isKeyed(batch) ? { idempotencyKey: `k${n}` } : {};
      return {
        coordinate: { entity: `e${n % 5}`, scope: n % 3 === 0 ? "s" : "straße" },
        event: Noted({ n: n++, text: "worth keeping" }),
        ...key,
      };
    });
    batches.push({ items, receipts: await store.appendBatch(items) });
  }
  const segments = store.segments();
  assert(segments.length > 8);
  const end = segments[2].nextSequence - 1;
  const { firstSequence, nextSequence } = segments[4];
  await store.compact({
    query: [{ sequence: { from: 9, to: end } }, { sequence: { from: firstSequence, to: nextSequence - 9 } }],
    keep: ({ sequence }) => sequence % 17 === 0 && sequence < end - 9,
  });
  await store.compact({ query: { sequence: { from: nextSequence - 9, to: segments[5].nextSequence - 3 } } });
  assert.deepEqual(
    store
      .segments()
      .map(({ id, generation }) => [id, generation])
      .slice(0, 4),
    [
      [1, 1],
      [4, 0],
      [5, 3],
      [7, 0],
    ],
  );
  await store.close();
  const files = filesOf(disk);
  const events = await readEvents(await Store.open(DIRECTORY, { disk, readOnly: true }), new Map());
  const removedSequences = new Set<number>();
  const record = retentionFramesOf(files).map((span) => {
    const bytes = (files.get(span.file) as Uint8Array).slice();
    const payload = nativeFrames.payload(bytes, new DataView(bytes.buffer), span.from);
    const sort = retentionSort(payload);
    if (sort === "sequences") for (const [from, to] of readSequences(payload)) for (let at = from; at <= to; at++) removedSequences.add(at);
    return {
      span,
      sort,
      ids: new Set(sort === "batches" ? readBatches(payload).flatMap((rows) => rows.map(({ id }) => formatId(id, 0))) : []),
    };
  });
  const removed = batches.filter(({ items, receipts }) => items[0].idempotencyKey !== undefined && !events.has(receipts[0].sequence));
  assert(removed.length > 8 && removedSequences.size > 60, `${removed.length} batches, ${removedSequences.size} events`);
  return {
    files,
    events,
    spans: framesOf(files),
    record,
    removed,
    removedSequences,
    allKeyed: batches.every(({ items }) => items[0].idempotencyKey !== undefined),
  };
}

/** What `verify` tells of events that are not there. */
const OF_EVENTS = ["LOST_EVENTS", "SEQUENCE_GAP"];

async function repairs(store: Compacted, damage: Damage): Promise<boolean> {
  const { about } = damage;
  const damaged = new Map(store.files);
  damage.apply(damaged);
  const disk = diskWith(damaged);
  const touched = store.record.filter(({ span }) => damage.touches(span));
  const lost = new Set(store.spans.filter((span) => damage.touches(span)).map(({ sequence }) => sequence));
  const report = await repairStore(DIRECTORY, { disk, apply: true });
  assert.deepEqual((await repairStore(DIRECTORY, { disk })).actions, [], `${about}: is to be repaired again`);
  const opened = await Store.open(DIRECTORY, { disk });
  const events = await readEvents(opened, new Map());
  for (const [sequence, event] of store.events)
    if (!lost.has(sequence)) assert.equal(events.get(sequence), event, `${about}: event ${sequence}`);
  for (const [sequence, event] of events) assert.equal(event, store.events.get(sequence), `${about}: event ${sequence} was never appended`);
  const { problems } = await opened.verify();
  // Which sequences were removed shows in the events that are left, as long as none of these is lost; and rows with keys tell everything.
  const repeated = ["summary", "batches", "keys", ...(lost.size === 0 ? ["sequences"] : [])];
  const isTold = touched.length === 0 || (touched.length === 1 && (store.allKeyed || repeated.includes(String(touched[0].sort))));
  // A bad index block or checkpoint is no damage: the store is read without it.
  const ofIndex = report.applied ? [] : ["INDEX_MISMATCH", "INDEX_UNUSABLE", "CHECKPOINT_MISMATCH"];
  const allowed = [...ofIndex, ...(lost.size > 0 ? OF_EVENTS : []), ...(isTold ? [] : [...OF_EVENTS, "RETENTION_MISMATCH"])];
  assert.deepEqual(
    problems.filter(({ code }) => !allowed.includes(code)),
    [],
    about,
  );
  const goneIds = new Set(touched.flatMap(({ ids }) => [...ids]));
  const says = report.actions.some(({ message }) => message.includes("appends them again"));
  assert(goneIds.size === 0 || says, `${about}: ${JSON.stringify(report.actions)}`);
  if (touched.length === 0 && lost.size === 0) assert(!says, `${about}: ${JSON.stringify(report.actions)}`);
  for (const { items, receipts } of store.removed) {
    if (receipts.some(({ id }) => goneIds.has(id))) continue;
    const again = await opened.appendBatch(items);
    assert.deepEqual(
      again.map(({ id, sequence, clock, hash }) => [id, sequence, clock, hash]),
      receipts.map(({ id, sequence, clock, hash }) => [id, sequence, clock, hash]),
      `${about}: retry`,
    );
  }
  const { sequence } = await opened.append({ entity: "after", scope: "s" }, Noted({ n: -1, text: "goes on" }));
  assert(!events.has(sequence) && !store.removedSequences.has(sequence), `${about}: sequence ${sequence} is given twice`);
  await opened.close();
  assert.deepEqual((await repairStore(DIRECTORY, { disk })).problems, [], `${about}: after an append`);
  return report.applied;
}

/** Two things at a time. */
function both(one: Damage, other: Damage): Damage {
  return {
    ...one,
    about: `${one.about}, ${other.about}`,
    touches: (span) => one.touches(span) || other.touches(span),
    apply(files) {
      one.apply(files);
      other.apply(files);
    },
  };
}

let total = 0;

for (const [name, isKeyed] of [
  ["keys everywhere", () => true],
  ["a key here and there", (batch: number) => batch % 3 === 1],
] as const) {
  test(`a repair of compacted segments, ${name}`, async () => {
    const store = await compacted(isKeyed);
    for (const way of WAYS) {
      let [stores, repaired] = [0, 0];
      for (const damage of damages(store.files, way, LONG ? (way === "cut" ? 7 : 1) : way === "cut" ? 401 : 211)) {
        stores++;
        if (await repairs(store, damage)) repaired++;
      }
      console.log(`${way}: ${stores} stores, ${repaired} of them repaired`);
      total += stores;
    }
    const seed = Number(process.env.BATPAK_SEED ?? 1);
    const choose = seededRandom(seed);
    const touches = (damage: Damage): boolean =>
      damage.field === "segment header" || [...store.spans, ...store.record.map(({ span }) => span)].some((span) => damage.touches(span));
    const single = [...damages(store.files, "flip", 23), ...damages(store.files, "zero", 1), ...damages(store.files, "delete", 1)].filter(
      touches,
    );
    const any = (): Damage => single[Math.floor(choose() * single.length)];
    const pairs = LONG ? 5000 : 100;
    for (let pair = 0; pair < pairs; pair++) await repairs(store, both(any(), any()));
    console.log(`two at a time: ${pairs} stores (BATPAK_SEED=${seed})`);
    total += pairs;
  });
}

test("how many", () => {
  console.log(`damage to compacted segments: ${total} damaged stores tried`);
});
