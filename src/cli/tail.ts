/** `batpak tail DIR`: prints the newest events, and with `-f` those that come. */
import type { Command } from "commander";
import { addFilters, type FilterOptions, filterOf, tellUnknownNames, wholeNumber } from "./filters.ts";
import { eventJson, eventLine } from "./event-text.ts";
import { LostEvents } from "./lost-events.ts";
import { withReader } from "./open-directory.ts";
import { printEvents } from "./read.ts";
import type { Terminal } from "./terminal.ts";

interface TailFlags extends FilterOptions {
  readonly lines?: string;
  readonly follow?: boolean;
}

const LINES_DEFAULT = 10;
const POLL_MS = 100;

export function addTail(program: Command, terminal: Terminal): void {
  const command = program.command("tail").argument("<dir>", "the store's directory").description("print the newest events, oldest first");
  addFilters(command)
    .option("-n, --lines <number>", `how many, default ${LINES_DEFAULT}`)
    .option("-f, --follow", "go on with those that come, until interrupted")
    .action((directory: string, flags: TailFlags) =>
      withReader(directory, terminal, async (store) => {
        const filter = filterOf(flags);
        await tellUnknownNames(store, flags, terminal);
        const limit = flags.lines === undefined ? LINES_DEFAULT : wholeNumber(flags.lines, "--lines");
        let next = (await store.stats()).nextSequence;
        const newest: string[] = [];
        const lost = new LostEvents(store, terminal);
        for await (const batch of store.readPlaced(filter, { direction: "backward", limit, onDamage: lost.onDamage })) {
          for (const { event } of batch) newest.push(terminal.json ? eventJson(event, lost.note) : eventLine(event, terminal, lost.note));
        }
        await terminal.print(newest.reverse().join(""));
        await lost.end();
        while (flags.follow === true) {
          const seen = await store.refresh();
          if (seen > next) await printEvents(store, terminal, filter, { after: next - 1 }, lost);
          else await new Promise((resolve) => setTimeout(resolve, POLL_MS));
          next = Math.max(next, seen);
        }
      }),
    );
}
