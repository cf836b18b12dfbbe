/** `batpak get DIR ID`: shows one event. */
import type { Command } from "commander";
import { StoreError } from "../base/store-error.ts";
import { eventDetails, eventJson } from "./event-text.ts";
import { LostEvents } from "./lost-events.ts";
import { withReader } from "./open-directory.ts";
import type { Terminal } from "./terminal.ts";

export function addGet(program: Command, terminal: Terminal): void {
  program
    .command("get")
    .argument("<dir>", "the store's directory")
    .argument("<id>", "UUID text or 32 hex digits")
    .description("show the event with this id")
    .action((directory: string, id: string) =>
      withReader(directory, terminal, async (store) => {
        const event = await store.get(id);
        if (event === null) throw new StoreError("NOT_FOUND", `There is no event ${id} in ${store.directory}`, { what: `event ${id}` });
        const lost = new LostEvents(store, terminal);
        await terminal.print(terminal.json ? eventJson(event, lost.note) : eventDetails(event, lost.note));
        await lost.tell();
      }),
    );
}
