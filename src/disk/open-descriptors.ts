/** Which files this process has open, by what Linux tells of itself in `/proc`. */
import { dirname } from "node:path";
import { errorCode } from "./system-error.ts";

/** What is asked of the system. What is not there throws `ENOENT`, as a descriptor does that has been closed meanwhile. */
export interface DescriptorSource {
  list(path: string): string[];
  readLink(path: string): string;
  readText(path: string): string;
  /** Names a directory, however it is reached: by a symbolic link, or where it is mounted a second time. */
  identify(directory: string): string;
}

/** Of the flags a file was opened with: whether it is to be written. They are told in octal. */
const FLAGS = /^flags:\t([0-7]+)$/m;
const ACCESS_MASK = 0b11;

/**
 * How many descriptors this process has open for writing on files in the directory, those of all its threads. What a runtime replaced, by running itself
 * anew or by ending a thread, had open is not among them once it is closed. Null where the system does not tell.
 */
export function countOpenForWriting(directory: string, source: DescriptorSource): number | null {
  try {
    const asked = source.identify(directory);
    const known = new Map<string, boolean>();
    const isInIt = (path: string): boolean => {
      const parent = dirname(path);
      const answer = known.get(parent) ?? unlessGone(() => source.identify(parent) === asked, false);
      known.set(parent, answer);
      return answer;
    };
    // Flags that are not understood count: whoever asks takes a directory for free where nothing is open.
    const isWritten = (descriptor: string): boolean => {
      const flags = FLAGS.exec(source.readText(`/proc/self/fdinfo/${descriptor}`));
      return flags === null || (Number.parseInt(flags[1] ?? "", 8) & ACCESS_MASK) !== 0;
    };
    return source.list("/proc/self/fd").filter((descriptor) =>
      unlessGone(() => {
        const path = source.readLink(`/proc/self/fd/${descriptor}`);
        return path.startsWith("/") && isInIt(path) && isWritten(descriptor);
      }, false),
    ).length;
  } catch {
    return null;
  }
}

function unlessGone<Answer>(ask: () => Answer, otherwise: Answer): Answer {
  try {
    return ask();
  } catch (error) {
    const code = errorCode(error);
    if (code === "ENOENT" || code === "ENOTDIR") return otherwise;
    throw error;
  }
}
