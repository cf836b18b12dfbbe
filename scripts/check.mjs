#!/usr/bin/env node
// The one gate. Every step runs even after one has failed, so that one run tells all; any failure fails the whole.
//
//   npm run check
//   npm run check -- --skip-tests     for a pipeline that has just run `npm test`

import { performance } from "node:perf_hooks";
import { run } from "./tool.mjs";

const steps = [
  { name: "format", command: "biome", arguments: ["format", "."] },
  { name: "lint", command: "oxlint", arguments: ["--type-aware", "--deny-warnings"] },
  // Type tests (test/types) are part of the project that this compiles.
  { name: "types", command: "tsc", arguments: ["-p", "."] },
  { name: "build", command: "npm", arguments: ["run", "--silent", "build"] },
  { name: "tests", command: process.execPath, arguments: ["scripts/run-tests.mjs"] },
  { name: "unused code and dependencies", command: "knip", arguments: [] },
  { name: "package", command: process.execPath, arguments: ["scripts/check-package.mjs"] },
];

const skipTests = process.argv.includes("--skip-tests");
const results = [];
for (const step of steps) {
  if (skipTests && step.name === "tests") continue;
  console.log(`\n== ${step.name}`);
  const startMs = performance.now();
  const exitCode = run(step.command, step.arguments);
  results.push({ name: step.name, exitCode, seconds: (performance.now() - startMs) / 1000 });
}

console.log("");
for (const { name, exitCode, seconds } of results) {
  console.log(`${exitCode === 0 ? "ok    " : "FAILED"}  ${name}  (${seconds.toFixed(1)} s)`);
}
process.exitCode = results.every((result) => result.exitCode === 0) ? 0 : 1;
