/** Repair where the last events are lost: no sequence is given twice, whoever may have kept one. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { framesOf } from "../test/crash/damage-ways.ts";
import { eachCutRepair } from "../test/support/cut-repairs.ts";
import { DIRECTORY, diskWith, type Files, filesOf } from "../test/support/small-stores.ts";
import { defineEvent, type } from "./events/definition.ts";
import { encodeSegmentHeader, SEGMENT_HEADER } from "./format/native/segment-header.ts";
import { repairStore } from "./repair.ts";
import { Store } from "./store.ts";
import { SimulatedDisk } from "./testing/sim-disk.ts";

const Counted = defineEvent("Counted", { kind: 0x1001, schema: type<{ n: number }>() });
const at = { entity: "counter", scope: "s" };

/** `events` events, and a consumer whose position is in the log and behind all of them, if it is asked for. */
async function filled(events: number, segmentBytesMax: number, withConsumer: boolean): Promise<Files> {
  const disk = new SimulatedDisk();
  const store = await Store.open(DIRECTORY, { disk, segmentBytesMax, events: [Counted] });
  for (let n = 0; n < events; n++) await store.append(at, Counted({ n }));
  if (withConsumer) {
    const consumer = await store.consumer("billing", {}, { positionIn: "log" });
    for await (const event of consumer) {
      if (event.sequence < events - 1) continue;
      await consumer.commit(event);
      break;
    }
    await consumer.close();
  }
  await store.close();
  return filesOf(disk);
}

const newestOf = (files: Files): string =>
  [...files.keys()]
    .filter((name) => name.endsWith(".fbat"))
    .sort()
    .at(-1) as string;

/** Sixty events, the first two segments one: the files of before, and of now. */
async function merged(): Promise<{ readonly before: Files; readonly files: Files }> {
  const disk = new SimulatedDisk();
  const store = await Store.open(DIRECTORY, { disk, segmentBytesMax: 4096, events: [Counted] });
  for (let n = 0; n < 60; n++) await store.append(at, Counted({ n }));
  const before = filesOf(disk);
  await store.compact({ query: { sequence: { from: 3, to: store.segments()[1].nextSequence - 4 } } });
  assert.deepEqual(
    store.segments().map(({ id }) => id),
    [1, 3],
  );
  await store.close();
  return { before, files: filesOf(disk) };
}

/** The last event's frame is flipped. */
function withoutLast(files: Files, ...gone: readonly string[]): SimulatedDisk {
  const left = new Map(files);
  const last = framesOf(files).at(-1);
  assert(last !== undefined);
  const bytes = (files.get(last.file) as Uint8Array).slice();
  bytes[last.from + 100] ^= 1;
  left.set(last.file, bytes);
  for (const name of gone) left.delete(name);
  return diskWith(left);
}

/** Repairs: the next event has this sequence, what is missing is told, and the log goes on. */
async function goesOnWith(disk: SimulatedDisk, sequence: number): Promise<void> {
  const { actions } = await repairStore(DIRECTORY, { disk, apply: true });
  const told = actions.find(({ kind }) => kind === "add-segment");
  assert.match(told?.message ?? "", new RegExp(`begins with sequence ${sequence}: those from \\d+ on were given to events that are lost$`));
  await isSoundWith(disk, sequence);
}

async function isSoundWith(disk: SimulatedDisk, sequence: number): Promise<void> {
  assert.deepEqual((await repairStore(DIRECTORY, { disk })).problems, []);
  const store = await Store.open(DIRECTORY, { disk, events: [Counted] });
  const { problems } = await store.verify();
  // The second: of the consumer's records only the one in force is repeated elsewhere.
  const codes = problems.map(({ code }) => code).filter((code) => code !== "LOST_EVENTS");
  assert.deepEqual(codes, ["SEQUENCE_GAP"]);
  assert.equal((await store.append(at, Counted({ n: 100 }))).sequence, sequence);
  await store.close();
  const again = await Store.open(DIRECTORY, { disk });
  assert.equal((await again.read().toArray()).at(-1)?.sequence, sequence);
  await again.close();
}

