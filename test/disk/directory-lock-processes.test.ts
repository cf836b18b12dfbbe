import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { systemClock } from "../../src/base/clock.ts";
import { isStoreError } from "../../src/base/store-error.ts";
import { acquireDirectoryLock, readLockHolder } from "../../src/disk/directory-lock.ts";
import { nodeDisk } from "../../src/disk/node-disk.ts";

const childPath = fileURLToPath(new URL("./lock-child.ts", import.meta.url));
const means = ["kernel", "name"] as const;

function start(directory: string, role: "hold" | "race", by: (typeof means)[number]): ChildProcess {
  return spawn(process.execPath, ["--import", "tsx", childPath, directory, role, by], { stdio: ["ignore", "pipe", "inherit"] });
}

function firstLine(child: ChildProcess): Promise<string> {
  return new Promise((resolve) => {
    child.stdout?.once("data", (data) => resolve(String(data).trim()));
    child.once("exit", () => resolve("exited"));
  });
}

async function inDirectory(use: (directory: string) => Promise<void>): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), "batpak-lock-"));
  try {
    await use(directory);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

describe("directory lock between processes", () => {
  for (const by of means) {
    it(`is free once a holder (${by}) got SIGKILL, not before, also while that is a zombie`, () =>
      inDirectory(async (directory) => {
        const child = start(directory, "hold", by);
        assert.equal(await firstLine(child), "held");
        assert.equal((await readLockHolder(nodeDisk, directory))?.identity.pid, child.pid);
        for (const disk of [nodeDisk, { ...nodeDisk, lock: async () => "unsupported" as const }]) {
          await assert.rejects(acquireDirectoryLock(disk, directory, { waitMs: 0, clock: systemClock }), (error) => {
            return (
              isStoreError(error, "LOCKED") && error.details.pid === child.pid && !error.details.sameProcess && error.details.since !== null
            );
          });
        }
        // Waiting begins while it lives, so that its death, and its time as a zombie, fall into the wait.
        const waiting = acquireDirectoryLock(nodeDisk, directory, { waitMs: 60_000, clock: systemClock });
        child.kill("SIGKILL");
        await (await waiting).release();
        assert.equal(await readLockHolder(nodeDisk, directory), null);
        assert.deepEqual(readdirSync(directory), ["lock"]);
      }));
  }

  it("never lets two in, whatever their means", () =>
    inDirectory(async (directory) => {
      const children = ["kernel", "name", "name"].map((by) => start(directory, "race", by === "kernel" ? "kernel" : "name"));
      const lines = await Promise.all(children.map(firstLine));
      assert.deepEqual(lines, ["done", "done", "done"]);
      assert.deepEqual(readdirSync(directory), ["lock"]);
    }));
});
