/** Child processes that run the compiled package: starting TypeScript anew 200 times would take minutes. */
import { type ChildProcessByStdio, execFileSync, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import type { Readable, Writable } from "node:stream";
import { fileURLToPath, pathToFileURL } from "node:url";

const root = fileURLToPath(new URL("../..", import.meta.url));

export interface Compiled {
  /** The package's entry, for `import`. */
  readonly entry: string;
  remove(): void;
}

/** Compiles src to a folder from which the dependencies are found. */
export function compilePackage(): Compiled {
  const cache = join(root, "node_modules", ".cache");
  mkdirSync(cache, { recursive: true });
  const folder = mkdtempSync(join(cache, "batpak-process-"));
  execFileSync(process.execPath, [join(root, "scripts", "build.mjs"), "--out", folder], {
    cwd: root,
    stdio: ["ignore", "ignore", "inherit"],
  });
  return { entry: pathToFileURL(join(folder, "index.js")).href, remove: () => rmSync(folder, { recursive: true, force: true }) };
}

export interface Child {
  readonly process: ChildProcessByStdio<Writable, Readable, null>;
  /** Every whole line so far. */
  readonly lines: string[];
  /** The next line nobody has asked for yet; rejects when the child ends without one. */
  line(): Promise<string>;
  /** Resolves when it has ended and all that it printed has arrived. */
  readonly ended: Promise<void>;
}

export function startWriter(entry: string, directory: string, role: "race" | "serve", run: string): Child {
  return startChild("writer-child.mjs", [entry, directory, role, run]);
}

/** What runs the children, one command after the other: `node`, or what `scripts/test-runtimes.mjs` asks for, which is judged by this process all the same. */
export const runtimes: readonly string[][] = (process.env.BATPAK_TEST_RUNTIMES ?? process.execPath)
  .split("\n")
  .map((command) => command.split("\t"));
let started = 0;

/** Starts one of the programs beside this file, or one whose path is given, by the runtime whose turn it is, or by one that is given. */
export function startChild(program: string, args: readonly string[], runtime = runtimes[started++ % runtimes.length] ?? []): Child {
  const path = resolve(import.meta.dirname, program);
  const [command = "", ...options] = runtime;
  const child = spawn(command, [...options, path, ...args], { stdio: ["pipe", "pipe", "inherit"] });
  const lines: string[] = [];
  let asked = 0;
  let over = false;
  let wake = (): void => {};
  let rest = "";
  child.stdout.setEncoding("utf8");
  child.stdout.on("data", (text: string) => {
    const parts = (rest + text).split("\n");
    rest = parts.pop() ?? "";
    lines.push(...parts);
    wake();
  });
  const ended = new Promise<void>((resolve) =>
    child.on("close", () => {
      over = true;
      wake();
      resolve();
    }),
  );
  const line = async (): Promise<string> => {
    while (lines.length <= asked) {
      if (over) throw new Error("The child ended without another line");
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
    return lines[asked++];
  };
  return { process: child, lines, line, ended };
}

export async function inDirectory(use: (directory: string) => Promise<void>): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), "batpak-process-"));
  try {
    await use(directory);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
