/** Crashes one change of a whole directory (a repair, a conversion) during every operation, and looks at what each crash may leave. */
import type { SimulatedDisk } from "../../src/testing/sim-disk.ts";

export interface Change {
  /** A disk on which everything is durable and the change has not begun: each time another one, with the same bytes. */
  disk(): SimulatedDisk;
  run(disk: SimulatedDisk): Promise<unknown>;
  /** Throws where a promise is broken; `ended`: the change had resolved. Uses up `left`. */
  check(left: SimulatedDisk, ended: boolean): Promise<void>;
}

export interface ChangeCount {
  readonly operations: number;
  readonly states: number;
}

export async function crashChange(name: string, change: Change, limit: number): Promise<ChangeCount> {
  const whole = change.disk();
  const started = whole.operationCount;
  await change.run(whole);
  const operations = whole.operationCount - started;
  let states = 0;
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
    for (const left of [disk.diskAfterKill(), ...disk.possibleDisks({ limit, seed: number })]) {
      const fingerprint = left.fingerprint();
      // What a kill leaves is looked at even where a power cut may leave the same.
      if (seen.size > 1 && seen.has(fingerprint)) continue;
      seen.add(fingerprint);
      states++;
      try {
        await change.check(left, ended);
      } catch (error) {
        const at = number > operations ? "after its end" : `during operation ${number} of ${operations}`;
        throw new Error(`${name}, crashed ${at}: ${String(error)}`, { cause: error });
      }
    }
  }
  return { operations, states };
}
