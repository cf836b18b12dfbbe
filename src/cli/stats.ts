/** `batpak stats DIR`: numbers about the store, and how it was opened. */
import type { Command } from "commander";
import { withReader } from "./open-directory.ts";
import { printable, type Terminal } from "./terminal.ts";

export function addStats(program: Command, terminal: Terminal): void {
  program
    .command("stats")
    .argument("<dir>", "the store's directory")
    .description("print numbers about the store, and how it was opened")
    .action((directory: string) =>
      withReader(directory, terminal, async (store) => {
        const { events, entities, segments, bytes, nextSequence } = await store.stats();
        const { route, reasons, eventsReplayed, milliseconds, tornTail, tornTails, problems } = store.openReport;
        const numbers = { directory: store.directory, events, entities, segments, bytes, nextSequence };
        if (terminal.json) {
          const open = { route, reasons, eventsReplayed, milliseconds, tornTail, tornTails, problems };
          return terminal.print(`${JSON.stringify({ ...numbers, open })}\n`);
        }
        const lines = Object.entries({
          ...numbers,
          opened: `by ${route} in ${milliseconds.toFixed(1)} ms, ${eventsReplayed} events replayed`,
          ...(reasons.length === 0 ? {} : { because: reasons.join("; ") }),
        });
        await terminal.print(lines.map(([name, value]) => `${name.padEnd(14)}${printable(String(value))}\n`).join(""));
      }),
    );
}
