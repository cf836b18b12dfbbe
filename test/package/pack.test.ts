// The package as a user gets it: built, packed, unpacked into a project of its own, imported, required, compiled against and run.
// Builds into a temporary folder, so that a dist in use by something else is left alone. Needs no network: the dependencies are linked.

import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import os from "node:os";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { readArchive } from "./archive.ts";
import type { ArchivedFile } from "./archive.ts";

const projectRoot = path.dirname(fileURLToPath(new URL("../../package.json", import.meta.url)));
const manifest = JSON.parse(readFileSync(path.join(projectRoot, "package.json"), "utf8")) as {
  version: string;
  files: string[];
  bin: { batpak: string };
  dependencies: Record<string, string>;
};

let temporaryFolder: string;
let userProject: string;
let installed: string;
let archived: ArchivedFile[];

before(() => {
  temporaryFolder = mkdtempSync(path.join(os.tmpdir(), "batpak-pack-"));
  userProject = path.join(temporaryFolder, "user");
  installed = path.join(userProject, "node_modules", "batpak");
  archived = readArchive(buildAndPack());
  unpack();
  linkDependencies();
});

after(() => rmSync(temporaryFolder, { recursive: true, force: true }));

/** What `npm pack` makes of a fresh build. */
function buildAndPack(): Uint8Array {
  const staging = path.join(temporaryFolder, "staging");
  mkdirSync(staging);
  for (const file of ["package.json", "README.md", ...manifest.files]) {
    const source = path.join(projectRoot, file);
    if (path.extname(file) !== "" || file.startsWith("LICENSE")) copyFileSync(source, path.join(staging, file));
  }
  const build = path.join(projectRoot, "scripts/build.mjs");
  const built = spawnSync(process.execPath, [build, "--out", path.join(staging, "dist")], { encoding: "utf8" });
  assert.equal(built.status, 0, `${built.stdout}${built.stderr}`);
  // `--ignore-scripts`: the staging folder is built already.
  const packed = spawnSync("npm", ["pack", "--ignore-scripts", "--silent", "--pack-destination", temporaryFolder], {
    cwd: staging,
    encoding: "utf8",
    shell: process.platform === "win32",
  });
  assert.equal(packed.status, 0, `${packed.stdout}${packed.stderr}`);
  const archive = readdirSync(temporaryFolder).find((file) => file.endsWith(".tgz"));
  assert.equal(archive, `batpak-${manifest.version}.tgz`);
  return readFileSync(path.join(temporaryFolder, archive));
}

function unpack(): void {
  for (const file of archived) {
    const target = path.join(installed, file.path);
    mkdirSync(path.dirname(target), { recursive: true });
    writeFileSync(target, file.bytes);
    chmodSync(target, file.mode);
  }
  writeFileSync(path.join(userProject, "package.json"), JSON.stringify({ private: true, type: "module" }));
}

/** Links the package's dependencies, and no others: an import of a development dependency must fail here. */
function linkDependencies(): void {
  for (const name of Object.keys(manifest.dependencies)) {
    const link = path.join(userProject, "node_modules", name);
    mkdirSync(path.dirname(link), { recursive: true });
    symlinkSync(path.join(projectRoot, "node_modules", name), link, "junction");
  }
}

/** Runs a program of the user's and returns what it printed. */
function runProgram(fileName: string, text: string): string {
  writeFileSync(path.join(userProject, fileName), text);
  return execFileSync(process.execPath, [fileName], { cwd: userProject, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] }).trim();
}

