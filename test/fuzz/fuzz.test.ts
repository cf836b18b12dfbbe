/** The fuzzers, bounded: `npm run fuzz` runs them for as long as one likes. FUZZ_SEED repeats a run. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { fuzzTarget } from "./fuzz-run.ts";
import { makeTargets, sharesOf } from "./targets.ts";

const seed = Number(process.env.FUZZ_SEED ?? Date.now() % 1_000_000);
const runs = Number(process.env.FUZZ_RUNS ?? 10_000);
const targets = await makeTargets();
let tried = 0;

for (const [target, share] of sharesOf(targets, runs)) {
  test(`${target.name} (seed ${seed})`, async () => {
    const { outcomes, runs: done } = await fuzzTarget(target, seed, 0, share);
    tried += done;
    // A fuzzer that reaches one outcome only tries nothing.
    if (share > 100) assert(outcomes.size > 1, [...outcomes.keys()].join());
  });
}

test("how many", () => {
  console.log(`${tried} fuzz inputs tried (seed ${seed})`);
  assert(tried >= runs);
});
