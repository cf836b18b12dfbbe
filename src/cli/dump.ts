/** `batpak dump DIR`: every event as a line of JSON, in sequence order. `batpak import` reads it. */
import type { Command } from "commander";
import { nodeDisk } from "../disk/node-disk.ts";
import { listDirectory } from "../open-directory.ts";
import { batchNumbers, dumpLine } from "./dump-line.ts";
import { LostEvents } from "./lost-events.ts";
import { withReader } from "./open-directory.ts";
import type { Terminal } from "./terminal.ts";

const PRINT_UNITS = 128 * 1024;

export function addDump(program: Command, terminal: Terminal): void {
  program
    .command("dump")
    .argument("<dir>", "the store's directory")
    .description("print every event as a line of JSON, in sequence order")
    .option("--full", "with names of kinds, versions, metadata and batches, where import is to make the same events of it")
    .action((directory: string, { full = false }: { readonly full?: boolean }) =>
      withReader(directory, terminal, async (store) => {
        const { events } = await store.stats();
        const lost = new LostEvents(store, terminal);
        const { layout } = await listDirectory(nodeDisk, store.directory);
        // The other layout has nothing more.
        const batchOf = full && layout === "native" ? batchNumbers() : null;
        let dumped = 0;
        for await (const batch of store.readPlaced({}, { onDamage: lost.onDamage })) {
          let text = "";
          for (const event of batch) {
            text += dumpLine(event, batchOf === null ? null : { batch: batchOf(event) }, lost.note);
            if (text.length < PRINT_UNITS) continue;
            await terminal.print(text);
            text = "";
          }
          await terminal.print(text);
          await lost.tell();
          dumped += batch.length;
          terminal.progress(() => `${dumped} of ${events} events`);
        }
        terminal.endProgress();
        await lost.end();
      }),
    );
}
