/** `batpak repair DIR`: says what repairing would do, and does it when told to. */
import type { Command } from "commander";
import { type RepairReport, repairStore } from "../repair.ts";
import { agreed } from "./ask.ts";
import { EXIT } from "./exit-code.ts";
import { addWait, assertStoreDirectory, lockWait, type WaitFlags } from "./open-directory.ts";
import { printable, type Terminal } from "./terminal.ts";

interface RepairFlags extends WaitFlags {
  readonly yes?: boolean;
}

export function addRepair(program: Command, terminal: Terminal): void {
  addWait(program.command("repair"))
    .argument("<dir>", "the store's directory")
    .option("--yes", "do it without asking")
    .description("bring back what is whole in a damaged store; copies first")
    .action(async (directory: string, flags: RepairFlags) => {
      const waiting = lockWait(flags);
      await assertStoreDirectory(directory);
      const plan = await repairStore(directory, waiting);
      if (plan.problems.length === 0 || flags.yes === true) {
        await show(terminal, flags.yes === true ? await repairStore(directory, { apply: true, ...waiting }) : plan);
        return;
      }
      if (!terminal.json) await show(terminal, plan);
      if (!(await agreed("Do this? Everything that changes is copied first."))) {
        process.exitCode = EXIT.found;
        if (terminal.json) await show(terminal, plan);
        else terminal.tell("Nothing was changed; --yes does what is listed above");
        return;
      }
      await show(terminal, await repairStore(directory, { apply: true, ...waiting }));
    });
}

async function show(terminal: Terminal, report: RepairReport): Promise<void> {
  if (terminal.json) {
    await terminal.print(`${JSON.stringify(report)}\n`);
    return;
  }
  const problems = report.problems.map((problem) => `${problem.code}  ${problem.message}\n`);
  const actions = report.actions.map((action) => `${report.applied ? "done" : "would"}  ${action.message}\n`);
  const end =
    report.problems.length === 0 ? "Nothing is damaged.\n" : report.applied ? `What was changed is copied in ${report.copies}.\n` : "";
  await terminal.print([...problems, ...actions, end].map((line) => (line === "" ? "" : `${printable(line.trimEnd())}\n`)).join(""));
}
