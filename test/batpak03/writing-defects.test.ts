/** None of the original's defects in writing (test/fixtures/batpak-0.3/layout.md, by their numbers there), one test for each that applies. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { atOnce } from "../../src/base/rest.ts";
import { decodeFooter, decodeTrailer, Footer, misplacedEntry } from "../../src/format/batpak03/footer.ts";
import { decodeFrame, type Frame, frameEntity } from "../../src/format/batpak03/frame.ts";
import { decodeDurableMark } from "../../src/format/native/durable-mark.ts";
import { isStoreError } from "../../src/base/store-error.ts";
import { Store } from "../../src/store.ts";
import type { StoreOptions } from "../../src/store-options.ts";
import { SimulatedDisk } from "../../src/testing/sim-disk.ts";

const DIRECTORY = "/store";
const KIND = 0x1000;
const a = { entity: "a", scope: "s" };
const b = { entity: "b", scope: "s" };

function open(disk: SimulatedDisk, options: StoreOptions = {}): Promise<Store> {
  return Store.open(DIRECTORY, { layout: "batpak-0.3", segmentBytesMax: 4096, ...options, disk });
}

function pad(n: number, bytes = 600): { kind: number; data: unknown } {
  return { kind: KIND, data: { n, pad: "p".repeat(bytes) } };
}

interface Segment {
  readonly frames: Frame[];
  readonly footer: Footer | null;
}

/** A segment's frames and footer, decoded; every byte is one or the other. */
function segmentOf(disk: SimulatedDisk, name: string): Segment {
  const bytes = new Uint8Array(disk.bytesOf(`${DIRECTORY}/${name}`));
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const trailer = decodeTrailer(bytes.subarray(-16), bytes.length, 57);
  const end = trailer.kind === "ok" ? trailer.tableOffset : bytes.length;
  const frames: Frame[] = [];
  for (let at = 57; at < end; at += view.getUint32(at) + 8) {
    const frame = decodeFrame(bytes, view, at, end);
    assert.ok(frame.kind === "ok", `no frame at ${at} of ${name}`);
    frames.push(frame);
  }
  const footer = trailer.kind === "ok" ? atOnce(decodeFooter(bytes.subarray(trailer.tableOffset), trailer)) : null;
  assert.ok(footer === null || footer instanceof Footer);
  return { frames, footer };
}

function segmentNames(disk: SimulatedDisk): string[] {
  return disk
    .paths()
    .filter((path) => path.endsWith(".fbat"))
    .map((path) => path.slice(DIRECTORY.length + 1))
    .sort();
}

