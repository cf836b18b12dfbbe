// Runs the real command line, in a process of its own.

import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const main = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));
/** What runs it: Node, or the runtime that `scripts/test-runtimes.mjs` asks for, which reads TypeScript. */
const [runtime, ...options] = process.env["BATPAK_TEST_RUNTIMES"]?.split("\t") ?? [process.execPath, "--import", "tsx"];
export const program = runtime ?? "";
export const programArguments = [...options, main];

export interface CliResult {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

/** Runs a verb to its end. */
export function batpak(args: readonly string[], input?: string): Promise<CliResult> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, [...programArguments, ...args], { stdio: ["pipe", "pipe", "pipe"] });
    let out = "";
    let err = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => (out += text));
    child.stderr.setEncoding("utf8").on("data", (text: string) => (err += text));
    child.stdin.on("error", () => {});
    child.stdin.end(input ?? "");
    child.on("error", reject);
    child.on("close", (code) => resolve({ code, out, err }));
  });
}

/** A directory of the test's own, removed when it has ended. */
export function temporaryDirectory(context: { after(cleanUp: () => void): void }): string {
  const directory = mkdtempSync(join(tmpdir(), "batpak-cli-"));
  context.after(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

/** The lines of JSON of an output. */
export function jsonLines(out: string): Record<string, unknown>[] {
  return out
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}
