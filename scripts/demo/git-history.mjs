// Reads the history of a git repository, oldest commit first, as it streams out of `git log`.
//
// Everything is separated by NUL, and each token says how many follow it, so names may hold anything that git lets them hold. A merge is
// compared with its first parent: what it brought to the branch. Renames are followed.

import { spawn, spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import path from "node:path";

// Settings of the user that would change the output are overruled; nothing is locked, asked or fetched.
const environment = { ...process.env, GIT_OPTIONAL_LOCKS: "0", GIT_TERMINAL_PROMPT: "0", GIT_NO_LAZY_FETCH: "1", LC_ALL: "C" };
const settings = ["-c", "log.showSignature=false", "-c", "log.showRoot=true", "-c", "log.follow=false"];
const marker = "commit";
const fields = ["%H", "%P", "%an", "%ae", "%aI", "%s"];
const fieldCount = fields.length;

function git(folder, gitArguments) {
  const result = spawnSync("git", ["-C", folder, ...gitArguments], { encoding: "utf8", env: environment });
  if (result.error) return { ok: false, text: `git cannot be run (${result.error.code})` };
  return { ok: result.status === 0, text: (result.status === 0 ? result.stdout : result.stderr).trim() };
}

/**
 * What there is to read at `folder`: `{ root, name, isShallow, partial }`, or `{ reason }` where there is no history.
 */
export function findRepository(folder) {
  if (!existsSync(folder)) return { reason: `${folder} does not exist` };
  const root = git(folder, ["rev-parse", "--path-format=absolute", "--git-common-dir"]);
  if (!root.ok) return { reason: root.text.split("\n")[0] };
  const head = git(folder, ["rev-parse", "--verify", "--quiet", "HEAD^{commit}"]);
  if (!head.ok) return { reason: `${folder} has no commit yet` };
  const isShallow = git(folder, ["rev-parse", "--is-shallow-repository"]).text === "true";
  const partial = git(folder, ["config", "--get-regexp", "^remote\\..*\\.promisor$"]).ok;
  const withoutGit = path.basename(root.text) === ".git" ? path.dirname(root.text) : root.text;
  return { root: withoutGit, name: path.basename(withoutGit).replace(/\.git$/, "") || "repository", isShallow, partial };
}

/** The commits at which a shallow clone was cut off. */
export function shallowCommits(folder) {
  // git draws no parents for them; the object itself still names them.
  const roots = git(folder, ["rev-list", "--max-parents=0", "HEAD"]);
  if (!roots.ok) return new Set();
  const hashes = roots.text.split("\n");
  return new Set(hashes.filter((hash) => /^parent /m.test(git(folder, ["cat-file", "commit", hash]).text.split("\n\n")[0])));
}

/**
 * The commits that HEAD reaches, parents before children: `{ hash, parents, author, email, time, subject, changes }`, each change being
 * `{ status, path, from }` with git's status letter; `from` is the old name of a rename or copy, else null. Names are bytes.
 *
 * @param {string} folder
 * @param {{ partial?: boolean }} [options] partial: the clone lacks file contents, so that only renames of unchanged files are seen
 */
export async function* readHistory(folder, options = {}) {
  const format = `--format=%x00${marker}%x00${fields.join("%x00")}%x00`;
  const diff = ["--raw", "-z", "--root", "-r", options.partial ? "-M100%" : "-M", "-l1000", "--diff-merges=first-parent"];
  const plain = ["-O/dev/null", "--no-color", "--no-ext-diff", "--no-textconv", "--no-mailmap", "--no-notes", "--encoding=UTF-8"];
  const order = ["--reverse", "--topo-order"];
  const child = spawn("git", ["-C", folder, ...settings, "log", ...order, ...plain, ...diff, format, "HEAD", "--"], {
    env: environment,
    stdio: ["ignore", "pipe", "pipe"],
  });
  let complaint = "";
  child.stderr.on("data", (text) => {
    complaint = (complaint + text).slice(0, 2000);
  });
  const ended = new Promise((resolve) => {
    child.on("close", (code) => resolve(code));
    child.on("error", (error) => {
      complaint = error.message;
      resolve(1);
    });
  });
  try {
    yield* parseHistory(child.stdout);
    const code = await ended;
    if (code !== 0) throw new Error(`Cannot read the history of ${folder}: ${complaint.trim() || `git ended with ${code}`}`);
  } finally {
    child.kill();
  }
}

/** Parses what `readHistory` has git print. */
export async function* parseHistory(chunks) {
  let commit = null;
  /** Takes the tokens that belong to the one before. */
  let wanted = 0;
  let taken = [];
  let onTaken = () => {};
  for await (const token of tokens(chunks)) {
    if (wanted > 0) {
      taken.push(token);
      if (--wanted === 0) onTaken(taken);
      continue;
    }
    const text = token.toString("latin1").trimStart();
    if (text === "") continue;
    taken = [];
    if (text === marker) {
      if (commit !== null) yield commit;
      wanted = fieldCount;
      onTaken = (values) => {
        commit = commitOf(values.map((value) => value.toString("utf8")));
      };
    } else if (text.startsWith(":") && commit !== null) {
      const status = text.slice(text.lastIndexOf(" ") + 1)[0];
      const { changes } = commit;
      wanted = status === "R" || status === "C" ? 2 : 1;
      onTaken = (names) => changes.push({ status, path: names[names.length - 1], from: names.length === 2 ? names[0] : null });
    } else {
      throw new Error(`Cannot read the history: git printed ${JSON.stringify(text.slice(0, 80))}, a commit or a change is expected`);
    }
  }
  if (wanted > 0) throw new Error("Cannot read the history: git's output ends in the middle");
  if (commit !== null) yield commit;
}

function commitOf([hash, parents, author, email, time, subject]) {
  return { hash, parents: parents === "" ? [] : parents.split(" "), author, email, time, subject, changes: [] };
}

/** What stands between NULs, as buffers of their own. */
async function* tokens(chunks) {
  let rest = Buffer.alloc(0);
  for await (const chunk of chunks) {
    const bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    let start = 0;
    for (let end = bytes.indexOf(0); end >= 0; end = bytes.indexOf(0, start)) {
      yield bytes.subarray(start, end);
      start = end + 1;
    }
    rest = bytes.subarray(start);
  }
  if (rest.length > 0) yield rest;
}
