/** Verifying and showing stores of the batpak 0.3 layout, and frames larger than the window they are read through. */
import assert from "node:assert/strict";
import { cpSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { crc32 } from "node:zlib";
import { nodeDisk } from "../../src/disk/node-disk.ts";
import { isStoreError, rawEvent, Store } from "../../src/index.ts";
import { fixtureNames, FIXTURES_DIRECTORY, loadFixture } from "../support/batpak03-fixtures.ts";
import { batpak } from "../cli/run-cli.ts";
import { hooked } from "../store/support/hooked-disk.ts";
import { newDirectory } from "../support/new-directory.ts";

function copyOf(name: string): string {
  const directory = newDirectory();
  cpSync(join(FIXTURES_DIRECTORY, name), directory, { recursive: true });
  return directory;
}

async function codesOf(directory: string): Promise<string[]> {
  const store = await Store.open(directory, { readOnly: true });
  const { problems } = await store.verify();
  await store.close();
  return [...new Set(problems.map((problem) => problem.code))].sort();
}

/** Changes a byte of a frame's body, and makes its CRC right again. */
function changeFrame(directory: string, row: { offset: number; length: number }, at: (frame: Buffer) => number): void {
  const file = join(directory, "000001.fbat");
  const bytes = readFileSync(file);
  const frame = bytes.subarray(row.offset, row.offset + row.length);
  frame[at(frame)] ^= 1;
  frame.writeUInt32BE(crc32(frame.subarray(8)), 4);
  writeFileSync(file, bytes);
}

test("the original's stores verify; where it left them wrong, that is told", async () => {
  for (const name of fixtureNames()) {
    const wrong: Record<string, string[]> = { batch_rotate: ["INDEX_MISMATCH", "INDEX_UNUSABLE"], ckpt_badcrc: ["CHECKPOINT_MISMATCH"] };
    assert.deepEqual(await codesOf(copyOf(name)), wrong[name] ?? [], name);
  }
});

/** The first integer of one byte in an array of bytes: changing it leaves MessagePack whole. */
function smallInteger(frame: Buffer, start: number): number {
  let at = start;
  while (frame[at] === 0xcc) at += 2;
  return at;
}

test("changed payloads, hashes, clocks and times are found although every CRC is right", async () => {
  const row = loadFixture("unclean").rows[4];
  const places: [string, (frame: Buffer) => number, RegExp][] = [
    ["payload", (frame) => smallInteger(frame, frame.indexOf("\u00a7payload", 0, "latin1") + 8 + 3), /HASH_MISMATCH/],
    ["event hash", (frame) => smallInteger(frame, frame.lastIndexOf("event_hash") + 10 + 3), /HASH_MISMATCH/],
    ["previous hash", (frame) => smallInteger(frame, frame.lastIndexOf("prev_hash") + 9 + 3), /CHAIN_BROKEN/],
    ["clock", (frame) => frame.indexOf("\u00a8sequence", 0, "latin1") + 9, /LOST_EVENTS|CLOCK_GAP/],
  ];
  for (const [what, at, code] of places) {
    const directory = copyOf("unclean");
    changeFrame(directory, row, at);
    assert.match((await codesOf(directory)).join(), code, what);
  }
});

test("an entry of the checkpoint that says otherwise than its frame is found", async () => {
  const directory = copyOf("multi");
  const file = join(directory, "index.ckpt");
  const bytes = readFileSync(file);
  const wallMs = bytes.indexOf("\u00a7wall_ms", bytes.length >> 1, "latin1") + 8;
  bytes[wallMs + 8] ^= 1;
  bytes.writeUInt32LE(crc32(bytes.subarray(12)), 8);
  writeFileSync(file, bytes);
  assert.deepEqual(await codesOf(directory), ["CHECKPOINT_MISMATCH"]);
});

test("a damaged store is verified beside refreshes, each of which reads it anew", async () => {
  const directory = copyOf("unclean");
  const file = join(directory, "000001.fbat");
  const bytes = readFileSync(file);
  bytes[loadFixture("unclean").rows[3].offset + 60] ^= 1;
  writeFileSync(file, bytes);
  let store: Store | null = null;
  let isInside = false;
  // Verifying asks for this file first. A refresh does so too: one that was begun by verifying cannot wait for the next one.
  const slow = hooked(nodeDisk, async (when, operation, path) => {
    if (store === null || isInside || when !== "after" || operation !== "status" || !path.endsWith("conversion.jsonl")) return;
    isInside = true;
    await Promise.race([store.refresh(), new Promise((later) => setTimeout(later, 50))]);
    isInside = false;
  });
  const opened = await Store.open(directory, { readOnly: true, disk: slow });
  const alone = await opened.verify();
  assert.equal(alone.ok, false);
  store = opened;
  assert.deepEqual(await opened.verify(), alone);
  store = null;
  const verifying = opened.verify();
  await opened.close();
  await assert.rejects(verifying, (error) => isStoreError(error, "CLOSED"));
});

test("checkpoint show prints every entry of a version 2 checkpoint", async () => {
  for (const name of ["multi", "empty"]) {
    const { out, code } = await batpak(["checkpoint", "show", join(FIXTURES_DIRECTORY, name, "index.ckpt"), "--json"]);
    assert.equal(code, 0);
    const shown = JSON.parse(out) as { version: number; interner_strings: string[]; entries: Record<string, unknown>[] };
    const { rows } = loadFixture(name);
    assert.equal(shown.version, 2);
    assert.deepEqual(
      shown.entries.map((entry) => [entry.event_id, shown.interner_strings[entry.entity_id as number], entry.offset, entry.event_hash]),
      rows.map((row) => [row.event_id, row.entity, row.offset, row.event_hash]),
    );
  }
});

test("frames larger than the window are read, and found behind damage", async () => {
  const directory = newDirectory();
  const writer = await Store.open(directory, { layout: "batpak-0.3" });
  const coordinate = { entity: "big:1", scope: "s" };
  const sizes = [10, 1_500_000, 20, 3_000_000, 30];
  for (const size of sizes) await writer.append(coordinate, rawEvent(0xf001, { text: "x".repeat(size) }));
  await writer.close();
  rmSync(join(directory, "index.ckpt"));
  const store = await Store.open(directory, { readOnly: true });
  assert.equal(store.openReport.route, "footers");
  assert.deepEqual(
    (await store.read().toArray()).map((event) => (event.data as { text: string }).text.length),
    sizes,
  );
  assert.equal((await store.verify()).ok, true);
  await store.close();
  const file = join(directory, "000001.fbat");
  const bytes = readFileSync(file);
  bytes[2_000] ^= 1;
  writeFileSync(file, bytes);
  const damaged = await Store.open(directory, { readOnly: true });
  assert.equal(damaged.openReport.problems.length, 1);
  assert.deepEqual(
    (await damaged.read().toArray()).map((event) => [event.sequence, (event.data as { text: string }).text.length]),
    sizes.map((size, sequence) => [sequence, size]).filter(([sequence]) => sequence !== 1),
  );
  await damaged.close();
});
