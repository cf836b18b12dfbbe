/**
 * `npm run fuzz -- [--seed N] [--runs N] [--target NAME] [--from N] [--minutes M]`: fuzzes every decoder and whole directories.
 *
 * The runs are done in a worker, which notes each run before it begins, so that an input that never ends is named too.
 */
import { parseArgs } from "node:util";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { fuzzTarget } from "./fuzz-run.ts";
import { makeTargets, sharesOf } from "./targets.ts";

interface Task {
  readonly seed: number;
  readonly runs: number;
  readonly target: string | null;
  readonly from: number;
  readonly minutes: number;
  /** [number of the target, number of the run], kept up to date by the worker. */
  readonly progress: SharedArrayBuffer;
}

const HANGS_AFTER_MS = 30_000;

async function work(task: Task): Promise<void> {
  const progress = new Int32Array(task.progress);
  const print = (line: string): void => parentPort?.postMessage(line);
  const all = await makeTargets();
  const targets = all.filter((target) => task.target === null || target.name === task.target);
  if (targets.length === 0) throw new Error(`No target is named ${task.target}; there are ${all.map(({ name }) => name).join(", ")}`);
  const until = performance.now() + task.minutes * 60_000;
  let runs = 0;
  for (const [target, share] of sharesOf(targets, task.runs)) {
    progress[0] = all.indexOf(target);
    const done = await fuzzTarget(target, task.seed, task.from, share, (run) => (progress[1] = run), until);
    runs += done.runs;
    const rate = Math.round((done.runs / Math.max(1, done.milliseconds)) * 1000);
    const outcomes = [...done.outcomes].sort((a, b) => b[1] - a[1]).map(([outcome, count]) => `${outcome} ${count}`);
    print(`${target.name.padEnd(22)} ${String(done.runs).padStart(8)} inputs  ${String(rate).padStart(7)}/s  ${outcomes.join(", ")}`);
  }
  print(`${runs} fuzz inputs tried, nothing wrong (seed ${task.seed})`);
}

function supervise(): void {
  const { values } = parseArgs({
    options: {
      seed: { type: "string" },
      runs: { type: "string", default: "1000000" },
      target: { type: "string" },
      from: { type: "string", default: "0" },
      minutes: { type: "string", default: "1000" },
    },
  });
  const progress = new SharedArrayBuffer(8);
  const task: Task = {
    seed: Number(values.seed ?? Date.now() % 1_000_000_000),
    runs: Number(values.runs),
    target: values.target ?? null,
    from: Number(values.from),
    minutes: Number(values.minutes),
    progress,
  };
  process.stdout.write(`seed ${task.seed}\n`);
  const worker = new Worker(new URL("worker.mjs", import.meta.url), { workerData: task });
  let last = "";
  const watch = setInterval(() => {
    const now = new Int32Array(progress).join();
    if (now === last) {
      process.stderr.write(
        `Run ${new Int32Array(progress)[1]} of target number ${new Int32Array(progress)[0]} does not end (seed ${task.seed})\n`,
      );
      process.exit(1);
    }
    last = now;
  }, HANGS_AFTER_MS);
  worker.on("message", (line: string) => process.stdout.write(`${line}\n`));
  worker.on("error", (error) => {
    process.stderr.write(`${error.message}\n`);
    process.exitCode = 1;
  });
  worker.on("exit", () => clearInterval(watch));
}

if (isMainThread) supervise();
else await work(workerData as Task);
