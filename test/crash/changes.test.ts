/**
 * Repair and conversion crashed during every operation, on the disks that this may leave: a repair loses nothing that is whole and has copied
 * what it changes; a conversion's target is not there, or it is the whole store. Both can be begun again. `BATPAK_TEST_LONG=1` looks at many more disks.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { convertStore } from "../../src/convert.ts";
import { repairStore } from "../../src/repair.ts";
import { Store } from "../../src/store.ts";
import type { Layout } from "../../src/store-options.ts";
import type { SimulatedDisk } from "../../src/testing/sim-disk.ts";
import { DIRECTORY, diskWith, type Files, filesOf, fixtureFiles, makeNativeFiles, Noted } from "../support/small-stores.ts";
import { crashChange } from "./change-crash.ts";
import { readEvents } from "./damage-ways.ts";

const LONG = process.env.BATPAK_TEST_LONG === "1";
const TARGET = "/target";
const UNFINISHED = `${TARGET}/conversion.unfinished`;

async function eventsIn(disk: SimulatedDisk, known: ReadonlyMap<number, string> = new Map()): Promise<Map<number, string>> {
  const store = await Store.open(DIRECTORY, { disk, readOnly: true });
  try {
    return await readEvents(store, known);
  } finally {
    await store.close();
  }
}

/** What a conversion keeps of every event: the layouts hash different bytes, and one has no room for metadata. */
async function keptIn(disk: SimulatedDisk, directory: string): Promise<Map<number, string>> {
  const dropped = new Set(["hash", "metadata", "previousHash", "type", "version"]);
  const store = await Store.open(directory, { disk, readOnly: true });
  const events = new Map<number, string>();
  for (const event of await store.read().toArray()) {
    events.set(
      event.sequence,
      JSON.stringify(event, (key, value: unknown) => (dropped.has(key) ? null : value)),
    );
  }
  await store.close();
  return events;
}

const sound = await makeNativeFiles(36);
const all = await eventsIn(diskWith(sound));

function changed(name: string, change: (bytes: Uint8Array) => void): Files {
  const bytes = (sound.get(name) as Uint8Array).slice();
  change(bytes);
  return new Map([...sound, [name, bytes]]);
}

function without(name: string): Files {
  const files = new Map(sound);
  files.delete(name);
  return files;
}

const newest = [...sound.keys()].filter((name) => name.endsWith(".fbat")).sort()[sound.size - 3] as string;

// The last one was found here: the checkpoint of a store repaired like that numbered its events anew, from the segment's first sequence on.
const damagedStores: readonly (readonly [string, Files])[] = [
  ["a byte of a sealed segment", changed("000002.fbat", (bytes) => (bytes[900] ^= 0x10))],
  ["a segment's header and a sector of another", changed("000001.fbat", (bytes) => bytes.fill(0, 0, 128).fill(0, 1024, 1536))],
  ["a segment that is gone", without("000002.fbat")],
  ["a synced frame of the newest segment", changed(newest, (bytes) => (bytes[200] ^= 0x10))],
  // Nothing but the removal of the file tells that it was repaired.
  [
    "a store with a file that is none of its segments",
    new Map([...without("index.ckpt"), ["900000000000000.fbat", new Uint8Array(300).fill(7)]]),
  ],
];

for (const [name, files] of damagedStores) {
  test(`a repair of ${name}, cut off anywhere: nothing whole is lost, what is changed was copied before, and repairing again ends it`, async () => {
    const kept = await eventsIn(diskWith(files), all);
    assert.ok(kept.size > 5 && (kept.size < all.size || files.size >= sound.size), `${kept.size} of ${all.size}`);
    const { operations, states } = await crashChange(
      `the repair of ${name}`,
      {
        disk: () => diskWith(files),
        run: (disk) => repairStore(DIRECTORY, { disk, apply: true }),
        check: async (left, ended) => {
          const now = filesOf(left);
          for (const [file, bytes] of files) {
            if (Buffer.compare(now.get(file) ?? new Uint8Array(0), bytes) === 0) continue;
            const copies = left.paths().filter((path) => path.startsWith(`${DIRECTORY}/damaged-`) && path.endsWith(`/${file}`));
            assert.ok(
              copies.some((path) => Buffer.compare(left.bytesOf(path), bytes) === 0),
              `${file} was changed, and there is no copy of it`,
            );
          }
          // Mended or not: what is whole is read.
          assert.deepEqual(await eventsIn(left, all), kept);
          const report = await repairStore(DIRECTORY, { disk: left, apply: true });
          if (ended) assert.deepEqual(report.actions, [], "a repair that had ended is to be done again");
          const store = await Store.open(DIRECTORY, { disk: left });
          // Found here: once the last segment was mended, a checkpoint that was still there was believed, and spoke of the segment as it had been.
          const codes = (await store.verify()).problems.map(({ code }) => code);
          assert.deepEqual(
            codes.filter((code) => code.endsWith("_MISMATCH")),
            [],
          );
          await store.compact({ keepLast: 1, dryRun: true });
          await store.append({ entity: "after", scope: "s" }, Noted({ n: -1, text: "goes on" }));
          await store.close();
          const after = await eventsIn(left);
          for (const [sequence, event] of kept) assert.equal(after.get(sequence), event);
          assert.equal(after.size, kept.size + 1);
        },
        checkLater: async (left) => {
          const after = await eventsIn(left);
          for (const [sequence, event] of kept) assert.equal(after.get(sequence), event);
          assert.equal(after.size, kept.size + 1, "what was appended after a repair is gone after a power cut");
        },
      },
      LONG ? 64 : 2,
    );
    console.log(`repair of ${name}: ${states} crash states tried, of ${operations} operations`);
  });
}

