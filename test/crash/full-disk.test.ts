/**
 * A disk with room for so many bytes and no more: what fits is stored, what does not is refused with a typed error, nothing acknowledged is
 * lost, and the store goes on once there is room.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { isStoreError } from "../../src/base/store-error.ts";
import { convertStore } from "../../src/convert.ts";
import { Store } from "../../src/store.ts";
import { SimulatedDisk } from "../../src/testing/sim-disk.ts";
import type { DiskOperation, Fault } from "../../src/testing/simulated-machine.ts";
import { DIRECTORY, Driver } from "./driver.ts";
import { look } from "./ledger.ts";

/** Bytes in use, as far as the files reach: a write that would go beyond `bytesMax` writes what fits, and fails. */
function limited(disk: SimulatedDisk, bytesMax: number): (operation: DiskOperation) => Fault | undefined {
  return ({ kind, path, offset = 0, length = 0 }) => {
    if (kind !== "write") return undefined;
    const sizes = new Map(disk.paths().map((name) => [name, disk.bytesOf(name).length]));
    const before = sizes.get(path) ?? 0;
    const used = [...sizes.values()].reduce((sum, size) => sum + size, 0);
    const grows = Math.max(0, offset + length - before);
    if (used + grows <= bytesMax) return undefined;
    return { error: "ENOSPC", afterBytes: Math.max(0, length - (used + grows - bytesMax)) };
  };
}

// Found by looking: zeros laid out ahead of the frames met the end of the disk, and poisoned a store whose frames would have fitted.
test("the zeros that are laid out ahead need no room: what fits without them is stored", async () => {
  const disk = new SimulatedDisk();
  disk.faults = limited(disk, 100 * 1024);
  const store = await Store.open(DIRECTORY, { disk });
  for (let n = 0; n < 60; n++) {
    const receipt = await store.append({ entity: "a", scope: "s" }, { kind: 0x1000, data: { n, pad: "p".repeat(1000) } });
    assert.equal(receipt.durable, true);
    assert.equal(disk.isDurable(`${DIRECTORY}/000001.fbat`, 0, 128 + 1000 * (n + 1)), true);
  }
  await store.close();
  for (const left of disk.possibleDisks({ limit: 8 })) {
    const again = await Store.open(DIRECTORY, { disk: left });
    assert.equal(await again.count(), 60);
    await again.close();
  }
});

for (const [name, options] of [
  ["fsync", { segmentBytesMax: 8192, checkpoint: { everyEvents: 6 } }],
  ["fsync, one segment", { segmentBytesMax: 1024 * 1024 }],
  ["os", { segmentBytesMax: 8192, durability: "os", checkpoint: { everyEvents: 6 } }],
] as const) {
  test(`a disk full at every size: a typed error, nothing acknowledged lost, and it goes on when there is room (${name})`, async () => {
    let full = 0;
    for (let bytesMax = 1500; bytesMax < 60_000; bytesMax += 731) {
      const disk = new SimulatedDisk();
      disk.faults = limited(disk, bytesMax);
      const driver = new Driver(disk, options);
      const codes: string[] = [];
      const note = (error: unknown): void => {
        assert.ok(isStoreError(error), `at ${bytesMax} bytes something rejected with ${String(error)}`);
        codes.push(error.code);
      };
      const opened = await driver.open().then(
        () => true,
        (error: unknown) => {
          note(error);
          return false;
        },
      );
      for (let n = 0; opened && n < 24; n++) {
        await Promise.all([driver.append("a", { padBytes: 400 }).catch(note), driver.batch(["b", "a"], 300).catch(note)]);
      }
      if (opened) await driver.close().catch(note);
      if (codes.length > 0) full++;
      for (const code of codes) assert.ok(["IO", "COMMIT_UNKNOWN", "POISONED"].includes(code), `at ${bytesMax} bytes: ${code}`);
      assert.equal(disk.openFileCount, 0, "files were left open");
      disk.faults = undefined;
      const lefts = [...disk.possibleDisks({ limit: 3, seed: bytesMax })];
      for (const [left, powerCut] of [[disk, false] as const, ...lefts.map((one) => [one, true] as const)]) {
        const store = await Store.open(DIRECTORY, { ...options, disk: left });
        driver.ledger.check(await look(store), powerCut);
        await store.append({ entity: "after", scope: "s" }, { kind: 0x1000, data: 1 });
        await store.close();
      }
    }
    assert.ok(full > 20, `only ${full} disks were full`);
  });
}

