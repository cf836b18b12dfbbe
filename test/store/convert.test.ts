// Converting stores between the layouts: the stores of the original, and ours; what stays, what is new, what is refused, what a crash leaves.

import assert from "node:assert/strict";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { crc32 } from "node:zlib";
import { defineEvent, rawEvent, type } from "../../src/events/definition.ts";
import { convertStore } from "../../src/convert.ts";
import { FRAME } from "../../src/format/native/frame-layout.ts";
import { frameLength, frameSeed, segmentSeed } from "../../src/format/native/frame.ts";
import { SEGMENT_HEADER } from "../../src/format/native/segment-header.ts";
import { blake3 } from "../../src/kernel/frame-kernel.ts";
import { isStoreError } from "../../src/base/store-error.ts";
import { Store } from "../../src/store.ts";
import { SimulatedDisk } from "../../src/testing/sim-disk.ts";
import { batpak } from "../cli/run-cli.ts";
import { fixtureNames, FIXTURES_DIRECTORY } from "../support/batpak03-fixtures.ts";
import { spoilPages } from "./support/bad-pages.ts";

function temporary(context: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), "batpak-convert-"));
  context.after(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

function copyFixture(name: string, to: string): string {
  mkdirSync(to);
  const from = join(FIXTURES_DIRECTORY, name);
  for (const file of readdirSync(from)) copyFileSync(join(from, file), join(to, file));
  return to;
}

/** Everything that a conversion keeps, of every event. */
async function keptOf(directory: string): Promise<unknown[]> {
  const store = await Store.open(directory, { readOnly: true });
  const kept: unknown[] = [];
  for await (const event of store.read()) {
    const { hash: _hash, previousHash: _previousHash, metadata: _metadata, type: _type, ...rest } = event.toObject();
    kept.push(rest);
  }
  await store.close();
  return kept;
}

function filesOf(directory: string): Map<string, string> {
  return new Map(
    readdirSync(directory)
      .sort()
      .map((name) => [name, readFileSync(join(directory, name)).toString("hex")]),
  );
}

for (const name of fixtureNames()) {
  test(`the original's store ${name} becomes native and comes back, its events as they were`, async (context) => {
    const directory = temporary(context);
    const source = copyFixture(name, join(directory, "source"));
    const before = filesOf(source);
    const kept = await keptOf(source);
    const { events, from, to, dropped } = await convertStore(source, join(directory, "native"), { layout: "native" });
    assert.deepEqual({ events, from, to }, { events: kept.length, from: "batpak-0.3", to: "native" });
    assert.deepEqual(dropped, { metadata: 0, versions: 0, definitions: 0, removedKeys: 0, unknownKeys: 0 });
    assert.deepEqual(await keptOf(join(directory, "native")), kept);
    assert.deepEqual(filesOf(source), before);
    await convertStore(join(directory, "native"), join(directory, "back"), { layout: "batpak-0.3" });
    assert.deepEqual(await keptOf(join(directory, "back")), kept);
    assert.deepEqual(readdirSync(directory).sort(), ["back", "native", "source"]);
    for (const made of ["native", "back"]) {
      // It goes on from where the source was.
      const store = await Store.open(join(directory, made));
      const next = (await store.stats()).nextSequence;
      const receipt = await store.append({ entity: "after", scope: "conversion" }, rawEvent(0xf001, { at: 1 }));
      assert.equal(receipt.sequence, next);
      const verified = await store.verify();
      assert.deepEqual(verified.problems, []);
      await store.close();
    }
  });
}

const UNFINISHED = "conversion.unfinished";

test("what timestamps and flags say beyond the time is kept in the metadata, and comes back", async (context) => {
  const directory = temporary(context);
  const source = copyFixture("multi", join(directory, "source"));
  await convertStore(source, join(directory, "native"), { layout: "native" });
  const native = await Store.open(join(directory, "native"), { readOnly: true });
  const rows = readFileSync(join(FIXTURES_DIRECTORY, "multi.jsonl"), "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as { wall_ms: number; header: { timestamp_us: number; flags: number } });
  let beyond = 0;
  for await (const event of native.read()) {
    const { wall_ms: wallMs, header } = rows[event.sequence];
    const expected: Record<string, number> = {};
    if (Math.floor(header.timestamp_us / 1000) !== wallMs) expected.timestamp_us = header.timestamp_us;
    if (header.flags !== 0) expected.flags = header.flags;
    beyond += Object.keys(expected).length;
    assert.deepEqual(event.metadata, Object.keys(expected).length === 0 ? null : { batpak03: expected });
  }
  await native.close();
  assert.ok(beyond > 0);
});

const Paid = defineEvent("Paid", { schema: type<{ cents: number }>(), kind: 0xf003 });
const Noted = defineEvent("Noted", { schema: type<{ text: string }>(), kind: 0xf004, version: 2 });

async function makeNative(directory: string, lossy: boolean): Promise<void> {
  const store = await Store.open(directory, { events: [Paid, Noted], segmentBytesMax: 8192 });
  const orders = Array.from({ length: 7 }, (_, i) => ({ entity: `order:${i}`, scope: `shop:${i % 2}` }));
  const root = await store.append(orders[0], Paid({ cents: 1 }));
  for (let i = 0; i < 60; i++) {
    const order = orders[i % 7];
    if (i % 3 === 0) await store.append(order, Paid({ cents: i }), { causedBy: root.id, idempotencyKey: `key-${i}` });
    else if (i % 3 === 1) await store.append(order, [Paid({ cents: i }), Paid({ cents: -i })]);
    else {
      const items = [order, orders[(i + 1) % 7]].map((coordinate) => ({ coordinate, event: Paid({ cents: i }) }));
      await store.appendBatch(items);
    }
  }
  if (lossy) {
    await store.append(orders[0], Noted({ text: "a note" }));
    await store.append(orders[1], Paid({ cents: 5 }), { metadata: { user: "u1" } });
  }
  await store.close();
}

test("a native store becomes one of the original's layout: keys still answer, definitions lose their names", async (context) => {
  const directory = temporary(context);
  const source = join(directory, "source");
  await makeNative(source, false);
  const kept = await keptOf(source);
  const result = await convertStore(source, join(directory, "old"), { layout: "batpak-0.3", segmentBytesMax: 4096 });
  assert.deepEqual(result.dropped, { metadata: 0, versions: 0, definitions: 1, removedKeys: 0, unknownKeys: 0 });
  assert.deepEqual(await keptOf(join(directory, "old")), kept);
  const store = await Store.open(join(directory, "old"));
  const { nextSequence, segments } = await store.stats();
  assert.ok(segments > 3);
  const again = await store.append({ entity: "order:3", scope: "shop:1" }, rawEvent(0xf003, { cents: 3 }), {
    idempotencyKey: "key-3",
    causedBy: (kept[0] as { id: string }).id,
  });
  assert.ok(again.sequence < nextSequence);
  assert.equal((await store.stats()).nextSequence, nextSequence);
  await store.close();
  // And back again: everything but the names.
  await convertStore(join(directory, "old"), join(directory, "back"), { layout: "native" });
  assert.deepEqual(
    (await keptOf(join(directory, "back"))).map((event) => ({ ...(event as object), timestamp: 0 })),
    kept.map((event) => ({ ...(event as object), timestamp: 0 })),
  );
});

test("what the old layout has no room for ends the conversion, or is left out and counted", async (context) => {
  const directory = temporary(context);
  const source = join(directory, "source");
  await makeNative(source, true);
  const target = join(directory, "old");
  await assert.rejects(convertStore(source, target, { layout: "batpak-0.3" }), {
    code: "UNSUPPORTED_BY_LAYOUT",
    message: /of order:0 has version 2, lossy leaves versions out/,
  });
  assert.ok(!existsSync(target));
  const { dropped, events } = await convertStore(source, target, { layout: "batpak-0.3", lossy: true });
  assert.deepEqual(dropped, { metadata: 1, versions: 1, definitions: 2, removedKeys: 0, unknownKeys: 0 });
  assert.equal((await keptOf(target)).length, events);
});

test("the source's last hashes stay beside the new log, and a record names their hash", async (context) => {
  const directory = temporary(context);
  const source = copyFixture("multi", join(directory, "source"));
  const { sourceHeadsHash } = await convertStore(source, join(directory, "native"), { layout: "native" });
  const text = readFileSync(join(directory, "native", "conversion.jsonl"));
  assert.equal(Buffer.from(blake3(text)).toString("hex"), sourceHeadsHash);
  const [summary, ...heads] = text
    .toString()
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as { from?: string; entity: string; clock: number; hash: string });
  assert.equal(summary.from, "batpak-0.3");
  const original = await Store.open(source, { readOnly: true });
  assert.equal(heads.length, (await original.stats()).entities);
  for (const { entity, clock, hash } of heads) {
    const head = await original.head(entity);
    assert.deepEqual({ clock: head?.clock, hash: head?.hash }, { clock, hash });
  }
  await original.close();
  assert.ok(readFileSync(join(directory, "native", "000001.fbat")).includes(sourceHeadsHash));
});

test("gaps that the source had are no loss, and any other gap is", async (context) => {
  const directory = temporary(context);
  const source = copyFixture("idempotent", join(directory, "source"));
  const native = join(directory, "native");
  await convertStore(source, native, { layout: "native" });
  const store = await Store.open(native);
  const sequences = (await store.read().toArray()).map((event) => event.sequence);
  assert.ok(sequences.some((sequence, i) => sequence !== i));
  assert.deepEqual((await store.verify()).problems, []);
  await store.close();
  // An entity's last event, which no later hash speaks for, is cut out, and the frames behind it are moved up with right checksums.
  const file = join(native, "000001.fbat");
  const lone = await lastEventOfAnEntity(native);
  writeFileSync(file, withoutFrame(readFileSync(file), lone));
  for (const name of ["index.ckpt", "durable.mark"]) rmSync(join(native, name));
  const dropped = await Store.open(native, { readOnly: true });
  const { ok, problems } = await dropped.verify();
  await dropped.close();
  assert.equal(ok, false);
  assert.ok(problems.some(({ code }) => code === "SEQUENCE_GAP"));
});

/** The offset of the last event of some entity, not the newest of all. */
async function lastEventOfAnEntity(directory: string): Promise<number> {
  const store = await Store.open(directory, { readOnly: true });
  const { nextSequence } = await store.stats();
  for await (const batch of store.readPlaced()) {
    for (const { event, offset } of batch) {
      const head = await store.head(event.entity);
      if (head?.sequence !== event.sequence || event.sequence === nextSequence - 1) continue;
      await store.close();
      return offset;
    }
  }
  throw new Error("Every entity ends with the newest event");
}

/** A segment without one of its frames; all others as they were, with the checksums of their new places. */
function withoutFrame(bytes: Buffer, offset: number): Uint8Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const seed = segmentSeed(bytes.subarray(SEGMENT_HEADER.storeId, SEGMENT_HEADER.storeId + 16), 1);
  const pieces: Uint8Array[] = [bytes.subarray(0, SEGMENT_HEADER.bytes)];
  let at = SEGMENT_HEADER.bytes;
  for (let to = at; at < bytes.length && frameLength(view, at) > 0; at += frameLength(view, at)) {
    if (at === offset) continue;
    const frame = Buffer.from(bytes.subarray(at, at + frameLength(view, at)));
    const syncedBefore = Math.min(frame.readUInt32LE(FRAME.syncBack), to);
    frame.writeUInt32LE(syncedBefore, FRAME.syncBack);
    frame.writeUInt32LE(crc32(frame.subarray(FRAME.length), frameSeed(seed, to)), FRAME.crc);
    pieces.push(frame);
    to += frame.length;
  }
  return Buffer.concat(pieces);
}

