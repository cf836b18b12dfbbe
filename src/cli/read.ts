/** `batpak read DIR`: prints the events that match. */
import { type Command, Option } from "commander";
import type { Filter } from "../events/query.ts";
import type { PlacedReadOptions } from "../placed-reading.ts";
import type { Store } from "../store.ts";
import { eventJson, eventLine } from "./event-text.ts";
import { addFilters, type FilterOptions, filterOf, tellUnknownNames, wholeNumber } from "./filters.ts";
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
        await printEvents(store, terminal, filterOf(flags), {
          ...(direction === undefined ? {} : { direction }),
          ...(limit === undefined ? {} : { limit: wholeNumber(limit, "--limit") }),
          ...(after === undefined ? {} : { after: wholeNumber(after, "--after") }),
        });
      }),
    );
}

/** Prints what matches; what is damaged is told, and passed over. Gives the last event's sequence, -1 where there was none. */
export async function printEvents(store: Store, terminal: Terminal, filter: Filter, options: PlacedReadOptions): Promise<number> {
  let last = -1;
  const onDamage = (error: Error, sequence: number): void => terminal.tellProblem(`Event ${sequence} is lost: ${error.message}`);
  for await (const batch of store.readPlaced(filter, { ...options, onDamage })) {
    let text = "";
    for (const { event } of batch) text += terminal.json ? eventJson(event) : eventLine(event, terminal);
    last = batch[batch.length - 1].event.sequence;
    await terminal.print(text);
  }
  return last;
}
