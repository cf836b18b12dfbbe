// Appends commits and their changes to a store.
//
// A commit is an event of its author's stream, each file changed in it an event of that file's stream, caused by the commit. Both are
// keyed by the commit's hash: appending them again gives the first receipts and writes nothing, also after a run that was cut short.

import { createHash } from "node:crypto";

/** Commits whose appends are in flight together: the store commits them in groups of its own. */
const commitsInFlight = 256;
/** Changes in one atomic batch. A commit with more takes several. */
const changesPerBatch = 1000;
const nameBytesMax = 1000;
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** A file's name as text; the bytes in percent form where they are no UTF-8. */
export function fileName(bytes) {
  try {
    return utf8.decode(bytes);
  } catch {
    return `bytes:${bytes.toString("latin1").replace(/[^\x20-\x7e]|%/g, (c) => `%${c.charCodeAt(0).toString(16).padStart(2, "0")}`)}`;
  }
}

/** A stream's name: at most what the store takes, told apart by a hash where it had to be cut. */
export function entityName(kind, name) {
  const full = `${kind}:${name.toWellFormed()}`;
  if (Buffer.byteLength(full) <= nameBytesMax) return full;
  const hash = createHash("sha256").update(full).digest("hex").slice(0, 32);
  return `${Buffer.from(full)
    .subarray(0, 800)
    .toString("utf8")
    .replace(/\uFFFD$/, "")}…${hash}`;
}

/** The events that the demo writes. */
export function defineDemoEvents({ defineEvent, type }) {
  return { Committed: defineEvent("Committed", { schema: type() }), FileChanged: defineEvent("FileChanged", { schema: type() }) };
}

/**
 * Appends a history, several commits in flight. `without` holds the commits whose changes cannot be known.
 * Gives how many commits and changes it went through, whether they were new or not.
 */
export async function importHistory(store, events, history, { scope, without = new Set() }) {
  const counts = { commits: 0, changes: 0 };
  let group = [];
  let previous = Promise.resolve();
  const flush = async () => {
    const commits = group;
    group = [];
    const receipts = await Promise.all(commits.map((commit) => appendCommit(store, events, commit, scope)));
    await previous;
    // In the order of the commits, so that each file's stream tells its changes in theirs. They may still be in flight when the next
    // group of commits is read and appended.
    const batches = commits.flatMap((commit, i) => changeBatches(events, commit, scope, receipts[i].id));
    previous = Promise.all(batches.map((batch) => store.appendBatch(batch)));
    previous.catch(() => {});
  };
  for await (const commit of history) {
    const known = without.has(commit.hash) ? { ...commit, changes: [] } : commit;
    counts.commits += 1;
    counts.changes += known.changes.length;
    group.push(known);
    if (group.length === commitsInFlight) await flush();
  }
  await flush();
  await previous;
  return counts;
}

function authorOf(commit) {
  return (commit.author || commit.email || "nobody").toWellFormed();
}

function appendCommit(store, { Committed }, commit, scope) {
  const author = authorOf(commit);
  // Neither parents nor the number of changes: a shallow clone knows them for some commits only, and may be deepened later.
  const data = { hash: commit.hash, author, email: commit.email.toWellFormed(), time: commit.time, subject: commit.subject.toWellFormed() };
  return store.append({ entity: entityName("author", author), scope }, Committed(data), { idempotencyKey: commit.hash });
}

function changeBatches({ FileChanged }, commit, scope, causedBy) {
  const author = authorOf(commit);
  const merge = commit.parents.length > 1;
  const items = commit.changes.map(({ status, path, from }) => {
    const name = fileName(path);
    const data = { path: name, status, author, merge, ...(from === null ? {} : { from: fileName(from) }) };
    return { coordinate: { entity: entityName("file", name), scope }, event: FileChanged(data), idempotencyKey: commit.hash, causedBy };
  });
  const batches = [];
  for (let at = 0; at < items.length; at += changesPerBatch) batches.push(items.slice(at, at + changesPerBatch));
  return batches;
}
