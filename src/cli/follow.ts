/** `batpak follow DIR`: prints the events that match, those that are there and those to come, until interrupted; with a consumer, from where that stands. */
import type { Command } from "commander";
import type { Event } from "../events/event-union.ts";
import { eventJson, eventLine } from "./event-text.ts";
import { UsageError } from "./exit-code.ts";
import { addFilters, type FilterOptions, filterOf, tellUnknownNames, wholeNumber } from "./filters.ts";
import { LostEvents } from "./lost-events.ts";
import { addWait, lockWait, type WaitFlags, withReader } from "./open-directory.ts";
import type { Terminal } from "./terminal.ts";

interface FollowFlags extends FilterOptions, WaitFlags {
  readonly after?: string;
  readonly consumer?: string;
  readonly limit?: string;
}

export function addFollow(program: Command, terminal: Terminal): void {
  const command = program
    .command("follow")
    .argument("<dir>", "the store's directory")
    .description("print the events that match, and go on with those that come, until interrupted");
  addWait(addFilters(command))
    .option("--after <sequence>", "begin behind this event; with --consumer: where a new one begins")
    .option("--consumer <name>", "begin behind this consumer's position, and move it behind what is printed")
    .option("--limit <number>", "end after this many")
    .action((directory: string, flags: FollowFlags) =>
      withReader(directory, terminal, async (store) => {
        const filter = filterOf(flags);
        await tellUnknownNames(store, flags, terminal);
        const after = flags.after === undefined ? {} : { after: wholeNumber(flags.after, "--after") };
        let left = flags.limit === undefined ? Number.POSITIVE_INFINITY : wholeNumber(flags.limit, "--limit");
        if (left === 0) throw new UsageError("Cannot use --limit 0: whole numbers from 1 are allowed");
        const lost = new LostEvents(store, terminal);
        const consumer =
          flags.consumer === undefined ? null : await store.consumer(flags.consumer, filter, { ...after, ...lockWait(flags) });
        for await (const events of (consumer ?? store.subscribe(filter, after)).batches()) {
          const printed = events.slice(0, left);
          await terminal.print(printed.map((event) => text(event as Event, terminal, lost)).join(""));
          await lost.tell();
          await consumer?.commit(printed[printed.length - 1].sequence);
          left -= printed.length;
          if (left === 0) break;
        }
        await lost.end();
      }),
    );
}

function text(event: Event, terminal: Terminal, { note }: LostEvents): string {
  return terminal.json ? eventJson(event, note) : eventLine(event, terminal, note);
}
