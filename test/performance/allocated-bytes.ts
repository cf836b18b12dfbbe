import type { HeapProfiler } from "node:inspector";
import { Session } from "node:inspector/promises";

/** Work that is not compiled yet allocates more, and on a busy machine it takes longer until it is. */
const TIMES = 3;

/** Heap bytes that `work` allocates, whatever was collected meanwhile: a sample of them, the least of some times that it is done. */
export async function allocatedBytes(work: () => Promise<void>): Promise<number> {
  let least = Number.POSITIVE_INFINITY;
  for (let time = 0; time < TIMES; time++) least = Math.min(least, await allocatedOnce(work));
  return least;
}

async function allocatedOnce(work: () => Promise<void>): Promise<number> {
  const session = new Session();
  session.connect();
  await session.post("HeapProfiler.startSampling", {
    samplingInterval: 4096,
    includeObjectsCollectedByMajorGC: true,
    includeObjectsCollectedByMinorGC: true,
  } as object);
  await work();
  const { profile } = await session.post("HeapProfiler.stopSampling");
  session.disconnect();
  const sum = (node: HeapProfiler.SamplingHeapProfileNode): number =>
    node.children.reduce((bytes, child) => bytes + sum(child), node.selfSize);
  return sum(profile.head);
}
