/** A question before something is changed. Whoever cannot be asked has not agreed. */
import { createInterface } from "node:readline";
import { Interrupted } from "./exit-code.ts";

/** Where a question is asked: a terminal, as standard input and standard error are. */
export interface Asking {
  readonly input: NodeJS.ReadableStream & { readonly isTTY?: boolean };
  readonly output: NodeJS.WritableStream & { readonly isTTY?: boolean };
}

/**
 * Whether somebody says yes. The end of the input is a no.
 *
 * @throws Interrupted for Ctrl-C
 */
export async function agreed(
  question: string,
  { input, output }: Asking = { input: process.stdin, output: process.stderr },
): Promise<boolean> {
  if (input.isTTY !== true || output.isTTY !== true) return false;
  const lines = createInterface({ input, output, terminal: true });
  try {
    return await new Promise<boolean>((resolve, reject) => {
      lines.once("SIGINT", () => {
        output.write("\n");
        reject(new Interrupted("Nothing was changed"));
      });
      lines.once("close", () => {
        output.write("\n");
        resolve(false);
      });
      lines.question(`${question} [y/N] `, (answer) => {
        resolve(/^y(?:es)?$/i.test(answer.trim()));
      });
    });
  } finally {
    lines.removeAllListeners("close");
    lines.close();
  }
}
