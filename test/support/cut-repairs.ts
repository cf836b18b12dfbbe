/** Repairs that a crash cuts off. */
import { repairStore } from "../../src/repair.ts";
import type { SimulatedDisk } from "../../src/testing/sim-disk.ts";
import { DIRECTORY } from "./small-stores.ts";

/** Cuts the repair of a damaged store off behind each of its steps, by a crash and by a kill, repairs what is left, and checks that. */
export async function eachCutRepair(damaged: () => SimulatedDisk, check: (after: SimulatedDisk) => Promise<void>): Promise<void> {
  const whole = damaged();
  const start = whole.operationCount;
  await repairStore(DIRECTORY, { disk: whole, apply: true });
  for (let step = 1; step <= whole.operationCount - start; step++) {
    const cut = damaged();
    cut.crashAfter(cut.operationCount + step);
    await repairStore(DIRECTORY, { disk: cut, apply: true }).catch(() => {});
    for (const after of [cut.diskAfterCrash(), cut.diskAfterKill()]) {
      await repairStore(DIRECTORY, { disk: after, apply: true });
      await check(after);
    }
  }
}
