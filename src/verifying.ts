/** `store.verify` on a store as it is open: nobody changes the names of the log's files under it, or it looks again. */
import { setTimeout } from "./base/timers.ts";
import { assertFunction, assertOptions, assertSignal } from "./base/arguments.ts";
import { isStoreError } from "./base/store-error.ts";
import { errorCode } from "./disk/system-error.ts";
import { SegmentFiles } from "./log/segment-files.ts";
import type { NativeStoreParts } from "./native-engine.ts";
import { asStoreError } from "./open-directory.ts";
import { alwaysCompacted } from "./open-store.ts";
import { RENEWALS_MAX } from "./reading.ts";
import type { StoreAccess } from "./store-access.ts";
import { type VerifyOptions, type VerifyResult, verifyStore } from "./verify.ts";

/** Mostly longer than it takes the process that compacts to note it in the mark; twice as long each time, up to the greater: it may be held up. */
const SETTLE_MS = 5;
const SETTLE_MS_MAX = 200;

const OPTION_NAMES: ReadonlySet<string> = new Set(["onProgress", "signal"]);

/** Verifies; in a read-only store once more where another process has compacted it meanwhile, and what was found is of neither log. */
export async function verifyOpen(access: StoreAccess, options: VerifyOptions): Promise<VerifyResult> {
  assertOptions(options, OPTION_NAMES, "verify");
  assertFunction(options.onProgress, "onProgress", "verify");
  assertSignal(options.signal, "verify");
  const { parts, fileNames } = access;
  for (let attempt = 1; ; attempt++) {
    const { generation } = parts.log;
    const seen = access.visibleSequence;
    let result: VerifyResult | null = null;
    try {
      result = await fileNames.share(() => verifyOnce(access, options), options.signal);
      if (result.ok || access.writer !== null || attempt === RENEWALS_MAX) return result;
    } catch (error) {
      const isPassing = isStoreError(error, "COMPACTED") || errorCode(error) === "ENOENT";
      if (!isPassing || access.writer !== null) throw asStoreError("verify", access.directory, error);
      if (attempt === RENEWALS_MAX) throw isStoreError(error) ? error : alwaysCompacted(error);
    }
    await new Promise((again) => setTimeout(again, Math.min(SETTLE_MS * 2 ** (attempt - 1), SETTLE_MS_MAX)));
    await access.refresh();
    // What this reader had seen ends before a checkpoint that was written since.
    const wasBehind = access.visibleSequence > seen && result?.problems.some(({ code }) => code === "CHECKPOINT_MISMATCH");
    if (result !== null && parts.log.generation === generation && wasBehind !== true) return result;
  }
}

/**
 * A damaged log of the batpak 0.3 layout is read anew by every refresh, which retires its files, and closing closes them at once: there the log is verified
 * as it is now, in files of its own.
 */
async function verifyOnce(access: StoreAccess, options: VerifyOptions): Promise<VerifyResult> {
  const { disk, parts } = access;
  if (parts.layout === "native") return await verifyStore(disk, parts, options);
  const now: NativeStoreParts = { ...parts, files: new SegmentFiles(disk, parts.directory) };
  const onProgress: VerifyOptions["onProgress"] = (progress) => {
    access.assertReadable();
    options.onProgress?.(progress);
  };
  try {
    return await verifyStore(disk, now, { ...options, onProgress });
  } finally {
    now.files.closeAll();
  }
}
