/** A store of one segment whose magic is damaged is still one of the batpak 0.3 layout: what is whole is read, and a writer is refused. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { compactStore, repairStore, Store } from "../../src/index.ts";
import { loadFixture } from "../support/batpak03-fixtures.ts";
import { DIRECTORY, diskWith, filesOf, type Files, fixtureFiles, makeNativeFiles } from "../support/small-stores.ts";

const SEGMENT = "000001.fbat";

function without(files: Files, names: readonly string[], change: (segment: Uint8Array) => void): Map<string, Uint8Array> {
  const changed = new Map(files);
  for (const name of names) changed.delete(name);
  const segment = Uint8Array.from(files.get(SEGMENT) as Uint8Array);
  change(segment);
  return changed.set(SEGMENT, segment);
}

/** Gives the hashes of what a reader sees. */
async function isDamaged03(files: Files): Promise<string[]> {
  const disk = diskWith(files);
  await assert.rejects(Store.open(DIRECTORY, { disk }), { code: "CORRUPT" });
  await assert.rejects(repairStore(DIRECTORY, { disk }), { code: "UNSUPPORTED_BY_LAYOUT" });
  await assert.rejects(Store.open(DIRECTORY, { disk, layout: "native" }), { code: "LAYOUT_MISMATCH" });
  assert.deepEqual([...filesOf(disk).keys()], [...files.keys()]);
  assert.deepEqual(filesOf(disk).get(SEGMENT), files.get(SEGMENT));
  const reader = await Store.open(DIRECTORY, { disk, readOnly: true });
  assert.deepEqual(
    reader.openReport.problems.map((problem) => [problem.code, problem.segmentId, problem.offset]),
    [["DAMAGED", 1, 0]],
  );
  const hashes = (await reader.read().toArray()).map((event) => event.hash);
  await reader.close();
  return hashes;
}

test("any flipped bit of the magic, with a checkpoint and without, leaves every event readable", async () => {
  const { rows } = loadFixture("tiny");
  const all = rows.map((row) => row.event_hash);
  for (const names of [[], ["index.ckpt"]]) {
    for (let bit = 0; bit < 32; bit++) {
      const files = without(fixtureFiles("tiny"), names, (segment) => void (segment[bit >> 3] ^= 1 << (bit & 7)));
      assert.deepEqual(await isDamaged03(files), all, `bit ${bit}`);
    }
  }
});

test("where the whole header is gone, the checkpoint tells the layout", async () => {
  const { rows } = loadFixture("tiny");
  const rest = rows.filter((row) => row.offset >= 512).map((row) => row.event_hash);
  assert.equal(rest.length, 1);
  const files = without(fixtureFiles("tiny"), [], (segment) => void segment.fill(0, 0, 512));
  assert.deepEqual(await isDamaged03(files), rest);
});

test("a native store whose only segment has lost its magic is known by its checkpoint", async () => {
  const files = without(await makeNativeFiles(3, 65_536), [], (segment) => void (segment[3] ^= 1));
  assert.equal([...files.keys()].filter((name) => name.endsWith(".fbat")).length, 1);
  await assert.rejects(Store.open(DIRECTORY, { disk: diskWith(files), layout: "batpak-0.3" }), { code: "LAYOUT_MISMATCH" });
  await assert.rejects(compactStore(DIRECTORY, { disk: diskWith(files), keepLast: 1 }), { code: "CORRUPT" });
});
