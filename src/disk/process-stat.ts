/** What `/proc/PID/stat` says of a process that matters for telling whether a lock's holder lives. */
export interface ProcessStat {
  /** One letter: R, S, D, … and Z (zombie) or X (dead). */
  readonly state: string;
  /** Of its threads, those that have not ended; 1 of a zombie all of whose threads have. */
  readonly threads: number;
  /** Clock ticks since boot at which the process began. */
  readonly startTime: string;
}

/** Fields 20 and 22 of the line counted from 1; the state is field 3, the first after the command's closing parenthesis. */
const THREADS_AFTER_STATE = 20 - 3;
const START_TIME_AFTER_STATE = 22 - 3;

/**
 * Reads a line of `/proc/PID/stat`; null when it is no such line. The command in parentheses may hold spaces and parentheses of its
 * own, so that fields are counted from the last one.
 */
export function parseProcessStat(line: string): ProcessStat | null {
  const commandEnd = line.lastIndexOf(")");
  if (commandEnd < 0) return null;
  const fields = line
    .slice(commandEnd + 1)
    .trim()
    .split(/\s+/);
  const state = fields[0];
  const threads = Number(fields[THREADS_AFTER_STATE]);
  const startTime = fields[START_TIME_AFTER_STATE];
  if (state === undefined || !/^[A-Za-z]$/.test(state) || startTime === undefined || !/^\d+$/.test(startTime)) return null;
  return Number.isInteger(threads) ? { state, threads, startTime } : null;
}

/**
 * Whether a process in this state has ended, though its number is still taken. The state is that of its first thread: in a process that was killed it may
 * be a zombie while another thread waits in the kernel for a disk, and then writes, or renames, what it was asked to.
 */
export function hasEnded(stat: ProcessStat): boolean {
  return stat.state === "X" || stat.state === "x" || (stat.state === "Z" && stat.threads <= 1);
}