// Found by a review: the new event got the lost one's sequence, which the consumer had done: it was never handed out, and `verify` said that all was well.
test("an event that is appended after a repair is handed to a consumer that had done the lost ones", async () => {
  const files = await filled(10, 2 ** 20, true);
  for (const gone of [[], ["index.ckpt", "durable.mark"]]) {
    const disk = withoutLast(files, ...gone);
    await goesOnWith(disk, 10);
    const store = await Store.open(DIRECTORY, { disk, events: [Counted] });
    const consumer = await store.consumer("billing", {}, { positionIn: "log" });
    for await (const event of consumer) {
      assert.deepEqual([event.sequence, event.data], [10, { n: 100 }]);
      break;
    }
    await store.close();
  }
});

test("what was given off the end is known by the mark or by the checkpoint", async () => {
  for (const segmentBytesMax of [2 ** 20, 4096]) {
    const files = await filled(50, segmentBytesMax, false);
    const newest = newestOf(files);
    assert.equal(newest === "000001.fbat", segmentBytesMax === 2 ** 20);
    for (const known of ["index.ckpt", "durable.mark"]) {
      const other = known === "index.ckpt" ? "durable.mark" : "index.ckpt";
      await goesOnWith(withoutLast(files, other), 50);
      const zeros = diskWith(new Map(files).set(newest, new Uint8Array(files.get(newest)?.length ?? 0)));
      zeros.put(`${DIRECTORY}/${other}`, null);
      if (segmentBytesMax === 4096) {
        await goesOnWith(zeros, 50);
        await goesOnWith(withoutLast(files, other, newest), 50);
      }
    }
  }
});

test("where the last events are whole, nothing is added", async () => {
  const files = new Map(await filled(50, 4096, true));
  const [, , third] = framesOf(files);
  const bytes = (files.get("000001.fbat") as Uint8Array).slice();
  bytes[third.from + 100] ^= 1;
  files.set("000001.fbat", bytes);
  const { actions } = await repairStore(DIRECTORY, { disk: diskWith(files), apply: true });
  assert.deepEqual(
    actions.map(({ kind }) => kind),
    ["rebuild-segment", "remove-file", "remove-file"],
  );
});

test("a repair that is cut off between any two steps gives no sequence twice", async () => {
  const files = await filled(50, 4096, true);
  const newest = newestOf(files);
  const damages = [() => withoutLast(files), () => withoutLast(files, "index.ckpt", "durable.mark"), () => withoutLast(files, newest)];
  for (const damage of damages) {
    await eachCutRepair(damage, (after) => isSoundWith(after, 50));
  }
});

test("where the only segment is all zeros and there is no mark, the checkpoint tells whose store it is", async () => {
  const files = new Map(await filled(10, 1 << 20, true));
  const name = newestOf(files);
  files.set(name, new Uint8Array((files.get(name) as Uint8Array).length));
  files.delete("durable.mark");
  const disk = diskWith(files);
  await assert.rejects(Store.open(DIRECTORY, { disk }), { code: "CORRUPT" });
  await goesOnWith(disk, 10);
});

// Found by a review: the only segment passed for one that was never begun, a writer made a new store, and retries were appended again.
test("the only segment without a whole header was begun, if the mark speaks of events", async () => {
  const files = new Map(await filled(10, 1 << 20, false));
  files.delete("index.ckpt");
  const bytes = files.get("000001.fbat") as Uint8Array;
  for (const left of [new Uint8Array(0), bytes.slice(0, 60), new Uint8Array(bytes.length)]) {
    const disk = diskWith(files.set("000001.fbat", left));
    await assert.rejects(Store.open(DIRECTORY, { disk }), { code: "CORRUPT" });
    const reader = await Store.open(DIRECTORY, { disk, readOnly: true });
    assert.equal(reader.openReport.problems.length, 1);
    await reader.close();
    await goesOnWith(disk, 10);
  }
});