test("wrong arguments and directories are refused, and an interrupted conversion is begun anew", async (context) => {
  const directory = temporary(context);
  const source = copyFixture("tiny", join(directory, "source"));
  const target = join(directory, "native");
  await assert.rejects(convertStore(source, target, { layout: "batpak-0.3" }), { code: "INVALID_ARGUMENT" });
  await assert.rejects(convertStore(source, target, { layout: "other" as never }), { code: "INVALID_ARGUMENT" });
  await assert.rejects(convertStore(source, target, { layout: "native", speed: 1 } as never), { code: "INVALID_ARGUMENT" });
  await assert.rejects(convertStore(source, source, { layout: "native" }), { code: "IO" });
  await assert.rejects(convertStore(join(directory, "absent"), target, { layout: "native" }), { code: "NOT_FOUND" });
  const abort = AbortSignal.abort(new Error("not now"));
  await assert.rejects(convertStore(source, target, { layout: "native", signal: abort }), /not now/);
  assert.deepEqual(readdirSync(directory).sort(), ["native.converting", "source"]);
  const steps = new Set<string>();
  await convertStore(source, target, { layout: "native", onProgress: ({ step }) => steps.add(step) });
  assert.deepEqual([...steps].sort(), ["converting", "verifying"]);
  assert.deepEqual(readdirSync(directory).sort(), ["native", "source"]);
});

