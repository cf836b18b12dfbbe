/** Rows about opening, each in a process of its own: by checkpoint, after SIGKILL, by index blocks, by scanning frames. */
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { buildProgram, program } from "../scripts/interop-program.mjs";
import { makeBatpak03Store } from "./batpak03-store.mjs";

const CHILD = fileURLToPath(new URL("./opening-child.mjs", import.meta.url));

/** Opens the store in a process of its own; gives what that took. */
export function openInChild(dist, directory, ending, ...rest) {
  const { stdout, stderr } = spawnSync(process.execPath, [CHILD, dist, directory, ending, ...rest], { encoding: "utf8" });
  if (stdout === "") throw new Error(`Opening ${directory} failed: ${stderr}`);
  return JSON.parse(stdout);
}

function segmentFiles(directory) {
  return fs
    .readdirSync(directory)
    .filter((name) => name.endsWith(".fbat"))
    .toSorted()
    .map((name) => path.join(directory, name));
}

export function loseCheckpoint(directory) {
  fs.rmSync(path.join(directory, "index.ckpt"), { force: true });
}

/** Of an index block's trailer, the last bytes of its file (docs/format.md). */
const TRAILER = { bytes: 68, magic: "FBATIDX1" };

/** Spoils the trailer of every index block: each segment has one, but for a newest one that is not sealed. */
export function loseIndexBlocks(directory) {
  for (const file of segmentFiles(directory)) {
    const descriptor = fs.openSync(file, "r+");
    const { size } = fs.fstatSync(descriptor);
    const magic = Buffer.alloc(TRAILER.magic.length);
    fs.readSync(descriptor, magic, 0, magic.length, size - TRAILER.bytes);
    if (magic.toString("latin1") === TRAILER.magic) fs.writeSync(descriptor, new Uint8Array(16), 0, 16, size - 16);
    fs.closeSync(descriptor);
  }
}

/** A store of the batpak 0.3 layout, opened by its checkpoint: by us, read-only, and in turns by the original, where cargo can be had. */
export async function measureBatpak03({ dist, folder, rounds, events }) {
  const directory = path.join(folder, "batpak03");
  const checkpointBytes = await makeBatpak03Store({ directory, events });
  const files = new Set(fs.readdirSync(directory));
  const missing = buildProgram();
  if (missing !== null) process.stderr.write(`not beside the original: ${missing}\n`);
  const runs = [];
  const original = [];
  // The first is not counted: it brings the files into the page cache.
  for (let round = -1; round < Math.min(rounds, 5); round++) {
    const ours = openInChild(dist, directory, "read");
    const theirs = missing === null ? openByOriginal(directory) : null;
    // Opening makes a segment there, which is empty.
    for (const name of fs.readdirSync(directory)) if (!files.has(name)) fs.rmSync(path.join(directory, name));
    if (round < 0) continue;
    runs.push(ours);
    if (theirs !== null) original.push(theirs);
  }
  fs.rmSync(directory, { recursive: true });
  return { checkpointBytes, runs, original };
}

function openByOriginal(directory) {
  const { stdout, stderr } = spawnSync(program, ["open", directory], { encoding: "utf8" });
  if (stdout === "") throw new Error(`The original could not open ${directory}: ${stderr}`);
  return JSON.parse(stdout);
}

/** `directory` holds a store that was closed. */
export function measureOpening({ dist, folder, directory, rounds, events }) {
  const bytes = segmentFiles(directory).reduce((sum, file) => sum + fs.statSync(file).size, 0);
  const clean = Array.from({ length: rounds + 1 }, () => openInChild(dist, directory, "close")).slice(1);
  const blocks = Array.from({ length: 3 }, () => {
    loseCheckpoint(directory);
    return openInChild(dist, directory, "kill");
  });
  const scan = Array.from({ length: 2 }, () => {
    loseCheckpoint(directory);
    loseIndexBlocks(directory);
    return openInChild(dist, directory, "kill");
  });
  const killed = path.join(folder, "killed");
  openInChild(dist, killed, "fill", String(events));
  const afterKill = Array.from({ length: rounds }, () => openInChild(dist, killed, "kill"));
  return { bytes, clean, blocks, scan, afterKill };
}
