/** `verify` holds the lists of an index block (rows by scope, kind and link) against the frames: each number of them, with checksums that are right. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { defineEvent, Store, type } from "../../src/index.ts";
import { blockSeed, INDEX_TRAILER, pageChecksum, pageDataBytes, pageOffset } from "../../src/format/native/index-block-layout.ts";
import { decodeIndexRoot, decodeIndexTrailer } from "../../src/format/native/index-block-root.ts";
import { SimulatedDisk } from "../../src/testing/sim-disk.ts";

const Noted = defineEvent("Noted", { schema: type<{ n: number }>() });
const Answered = defineEvent("Answered", { schema: type<{ n: number }>() });
const EVENTS = 24;

async function smallStore(): Promise<SimulatedDisk> {
  const disk = new SimulatedDisk();
  const store = await Store.open("/store", { disk, segmentBytesMax: 4096 });
  const ids: string[] = [];
  for (let n = 0; n < EVENTS; n++) {
    const coordinate = { entity: `e${n % 3}`, scope: `s${n % 4}` };
    const { id } = await store.append(
      coordinate,
      n % 3 === 0 ? Noted({ n }) : Answered({ n }),
      n % 2 === 1 ? { causedBy: ids[n - 1] } : {},
    );
    ids.push(id);
  }
  await store.close();
  return disk;
}

test("a number that is wrong in one of the lists is told", async () => {
  const disk = await smallStore();
  const path = "/store/000001.fbat";
  const whole = disk.bytesOf(path).slice();
  const end = decodeIndexTrailer(whole.subarray(-INDEX_TRAILER.bytes), whole.length);
  assert(end.ok);
  const rootAt = whole.length - INDEX_TRAILER.bytes - end.trailer.rootBytes;
  const decoded = decodeIndexRoot(whole.subarray(rootAt, rootAt + end.trailer.rootBytes), end.trailer);
  assert(decoded.ok);
  const { root, layout } = decoded;
  assert.ok(root.shape.rowCount > 8 && root.shape.linkCount > 3 && root.kinds.length === 2, JSON.stringify(root.shape));
  const seed = blockSeed(root.storeId, root.segmentId, root.generation);
  for (const name of ["scopeEnds", "scopeRows", "kindEnds", "kindRows", "linkTags"] as const) {
    const section = layout[name];
    const at = whole.length - end.trailer.blockBytes + pageOffset(section, 0);
    const length = pageDataBytes(section, 0);
    assert.ok(length > 0, name);
    for (let word = 0; word < length; word += 4) {
      for (const change of [1, 2, 0x8000_0000]) {
        const bytes = whole.slice();
        const view = new DataView(bytes.buffer);
        view.setUint32(at + word, view.getUint32(at + word, true) ^ change, true);
        view.setUint32(at + length, pageChecksum(bytes.subarray(at, at + length), seed, section.firstPage), true);
        disk.put(path, bytes);
        const store = await Store.open("/store", { disk, readOnly: true });
        const { ok, problems } = await store.verify();
        assert.equal(ok, false, `${name}, word ${word / 4}, changed by ${change}`);
        assert.ok(
          problems.every(({ code }) => code === "INDEX_MISMATCH"),
          JSON.stringify(problems),
        );
        await store.close();
      }
    }
  }
  disk.put(path, whole);
  const store = await Store.open("/store", { disk, readOnly: true });
  assert.equal((await store.verify()).ok, true);
  await store.close();
});
