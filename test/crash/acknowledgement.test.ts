/**
 * Every acknowledgement comes after the sync of its bytes: at the moment an append resolves, its frame survives any power cut. The same
 * check must fail on a disk that lies, else it would prove nothing.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { delegateTo } from "../../src/disk/delegate-disk.ts";
import type { Disk, DiskFile, FileMode } from "../../src/disk/disk.ts";
import { readMark } from "../../src/log/mark-file.ts";
import { segmentName } from "../../src/log/segment-files.ts";
import { Store } from "../../src/store.ts";
import type { StoreOptions } from "../../src/store-options.ts";
import { SimulatedDisk } from "../../src/testing/sim-disk.ts";

const DIRECTORY = "/store";
const KIND = 0x1000;

/** Appends much, and gives what was told durable while its bytes were not, and how many frames were looked at. */
async function violations(
  disk: SimulatedDisk,
  seenByStore: Disk,
  options: StoreOptions,
): Promise<{ readonly found: string[]; readonly frames: number }> {
  const found: string[] = [];
  let frames = 0;
  const store = await Store.open(DIRECTORY, { segmentBytesMax: 8192, ...options, disk: seenByStore });
  const append = async (name: string, padBytes: number): Promise<void> => {
    const data = { name, pad: "p".repeat(padBytes) };
    const receipt = await store.append({ entity: name, scope: "scope" }, { kind: KIND, data });
    if (receipt.durable) look(receipt.hash);
  };
  const look = (hash: string): void => {
    const place = placeOf(disk, Buffer.from(hash, "hex"));
    frames++;
    if (place === null) found.push(`${hash} is in no segment`);
    else if (!disk.isDurable(place.path, 0, place.end)) found.push(`${hash} in ${place.path} up to ${place.end} is not durable`);
  };
  for (let i = 0; i < 12; i++) await append(`single:${i % 3}`, 10 + 130 * (i % 5));
  for (let round = 0; round < 4; round++) {
    await Promise.all(Array.from({ length: 16 }, (_, i) => append(`many:${i}`, 37 * i)));
  }
  const items = Array.from({ length: 9 }, (_, i) => ({
    coordinate: { entity: `batch:${i % 2}`, scope: "scope" },
    event: { kind: KIND, data: { i, pad: "b".repeat(900) } },
  }));
  for (const receipt of await store.appendBatch(items)) if (receipt.durable) look(receipt.hash);
  if (options.durability !== undefined) {
    const receipt = await store.append({ entity: "a", scope: "s" }, { kind: KIND, data: 1 });
    await store.sync();
    look(receipt.hash);
  }
  await store.close();
  return { found, frames };
}

/** Where the frame with this hash ends: a frame ends with its hash. Only one stands there that no later frame holds as its previous one. */
function placeOf(disk: SimulatedDisk, hash: Buffer): { readonly path: string; readonly end: number } | null {
  for (const path of disk.paths()) {
    if (!path.endsWith(".fbat")) continue;
    const at = Buffer.from(disk.bytesOf(path)).indexOf(hash);
    if (at >= 0) return { path, end: at + hash.length };
  }
  return null;
}

/** A disk that forgets one thing that it was asked for. */
function lyingDisk(disk: SimulatedDisk, forgets: "durable" | "sync" | "syncDirectory"): Disk {
  const wrap = (file: DiskFile): DiskFile => ({
    read: (...given) => file.read(...given),
    readSync: (...given) => file.readSync(...given),
    write: (source, offset, length, position, durable) => file.write(source, offset, length, position, durable && forgets !== "durable"),
    writeSync: (...given) => file.writeSync(...given),
    sync: () => (forgets === "sync" ? Promise.resolve() : file.sync()),
    truncate: (size) => file.truncate(size),
    size: () => file.size(),
    sizeSync: () => file.sizeSync(),
    close: () => file.close(),
    closeSync: () => file.closeSync(),
  });
  const wrapped = new Map<DiskFile, DiskFile>();
  return Object.assign(delegateTo(disk), {
    open: async (path: string, mode: FileMode) => {
      const file = await disk.open(path, mode);
      const lying = wrap(file);
      wrapped.set(lying, file);
      return lying;
    },
    syncDirectory: (path: string) => (forgets === "syncDirectory" ? Promise.resolve() : disk.syncDirectory(path)),
    lock: (file: DiskFile) => disk.lock(wrapped.get(file) ?? file),
  });
}

