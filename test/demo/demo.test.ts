// The demo on repositories made for it: everything is imported, nothing twice, and a shallow clone tells that it is one.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import * as batpak from "../../src/index.ts";

interface Change {
  readonly status: string;
  readonly path: Buffer;
  readonly from: Buffer | null;
}
interface Commit {
  readonly hash: string;
  readonly parents: readonly string[];
  readonly author: string;
  readonly subject: string;
  readonly changes: readonly Change[];
}
interface DemoModules {
  runDemo(
    batpak: unknown,
    options: { projectRoot: string; repository?: string; dataFolder: string; print: (line: string) => void },
  ): Promise<boolean>;
  readHistory(folder: string): AsyncIterable<Commit>;
  fileName(bytes: Buffer): string;
  entityName(kind: string, name: string): string;
}

const load = async (file: string): Promise<Partial<DemoModules>> =>
  (await import(new URL(`../../scripts/demo/${file}`, import.meta.url).href)) as Partial<DemoModules>;

let modules: DemoModules;
let folder: string;
let repository: string;
const canVerify = "verify" in batpak.Store.prototype;

function git(cwd: string, gitArguments: readonly string[], input?: Buffer): string {
  const identity = ["-c", "user.name=Zoë Ünïcode", "-c", "user.email=zoe@example.org", "-c", "commit.gpgsign=false"];
  return execFileSync("git", [...identity, ...gitArguments], { cwd, encoding: "utf8", stdio: ["pipe", "pipe", "pipe"], input });
}

before(async () => {
  modules = Object.assign({}, await load("git-history.mjs"), await load("import-history.mjs"), await load("run-demo.mjs")) as DemoModules;
  folder = mkdtempSync(path.join(os.tmpdir(), "batpak-demo-"));
  repository = path.join(folder, "straße 道");
  mkdirSync(path.join(repository, "src"), { recursive: true });
  git(repository, ["init", "--quiet", "--initial-branch=main"]);
  const write = (file: string, text: string): void => writeFileSync(path.join(repository, file), text);
  const commit = (message: string): void => {
    git(repository, ["add", "--all"]);
    git(repository, ["commit", "--quiet", "--allow-empty", "--message", message]);
  };
  const longText = "the same line, over and over, so that a rename is seen\n".repeat(20);
  write("src/one.txt", longText);
  write("读我 😀.txt", "hello\n");
  commit(":begin: commit\n\nA body that looks like\n\0".replace("\0", ""));
  git(repository, ["checkout", "--quiet", "-b", "side"]);
  write("side.txt", "side\n");
  commit("On the side");
  git(repository, ["checkout", "--quiet", "main"]);
  renameSync(path.join(repository, "src/one.txt"), path.join(repository, "src/two\nlines.txt"));
  commit("Rename");
  git(repository, ["merge", "--quiet", "--no-ff", "--message", "Merge the side", "side"]);
  commit("Nothing at all");
});

after(() => rmSync(folder, { recursive: true, force: true }));

/** Runs the demo on `source`; what it printed. */
async function demo(source: string | undefined, dataFolder: string, projectRoot = folder): Promise<string> {
  const lines: string[] = [];
  const options = { projectRoot, dataFolder, print: (line: string) => void lines.push(line) };
  assert.equal(await modules.runDemo(batpak, source === undefined ? options : { ...options, repository: source }), true);
  return lines.join("\n");
}

