/** Reading stores of the original: the defects that must not come back, the rules of recovery, hostile files, and mutated directories. */
import assert from "node:assert/strict";
import { cpSync, readFileSync, rmSync, statSync, truncateSync, unlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { crc32 } from "node:zlib";
import { GrowingSink } from "../../src/base/byte-sink.ts";
import { DURABLE_MARK, encodeDurableMark } from "../../src/format/native/durable-mark.ts";
import { encodeSegmentHeader } from "../../src/format/batpak03/segment.ts";
import { isStoreError, Store } from "../../src/index.ts";
import type { OpenReport } from "../../src/open-report.ts";
import { fixtureNames, FIXTURES_DIRECTORY, loadFixture } from "../support/batpak03-fixtures.ts";
import { newDirectory } from "../support/new-directory.ts";

/** A copy of a fixture, without its checkpoint where so asked. */
function copyOf(name: string, checkpoint = true): string {
  const directory = newDirectory();
  cpSync(join(FIXTURES_DIRECTORY, name), directory, { recursive: true });
  if (!checkpoint) rmSync(join(directory, "index.ckpt"), { force: true });
  return directory;
}

function segment(directory: string, id = 1): string {
  return join(directory, `${String(id).padStart(6, "0")}.fbat`);
}

function change(file: string, edit: (bytes: Buffer) => Buffer | void): void {
  const bytes = readFileSync(file);
  writeFileSync(file, edit(bytes) ?? bytes);
}

/** Changes a checkpoint, and makes its CRC right again. */
function changeCheckpoint(directory: string, edit: (bytes: Buffer) => Buffer | void): void {
  change(join(directory, "index.ckpt"), (bytes) => {
    const edited = edit(bytes) ?? bytes;
    edited.writeUInt32LE(crc32(edited.subarray(12)), 8);
    return edited;
  });
}

async function look(directory: string): Promise<Looked> {
  const store = await Store.open(directory, { readOnly: true });
  try {
    const events = await store.read().toArray();
    const seen = events.map((event) => ({ sequence: event.sequence, hash: event.hash, entity: event.entity, clock: event.clock }));
    return {
      report: store.openReport,
      seen,
      sequences: seen.map((event) => event.sequence),
      nextSequence: (await store.stats()).nextSequence,
    };
  } finally {
    await store.close();
  }
}

interface Looked {
  readonly report: OpenReport;
  readonly seen: readonly { readonly sequence: number; readonly hash: string; readonly entity: string; readonly clock: number }[];
  readonly sequences: readonly number[];
  readonly nextSequence: number;
}

function writeMark(directory: string, syncedSegment: number, syncedOffset: number): void {
  const bytes = new Uint8Array(DURABLE_MARK.bytes);
  const visible = { visibleSegment: syncedSegment, visibleOffset: syncedOffset, visibleSequence: 0 };
  const mark = { storeId: new Uint8Array(16), generation: 0, ...visible, syncedSegment, syncedOffset };
  encodeDurableMark(mark, bytes, new DataView(bytes.buffer));
  writeFileSync(join(directory, "durable.mark"), bytes);
}

for (const name of fixtureNames()) {
  test(`${name}: every route gives the same events`, async () => {
    const fixture = loadFixture(name);
    const hashes = fixture.rows.map((row) => row.event_hash);
    const whole = await look(copyOf(name));
    assert.deepEqual(
      whole.seen.map((event) => event.hash),
      hashes,
    );
    const without = await look(copyOf(name, false));
    assert.notEqual(without.report.route, "checkpoint");
    assert.deepEqual(
      without.seen.map((event) => event.hash),
      hashes,
    );
    const bare = copyOf(name, false);
    for (const { segmentId, bytes } of fixture.segments) {
      const tableOffset = Number(new DataView(bytes.buffer, bytes.byteOffset + bytes.length - 16, 8).getBigUint64(0, true));
      if (Buffer.from(bytes.subarray(-4)).toString() === "SIDX") truncateSync(segment(bare, segmentId), tableOffset);
    }
    const scanned = await look(bare);
    assert.equal(scanned.report.route, "scan");
    assert.deepEqual(
      scanned.seen.map((event) => event.hash),
      hashes,
    );
    assert.deepEqual(
      scanned.sequences,
      fixture.scanRows.map((_, i) => i),
    );
    assert.equal(scanned.report.problems.length, 0);
  });
}

test("defect 1: events past a checkpoint are numbered on from its allocator", async () => {
  const { report, sequences } = await look(copyOf("ckpt_tail"));
  assert.deepEqual([report.route, report.eventsReplayed], ["checkpoint", 6]);
  assert.deepEqual(
    sequences,
    Array.from({ length: 26 }, (_, i) => i),
  );
});

test("defect 2: payloads that retention kept as plain values read as those values", async () => {
  const store = await Store.open(copyOf("compact_retention"), { readOnly: true });
  const { rows } = loadFixture("compact_retention");
  const kept = rows.filter((row) => row.read_error !== undefined);
  assert.ok(kept.length > 0);
  for (const row of kept) assert.equal(typeof (await store.get(row.event_id))?.data, "object");
  assert.equal((await store.verify()).ok, true);
  await store.close();
});

test("defect 3: a footer that names frames of another segment is not believed", async () => {
  const { report } = await look(copyOf("batch_rotate", false));
  assert.equal(report.route, "scan");
  assert.match(report.reasons.join("\n"), /the footers? .*ignored/);
});

test("defect 7: a bad frame in the middle is damage, and hides nothing behind it", async () => {
  const directory = copyOf("unclean");
  const row = loadFixture("unclean").rows[3];
  change(segment(directory), (bytes) => void (bytes[row.offset + 60] ^= 1));
  const { report, seen } = await look(directory);
  assert.deepEqual(
    report.problems.map(({ code, offset }) => [code, offset]),
    [["DAMAGED", row.offset]],
  );
  assert.equal(seen.length, 9);
  await assert.rejects(Store.open(directory), (error) => isStoreError(error, "CORRUPT") && error.details.offset === row.offset);
});

test("defect 8: a segment that is shorter than its checkpoint says is noticed", async () => {
  const directory = copyOf("tiny");
  const [, second] = loadFixture("tiny").rows;
  truncateSync(segment(directory), second.offset + second.length);
  const { report, seen } = await look(directory);
  assert.equal(seen.length, 2);
  assert.match(report.reasons.join("\n"), /the checkpoint is ignored/);
  assert.equal(report.problems.length, 1);
  await assert.rejects(Store.open(directory), (error) => isStoreError(error, "CORRUPT"));
  // Whoever knows that nothing else is lost goes on with what is whole.
  rmSync(join(directory, "index.ckpt"));
  const store = await Store.open(directory);
  assert.equal(await store.count(), 2);
  await store.close();
});

test("defect 8: a footer's offsets cut nothing off", async () => {
  const directory = copyOf("tiny", false);
  const { rows } = loadFixture("tiny");
  for (const offset of [57n, BigInt(rows[1].offset), BigInt(rows[2].offset + 3), 1n << 62n, 0n]) {
    change(segment(directory), (bytes) => void bytes.writeBigUInt64LE(offset, bytes.length - 16));
    const { report, seen } = await look(directory);
    assert.equal(seen.length, 3);
    assert.equal(report.route, "scan");
  }
});

test("defect 9: zeros are no frames", async () => {
  const directory = copyOf("unclean");
  change(segment(directory), (bytes) => Buffer.concat([bytes, Buffer.alloc(100_000)]));
  const { report, seen } = await look(directory);
  assert.equal(seen.length, 10);
  assert.equal(report.problems.length, 0);
  assert.deepEqual(
    report.tornTails.map(({ bytes }) => bytes),
    [100_000],
  );
});

test("defect 12: segment 1000000 comes after 999999", async () => {
  const directory = copyOf("reopen", false);
  const { segments } = loadFixture("reopen");
  for (const [i, { segmentId, bytes }] of segments.entries()) {
    unlinkSync(segment(directory, segmentId));
    const id = 999_998 + i;
    const sink = new GrowingSink(64);
    encodeSegmentHeader(sink, { flags: 0, createdNs: 0n, segmentId: id });
    const framesAt = 8 + new DataView(bytes.buffer, bytes.byteOffset).getUint32(4);
    const tableOffset = Number(new DataView(bytes.buffer, bytes.byteOffset + bytes.length - 16, 8).getBigUint64(0, true));
    writeFileSync(segment(directory, id), Buffer.concat([sink.copy(), bytes.subarray(framesAt, tableOffset)]));
  }
  const { seen } = await look(directory);
  assert.deepEqual(
    seen.map((event) => event.hash),
    loadFixture("reopen").rows.map((row) => row.event_hash),
  );
});

test("defect 15: a scope's query gives that scope only, a hole among causes is told", async () => {
  const store = await Store.open(copyOf("multi"), { readOnly: true });
  const { rows } = loadFixture("multi");
  for (const scope of new Set(rows.map((row) => row.scope)))
    assert.equal(await store.count({ scope }), rows.filter((row) => row.scope === scope).length);
  for (const entity of new Set(rows.map((row) => row.entity)))
    assert.equal(await store.count({ entity }), rows.filter((row) => row.entity === entity).length);
  await store.close();
});

test("defect 16: times that run backwards reorder nothing, lengths that lie allocate nothing", async () => {
  const directory = copyOf("unclean");
  change(segment(directory), (bytes) => Buffer.concat([bytes, Buffer.from("fffffff012345678a1", "hex")]));
  const { report, seen } = await look(directory);
  assert.equal(seen.length, 10);
  assert.deepEqual([report.problems.length, report.tornTails.length], [0, 1]);
});

test("a mark that names the newest segment decides between damage and a torn tail", async () => {
  const { rows } = loadFixture("unclean");
  const bad = rows[5];
  for (const [synced, problems, events] of [
    [bad.offset + bad.length, 1, 9],
    [bad.offset, 0, 5],
  ]) {
    const directory = copyOf("unclean");
    change(segment(directory), (bytes) => void (bytes[bad.offset + 50] ^= 1));
    writeMark(directory, 1, synced);
    const { report, seen } = await look(directory);
    assert.deepEqual([report.problems.length, seen.length, report.tornTails.length], [problems, events, 1 - problems]);
  }
  const directory = copyOf("unclean");
  writeMark(directory, 1, statSync(segment(directory)).size + 1);
  assert.equal((await look(directory)).report.problems.length, 1, "the log ends before what was synced");
});

test("checkpoints that cannot be believed are ignored with a reason", async () => {
  const { seen } = await look(copyOf("rotate"));
  const ways: Record<string, (directory: string) => void> = {
    version: (directory) => change(join(directory, "index.ckpt"), (bytes) => void bytes.writeUInt16LE(5, 6)),
    short: (directory) => truncateSync(join(directory, "index.ckpt"), 11),
    empty: (directory) => truncateSync(join(directory, "index.ckpt"), 0),
    "half of it": (directory) => changeCheckpoint(directory, (bytes) => Buffer.from(bytes.subarray(0, bytes.length >> 1))),
    allocator: (directory) =>
      changeCheckpoint(directory, (bytes) => void (bytes[12 + 1 + bytes.subarray(13).indexOf("global_sequence") + 15] = 1)),
    "a wrong clock in the last entry": (directory) =>
      changeCheckpoint(directory, (bytes) => void (bytes[bytes.lastIndexOf("\u00a5clock", undefined, "latin1") + 6] ^= 1)),
    "an offset in the middle of a frame": (directory) =>
      changeCheckpoint(directory, (bytes) => void (bytes[bytes.lastIndexOf("\u00a6offset", undefined, "latin1") + 9] ^= 1)),
    "a string id out of range": (directory) =>
      changeCheckpoint(directory, (bytes) => void (bytes[bytes.indexOf("\u00a9entity_id", 0, "latin1") + 10] = 0x7f)),
  };
  for (const [way, spoil] of Object.entries(ways)) {
    const directory = copyOf("rotate");
    spoil(directory);
    const after = await look(directory);
    assert.notEqual(after.report.route, "checkpoint", way);
    assert.match(after.report.reasons.join("\n"), /the checkpoint is ignored/, way);
    assert.deepEqual(after.seen, seen, way);
    assert.equal(after.report.problems.length, 0, way);
  }
});

test("a segment that is gone is told, and the rest is read", async () => {
  const directory = copyOf("rotate");
  unlinkSync(segment(directory, 2));
  const { report, seen } = await look(directory);
  assert.match(report.reasons.join("\n"), /segment 2, which is not there/);
  assert.equal(seen.length, loadFixture("rotate").rows.filter((row) => row.segment_id !== 2).length);
});

test("footers that cannot be believed are ignored", async () => {
  const { seen } = await look(copyOf("rotate"));
  // One that cannot be read leaves its segment without a footer, to be numbered on; one that says something wrong ends belief in all of them.
  const unreadable = ["SDX2", "SDX3", "four billion entries", "an offset past the end"];
  const ways: Record<string, (bytes: Buffer) => void> = {
    SDX2: (bytes) => void bytes.write("SDX2", bytes.length - 4, "latin1"),
    SDX3: (bytes) => void bytes.write("SDX3", bytes.length - 4, "latin1"),
    "four billion entries": (bytes) => void bytes.writeUInt32LE(0xffff_ffff, bytes.length - 8),
    "a wrong kind": (bytes) => void (bytes[bytes.length - 16 - 154 + 24] ^= 1),
    "a wrong hash": (bytes) => void (bytes[bytes.length - 16 - 154 + 70] ^= 1),
    "a sequence far ahead": (bytes) => void (bytes[bytes.length - 16 - 154 + 114 + 3] ^= 0x7f),
    "an offset past the end": (bytes) => void (bytes[bytes.length - 16 - 154 + 105] = 0x7f),
  };
  for (const [way, spoil] of Object.entries(ways)) {
    const directory = copyOf("rotate", false);
    change(segment(directory, 2), spoil);
    const after = await look(directory);
    assert.deepEqual(after.seen, seen, way);
    assert.equal(after.report.route, unreadable.includes(way) ? "footers" : "scan", way);
    assert.match(after.report.reasons.join(), /ignored/, way);
    assert.equal(after.report.problems.length, 0, way);
  }
});

test("mutated directories open, or are refused, and never show an event that was not written", async () => {
  const seed = Math.floor(Math.random() * 2 ** 31);
  let state = seed;
  const random = (below: number): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
  const names = fixtureNames().filter((name) => name !== "empty" && name !== "compact_retention");
  for (let run = 0; run < 120; run++) {
    const name = names[random(names.length)];
    const directory = copyOf(name, random(2) === 0);
    const { rows, segments } = loadFixture(name);
    const known = new Set(rows.map((row) => row.event_hash));
    const hasCheckpoint = random(3) === 0;
    const target = hasCheckpoint ? join(directory, "index.ckpt") : segment(directory, segments[random(segments.length)].segmentId);
    if (!statSync(target, { throwIfNoEntry: false })) continue;
    change(target, (bytes) => {
      const way = random(4);
      if (way === 0) return Buffer.from(bytes.subarray(0, random(bytes.length)));
      if (way === 1) bytes.fill(random(256), random(bytes.length), random(bytes.length));
      else for (let i = 0; i <= random(4); i++) bytes[random(bytes.length)] ^= 1 << random(8);
      if (hasCheckpoint && bytes.length > 12) bytes.writeUInt32LE(crc32(bytes.subarray(12)), 8);
      return bytes;
    });
    try {
      const store = await Store.open(directory, { readOnly: true });
      for await (const batch of store.readPlaced({}, { onDamage: () => {} })) {
        for (const { event } of batch) assert.ok(known.has(event.hash), `seed ${seed}, run ${run} (${name})`);
      }
      await store.verify();
      await store.close();
    } catch (error) {
      if (error instanceof assert.AssertionError) throw error;
      assert.ok(isStoreError(error), `seed ${seed}, run ${run} (${name}): ${(error as Error).stack}`);
    }
    rmSync(directory, { recursive: true, force: true });
  }
});
