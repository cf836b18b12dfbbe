/** A real process that has no file handles left (`ulimit -n`): typed errors, nothing acknowledged is lost, and it goes on once there are some. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { basename, join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { type Compiled, compilePackage, inDirectory, runtimes } from "./support.ts";

// Loading the package takes more than a few.
const HANDLES = 256;
const childPath = fileURLToPath(new URL("handles-child.mjs", import.meta.url));

interface Tried {
  readonly when: "never" | "before" | "after";
  readonly free: number;
  readonly codes: readonly string[];
  readonly promised: number;
  readonly found: number;
  readonly problems: number;
}

let compiled: Compiled;
before(() => {
  compiled = compilePackage();
});
after(() => compiled.remove());

test(
  "0 to 12 file handles left, before opening and once open: a typed error, nothing acknowledged is lost, it goes on",
  { skip: process.platform === "win32" ? "there is no ulimit" : false },
  () =>
    inDirectory(async (directory) => {
      const script = `ulimit -n ${HANDLES} || exit 99; exec "$0" "$@"`;
      for (const runtime of runtimes) {
        const child = spawn("bash", ["-c", script, ...runtime, childPath, compiled.entry, join(directory, basename(runtime[0] ?? ""))], {
          stdio: ["ignore", "pipe", "inherit"],
        });
        let text = "";
        child.stdout.setEncoding("utf8").on("data", (part: string) => {
          text += part;
        });
        const [code] = (await once(child, "close")) as [number | null];
        assert.equal(code, 0, text);
        const tried = text
          .trim()
          .split("\n")
          .map((line) => JSON.parse(line) as Tried);
        assert.equal(tried.length, 27);
        for (const one of tried) {
          const about = JSON.stringify(one);
          for (const met of one.codes) assert.ok(["IO", "COMMIT_UNKNOWN", "POISONED"].includes(met), about);
          assert.equal(one.found, one.promised, about);
          assert.equal(one.problems, 0, about);
        }
        const failed = tried.filter(({ codes }) => codes.length > 0);
        assert.ok(failed.some(({ when }) => when === "before") && failed.some(({ when }) => when === "after"), text);
        assert.ok(
          tried.some(({ codes, when }) => when === "before" && codes.length === 0),
          `none had enough handles: ${text}`,
        );
        console.log(`${basename(runtime[0] ?? "")}: ${tried.length} counts of file handles tried, ${failed.length} of them too few`);
      }
    }),
);
