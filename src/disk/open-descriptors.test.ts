/** What this process has open in a directory: by that it knows whether a name of its own in a lock file is that of somebody who holds it. */
import assert from "node:assert/strict";
import { Worker } from "node:worker_threads";
import { mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { systemClock } from "../base/clock.ts";
import { isStoreError } from "../base/store-error.ts";
import { delegateTo } from "./delegate-disk.ts";
import { acquireDirectoryLock } from "./directory-lock.ts";
import type { Disk } from "./disk.ts";
import { encodeLockRecord, LOCK_RECORD_BYTES } from "./lock-record.ts";
import { nodeDisk } from "./node-disk.ts";
import { countOpenForWriting, type DescriptorSource } from "./open-descriptors.ts";

const skip = process.platform !== "linux" && "Linux tells what a process has open";
const atOnce = { waitMs: 0, clock: systemClock };

async function inDirectory(use: (directory: string) => Promise<void>): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), "batpak-open-"));
  try {
    await use(directory);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** Node's disk on a runtime that has no kernel locks. */
const withoutKernelLocks: Disk = Object.assign(delegateTo(nodeDisk), { lock: async () => "unsupported" as const });

const isHeldHere = (error: unknown): boolean => isStoreError(error, "LOCKED") && error.details.sameProcess;

async function leaveName(directory: string): Promise<void> {
  const file = await nodeDisk.open(join(directory, "lock"), "create");
  await file.write(encodeLockRecord({ identity: nodeDisk.self, since: new Date() }), 0, LOCK_RECORD_BYTES, 0, false);
  await file.close();
}

test("files open for writing in the directory are counted, whoever of this process opened them", { skip }, () =>
  inDirectory(async (directory) => {
    const count = (): number | null | undefined => nodeDisk.openForWriting?.(directory);
    assert.equal(count(), 0);
    const written = await nodeDisk.open(join(directory, "one"), "create");
    assert.equal(count(), 1);
    const again = await nodeDisk.open(join(directory, "one"), "write");
    const read = await nodeDisk.open(join(directory, "one"), "read");
    await nodeDisk.makeDirectory(join(directory, "below"));
    const below = await nodeDisk.open(join(directory, "below", "two"), "create");
    assert.equal(count(), 2);
    await nodeDisk.remove(join(directory, "one"));
    symlinkSync(directory, `${directory}-link`);
    assert.equal(nodeDisk.openForWriting?.(`${directory}-link`), 2);
    rmSync(`${directory}-link`);
    for (const file of [written, again, read, below]) await file.close();
    assert.equal(count(), 0);
    assert.equal(nodeDisk.openForWriting?.(join(directory, "missing")), null);
  }),
);

test("what the system does not tell is unknown; a descriptor that is closed meanwhile is none", () => {
  const gone = (): never => {
    throw Object.assign(new Error("gone"), { code: "ENOENT" });
  };
  const refused = (): never => {
    throw Object.assign(new Error("Requires all access"), { name: "NotCapable" });
  };
  const one: DescriptorSource = {
    list: () => ["0", "3"],
    readLink: (path) => (path.endsWith("/0") ? "pipe:[7]" : "/d/lock"),
    readText: () => "pos:\t0\nflags:\t02100002\n",
    identify: (directory) => directory,
  };
  assert.equal(countOpenForWriting("/d", one), 1);
  const mountedTwice = { ...one, identify: () => "8:2" };
  assert.equal(countOpenForWriting("/e", mountedTwice), 1);
  const removed = { ...one, identify: (directory: string) => (directory === "/d" ? gone() : directory) };
  assert.equal(countOpenForWriting("/e", removed), 0);
  assert.equal(countOpenForWriting("/e", one), 0);
  assert.equal(countOpenForWriting("/d", { ...one, readText: () => "pos:\t0\nflags:\t02100000\n" }), 0);
  assert.equal(countOpenForWriting("/d", { ...one, readText: () => "something else" }), 1);
  assert.equal(countOpenForWriting("/d", { ...one, readLink: gone }), 0);
  assert.equal(countOpenForWriting("/d", { ...one, readText: gone }), 0);
  for (const changed of [{ list: refused }, { list: gone }, { readLink: refused }, { readText: refused }, { identify: refused }])
    assert.equal(countOpenForWriting("/d", { ...one, ...changed }), null);
});

// `bun --watch` and `deno run --watch` run a program anew in the process that it had: it was told that it has the directory open already, for as long as it ran.
test("without a kernel lock a name that this process left, having closed everything, holds nothing", { skip }, () =>
  inDirectory(async (directory) => {
    await leaveName(directory);
    const lock = await acquireDirectoryLock(withoutKernelLocks, directory, atOnce);
    await assert.rejects(acquireDirectoryLock(withoutKernelLocks, directory, atOnce), isHeldHere);
    await lock.release();
    const outcomes = await Promise.allSettled([1, 2, 3].map(() => acquireDirectoryLock(withoutKernelLocks, directory, atOnce)));
    assert.equal(outcomes.filter((outcome) => outcome.status === "fulfilled").length, 1);
    for (const outcome of outcomes) if (outcome.status === "fulfilled") await outcome.value.release();
  }),
);

test("it holds as long as anything in the directory is open for writing: what was begun may still be written", { skip }, () =>
  inDirectory(async (directory) => {
    await leaveName(directory);
    const segment = await nodeDisk.open(join(directory, "000001.fbat"), "create");
    await assert.rejects(acquireDirectoryLock(withoutKernelLocks, directory, atOnce), isHeldHere);
    await segment.close();
    await (await acquireDirectoryLock(withoutKernelLocks, directory, atOnce)).release();
  }),
);

test("a thread's open files are its process's", { skip }, () =>
  inDirectory(async (directory) => {
    const path = join(directory, "one");
    const thread = new Worker(
      `require("node:fs").openSync(${JSON.stringify(path)}, "w"); require("node:worker_threads").parentPort.postMessage(1); setInterval(() => {}, 1000);`,
      { eval: true },
    );
    await new Promise((resolve) => thread.once("message", resolve));
    assert.equal(nodeDisk.openForWriting?.(directory), 1);
    await thread.terminate();
  }),
);
