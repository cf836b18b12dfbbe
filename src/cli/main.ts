#!/usr/bin/env node
/**
 * The command line: `batpak VERB DIR …`. One file a verb; this one puts them together, and turns what goes wrong into a message on standard
 * error and an exit status (`exit-code.ts`).
 */
import { createRequire } from "node:module";
import { Command, CommanderError } from "commander";
import { isStoreError } from "../base/store-error.ts";
import { ioError } from "../disk/io-error.ts";
import { addAppend } from "./append.ts";
import { addCheckpoint } from "./checkpoint.ts";
import { addConsumers } from "./consumers.ts";
import { addConvert } from "./convert.ts";
import { addCompact } from "./compact.ts";
import { addDump } from "./dump.ts";
import { addEntities } from "./entities.ts";
import { EXIT, Interrupted, UsageError } from "./exit-code.ts";
import { addFollow } from "./follow.ts";
import { addGet } from "./get.ts";
import { addImport } from "./import.ts";
import { addRead } from "./read.ts";
import { addSegments } from "./segments.ts";
import { addSnapshot } from "./snapshot.ts";
import { addStats } from "./stats.ts";
import { addTail } from "./tail.ts";
import { Terminal } from "./terminal.ts";
import { addRepair } from "./repair.ts";
import { addVerify } from "./verify.ts";

const VERBS = [
  addAppend,
  addGet,
  addRead,
  addTail,
  addFollow,
  addConsumers,
  addStats,
  addEntities,
  addVerify,
  addRepair,
  addSegments,
  addSnapshot,
  addCheckpoint,
  addCompact,
  addDump,
  addImport,
  addConvert,
];

/** Of package.json, which lies at the same distance from the sources and from what is built of them. */
function packageVersion(): string {
  return (createRequire(import.meta.url)("../../package.json") as { readonly version: string }).version;
}

function createProgram(terminal: Terminal): Command {
  const program = new Command("batpak")
    .description("An embedded, append-only, hash-chained event store: look into one, add to it, take it out.")
    .configureOutput({ writeErr: (text) => process.stderr.write(text) })
    .version(packageVersion(), "-V, --version", "print the version of the package")
    .exitOverride();
  for (const add of VERBS) add(program, terminal);
  for (const command of program.commands) addJson(command, terminal);
  return program;
}

/** `--json` belongs to every verb. */
function addJson(command: Command, terminal: Terminal): void {
  command.exitOverride().showHelpAfterError("(--help tells more)");
  if (command.commands.length > 0) {
    for (const inner of command.commands) addJson(inner, terminal);
    return;
  }
  command.option("--json", "print results as JSON, one value a line");
  command.hook("preAction", (verb) => {
    terminal.json = verb.opts<{ json?: boolean }>().json === true;
    terminal.waits = verb.options.some(({ long }) => long === "--wait");
  });
}

function exitCodeOf(thrown: unknown, terminal: Terminal): number {
  if (thrown instanceof CommanderError) return thrown.exitCode === 0 ? EXIT.ok : EXIT.usage;
  if (!(thrown instanceof Error)) throw thrown;
  const error = readFailure(thrown);
  const code = failureCode(error);
  const message = code === "LOCKED" ? inOptions(error.message, terminal.waits) : error.message;
  if (terminal.json || !SAID_IN_WORDS.has(code)) terminal.fail(code, message, isStoreError(error) ? error.details : {});
  else terminal.tell(message);
  if (code === "INTERRUPTED") return EXIT.interrupted;
  if (code === "INVALID_ARGUMENT") return EXIT.usage;
  return code === "NOT_FOUND" ? EXIT.found : EXIT.store;
}

/** What a program would do about a lock, as it is done here. */
function inOptions(message: string, waits: boolean): string {
  const waiting = waits ? "wait for it with --wait SECONDS" : "wait for it";
  return message
    .replace("wait for it with lockWaitMs, end it, or open with readOnly", `${waiting}, or end it`)
    .replace("wait for it with lockWaitMs", waiting);
}

/** Codes that say no more than the message. */
const SAID_IN_WORDS: ReadonlySet<string> = new Set(["INVALID_ARGUMENT", "INTERRUPTED", "UNKNOWN"]);

function failureCode(error: Error): string {
  if (error instanceof UsageError) return "INVALID_ARGUMENT";
  if (error instanceof Interrupted) return "INTERRUPTED";
  return "code" in error && typeof error.code === "string" ? error.code : "UNKNOWN";
}

/** What the system said of a path that was given, as the store says it. */
function readFailure(error: Error): Error {
  return "syscall" in error && "path" in error ? ioError("read", String(error.path), error) : error;
}

async function main(): Promise<void> {
  const terminal = new Terminal();
  try {
    await createProgram(terminal).parseAsync(process.argv);
  } catch (error) {
    process.exitCode = exitCodeOf(error, terminal);
    // Deno's process lives until standard input ends, though what failed, or was interrupted, reads it no more.
    if ("Deno" in globalThis) process.stdout.write("", () => process.stderr.write("", () => process.exit()));
  }
}

void main();