test("nothing is cleared but what a conversion left: neither the source, nor a store, a file or a link of somebody else's", async (context) => {
  const directory = temporary(context);
  const target = join(directory, "data");
  const work = `${target}.converting`;
  await makeNative(work, true);
  const before = filesOf(work);
  // As after an interrupted conversion that somebody went on with.
  await assert.rejects(convertStore(work, target, { layout: "batpak-0.3" }), { code: "INVALID_ARGUMENT", message: /where the source is/ });
  symlinkSync(directory, join(directory, "link"));
  await assert.rejects(convertStore(work, join(directory, "link", "data"), { layout: "batpak-0.3" }), /where the source is/);
  await assert.rejects(convertStore(work, join(directory, "link", "data.converting", "new"), { layout: "batpak-0.3" }), /own directory/);
  assert.deepEqual(filesOf(work), before);
  const source = copyFixture("tiny", join(directory, "source"));
  const notOurs = { code: "IO", message: /which no conversion left there; move that away, or take another target/ };
  await assert.rejects(convertStore(source, target, { layout: "native" }), notOurs);
  assert.deepEqual(filesOf(work), before);
  await assert.rejects(convertStore(source, join(directory, "x"), { layout: "native", segmentBytesMax: 1 }), { code: "INVALID_ARGUMENT" });
  mkdirSync(join(directory, "y.converting"));
  writeFileSync(join(directory, "y.converting", "thesis.txt"), "years");
  await assert.rejects(convertStore(source, join(directory, "y"), { layout: "native" }), notOurs);
  symlinkSync(work, join(directory, "z.converting"));
  await assert.rejects(convertStore(source, join(directory, "z"), { layout: "native" }), { code: "IO", message: /is a symlink/ });
  assert.deepEqual(readdirSync(join(directory, "y.converting")), ["thesis.txt"]);
  assert.deepEqual(filesOf(work), before);
});

