#!/usr/bin/env node
// Tests the package on Bun and Deno: the unit and store tests by each one's own runner, the command line's by Node with commands that each one runs, and
// then Node's process tests with children of all three, so that writers of different runtimes race for a directory's lock, are killed, and are followed by
// readers of another.
//
//   npx -p bun -p deno -c "npm run test:runtimes"           both, fetched by npm
//   npm run test:runtimes -- bun                            one, found on the PATH
//   npm run test:runtimes -- deno --files test/store/read   the files of its own runner whose path contains one of these words
//
// It fails where a runtime that is asked for is not there. What it leaves out is printed, with the reason.

import { spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import path from "node:path";
import { parseArgs } from "node:util";
import { projectRoot } from "./tool.mjs";

/** What a child is run by, and how its own runner is given a file. A file that takes longer has hung. */
const RUNTIMES = {
  bun: { command: ["bun"], test: (file) => ["test", "--timeout", "140000", `./${file}`] },
  deno: { command: ["deno", "run", "-A"], test: (file) => ["test", "-A", "--no-check", "--node-modules-dir=manual", file] },
};
const FILE_MS_MAX = 180_000;

/** Where the tests are that ask nothing of Node's own programs. */
const FOLDERS = ["src", "test/batpak03", "test/disk", "test/fuzz", "test/model", "test/projections", "test/reactions", "test/store"];

/** Tests that lean on how Node is made: no runtime has to pass them. */
const OF_NODE = {
  "src/base/rest.test.ts": "has memory collected by a flag of V8",
  "src/disk/node-disk.test.ts": "replaces functions of node:fs",
  "src/events/roomy-object.test.ts": "weighs objects as Node's V8 lays them out",
  "test/store/lifecycle.test.ts": "mocks timers by node:test",
};
/** The same of one of them. */
const NOT_ON = {
  bun: { "test/projections/handling.test.ts": "has memory collected by a flag of V8, and samples what is allocated" },
  deno: { "src/testing/disk-contract.test.ts": "Deno's unlink removes empty directories" },
};

const { positionals, values } = parseArgs({ allowPositionals: true, options: { files: { type: "string", multiple: true } } });
const names = positionals.length > 0 ? positionals : Object.keys(RUNTIMES);
for (const name of names) {
  if (name in RUNTIMES) continue;
  console.error(`Cannot test on ${name}: ${Object.keys(RUNTIMES).join(" and ")} are known`);
  process.exit(1);
}

function start(command, given, options = {}) {
  return spawnSync(command, given, { cwd: projectRoot, encoding: "utf8", maxBuffer: 1 << 28, ...options });
}

function testFiles() {
  return FOLDERS.flatMap((folder) =>
    readdirSync(path.join(projectRoot, folder), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && entry.name.endsWith(".test.ts"))
      .map((entry) => path.relative(projectRoot, path.join(entry.parentPath, entry.name)).replaceAll(path.sep, "/")),
  )
    .filter((file) => values.files === undefined || values.files.some((word) => file.includes(word)))
    .sort((one, other) => (one < other ? -1 : 1));
}

const failed = [];
for (const name of names) {
  const { command, test } = RUNTIMES[name];
  const version = start(command[0], ["--version"]);
  if (version.error !== undefined || version.status !== 0) {
    console.error(`Cannot test on ${name}: it is not on the PATH; npx -p ${name} -c "npm run test:runtimes -- ${name}" fetches it`);
    process.exit(1);
  }
  console.log(`${name} ${version.stdout.split("\n")[0].replace(name, "").trim()}`);
  let passed = 0;
  for (const file of testFiles()) {
    const reason = OF_NODE[file] ?? NOT_ON[name][file];
    if (reason !== undefined) {
      console.log(`  left out: ${file}, which ${reason}`);
      continue;
    }
    const { status, stdout, stderr } = start(command[0], test(file), { timeout: FILE_MS_MAX, env: { ...process.env, NO_COLOR: "1" } });
    if (status === 0) passed++;
    else {
      failed.push(`${name}: ${file}`);
      console.log(`${stdout}${stderr}\n  failed: ${file}`);
    }
  }
  console.log(`  ${passed} files pass`);
  if (passed === 0) failed.push(`${name}: no file was tested`);
}

/** Node's tests in a folder, whose children are run by these commands. */
function judge(what, folder, commands) {
  console.log(what);
  const { status } = spawnSync(process.execPath, ["scripts/run-tests.mjs", folder], {
    cwd: projectRoot,
    stdio: "inherit",
    env: { ...process.env, BATPAK_TEST_RUNTIMES: commands.join("\n") },
  });
  if (status !== 0) failed.push(what);
}

if (values.files === undefined) {
  const commands = names.map((name) => RUNTIMES[name].command.join("\t"));
  for (const [index, name] of names.entries()) judge(`the command line on ${name}`, "test/cli", [commands[index]]);
  judge(`processes of ${[...names, "node"].join(", ")}, in turns`, "test/process", [...commands, process.execPath]);
}
for (const what of failed) console.error(`failed: ${what}`);
process.exitCode = failed.length > 0 ? 1 : 0;
