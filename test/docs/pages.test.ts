// The pages that are programs keep their word: their blocks of TypeScript, one after another, compile and run as printed.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";

const projectRoot = path.dirname(fileURLToPath(new URL("../../package.json", import.meta.url)));
/** What each page's program prints. */
const PAGES = {
  "projections.md": "650 900 1\n2 of 2\nthe balance is 650\n[ 'EUR' ] 2\n",
  "testing.md": "1\n1\n019b76da-a800-7707-8707-070707070708 86400000\nCOMMIT_UNKNOWN\n1\n",
};
let folder: string;

before(() => {
  folder = mkdtempSync(path.join(os.tmpdir(), "batpak-docs-"));
  const installed = path.join(folder, "node_modules", "batpak");
  mkdirSync(installed, { recursive: true });
  writeFileSync(
    path.join(installed, "package.json"),
    JSON.stringify({ name: "batpak", type: "module", exports: { ".": "./src/index.ts", "./testing": "./src/testing/index.ts" } }),
  );
  symlinkSync(path.join(projectRoot, "src"), path.join(installed, "src"), "junction");
  writeFileSync(path.join(folder, "package.json"), JSON.stringify({ private: true, type: "module" }));
  for (const page of Object.keys(PAGES)) {
    const text = readFileSync(path.join(projectRoot, "docs", page), "utf8");
    const program = [...text.matchAll(/^```ts\n(.*?)^```$/gms)].map(([, block]) => block).join("\n");
    writeFileSync(path.join(folder, `${page}.ts`), program);
  }
});

after(() => rmSync(folder, { recursive: true, force: true }));

for (const [page, printed] of Object.entries(PAGES)) {
  test(`the program of ${page} runs as printed`, () => {
    const { status, stdout, stderr } = spawnSync(process.execPath, ["--import", import.meta.resolve("tsx"), `${page}.ts`], {
      cwd: folder,
      encoding: "utf8",
    });
    assert.equal(status, 0, stderr);
    assert.equal(stdout, printed);
  });
}

test("the pages' programs compile against what the package declares, more strictly than its own code", () => {
  const compiler = path.join(projectRoot, "node_modules/typescript/bin/tsc");
  const compile = (...given: string[]): void => {
    const { status, stdout } = spawnSync(process.execPath, [compiler, ...given], { encoding: "utf8" });
    assert.equal(status, 0, stdout);
  };
  const declared = path.join(folder, "types");
  compile("-p", path.join(projectRoot, "tsconfig.build.json"), "--emitDeclarationOnly", "--outDir", declared);
  cpSync(path.join(projectRoot, "tsconfig.json"), path.join(folder, "base.json"));
  const paths = {
    batpak: [path.join(declared, "index.d.ts")],
    "batpak/testing": [path.join(declared, "testing/index.d.ts")],
    "@standard-schema/spec": [path.join(projectRoot, "node_modules/@standard-schema/spec/dist/index.d.ts")],
  };
  const typeRoots = [path.join(projectRoot, "node_modules/@types")];
  const compilerOptions = { paths, typeRoots, noUnusedLocals: false, noUncheckedIndexedAccess: true };
  writeFileSync(path.join(folder, "tsconfig.json"), JSON.stringify({ extends: "./base.json", compilerOptions, include: ["*.md.ts"] }));
  compile("-p", folder);
});
