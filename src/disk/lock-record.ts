/**
 * What a lock file and the claims beside it say: which process has the directory, or is just deciding whether it gets it.
 *
 * A record is one line of JSON, padded to a fixed size so that a new one covers the old: `{"pid":…,"startTime":…,"bootId":…,"since":…}`.
 * An empty, torn or foreign text names nobody. A claim is an empty file; its name says everything, so that it cannot be seen half-written.
 */
import type { ProcessIdentity } from "./disk.ts";

/** Bytes of a record; also all that is read of a lock file. */
export const LOCK_RECORD_BYTES = 512;

export interface LockHolder {
  readonly identity: ProcessIdentity;
  /** When it took the lock, by its own clock. */
  readonly since: Date;
}

const TEXT_LENGTH_MAX = 64;
const PID_MAX = 0xffff_ffff;

export function encodeLockRecord(holder: LockHolder): Uint8Array {
  const { pid, startTime, bootId } = holder.identity;
  const text = JSON.stringify({ pid, startTime, bootId, since: holder.since.toISOString() });
  return new TextEncoder().encode(`${text.padEnd(LOCK_RECORD_BYTES - 1)}\n`);
}

/** The holder that a lock file's text names; null when it names nobody. */
export function decodeLockRecord(bytes: Uint8Array): LockHolder | null {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    return null;
  }
  if (typeof value !== "object" || value === null) return null;
  const { pid, startTime, bootId, since } = value as Record<string, unknown>;
  if (!isPid(pid) || !isShortText(startTime) || !isShortText(bootId) || !isShortText(since)) return null;
  const date = new Date(since);
  if (Number.isNaN(date.getTime())) return null;
  return { identity: { pid, startTime, bootId }, since: date };
}

function isPid(value: unknown): value is number {
  return typeof value === "number" && Number.isInteger(value) && value >= 1 && value <= PID_MAX;
}

function isShortText(value: unknown): value is string {
  return typeof value === "string" && value.length <= TEXT_LENGTH_MAX;
}

/** Whether both name the same process, not merely the same number. */
export function isSameProcess(one: ProcessIdentity, other: ProcessIdentity): boolean {
  return one.pid === other.pid && one.startTime === other.startTime && one.bootId === other.bootId;
}

const CLAIM_NAME = /^lock\.claim\.(\d{1,10})\.([0-9A-Za-z]*)\.([0-9A-Za-z-]*)\.(\d{1,6})$/;

/** The name of a process's claim. `attempt` tells apart claims of one process. */
export function claimName(identity: ProcessIdentity, attempt: number): string {
  return `lock.claim.${identity.pid}.${identity.startTime}.${identity.bootId}.${attempt}`;
}

/** Whose claim a file is; null when it is none. */
export function parseClaimName(name: string): ProcessIdentity | null {
  const match = CLAIM_NAME.exec(name);
  if (match === null) return null;
  const pid = Number(match[1]);
  return isPid(pid) ? { pid, startTime: match[2] ?? "", bootId: match[3] ?? "" } : null;
}
