// Loads a script in a worker: what `--import tsx` sets up does not reach workers on Node 20.
import { workerData } from "node:worker_threads";
import { register } from "tsx/esm/api";

register();
await import(workerData);
