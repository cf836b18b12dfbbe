/** `store.verify`: the log against itself, its index and its checkpoint. */
import { join } from "node:path";
import { uninitializedBytes } from "./base/uninitialized.ts";
import { invalidArgument, StoreError } from "./base/store-error.ts";
import { restoreCheckpoint } from "./checkpoint/restore.ts";
import type { Disk } from "./disk/disk.ts";
import { CHECKPOINT_FILE, decodeCheckpoint } from "./format/native/checkpoint.ts";
import { type CheckpointClaim, verifyLog, type VerifyProgress } from "./log/verify.ts";
import type { NativeStoreParts } from "./native-engine.ts";
import type { StoreProblem } from "./open-report.ts";

export interface VerifyOptions {
  /** Called after each block of frames. */
  readonly onProgress?: (progress: VerifyProgress) => void;
  /** Stops the verification with its reason. */
  readonly signal?: AbortSignal;
}

export interface VerifyReport {
  /** Whether nothing is wrong. */
  readonly ok: boolean;
  /** Events looked at. */
  readonly events: number;
  readonly entities: number;
  /** What is wrong, the first thousand; codes are listed in docs/errors.md under "Problems". */
  readonly problems: readonly StoreProblem[];
  /** All that is wrong. */
  readonly problemCount: number;
}

const OPTION_NAMES: ReadonlySet<string> = new Set(["onProgress", "signal"]);

/** Verifies everything visible. `opened` are problems that opening met already. */
export async function verifyStore(
  disk: Disk,
  parts: NativeStoreParts,
  opened: readonly StoreProblem[],
  options: VerifyOptions,
): Promise<VerifyReport> {
  for (const name of Object.keys(options)) {
    if (!OPTION_NAMES.has(name)) throw invalidArgument(`Cannot verify: the option ${name} is unknown, onProgress and signal are allowed`);
  }
  if (parts.layout !== "native") {
    throw new StoreError("UNSUPPORTED_BY_LAYOUT", "Cannot verify: stores of the batpak 0.3 layout cannot be verified yet", {
      layout: parts.layout,
      feature: "verify",
    });
  }
  const { index, storeId } = parts.log;
  if (storeId === null) return { ok: opened.length === 0, events: 0, entities: 0, problems: opened, problemCount: opened.length };
  const checkpoint = await readClaim(disk, parts, storeId);
  const { onProgress, signal } = options;
  const { events, entities, findings, findingCount } = await verifyLog({
    index,
    files: parts.files,
    storeId,
    checkpoint,
    onProgress,
    signal,
  });
  const problems = [...opened, ...findings];
  return { ok: problems.length === 0, events, entities, problems, problemCount: opened.length + findingCount };
}

/** What the checkpoint on disk claims; null where opening would ignore it anyway. */
async function readClaim(disk: Disk, parts: NativeStoreParts, storeId: Uint8Array): Promise<CheckpointClaim | null> {
  const path = join(parts.directory, CHECKPOINT_FILE);
  const status = await disk.status(path);
  if (status?.type !== "file") return null;
  const file = await disk.open(path, "read");
  try {
    const bytes = uninitializedBytes(await file.size());
    const count = await file.read(bytes, 0, bytes.length, 0);
    const decoded = decodeCheckpoint(bytes.subarray(0, count));
    if (decoded.kind !== "ok") return null;
    const restored = restoreCheckpoint(decoded.content, {
      loadIndex: () => {
        throw new Error("A checkpoint's claim loads no index");
      },
      rebuildIndex: () => {
        throw new Error("A checkpoint's claim rebuilds no index");
      },
      hasId: () => false,
    });
    if (restored.kind !== "ok" || Buffer.compare(restored.restored.storeId, storeId) !== 0) return null;
    const { index } = restored.restored;
    const { segmentId, offset } = index.visible;
    return { segmentId, offset, visibleEvents: index.visibleEvents, entities: index.entities, heads: index.heads };
  } finally {
    await file.close();
  }
}
