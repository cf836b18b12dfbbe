/** Readers that are open while their store is repaired: what they show afterwards, and what their subscriptions are given. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { defineEvent, type } from "../../src/events/definition.ts";
import { defineProjection } from "../../src/projections/projection.ts";
import { repairStore } from "../../src/repair.ts";
import { Store } from "../../src/store.ts";
import { SimulatedDisk } from "../../src/testing/sim-disk.ts";
import { hooked } from "./support/hooked-disk.ts";

const DIRECTORY = "/store";
const FIRST = `${DIRECTORY}/000001.fbat`;
const at = { entity: "a", scope: "s" };
const event = (data: unknown): { kind: number; data: unknown } => ({ kind: 0x1001, data });

/** A store of ten events, closed. */
async function tenEvents(): Promise<SimulatedDisk> {
  const disk = new SimulatedDisk();
  const writer = await Store.open(DIRECTORY, { disk });
  for (let n = 0; n < 10; n++) await writer.append(at, event(n));
  await writer.close();
  return disk;
}

test("a mark that a repair removes while a reader looks for it is none", async () => {
  const disk = await tenEvents();
  let removes = false;
  const beside = hooked(disk.asProcess(7), (when, operation, path) => {
    if (removes && when === "after" && operation === "status" && path.endsWith(".mark")) disk.put(path, null);
  });
  const reader = await Store.open(DIRECTORY, { disk: beside, readOnly: true });
  removes = true;
  assert.equal(await reader.refresh(), 10);
  await reader.close();
});

/** The sequences of what a store shows. */
async function shownBy(store: Store): Promise<number[]> {
  return (await store.read().toArray()).map(({ sequence }) => sequence);
}

// Found by a review: the event that took the room of the lost one was not shown until another came, and then everything behind the repair was CORRUPT.
test("a reader goes on behind a repair of the newest segment, also where what came since ends where the segment had ended", {
  timeout: 10_000,
}, async () => {
  const disk = await tenEvents();
  const reader = await Store.open(DIRECTORY, { disk: disk.asProcess(7), readOnly: true });
  const following = reader.subscribe(undefined, { after: 8 })[Symbol.asyncIterator]();
  assert.equal((await following.next()).value?.sequence, 9);
  disk.corrupt(FIRST, 800, (byte) => byte ^ 1);
  assert.equal((await repairStore(DIRECTORY, { apply: true, disk: disk.asProcess(8) })).applied, true);
  const writer = await Store.open(DIRECTORY, { disk: disk.asProcess(9) });
  for (const n of [10, 11, 12]) {
    const next = following.next();
    await writer.append(at, event(n));
    assert.equal((await next).value?.sequence, n);
    assert.deepEqual(await shownBy(reader), await shownBy(writer));
  }
  await following.return?.(undefined);
  await reader.close();
  await writer.close();
  assert.equal(disk.openFileCount, 0);
});

for (const readsBefore of [false, true]) {
  test(`a reader shows what is left of a sealed segment once that is repaired (it met the damage: ${readsBefore})`, async () => {
    const disk = new SimulatedDisk();
    const first = await Store.open(DIRECTORY, { disk, segmentBytesMax: 4096 });
    for (let n = 0; n < 40; n++) await first.append(at, event("x".repeat(300)));
    await first.close();
    const reader = await Store.open(DIRECTORY, { disk: disk.asProcess(7), readOnly: true });
    if (!readsBefore) assert.equal((await shownBy(reader)).length, 40);
    disk.corrupt(FIRST, 800, (byte) => byte ^ 1);
    if (readsBefore) await assert.rejects(shownBy(reader), { code: "CORRUPT" });
    assert.equal((await repairStore(DIRECTORY, { apply: true, disk: disk.asProcess(8) })).applied, true);
    const writer = await Store.open(DIRECTORY, { disk: disk.asProcess(9), segmentBytesMax: 4096 });
    const left = await shownBy(writer);
    assert.equal(left.length, 39);
    assert.deepEqual(await shownBy(reader), left);
    await writer.append(at, event("x"));
    await reader.refresh();
    assert.deepEqual(await shownBy(reader), [...left, 40]);
    await reader.close();
    await writer.close();
    assert.equal(disk.openFileCount, 0);
  });
}

test("a reader that had not looked at a segment before it was repaired counts what is left of it", async () => {
  const disk = new SimulatedDisk();
  const first = await Store.open(DIRECTORY, { disk, segmentBytesMax: 4096 });
  for (let n = 0; n < 40; n++) await first.append(at, event("x".repeat(300)));
  await first.close();
  const reader = await Store.open(DIRECTORY, { disk: disk.asProcess(7), readOnly: true });
  assert.equal(reader.openReport.route, "checkpoint");
  disk.corrupt(FIRST, 800, (byte) => byte ^ 1);
  await repairStore(DIRECTORY, { apply: true, disk: disk.asProcess(8) });
  await (await Store.open(DIRECTORY, { disk: disk.asProcess(9) })).close();
  assert.equal((await shownBy(reader)).length, 39);
  assert.equal(await reader.count(), 39);
  await reader.close();
});

