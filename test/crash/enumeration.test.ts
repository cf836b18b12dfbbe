/**
 * Crashes every scenario during every operation that changes the disk, and checks the disks that the crash may have left.
 *
 * `BATPAK_SEED` chooses the sample, `BATPAK_SCENARIO` the scenarios whose name contains it, `BATPAK_CRASH_SHARE` (0 to 1) how many of the
 * disks are looked at in every way. `BATPAK_TEST_LONG=1` goes on with random scenarios until more than 100,000 different disks were opened.
 */
import assert from "node:assert/strict";
import { after, describe, test } from "node:test";
import { CrashCount, crashEverywhere, type EnumerationSettings } from "./crash-enumeration.ts";
import { randomScenario } from "./random-scenario.ts";
import { scenarios } from "./scenarios.ts";

const LONG = process.env.BATPAK_TEST_LONG === "1";
const SEED = Number(process.env.BATPAK_SEED ?? 1);
const ONLY = process.env.BATPAK_SCENARIO ?? "";
const DISTINCT_MIN = 100_000;
const RANDOM_SCENARIOS = LONG ? 600 : 4;

const SHARE = process.env.BATPAK_CRASH_SHARE;

const settings: EnumerationSettings = {
  seed: SEED,
  ...(LONG
    ? { listedMax: 1500, checkedMax: 400, checkedShare: 1, secondCrashShare: 0.06, secondCrashDisks: 2, fullShare: 0.08 }
    : { listedMax: 16, checkedMax: 2, checkedShare: 0.25, secondCrashShare: 0.15, secondCrashDisks: 1, fullShare: 0.3 }),
  ...(SHARE === undefined ? {} : { secondCrashShare: Number(SHARE), fullShare: Number(SHARE) }),
};

describe(`crashes during every disk operation (seed ${SEED})`, () => {
  const count = new CrashCount();
  for (const scenario of scenarios) {
    if (!scenario.name.includes(ONLY)) continue;
    test(scenario.name, async () => {
      await crashEverywhere(scenario, settings, count);
      if (LONG) console.log(`after "${scenario.name}": ${count.toString()}`);
    });
  }
  test("random work", { skip: !"random work".includes(ONLY) && !ONLY.startsWith("random work") }, async () => {
    let done = 0;
    for (let seed = 1; seed <= RANDOM_SCENARIOS; seed++) {
      const scenario = randomScenario(SEED * 1000 + seed);
      if (!scenario.name.includes(ONLY)) continue;
      await crashEverywhere(scenario, LONG ? { ...settings, checkedMax: 80 } : settings, count);
      done++;
      if (LONG && count.distinct > DISTINCT_MIN) break;
    }
    console.log(`random scenarios: ${done}`);
    if (LONG && ONLY === "") assert.ok(count.distinct > DISTINCT_MIN, `only ${count.distinct} distinct disks were opened`);
  });
  after(() => console.log(`crashes: ${count.toString()} (seed ${SEED})`));
});
