/**
 * `node --import tsx test/crash/main.ts [--seed N] [--scenario TEXT] [--distinct N] [--random N] [--workers N]`: every scenario in both layouts,
 * crashed during every operation; then so many random ones (40), and more until so many different disks were opened (100,000). Where a
 * scenario is named, all that are called so, and no least number. Fails where it opened fewer.
 */
import { parseArgs } from "node:util";
import { isMainThread } from "node:worker_threads";
import type { Layout } from "../../src/store-options.ts";
import { CrashCount, crashEverywhere, type EnumerationSettings } from "./crash-enumeration.ts";
import type { Scenario } from "./driver.ts";
import { runTasks, serveTasks, supervised } from "./pool.ts";
import { randomScenario } from "./random-scenario.ts";
import { scenarios } from "./scenarios.ts";

const DISTINCT_MIN = 100_000;
const RANDOM_SCENARIOS_MIN = 40;
const RANDOM_SCENARIOS_MAX = 5000;
const LAYOUTS: readonly Layout[] = ["native", "batpak-0.3"];

/** What a worker is told: a name from `scenarios`, or the seed of a random one. */
interface Task {
  readonly scenario: string | number;
  readonly layout: Layout;
  readonly seed: number;
}

interface Done {
  readonly opened: number;
  readonly fingerprints: readonly string[];
}

const settingsOf = (seed: number, isRandom: boolean): EnumerationSettings => ({
  seed,
  listedMax: 1500,
  checkedMax: isRandom ? 40 : 90,
  checkedShare: 1,
  secondCrashShare: 0.06,
  secondCrashDisks: 2,
  fullShare: 0.08,
});

function scenarioOf({ scenario: name, layout }: Task): Scenario {
  const scenario = typeof name === "number" ? randomScenario(name) : scenarios.find((one) => one.name === name);
  if (scenario === undefined) throw new Error(`No scenario is named ${name}`);
  return layout === "native" ? scenario : { ...scenario, name: `${scenario.name} (${layout})`, options: { ...scenario.options, layout } };
}

async function* tasks(only: string, seed: number): AsyncGenerator<Task> {
  for (const layout of LAYOUTS) {
    for (const { layouts, name } of scenarios) {
      if (name.includes(only) && layouts?.includes(layout) !== false) yield { scenario: name, layout, seed };
    }
  }
  for (let number = 1; number <= RANDOM_SCENARIOS_MAX; number++) {
    const scenario = seed * 1_000_000 + number;
    if (randomScenario(scenario).name.includes(only)) yield { scenario, layout: LAYOUTS[number % 2], seed };
  }
}

async function supervise(): Promise<void> {
  const { values } = parseArgs({
    options: {
      seed: { type: "string", default: "1" },
      scenario: { type: "string", default: "" },
      distinct: { type: "string" },
      random: { type: "string" },
      workers: { type: "string", default: "2" },
    },
  });
  const seed = Number(values.seed);
  const distinctMin = Number(values.distinct ?? (values.scenario === "" ? DISTINCT_MIN : 0));
  const randomMin = Number(values.random ?? (values.scenario === "" ? RANDOM_SCENARIOS_MIN : Infinity));
  const started = performance.now();
  const distinct = new Set<string>();
  let opened = 0;
  let fixed = 0;
  let random = 0;
  // Named ones are run once each; then random ones, so many at the least, until enough different disks were opened.
  async function* wanted(): AsyncGenerator<Task> {
    let begun = 0;
    for await (const task of tasks(values.scenario, seed)) {
      if (typeof task.scenario === "number" && begun++ >= randomMin && distinct.size >= distinctMin) return;
      yield task;
    }
  }
  await runTasks<Task, Done>(new URL(import.meta.url), Number(values.workers), wanted(), (task, done, milliseconds) => {
    opened += done.opened;
    for (const fingerprint of done.fingerprints) distinct.add(fingerprint);
    if (typeof task.scenario === "number") random++;
    else fixed++;
    const seconds = (milliseconds / 1000).toFixed(1);
    console.log(`${scenarioOf(task).name}: ${done.opened} states, ${seconds} s; in all ${opened}, ${distinct.size} distinct`);
  });
  const minutes = ((performance.now() - started) / 60_000).toFixed(1);
  console.log(
    `crashes: ${opened} crash states tried, ${distinct.size} distinct disks, of ${fixed} scenarios and ${random} random ones (seed ${seed}), in ${minutes} minutes`,
  );
  if (distinct.size < distinctMin) throw new Error(`Only ${distinct.size} distinct disks were opened, of ${distinctMin}`);
}

if (isMainThread) await supervised(supervise);
else {
  serveTasks<Task, Done>(async (task) => {
    const count = new CrashCount();
    await crashEverywhere(scenarioOf(task), settingsOf(task.seed, typeof task.scenario === "number"), count);
    return { opened: count.opened, fingerprints: count.fingerprints() };
  });
}
