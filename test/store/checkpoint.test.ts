/** The checkpoint never changes an answer, only how fast there is one: each way in which it is made, used and ignored. */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { crc32 } from "node:zlib";
import { rawEvent } from "../../src/events/definition.ts";
import { CHECKPOINT } from "../../src/format/native/checkpoint.ts";
import { decodeSegmentHeader, encodeSegmentHeader, SEGMENT_HEADER } from "../../src/format/native/segment-header.ts";
import { Store } from "../../src/store.ts";
import { SimulatedDisk } from "../../src/testing/sim-disk.ts";
import { answersOf, fillVaried, varied } from "./support/every-query.ts";
import { hooked } from "./support/hooked-disk.ts";
import {
  CHECKPOINT_PATH,
  changed,
  Counted,
  type CountedStore,
  DIRECTORY,
  diskAfter,
  endingIn,
  framesOf,
  MARK_PATH,
  namesOn,
  numbersIn,
  openStore,
  segmentPath,
  settled,
} from "./support/log-image.ts";

const at = { entity: "counter", scope: "test" };

async function appendSingly(store: CountedStore, numbers: readonly number[]): Promise<void> {
  for (const n of numbers) await store.append(at, Counted({ n }));
}

/** Six events, a checkpoint, two more events. */
function withCheckpoint(): Promise<SimulatedDisk> {
  return diskAfter({}, async (store) => {
    await appendSingly(store, [0, 1, 2, 3, 4, 5]);
    await store.checkpoint();
    await appendSingly(store, [6, 7]);
  });
}

/** The checkpoint is not used, for this reason; everything is there; the next opening finds a new one. */
async function isIgnored(disk: SimulatedDisk, reason: RegExp, numbers = [0, 1, 2, 3, 4, 5, 6, 7]): Promise<void> {
  const store = await openStore(disk);
  assert.equal(store.openReport.route, "scan");
  assert(
    store.openReport.reasons.some((one) => reason.test(one)),
    `${store.openReport.reasons.join("; ")} has ${reason}`,
  );
  assert.equal(store.openReport.eventsReplayed, numbers.length);
  assert.deepEqual(await numbersIn(store), numbers);
  assert.equal((await store.append(at, Counted({ n: 50 }))).sequence, numbers.length);
  await store.close();
  const again = await openStore(disk);
  assert.equal(again.openReport.route, "checkpoint");
  assert.deepEqual(await numbersIn(again), [...numbers, 50]);
  await again.close();
}

test("it is written to a fresh temporary file beside it, synced, renamed, and its directory synced, in this order", async () => {
  const disk = new SimulatedDisk();
  const store = await openStore(disk);
  await appendSingly(store, [0, 1]);
  const from = disk.log.length;
  await store.checkpoint();
  const steps = disk.log.slice(from).filter((operation) => operation.number > 0);
  const temporary = steps[0].path;
  assert.match(temporary, /^\/store\/index\.ckpt\.\d+-0\.tmp$/);
  assert.deepEqual(
    steps.map(({ kind, path, to }) => [kind, path, to]).filter(([kind]) => kind !== "write"),
    [
      ["create", temporary, undefined],
      ["sync", temporary, undefined],
      ["rename", temporary, CHECKPOINT_PATH],
      ["syncDirectory", DIRECTORY, undefined],
    ],
  );
  assert(steps.filter(({ kind }) => kind === "write").every(({ path }) => path === temporary));
  assert.equal(disk.isNameDurable(CHECKPOINT_PATH), true);
  await store.close();
});

test("a temporary file that is in the way is left alone by the checkpoint, and removed at the next opening", async () => {
  const disk = await withCheckpoint();
  const name = `index.ckpt.${disk.self.pid}-0.tmp`;
  const left = changed(disk, { [`${DIRECTORY}/${name}`]: Uint8Array.of(1, 2, 3) });
  const store = await openStore(left);
  assert(!namesOn(left).includes(name));
  await store.close();
});

