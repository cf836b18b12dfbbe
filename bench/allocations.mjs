/** Bytes of JavaScript heap that a piece of work takes, collected ones included, by V8's sampling heap profiler. */
import { Session } from "node:inspector/promises";

const INTERVAL_BYTES = 16 * 1024;

/** @param work does its work and returns how many units it did */
export async function allocatedBytes(work) {
  const session = new Session();
  session.connect();
  await session.post("HeapProfiler.enable");
  await session.post("HeapProfiler.startSampling", {
    samplingInterval: INTERVAL_BYTES,
    includeObjectsCollectedByMajorGC: true,
    includeObjectsCollectedByMinorGC: true,
  });
  const units = await work();
  const { profile } = await session.post("HeapProfiler.stopSampling");
  session.disconnect();
  let bytes = 0;
  const add = (node) => {
    bytes += node.selfSize;
    for (const child of node.children) add(child);
  };
  add(profile.head);
  return bytes / units;
}