test("too many open files, at each opening in turn: a typed error, nothing acknowledged lost, and it goes on", async () => {
  const options = { segmentBytesMax: 4096, checkpoint: { everyEvents: 4 } } as const;
  let failures = 0;
  for (let failing = 1; failing <= 24; failing++) {
    const disk = new SimulatedDisk();
    let openings = 0;
    disk.faults = ({ kind }) => ((kind === "open" || kind === "create") && ++openings === failing ? { error: "EMFILE" } : undefined);
    const driver = new Driver(disk, options);
    const note = (error: unknown): void => {
      failures++;
      assert.ok(isStoreError(error), `with opening ${failing} something rejected with ${String(error)}`);
      assert.ok(["IO", "COMMIT_UNKNOWN", "POISONED"].includes(error.code), `with opening ${failing}: ${error.code}`);
    };
    const opened = await driver.open().then(
      () => true,
      (error: unknown) => {
        note(error);
        return false;
      },
    );
    for (let n = 0; opened && n < 8; n++) await driver.append("a", { padBytes: 900 }).catch(note);
    if (opened) await driver.close().catch(note);
    disk.faults = undefined;
    assert.equal(disk.openFileCount, 0, "files were left open");
    const store = await Store.open(DIRECTORY, { ...options, disk });
    driver.ledger.check(await look(store), false);
    await store.append({ entity: "after", scope: "s" }, { kind: 0x1000, data: 1 });
    await store.close();
  }
  assert.ok(failures > 5, `only ${failures} things failed`);
});

test("a process with few file descriptors: files that are held for reading make room for those that are written", async () => {
  for (const layout of ["native", "batpak-0.3"] as const) {
    const disk = new SimulatedDisk();
    const store = await Store.open(DIRECTORY, { disk, layout, segmentBytesMax: 4096 });
    let most = 0;
    disk.faults = ({ kind }) => {
      if (kind !== "open" && kind !== "create") return undefined;
      most = Math.max(most, disk.openFileCount);
      return disk.openFileCount >= 12 ? { error: "EMFILE" } : undefined;
    };
    const ids: string[] = [];
    for (let n = 0; n < 120; n++) {
      const data = "x".repeat(900);
      ids.push((await store.append({ entity: `e:${n % 7}`, scope: "s" }, { kind: 0x1000, data })).id);
      if (n % 10 === 0) for (const id of ids) assert.ok((await store.get(id)) !== null);
    }
    assert.equal(most, 12, "it came to the last one");
    assert.equal(await store.count(), 120);
    // A checkpoint is another file, and none of those that are written.
    disk.faults = undefined;
    await store.close();
    assert.equal(disk.openFileCount, 0);
  }
});

test("a conversion onto a full disk says so, leaves the source, and is done when there is room", async () => {
  const disk = new SimulatedDisk();
  const store = await Store.open(DIRECTORY, { disk });
  for (let n = 0; n < 100; n++) await store.append({ entity: "a", scope: "s" }, { kind: 0x1000, data: { n, pad: "p".repeat(300) } });
  await store.close();
  const used = disk.paths().reduce((sum, path) => sum + disk.bytesOf(path).length, 0);
  let full = 0;
  for (let room = 500; ; room += 9000) {
    disk.faults = limited(disk, used + room);
    const outcome = await convertStore(DIRECTORY, "/old", { layout: "batpak-0.3", disk }).catch((error: unknown) => error);
    disk.faults = undefined;
    if (!(outcome instanceof Error)) break;
    full++;
    assert.ok(isStoreError(outcome, "IO"), String(outcome));
    assert.deepEqual(await disk.status("/old"), null);
  }
  assert.ok(full > 2, `${full} conversions met the end of the disk`);
  const old = await Store.open("/old", { disk, readOnly: true });
  assert.equal(await old.count(), 100);
  await old.close();
  assert.equal(disk.openFileCount, 0);
});
