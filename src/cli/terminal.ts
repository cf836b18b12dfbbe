/**
 * Standard output, standard error and the exit status. Results go to the one, messages and progress to the other. Colours are used on a
 * terminal only, and not under `NO_COLOR`.
 */
import { EXIT } from "./exit-code.ts";

const PROGRESS_EVERY_MS = 100;
const STYLES = { dim: [2, 22], bold: [1, 22], red: [31, 39] } as const;

export class Terminal {
  /** Whether results are printed as JSON. */
  json = false;
  readonly #colours: boolean;
  #progressAtMs = 0;
  #progressShown = false;

  constructor() {
    const { NO_COLOR: noColour } = process.env;
    this.#colours = process.stdout.isTTY && (noColour === undefined || noColour === "");
    // Whoever reads the output has seen enough: `batpak read DIR | head`. What was found until then stays said. Nothing has to be let go: verbs that
    // change a store print when that is done, and a lock ends with its process.
    process.stdout.on("error", (error: NodeJS.ErrnoException) => {
      if (error.code !== "EPIPE") this.tell(`Cannot write the output: ${error.message}`);
      process.exit(error.code === "EPIPE" ? (process.exitCode ?? EXIT.ok) : EXIT.store);
    });
  }

  /** Writes to standard output; resolves when there is room for more. In JSON, too, nothing that a terminal obeys is written as it is. */
  async print(text: string): Promise<void> {
    if (text !== "" && !process.stdout.write(text.replace(LEFT_BY_JSON, escaped)))
      await new Promise<void>((resolve) => process.stdout.once("drain", resolve));
  }

  /** Tells something on standard error, in a line of its own. */
  tell(message: string): void {
    this.endProgress();
    process.stderr.write(`batpak: ${printable(message)}\n`);
  }

  /** Tells of something wrong that does not end the command; the exit status will say so. */
  tellProblem(message: string): void {
    this.tell(message);
    process.exitCode = EXIT.found;
  }

  /** Shows how far long work has come, when somebody looks. */
  progress(text: () => string): void {
    if (!process.stderr.isTTY) return;
    const nowMs = performance.now();
    if (this.#progressShown && nowMs - this.#progressAtMs < PROGRESS_EVERY_MS) return;
    this.#progressAtMs = nowMs;
    this.#progressShown = true;
    process.stderr.write(`\r\u001b[K${text()}`);
  }

  endProgress(): void {
    if (this.#progressShown) process.stderr.write("\r\u001b[K");
    this.#progressShown = false;
  }

  style(style: keyof typeof STYLES, text: string): string {
    return this.#colours ? `\u001b[${STYLES[style][0]}m${text}\u001b[${STYLES[style][1]}m` : text;
  }
}

/** Control characters that JSON leaves as they are, separators of lines, and what turns the direction of text. */
const LEFT_BY_JSON = /[\u007f-\u009f\u2028-\u202e\u2066-\u2069]/g;
// oxlint-disable-next-line no-control-regex -- these are what a terminal would obey
const CONTROL = /[\u0000-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069]/g;

const escaped = (unit: string): string => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`;

/** Text that a terminal shows instead of obeying: control characters in their escaped form. */
export function printable(text: string): string {
  return text.replace(CONTROL, escaped);
}