describe("defects of the original that concern writing", () => {
  test("defect 3: no batch straddles a rotation, and footers list what stands in their own segment", async () => {
    const disk = new SimulatedDisk();
    const store = await open(disk);
    for (let n = 0; n < 20; n++)
      await store.appendBatch([0, 1, 2, 3].map((i) => ({ coordinate: i % 2 === 0 ? a : b, event: pad(n * 4 + i) })));
    await store.close();
    const names = segmentNames(disk);
    assert.ok(names.length > 5, `only ${names.length} segments`);
    let sequence = 0;
    for (const name of names) {
      const { frames, footer } = segmentOf(disk, name);
      let inBatch = false;
      for (const { eventKind } of frames) {
        if (eventKind === 6 || eventKind === 7) assert.equal(inBatch, eventKind === 7);
        if (eventKind === 6 || eventKind === 7) inBatch = eventKind === 6;
      }
      assert.ok(!inBatch, `a batch goes on past ${name}`);
      assert.ok(footer !== null);
      assert.equal(atOnce(misplacedEntry(footer, 57)), null);
      const events = frames.filter(({ eventKind }) => eventKind === KIND);
      assert.equal(footer.entryCount, events.length);
      for (const [entry, frame] of events.entries()) {
        assert.equal(footer.frameOffset(entry), frame.offset);
        assert.equal(footer.globalSequence(entry), sequence++);
        assert.equal(footer.strings[footer.entityIndex(entry)], frameEntity(frame));
      }
    }
  });

  test("defect 4: a BEGIN without its COMMIT swallows nothing that is appended later", async () => {
    const disk = new SimulatedDisk();
    const store = await open(disk, { segmentBytesMax: 2 ** 20 });
    await store.append(a, pad(0));
    // The batch's write ends in its midst: after BEGIN and an item.
    disk.faults = ({ kind, path }) => (kind === "write" && path.endsWith(".fbat") ? { error: "EIO", afterBytes: 2500 } : undefined);
    await assert.rejects(store.append(a, [pad(1), pad(2), pad(3)]), (error) => isStoreError(error, "COMMIT_UNKNOWN"));
    disk.faults = undefined;
    await store.close().catch(() => {});
    await (await open(disk)).close();
    const kinds = segmentOf(disk, "000001.fbat").frames.map(({ eventKind }) => eventKind);
    assert.ok(kinds.includes(6) && !kinds.includes(7), `the first segment has the kinds ${kinds.join(", ")}`);
    for (let opening = 0; opening < 3; opening++) {
      const again = await open(disk);
      for (let n = 0; n < 3; n++) await again.append(b, pad(100 + n, 10));
      assert.equal(await again.count(), 1 + 3 * (opening + 1));
      await again.close();
    }
    // Without checkpoint and footers the frames alone say the same.
    await disk.remove(`${DIRECTORY}/index.ckpt`);
    const scanned = await open(disk);
    assert.equal(await scanned.count({ entity: "b" }), 9);
    assert.equal(await scanned.count({ entity: "a" }), 1);
    await scanned.close();
  });

  test("defect 5: after a write that failed in part nothing is written any more, and the next opening reads all that was whole", async () => {
    const disk = new SimulatedDisk();
    const store = await open(disk);
    const receipt = await store.append(a, pad(0));
    disk.faults = ({ kind, path }) => (kind === "write" && path.endsWith(".fbat") ? { error: "ENOSPC", afterBytes: 100 } : undefined);
    await assert.rejects(store.append(a, pad(1)), (error) => isStoreError(error, "COMMIT_UNKNOWN"));
    disk.faults = undefined;
    const operations = disk.operationCount;
    await assert.rejects(store.append(a, pad(2)), (error) => isStoreError(error, "POISONED"));
    assert.equal(disk.operationCount, operations, "a poisoned store wrote on");
    assert.equal((await store.get(receipt.id))?.sequence, 0);
    await assert.rejects(store.close(), (error) => isStoreError(error, "POISONED"));
    const again = await open(disk);
    const next = await again.append(a, pad(2));
    assert.deepEqual({ sequence: next.sequence, clock: next.clock }, { sequence: 1, clock: 1 });
    assert.deepEqual(
      (await again.read().toArray()).map(({ data }) => (data as { n: number }).n),
      [0, 2],
    );
    await again.close();
  });

  test("defect 6: a sync that failed is never tried again", async () => {
    for (const durability of ["fsync", "os"] as const) {
      const disk = new SimulatedDisk();
      const store = await open(disk, { durability });
      await store.append(a, pad(0));
      disk.faults = ({ kind, path }) => (kind === "sync" && path.endsWith(".fbat") ? { error: "EIO" } : undefined);
      if (durability === "os") await assert.rejects(store.sync());
      else {
        disk.faults = ({ kind, path }) => (["write", "sync"].includes(kind) && path.endsWith(".fbat") ? { error: "EIO" } : undefined);
        await assert.rejects(store.append(a, pad(1)), (error) => isStoreError(error, "COMMIT_UNKNOWN"));
      }
      disk.faults = undefined;
      await assert.rejects(store.append(a, pad(2)), (error) => isStoreError(error, "POISONED"));
      await assert.rejects(store.sync(), (error) => isStoreError(error, "POISONED"));
      await assert.rejects(store.close(), (error) => isStoreError(error, "POISONED"));
      assert.equal(segmentOf(disk, "000001.fbat").footer, null, "a poisoned store sealed its segment");
    }
  });

  test("defect 9: nothing is written beyond the frames: no zeros to be taken for empty ones", async () => {
    const disk = new SimulatedDisk();
    const store = await open(disk, { segmentBytesMax: 2 ** 20 });
    for (let n = 0; n < 5; n++) await store.append(a, pad(n));
    assert.equal(segmentOf(disk, "000001.fbat").frames.length, 5);
    await store.close();
  });

  test("defect 10: batches honour keys, and a keyed retry with an expectation gets the first receipt", async () => {
    const disk = new SimulatedDisk();
    const store = await open(disk);
    const items = [
      { coordinate: a, event: pad(0), idempotencyKey: "one", expect: "none" },
      { coordinate: b, event: pad(1), idempotencyKey: "two" },
    ] as const;
    const first = await store.appendBatch(items);
    const retried = await store.appendBatch(items);
    assert.deepEqual(JSON.parse(JSON.stringify(retried)), JSON.parse(JSON.stringify(first)));
    const single = await store.append(a, pad(2), { idempotencyKey: "three", expect: { clock: 0 } });
    assert.equal((await store.append(a, pad(2), { idempotencyKey: "three", expect: { clock: 0 } })).id, single.id);
    await assert.rejects(store.append(a, pad(3), { idempotencyKey: "three" }), (error) => isStoreError(error, "IDEMPOTENCY_MISMATCH"));
    await store.close();
    const again = await open(disk);
    assert.equal((await again.appendBatch(items))[1]?.id, first[1]?.id);
    assert.equal((await again.append(a, pad(2), { idempotencyKey: "three", expect: { clock: 0 } })).sequence, 2);
    assert.equal(await again.count(), 3);
    await again.close();
  });

  test("defect 11: clock 0 and no stream are different expectations", async () => {
    const disk = new SimulatedDisk();
    const store = await open(disk);
    await assert.rejects(store.append(a, pad(0), { expect: { clock: 0 } }), (error) => isStoreError(error, "CONFLICT"));
    await store.append(a, pad(0), { expect: "none" });
    await assert.rejects(store.append(a, pad(1), { expect: "none" }), (error) => isStoreError(error, "CONFLICT"));
    await store.append(a, pad(1), { expect: { clock: 0 } });
    await assert.rejects(store.append(a, pad(2), { expect: { clock: 0 } }), (error) => isStoreError(error, "CONFLICT"));
    await store.close();
  });

  test("defect 12: a new segment, its name and the mark are durable before a frame is acknowledged, and so is all before it", async () => {
    for (const durability of ["fsync", "os"] as const) {
      const disk = new SimulatedDisk();
      const store = await open(disk, { durability });
      for (let n = 0; n < 12; n++) {
        await store.append(a, pad(n));
        const names = segmentNames(disk);
        const newest = names[names.length - 1] as string;
        for (const name of names.slice(0, -1)) {
          const path = `${DIRECTORY}/${name}`;
          assert.ok(disk.isDurable(path, 0, disk.bytesOf(path).length), `${name} is not durable, and ${newest} has frames`);
        }
        assert.ok(disk.isDurable(`${DIRECTORY}/${newest}`, 0, 57), `${newest} is not durable`);
        // What a power cut may leave of the mark names the newest segment.
        for (const left of disk.possibleDisks({ limit: 4, seed: n })) {
          const mark = decodeDurableMark(new Uint8Array(left.bytesOf(`${DIRECTORY}/durable.mark`)));
          assert.ok(mark !== null && mark.syncedSegment === Number.parseInt(newest, 10), "the mark was not synced with the segment");
        }
      }
      await store.close();
    }
  });

  test("defect 12: the segment after 999999 is 1000000", async () => {
    const disk = new SimulatedDisk();
    const store = await open(disk);
    await store.append(a, pad(0));
    await store.close();
    const bytes = Buffer.from(disk.bytesOf(`${DIRECTORY}/000001.fbat`));
    // The same frames in a segment with another number.
    const header = Buffer.from("aa7365676d656e745f6964", "hex");
    const at = bytes.indexOf(header) + header.length;
    const number = Buffer.from([0xce, 0x00, 0x0f, 0x42, 0x3f]);
    const grown = Buffer.concat([bytes.subarray(0, at), number, bytes.subarray(at + 1, 57), segmentFrames(bytes)]);
    grown.writeUInt32BE(49 + 4, 4);
    await disk.remove(`${DIRECTORY}/000001.fbat`);
    await disk.remove(`${DIRECTORY}/index.ckpt`);
    await disk.remove(`${DIRECTORY}/durable.mark`);
    const file = await disk.open(`${DIRECTORY}/999999.fbat`, "create");
    await file.write(grown, 0, grown.length, 0, false);
    await file.close();
    const again = await open(disk);
    await again.append(a, pad(1));
    await again.close();
    assert.deepEqual(segmentNames(disk).sort(), ["1000000.fbat", "999999.fbat"]);
    const third = await open(disk);
    assert.deepEqual(
      (await third.read().toArray()).map(({ clock }) => clock),
      [0, 1],
    );
    await third.close();
  });

  test("defect 14: a second writer is refused", async () => {
    const disk = new SimulatedDisk();
    const store = await open(disk);
    await assert.rejects(open(disk), (error) => isStoreError(error, "LOCKED"));
    await store.close();
  });
});

/** The frames of a sealed segment with a header of 57 bytes. */
function segmentFrames(bytes: Buffer): Buffer {
  const trailer = decodeTrailer(new Uint8Array(bytes.subarray(-16)), bytes.length, 57);
  assert.ok(trailer.kind === "ok");
  return bytes.subarray(57, trailer.tableOffset);
}
