// docs/projections.md keeps its word: its blocks of TypeScript, one after another, compile and run as printed.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";

const projectRoot = path.dirname(fileURLToPath(new URL("../../package.json", import.meta.url)));
let folder: string;

before(() => {
  const page = readFileSync(path.join(projectRoot, "docs/projections.md"), "utf8");
  const program = [...page.matchAll(/^```ts\n(.*?)^```$/gms)].map(([, block]) => block).join("\n");
  folder = mkdtempSync(path.join(os.tmpdir(), "batpak-docs-"));
  const installed = path.join(folder, "node_modules", "batpak");
  mkdirSync(installed, { recursive: true });
  writeFileSync(
    path.join(installed, "package.json"),
    JSON.stringify({ name: "batpak", type: "module", exports: { ".": "./src/index.ts" } }),
  );
  symlinkSync(path.join(projectRoot, "src"), path.join(installed, "src"), "junction");
  writeFileSync(path.join(folder, "package.json"), JSON.stringify({ private: true, type: "module" }));
  writeFileSync(path.join(folder, "page.ts"), program);
});

after(() => rmSync(folder, { recursive: true, force: true }));

test("the page's program runs as printed", () => {
  const { status, stdout, stderr } = spawnSync(process.execPath, ["--import", import.meta.resolve("tsx"), "page.ts"], {
    cwd: folder,
    encoding: "utf8",
  });
  assert.equal(status, 0, stderr);
  assert.equal(stdout, "650 900 1\n2 of 2\nthe balance is 650\n[ 'EUR' ] 2\n");
});

test("the page's program compiles, strictly", () => {
  cpSync(path.join(projectRoot, "tsconfig.json"), path.join(folder, "base.json"));
  const paths = { batpak: [path.join(projectRoot, "src/index.ts")] };
  const compilerOptions = { paths, typeRoots: [path.join(projectRoot, "node_modules/@types")], noUnusedLocals: false };
  writeFileSync(path.join(folder, "tsconfig.json"), JSON.stringify({ extends: "./base.json", compilerOptions, include: ["page.ts"] }));
  const compiler = path.join(projectRoot, "node_modules/typescript/bin/tsc");
  const { status, stdout } = spawnSync(process.execPath, [compiler, "-p", folder], { encoding: "utf8" });
  assert.equal(status, 0, stdout);
});