const conversions: readonly (readonly [string, Files, Layout])[] = [
  ["native to batpak 0.3", sound, "batpak-0.3"],
  ["batpak 0.3 to native", fixtureFiles("batch_rotate"), "native"],
];

for (const [name, files, layout] of conversions) {
  test(`a conversion from ${name}, cut off anywhere: no target or the whole, the source as it was, and converting again ends it`, async () => {
    const kept = await keptIn(diskWith(files), DIRECTORY);
    assert.ok(kept.size > 3);
    const convert = (disk: SimulatedDisk): Promise<unknown> =>
      convertStore(DIRECTORY, TARGET, { layout, lossy: true, segmentBytesMax: 4096, disk });
    let absent = 0;
    let whole = 0;
    // Whether the disk that was checked last had a target, and so may have had appends acknowledged in it.
    let isThere = false;
    const assertWhole = async (left: SimulatedDisk): Promise<void> => {
      const store = await Store.open(TARGET, { disk: left });
      assert.equal(await left.status(UNFINISHED), null, "what is open for writing may be cleared by a conversion");
      assert.deepEqual((await store.verify()).problems, []);
      await store.close();
      assert.deepEqual(await keptIn(left, TARGET), kept);
    };
    const { operations, states } = await crashChange(
      `the conversion from ${name}`,
      {
        disk: () => diskWith(files),
        run: convert,
        check: async (left, ended) => {
          assert.deepEqual(filesOf(left), files, "the source was changed");
          if ((await left.status(TARGET)) === null) {
            assert.ok(!ended, "the conversion had ended, and its target is gone");
            // Each is done again in the long run; else some are.
            isThere = false;
            if (absent++ % 5 > 0 && !LONG) return;
            await convert(left);
          } else {
            whole++;
          }
          isThere = true;
          await assertWhole(left);
        },
        // Found by looking: the name that a killed conversion had given was not durable, and a power cut took it with all that was appended since.
        checkLater: async (left) => {
          if (isThere) await assertWhole(left);
          assert.deepEqual(filesOf(left), files, "the source was changed");
        },
      },
      LONG ? 32 : 1,
    );
    assert.ok(absent > 10 && whole > 0, `${absent} without a target, ${whole} with it`);
    console.log(`conversion from ${name}: ${states} crash states tried, of ${operations} operations`);
  });
}

test("a conversion that has ended is no unfinished one, whatever a power cut leaves", async () => {
  const disk = diskWith(sound);
  await convertStore(DIRECTORY, TARGET, { layout: "batpak-0.3", lossy: true, segmentBytesMax: 4096, disk });
  for (const left of [disk.diskAfterCrash(), ...disk.possibleDisks({ limit: 64 })]) {
    assert.deepEqual([(await left.status(TARGET))?.type, await left.status(UNFINISHED)], ["directory", null]);
  }
});

test("a conversion that is cut off while it clears what another left is begun anew", async () => {
  const disk = diskWith(sound);
  const convert = (on: SimulatedDisk): Promise<unknown> =>
    convertStore(DIRECTORY, TARGET, { layout: "batpak-0.3", lossy: true, segmentBytesMax: 4096, disk: on });
  const fails = (kind: string, name: RegExp): void => {
    disk.faults = (operation) => (operation.kind === kind && name.test(operation.path) ? { error: "EIO" } : undefined);
  };
  // Interrupted at its end, then again when all is cleared.
  fails("rename", /\.converting$/);
  await assert.rejects(convert(disk), { code: "IO" });
  fails("create", /conversion\.jsonl/);
  await assert.rejects(convert(disk), { code: "IO" });
  let tried = 0;
  for (const left of disk.possibleDisks({ limit: 64 })) {
    await convert(left);
    tried++;
  }
  assert.ok(tried > 1, `${tried} disks`);
});
