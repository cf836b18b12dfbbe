#!/usr/bin/env node
// Breaks the store on purpose, one way at a time, and fails unless the crash tests notice every one.
//
//   npm run test:mutations                     all of them
//   npm run test:mutations -- rename sync      those whose name contains one of these words
//
// Works on a copy in a temporary folder; the working tree is never touched. Before the first mutation the tests that are used must pass on
// the unchanged copy, else they would catch anything. A mutation whose text is not found exactly once fails: it no longer says what it means.

import { spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { mutations } from "./mutations/list.mjs";
import { suites } from "./mutations/suites.mjs";
import { projectRoot } from "./tool.mjs";

/** A suite that takes so many times as long as on the unchanged store hangs. */
const HANGS_AFTER = 10;
const HANGS_AFTER_MS_MIN = 120_000;
const words = process.argv.slice(2);
const wanted = mutations.filter(({ name }) => words.length === 0 || words.some((word) => name.includes(word)));
if (wanted.length === 0) {
  console.error(`Cannot try mutations: none has a name that contains ${words.join(" or ")}`);
  process.exit(1);
}

const copy = mkdtempSync(path.join(tmpdir(), "batpak-mutations-"));
process.on("exit", () => rmSync(copy, { recursive: true, force: true }));
for (const name of ["src", "test", "package.json", "tsconfig.json"]) {
  cpSync(path.join(projectRoot, name), path.join(copy, name), { recursive: true });
}
symlinkSync(path.join(projectRoot, "node_modules"), path.join(copy, "node_modules"), "junction");

/** Runs a suite in the copy; gives the names of the tests that failed, or null where all passed. */
function failuresOf(suiteName, millisecondsMax) {
  const { files, env = {}, pattern } = suites[suiteName];
  const narrowed = pattern === undefined ? [] : [`--test-name-pattern=${pattern}`];
  const result = spawnSync(process.execPath, ["--import", "tsx", "--test", "--test-reporter=tap", ...narrowed, ...files], {
    cwd: copy,
    encoding: "utf8",
    timeout: millisecondsMax,
    maxBuffer: 256 * 1024 * 1024,
    env: { ...process.env, BATPAK_SEED: "1", BATPAK_TEST_LONG: "0", ...env },
  });
  if (result.status === 0) return null;
  const failed = [...result.stdout.matchAll(/^( *)not ok \d+ - (.*?)(?: # .*)?$/gm)].map((match) => match[2]);
  // The innermost come first. None: it hung, or did not even load.
  return failed.length > 0 ? failed : ["(no test ended)"];
}

/** The mutated text; throws where the mutation fits no longer. */
function mutated(text, { edits, file }) {
  let changed = text;
  for (const [from, to] of edits) {
    const count = changed.split(from).length - 1;
    if (count !== 1) throw new Error(`its text is found ${count} times in ${file}: ${JSON.stringify(from)}`);
    changed = changed.replace(from, () => to);
  }
  return changed;
}

const started = performance.now();
const problems = [];
/** By suite. */
const millisecondsMax = new Map();
for (const name of new Set(wanted.flatMap((mutation) => mutation.suites))) {
  const began = performance.now();
  const failed = failuresOf(name, undefined);
  millisecondsMax.set(name, Math.ceil(Math.max(HANGS_AFTER_MS_MIN, HANGS_AFTER * (performance.now() - began))));
  if (failed !== null) {
    console.error(`Cannot try mutations: ${name} fails on the unchanged store: ${failed[0]}`);
    process.exit(1);
  }
}
for (const mutation of wanted) {
  const file = path.join(copy, mutation.file);
  const original = readFileSync(file, "utf8");
  let caughtBy = null;
  try {
    writeFileSync(file, mutated(original, mutation));
    for (const name of mutation.suites) {
      const failed = failuresOf(name, millisecondsMax.get(name));
      if (failed === null) continue;
      caughtBy = `${name}: ${failed[0]}`;
      break;
    }
    if (caughtBy === null) problems.push(`${mutation.name}: nobody noticed`);
  } catch (error) {
    problems.push(`${mutation.name}: ${error.message}`);
  } finally {
    writeFileSync(file, original);
  }
  console.log(`${caughtBy === null ? "MISSED" : "caught"}  ${mutation.name}${caughtBy === null ? "" : `\n          by ${caughtBy}`}`);
}
console.log(
  `mutations: ${wanted.length} tried, ${wanted.length - problems.length} caught, in ${Math.round((performance.now() - started) / 1000)} s`,
);
for (const problem of problems) console.error(`not caught: ${problem}`);
process.exitCode = problems.length === 0 ? 0 : 1;
