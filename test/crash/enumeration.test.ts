/**
 * Crashes every scenario during every operation that changes the disk, and checks disks that the crash may have left: all of them where
 * they are few, else a seeded sample. `BATPAK_SEED` chooses the sample, `BATPAK_TEST_LONG=1` a much larger one.
 */
import { after, describe, test } from "node:test";
import { SimulatedDisk } from "../../src/testing/sim-disk.ts";
import { seededRandom } from "../../src/testing/seeded-random.ts";
import { checkState, runScenario, type Scenario } from "./crash-run.ts";
import { scenarios } from "./scenarios.ts";

const LONG = process.env.BATPAK_TEST_LONG === "1";
const SEED = Number(process.env.BATPAK_SEED ?? 1);
const ONLY = process.env.BATPAK_SCENARIO ?? "";
/** Of one crash. */
const DISKS = LONG ? 200 : 2;
const distinct = new Set<string>();
let opened = 0;

async function crashEverywhere(scenario: Scenario): Promise<void> {
  const whole = new SimulatedDisk();
  await runScenario(scenario, whole);
  const operations = whole.operationCount;
  const random = seededRandom(SEED);
  for (let number = 1; number <= operations; number++) {
    const disk = new SimulatedDisk();
    disk.crashDuring(number);
    const { ledger } = await runScenario(scenario, disk);
    const common = { ledger, options: scenario.options, random, secondCrashDisks: LONG ? 4 : 1, closeShare: LONG ? 1 : 0.2, counted };
    let which = 0;
    const check = async (left: SimulatedDisk, powerCut: boolean): Promise<void> => {
      try {
        await checkState(left, { ...common, powerCut });
      } catch (error) {
        const at = `operation ${number} of ${operations}, disk ${which}${powerCut ? "" : " (killed, no power cut)"}, seed ${SEED}`;
        throw new Error(`"${scenario.name}" crashed during ${at}: ${String(error)}`, { cause: error });
      }
      which++;
    };
    await check(disk.diskAfterKill(), false);
    for (const left of disk.possibleDisks({ limit: DISKS, seed: SEED + number })) await check(left, true);
  }
}

function counted(disk: SimulatedDisk): void {
  opened++;
  distinct.add(disk.fingerprint());
}

describe(`crashes during every disk operation (seed ${SEED})`, () => {
  for (const scenario of scenarios) if (scenario.name.includes(ONLY)) test(scenario.name, () => crashEverywhere(scenario));
  after(() => console.log(`crash states tried: ${opened}, ${distinct.size} of them distinct (seed ${SEED})`));
});
