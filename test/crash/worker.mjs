// Loads main.ts in a worker: what `--import tsx` sets up does not reach workers on Node 20.
import { register } from "tsx/esm/api";

register();
await import("./main.ts");
