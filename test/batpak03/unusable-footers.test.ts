/** What a footer that cannot be used any more hides: no event, and nothing from `verify`. The newest segment, without a checkpoint or a mark. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { rawEvent, Store } from "../../src/index.ts";
import { SimulatedDisk } from "../../src/testing/sim-disk.ts";
import { DIRECTORY, diskWith } from "../support/small-stores.ts";

const EVENTS = 5;

async function closedSegment(): Promise<{ readonly bytes: Buffer; readonly framesEnd: number }> {
  const disk = new SimulatedDisk();
  const store = await Store.open(DIRECTORY, { disk, layout: "batpak-0.3" });
  for (let n = 0; n < EVENTS; n++) await store.append({ entity: "e", scope: "s" }, rawEvent(0xf001, { n }));
  await store.close();
  const bytes = Buffer.from(disk.bytesOf(`${DIRECTORY}/000001.fbat`));
  return { bytes, framesEnd: Number(bytes.readBigUInt64LE(bytes.length - 16)) };
}

// Found by looking: bytes that are gone from the last frame move the footer, whose trailer does not fit any more. The event was gone without a word.
test("a last frame that is damaged before a footer that does not fit is damage", async () => {
  const { bytes, framesEnd } = await closedSegment();
  const damaged = diskWith(new Map([["000001.fbat", Buffer.concat([bytes.subarray(0, framesEnd - 30), bytes.subarray(framesEnd - 20)])]]));
  const reader = await Store.open(DIRECTORY, { disk: damaged, readOnly: true });
  assert.equal(await reader.count(), EVENTS - 1);
  assert.deepEqual(
    reader.openReport.problems.map(({ code }) => code),
    ["DAMAGED"],
  );
  assert.equal((await reader.verify()).ok, false);
  await reader.close();
  await assert.rejects(Store.open(DIRECTORY, { disk: damaged }), { code: "CORRUPT" });
});

test("a newest segment's footer that cannot be used is no damage, and verify tells of it", async () => {
  const { bytes, framesEnd } = await closedSegment();
  const wrongOffset = Buffer.from(bytes);
  wrongOffset[bytes.length - 13] = 9;
  const noTable = Buffer.from(bytes);
  noTable[framesEnd] = 0xc0;
  for (const spoilt of [wrongOffset, noTable]) {
    const disk = diskWith(new Map([["000001.fbat", spoilt]]));
    for (const readOnly of [true, false]) {
      const store = await Store.open(DIRECTORY, { disk, readOnly });
      // To a writer, what it found is the newest until it has begun a segment of its own.
      if (!readOnly) await store.append({ entity: "e", scope: "s" }, rawEvent(0xf001, { n: EVENTS }));
      assert.equal(await store.count(), readOnly ? EVENTS : EVENTS + 1);
      assert.deepEqual(store.openReport.problems, []);
      const { problems } = await store.verify();
      assert.deepEqual(
        problems.map(({ code, offset }) => [code, offset]),
        [["INDEX_UNUSABLE", bytes.length]],
      );
      await store.close();
    }
  }
});
