#!/usr/bin/env node
// Runs the tests: lists the files itself (Node 20 finds no TypeScript tests and reports success), and fails when there are none.
//
//   npm test                                   everything, crash and fuzz tests in their bounded form; prints at the end how much these tried
//   npm test -- frame test/style               files whose path contains one of these words
//   npm test -- --test-name-pattern=torn       options for Node's test runner are passed on
// `scripts/test-crash.mjs` runs the crash tests and fuzzers in full.

import { readdirSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { projectRoot, run } from "./tool.mjs";

const runnerOptions = process.argv.slice(2).filter((argument) => argument.startsWith("--"));
const words = process.argv.slice(2).filter((argument) => !argument.startsWith("--"));

/** Every test file, as paths relative to the project with forward slashes, sorted. */
function testFiles() {
  /** @type {string[]} */
  const files = [];
  for (const folder of ["src", "test"]) {
    for (const entry of readdirSync(path.join(projectRoot, folder), { recursive: true, withFileTypes: true })) {
      const file = path.relative(projectRoot, path.join(entry.parentPath, entry.name)).replaceAll(path.sep, "/");
      // Type tests are held by `npm run types`: there is nothing in them to run.
      if (entry.isFile() && file.endsWith(".test.ts") && !file.startsWith("test/types/")) files.push(file);
    }
  }
  return files.sort();
}

const wanted = testFiles().filter(
  (file) => words.length === 0 || words.some((word) => file.includes(word.replaceAll(path.sep, "/").replace(/^\.\//, ""))),
);

if (wanted.length === 0) {
  console.error(`Cannot run the tests: no file is named *.test.ts${words.length > 0 ? ` and contains ${words.join(" or ")}` : ""}`);
  process.exit(1);
}

// One process for each file; two at a time even on one core, since many of them wait for the disk.
const concurrency = Math.max(2, Math.min(8, os.availableParallelism()));
// A test that hangs is to end with a name, not with the machine's patience.
const minutesMax = 10;
const defaults = [
  `--test-concurrency=${concurrency}`,
  `--test-timeout=${minutesMax * 60_000}`,
  "--test-reporter=spec",
  "--test-reporter-destination=stdout",
];
// What was tried comes last, beside whichever reporter was asked for. A path of the file system would be no module on Windows.
const counts = [`--test-reporter=${new URL("tried.mjs", import.meta.url).href}`, "--test-reporter-destination=stdout"];
const nameOf = (option) => option.split("=")[0];
const given = new Set(runnerOptions.map(nameOf));
const options = [...defaults.filter((option) => !given.has(nameOf(option))), ...runnerOptions, ...counts];

process.exitCode = run(process.execPath, ["--import", "tsx", "--test", ...options, ...wanted]);