describe("reading a history", () => {
  test("tells commits from oldest to newest, with renames, merges and any name", async () => {
    const commits: Commit[] = [];
    for await (const commit of modules.readHistory(repository)) commits.push(commit);
    const told = commits.map((commit) => [
      commit.subject,
      commit.parents.length,
      commit.changes.map(
        (change) => `${change.status} ${change.path.toString()}${change.from === null ? "" : ` from ${change.from.toString()}`}`,
      ),
    ]);
    // Which of two parallel commits comes first is git's to say.
    told.splice(1, 2, ...told.slice(1, 3).sort(([one], [other]) => (String(one) < String(other) ? -1 : 1)));
    assert.deepEqual(told, [
      [":begin: commit", 0, ["A src/one.txt", "A 读我 😀.txt"]],
      ["On the side", 1, ["A side.txt"]],
      ["Rename", 1, ["R src/two\nlines.txt from src/one.txt"]],
      ["Merge the side", 2, ["A side.txt"]],
      ["Nothing at all", 1, []],
    ]);
    assert.equal(commits[0]?.author, "Zoë Ünïcode");
  });

  test("keeps names apart that are no UTF-8 or too long for a stream", () => {
    assert.equal(modules.fileName(Buffer.from([0x61, 0xff, 0x25])), "bytes:a%ff%25");
    const one = modules.entityName("file", `${"道".repeat(900)}1`);
    const other = modules.entityName("file", `${"道".repeat(900)}2`);
    assert.ok(Buffer.byteLength(one) <= 1024);
    assert.notEqual(one, other);
  });
});

describe("the demo", { skip: canVerify ? false : "this build cannot verify yet" }, () => {
  test("imports a repository, verifies, reopens; a second run adds nothing, a third what is new", async () => {
    const data = path.join(folder, "data");
    const first = await demo(repository, data);
    assert.match(first, /5 commits, 5 changes/);
    assert.match(first, /added +10 events/);
    assert.match(first, /verified +10 events, .*: all good/);
    assert.match(first, /reopened +10 events in [\d.]+ ms, route: checkpoint/);
    assert.match(await demo(repository, data), /added +0 events/);
    writeFileSync(path.join(repository, "new.txt"), "new\n");
    git(repository, ["add", "--all"]);
    git(repository, ["commit", "--quiet", "--message", "One more"]);
    assert.match(await demo(repository, data), /added +2 events/);
  });

  test("says that a clone is shallow; once deepened, it adds what it had not", async () => {
    const clone = path.join(folder, "shallow");
    git(folder, ["clone", "--quiet", "--depth=2", `file://${repository}`, clone]);
    const data = path.join(folder, "data-shallow");
    const first = await demo(clone, data);
    assert.match(first, /a shallow clone: .* the 1 commits it was cut off at/);
    git(clone, ["fetch", "--quiet", "--unshallow"]);
    const second = await demo(clone, data);
    assert.doesNotMatch(second, /shallow clone/);
    assert.match(await demo(clone, data), /added +0 events/);
  });

  test("takes the shipped history where there is no repository, and refuses a path that holds none", async () => {
    const data = path.join(folder, "data-shipped");
    const told = await demo(undefined, data);
    assert.match(told, /the small history that comes with the demo/);
    assert.match(told, /12 commits/);
    assert.match(told, /李雷|Олена/);
    await assert.rejects(demo(path.join(folder, "nowhere"), data), /does not exist/);
  });

  test("takes thousands of changes, in batches", async () => {
    const large = path.join(folder, "large");
    mkdirSync(large);
    git(large, ["init", "--quiet", "--initial-branch=main"]);
    const stream: string[] = [];
    for (let commit = 0; commit < 60; commit++) {
      stream.push("commit refs/heads/main\n", `committer C ${commit % 7} <c@example.org> ${1_700_000_000 + commit} +0000\n`, "data 1\nx\n");
      for (let file = 0; file < 100; file++) {
        const content = `${commit} ${file}`;
        stream.push(`M 100644 inline d${file % 10}/f${file}\ndata ${content.length}\n${content}\n`);
      }
      if (commit === 59) for (let file = 0; file < 1500; file++) stream.push(`M 100644 inline more/${file}\ndata 1\nx\n`);
    }
    git(large, ["fast-import", "--quiet"], Buffer.from(stream.join("")));
    const data = path.join(folder, "data-large");
    assert.match(await demo(large, data), /added +7,560 events/);
    assert.match(await demo(large, data), /added +0 events/);
  });
});
