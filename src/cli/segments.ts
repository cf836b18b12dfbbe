/** `batpak segments DIR`: lists the files that the log consists of. */
import type { Command } from "commander";
import { withReader } from "./open-directory.ts";
import type { Terminal } from "./terminal.ts";

const COLUMNS = [
  ["id", 8],
  ["firstSequence", 15],
  ["nextSequence", 14],
  ["frames", 10],
  ["bytes", 12],
  ["generation", 12],
  ["state", 8],
  ["index", 8],
] as const;

export function addSegments(program: Command, terminal: Terminal): void {
  program
    .command("segments")
    .argument("<dir>", "the store's directory")
    .description("list the segments of the log")
    .action((directory: string) =>
      withReader(directory, terminal, async (store) => {
        const segments = store.segments();
        if (terminal.json) return terminal.print(segments.map((segment) => `${JSON.stringify(segment)}\n`).join(""));
        const rows = segments.map((segment) => ({
          ...segment,
          state: segment.sealed ? "sealed" : "open",
          index: segment.indexOnDisk ? "block" : "memory",
        }));
        const header = COLUMNS.map(([name, width]) => name.padStart(width)).join("");
        const lines = rows.map((row) => COLUMNS.map(([name, width]) => String(row[name]).padStart(width)).join(""));
        await terminal.print(`${[header, ...lines].join("\n")}\n`);
      }),
    );
}
