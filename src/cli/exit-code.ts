/** What the exit status of the command line says. docs/cli.md has the same table. */
export const EXIT = {
  ok: 0,
  /** Something was looked for and not found, or problems were found: damage, bad lines that were skipped. */
  found: 1,
  /** The command was given wrongly: an unknown option, a wrong argument, a path without a store. */
  usage: 2,
  /** The store could not do it: locked, a conflict, damage that forbids writing, an error of the file system. */
  store: 3,
  /** Ctrl-C: what is done stays done. */
  interrupted: 130,
} as const;

/** Somebody pressed Ctrl-C. */
export class Interrupted extends Error {
  override readonly name = "Interrupted";
}

/** The command was given wrongly. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}