// Found by a review, in a random test: whoever asked for the one scope was given events of the other.
test("a reader that knows only the places of a repaired segment's events gives none that has come to stand in one", async () => {
  const disk = new SimulatedDisk();
  const first = await Store.open(DIRECTORY, { disk, segmentBytesMax: 4096, durability: "os" });
  // More files than are held open.
  for (let n = 0; first.segments().length < 140; n++) {
    await first.append({ entity: "a", scope: `s${n % 2}` }, event("x".repeat(300)));
  }
  await first.close();
  // So much room holds all pages of the index, and few frames.
  const reader = await Store.open(DIRECTORY, { disk: disk.asProcess(7), readOnly: true, indexCacheBytes: 1024 * 1024 });
  const { length: before } = await reader.read({ scope: "s0" }).toArray();
  disk.corrupt(FIRST, 800, (byte) => byte ^ 1);
  await repairStore(DIRECTORY, { apply: true, disk: disk.asProcess(8) });
  const given = await reader.read({ scope: "s0" }).toArray();
  assert.deepEqual(new Set(given.map(({ scope }) => scope)), new Set(["s0"]));
  assert.ok(given.length >= before - 1);
  assert.equal(await reader.count(), (await reader.read().toArray()).length);
  await reader.close();
});

// Found by a review: killed in its last steps, the repair that was begun again found nothing to do, and the reader went on by the places of before; where only
// the header was damaged, all that came later was CORRUPT, since it read in the file of before; and without a mark, an event that took the room of the lost one was
// not shown.
for (const [damage, hasMark] of [
  [[65], true],
  [[65, 800], true],
  [[800], false],
] as const) {
  const what = `bytes ${damage.join()}, ${hasMark ? "a mark" : "no mark"}`;
  test(`a reader that is open across a repair that is killed, and begun again, shows what the next writer does: ${what}`, async () => {
    for (let killedAt = 1, isKilled = true; isKilled; killedAt++) {
      const disk = await tenEvents();
      const reader = await Store.open(DIRECTORY, { disk: disk.asProcess(7), readOnly: true });
      await shownBy(reader);
      if (!hasMark) disk.put(`${DIRECTORY}/durable.mark`, null);
      for (const offset of damage) disk.corrupt(FIRST, offset, (byte) => byte ^ 1);
      let operations = 0;
      isKilled = false;
      disk.faults = ({ pid, number }) => {
        if (pid !== 8 || number === 0 || ++operations < killedAt) return undefined;
        isKilled = true;
        disk.asProcess(8).kill();
        return { error: "EIO" };
      };
      await repairStore(DIRECTORY, { apply: true, disk: disk.asProcess(8) }).catch((error: unknown) => {
        if (!isKilled) throw error;
      });
      disk.faults = undefined;
      await repairStore(DIRECTORY, { apply: true, disk: disk.asProcess(9) });
      const writer = await Store.open(DIRECTORY, { disk: disk.asProcess(10) });
      for (const n of [10, 11, 12]) {
        await writer.append(at, event(n));
        await reader.refresh();
        assert.deepEqual(await shownBy(reader), await shownBy(writer), `killed at operation ${killedAt}`);
      }
      await reader.close();
      await writer.close();
    }
  });
}

test("a snapshot of a projection is not used behind a repair of the newest segment: an event that it holds may be lost", async () => {
  const Counted = defineEvent("Counted", { schema: type<{ n: number }>() });
  const Sum = defineProjection({
    name: "sum",
    events: [Counted],
    initial: 0,
    on: { Counted: (sum, { data }) => sum + data.n },
    snapshot: { everyEvents: 1 },
  });
  const disk = new SimulatedDisk();
  const first = await Store.open(DIRECTORY, { disk });
  for (let n = 1; n <= 10; n++) await first.append(at, Counted({ n }));
  assert.equal((await first.project(Sum, "a")).state, 55);
  await first.close();
  disk.corrupt(FIRST, 900, (byte) => byte ^ 1);
  await repairStore(DIRECTORY, { apply: true, disk: disk.asProcess(8) });
  const writer = await Store.open(DIRECTORY, { disk: disk.asProcess(9) });
  const left = (await writer.read({ kind: Counted }).toArray()).map(({ data }) => (data as { n: number }).n);
  assert.equal(left.length, 9);
  assert.equal(left[8], 10, "the event that the snapshot ends with is lost");
  const { state, events } = await writer.project(Sum, "a");
  assert.deepEqual([state, events], [left.reduce((sum, n) => sum + n, 0), 9]);
  await writer.close();
});

// Found by a review: a reader that waited beside a damaged store read all of it over and over, and took more than a processor for that.
test("who waits in a damaged store rests longer than each look takes, and is told of what comes behind a repair", {
  timeout: 20_000,
}, async () => {
  const disk = await tenEvents();
  disk.put(`${DIRECTORY}/index.ckpt`, null);
  disk.corrupt(FIRST, 800, (byte) => byte ^ 1);
  let looks = 0;
  const slow = hooked(disk.asProcess(7), async (when, operation) => {
    if (when === "before" && operation === "list") {
      looks++;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  });
  const reader = await Store.open(DIRECTORY, { disk: slow, readOnly: true });
  assert.equal(reader.openReport.problems.length, 1);
  const following = reader.subscribe(undefined, { after: 9 })[Symbol.asyncIterator]();
  const next = following.next();
  looks = 0;
  await new Promise((resolve) => setTimeout(resolve, 600));
  assert.ok(looks >= 1 && looks <= 4, `${looks} looks`);
  await repairStore(DIRECTORY, { apply: true, disk: disk.asProcess(8) });
  const writer = await Store.open(DIRECTORY, { disk: disk.asProcess(9) });
  await writer.append(at, event(10));
  assert.equal((await next).value?.sequence, 10);
  await following.return?.(undefined);
  await reader.close();
  await writer.close();
});
