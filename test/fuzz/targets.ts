/** All fuzz targets, with their corpora made. */
import { loadHashing } from "../../src/kernel/frame-kernel.ts";
import { fixtureFiles, makeNativeFiles } from "../support/small-stores.ts";
import { batpak03Targets } from "./batpak03-targets.ts";
import type { FuzzTarget } from "./fuzz-run.ts";
import { forgeFile, nativeTargets } from "./native-targets.ts";
import { recordTargets } from "./record-targets.ts";
import { storeTarget } from "./store-targets.ts";
import { valueTargets } from "./value-targets.ts";

export async function makeTargets(): Promise<FuzzTarget[]> {
  await loadHashing();
  const files = await makeNativeFiles(60);
  return [
    ...nativeTargets(files),
    ...batpak03Targets(),
    ...valueTargets(),
    ...recordTargets(),
    storeTarget("native-store", files, forgeFile),
    storeTarget("0.3-store", fixtureFiles("rotate")),
  ];
}

/** How many of `runs` each target gets: at least one. */
export function sharesOf(targets: readonly FuzzTarget[], runs: number): Map<FuzzTarget, number> {
  const weights = targets.reduce((sum, target) => sum + target.weight, 0);
  return new Map(targets.map((target) => [target, Math.max(1, Math.ceil((runs * target.weight) / weights))]));
}
