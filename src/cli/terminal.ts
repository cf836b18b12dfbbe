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
  /** Whether the verb has the option `--wait`. */
  waits = false;
  readonly #colours: boolean;
  #progressAtMs = 0;
  /** What the command has done, when it comes to print that. */
  #done: string | null = null;
  #progressShown = false;

  constructor() {
    const { NO_COLOR: noColour } = process.env;
    this.#colours = process.stdout.isTTY && (noColour === undefined || noColour === "");
    process.stdout.on("error", (error: NodeJS.ErrnoException) => this.#endUnread(error));
  }

  /**
   * Ends the process, whose output cannot be written. Whoever reads it may have seen enough, as in `batpak read DIR | head`: what was found until then stays
   * said. Nothing has to be let go: verbs that change a store print when that is done, and a lock ends with its process.
   */
  #endUnread({ code, message }: NodeJS.ErrnoException): never {
    if (code === "EPIPE") process.exit(process.exitCode ?? EXIT.ok);
    const details = { operation: "write", errno: code, ...(this.#done === null ? {} : { done: this.#done }) };
    const reason = code === undefined || message.startsWith(code) ? message : `${code}: ${message}`;
    this.fail("IO", `Cannot write the output: ${reason}${this.#done === null ? "" : `; ${this.#done}`}`, details);
    process.exit(EXIT.store);
  }

  /** Tells why the command ends: in JSON, code, message and details as one value on a line. */
  fail(code: string, message: string, details: unknown = {}): void {
    this.endProgress();
    const json = JSON.stringify({ code, message, details }).replace(LEFT_BY_JSON, escaped);
    process.stderr.write(this.json ? `${json}\n` : `batpak: ${printable(`${message} (${code})`)}\n`);
  }

  /** Prints what was done; where nobody gets to read that, standard error says so in the words of `done`. */
  async printDone(text: string, done: string): Promise<void> {
    this.#done = done;
    await this.print(text);
  }

  /** Writes to standard output; resolves when there is room for more. In JSON, too, nothing that a terminal obeys is written as it is. */
  async print(text: string): Promise<void> {
    if (text !== "" && !this.#write(text.replace(LEFT_BY_JSON, escaped)))
      await new Promise<void>((resolve) => process.stdout.once("drain", resolve));
  }

  #write(text: string): boolean {
    try {
      return process.stdout.write(text);
    } catch (error) {
      // Deno throws what others tell by an event.
      return this.#endUnread(error as NodeJS.ErrnoException);
    }
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