describe("the packed package", () => {
  test("holds the build, the licences and the papers, and nothing else", () => {
    const paths = archived.map((file) => file.path);
    for (const paper of ["package.json", "README.md", "CHANGELOG.md", "LICENSE-MIT", "LICENSE-APACHE"])
      assert.ok(paths.includes(paper), paper);
    const beyond = paths.filter((file) => file.includes("/") && !/^dist\/.+(?:\.js|\.d\.ts)$/.test(file));
    assert.deepEqual(beyond, []);
    assert.deepEqual(
      paths.filter((file) => file.includes(".test.")),
      [],
    );
  });

  test("is a few files to load, and the library for other runtimes is not among them", () => {
    const code = archived.filter((file) => file.path.endsWith(".js"));
    assert.ok(code.length <= 8, code.map((file) => file.path).join());
    const program = `import { createRequire } from "node:module";
      import "batpak";
      const { cache } = createRequire(import.meta.url);
      const loaded = () => Object.keys(cache).some((file) => file.includes("hash-wasm"));
      const before = loaded();
      await import("hash-wasm");
      console.log(before, loaded());`;
    assert.equal(runProgram("loaded.mjs", program), "false true");
  });

  test("has code within ASCII, which the engine keeps at a byte a character", () => {
    for (const { path: file, bytes } of archived) {
      if (file.endsWith(".js"))
        assert.ok(
          bytes.every((byte) => byte < 0x80),
          file,
        );
    }
  });

  test("loads by import", () => {
    const program = 'import { isStoreError, StoreError } from "batpak"; console.log(typeof StoreError, isStoreError(new Error("no")));';
    assert.equal(runProgram("import.mjs", program), "function false");
  });

  test("loads by require", () => {
    const program =
      'const { isStoreError, StoreError } = require("batpak"); console.log(typeof StoreError, isStoreError(new Error("no")));';
    assert.equal(runProgram("require.cjs", program), "function false");
  });

  test("gives the same names to import and to require", () => {
    const imported = runProgram("names.mjs", 'import * as names from "batpak"; console.log(Object.keys(names).sort().join());');
    const required = runProgram(
      "names.cjs",
      'console.log(Object.keys(require("batpak")).filter((n) => n !== "__esModule").sort().join());',
    );
    assert.ok(imported.includes("StoreError"));
    assert.equal(required, imported);
  });

  test("opens, writes and reads a store, by import and by require", () => {
    const body = (folder: string): string => `(async () => {
      const store = await Store.open(${JSON.stringify(folder)});
      const Noted = defineEvent("Noted", { schema: type() });
      await store.append({ entity: "note:1", scope: "test" }, Noted({ text: "hello" }));
      console.log((await store.read({ entity: "note:1" }).toArray()).map((event) => event.data.text).join());
      await store.close();
    })();`;
    const names = "{ defineEvent, Store, type }";
    assert.equal(runProgram("store.mjs", `import ${names} from "batpak"; ${body("./by-import")}`), "hello");
    assert.equal(runProgram("store.cjs", `const ${names} = require("batpak"); ${body("./by-require")}`), "hello");
  });

  test("loads its testing door by import and by require", () => {
    assert.equal(
      runProgram("door.mjs", 'import { openMemoryStore } from "batpak/testing"; console.log(typeof openMemoryStore);'),
      "function",
    );
    assert.equal(runProgram("door.cjs", 'console.log(typeof require("batpak/testing").openMemoryStore);'), "function");
  });

  test("opens no other door", () => {
    assert.throws(() => runProgram("inside.mjs", 'import "batpak/dist/base/assert.js";'), /ERR_PACKAGE_PATH_NOT_EXPORTED/);
  });

  test("gives its types to a strict project", () => {
    writeFileSync(
      path.join(userProject, "user.mts"),
      `import { isStoreError } from "batpak";
       export function holder(error: unknown): number | null {
         return isStoreError(error, "LOCKED") ? error.details.pid : null;
       }
       // @ts-expect-error the details of a conflict have no pid
       export const wrong = (error: unknown) => isStoreError(error, "CONFLICT") && error.details.pid;`,
    );
    // A CommonJS file may import it, as it may require it: with this setting, and "node20".
    writeFileSync(
      path.join(userProject, "user.cts"),
      'import { defineEvent } from "batpak"; export const name: "Noted" = defineEvent("Noted").name;',
    );
    const configuration = {
      compilerOptions: {
        module: "nodenext",
        target: "es2023",
        lib: ["es2023", "esnext.disposable"],
        strict: true,
        noEmit: true,
        skipLibCheck: false,
        types: ["node"],
        typeRoots: [path.join(projectRoot, "node_modules/@types")],
      },
      files: ["user.mts", "user.cts"],
    };
    writeFileSync(path.join(userProject, "tsconfig.json"), JSON.stringify(configuration));
    const compiler = path.join(projectRoot, "node_modules/typescript/bin/tsc");
    const result = spawnSync(process.execPath, [compiler, "-p", userProject], { encoding: "utf8" });
    assert.equal(result.status, 0, result.stdout);
  });

  test("brings a command line that prints its help", () => {
    const commandLine = path.join(installed, manifest.bin.batpak);
    assert.ok(existsSync(commandLine));
    assert.match(readFileSync(commandLine, "utf8"), /^#!\/usr\/bin\/env node\n/);
    if (process.platform !== "win32") {
      const mode = archived.find((file) => file.path === manifest.bin.batpak)?.mode ?? 0;
      assert.equal(mode & 0o111, 0o111, "it is executable");
    }
    const result = spawnSync(process.execPath, [commandLine, "--help"], { cwd: userProject, encoding: "utf8" });
    assert.equal(result.status, 0, result.stderr);
    assert.match(result.stdout, /Usage: batpak/);
  });
});
