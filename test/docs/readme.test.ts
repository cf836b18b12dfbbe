// The README keeps its word: its first example compiles and runs as printed, and its commands are those of continuous integration.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";

const projectRoot = path.dirname(fileURLToPath(new URL("../../package.json", import.meta.url)));
const readText = (file: string): string => readFileSync(path.join(projectRoot, file), "utf8");

/** The contents of the fenced blocks of one language, in order. */
function fencedBlocks(markdown: string, language: string): string[] {
  return [...markdown.matchAll(/^```(\w*)\n(.*?)^```$/gms)].filter((match) => match[1] === language).map((match) => match[2] as string);
}

/** A project of a user's own, whose `batpak` is this clone's src. The caller removes it. */
function makeUserProject(): string {
  const folder = mkdtempSync(path.join(os.tmpdir(), "batpak-readme-"));
  const installed = path.join(folder, "node_modules", "batpak");
  mkdirSync(installed, { recursive: true });
  const manifest = { name: "batpak", type: "module", exports: { ".": "./src/index.ts", "./testing": "./src/testing/index.ts" } };
  writeFileSync(path.join(installed, "package.json"), JSON.stringify(manifest));
  symlinkSync(path.join(projectRoot, "src"), path.join(installed, "src"), "junction");
  writeFileSync(path.join(folder, "package.json"), JSON.stringify({ private: true, type: "module" }));
  return folder;
}

describe("the README's example", () => {
  const example = (): string => {
    const first = fencedBlocks(readText("README.md"), "ts")[0];
    assert.ok(first !== undefined, "README.md has a block of TypeScript");
    return first;
  };

  test("has ten lines and needs only this package", () => {
    const lines = example()
      .split("\n")
      .filter((line) => line.trim() !== "");
    assert.ok(lines.length <= 10, `it has ${lines.length} lines`);
    const imports = [...example().matchAll(/\bfrom "([^"]+)"/g)].map((match) => match[1]);
    assert.deepEqual(imports, ["batpak"]);
  });

  test("runs as printed, twice, and prints something", () => {
    const folder = makeUserProject();
    try {
      writeFileSync(path.join(folder, "example.ts"), example());
      for (const attempt of ["on an empty directory", "on its own store"]) {
        const result = spawnSync(process.execPath, ["--import", import.meta.resolve("tsx"), "example.ts"], {
          cwd: folder,
          encoding: "utf8",
        });
        assert.equal(result.status, 0, `${attempt}: ${result.stderr}`);
        assert.notEqual(result.stdout.trim(), "", attempt);
      }
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  test("compiles in a strict project", () => {
    const folder = makeUserProject();
    try {
      writeFileSync(path.join(folder, "example.ts"), example());
      cpSync(path.join(projectRoot, "tsconfig.json"), path.join(folder, "base.json"));
      const paths = { batpak: [path.join(projectRoot, "src/index.ts")] };
      const typeRoots = [path.join(projectRoot, "node_modules/@types")];
      const configuration = { extends: "./base.json", compilerOptions: { paths, typeRoots }, include: ["example.ts"] };
      writeFileSync(path.join(folder, "tsconfig.json"), JSON.stringify(configuration));
      const compiler = path.join(projectRoot, "node_modules/typescript/bin/tsc");
      const result = spawnSync(process.execPath, [compiler, "-p", folder], { encoding: "utf8" });
      assert.equal(result.status, 0, result.stdout);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});

test("the README begins with the package, and says which of what it links to is in the repository only", () => {
  const readme = readText("README.md");
  assert.equal(fencedBlocks(readme, "sh")[0], "npm install batpak\n");
  const { files } = JSON.parse(readText("package.json")) as { files: string[] };
  const links = [...readme.matchAll(/\]\(([^):#]+)/g)].map((match) => match[1] as string);
  const beyond = links.filter((link) => !files.includes(link.split("/")[0] as string));
  for (const link of links) assert.ok(existsSync(path.join(projectRoot, link)), link);
  for (const link of beyond) assert.match(readme, new RegExp(`\\]\\(${link}\\), in the repository`), link);
});

describe("continuous integration", () => {
  const commands = readText(".ci/run")
    .split("\n")
    .filter((line) => line.startsWith("npm "));

  test("runs the README's two commands, in its order, before anything else", () => {
    const ofReadme = fencedBlocks(readText("README.md"), "sh")
      .flatMap((block) => block.split("\n"))
      .filter((line) => /^npm (?:ci|test)\b/.test(line));
    assert.equal(ofReadme.length, 2, `README.md has the commands ${ofReadme.join(", ")}`);
    const steps = ofReadme.flatMap((line) => line.split(" && "));
    assert.deepEqual(commands.slice(0, steps.length), steps);
    assert.equal(steps.at(-1), "npm test");
  });

  test("stops at the first failure and goes through the gate without testing twice", () => {
    assert.match(readText(".ci/run"), /^set -euo pipefail$/m);
    assert.deepEqual(commands.slice(-2), ["npm run check -- --skip-tests", "npm run interop"]);
    assert.equal(commands.filter((command) => command === "npm test").length, 1);
  });
});
