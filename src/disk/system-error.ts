/** Errors that look like those of Node's file system, made and recognised. */
import { getSystemErrorMap } from "node:util";

/**
 * Errors shaped like Node's own, for the disks that have no kernel below them and for handles that are closed.
 * Callers tell errors apart by `code` only, so that they cannot notice which disk raised one.
 */
export interface SystemError extends Error {
  readonly code: string;
  readonly errno?: number;
  readonly syscall?: string;
  readonly path?: string;
}

let numbersAndTexts: Map<string, { errno: number; text: string }> | null = null;

/** An error with the code, number and text of the operating system's own: `ENOENT: no such file or directory, open 'x'`. */
export function systemError(code: string, syscall: string, path?: string): SystemError {
  if (numbersAndTexts === null) {
    numbersAndTexts = new Map();
    for (const [errno, [name, text]] of getSystemErrorMap()) numbersAndTexts.set(name, { errno, text });
  }
  const known = numbersAndTexts.get(code);
  const error = new Error(`${code}: ${known?.text ?? "simulated failure"}, ${syscall}${path === undefined ? "" : ` '${path}'`}`);
  return Object.assign(error, {
    code,
    syscall,
    ...(known === undefined ? {} : { errno: known.errno }),
    ...(path === undefined ? {} : { path }),
  });
}

/** The `code` of a system error, or undefined for anything else that was thrown. */
export function errorCode(error: unknown): string | undefined {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : undefined;
}

/** Whether no descriptor is left: of the process, or of the whole system. */
export function isOutOfDescriptors(error: unknown): boolean {
  return errorCode(error) === "EMFILE" || errorCode(error) === "ENFILE";
}

/** What is looked at; null where a file is gone: another process has removed it meanwhile. */
export async function ifThere<Found>(look: () => Found | Promise<Found>): Promise<Found | null> {
  try {
    return await look();
  } catch (error) {
    if (errorCode(error) === "ENOENT") return null;
    throw error;
  }
}
