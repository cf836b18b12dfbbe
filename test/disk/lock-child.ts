/**
 * A process for `directory-lock-processes.test.ts`: `lock-child.ts <directory> <hold | race> <kernel | name>`. Prints one line per event.
 * hold: takes the lock, prints "held" (or the error's code) and waits to be ended. race: takes and releases the lock over and over,
 * and proves each time with a file of its own that nobody else is inside.
 */
import { closeSync, openSync, unlinkSync } from "node:fs";
import { join } from "node:path";
import { systemClock } from "../../src/base/clock.ts";
import { isStoreError } from "../../src/base/store-error.ts";
import { acquireDirectoryLock } from "../../src/disk/directory-lock.ts";
import type { Disk } from "../../src/disk/disk.ts";
import { nodeDisk } from "../../src/disk/node-disk.ts";

const ROUNDS = 30;
const [directory = "", role = "", means = ""] = process.argv.slice(2);
const disk: Disk = means === "kernel" ? nodeDisk : { ...nodeDisk, lock: async () => "unsupported" };

async function hold(): Promise<void> {
  try {
    await acquireDirectoryLock(disk, directory, { waitMs: 0, clock: systemClock });
    console.log("held");
    setInterval(() => {}, 1000);
  } catch (error) {
    console.log(isStoreError(error) ? error.code : String(error));
  }
}

async function race(): Promise<void> {
  for (let round = 0; round < ROUNDS; round += 1) {
    const lock = await acquireDirectoryLock(disk, directory, { waitMs: 60_000, clock: systemClock });
    const inside = join(directory, "inside");
    closeSync(openSync(inside, "wx"));
    await new Promise((resolve) => setTimeout(resolve, 1));
    unlinkSync(inside);
    await lock.release();
    // Lets others have a go before their next look.
    await new Promise((resolve) => setTimeout(resolve, Math.random() * 25));
  }
  console.log("done");
}

await (role === "hold" ? hold() : race());
