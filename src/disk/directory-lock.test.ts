import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { systemClock } from "../base/clock.ts";
import { isStoreError } from "../base/store-error.ts";
import { seededRandom } from "../testing/seeded-random.ts";
import { SimulatedDisk } from "../testing/sim-disk.ts";
import { delegateTo } from "./delegate-disk.ts";
import { acquireDirectoryLock, type DirectoryLock, readLockHolder } from "./directory-lock.ts";
import type { Disk, ProcessIdentity } from "./disk.ts";
import { claimName, decodeLockRecord, encodeLockRecord, LOCK_RECORD_BYTES, parseClaimName } from "./lock-record.ts";
import { nodeDisk } from "./node-disk.ts";

const atOnce = { waitMs: 0, clock: systemClock };
const since = new Date(1_700_000_000_000);

function newDisk(): SimulatedDisk {
  const disk = new SimulatedDisk();
  disk.put("/d/other", new Uint8Array(0));
  return disk;
}

/** The same disk for a runtime that has no kernel locks. */
function withoutKernelLocks(disk: SimulatedDisk): Disk {
  return Object.assign(delegateTo(disk), { lock: async () => "unsupported" as const });
}

function isLocked(expected: { pid: number | null; sameProcess: boolean }): (error: unknown) => boolean {
  return (error) => {
    assert.ok(isStoreError(error, "LOCKED"), String(error));
    assert.equal(error.details.pid, expected.pid);
    assert.equal(error.details.sameProcess, expected.sameProcess);
    return true;
  };
}

const record = (identity: ProcessIdentity): Uint8Array => encodeLockRecord({ identity, since });

