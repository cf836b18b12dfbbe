// The demo, with the package passed in: the script gives it the build, the test what is in src.

import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import path from "node:path";
import { performance } from "node:perf_hooks";
import { findRepository, readHistory, shallowCommits } from "./git-history.mjs";
import { defineDemoEvents, importHistory } from "./import-history.mjs";

const shippedHistory = new URL("./shipped-history.jsonl", import.meta.url);
const topCount = 5;

/**
 * Runs the demo; true when the store verified.
 *
 * @param {typeof import("batpak")} batpak
 * @param {{ projectRoot: string, repository?: string, dataFolder?: string, print: (line: string) => void }} options
 */
export async function runDemo(batpak, { projectRoot, repository, dataFolder = path.join(projectRoot, ".demo"), print }) {
  const source = chooseSource(projectRoot, repository, print);
  const directory = path.join(dataFolder, source.store);
  const events = defineDemoEvents(batpak);
  const options = { events: Object.values(events) };

  const store = await batpak.Store.open(directory, options);
  let verified;
  try {
    await importAndTell(store, events, source, print);
    await tellWhoChangedWhat(store, events, print);
    verified = await verifyAndTell(store, print);
  } finally {
    await store.close();
  }

  const reopened = await batpak.Store.open(directory, options);
  const { route, milliseconds } = reopened.openReport;
  const { events: eventCount } = await reopened.stats();
  await reopened.close();
  print(`reopened   ${number(eventCount)} events in ${milliseconds.toFixed(1)} ms, route: ${route}`);
  print(`the store  ${path.relative(process.cwd(), directory) || "."}`);
  return verified;
}

/** Where the history comes from. A path that was asked for must hold a repository; without one, what is shipped will do. */
function chooseSource(projectRoot, repository, print) {
  const folder = path.resolve(repository ?? projectRoot);
  const found =
    repository === undefined && !existsSync(path.join(folder, ".git")) ? { reason: "there is no .git here" } : findRepository(folder);
  if ("reason" in found) {
    if (repository !== undefined)
      throw new Error(`Cannot import ${repository}: ${found.reason}, a git repository with a commit is allowed`);
    print(`note       ${found.reason}: importing the small history that comes with the demo`);
    return { name: "shipped history", store: "shipped-history", history: readShippedHistory(), without: new Set() };
  }
  const without = found.isShallow ? shallowCommits(folder) : new Set();
  if (found.isShallow) {
    print(
      `note       a shallow clone: what it has is imported, without the changes of the ${number(without.size)} commits it was cut off at`,
    );
  }
  if (found.partial) print("note       a partial clone: only renames of unchanged files are seen");
  const place = createHash("sha256").update(found.root).digest("hex").slice(0, 8);
  const storeName = `${found.name.replace(/[^\w.-]/g, "_").slice(0, 60)}-${place}`;
  return { name: found.name, store: storeName, history: readHistory(folder, { partial: found.partial }), without };
}

function* readShippedHistory() {
  for (const line of readFileSync(shippedHistory, "utf8").split("\n")) {
    if (line === "") continue;
    const commit = JSON.parse(line);
    const bytes = (name) => Buffer.from(name, "utf8");
    const changes = commit.changes.map(([status, name, from]) => ({
      status,
      path: bytes(name),
      from: from === undefined ? null : bytes(from),
    }));
    yield { ...commit, changes };
  }
}

async function importAndTell(store, events, source, print) {
  const before = await store.stats();
  const startMs = performance.now();
  const { commits, changes } = await importHistory(store, events, source.history, {
    scope: `repository:${source.name}`,
    without: source.without,
  });
  const seconds = (performance.now() - startMs) / 1000;
  const after = await store.stats();
  const added = after.events - before.events;
  print(`imported   ${source.name}: ${number(commits)} commits, ${number(changes)} changes in ${seconds.toFixed(2)} s`);
  print(
    `added      ${number(added)} events in ${number(after.commits)} synced groups${added === 0 ? " (all of it was here already)" : ""}`,
  );
}

async function tellWhoChangedWhat(store, { Committed, FileChanged }, print) {
  const commitsOf = new Map();
  for await (const batch of store.read({ kind: Committed }).batches()) for (const { data } of batch) increase(commitsOf, data.author);
  const changesOf = new Map();
  const authorsOf = new Map();
  for await (const batch of store.read({ kind: FileChanged }).batches()) {
    for (const { data } of batch) {
      // A merge's changes were made, and are counted, where they were committed first.
      if (data.merge) continue;
      increase(changesOf, data.author);
      if (!authorsOf.has(data.path)) authorsOf.set(data.path, new Map());
      increase(authorsOf.get(data.path), data.author);
    }
  }
  print("");
  print("who changed most (merges not counted)");
  for (const [author, changes] of top(changesOf)) print(row(changes, `${show(author)}, in ${number(commitsOf.get(author) ?? 0)} commits`));
  print("what was changed most, and by whom");
  const total = (authors) => [...authors.values()].reduce((sum, count) => sum + count, 0);
  const files = new Map([...authorsOf].map(([file, authors]) => [file, total(authors)]));
  for (const [file, changes] of top(files)) {
    const [author, most] = top(authorsOf.get(file))[0];
    print(row(changes, `${show(file)}, ${number(most)} of them by ${show(author)}`));
  }
  print("");
}

async function verifyAndTell(store, print) {
  const startMs = performance.now();
  const { ok, events, entities, problems } = await store.verify();
  const seconds = (performance.now() - startMs) / 1000;
  print(
    `verified   ${number(events)} events, the chains of ${number(entities)} entities, in ${seconds.toFixed(2)} s: ${ok ? "all good" : "NOT GOOD"}`,
  );
  for (const problem of problems.slice(0, 10)) print(`           ${problem.code}: ${problem.message}`);
  return ok;
}

function increase(counts, key) {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}

/** The highest counts; of equal ones, the first by name. */
function top(counts) {
  return [...counts].sort(([one, a], [other, b]) => b - a || (one < other ? -1 : 1)).slice(0, topCount);
}

function row(count, text) {
  return `${number(count).padStart(9)}  ${text}`;
}

function number(value) {
  return value.toLocaleString("en");
}

/** Text from a repository, without what a terminal would obey. */
function show(text) {
  // oxlint-disable-next-line no-control-regex
  return text.replace(/[\u0000-\u001f\u007f-\u009f]/g, "?").slice(0, 120);
}
