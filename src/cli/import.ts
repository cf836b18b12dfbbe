/** `batpak import DIR FILE.jsonl|-`: appends what `batpak dump` printed, or lines of that form. */
import type { Command } from "commander";
import { Interrupted } from "./exit-code.ts";
import { assertFile, linesOf } from "./lines.ts";
import { addWait, type WaitFlags, withWriter } from "./open-directory.ts";
import type { Terminal } from "./terminal.ts";

interface ImportFlags extends WaitFlags {
  readonly create?: boolean;
  readonly skipBad?: boolean;
}

export function addImport(program: Command, terminal: Terminal): void {
  addWait(program.command("import"))
    .argument("<dir>", "the store's directory")
    .argument("<file|->", "lines of JSON; - reads standard input")
    .description("append events of the form that dump prints; those that are there already are skipped")
    .option("--create", "make the store where there is none")
    .option("--skip-bad", "go on after a bad line, and report it")
    .action(async (directory: string, path: string, flags: ImportFlags) => {
      await assertFile(path);
      // Interrupted, it stops between two batches and closes the store properly.
      const interrupt = new AbortController();
      const stop = (): void => interrupt.abort(new Interrupted("Interrupted; what is imported stays, a second run goes on"));
      process.once("SIGINT", stop);
      try {
        await withWriter(directory, flags.create === true, flags, async (store) => {
          const result = await store.import(linesOf(path, interrupt.signal), {
            skipBad: flags.skipBad === true,
            signal: interrupt.signal,
            onProgress: ({ lines, imported, skipped, bad }) =>
              terminal.progress(() => `${lines} lines: ${imported} imported, ${skipped} there already, ${bad} bad`),
          });
          terminal.endProgress();
          for (const { line, reason } of result.bad) terminal.tellProblem(`Line ${line} is left out: ${reason}`);
          const { imported, skipped, bad } = result;
          const text = `${imported} imported, ${skipped} there already, ${bad.length} bad`;
          await terminal.printDone(`${terminal.json ? JSON.stringify(result) : text}\n`, `the import is done: ${text}`);
        });
      } finally {
        process.removeListener("SIGINT", stop);
      }
    });
}
