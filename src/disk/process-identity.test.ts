/** Whether a process lives, where the system may not be asked: on Deno without the permission its writers took the directory of a living one. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { Store } from "../store.ts";
import { createMemoryDisk } from "../testing/memory-disk.ts";
import { readLockHolder } from "./directory-lock.ts";
import { encodeLockRecord } from "./lock-record.ts";
import { identifySelf, isProcessAlive } from "./process-identity.ts";

const HIDDEN = (): null => null;

/** Does something while `process.kill` is answered so. */
async function whereKill(answer: () => never, use: () => Promise<void>): Promise<void> {
  const { kill } = process;
  process.kill = answer;
  try {
    await use();
  } finally {
    process.kill = kill;
  }
}

test("without /proc a signal that does nothing tells", () => {
  const self = identifySelf(HIDDEN);
  assert.deepEqual(self, { pid: process.pid, startTime: "", bootId: self.bootId });
  assert.equal(isProcessAlive(self, HIDDEN), true);
  const { pid } = spawnSync(process.execPath, ["--version"]);
  assert.equal(isProcessAlive({ pid, startTime: "", bootId: "" }, HIDDEN), false);
});

test("a process of another user is there", () =>
  whereKill(
    () => {
      throw Object.assign(new Error("not permitted"), { code: "EPERM" });
    },
    async () => assert.equal(isProcessAlive({ pid: process.ppid, startTime: "", bootId: "" }, HIDDEN), true),
  ));

test("a runtime that may not ask is told so, for writing and for reading, and takes nothing from anybody", () =>
  whereKill(
    () => {
      throw Object.assign(new Error("Requires run access"), { name: "NotCapable" });
    },
    async () => {
      const disk = createMemoryDisk();
      await (await Store.open("/store", { disk })).close();
      const holder = { identity: { pid: process.ppid, startTime: "1", bootId: "" }, since: new Date() };
      const file = await disk.open("/store/lock", "write");
      await file.write(encodeLockRecord(holder), 0, encodeLockRecord(holder).length, 0, true);
      await file.close();
      disk.isAlive = (identity) => isProcessAlive(identity, HIDDEN);
      const refused = { code: "UNSUPPORTED_RUNTIME", message: /-A or --allow-run/ };
      await assert.rejects(Store.open("/store", { disk }), refused);
      await assert.rejects(Store.open("/store", { disk, readOnly: true }), refused);
      await assert.rejects(readLockHolder(disk, "/store"), refused);
      disk.isAlive = () => true;
      assert.equal((await readLockHolder(disk, "/store"))?.identity.pid, process.ppid);
    },
  ));
