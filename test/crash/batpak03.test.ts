/**
 * The same crashes over stores of the batpak 0.3 layout: every scenario that this layout can do, during every operation that changes the disk.
 *
 * `BATPAK_SEED` chooses the sample, `BATPAK_SCENARIO` the scenarios whose name contains it;
 * `main.ts` checks many more disks.
 */
import { after, describe, test } from "node:test";
import { CrashCount, crashEverywhere, type EnumerationSettings } from "./crash-enumeration.ts";
import type { Scenario } from "./driver.ts";
import { scenarios } from "./scenarios.ts";

const SEED = Number(process.env.BATPAK_SEED ?? 1);
const ONLY = process.env.BATPAK_SCENARIO ?? "";
const SHARE = process.env.BATPAK_CRASH_SHARE;

const settings: EnumerationSettings = {
  seed: SEED,
  listedMax: 16,
  checkedMax: 2,
  checkedShare: 0.25,
  secondCrashShare: Number(SHARE ?? 0.15),
  secondCrashDisks: 1,
  fullShare: Number(SHARE ?? 0.15),
};

const inThisLayout = scenarios
  .filter(({ name, layouts }) => name.includes(ONLY) && layouts?.includes("batpak-0.3") !== false)
  .map((scenario): Scenario => ({ ...scenario, options: { ...scenario.options, layout: "batpak-0.3" } }));

describe(`crashes of batpak 0.3 stores during every disk operation (seed ${SEED})`, () => {
  const count = new CrashCount();
  for (const scenario of inThisLayout) test(scenario.name, () => crashEverywhere(scenario, settings, count));
  after(() => console.log(`crashes: ${count.toString()} (seed ${SEED})`));
});
