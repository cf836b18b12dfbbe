/**
 * Who this process is, and whether another one lives: by what Linux tells of processes in `/proc`, elsewhere, and where that may not be read, by asking the
 * system with a signal that does nothing.
 */
import { StoreError } from "../base/store-error.ts";
import type { ProcessIdentity } from "./disk.ts";
import { hasEnded, type ProcessStat, parseProcessStat } from "./process-stat.ts";
import { errorCode } from "./system-error.ts";

/** Gives a small file's text; null where it cannot be read. */
export type ReadText = (path: string) => string | null;

const PID_MAX = 0x7fff_ffff;

let bootId: string | undefined;

export function identifySelf(readText: ReadText): ProcessIdentity {
  return { pid: process.pid, startTime: statOf("self", readText)?.startTime ?? "", bootId: currentBootId(readText) };
}

/** Throws StoreError `UNSUPPORTED_RUNTIME` where that cannot be told: a living process is never taken for dead, since its directory would be taken from it. */
export function isProcessAlive({ pid, startTime, bootId: itsBoot }: ProcessIdentity, readText: ReadText): boolean {
  if (!Number.isInteger(pid) || pid < 1 || pid > PID_MAX) return false;
  const boot = currentBootId(readText);
  if (itsBoot !== "" && boot !== "" && itsBoot !== boot) return false;
  const stat = statOf(pid, readText);
  if (stat !== null) return !hasEnded(stat) && (startTime === "" || startTime === stat.startTime);
  // No /proc, or one that hides other users' processes: signal 0 asks without touching, and EPERM means that it is there.
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    const code = errorCode(error);
    if (code === "EPERM" || code === "ESRCH") return code === "EPERM";
    const reason = `whether process ${pid} lives, whose name is in a lock file, may not be asked here`;
    const message = `Cannot tell whether another process has the directory open: ${reason}, Deno allows it with -A or --allow-run`;
    throw new StoreError("UNSUPPORTED_RUNTIME", message, { reason }, { cause: error });
  }
}

function statOf(pid: number | "self", readText: ReadText): ProcessStat | null {
  const text = process.platform === "linux" ? readText(`/proc/${pid}/stat`) : null;
  return text === null ? null : parseProcessStat(text);
}

function currentBootId(readText: ReadText): string {
  bootId ??= process.platform === "linux" ? (readText("/proc/sys/kernel/random/boot_id")?.trim() ?? "") : "";
  return bootId;
}