const MODES: readonly (readonly [string, StoreOptions])[] = [
  ["fsync", {}],
  ["fsync with checkpoints", { checkpoint: { everyEvents: 4 } }],
  ["os, then sync", { durability: "os" }],
  ["interval, then sync", { durability: { everyMs: 1000, everyEvents: 5 } }],
];

for (const [name, options] of MODES) {
  test(`what is told durable is durable: ${name}`, async () => {
    const disk = new SimulatedDisk();
    const { found, frames } = await violations(disk, disk, options);
    assert.deepEqual(found, []);
    assert.ok(frames >= (options.durability === undefined ? 80 : 1), `only ${frames} acknowledgements were looked at`);
  });
}

test("a disk that lies is caught", async () => {
  for (const [forgets, options] of [
    ["durable", {}],
    ["sync", {}],
    ["syncDirectory", {}],
    ["sync", { durability: "os" }],
  ] as const) {
    const disk = new SimulatedDisk();
    const { found } = await violations(disk, lyingDisk(disk, forgets), options);
    assert.ok(found.length > 0, `nobody noticed that ${forgets} was forgotten`);
  }
});

// Found by the crash runs: the directory was there, so nobody synced its name again, and a power cut took it with all that was acknowledged.
test("a directory, or one above it, that a killed process had made and not synced is synced before anything in it is promised", async () => {
  for (let killedAt = 1; killedAt <= 8; killedAt++) {
    const first = new SimulatedDisk();
    first.crashDuring(killedAt);
    await Store.open("/above/store", { disk: first }).catch(() => {});
    const disk = first.diskAfterKill();
    const store = await Store.open("/above/store", { disk });
    const { durable } = await store.append({ entity: "a", scope: "s" }, { kind: KIND, data: 1 });
    assert.ok(durable);
    const survivor = await Store.open("/above/store", { disk: disk.diskAfterCrash() });
    assert.equal(await survivor.count(), 1, `killed during operation ${killedAt}`);
    await survivor.close();
    await store.close();
  }
});

test("a checkpoint gets its name only once all that it speaks of is durable, whatever the durability", async () => {
  for (const durability of ["os", { everyMs: 3_600_000, everyEvents: 1000 }] as const) {
    const disk = new SimulatedDisk();
    const store = await Store.open(DIRECTORY, { disk, durability, checkpoint: { everyEvents: 1000 } });
    await store.sync();
    for (let i = 0; i < 5; i++) await store.append({ entity: "a", scope: "s" }, { kind: KIND, data: i });
    let named = 0;
    disk.faults = ({ kind, to }) => {
      if (kind === "rename" && to === `${DIRECTORY}/index.ckpt`) {
        named++;
        const { end, path } = placeOf(disk, Buffer.from(last.hash, "hex")) ?? { end: Number.NaN, path: "no segment" };
        assert.ok(disk.isDurable(path, 0, end), `${path} is not durable up to ${end}, where the checkpoint ends`);
      }
      return undefined;
    };
    const last = await store.append({ entity: "a", scope: "s" }, { kind: KIND, data: "last" });
    assert.equal(last.durable, false);
    await store.checkpoint();
    assert.equal(named, 1);
    disk.faults = undefined;
    await store.close();
  }
});

test("the mark calls nothing synced that a power cut may take", async () => {
  const disk = new SimulatedDisk();
  const store = await Store.open(DIRECTORY, { disk, durability: "os", segmentBytesMax: 4096, checkpoint: false });
  let positions = 0;
  for (let i = 0; i < 12; i++) {
    await store.append({ entity: "a", scope: "s" }, { kind: KIND, data: { i, pad: "p".repeat(600) } });
    if (i % 5 === 4) await store.sync();
    const mark = await readMark(disk, DIRECTORY);
    assert.ok(mark !== null);
    if (mark.syncedOffset > 0) positions++;
    const path = `${DIRECTORY}/${segmentName(mark.syncedSegment)}`;
    assert.ok(disk.isDurable(path, 0, mark.syncedOffset), `${path} is not durable up to ${mark.syncedOffset}, after append ${i}`);
  }
  assert.ok(positions > 5);
  await store.close();
});
