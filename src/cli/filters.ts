/** The options of `read` and `tail` that say which events are meant. */
import type { Command } from "commander";
import { defineEvent } from "../events/definition.ts";
import type { Filter, Range } from "../events/query.ts";
import type { Store } from "../store.ts";
import { UsageError } from "./exit-code.ts";
import type { Terminal } from "./terminal.ts";
import { timeOf } from "./times.ts";

export interface FilterOptions {
  readonly entity?: string;
  readonly prefix?: string;
  readonly scope?: string;
  readonly kind?: readonly string[];
  readonly category?: string;
  readonly correlation?: string;
  readonly causedBy?: string;
  readonly clock?: string;
  readonly sequence?: string;
  readonly time?: string;
}

/** Adds the filters to a verb. */
export function addFilters(command: Command): Command {
  return command
    .option("--entity <name>", "events of exactly this entity")
    .option("--prefix <text>", "events of entities whose names begin with this")
    .option("--scope <name>", "events in this scope")
    .option("--kind <name|kind>", "events of this name or kind; more than once for any of several", collect)
    .option("--category <number>", "events of kinds of this category, 0 to 15")
    .option("--correlation <id>", "the chain of work that this event began")
    .option("--caused-by <id>", "events that this event directly caused")
    .option("--clock <range>", "numbers within the entity: 5, 5..9, 5.. or ..9, both ends included")
    .option("--sequence <range>", "numbers within the store, the same way")
    .option("--time <range>", "times: 2026-01-31 (that day), 2026-01-31..2026-02-01T12:00:00Z, or milliseconds since 1970");
}

function collect(value: string, before: readonly string[] = []): readonly string[] {
  return [...before, value];
}

/** The filter that the options ask for. */
export function filterOf(options: FilterOptions): Filter {
  const { entity, prefix, scope, kind, category, correlation, causedBy, clock, sequence, time } = options;
  return {
    ...(entity === undefined ? {} : { entity }),
    ...(prefix === undefined ? {} : { entityPrefix: prefix }),
    ...(scope === undefined ? {} : { scope }),
    ...(kind === undefined ? {} : { kind: kind.map((one) => kindNumber(one) ?? defineEvent(one)) }),
    ...(category === undefined ? {} : { category: wholeNumber(category, "--category") }),
    ...(correlation === undefined ? {} : { correlation }),
    ...(causedBy === undefined ? {} : { causedBy }),
    ...(clock === undefined ? {} : { clock: range(clock, "--clock", wholeNumber) }),
    ...(sequence === undefined ? {} : { sequence: range(sequence, "--sequence", wholeNumber) }),
    ...(time === undefined ? {} : { time: range(time, "--time", timeOf) }),
  };
}

/** Tells, on standard error, of each name given with `--kind` that no event of the store has: a misspelt one would silently match nothing. */
export async function tellUnknownNames(store: Store, options: FilterOptions, terminal: Terminal): Promise<void> {
  for (const name of options.kind ?? []) {
    if (kindNumber(name) !== null || (await store.count({ kind: defineEvent(name) })) > 0) continue;
    terminal.tell(`No event in the store has the name ${name}; batpak read shows the names, a number asks for a kind`);
  }
}

/** The kind that the text is the number of; null where it is a name. */
export function kindNumber(text: string): number | null {
  return /^(?:0x[0-9a-f]+|\d+)$/i.test(text) ? Number(text) : null;
}

/** A whole number from 0, of an option. */
export function wholeNumber(text: string, option: string): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(value))
    throw new UsageError(`Cannot use ${option} ${text}: whole numbers from 0 are allowed`);
  return value;
}

/** `end`: whether the bound is the last one. */
type Bound = (text: string, option: string, end: boolean) => number;

function range(text: string, option: string, bound: Bound): Range<number> {
  const middle = text.indexOf("..");
  if (middle < 0) return { from: bound(text, option, false), to: bound(text, option, true) };
  const from = text.slice(0, middle);
  const to = text.slice(middle + 2);
  if (from === "" && to === "") throw new UsageError(`Cannot use ${option} ${text}: a range with at least one end is allowed`);
  return { ...(from === "" ? {} : { from: bound(from, option, false) }), ...(to === "" ? {} : { to: bound(to, option, true) }) };
}
