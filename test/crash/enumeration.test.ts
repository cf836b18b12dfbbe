/**
 * Crashes every scenario during every operation that changes the disk, and checks a sample of the disks that the crash may have left;
 * `main.ts` checks many more, until 100,000 different ones were opened.
 *
 * `BATPAK_SEED` chooses the sample, `BATPAK_SCENARIO` the scenarios whose name contains it, `BATPAK_CRASH_SHARE` (0 to 1) how many of the
 * disks are looked at in every way.
 */
import { after, describe, test } from "node:test";
import { CrashCount, crashEverywhere, type EnumerationSettings } from "./crash-enumeration.ts";
import { randomScenario } from "./random-scenario.ts";
import { scenarios } from "./scenarios.ts";

const SEED = Number(process.env.BATPAK_SEED ?? 1);
const ONLY = process.env.BATPAK_SCENARIO ?? "";
const RANDOM_SCENARIOS = 4;
const SHARE = process.env.BATPAK_CRASH_SHARE;

const settings: EnumerationSettings = {
  seed: SEED,
  listedMax: 16,
  checkedMax: 2,
  checkedShare: 0.25,
  secondCrashShare: Number(SHARE ?? 0.15),
  secondCrashDisks: 1,
  fullShare: Number(SHARE ?? 0.3),
};

describe(`crashes during every disk operation (seed ${SEED})`, () => {
  const count = new CrashCount();
  for (const scenario of scenarios) {
    if (!scenario.name.includes(ONLY)) continue;
    test(scenario.name, () => crashEverywhere(scenario, settings, count));
  }
  test("random work", { skip: !"random work".includes(ONLY) && !ONLY.startsWith("random work") }, async () => {
    for (let seed = 1; seed <= RANDOM_SCENARIOS; seed++) {
      const scenario = randomScenario(SEED * 1000 + seed);
      if (scenario.name.includes(ONLY)) await crashEverywhere(scenario, settings, count);
    }
  });
  after(() => console.log(`crashes: ${count.toString()} (seed ${SEED})`));
});
