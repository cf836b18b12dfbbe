/**
 * `node --import tsx test/crash/damage-main.ts [--workers N] [--way NAME]`: a small native store with every byte flipped, one at a time, cut at
 * every length, every sector zeroed, files deleted, swapped and copied over one another; and a repair of every eleventh of them.
 */
import assert from "node:assert/strict";
import { isMainThread } from "node:worker_threads";
import { parseArgs } from "node:util";
import { files, look, noneTried, repairs, type Tried, unexplained } from "./damage-run.ts";
import { type Damage, damages, WAYS, type Way } from "./damage-ways.ts";
import { runTasks, serveTasks, supervised } from "./pool.ts";

const TASK_STORES = 500;
const REPAIRED = 11;

/** Damages `[from, from + TASK_STORES)` of a way. */
interface Task {
  readonly way: Way;
  readonly from: number;
  readonly repairs: boolean;
}

function damagesOf({ way, repairs: repaired }: Pick<Task, "way" | "repairs">): Damage[] {
  const all = [...damages(files, way, 1)];
  return repaired ? all.filter((_, number) => number % REPAIRED === 0) : all;
}

async function work(task: Task): Promise<Tried & { readonly repaired: number }> {
  const tried = noneTried();
  let repaired = 0;
  for (const damage of damagesOf(task).slice(task.from, task.from + TASK_STORES)) {
    if (!task.repairs) await look(damage, tried);
    else {
      tried.stores++;
      if (await repairs(damage)) repaired++;
    }
  }
  return { ...tried, repaired };
}

async function supervise(): Promise<void> {
  const { values } = parseArgs({ options: { workers: { type: "string", default: "2" }, way: { type: "string" } } });
  const started = performance.now();
  const ways = WAYS.filter((way) => values.way === undefined || way === values.way);
  const all = new Map(ways.map((way) => [way, noneTried()]));
  let repaired = 0;
  function* tasks(): Generator<Task> {
    for (const withRepairs of [false, true]) {
      for (const way of ways) {
        const count = damagesOf({ way, repairs: withRepairs }).length;
        for (let from = 0; from < count; from += TASK_STORES) yield { way, from, repairs: withRepairs };
      }
    }
  }
  await runTasks<Task, Awaited<ReturnType<typeof work>>>(new URL(import.meta.url), Number(values.workers), tasks(), (task, done) => {
    const tried = all.get(task.way) as Tried;
    tried.stores += done.stores;
    tried.refused += done.refused;
    for (const [field, count] of done.harmless) tried.harmless.set(field, (tried.harmless.get(field) ?? 0) + count);
    repaired += done.repaired;
  });
  let total = 0;
  for (const [way, tried] of all) {
    total += tried.stores;
    console.log(`${way}: ${tried.stores} stores, ${tried.refused} not opened, harmless: ${JSON.stringify([...tried.harmless])}`);
    assert.deepEqual(unexplained(way, tried), [], `${way}: harmless, and nobody said why`);
  }
  const minutes = ((performance.now() - started) / 60_000).toFixed(1);
  console.log(`damage: ${total} damaged stores tried, ${repaired} of them repaired, in ${minutes} minutes`);
}

if (isMainThread) await supervised(supervise);
else serveTasks(work);