test("it is not written through a symbolic link, and the store goes on", async () => {
  const folder = mkdtempSync(join(tmpdir(), "batpak-checkpoint-"));
  try {
    const directory = join(folder, "store");
    const store = await Store.open(directory, { events: [Counted] });
    await store.append(at, Counted({ n: 1 }));
    const victim = join(folder, "victim");
    writeFileSync(victim, "precious");
    symlinkSync(victim, join(directory, "index.ckpt"));
    await assert.rejects(store.checkpoint(), { code: "IO" });
    assert.equal(readFileSync(victim, "utf8"), "precious");
    await store.append(at, Counted({ n: 2 }));
    await assert.rejects(store.close(), { code: "IO" });
    assert.equal(readFileSync(victim, "utf8"), "precious");
    const again = await Store.open(directory, { events: [Counted], checkpoint: false });
    assert(again.openReport.reasons.some((reason) => reason.includes("it is a symlink")));
    assert.equal(await again.count(), 2);
    await again.close();
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test("it is used: only the events past it are replayed, and what is issued next goes on exactly", async () => {
  const disk = await withCheckpoint();
  const whole = await openStore(changed(disk, { [CHECKPOINT_PATH]: null }));
  const store = await openStore(disk);
  assert.deepEqual([store.openReport.route, store.openReport.eventsReplayed, store.openReport.reasons], ["checkpoint", 2, []]);
  assert.deepEqual(await numbersIn(store), [0, 1, 2, 3, 4, 5, 6, 7]);
  assert.deepEqual(await store.head("counter"), await whole.head("counter"));
  const last = await store.head("counter");
  const receipt = await store.append(at, Counted({ n: 8 }), { expect: { clock: 7 } });
  assert.deepEqual([receipt.sequence, receipt.clock], [8, 8]);
  assert(last !== null && receipt.id > last.id);
  assert.equal((await store.get(receipt.id))?.previousHash, last.hash);
  await store.close();
  await whole.close();
});

test("sequence, clock, id and hash go on exactly after a clean close, and what is visible is all that was accepted", async () => {
  const disk = new SimulatedDisk();
  let last = { sequence: -1, clock: -1, id: "", hash: "0".repeat(64) };
  for (let round = 0; round < 5; round++) {
    const store = await openStore(disk);
    assert.equal(store.openReport.route, round === 0 ? "new" : "checkpoint");
    // What the first session left is in its checkpoint; few events of later ones are not worth another.
    assert.equal(store.openReport.eventsReplayed, Math.max(0, round - 1) * 3);
    const { nextSequence, events } = await store.stats();
    assert.deepEqual([nextSequence, events], [last.sequence + 1, last.sequence + 1]);
    for (let n = 0; n < 3; n++) {
      const receipt = await store.append(at, Counted({ n }));
      assert.deepEqual([receipt.sequence, receipt.clock], [last.sequence + 1, last.clock + 1]);
      assert(receipt.id > last.id);
      assert.equal((await store.get(receipt.id))?.previousHash, last.hash);
      last = receipt;
    }
    await store.close();
  }
});

test("it is ignored when it is missing, short, or has a wrong magic, version or CRC", async () => {
  const disk = await withCheckpoint();
  const bytes = disk.bytesOf(CHECKPOINT_PATH);
  const flipped = (offset: number, xor = 0xff): Uint8Array => {
    const copy = Uint8Array.from(bytes);
    copy[offset] ^= xor;
    return copy;
  };
  const states: readonly [Uint8Array | null, RegExp][] = [
    [null, /there is no checkpoint/],
    [new Uint8Array(), /short of a prefix/],
    [bytes.slice(0, 11), /short of a prefix/],
    [bytes.slice(0, 12), /CRC/],
    [bytes.slice(0, bytes.length - 1), /CRC/],
    [endingIn(bytes, bytes.length, Uint8Array.of(0)), /CRC/],
    [flipped(0), /magic/],
    [flipped(CHECKPOINT.version + 1, 3), /version is 512, 256 is read/],
    [flipped(CHECKPOINT.crc), /CRC/],
    [flipped(CHECKPOINT.description + 9), /CRC/],
    [flipped(bytes.length - 1), /CRC/],
  ];
  for (const [file, reason] of states) await isIgnored(changed(disk, { [CHECKPOINT_PATH]: file }), reason);
});

test("it is ignored when its CRC is right and it does not decode", async () => {
  const disk = await withCheckpoint();
  const stamped = (change: (bytes: Uint8Array) => Uint8Array): Uint8Array => {
    const bytes = change(disk.bytesOf(CHECKPOINT_PATH).slice());
    const view = new DataView(bytes.buffer);
    view.setUint32(CHECKPOINT.crc, crc32(bytes.subarray(CHECKPOINT.descriptionTag)), true);
    return bytes;
  };
  const setting = (offset: number, value: number) => (bytes: Uint8Array) => {
    bytes[offset] = value;
    return bytes;
  };
  let states = 0;
  for (const change of [
    setting(CHECKPOINT.descriptionTag, 0xc0),
    setting(CHECKPOINT.descriptionLength, 0xff),
    setting(CHECKPOINT.description, 0xc1),
    setting(CHECKPOINT.description, 0x00),
    (bytes: Uint8Array) => bytes.slice(0, bytes.length - 3),
    (bytes: Uint8Array) => endingIn(bytes, bytes.length, Uint8Array.of(1, 2)),
  ]) {
    await isIgnored(changed(disk, { [CHECKPOINT_PATH]: stamped(change) }), /the checkpoint is ignored: /);
    states++;
  }
  assert.equal(states, 6);
});

test("it is ignored when it is not bound to this log: of another store, another history, an older generation", async () => {
  const disk = await withCheckpoint();
  const stranger = await withCheckpoint();
  await isIgnored(changed(disk, { [CHECKPOINT_PATH]: stranger.bytesOf(CHECKPOINT_PATH) }), /belongs to another store/);

  const shared = await diskAfter({}, (store) => appendSingly(store, [0, 1, 2]));
  const histories = [];
  for (const more of [
    [3, 4, 5],
    [6, 7, 8],
  ]) {
    const copy = changed(shared, {});
    const store = await openStore(copy, { checkpoint: false });
    await appendSingly(store, more);
    await store.checkpoint();
    histories.push(settled(copy.diskAfterKill()));
  }
  const [one, other] = histories;
  await isIgnored(changed(one, { [CHECKPOINT_PATH]: other.bytesOf(CHECKPOINT_PATH) }), /another frame where it ends/, [0, 1, 2, 3, 4, 5]);

  const segment = disk.bytesOf(segmentPath(1)).slice();
  const outcome = decodeSegmentHeader(segment.subarray(0, SEGMENT_HEADER.bytes));
  assert(outcome.kind === "ok");
  segment.set(encodeSegmentHeader({ ...outcome.header, generation: 1 }), 0);
  await isIgnored(changed(disk, { [segmentPath(1)]: segment }), /compacted after it/);
});

// Found by a review: what compaction had removed was back among the events, and those of the segments that it had put together were missing without a word.
test("it is ignored where a segment is an older copy of before a compaction, which lacks others: that is damage", async () => {
  const numbers = Array.from({ length: 80 }, (_, n) => n);
  const disk = await diskAfter({ segmentBytesMax: 4096 }, (store) => appendSingly(store, numbers));
  const before = disk.bytesOf(segmentPath(1)).slice();
  const store = await openStore(disk, { segmentBytesMax: 4096 });
  await store.compact({ keep: ({ sequence }) => sequence >= 45 });
  await store.close();
  assert.equal(disk.paths().includes(segmentPath(2)), false);
  disk.put(segmentPath(1), before);
  await assert.rejects(openStore(disk), { code: "CORRUPT", message: /segment 2 is damaged at offset 0 \(its file is missing\)/ });
  const reader = await openStore(disk, { readOnly: true });
  assert.notDeepEqual(reader.openReport.problems, []);
  await reader.close();
});

// Found by a review: a retry of what compaction had removed was appended a second time.
test("an older one of before a compaction is ignored also where neither the newest segment nor the mark tells of that", async () => {
  const disk = new SimulatedDisk();
  const store = await openStore(disk, { segmentBytesMax: 8192 });
  for (let n = 0; store.segments().length === 1; n++) await store.append(at, Counted({ n }), { idempotencyKey: `k${n}` });
  await store.checkpoint();
  const older = disk.bytesOf(CHECKPOINT_PATH).slice();
  const { removedEvents } = await store.compact({ keep: ({ sequence }) => sequence !== 2 });
  assert.equal(removedEvents, 1);
  await store.close();
  const again = await openStore(changed(disk, { [CHECKPOINT_PATH]: older, [MARK_PATH]: null }));
  assert.match(again.openReport.reasons[0], /^the checkpoint is ignored: segment 1 is of generation 1, it speaks of 0$/);
  const { sequence } = await again.append(at, Counted({ n: 2 }), { idempotencyKey: "k2" });
  assert.equal(sequence, 2);
  await again.close();
});

test("an older checkpoint of the same log is used, whatever was appended since", async () => {
  const disk = new SimulatedDisk();
  const store = await openStore(disk, { segmentBytesMax: 4096, checkpoint: { everyEvents: 1_000_000 } });
  await appendSingly(store, [0, 1, 2, 3]);
  await store.checkpoint();
  const old = disk.bytesOf(CHECKPOINT_PATH);
  const numbers = Array.from({ length: 80 }, (_, n) => n + 4);
  await appendSingly(store, numbers);
  await store.close();
  const left = changed(settled(disk.diskAfterKill()), { [CHECKPOINT_PATH]: old });
  const again = await openStore(left);
  assert.deepEqual([again.openReport.route, again.openReport.eventsReplayed > 0], ["checkpoint", true]);
  assert.deepEqual(await numbersIn(again), [0, 1, 2, 3, ...numbers]);
  await again.close();
});

test("it is written every so many events and at rotation, and never when it is switched off", async () => {
  const disk = new SimulatedDisk();
  const store = await openStore(disk, { checkpoint: { everyEvents: 10 } });
  for (let n = 0; n < 35; n++) {
    await store.append(at, Counted({ n }));
    await new Promise((resolve) => setImmediate(resolve));
  }
  const { checkpoints, checkpointError } = await store.stats();
  assert(checkpoints >= 3 && checkpoints <= 4, `${checkpoints} checkpoints`);
  assert.equal(checkpointError, null);
  await store.close();
  const none = new SimulatedDisk();
  const without = await openStore(none, { checkpoint: false, segmentBytesMax: 4096 });
  await appendSingly(
    without,
    Array.from({ length: 100 }, (_, n) => n),
  );
  await without.close();
  assert(!namesOn(none).includes("index.ckpt"));
});

test("a checkpoint that cannot be written is forgiven: appends go on, and it is tried again", async () => {
  const disk = new SimulatedDisk();
  const store = await openStore(disk, { checkpoint: { everyEvents: 5 } });
  disk.faults = ({ kind, path }) => (kind === "create" && path.endsWith(".tmp") ? { error: "ENOSPC" } : undefined);
  for (let n = 0; n < 20; n++) {
    await store.append(at, Counted({ n }));
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.notEqual((await store.stats()).checkpointError, null);
  disk.faults = undefined;
  await store.checkpoint();
  assert.equal((await store.stats()).checkpointError, null);
  await store.close();
  assert.equal((await openStore(disk, { readOnly: true })).openReport.route, "checkpoint");
});

test("with checkpoint, with index blocks only and from a bare scan: every query has the same answers", async (context) => {
  const disk = new SimulatedDisk();
  const store = await Store.open(DIRECTORY, { disk, events: varied, segmentBytesMax: 16 * 1024 });
  await fillVaried(store, 900, 20_260);
  const live = await answersOf(store);
  await store.close();
  const closed = settled(disk.diskAfterKill());
  const segments = namesOn(closed).filter((name) => name.endsWith(".fbat")).length;
  const bare: Record<string, Uint8Array | null> = { [CHECKPOINT_PATH]: null };
  for (let id = 1; id <= segments; id++) {
    const frames = framesOf(closed, id);
    const last = frames[frames.length - 1];
    if (last.seal) bare[segmentPath(id)] = endingIn(closed.bytesOf(segmentPath(id)), last.end);
  }
  const ways = [
    ["checkpoint", closed],
    ["index-blocks", changed(closed, { [CHECKPOINT_PATH]: null })],
    ["scan", changed(closed, bare)],
  ] as const;
  for (const [route, image] of ways) {
    for (const readOnly of [true, false]) {
      const opened = await Store.open(DIRECTORY, { disk: image, events: varied, readOnly });
      assert.equal(opened.openReport.route, route);
      const answers = await answersOf(opened);
      assert.equal(answers.length, live.length);
      for (let i = 0; i < live.length; i++) assert.equal(answers[i], live[i], `${route}, readOnly ${readOnly}`);
      await opened.close();
      assert.equal(image.openFileCount, 0);
    }
  }
  context.diagnostic(`${live.length} answers, ${segments} segments, ${ways.length} routes`);
});

test("one that is replaced, or removed, between two looks at its name is no damage: neither to verify nor to a reader that opens", async () => {
  const disk = new SimulatedDisk();
  const writer = await openStore(disk);
  await appendSingly(writer, [0, 1, 2]);
  await writer.checkpoint();
  for (const removes of [false, true]) {
    // The new one is longer: so many names are new.
    let armed = true;
    let times = 0;
    const replacing = hooked(disk.asProcess(7), async (when, operation, path) => {
      if (!armed || when !== "after" || operation !== "status" || path !== CHECKPOINT_PATH) return;
      armed = false;
      times++;
      if (removes) return await disk.remove(CHECKPOINT_PATH);
      await writer.append({ entity: "x".repeat(1000), scope: "test" }, Counted({ n: 3 }));
      await writer.checkpoint();
    });
    const reader = await Store.open(DIRECTORY, { disk: replacing, readOnly: true });
    // The writer had not said yet, when it was asked, that what the new one pictures is visible.
    assert.match(reader.openReport.reasons.join(), removes ? /there is no checkpoint/ : /ahead of what the writer has made visible/);
    await writer.checkpoint();
    armed = true;
    assert.deepEqual((await reader.verify()).problems, []);
    assert.equal(times, 2);
    await reader.close();
  }
  assert.deepEqual((await writer.verify()).problems, []);
  await writer.close();
});

test("few events more are left to the next opening; more are worth a checkpoint", async () => {
  const disk = new SimulatedDisk();
  const session = async (count: number): Promise<{ replayed: number; rewritten: boolean }> => {
    const before = disk.bytesOf(CHECKPOINT_PATH);
    const store = await openStore(disk);
    const replayed = store.openReport.eventsReplayed;
    for (let n = 0; n < count; n++) await store.append(at, Counted({ n }));
    await store.close();
    return { replayed, rewritten: Buffer.compare(before, disk.bytesOf(CHECKPOINT_PATH)) !== 0 };
  };
  await (await openStore(disk)).close();
  assert.deepEqual(await session(0), { replayed: 0, rewritten: false });
  assert.deepEqual(await session(40), { replayed: 0, rewritten: false });
  assert.deepEqual(await session(0), { replayed: 40, rewritten: false });
  // With the record of their definition these are 64 frames.
  assert.deepEqual(await session(23), { replayed: 40, rewritten: false });
  assert.deepEqual(await session(1), { replayed: 63, rewritten: true });
  assert.deepEqual(await session(0), { replayed: 0, rewritten: false });
});

test("what a clean close left to the next opening is damage where it rots after a power cut, and never a torn tail", async () => {
  const disk = new SimulatedDisk();
  await (await openStore(disk)).close();
  const store = await openStore(disk);
  await store.append(at, Counted({ n: 0 }));
  await store.close();
  disk.crashNow();
  const after = disk.diskAfterCrash();
  const whole = await openStore(settled(after.diskAfterKill()));
  assert.equal(whole.openReport.eventsReplayed, 1);
  await whole.close();
  after.corrupt(segmentPath(1), after.bytesOf(segmentPath(1)).length - 5, (byte) => byte ^ 1);
  await assert.rejects(openStore(after), { code: "CORRUPT" });
});

test("so is what a session that only took it up leaves behind", async () => {
  const disk = new SimulatedDisk();
  await (await openStore(disk)).close();
  const killed = await openStore(disk);
  await killed.append(at, Counted({ n: 0 }));
  const left = disk.diskAfterKill();
  await (await openStore(left)).close();
  left.crashNow();
  const after = left.diskAfterCrash();
  after.corrupt(segmentPath(1), after.bytesOf(segmentPath(1)).length - 5, (byte) => byte ^ 1);
  await assert.rejects(openStore(after), { code: "CORRUPT" });
});

test("few events that are long, and positions in the log, are worth a checkpoint as well", async () => {
  const disk = new SimulatedDisk();
  await (await openStore(disk)).close();
  const isRewrittenBy = async (work: (store: CountedStore) => Promise<unknown>): Promise<boolean> => {
    const before = disk.bytesOf(CHECKPOINT_PATH);
    const store = await openStore(disk);
    await work(store);
    await store.close();
    return Buffer.compare(before, disk.bytesOf(CHECKPOINT_PATH)) !== 0;
  };
  const long = (store: CountedStore): Promise<unknown> => store.append(at, rawEvent(0xf001, "x".repeat(100_000)));
  assert.equal(await isRewrittenBy(long), false);
  assert.equal(await isRewrittenBy(long), false);
  assert.equal(await isRewrittenBy(long), true);
  const commits = async (store: CountedStore): Promise<void> => {
    const consumer = await store.consumer("c", undefined, { positionIn: "log" });
    for (let n = 0; n < 20; n++) {
      await consumer.reset(0);
      await consumer.commit(1);
    }
    await consumer.close();
  };
  assert.equal(await isRewrittenBy(commits), false);
  assert.equal(await isRewrittenBy(commits), true);
  assert.equal(await isRewrittenBy(async () => {}), false);
});
