/** What comparing random stores of the original (`npm run interop`) has found. */
import assert from "node:assert/strict";
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, truncateSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { Store } from "../../src/index.ts";
import { FIXTURES_DIRECTORY } from "../support/batpak03-fixtures.ts";

const EXTRA_DIRECTORY = join(dirname(fileURLToPath(import.meta.url)), "../fixtures/batpak-0.3-extra");
const TRAILER_BYTES = 16;
const made: string[] = [];
after(() => made.forEach((directory) => rmSync(directory, { recursive: true, force: true })));

function newDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), "batpak03-"));
  made.push(directory);
  return directory;
}

function copyOf(directory: string): string {
  const copy = newDirectory();
  cpSync(directory, copy, { recursive: true });
  return copy;
}

function stripFooters(directory: string): void {
  for (const name of readdirSync(directory)) {
    const path = join(directory, name);
    const bytes = readFileSync(path);
    if (bytes.toString("latin1", bytes.length - 4) !== "SIDX") continue;
    truncateSync(path, Number(bytes.readBigUInt64LE(bytes.length - TRAILER_BYTES)));
  }
}

async function idsOf(directory: string): Promise<string[]> {
  const store = await Store.open(directory, { readOnly: true });
  try {
    return (await store.read().toArray()).map((event) => `${event.sequence} ${event.id}`);
  } finally {
    await store.close();
  }
}

async function problemsOf(directory: string): Promise<string[]> {
  const store = await Store.open(directory, { readOnly: true });
  try {
    return (await store.verify()).problems.map(({ code, message }) => `${code} ${message}`);
  } finally {
    await store.close();
  }
}

test("a batch over more than two segments is whole by every route, also where all footers are lost", async () => {
  const store = copyOf(join(EXTRA_DIRECTORY, "batch_segments"));
  const byCheckpoint = await idsOf(store);
  assert.equal(byCheckpoint.length, 9);
  rmSync(join(store, "index.ckpt"));
  assert.deepEqual(await idsOf(store), byCheckpoint);
  stripFooters(store);
  assert.deepEqual(await idsOf(store), byCheckpoint);
});

test("where a batch over several segments has no COMMIT, only what its process wrote is dropped", async () => {
  const store = copyOf(join(EXTRA_DIRECTORY, "batch_segments"));
  const whole = await idsOf(store);
  rmSync(join(store, "index.ckpt"));
  stripFooters(store);
  // Two single appends, BEGIN, three items: the process died there. What it leaves stands in the segments 1 to 6.
  for (const name of readdirSync(store)) if (Number.parseInt(name) > 6) rmSync(join(store, name));
  const left = await idsOf(store);
  assert.deepEqual(left.slice(0, 2), whole.slice(0, 2));
});

test("a header that was never written whole is a torn tail for verify, as it is for opening", async () => {
  const store = copyOf(join(FIXTURES_DIRECTORY, "tiny"));
  rmSync(join(store, "index.ckpt"));
  const next = join(store, "000002.fbat");
  cpSync(join(store, "000001.fbat"), next);
  truncateSync(next, 29);
  assert.equal(statSync(next).size, 29);
  assert.deepEqual(await problemsOf(store), []);
});
