#!/usr/bin/env node
// The whole of the crash tests, the fuzzers and the tests in their long form, two processes at a time; prints what was tried at the end.
//
//   npm run test:crash                         everything
//   npm run test:crash -- damage fuzz          the jobs whose name contains one of these words
//   npm run test:crash -- --seed 7             another sample of crash states, other inputs; default 1
//
// Jobs: "crash states", "damaged stores", "damaged stores of batpak 0.3" and "fuzz inputs", and each of the test files below. The output of a job
// is printed when it has ended. The whole of it fails where it tried fewer than `LEAST`.

import { spawn } from "node:child_process";
import { readdirSync } from "node:fs";
import path from "node:path";
import { parseArgs } from "node:util";
import { projectRoot } from "./tool.mjs";
import { triedIn, triedLine } from "./tried.mjs";

const FUZZ_RUNS = 1_000_000;
const PROCESSES = 2;
/** What the whole of it covers at the least. */
const LEAST = { "distinct disks": 100_000, "damaged stores": 100_000, "fuzz inputs": FUZZ_RUNS };
/** Lines that tell how much was tried. */
const COUNTS = /\b(tried|survived|repaired|killed|harmless|looked at)\b/;

const { positionals: words, values } = parseArgs({ allowPositionals: true, options: { seed: { type: "string", default: "1" } } });

const program = (...given) => ["--import", "tsx", ...given];

/** What these try a sample of, the first jobs try far more of. */
const bounded = new Set(["enumeration", "batpak03", "damage", "damage-batpak03"].map((name) => `test/crash/${name}.test.ts`));

function testFiles() {
  const files = ["test/crash", "test/model", "test/process"].flatMap((folder) =>
    readdirSync(path.join(projectRoot, folder))
      .filter((name) => name.endsWith(".test.ts"))
      .map((name) => `${folder}/${name}`),
  );
  files.push("test/fuzz/regressions.test.ts", "test/projections/crash.test.ts", "test/reactions/consumer-crash.test.ts");
  files.push("test/store/snapshot.test.ts");
  return files.filter((file) => !bounded.has(file));
}

const testJob = (file) => program("--test", "--test-timeout=2400000", "--test-reporter=spec", file);

const jobs = [
  // Its workers take both cores.
  { name: "crash states", processes: 2, given: program("test/crash/main.ts", "--seed", values.seed) },
  { name: "damaged stores", processes: 2, given: program("test/crash/damage-main.ts") },
  { name: "damaged stores of batpak 0.3", processes: 2, given: program("test/crash/damage-batpak03-main.ts") },
  { name: "fuzz inputs", processes: 1, given: program("test/fuzz/main.ts", "--seed", values.seed, "--runs", String(FUZZ_RUNS)) },
  ...testFiles().map((file) => ({ name: file, processes: 1, given: testJob(file) })),
].filter(({ name }) => words.length === 0 || words.some((word) => name.includes(word)));
if (jobs.length === 0) {
  console.error(`Cannot run the crash tests: no job has a name that contains ${words.join(" or ")}`);
  process.exit(1);
}

const minutes = (milliseconds) => `${(milliseconds / 60_000).toFixed(1)} minutes`;

function run({ name, given }) {
  const started = performance.now();
  const child = spawn(process.execPath, given, {
    cwd: projectRoot,
    env: { ...process.env, BATPAK_TEST_LONG: "1" },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text) => {
      output += text;
    });
  }
  return new Promise((resolve) => {
    child.on("close", (code) => resolve({ name, ok: code === 0, output, milliseconds: performance.now() - started }));
  });
}

const started = performance.now();
const results = [];
const waiting = [...jobs];
const running = new Set();
let busy = 0;
while (waiting.length > 0 || running.size > 0) {
  const next = waiting[0];
  if (next !== undefined && busy + next.processes <= PROCESSES) {
    waiting.shift();
    busy += next.processes;
    const job = run(next).then((result) => {
      busy -= next.processes;
      running.delete(job);
      results.push(result);
      console.log(`\n== ${result.name}: ${result.ok ? "ok" : "FAILED"}, ${minutes(result.milliseconds)}\n${result.output.trimEnd()}`);
    });
    running.add(job);
  } else {
    await Promise.race(running);
  }
}

console.log(`\nIn ${minutes(performance.now() - started)}:`);
for (const { milliseconds, name, ok, output } of results) {
  console.log(`${ok ? "ok    " : "FAILED"}  ${name}, ${minutes(milliseconds)}`);
  const counts = output.split("\n").filter((line) => COUNTS.test(line) && !/^\s*[✔✖▶]/.test(line));
  for (const line of counts) console.log(`          ${line.trim()}`);
}
const tried = triedIn(results.map(({ output }) => output).join("\n"));
console.log(triedLine(tried));
const isWhole = words.length === 0;
const missing = Object.entries(LEAST).filter(([kind, least]) => isWhole && tried.get(kind) < least);
for (const [kind, least] of missing) console.error(`Too few ${kind}: ${tried.get(kind)}, ${least} are wanted`);
process.exitCode = results.every(({ ok }) => ok) && missing.length === 0 ? 0 : 1;