// Found by a review: a finished store, and each snapshot of one, has `conversion.jsonl`, by which it passed for what an interrupted conversion had left.
test("a finished store at the conversion's place is not cleared, nor is a snapshot of one, or what an earlier build left", async (context) => {
  const directory = temporary(context);
  const source = copyFixture("tiny", join(directory, "source"));
  const target = join(directory, "data");
  const work = `${target}.converting`;
  const made = join(directory, "made");
  await convertStore(source, made, { layout: "native" });
  assert.deepEqual(readdirSync(made).sort(), ["000001.fbat", "conversion.jsonl", "durable.mark", "index.ckpt", "lock"]);
  const store = await Store.open(made, { readOnly: true });
  await store.snapshot(join(directory, "copy"));
  await store.close();
  mkdirSync(join(directory, "earlier"));
  copyFileSync(join(made, "conversion.jsonl"), join(directory, "earlier", "conversion.jsonl"));
  for (const name of ["made", "copy", "earlier"]) {
    renameSync(join(directory, name), work);
    const before = filesOf(work);
    const refused = { code: "IO", message: /which no conversion left there; move that away, or take another target/ };
    await assert.rejects(convertStore(source, target, { layout: "native" }), refused, name);
    assert.deepEqual(filesOf(work), before);
    renameSync(work, join(directory, name));
  }
});

test("a store whose conversion was killed behind the rename is whole, and is a conversion's no more once it is open for writing", async () => {
  const disk = new SimulatedDisk();
  const source = await Store.open("/source", { disk });
  for (let n = 0; n < 20; n++) await source.append({ entity: "e", scope: "s" }, rawEvent(0xf001, { n }));
  await source.close();
  disk.faults = ({ kind, path }) => (kind === "remove" && path === `/target/${UNFINISHED}` ? { error: "EIO" } : undefined);
  await convertStore("/source", "/target", { layout: "batpak-0.3", disk });
  disk.faults = undefined;
  const isThere = async (path: string): Promise<boolean> => (await disk.status(path)) !== null;
  const reader = await Store.open("/target", { disk, readOnly: true });
  assert.equal(await reader.count(), 20);
  assert.deepEqual((await reader.verify()).problems, []);
  await reader.snapshot("/copy");
  await reader.close();
  assert.deepEqual([await isThere(`/target/${UNFINISHED}`), await isThere(`/copy/${UNFINISHED}`)], [true, false]);
  const writer = await Store.open("/target", { disk });
  assert.equal(await isThere(`/target/${UNFINISHED}`), false);
  await writer.append({ entity: "e", scope: "s" }, rawEvent(0xf001, { n: 20 }));
  await writer.close();
  // After a power cut, too.
  const after = disk.diskAfterCrash();
  await after.rename("/target", "/data.converting");
  await assert.rejects(convertStore("/source", "/data", { layout: "batpak-0.3", disk: after }), {
    code: "IO",
    message: /no conversion left/,
  });
  const kept = await Store.open("/data.converting", { disk: after, readOnly: true });
  assert.equal(await kept.count(), 21);
  await kept.close();
});

