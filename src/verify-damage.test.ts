/** Verification, on real stores whose bytes are changed behind their backs. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { isStoreError } from "./base/store-error.ts";
import { defineEvent, type } from "./events/definition.ts";
import { Store } from "./store.ts";
import { SimulatedDisk } from "./testing/sim-disk.ts";

const Noted = defineEvent("Noted", { schema: type<{ n: number; text: string }>() });

async function makeStore(disk: SimulatedDisk, events: number, segmentBytesMax = 65_536): Promise<void> {
  const store = await Store.open("/store", { disk, segmentBytesMax });
  for (let n = 0; n < events; n += 10) {
    await store.appendBatch(
      Array.from({ length: 10 }, (_, more) => ({
        coordinate: { entity: `e${(n + more) % 7}`, scope: "s" },
        event: Noted({ n: n + more, text: "something worth keeping" }),
      })),
    );
  }
  await store.close();
}

test("a sound store verifies, with its checkpoint, sealed segments and progress", async () => {
  const disk = new SimulatedDisk();
  await makeStore(disk, 1000);
  const store = await Store.open("/store", { disk, readOnly: true });
  const seen: number[] = [];
  const report = await store.verify({ onProgress: ({ events }) => seen.push(events) });
  assert.deepEqual(report.problems, []);
  assert.equal(report.ok, true);
  assert.equal(report.events, 1000);
  assert.equal(report.entities, 7);
  assert(seen.length > 2 && (await store.stats()).segments > 2);
  await store.close();
});

test("every byte of a small log, flipped: found by opening or verifying, or part of what the index rebuilds", async () => {
  const disk = new SimulatedDisk();
  await makeStore(disk, 20);
  const path = "/store/000001.fbat";
  const bytes = disk.bytesOf(path);
  let found = 0;
  for (let at = 0; at < bytes.length; at++) {
    disk.corrupt(path, at, (byte) => byte ^ 0x40);
    try {
      const store = await Store.open("/store", { disk, readOnly: true });
      const { ok, problems } = await store.verify();
      assert.equal(ok, problems.length === 0);
      if (!ok) found++;
      await store.close();
    } catch (error) {
      // A flipped magic: the file could be another program's.
      assert(isStoreError(error, "CORRUPT") && at < 8, String(error));
      found++;
    }
    disk.corrupt(path, at, (byte) => byte ^ 0x40);
  }
  console.log(`${found} of ${bytes.length} flipped bytes found`);
  assert.equal(found, bytes.length);
});

test("damage is named with its place, and what lies behind it is still looked at", async () => {
  const disk = new SimulatedDisk();
  await makeStore(disk, 1000);
  const path = "/store/000001.fbat";
  disk.corrupt(path, 30_000, (byte) => byte ^ 1);
  const store = await Store.open("/store", { disk, readOnly: true });
  const report = await store.verify();
  assert.equal(report.ok, false);
  const [first] = report.problems;
  assert.equal(first.code, "FRAME_DAMAGED");
  assert.equal(first.segmentId, 1);
  assert(first.offset !== undefined && first.offset <= 30_000 && first.offset > 29_000);
  assert(report.problems.some((problem) => problem.code === "LOST_EVENTS" && problem.entity !== undefined));
  assert(report.events >= 980);
  await store.close();
});

// Found by the crash runs, which verify what recovery leaves: both were told as damage.
test("a checkpoint of a store without events fits, whatever is appended after it, and a name without events is no entity", async () => {
  const disk = new SimulatedDisk();
  const store = await Store.open("/store", { disk });
  await Promise.all([store.append({ entity: "first", scope: "s" }, Noted({ n: 1, text: "" })), store.checkpoint()]);
  await store.append({ entity: "second", scope: "s" }, Noted({ n: 2, text: "" }));
  const killed = disk.diskAfterKill();
  for (const [left, events] of [
    [killed, 2],
    [disk.diskAfterCrash(), 2],
  ] as const) {
    const opened = await Store.open("/store", { disk: left });
    assert.deepEqual((await opened.verify()).problems, []);
    assert.equal(await opened.count(), events);
    await opened.close();
  }
  await assert.rejects(store.append({ entity: "never", scope: "s" }, Noted({ n: 3, text: "" }), { expect: "exists" }), {
    code: "CONFLICT",
  });
  await store.close();
  const again = await Store.open("/store", { disk });
  assert.deepEqual((await again.verify()).problems, []);
  await again.close();
});

// Found with the command line: the index block went with the frames before it, and what was left of them was read as if it were all.
test("a sealed segment that is cut short is damage to whoever opens the store, though its checkpoint is whole", async () => {
  const disk = new SimulatedDisk();
  await makeStore(disk, 1000);
  const path = "/store/000001.fbat";
  disk.put(path, disk.bytesOf(path).slice(0, 30_000));
  await assert.rejects(Store.open("/store", { disk }), (error) => isStoreError(error, "CORRUPT") && error.details.segmentId === 1);
  const store = await Store.open("/store", { disk, readOnly: true });
  assert(
    store.openReport.reasons.some((reason) => reason.includes("segment 1 is shorter")),
    store.openReport.reasons.join("\n"),
  );
  assert.deepEqual(
    store.openReport.problems.map(({ code, segmentId }) => ({ code, segmentId })),
    [{ code: "DAMAGED", segmentId: 1 }],
  );
  const left = await store.count();
  assert(left > 700 && left < 1000 && (await store.read().toArray()).length === left);
  await store.close();
});

// Found by a user's script: bytes that take the last frames of a sealed segment and the beginning of its index block leave its length as it was.
for (const [what, from, length] of [
  ["the last frames and the index block", -2_000, 4_000],
  ["frames in the middle, and a page of the index block", 20_000, 500],
] as const) {
  test(`damage to ${what}: no look across what is lost takes the rest for all there is`, async () => {
    const disk = new SimulatedDisk();
    await makeStore(disk, 1000);
    const known = await Store.open("/store", { disk });
    const events = await known.read().toArray();
    const [{ bytes: framesEnd, nextSequence }] = known.segments() as unknown as [{ bytes: number; nextSequence: number }];
    await known.close();
    const path = "/store/000001.fbat";
    for (let at = 0; at < length; at++) disk.corrupt(path, (from < 0 ? framesEnd : 0) + from + at, () => 0);
    for (let at = framesEnd; at < disk.bytesOf(path).length; at++) disk.corrupt(path, at, (byte) => byte ^ 0x55);
    const store = await Store.open("/store", { disk });
    assert.equal(store.openReport.route, "checkpoint");
    const told: number[] = [];
    const left: number[] = [];
    for await (const batch of store.readPlaced(
      {},
      { onDamage: (error, sequence) => void (assert(error.details.lost), told.push(sequence)) },
    ))
      left.push(...batch.map(({ event }) => event.sequence));
    const lost = events.filter(({ sequence }) => !left.includes(sequence));
    assert(lost.length > 0 && lost.length < 40 && lost.every(({ sequence }) => sequence < nextSequence), `${lost.length} lost`);
    assert.deepEqual(told, [lost[0]?.sequence]);
    const [first, last] = [lost[0] as (typeof events)[number], lost.at(-1) as (typeof events)[number]];
    const backward: number[] = [];
    for await (const batch of store.readPlaced({}, { direction: "backward", onDamage: () => {} }))
      backward.push(...batch.map(({ event }) => event.sequence));
    assert.deepEqual(backward, left.toReversed());
    const corrupt = { code: "CORRUPT", details: { segmentId: 1 } };
    const isCorrupt = (error: unknown): boolean => isStoreError(error, "CORRUPT") && error.details.segmentId === corrupt.details.segmentId;
    const given: number[] = [];
    await assert.rejects(async () => {
      for await (const { sequence } of store.read()) given.push(sequence);
    }, isCorrupt);
    assert(given.length <= first.sequence && given.every((sequence, i) => sequence === i), "nothing behind it is given before the error");
    await assert.rejects(store.read({}, { direction: "backward" }).toArray(), isCorrupt);
    await assert.rejects(store.read({ entity: last.entity }).toArray(), isCorrupt);
    await assert.rejects(store.count({ entity: last.entity }), isCorrupt);
    await assert.rejects(store.get(first.id), isCorrupt);
    await assert.rejects(
      store.append({ entity: "e1", scope: "s" }, Noted({ n: 0, text: "" }), { idempotencyKey: "may be there" }),
      isCorrupt,
    );
    // What does not cross it is answered.
    assert.equal((await store.read({}, { after: last.sequence }).toArray()).length, events.length - last.sequence - 1);
    assert.equal((await store.read({ sequence: { from: 0, to: first.sequence - 1 } }).toArray()).length, first.sequence);
    assert.equal((await store.get((events[0] as (typeof events)[number]).id))?.sequence, 0);
    // Nor does a checkpoint make what is left all there is.
    await store.checkpoint();
    await store.close();
    const again = await Store.open("/store", { disk, readOnly: true });
    assert.equal(again.openReport.route, "checkpoint");
    await assert.rejects(again.read().toArray(), isCorrupt);
    assert(!(await again.verify()).ok);
    await again.close();
  });
}

test("the beginning of an index block, as a killed writer leaves it, is no problem; anything else in its place is one", async () => {
  const disk = new SimulatedDisk();
  const made = await Store.open("/store", { disk, segmentBytesMax: 65_536, checkpoint: false });
  for (let n = 0; n < 600; n++) await made.append({ entity: `e${n % 7}`, scope: "s" }, Noted({ n, text: "x" }), { idempotencyKey: `${n}` });
  const [{ bytes: framesEnd }] = made.segments() as unknown as [{ bytes: number }];
  await made.close();
  const path = "/store/000001.fbat";
  const whole = disk.bytesOf(path);
  const problemsOf = async (): Promise<readonly string[]> => {
    const store = await Store.open("/store", { disk, readOnly: true });
    const { problems } = await store.verify();
    await store.close();
    return problems.map(({ code }) => code);
  };
  for (const bytes of [1, 100, 5_000, 20_000]) {
    disk.put(path, whole.slice(0, framesEnd + bytes));
    assert.deepEqual(await problemsOf(), [], `${bytes} bytes of the block`);
    disk.corrupt(path, framesEnd + (bytes >> 1), (byte) => byte ^ 1);
    assert.deepEqual(await problemsOf(), ["INDEX_UNUSABLE"], `${bytes} bytes, one of them another`);
  }
  disk.put(path, whole);
  disk.corrupt(path, whole.length - 1, (byte) => byte ^ 1);
  assert.deepEqual(await problemsOf(), ["INDEX_UNUSABLE"], "all of it, with a damaged trailer");
  // The next writer makes it whole.
  disk.put(path, whole.slice(0, framesEnd + 100));
  await (await Store.open("/store", { disk })).close();
  assert.equal(disk.bytesOf(path).length, whole.length);
  assert.deepEqual(await problemsOf(), []);
});
