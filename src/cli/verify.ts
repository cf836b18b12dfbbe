/** `batpak verify DIR`: checks every frame, hash, chain and index of a store. */
import type { Command } from "commander";
import type { StoreProblem } from "../open-report.ts";
import { withReader } from "./open-directory.ts";
import { printable, type Terminal } from "./terminal.ts";
import { EXIT } from "./exit-code.ts";

export function addVerify(program: Command, terminal: Terminal): void {
  program
    .command("verify")
    .argument("<dir>", "the store's directory")
    .description("check every frame, hash, chain and index")
    .action((directory: string) =>
      withReader(directory, terminal, async (store) => {
        const result = await store.verify({
          onProgress: ({ events, eventsTotal }) => terminal.progress(() => `${events} of ${eventsTotal} events verified`),
        });
        terminal.endProgress();
        if (!result.ok) process.exitCode = EXIT.found;
        if (terminal.json) return terminal.print(`${JSON.stringify(result)}\n`);
        const summary = `${result.ok ? "ok" : `${result.problemCount} problems`}: ${result.events} events of ${result.entities} entities\n`;
        await terminal.print(result.problems.map((problem) => problemLine(problem)).join("") + summary);
      }),
    );
}

function problemLine({ code, message, entity, sequence, segmentId, offset }: StoreProblem): string {
  const places = Object.entries({ entity, sequence, segment: segmentId, offset }).filter(([, value]) => value !== undefined);
  const where = places.map(([name, value]) => `${name} ${value}`).join(", ");
  return `${printable(`${code}  ${message}${where === "" ? "" : `  (${where})`}`)}\n`;
}