test("of two conversions to one target one is refused, and neither harms the other", async (context) => {
  const directory = temporary(context);
  const source = copyFixture("batch_rotate", join(directory, "source"));
  const target = join(directory, "native");
  const others: Promise<unknown>[] = [];
  const refused: unknown[] = [];
  await convertStore(source, target, {
    layout: "native",
    // While it is written, and while it is compared.
    onProgress: () => {
      others.push(
        convertStore(source, target, { layout: "native" }).catch((error: unknown) => refused.push((error as { code: string }).code)),
      );
    },
  });
  await Promise.all(others);
  assert.deepEqual([refused.length > 0, refused.length], [true, others.length]);
  for (const code of refused) assert.ok(code === "LOCKED" || code === "IO", String(code));
  assert.equal(refused[0], "LOCKED");
  assert.deepEqual(await keptOf(target), await keptOf(source));
  assert.deepEqual(readdirSync(directory).sort(), ["native", "source"]);
});

test("a user's own metadata under the conversion's name is metadata", async (context) => {
  const directory = temporary(context);
  const source = join(directory, "source");
  const store = await Store.open(source, { events: [Paid] });
  await store.append({ entity: "a", scope: "s" }, Paid({ cents: 1 }), { metadata: { batpak03: { timestamp_us: 5, flags: 7 } } });
  await store.close();
  const refused = { code: "UNSUPPORTED_BY_LAYOUT", details: { layout: "batpak-0.3", feature: "metadata" } };
  await assert.rejects(convertStore(source, join(directory, "old"), { layout: "batpak-0.3" }), refused);
  const { dropped } = await convertStore(source, join(directory, "old"), { layout: "batpak-0.3", lossy: true });
  assert.equal(dropped.metadata, 1);
  await convertStore(join(directory, "old"), join(directory, "back"), { layout: "native" });
  const back = await Store.open(join(directory, "back"));
  const [first] = await back.read().toArray();
  assert.equal(first.metadata, null);
  // Behind the converted events it is the user's again.
  await back.append({ entity: "a", scope: "s" }, rawEvent(0xf003, 1), { metadata: { batpak03: { flags: 7 } } });
  await back.close();
  await assert.rejects(convertStore(join(directory, "back"), join(directory, "again"), { layout: "batpak-0.3" }), refused);
});

// Found by a review: the record names the source's next sequence, and the copy numbers on behind its last event.
test("where the source had left out numbers at its end, the events that have them in the copy keep their metadata", async (context) => {
  const directory = temporary(context);
  const source = copyFixture("tiny", join(directory, "source"));
  const checkpoint = readFileSync(join(source, "index.ckpt"));
  // A single byte of MessagePack: numbers that the original gave to what it never wrote.
  checkpoint[checkpoint.indexOf("global_sequence") + "global_sequence".length] += 10;
  checkpoint.writeUInt32LE(crc32(checkpoint.subarray(12)), 8);
  writeFileSync(join(source, "index.ckpt"), checkpoint);
  const native = join(directory, "native");
  const { events } = await convertStore(source, native, { layout: "native" });
  const store = await Store.open(native);
  assert.equal((await store.stats()).nextSequence, events);
  for (let n = 0; n < 3; n++) await store.append({ entity: "a", scope: "s" }, rawEvent(0xf003, n), { metadata: { user: n } });
  await store.close();
  const [old, details] = [join(directory, "old"), { layout: "batpak-0.3", feature: "metadata" }];
  await assert.rejects(convertStore(native, old, { layout: "batpak-0.3" }), { code: "UNSUPPORTED_BY_LAYOUT", details });
  const { dropped } = await convertStore(native, old, { layout: "batpak-0.3", lossy: true });
  assert.equal(dropped.metadata, 3);
});

