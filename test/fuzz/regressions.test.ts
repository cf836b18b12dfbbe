/** What fuzzing and damaging found, each as the smallest case that shows it. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { type BlockLayout, INDEX_TRAILER } from "../../src/format/native/index-block-layout.ts";
import { decodeIndexRoot, decodeIndexTrailer } from "../../src/format/native/index-block-root.ts";
import { decodeCheckpoint, encodeCheckpoint } from "../../src/format/native/checkpoint.ts";
import { decodeSegmentHeader, encodeSegmentHeader, SEGMENT_HEADER } from "../../src/format/native/segment-header.ts";
import { repairStore } from "../../src/repair.ts";
import { rawEvent } from "../../src/events/definition.ts";
import { Store } from "../../src/store.ts";
import { SimulatedDisk } from "../../src/testing/sim-disk.ts";
import { DIRECTORY, diskWith, type Files, fixtureFiles, makeNativeFiles } from "../support/small-stores.ts";
import { joined } from "./mutation.ts";
import { mendBlock } from "./native-targets.ts";

const files = await makeNativeFiles(60);
const whole = await countOf(files);

function changed(name: string, change: (bytes: Uint8Array) => Uint8Array): Files {
  return new Map([...files, [name, change((files.get(name) as Uint8Array).slice())]]);
}

async function openToRead(damaged: Files): Promise<Store> {
  return await Store.open(DIRECTORY, { disk: diskWith(damaged), readOnly: true });
}

async function countOf(damaged: Files): Promise<number> {
  const store = await openToRead(damaged);
  const events = await store.read().toArray();
  await store.close();
  return events.length;
}

/** A checkpoint with a right CRC that says something else. */
function forged(change: (description: Record<string, unknown>, columns: Map<string, Uint8Array>) => void): Files {
  return changed("index.ckpt", (bytes) => {
    const decoded = decodeCheckpoint(bytes);
    assert(decoded.kind === "ok");
    const { columns: _lengths, ...description } = structuredClone(decoded.content.description);
    const columns = new Map(decoded.content.columns);
    change(description, columns);
    return joined(...encodeCheckpoint({ description, columns }));
  });
}

describe("a checkpoint with a right CRC and wrong content is ignored, with the reason", () => {
  const cases: Record<string, [RegExp, Parameters<typeof forged>[0]]> = {
    "a system record that ends early made opening throw a RangeError": [
      /a system record is no frame/,
      (description) => (description.records = (description.records as Uint8Array[]).map((record) => record.slice(0, 100))),
    ],
    "a system record that was changed would have been believed": [
      /a system record is no frame/,
      (description) => (description.records as Uint8Array[]).forEach((record) => (record[record.length - 40] ^= 1)),
    ],
    "more frames than its segment has room for": [
      /does not fit its counts/,
      (description) => ((description.segments as { frames: number }[])[0].frames = 1_000_000),
    ],
    "more events than there were sequences": [/more events than sequences/, (description) => (description.visibleEvents = 2 ** 40)],
    "an index block in a segment that is not sealed": [
      /does not fit its counts/,
      (description) => ((description.segments as { sealed: boolean }[])[0].sealed = false),
    ],
    "a head past the end": [
      /heads do not fit/,
      (_description, columns) => columns.set("heads.sequence", new Uint8Array(Float64Array.from({ length: 7 }, () => 1e6).buffer)),
    ],
  };
  for (const [name, [reason, change]] of Object.entries(cases)) {
    test(name, async () => {
      const store = await openToRead(forged(change));
      assert.match(store.openReport.reasons.join("\n"), reason);
      assert.equal((await store.read().toArray()).length, whole);
      await store.close();
    });
  }
});

test("a checkpoint whose rows contradict their summary is refused by the first read of a stream, which never ended", async () => {
  const damaged = forged((_description, columns) => {
    const name = [...columns.keys()].find((key) => /^rows\.\d+\.entity$/.test(key)) as string;
    const entities = new Uint32Array((columns.get(name) as Uint8Array).slice().buffer);
    columns.set(name, new Uint8Array(entities.fill(entities[0]).buffer));
  });
  const store = await openToRead(damaged);
  assert.equal(store.openReport.route, "checkpoint");
  // The newest event's entity is one that has rows there.
  const last = await store.read({}, { direction: "backward", limit: 1 }).first();
  await assert.rejects(store.read({ entity: String(last?.entity) }).toArray(), { code: "CORRUPT" });
  await store.close();
});

