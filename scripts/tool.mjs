// Runs the command-line tools of this package from scripts and tests: found in node_modules/.bin, output passed through.
// Nothing is fetched: a tool that is not installed is an error.

import { spawnSync } from "node:child_process";
import path from "node:path";
import { fileURLToPath } from "node:url";

/** The folder of package.json. */
export const projectRoot = path.dirname(path.dirname(fileURLToPath(import.meta.url)));

const onWindows = process.platform === "win32";

function environment() {
  const pathKey = Object.keys(process.env).find((key) => key.toUpperCase() === "PATH") ?? "PATH";
  const binaries = path.join(projectRoot, "node_modules", ".bin");
  return { ...process.env, [pathKey]: [binaries, process.env[pathKey] ?? ""].join(path.delimiter) };
}

/** Runs `command` in the project's folder and returns its exit code (1 when a signal ended it). */
export function run(command, commandArguments, options = {}) {
  // npm and the tools are .cmd files on Windows, which only a shell starts.
  const viaShell = onWindows && command !== process.execPath;
  const result = spawnSync(command, commandArguments, {
    cwd: projectRoot,
    stdio: "inherit",
    shell: viaShell,
    ...options,
    env: { ...environment(), ...options.env },
  });
  if (result.error) throw result.error;
  return result.status ?? 1;
}

/** Runs `command` and ends this process with its exit code if that is not zero. */
export function runOrExit(command, commandArguments, options) {
  const exitCode = run(command, commandArguments, options);
  if (exitCode !== 0) process.exit(exitCode);
}
