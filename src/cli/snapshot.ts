/** `batpak snapshot DIR TARGET`: copies a store, beside its writer. */
import { resolve } from "node:path";
import type { Command } from "commander";
import { assertNewDirectory, withReader } from "./open-directory.ts";
import { printable, type Terminal } from "./terminal.ts";

export function addSnapshot(program: Command, terminal: Terminal): void {
  program
    .command("snapshot")
    .argument("<dir>", "the store's directory")
    .argument("<target>", "where the copy goes: an empty directory, or one that is not there")
    .description("copy a store as it is now, beside its writer")
    .action((directory: string, target: string) =>
      withReader(directory, terminal, async (store) => {
        const path = resolve(target);
        await assertNewDirectory(path, "take a snapshot");
        const copy = await store.snapshot(path);
        await terminal.print(
          terminal.json
            ? `${JSON.stringify(copy)}\n`
            : printable(`${copy.directory} has ${copy.events} events; the next sequence is ${copy.nextSequence}`) + "\n",
        );
      }),
    );
}
