/** `batpak convert SRC DST --layout native|batpak-0.3`: makes a store of the other layout, verifies it, and only then gives it its name. */
import { resolve } from "node:path";
import { type Command, Option } from "commander";
import { convertStore } from "../convert.ts";
import type { Layout } from "../store-options.ts";
import { Interrupted } from "./exit-code.ts";
import { wholeNumber } from "./filters.ts";
import { assertNewDirectory, assertStoreDirectory } from "./open-directory.ts";
import { printable, type Terminal } from "./terminal.ts";

interface ConvertFlags {
  readonly layout: Layout;
  readonly lossy?: boolean;
  readonly segmentBytes?: string;
}

export function addConvert(program: Command, terminal: Terminal): void {
  program
    .command("convert")
    .argument("<source>", "the store's directory; it is only read")
    .argument("<target>", "where the new store goes: a directory that is not there, or empty")
    .description("make a store of the other layout, with the same events; their hashes are new")
    .addOption(new Option("--layout <layout>", "the new store's layout").choices(["native", "batpak-0.3"]).makeOptionMandatory())
    .option("--lossy", "leave out metadata, versions and keys of removed events, which the batpak 0.3 layout has no room for")
    .option("--segment-bytes <bytes>", "at most so many bytes a segment (default 64 MiB)")
    .action(async (source: string, target: string, flags: ConvertFlags) => {
      const { layout, lossy, segmentBytes } = flags;
      await assertStoreDirectory(source);
      await assertNewDirectory(resolve(target), "convert");
      // Interrupted, it leaves the source as it was and no target.
      const interrupt = new AbortController();
      const stop = (): void => interrupt.abort(new Interrupted("Interrupted; the source is as it was, and there is no new store"));
      process.once("SIGINT", stop);
      try {
        const result = await convertStore(source, target, {
          layout,
          lossy: lossy === true,
          ...(segmentBytes === undefined ? {} : { segmentBytesMax: wholeNumber(segmentBytes, "--segment-bytes") }),
          signal: interrupt.signal,
          onProgress: ({ step, events, eventsTotal }) => terminal.progress(() => `${step}: ${events} of ${eventsTotal} events`),
        });
        terminal.endProgress();
        const { directory, events, entities, to, dropped, sourceHeadsHash } = result;
        const names: Readonly<Record<string, string>> = {
          removedKeys: "keys of removed events",
          unknownKeys: "what later releases add to events",
        };
        for (const [member, count] of Object.entries(dropped)) {
          const what = names[member] ?? member;
          if (count > 0) terminal.tell(`The layout ${to} has no room for ${what}: ${count} left out`);
        }
        const lines = [
          `${directory} has all ${events} events of ${entities} entities, in the layout ${to}, and is verified.`,
          `Hashes are new: this layout hashes other bytes. The source's last hashes are in conversion.jsonl (BLAKE3 ${sourceHeadsHash}).`,
        ];
        await terminal.print(terminal.json ? `${JSON.stringify(result)}\n` : `${lines.map(printable).join("\n")}\n`);
      } finally {
        process.removeListener("SIGINT", stop);
      }
    });
}
