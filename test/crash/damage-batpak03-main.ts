/**
 * `node --import tsx test/crash/damage-batpak03-main.ts [--workers N] [--fixture NAME]`: two stores that the original wrote with bytes flipped, one at a time, files
 * cut at every length, every sector zeroed, each file deleted. Every byte of the smaller one, which has all that the larger one has.
 */
import assert from "node:assert/strict";
import { parseArgs } from "node:util";
import { isMainThread } from "node:worker_threads";
import { damagesOf, type FixtureName, FIXTURES, look, type Original, originalOf, type Steps, unexplained } from "./damage-batpak03-run.ts";
import { runTasks, serveTasks, supervised } from "./pool.ts";

const STEPS: Readonly<Record<FixtureName, Steps>> = { rotate: { bytes: 23, sectors: 512 }, batch_rotate: { bytes: 1, sectors: 512 } };
/** Of as many damages a task takes every one whose number gives the same rest. */
const TASKS = 64;

interface Task {
  readonly name: FixtureName;
  readonly rest: number;
}

interface Done {
  readonly stores: number;
  /** Damage that nobody told of and that changed no answer. */
  readonly silent: readonly string[];
}

const originals = new Map<FixtureName, Original>();

async function work({ name, rest }: Task): Promise<Done> {
  const original = originals.get(name) ?? (await originalOf(name));
  originals.set(name, original);
  const silent: string[] = [];
  let number = 0;
  let stores = 0;
  for (const damage of damagesOf(original, STEPS[name])) {
    if (number++ % TASKS !== rest) continue;
    stores++;
    if (!(await look(original, damage))) silent.push(damage.about);
  }
  return { stores, silent };
}

async function supervise(): Promise<void> {
  const { values } = parseArgs({ options: { workers: { type: "string", default: "2" }, fixture: { type: "string" } } });
  const started = performance.now();
  const names = FIXTURES.filter((name) => values.fixture === undefined || name === values.fixture);
  const all = new Map(names.map((name) => [name, { stores: 0, silent: [] as string[] }]));
  const tasks = names.flatMap((name) => Array.from({ length: TASKS }, (_, rest) => ({ name, rest })));
  await runTasks<Task, Done>(new URL(import.meta.url), Number(values.workers), tasks.values(), ({ name }, done) => {
    const tried = all.get(name);
    assert(tried !== undefined, "tasks are of the fixtures");
    tried.stores += done.stores;
    tried.silent.push(...done.silent);
  });
  let total = 0;
  for (const [name, { stores, silent }] of all) {
    total += stores;
    console.log(`${name}: ${stores} stores, ${silent.length} of them harmless`);
  }
  const unsaid = [...all].flatMap(([name, { silent }]) => unexplained(silent).map((about) => `${name}: ${about}`));
  assert.deepEqual(unsaid, [], "nobody was told, and nobody says why that is no fault");
  console.log(`damage of batpak 0.3: ${total} damaged stores tried, in ${((performance.now() - started) / 60_000).toFixed(1)} minutes`);
}

if (isMainThread) await supervised(supervise);
else serveTasks(work);
