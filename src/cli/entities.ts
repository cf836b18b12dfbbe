/** `batpak entities DIR`: lists the entities with an event, each once. */
import type { Command } from "commander";
import { withReader } from "./open-directory.ts";
import { printable, type Terminal } from "./terminal.ts";

export function addEntities(program: Command, terminal: Terminal): void {
  program
    .command("entities")
    .argument("<dir>", "the store's directory")
    .description("list the entities, each once, in no order that lasts")
    .option("--prefix <text>", "those whose names begin with this")
    .action((directory: string, flags: { readonly prefix?: string }) =>
      withReader(directory, terminal, async (store) => {
        for await (const names of store.entities(flags.prefix === undefined ? {} : { prefix: flags.prefix }).batches()) {
          let text = "";
          for (const entity of names) text += `${terminal.json ? JSON.stringify({ entity }) : printable(entity)}\n`;
          await terminal.print(text);
        }
      }),
    );
}