test("a stream whose earlier events are gone ends there, read backwards too, also after a repair", async () => {
  const without = new Map(files);
  without.delete("000001.fbat");
  const store = await openToRead(without);
  const backward = await store.read({ entity: "e1" }, { direction: "backward" }).toArray();
  const forward = await store.read({ entity: "e1" }).toArray();
  assert(forward.length > 0);
  assert.deepEqual(
    backward.map(({ id }) => id).reverse(),
    forward.map(({ id }) => id),
  );
  await store.close();
  const disk = diskWith(without);
  await repairStore(DIRECTORY, { disk, apply: true });
  const repaired = await Store.open(DIRECTORY, { disk });
  assert.equal((await repaired.read({ entity: "e1" }, { direction: "backward" }).toArray()).length, forward.length);
  await repaired.close();
});

test("a bad page of an index block where a read begins is rebuilt, not thrown at the reader", async () => {
  for (let back = INDEX_TRAILER.bytes + 200; back < 1400; back += 50) {
    const store = await openToRead(
      changed("000002.fbat", (bytes) => {
        bytes[bytes.length - back] ^= 1;
        return bytes;
      }),
    );
    const backward = await store.read({ entity: "e1" }, { direction: "backward" }).toArray();
    assert.equal(backward.length, await store.count({ entity: "e1" }));
    await store.close();
  }
});

/** The first segment with an index block that says something else, with right checksums. */
function forgedBlock(change: (view: DataView, blockAt: number, layout: BlockLayout) => void): Files {
  return changed("000001.fbat", (bytes) => {
    const view = new DataView(bytes.buffer);
    const blockAt = bytes.length - Number(view.getBigUint64(bytes.length - INDEX_TRAILER.bytes + INDEX_TRAILER.blockBytes, true));
    const trailer = decodeIndexTrailer(bytes.slice(-INDEX_TRAILER.bytes), bytes.length);
    assert(trailer.ok);
    const rootAt = bytes.length - INDEX_TRAILER.bytes - trailer.trailer.rootBytes;
    const root = decodeIndexRoot(bytes.slice(rootAt, -INDEX_TRAILER.bytes), trailer.trailer);
    assert(root.ok);
    change(view, blockAt, root.layout);
    return joined(bytes.subarray(0, blockAt), mendBlock(bytes.slice(blockAt)));
  });
}

test("an index block with right checksums whose offsets run backwards is damage to a read, which threw a RangeError", async () => {
  const damaged = forgedBlock((view, blockAt, { offset }) => {
    const place = blockAt + offset.offset + 4 * 5;
    view.setUint32(place, (view.getUint32(place, true) & 0xc000_0000) | 128, true);
  });
  const store = await openToRead(damaged);
  await assert.rejects(store.read().toArray(), { code: "CORRUPT" });
  await store.close();
});

test("an index block with right checksums whose system record ends early is told by verify, which threw a RangeError", async () => {
  const store = await openToRead(
    forgedBlock((view, blockAt, { systemRecords }) => view.setUint32(blockAt + systemRecords.offset, 3, true)),
  );
  const { problems } = await store.verify();
  assert.deepEqual(
    problems.map(({ code }) => code),
    ["INDEX_MISMATCH"],
  );
  await store.close();
});

test("a checkpoint with a right CRC whose offsets run backwards among rows that lie apart is damage to a read as well", async () => {
  const disk = new SimulatedDisk();
  const store = await Store.open(DIRECTORY, { disk });
  const far = "far".repeat(7000);
  for (let i = 0; i < 200; i++) {
    await store.append({ entity: "e", scope: "read" }, rawEvent(0xf001, { i }));
    await store.append({ entity: "f", scope: "between" }, rawEvent(0xf001, { far }));
  }
  await store.close();
  const path = `${DIRECTORY}/index.ckpt`;
  const decoded = decodeCheckpoint(disk.bytesOf(path));
  assert(decoded.kind === "ok");
  const { columns: _lengths, ...description } = structuredClone(decoded.content.description);
  const columns = new Map(decoded.content.columns);
  const name = [...columns.keys()].find((key) => /^rows\.\d+\.offset$/.test(key));
  assert(name !== undefined);
  const offsets = new Uint32Array((columns.get(name) as Uint8Array).slice().buffer);
  // A frame that ends before it begins, and one behind it that would lie in front of what was read for both.
  for (const [row, offset] of [
    [301, 5000],
    [302, 5100],
  ])
    offsets[row] = ((offsets[row] & 0xc000_0000) | offset) >>> 0;
  columns.set(name, new Uint8Array(offsets.buffer));
  disk.put(path, joined(...encodeCheckpoint({ description, columns })));
  const reader = await Store.open(DIRECTORY, { disk, readOnly: true });
  assert.equal(reader.openReport.route, "checkpoint");
  await assert.rejects(reader.read({ scope: "read" }).toArray(), { code: "CORRUPT" });
  await reader.close();
});

