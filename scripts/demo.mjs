#!/usr/bin/env node
// Imports the whole history of a git repository into a store, says who changed what most, verifies every chain, closes and reopens.
//
//   npm run demo                  this repository; a small shipped history where there is none
//   npm run demo -- PATH          any other repository
//
// The store lies in .demo and stays: a second run adds only what the repository has got since. Needs the build (`npm ci` makes it).

import * as batpak from "batpak";
import { runDemo } from "./demo/run-demo.mjs";
import { projectRoot } from "./tool.mjs";

try {
  const ok = await runDemo(batpak, { projectRoot, repository: process.argv[2], print: (line) => console.log(line) });
  process.exitCode = ok ? 0 : 1;
} catch (error) {
  console.error(error?.code === undefined ? (error?.stack ?? String(error)) : `${error.code}: ${error.message}`);
  process.exitCode = 1;
}