describe("directory lock", () => {
  for (const [name, first, second] of [
    ["kernel locks", (disk: SimulatedDisk): Disk => disk, (disk: SimulatedDisk): Disk => disk],
    ["no kernel locks", withoutKernelLocks, withoutKernelLocks],
    ["one with, one without", (disk: SimulatedDisk): Disk => disk, withoutKernelLocks],
    ["one without, one with", withoutKernelLocks, (disk: SimulatedDisk): Disk => disk],
  ] as const) {
    it(`${name}: excludes another process until released, and names its holder`, async () => {
      const disk = newDisk();
      const [one, two] = [first(disk), second(disk.asProcess(2000))];
      const lock = await acquireDirectoryLock(one, "/d", atOnce);
      assert.equal((await readLockHolder(two, "/d"))?.identity.pid, 1000);
      await assert.rejects(acquireDirectoryLock(two, "/d", atOnce), isLocked({ pid: 1000, sameProcess: false }));
      await lock.release();
      await lock.release();
      assert.equal(await readLockHolder(two, "/d"), null);
      const next = await acquireDirectoryLock(two, "/d", atOnce);
      await assert.rejects(acquireDirectoryLock(one, "/d", atOnce), isLocked({ pid: 2000, sameProcess: false }));
      await next.release();
      assert.deepEqual(disk.paths(), ["/d/lock", "/d/other"], "no claims stay, the lock file does");
      assert.equal(disk.openFileCount, 0);
    });

    if (first === second)
      it(`${name}: excludes a second opener of the same process, and says so`, async () => {
        const disk = newDisk();
        const lock = await acquireDirectoryLock(first(disk), "/d", atOnce);
        await assert.rejects(acquireDirectoryLock(first(disk), "/d", atOnce), isLocked({ pid: 1000, sameProcess: true }));
        await lock.release();
        await (await acquireDirectoryLock(first(disk), "/d", atOnce)).release();
      });

    it(`${name}: a holder that was killed holds nothing, nor one whose number another process has now`, async () => {
      const disk = newDisk();
      const victim = disk.asProcess(2000);
      await acquireDirectoryLock(first(victim), "/d", atOnce);
      victim.kill();
      disk.asProcess(2000);
      assert.equal(await readLockHolder(disk, "/d"), null);
      await (await acquireDirectoryLock(second(disk), "/d", atOnce)).release();
    });

    it(`${name}: a race of many has exactly one winner, at every interleaving tried`, async () => {
      const seed = Number(process.env["SEED"] ?? Date.now() % 1_000_000);
      const random = seededRandom(seed);
      for (let round = 0; round < 25; round += 1) {
        const disk = newDisk();
        disk.faults = () => (random() < 0.5 ? { delayMs: Math.floor(random() * 3) } : undefined);
        const contenders = Array.from({ length: 4 }, (_, index) => (index % 2 === 0 ? first : second)(disk.asProcess(3000 + index)));
        const outcomes = await Promise.allSettled(contenders.map((contender) => acquireDirectoryLock(contender, "/d", atOnce)));
        const winners = outcomes.filter((outcome): outcome is PromiseFulfilledResult<DirectoryLock> => outcome.status === "fulfilled");
        const errors = outcomes.filter((outcome) => outcome.status === "rejected").map((outcome) => outcome.reason as unknown);
        for (const error of errors) assert.ok(isStoreError(error, "LOCKED"), `seed ${seed}: ${String(error)}`);
        assert.equal(winners.length, 1, `seed ${seed}, round ${round}`);
      }
    });
  }

  it("waits for the holder as long as it was told, by sleeping or by the clock, and can be aborted", async () => {
    const disk = newDisk();
    const waiter = disk.asProcess(2000);
    const lock = await acquireDirectoryLock(disk, "/d", atOnce);
    const stopped = { nowMicros: () => 0, monotonicMs: () => 0 };
    await assert.rejects(acquireDirectoryLock(waiter, "/d", { waitMs: 30, clock: stopped }), isLocked({ pid: 1000, sameProcess: false }));
    const controller = new AbortController();
    const aborted = acquireDirectoryLock(waiter, "/d", { waitMs: 60_000, clock: systemClock, signal: controller.signal });
    setTimeout(() => controller.abort(new Error("enough")), 5);
    await assert.rejects(aborted, /^Error: enough$/);
    await assert.rejects(
      acquireDirectoryLock(waiter, "/d", { ...atOnce, signal: AbortSignal.abort(new Error("before")) }),
      /^Error: before$/,
    );
    const waiting = acquireDirectoryLock(waiter, "/d", { waitMs: 60_000, clock: systemClock });
    setTimeout(() => void lock.release(), 5);
    await (await waiting).release();
    assert.equal(disk.openFileCount, 0);
  });

  it("takes a garbled, foreign or outdated record for nobody, and replaces it whole", async () => {
    const disk = newDisk();
    const text = (value: string): Uint8Array => new TextEncoder().encode(value);
    const living = record(disk.asProcess(2000).self);
    for (const content of [
      text(""),
      text("not json"),
      text("null"),
      text("[1]"),
      text('{"pid":2000}'),
      text(`{"pid":"2000","startTime":"1","bootId":"","since":"${since.toISOString()}"}`),
      text(`{"pid":2000,"startTime":"1","bootId":"","since":"never"}`),
      text("[".repeat(100_000)),
      living.subarray(0, 40),
      record({ pid: 4000, startTime: "1", bootId: "simulated-boot-1" }),
      record({ ...disk.self, bootId: "another" }),
      record({ ...disk.self, startTime: "999" }),
    ]) {
      disk.put("/d/lock", content);
      assert.equal(await readLockHolder(disk, "/d"), null);
      const lock = await acquireDirectoryLock(withoutKernelLocks(disk), "/d", atOnce);
      assert.equal(disk.bytesOf("/d/lock").length, LOCK_RECORD_BYTES);
      assert.deepEqual((await readLockHolder(disk, "/d"))?.identity, disk.self);
      await lock.release();
    }
    disk.put("/d/lock", living);
    assert.equal((await readLockHolder(disk, "/d"))?.since.getTime(), since.getTime());
    await assert.rejects(acquireDirectoryLock(disk, "/d", atOnce), isLocked({ pid: 2000, sameProcess: false }));
  });

  it("a kernel lock that is held excludes, whatever has become of the name in the file", async () => {
    const disk = newDisk();
    const lock = await acquireDirectoryLock(disk, "/d", atOnce);
    for (let offset = 0; offset < 16; offset += 1) disk.corrupt("/d/lock", offset, (byte) => byte ^ 0xff);
    assert.equal(await readLockHolder(disk, "/d"), null);
    await assert.rejects(acquireDirectoryLock(disk.asProcess(2000), "/d", atOnce), (error) => isStoreError(error, "LOCKED"));
    await lock.release();
  });

  it("with the kernel lock in hand, its own process's leftovers count for nothing; without, they count", async () => {
    const disk = newDisk();
    disk.put("/d/lock", record(disk.self));
    await assert.rejects(acquireDirectoryLock(withoutKernelLocks(disk), "/d", atOnce), isLocked({ pid: 1000, sameProcess: true }));
    disk.put(join("/d", claimName(disk.self, 0)), new Uint8Array(0));
    await (await acquireDirectoryLock(disk, "/d", atOnce)).release();
  });

  it("gives way to a lower claim of a living process, and removes claims of dead ones", async () => {
    const disk = newDisk();
    const rival = disk.asProcess(2);
    disk.put(join("/d", claimName({ pid: 5, startTime: "77", bootId: "simulated-boot-1" }, 0)), new Uint8Array(0));
    disk.put(join("/d", claimName({ pid: 1000, startTime: "1", bootId: "before" }, 0)), new Uint8Array(0));
    await (await acquireDirectoryLock(disk, "/d", atOnce)).release();
    assert.deepEqual(disk.paths(), ["/d/lock", "/d/other"]);
    disk.put(join("/d", "lock.claim.1.0.0.0"), new Uint8Array(0));
    disk.put(join("/d", claimName({ ...rival.self, pid: 2 }, 0)), new Uint8Array(0));
    disk.put(join("/d", "lock.claim.notes"), new Uint8Array(0));
    // "2" sorts behind "1000": the claim is higher, yet its process never gives up, so that patience ends.
    await assert.rejects(acquireDirectoryLock(disk, "/d", atOnce), isLocked({ pid: 2, sameProcess: false }));
    rival.kill();
    await (await acquireDirectoryLock(disk, "/d", atOnce)).release();
    assert.deepEqual(disk.paths(), ["/d/lock", "/d/lock.claim.notes", "/d/other"]);
  });

  it("after a crash or kill at any operation the next opener gets in", async () => {
    let states = 0;
    for (let number = 1; ; number += 1) {
      const disk = newDisk();
      disk.crashDuring(number);
      await acquireDirectoryLock(disk, "/d", atOnce)
        .then((lock) => lock.release())
        .catch((error: unknown) => assert.ok(disk.crashed, String(error)));
      for (const left of [...disk.possibleDisks(), disk.diskAfterKill()]) {
        states += 1;
        for (const opener of [left, withoutKernelLocks(left)]) await (await acquireDirectoryLock(opener, "/d", atOnce)).release();
      }
      if (!disk.crashed) break;
    }
    assert.ok(states > 50, `${states} states`);
  });

  it("reports what the disk says as IO, and holds nothing then", async () => {
    for (const kind of ["create", "list", "read", "write", "lock"] as const) {
      const disk = newDisk();
      disk.faults = (operation) => (operation.kind === kind ? { error: "EIO" } : undefined);
      await assert.rejects(acquireDirectoryLock(disk, "/d", atOnce), (error) => isStoreError(error, "IO") && error.details.errno === "EIO");
      disk.faults = undefined;
      await (await acquireDirectoryLock(disk.asProcess(2000), "/d", atOnce)).release();
      assert.equal(disk.openFileCount, 0);
    }
    await assert.rejects(acquireDirectoryLock(newDisk(), "/missing", atOnce), (error) => isStoreError(error, "IO"));
    assert.equal(await readLockHolder(newDisk(), "/missing"), null);
  });

  it("refuses a lock path that is a symbolic link or a directory", { skip: process.platform === "win32" }, async () => {
    const directory = mkdtempSync(join(tmpdir(), "batpak-lock-"));
    try {
      writeFileSync(join(directory, "target"), "precious");
      symlinkSync(join(directory, "target"), join(directory, "lock"));
      await assert.rejects(
        acquireDirectoryLock(nodeDisk, directory, atOnce),
        (error) => isStoreError(error, "IO") && /symbolic link/.test(error.message),
      );
      assert.equal(await readLockHolder(nodeDisk, directory), null);
      mkdirSync(join(directory, "sub", "lock"), { recursive: true });
      await assert.rejects(
        acquireDirectoryLock(nodeDisk, join(directory, "sub"), atOnce),
        (error) => isStoreError(error, "IO") && /a directory/.test(error.message),
      );
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  });
});

describe("lock record and claim names", () => {
  it("come back as they went in", () => {
    const identity = { pid: 123, startTime: "4567", bootId: "de8f069d-e781-4596-a6aa-42b3ed9bd62a" };
    assert.deepEqual(decodeLockRecord(encodeLockRecord({ identity, since })), { identity, since });
    assert.deepEqual(parseClaimName(claimName(identity, 3)), identity);
    assert.deepEqual(parseClaimName(claimName({ pid: 1, startTime: "", bootId: "" }, 0)), { pid: 1, startTime: "", bootId: "" });
    for (const name of [
      "lock",
      "lock.claim",
      "lock.claim.0.1.1.0",
      "lock.claim.99999999999.1.1.0",
      "xlock.claim.1.1.1.0",
      "lock.claim.1.1.1.0x",
    ]) {
      assert.equal(parseClaimName(name), null, name);
    }
  });
});