// Found by a review: the file that a merged segment stands for passed for the newest, and the mark was removed without what it told.
test("where the newest segment is gone and a file is left that compaction has replaced, no sequence is given twice", async () => {
  const { before, files } = await merged();
  const disk = diskWith(new Map(files).set("000002.fbat", before.get("000002.fbat") as Uint8Array));
  disk.put(`${DIRECTORY}/${newestOf(files)}`, null);
  disk.put(`${DIRECTORY}/index.ckpt`, null);
  await goesOnWith(disk, 60);
});

// Found by a review: the store had to be repaired twice.
test("what is missing between segments that both lost their headers is found by the first repair", async () => {
  const { files } = await merged();
  const [first, last] = ["000001.fbat", newestOf(files)].map((name) => files.get(name) as Uint8Array);
  await goesOnWith(diskWith(new Map(files).set("000001.fbat", last).set(newestOf(files), first)), 60);
});

// Found by a review: nothing told that the segment before was gone.
test("a segment that never began tells that the one before it was there", async () => {
  for (const [gone, isKnown] of [
    [["index.ckpt", "durable.mark"], false],
    [[], true],
  ] as const) {
    const files = new Map(await filled(50, 4096, false));
    const newest = newestOf(files);
    for (const name of [newest, ...gone]) files.delete(name);
    const neverBegun = `${String(Number.parseInt(newest, 10) + 1).padStart(6, "0")}.fbat`;
    const damage = (): SimulatedDisk => diskWith(new Map(files).set(neverBegun, new Uint8Array(20)));
    await assert.rejects(Store.open(DIRECTORY, { disk: damage() }), { code: "CORRUPT" });
    const check = async (after: SimulatedDisk): Promise<void> => {
      if (isKnown) return await isSoundWith(after, 50);
      assert.deepEqual((await repairStore(DIRECTORY, { disk: after })).problems, []);
      await (await Store.open(DIRECTORY, { disk: after })).close();
    };
    const whole = damage();
    const { actions } = await repairStore(DIRECTORY, { disk: whole, apply: true });
    assert.equal(
      actions.some(({ message }) => message === `remove ${neverBegun}, which was never begun`),
      true,
      JSON.stringify(actions),
    );
    await check(whole);
    await eachCutRepair(damage, check);
  }
});

test("the same where the segments before it are gone, if the checkpoint speaks of events", async () => {
  const files = new Map(await filled(50, 4096, false));
  files.delete("durable.mark");
  for (const name of files.keys()) if (name.endsWith(".fbat") && name !== newestOf(files)) files.delete(name);
  const disk = diskWith(files.set(newestOf(files), new Uint8Array(20)));
  await assert.rejects(Store.open(DIRECTORY, { disk }), { code: "CORRUPT" });
  await goesOnWith(disk, 50);
});

// Found by a review: where a segment that it lists was missing as well, the checkpoint told nothing of the newest one any more, whose cut end passed for a torn tail.
test("the checkpoint tells of what is cut off the newest segment also where another segment is missing", async () => {
  const files = new Map(await filled(60, 4096, false));
  const newest = newestOf(files);
  assert.notEqual(newest, "000002.fbat");
  files.delete("durable.mark");
  files.delete("000002.fbat");
  files.set(newest, (files.get(newest) as Uint8Array).slice(0, framesOf(files).at(-1)?.from));
  const disk = diskWith(files);
  const { actions } = await repairStore(DIRECTORY, { disk, apply: true });
  assert.match(actions.find(({ kind }) => kind === "add-segment")?.message ?? "", /begins with sequence 60: those from \d+ on were given/);
  assert.deepEqual((await repairStore(DIRECTORY, { disk })).problems, []);
  const store = await Store.open(DIRECTORY, { disk, events: [Counted] });
  assert.equal((await store.append(at, Counted({ n: 100 }))).sequence, 60);
  await store.close();
});

