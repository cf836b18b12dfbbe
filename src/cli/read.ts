/** `batpak read DIR`: prints the events that match. */
import { type Command, Option } from "commander";
import type { Filter } from "../events/query.ts";
import type { PlacedReadOptions } from "../placed-reading.ts";
import type { Store } from "../store.ts";
import { eventJson, eventLine } from "./event-text.ts";
import { addFilters, type FilterOptions, filterOf, tellUnknownNames, wholeNumber } from "./filters.ts";
import { LostEvents } from "./lost-events.ts";
import { withReader } from "./open-directory.ts";
import type { Terminal } from "./terminal.ts";

interface ReadFlags extends FilterOptions {
  readonly direction?: "forward" | "backward";
  readonly limit?: string;
  readonly after?: string;
}

export function addRead(program: Command, terminal: Terminal): void {
  const command = program.command("read").argument("<dir>", "the store's directory").description("print the events that match, in order");
  addFilters(command)
    .addOption(new Option("--direction <direction>", "from the oldest or from the newest").choices(["forward", "backward"]))
    .option("--limit <number>", "at most this many")
    .option("--after <sequence>", "go on behind this event")
    .action((directory: string, flags: ReadFlags) =>
      withReader(directory, terminal, async (store) => {
        const { direction, limit, after } = flags;
        await tellUnknownNames(store, flags, terminal);
        const options = {
          ...(direction === undefined ? {} : { direction }),
          ...(limit === undefined ? {} : { limit: wholeNumber(limit, "--limit") }),
          ...(after === undefined ? {} : { after: wholeNumber(after, "--after") }),
        };
        const lost = new LostEvents(store, terminal);
        await printEvents(store, terminal, filterOf(flags), options, lost);
        await lost.end();
      }),
    );
}

/** Prints what matches; what is damaged is told, and passed over. */
export async function printEvents(
  store: Store,
  terminal: Terminal,
  filter: Filter,
  options: PlacedReadOptions,
  lost: LostEvents,
): Promise<void> {
  for await (const batch of store.readPlaced(filter, { ...options, onDamage: lost.onDamage })) {
    let text = "";
    for (const { event } of batch) text += terminal.json ? eventJson(event, lost.note) : eventLine(event, terminal, lost.note);
    await terminal.print(text);
    await lost.tell();
  }
}
