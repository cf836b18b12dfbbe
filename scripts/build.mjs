#!/usr/bin/env node
// Compiles src to dist, from an empty folder, and makes the command line executable.
//
//   node scripts/build.mjs [--out DIR]
//
// Types are written module by module. Code is brought together in a few files, since importing two hundred costs more than opening a store
// does (docs/decisions/0013). The kernel's binary must be there already: `npm run build` makes both.

import { chmodSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { parseArgs } from "node:util";
import { build } from "esbuild";
import { projectRoot, runOrExit } from "./tool.mjs";

const { values } = parseArgs({ options: { out: { type: "string" } } });
const outputFolder = path.resolve(projectRoot, values.out ?? "dist");

rmSync(outputFolder, { recursive: true, force: true });
runOrExit("tsc", ["-p", "tsconfig.build.json", "--emitDeclarationOnly", "--outDir", outputFolder]);

const commandLine = path.join("cli", "main");
await build({
  absWorkingDir: projectRoot,
  entryPoints: ["index", path.join("testing", "index"), commandLine].map((name) => path.join("src", `${name}.ts`)),
  outbase: "src",
  outdir: outputFolder,
  bundle: true,
  // What two doors share exists once: errors of one are instances of the other's classes.
  splitting: true,
  packages: "external",
  format: "esm",
  platform: "node",
  target: "node20",
  logLevel: "warning",
});
// Text within ASCII is a byte a character to the engine, any other two: a tenth of importing, and two megabytes. Only comments are left with any.
for (const name of readdirSync(outputFolder, { recursive: true, encoding: "utf8" })) {
  if (!name.endsWith(".js")) continue;
  const file = path.join(outputFolder, name);
  const escape = (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
  writeFileSync(file, readFileSync(file, "utf8").replace(/[^\0-\x7f]/g, escape));
}
chmodSync(path.join(outputFolder, `${commandLine}.js`), 0o755);
