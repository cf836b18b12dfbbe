/**
 * `batpak consumers DIR`: lists the consumers; `reset` and `delete` move or forget a position. Both say what they would do and ask first, and
 * both are refused while the consumer is open somewhere. A position that lies in the log takes a writer, so the store must be free then.
 */
import type { Command } from "commander";
import { StoreError } from "../base/store-error.ts";
import type { ConsumerStatus } from "../consuming.ts";
import type { Store } from "../store.ts";
import { type ConsumerPlace, placeOf } from "../subscriptions/consumer.ts";
import { agreed } from "./ask.ts";
import { EXIT, UsageError } from "./exit-code.ts";
import { wholeNumber } from "./filters.ts";
import { addWait, lockWait, type WaitFlags, withReader, withWriter } from "./open-directory.ts";
import { printable, type Terminal } from "./terminal.ts";

interface ChangeFlags extends WaitFlags {
  readonly to?: string;
  readonly yes?: boolean;
}

export function addConsumers(program: Command, terminal: Terminal): void {
  const consumers = program.command("consumers").description("list the consumers, or move one");
  consumers
    .command("list", { isDefault: true })
    .argument("<dir>", "the store's directory")
    .description("list the consumers: where they stand, how far that is behind, who is open")
    .action((directory: string) =>
      withReader(directory, terminal, async (store) => {
        let text = "";
        for (const status of await store.consumers()) {
          text += terminal.json ? `${JSON.stringify(status)}\n` : line(status);
          if (status.problem !== null) terminal.tellProblem(status.problem);
        }
        await terminal.print(text);
      }),
    );
  addWait(consumers.command("reset"))
    .argument("<dir>", "the store's directory")
    .argument("<name>", "the consumer")
    .requiredOption("--to <place>", "start, end, or the sequence of the last event that is done")
    .option("--yes", "do it without asking")
    .description("move a consumer's position, forward or back")
    .action((directory: string, name: string, flags: ChangeFlags) => {
      const to = placeFrom(flags.to as string);
      return change(terminal, directory, name, flags, to, `it goes on behind ${to}`, async (store) => {
        const consumer = await store.consumer(name, undefined, { resetTo: to, ...lockWait(flags) });
        const { position } = consumer;
        await consumer.close();
        return { name, position, deleted: false };
      });
    });
  addWait(consumers.command("delete"))
    .argument("<dir>", "the store's directory")
    .argument("<name>", "the consumer")
    .option("--yes", "do it without asking")
    .description("forget a consumer's position: who opens the name again begins anew")
    .action((directory: string, name: string, flags: ChangeFlags) =>
      change(terminal, directory, name, flags, null, "its position is forgotten", async (store) => {
        const consumer = await store.consumer(name, undefined, { resetTo: "start", ...lockWait(flags) });
        await consumer.delete();
        return { name, position: null, deleted: true };
      }),
    );
}

function line({ name, position, lag, held, positionIn }: ConsumerStatus): string {
  const where = position === null ? "position ?" : `position ${position}`;
  const behind = lag === null ? "lag ?" : `lag ${lag}`;
  return `${printable(name)}  ${where}  ${behind}  ${held ? "open" : "free"}  in ${positionIn}\n`;
}

function placeFrom(text: string): ConsumerPlace {
  if (text === "start" || text === "end") return text;
  if (!/^\d+$/.test(text)) throw new UsageError(`Cannot use --to ${text}: start, end and a sequence from 0 are allowed`);
  return wholeNumber(text, "--to");
}

interface Changed {
  readonly name: string;
  readonly position: number | null;
  readonly deleted: boolean;
}

async function change(
  terminal: Terminal,
  directory: string,
  name: string,
  flags: ChangeFlags,
  to: ConsumerPlace | null,
  what: string,
  work: (store: Store) => Promise<Changed>,
): Promise<void> {
  let found: ConsumerStatus | undefined;
  await withReader(directory, terminal, async (store) => {
    found = (await store.consumers()).find((status) => status.name === name);
    // Nothing is promised that would be refused.
    if (to !== null) placeOf(to, (await store.stats()).nextSequence, `reset the consumer ${name}`);
  });
  if (found === undefined) throw new StoreError("NOT_FOUND", `There is no consumer ${printable(name)}`, { what: `consumer ${name}` });
  if (found.held && flags.wait === undefined) {
    const message = `Cannot change the consumer ${name}: somebody has it open; close it there, or wait for it with lockWaitMs`;
    throw new StoreError("LOCKED", message, { pid: null, since: null, sameProcess: false });
  }
  if (flags.yes !== true && !(await agreed(`${line(found).trimEnd()}: ${what}. Do this?`))) {
    process.exitCode = EXIT.found;
    terminal.tell(`Nothing was changed: ${line(found).trimEnd()}; with --yes ${what}`);
    return;
  }
  const report = async (store: Store): Promise<void> => {
    const changed = await work(store);
    const text = changed.deleted ? `${printable(name)} is deleted` : `${printable(name)} stands at ${changed.position}`;
    await terminal.print(`${terminal.json ? JSON.stringify(changed) : text}\n`);
  };
  await (found.positionIn === "log" ? withWriter(directory, null, flags, report) : withReader(directory, terminal, report));
}
