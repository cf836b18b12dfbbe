/** What a repair finds wrong with index blocks. */
import type { Disk } from "./disk/disk.ts";
import type { NativeStoreParts } from "./native-engine.ts";
import type { StoreProblem } from "./open-report.ts";
import { verifyStore } from "./verify.ts";

/** A block of which every page can be used is left as it is, whatever it says: it may be the frames that were changed. */
export async function problemsOfBlocks(disk: Disk, parts: NativeStoreParts): Promise<StoreProblem[]> {
  const bad = new Set<number>();
  const { problems } = await verifyStore(disk, parts, {}, bad);
  return problems.filter(({ code, segmentId }) => code.startsWith("INDEX_") && bad.has(segmentId ?? 0));
}