test("keys of events that compaction removed are not lost without a word", async (context) => {
  const directory = temporary(context);
  const source = join(directory, "source");
  const store = await Store.open(source, { events: [Paid], segmentBytesMax: 8192 });
  for (let i = 0; i < 200; i++) await store.append({ entity: "a", scope: "s" }, Paid({ cents: i }), { idempotencyKey: `key-${i}` });
  const { removedEvents } = await store.compact({ query: { entity: "a" }, keepLast: 10 });
  await store.close();
  assert.ok(removedEvents > 100);
  await assert.rejects(convertStore(source, join(directory, "old"), { layout: "batpak-0.3" }), {
    code: "UNSUPPORTED_BY_LAYOUT",
    message: `Cannot convert: compaction has kept ${removedEvents} keys of events that it removed, lossy leaves keys of removed events out`,
  });
  assert.deepEqual(readdirSync(directory), ["source"]);
  const { dropped } = await convertStore(source, join(directory, "old"), { layout: "batpak-0.3", lossy: true });
  assert.deepEqual(dropped, { metadata: 0, versions: 0, definitions: 1, removedKeys: removedEvents, unknownKeys: 0 });
  // What it notes of the gaps that it inherits goes with its copies.
  const old = await Store.open(join(directory, "old"), { readOnly: true });
  assert.deepEqual((await old.verify()).problems, []);
  await old.snapshot(join(directory, "copy"));
  await old.close();
  const copy = await Store.open(join(directory, "copy"), { readOnly: true });
  assert.deepEqual((await copy.verify()).problems, []);
  await copy.close();
  assert.deepEqual(readFileSync(join(directory, "copy", "conversion.jsonl")), readFileSync(join(directory, "old", "conversion.jsonl")));
});

test("batpak convert tells what it made; wrong layouts and full targets are refused", async (context) => {
  const directory = temporary(context);
  const source = copyFixture("batch_rotate", join(directory, "source"));
  const made = await batpak(["convert", source, join(directory, "native"), "--layout", "native"]);
  assert.equal(made.code, 0, made.err);
  assert.match(made.out, /in the layout native, and is verified/);
  assert.match(made.out, /Hashes are new/);
  const again = await batpak(["convert", source, join(directory, "native"), "--layout", "native"]);
  assert.notEqual(again.code, 0);
  assert.match(again.err, /an empty or a new directory is allowed/);
  const wrong = await batpak(["convert", source, join(directory, "other"), "--layout", "newest"]);
  assert.equal(wrong.code, 2);
  const none = await batpak(["convert", source, join(directory, "other")]);
  assert.equal(none.code, 2);
});

test("a source that cannot be read is blamed, not the target", async () => {
  const disk = new SimulatedDisk();
  const store = await Store.open("/source", { disk });
  for (let n = 0; n < 50; n++) await store.append({ entity: "e", scope: "s" }, rawEvent(0x1000, { n }));
  await store.close();
  for (const kind of ["list", "open", "read"] as const) {
    disk.faults = (operation) => (operation.kind === kind && operation.path.startsWith("/source") ? { error: "EACCES" } : undefined);
    await assert.rejects(convertStore("/source", "/target", { layout: "batpak-0.3", disk }), (error) => {
      assert.ok(isStoreError(error, "IO"), `${kind}: ${String(error)}`);
      assert.match(error.details.path as string, /^\/source/);
      return true;
    });
  }
  disk.faults = (operation) => (operation.kind === "write" && operation.path.startsWith("/target") ? { error: "ENOSPC" } : undefined);
  await assert.rejects(convertStore("/source", "/target", { layout: "batpak-0.3", disk }), (error) => {
    assert.ok(isStoreError(error, "IO"));
    assert.match(error.details.path as string, /^\/target/);
    return true;
  });
});

test("pages of index blocks that are bad keep no event back", async () => {
  const disk = new SimulatedDisk();
  const writing = await Store.open("/source", { disk, segmentBytesMax: 4096 });
  for (let n = 0; n < 120; n += 2)
    await writing.append({ entity: `e${n % 5}`, scope: "s" }, [rawEvent(0x1001, n), rawEvent(0x1001, n + 1)]);
  const sealed = writing.segments().filter((segment) => segment.sealed);
  await writing.close();
  assert.ok(sealed.length > 1);
  for (const { id } of sealed) spoilPages(disk, `/source/${String(id).padStart(6, "0")}.fbat`);
  const { events } = await convertStore("/source", "/target", { layout: "batpak-0.3", disk });
  assert.equal(events, 120);
  const store = await Store.open("/target", { disk, readOnly: true });
  assert.deepEqual(
    (await store.read().toArray()).map(({ data }) => data),
    Array.from({ length: 120 }, (_, n) => n),
  );
  await store.close();
});