test("a segment with a broken magic is damage to read behind and to repair, not another program's file", async () => {
  for (const name of ["000001.fbat", "000004.fbat"]) {
    const damaged = changed(name, (bytes) => {
      bytes[3] ^= 1;
      return bytes;
    });
    const withoutCheckpoint = new Map(damaged);
    withoutCheckpoint.delete("index.ckpt");
    const store = await openToRead(withoutCheckpoint);
    assert.equal((await store.read().toArray()).length, whole);
    assert.equal(store.openReport.problems[0].segmentId, Number.parseInt(name, 10));
    await store.close();
    await assert.rejects(Store.open(DIRECTORY, { disk: diskWith(withoutCheckpoint) }), { code: "CORRUPT" });
    const disk = diskWith(withoutCheckpoint);
    await repairStore(DIRECTORY, { disk, apply: true });
    const repaired = await Store.open(DIRECTORY, { disk });
    assert.equal((await repaired.read().toArray()).length, whole);
    assert.equal((await repaired.verify()).ok, true);
    await repaired.close();
  }
});

test("the only segment with a broken header says through its frames whose it is", async () => {
  const one = await makeNativeFiles(6);
  const bytes = (one.get("000001.fbat") as Uint8Array).slice();
  bytes[0] ^= 1;
  const store = await openToRead(new Map([["000001.fbat", bytes]]));
  assert((await store.read().toArray()).length >= 6);
  await store.close();
});

test("another segment's file under a name among ours leaves the rest readable", async () => {
  const damaged = new Map(changed("000002.fbat", () => files.get("000001.fbat") as Uint8Array));
  damaged.delete("index.ckpt");
  const store = await openToRead(damaged);
  assert.match(store.openReport.problems.map(({ message }) => message).join(), /names segment 1/);
  assert((await store.read().toArray()).length > 0);
  await store.close();
});

test("repair says that it cannot mend a batpak 0.3 store, and changes nothing", async () => {
  await assert.rejects(repairStore(DIRECTORY, { disk: diskWith(fixtureFiles("tiny")), apply: true }), { code: "UNSUPPORTED_BY_LAYOUT" });
});

test("a flipped bit in the generation of a segment's header made a reader read the log anew for ever", async () => {
  for (let byte = 0; byte < 8; byte++) {
    const damaged = changed("000001.fbat", (bytes) => {
      bytes[SEGMENT_HEADER.generation + byte] ^= 1;
      return bytes;
    });
    const store = await openToRead(damaged);
    assert.equal((await store.read().toArray()).length, whole);
    assert.equal((await store.verify()).ok, false);
    await store.close();
  }
});

test("a forged header with a right checksum, which tells of a compaction that never was, ends a read", async () => {
  const name = "000001.fbat";
  const forged = changed(name, (bytes) => {
    const outcome = decodeSegmentHeader(bytes);
    assert(outcome.kind === "ok");
    bytes.set(encodeSegmentHeader({ ...outcome.header, generation: outcome.header.generation + 1 }));
    return bytes;
  });
  // Whoever opens goes by it.
  assert.equal(await countOf(forged), whole);
  // It is there for who reads, and never for who looks at the log anew: each look opens the file for its layout and for its header.
  const disk = diskWith(changed(name, (bytes) => bytes));
  const sound = disk.bytesOf(`${DIRECTORY}/${name}`);
  let opens = 0;
  disk.faults = ({ kind, path }) => {
    if (kind === "list") opens = 0;
    if (kind === "open" && path.endsWith(name)) disk.put(path, ++opens > 2 ? (forged.get(name) ?? null) : sound);
    return undefined;
  };
  const store = await Store.open(DIRECTORY, { disk, readOnly: true });
  await assert.rejects(store.read().toArray(), { code: "COMPACTED" });
  // That of the command line's tools read the log anew for ever.
  await assert.rejects(store.readPlaced({}, { onDamage: () => {} }).next(), { code: "COMPACTED" });
  await store.close();
});

test("a forged header that names a far place for what was removed is damage, not a broken invariant", async () => {
  const forged = changed("000001.fbat", (bytes) => {
    const outcome = decodeSegmentHeader(bytes);
    assert(outcome.kind === "ok");
    const { generation, segmentId } = outcome.header;
    bytes.set(encodeSegmentHeader({ ...outcome.header, generation, replacesFrom: segmentId, replacesTo: segmentId, retentionAt: 2 ** 50 }));
    return bytes;
  });
  const store = await openToRead(forged);
  assert((await store.verify()).problems.some(({ code }) => code === "RETENTION_MISMATCH"));
  await store.close();
});
