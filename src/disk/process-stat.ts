/** What `/proc/PID/stat` says of a process that matters for telling whether a lock's holder lives. */
export interface ProcessStat {
  /** One letter: R, S, D, … and Z (zombie) or X (dead). */
  readonly state: string;
  /** Clock ticks since boot at which the process began. */
  readonly startTime: string;
}

/** Field 22 of the line counted from 1; the state is field 3, the first after the command's closing parenthesis. */
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
  const startTime = fields[START_TIME_AFTER_STATE];
  if (state === undefined || !/^[A-Za-z]$/.test(state) || startTime === undefined || !/^\d+$/.test(startTime)) return null;
  return { state, startTime };
}

/** Whether a process in this state has ended, though its number is still taken. */
export function hasEnded(stat: ProcessStat): boolean {
  return stat.state === "Z" || stat.state === "X" || stat.state === "x";
}
