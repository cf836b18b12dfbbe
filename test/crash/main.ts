/**
 * `node --import tsx test/crash/main.ts [--seed N] [--scenario TEXT] [--distinct N] [--workers N]`: every scenario in both layouts, crashed during
 * every operation, and then random ones until so many different disks were opened (100,000, where no scenario is named).
 *
 * Not under Node's test runner, which follows every promise and so doubles the time. Scenarios go to workers one at a time.
 */
import { parseArgs } from "node:util";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import type { Layout } from "../../src/store-options.ts";
import { CrashCount, crashEverywhere, type EnumerationSettings } from "./crash-enumeration.ts";
import type { Scenario } from "./driver.ts";
import { randomScenario } from "./random-scenario.ts";
import { scenarios } from "./scenarios.ts";

const RANDOM_SCENARIOS_MAX = 5000;
const LAYOUTS: readonly Layout[] = ["native", "batpak-0.3"];

/** What a worker is told: a name from `scenarios`, or the seed of a random one. */
interface Task {
  readonly scenario: string | number;
  readonly layout: Layout;
}

interface Done {
  readonly opened: number;
  readonly fingerprints: readonly string[];
  readonly milliseconds: number;
}

const settingsOf = (seed: number, isRandom: boolean): EnumerationSettings => ({
  seed,
  listedMax: 1500,
  checkedMax: isRandom ? 80 : 300,
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
      if (name.includes(only) && layouts?.includes(layout) !== false) yield { scenario: name, layout };
    }
  }
  for (let number = 1; number <= RANDOM_SCENARIOS_MAX; number++) {
    const scenario = seed * 1_000_000 + number;
    if (randomScenario(scenario).name.includes(only)) yield { scenario, layout: LAYOUTS[number % 2] };
  }
}

/** Does one task after another for the main thread. */
function work(seed: number): void {
  parentPort?.on("message", (task: Task) => {
    const started = performance.now();
    const count = new CrashCount();
    void crashEverywhere(scenarioOf(task), settingsOf(seed, typeof task.scenario === "number"), count).then(() => {
      const done: Done = { opened: count.opened, fingerprints: count.fingerprints(), milliseconds: performance.now() - started };
      parentPort?.postMessage(done);
    });
  });
}

async function supervise(): Promise<void> {
  const { values } = parseArgs({
    options: {
      seed: { type: "string", default: "1" },
      scenario: { type: "string", default: "" },
      distinct: { type: "string" },
      workers: { type: "string", default: "2" },
    },
  });
  const seed = Number(values.seed);
  // Named ones are run once each; of the random ones there is no end.
  const distinctMin = Number(values.distinct ?? (values.scenario === "" ? 100_000 : 0));
  const started = performance.now();
  const distinct = new Set<string>();
  const queue = tasks(values.scenario, seed);
  let opened = 0;
  let fixed = 0;
  let random = 0;
  const take = async (worker: Worker): Promise<void> => {
    for (;;) {
      const { value: task, done: over } = await queue.next();
      if (over === true) return;
      const isRandom = typeof task.scenario === "number";
      if (isRandom && distinct.size >= distinctMin && values.scenario === "") return;
      const done = await new Promise<Done>((resolve, reject) => {
        worker.removeAllListeners();
        worker.on("error", reject);
        worker.on("message", resolve);
        worker.postMessage(task);
      });
      opened += done.opened;
      for (const fingerprint of done.fingerprints) distinct.add(fingerprint);
      if (isRandom) random++;
      else fixed++;
      const seconds = (done.milliseconds / 1000).toFixed(1);
      console.log(`${scenarioOf(task).name}: ${done.opened} crash states, ${seconds} s; in all ${opened}, ${distinct.size} distinct`);
    }
  };
  const workers = Array.from(
    { length: Number(values.workers) },
    () => new Worker(new URL("worker.mjs", import.meta.url), { workerData: seed, resourceLimits: { maxYoungGenerationSizeMb: 64 } }),
  );
  try {
    await Promise.all(workers.map(take));
  } finally {
    await Promise.all(workers.map((worker) => worker.terminate()));
  }
  const minutes = ((performance.now() - started) / 60_000).toFixed(1);
  console.log(
    `crashes: ${opened} crash states tried, ${distinct.size} distinct disks, of ${fixed} scenarios and ${random} random ones (seed ${seed}), in ${minutes} minutes`,
  );
  if (distinct.size < distinctMin) throw new Error(`Only ${distinct.size} distinct disks were opened, of ${distinctMin}`);
}

if (isMainThread) {
  await supervise().catch((error: unknown) => {
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 1;
  });
} else {
  work(workerData as number);
}