// Found by a review: without a sync after each commit a power cut leaves the mark ahead of the log. The segment in front of the one that was added had no seal, and the store was refused.
test("the newest segment gets its seal where one is put behind it for a file behind a gap", async () => {
  const disk = new SimulatedDisk();
  const writer = await Store.open(DIRECTORY, { disk, durability: "os", checkpoint: false, events: [Counted] });
  for (let n = 0; n < 30; n++) await writer.append(at, Counted({ n }));
  const written = disk.bytesOf(`${DIRECTORY}/000001.fbat`).slice();
  for (let n = 30; n < 50; n++) await writer.append(at, Counted({ n }));
  const files = new Map(filesOf(disk)).set("000001.fbat", written);
  for (const stray of [new Uint8Array(300).fill(7), new Uint8Array(0)]) {
    const damaged = (): SimulatedDisk => diskWith(new Map(files).set("000003.fbat", stray));
    await goesOnWith(damaged(), 50);
    await eachCutRepair(damaged, async (after) => {
      assert.deepEqual((await repairStore(DIRECTORY, { disk: after })).problems, []);
      const store = await Store.open(DIRECTORY, { disk: after, events: [Counted] });
      assert.equal(await store.count(), 30);
      await store.close();
    });
  }
});

// Found by a review: the file became a segment, and before it a billion were missing, whose numbers took all memory.
test("a file with any number for its name is told, and is no segment", async () => {
  const files = await filled(50, 4096, false);
  const stray = "900000000000000.fbat";
  for (const [bytes, message] of [
    [new Uint8Array(300).fill(7), `remove ${stray}, behind a gap, of which no frame is right (all its events go, if it had any)`],
    [new Uint8Array(0), `remove ${stray}, which was never begun`],
  ] as const) {
    const disk = diskWith(new Map(files).set(stray, bytes));
    const reader = await Store.open(DIRECTORY, { disk, readOnly: true });
    assert.equal(await reader.count(), 50);
    assert.equal((await reader.verify()).ok, false);
    await reader.close();
    const { actions, copies } = await repairStore(DIRECTORY, { disk, apply: true });
    assert.deepEqual(
      actions.map((action) => action.message),
      [message, "remove index.ckpt, which speaks of the log as it was", "remove durable.mark, which speaks of the log as it was"],
    );
    assert.deepEqual(disk.bytesOf(`${DIRECTORY}/${copies}/${stray}`), bytes);
    const store = await Store.open(DIRECTORY, { disk, events: [Counted] });
    assert.deepEqual((await store.verify()).problems, []);
    assert.equal((await store.append(at, Counted({ n: 50 }))).sequence, 50);
    await store.close();
  }
});

test("a forged header far behind all others takes neither memory nor time, and is not repaired", async () => {
  const files = await filled(50, 4096, false);
  const id = 900_000_000_000_000;
  const storeId = (files.get("000001.fbat") as Uint8Array).slice(SEGMENT_HEADER.storeId, SEGMENT_HEADER.storeId + 16);
  const header = { storeId, segmentId: id, firstSequence: 50, generation: 0, replacesFrom: 0, replacesTo: 0, createdMicros: 0 };
  const disk = diskWith(new Map(files).set(`${id}.fbat`, encodeSegmentHeader(header)));
  await assert.rejects(Store.open(DIRECTORY, { disk }), { code: "CORRUPT" });
  const reader = await Store.open(DIRECTORY, { disk, readOnly: true });
  assert.equal(await reader.count(), 50);
  assert.equal((await reader.verify()).ok, false);
  await reader.close();
  await assert.rejects(repairStore(DIRECTORY, { disk, apply: true }), {
    code: "CORRUPT",
    message: /10000 segments or more are missing from 000003/,
  });
});
