#!/usr/bin/env node
// Compiles src to dist, from an empty folder, and makes the command line executable.
//
//   node scripts/build.mjs [--out DIR]
//
// The kernel's binary must be there already: `npm run build` makes both.

import { chmodSync, existsSync, rmSync } from "node:fs";
import path from "node:path";
import { parseArgs } from "node:util";
import { projectRoot, runOrExit } from "./tool.mjs";

const { values } = parseArgs({ options: { out: { type: "string" } } });
const outputFolder = path.resolve(projectRoot, values.out ?? "dist");

rmSync(outputFolder, { recursive: true, force: true });
runOrExit("tsc", ["-p", "tsconfig.build.json", "--outDir", outputFolder]);

const commandLine = path.join(outputFolder, "cli", "main.js");
if (existsSync(commandLine)) chmodSync(commandLine, 0o755);
