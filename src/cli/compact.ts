/** `batpak compact DIR`: says what compacting would remove, and does it when told to. */
import type { Command } from "commander";
import type { CompactOptions, CompactReport } from "../compacting.ts";
import { compactStore } from "../compaction.ts";
import { EXIT, UsageError } from "./exit-code.ts";
import { wholeNumber } from "./filters.ts";
import { addWait, assertStoreDirectory, lockWait, type WaitFlags } from "./open-directory.ts";
import { printable, type Terminal } from "./terminal.ts";
import { timeOf } from "./times.ts";

interface Given extends WaitFlags {
  readonly scope?: string;
  readonly entity?: string;
  readonly prefix?: string;
  readonly keepNewerThan?: string;
  readonly keepLast?: string;
  readonly dryRun?: boolean;
  readonly yes?: boolean;
}

export function addCompact(program: Command, terminal: Terminal): void {
  addWait(program.command("compact"))
    .argument("<dir>", "the store's directory")
    .option("--scope <scope>", "remove only events of this scope")
    .option("--entity <entity>", "remove only events of this entity")
    .option("--prefix <prefix>", "remove only events of entities that begin so")
    .option("--keep-newer-than <time>", "keep events from this time on: 2026-07-01, 2026-07-01T12:00:00Z, or milliseconds since 1970")
    .option("--keep-last <number>", "keep so many of the last events of each entity")
    .option("--dry-run", "only say what it would remove")
    .option("--yes", "do it")
    .description("remove old events, and record what was removed")
    .action(async (directory: string, given: Given) => {
      const options = optionsOf(given);
      await assertStoreDirectory(directory);
      const applies = given.yes === true && given.dryRun !== true;
      const report = await compactStore(directory, { ...options, dryRun: !applies, ...lockWait(given) });
      await show(terminal, report);
      if (applies || given.dryRun === true || report.removedEvents === 0) return;
      process.exitCode = EXIT.found;
      terminal.tell("Nothing was changed; --yes does what is listed above");
    });
}

function optionsOf({ scope, entity, prefix, keepNewerThan, keepLast }: Given): CompactOptions {
  const filter = {
    ...(scope === undefined ? {} : { scope }),
    ...(entity === undefined ? {} : { entity }),
    ...(prefix === undefined ? {} : { entityPrefix: prefix }),
  };
  const time = keepNewerThan === undefined ? undefined : timeOf(keepNewerThan, "--keep-newer-than");
  if (Object.keys(filter).length === 0 && time === undefined && keepLast === undefined) {
    const options = "--scope, --entity, --prefix, --keep-newer-than and --keep-last";
    throw new UsageError(`Cannot compact: nothing says what goes, at least one of ${options} is required`);
  }
  return {
    ...(Object.keys(filter).length === 0 ? {} : { query: filter }),
    ...(time === undefined ? {} : { keepNewerThan: time }),
    ...(keepLast === undefined ? {} : { keepLast: wholeNumber(keepLast, "--keep-last") }),
  };
}

async function show(terminal: Terminal, report: CompactReport): Promise<void> {
  if (terminal.json) return await terminal.print(`${JSON.stringify(report)}\n`);
  const { removedEvents, heldEvents, removedBytes, ranges, applied } = report;
  const lines = ranges.map(({ from, to, removedEvents: events }) => {
    const what = from === to ? `segment ${from}` : `segments ${from} to ${to}`;
    return `${applied ? "done" : "would"}  write ${what} anew without ${events} events`;
  });
  const held = heldEvents === 0 ? "" : `; ${heldEvents} more stay: the last of their entity, or in a batch with a key`;
  const bytes = removedBytes < 0 ? `which takes ${-removedBytes} bytes more, for what is recorded of them` : `${removedBytes} bytes less`;
  lines.push(`${removedEvents} events ${applied ? "removed" : "would be removed"}, ${bytes}${held}`);
  await terminal.print(lines.map((line) => `${printable(line)}\n`).join(""));
}
