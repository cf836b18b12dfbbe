/**
 * Crashes one change of a whole directory (a repair, a conversion) during every operation, and looks at what each crash may leave; also when
 * the change is begun again there and crashes once more, and when the power fails after what a mere kill had left was looked at.
 */
import { isStoreError } from "../../src/base/store-error.ts";
import { seededRandom } from "../../src/testing/seeded-random.ts";
import type { SimulatedDisk } from "../../src/testing/sim-disk.ts";

export interface Change {
  /** A disk on which everything is durable and the change has not begun: each time another one, with the same bytes. */
  disk(): SimulatedDisk;
  run(disk: SimulatedDisk): Promise<unknown>;
  /** Throws where a promise is broken; `ended`: the change had resolved. Uses up `left`. */
  check(left: SimulatedDisk, ended: boolean): Promise<void>;
  /** The same of a disk that was checked once, and then lost its power. */
  checkLater(left: SimulatedDisk): Promise<void>;
}

/** Of the states, how many are left by a second crash of the change that is begun again. */
const SECOND_CRASH_SHARE = 0.2;

export interface ChangeCount {
  readonly operations: number;
  readonly states: number;
}

export async function crashChange(name: string, change: Change, limit: number): Promise<ChangeCount> {
  const whole = change.disk();
  const started = whole.operationCount;
  await change.run(whole);
  const operations = whole.operationCount - started;
  const random = seededRandom(operations);
  let states = 0;
  const check = async (left: SimulatedDisk, ended: boolean): Promise<void> => {
    states++;
    await change.check(left, ended);
  };
  const crashAgain = async (left: SimulatedDisk): Promise<void> => {
    left.crashDuring(left.operationCount + 1 + Math.floor(random() * operations));
    // Where the first attempt had come to its end, a conversion refuses: its target is there.
    await change.run(left).catch((error: unknown) => {
      if (!left.crashed && !isStoreError(error)) throw error;
    });
    for (const again of [left.diskAfterKill(), ...left.possibleDisks({ limit: 1, seed: states })]) await check(again, false);
  };
  for (let number = 1; number <= operations + 1; number++) {
    const disk = change.disk();
    // The last turn: the power fails after it has resolved.
    disk.crashDuring(disk.operationCount + number);
    let ended = true;
    await change.run(disk).catch((error: unknown) => {
      if (!disk.crashed) throw error;
      ended = false;
    });
    const seen = new Set<string>();
    const killed = disk.diskAfterKill();
    for (const left of [killed, ...disk.possibleDisks({ limit, seed: number })]) {
      const fingerprint = left.fingerprint();
      // What a kill leaves is looked at even where a power cut may leave the same.
      if (seen.size > 1 && seen.has(fingerprint)) continue;
      seen.add(fingerprint);
      const again = random() < SECOND_CRASH_SHARE ? left.diskAfterKill() : null;
      try {
        await check(left, ended);
        if (left === killed) {
          states++;
          await change.checkLater(left.diskAfterCrash());
        }
        if (again !== null) await crashAgain(again);
      } catch (error) {
        const at = number > operations ? "after its end" : `during operation ${number} of ${operations}`;
        throw new Error(`${name}, crashed ${at}: ${String(error)}`, { cause: error });
      }
    }
  }
  return { operations, states };
}
