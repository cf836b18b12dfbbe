/**
 * Work in worker threads, one task after another on each. Not under Node's test runner, which follows every promise and so doubles the time.
 *
 * A script calls `runTasks` on the main thread, and `serveTasks` where it finds itself in a worker.
 */
import { parentPort, Worker } from "node:worker_threads";

/** Does tasks in workers that load `script`; `ended` is told what came of each, in no order. */
export async function runTasks<Task, Done>(
  script: URL,
  workers: number,
  tasks: AsyncIterator<Task> | Iterator<Task>,
  ended: (task: Task, done: Done, milliseconds: number) => void,
): Promise<void> {
  const take = async (worker: Worker): Promise<void> => {
    for (;;) {
      const next = await tasks.next();
      if (next.done === true) return;
      const started = performance.now();
      const done = await new Promise<Done>((resolve, reject) => {
        worker.removeAllListeners();
        worker.on("error", reject);
        worker.on("message", resolve);
        worker.postMessage(next.value);
      });
      ended(next.value, done, performance.now() - started);
    }
  };
  const options = { workerData: script.href, resourceLimits: { maxYoungGenerationSizeMb: 64 } };
  const threads = Array.from({ length: workers }, () => new Worker(new URL("worker.mjs", import.meta.url), options));
  try {
    await Promise.all(threads.map(take));
  } finally {
    await Promise.all(threads.map((thread) => thread.terminate()));
  }
}

/** In a worker: does what it is told. A task that fails ends the worker, and so the whole run. */
export function serveTasks<Task, Done>(work: (task: Task) => Promise<Done>): void {
  parentPort?.on("message", (task: Task) => {
    void work(task).then((done) => parentPort?.postMessage(done));
  });
}

/** Runs the main thread's part, and ends the process with what went wrong. */
export async function supervised(work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 1;
  }
}
