/**
 * Writes stores of the batpak 0.3 layout with one side and reads them with the other: this package and the original, through the small program in
 * `interop/`. Both must list the same events, key by key, and the original must open what we closed through our checkpoint.
 * Then stores that the original writes at random, from seeds, are read by every route and gone on with (`interop-random.mjs`).
 *
 *   npm run interop                                 a few seeds
 *   npm run interop -- --seeds 200 --first-seed 61  more of them; each is told where it fails, and its store is kept
 *
 * It needs cargo, and the crates that the program depends on. Where they cannot be had it says so and is skipped.
 */
import { spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { Store } from "../dist/index.js";
import { buildProgram, program } from "./interop-program.mjs";
import { compareRandom } from "./interop-random.mjs";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const cli = join(root, "dist", "cli", "main.js");
const RUN_MS_MAX = 60_000;
const SEEDS = 8;
const FIRST_SEED = 1;

/** The keys that both sides' dumps have. */
const KEYS = [
  "event_id",
  "correlation_id",
  "causation_id",
  "entity",
  "scope",
  "kind",
  "wall_ms",
  "clock",
  "prev_hash",
  "event_hash",
  "segment_id",
  "offset",
  "length",
  "global_sequence",
  "payload",
];

function build() {
  const started = performance.now();
  const missing = buildProgram();
  if (missing !== null) {
    console.log(`interop: skipped, ${missing}`);
    process.exit(0);
  }
  console.log(`interop: built in ${((performance.now() - started) / 1000).toFixed(1)} s`);
}

function run(command, args) {
  const result = spawnSync(command, args, { encoding: "utf8", timeout: RUN_MS_MAX, maxBuffer: 2 ** 28 });
  if (result.status !== 0) throw new Error(`${command} ${args.join(" ")} failed:\n${result.stderr}`);
  return result;
}

/** A string, or a number: numbers are compared by what they are worth, exactly, however they are written. */
const TOKEN = /"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;

function exact(token) {
  if (token.startsWith('"')) return token;
  const isWhole = /^-?\d+$/.test(token) || Number.isSafeInteger(Number(token));
  return `{"$number":"${isWhole ? BigInt(/^-?\d+$/.test(token) ? token : Number(token)) : Number(token)}"}`;
}

function rowsOf(text) {
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => {
      const row = JSON.parse(line.replace(TOKEN, exact));
      return JSON.stringify(KEYS.map((key) => [key, sorted(row[key])]));
    });
}

/** Members in one order: a dump may have them in any. */
function sorted(value) {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.keys(value)
      .sort()
      .map((key) => [key, sorted(value[key])]),
  );
}

/** What either side says is in a store. The original writes to a directory that it opens, so that it gets a copy. */
function dumps(directory) {
  const copy = `${directory}-copy`;
  rmSync(copy, { recursive: true, force: true });
  cpSync(directory, copy, { recursive: true });
  const original = run(program, ["dump", copy]);
  const route = /^route: (.*)$/m.exec(original.stderr)?.[1];
  return { route, theirs: rowsOf(original.stdout), ours: rowsOf(run(process.execPath, [cli, "dump", directory]).stdout) };
}

function compare(what, directory, { route: expected, events: count } = {}) {
  const { route, theirs, ours } = dumps(directory);
  for (let i = 0; i < Math.max(theirs.length, ours.length); i++) {
    if (theirs[i] !== ours[i]) throw new Error(`${what}: event ${i} differs:\n  original: ${theirs[i]}\n  ours:     ${ours[i]}`);
  }
  if (count !== undefined && ours.length !== count) throw new Error(`${what}: ${ours.length} events, there are ${count}`);
  if (expected !== undefined && route !== expected) throw new Error(`${what}: the original opened it by ${route}, not by ${expected}`);
  console.log(`interop: ${what}: ${ours.length} events, the same on both sides; the original opened by ${route}`);
}

const OPTIONS = { segmentBytesMax: 16_384 };
const names = ["user:1", "user:10", "日本語:東京", 'quote"back\\slash', "entity:4"];

function event(number) {
  const data = [
    { number, text: `event ${number}`, ratio: number / 3, big: 2n ** 64n - 1n - BigInt(number) },
    [number, null, "text", [true, {}]],
    [1, 2, 3],
    { empty: {} },
  ][number % 4];
  return { kind: [0x1001, 0x2002, 0xf003][number % 3], data };
}

/** Single appends, batches, keys and their retries, causes and expectations. */
async function append(store, from, count) {
  let last = null;
  for (let number = from; number < from + count; number++) {
    const coordinate = { entity: names[number % names.length], scope: ["acct", "🦇"][number % 2] };
    const options = { ...(last !== null && number % 3 === 0 ? { causedBy: last.id } : {}), idempotencyKey: `key ${number}` };
    last = await store.append(coordinate, event(number), options);
    if (number % 7 !== 0) continue;
    const again = await store.append(coordinate, event(number), options);
    if (again.id !== last.id) throw new Error(`A retry of event ${number} gave another receipt`);
    await store.append(coordinate, [event(number), event(number + 1), event(number + 2)], { expect: { clock: last.clock } });
  }
  return await store.count();
}

function wholeNumber(name, value, least) {
  if (!/^\d{1,9}$/.test(value) || Number(value) < least)
    throw new RangeError(`--${name} is ${value}, whole numbers from ${least} on are allowed`);
  return Number(value);
}

async function compareSeeds(first, count) {
  const scratch = mkdtempSync(join(tmpdir(), "batpak-interop-random-"));
  const { seeds, sessions, events, failed } = await compareRandom(program, scratch, first, count, { keepGoing: true });
  const what = `${seeds} random stores of the original from seed ${first} on: ${sessions} sessions, ${events} events`;
  // What differs is kept.
  if (failed > 0) throw new Error(`${what}; ${failed} of them differ, kept in ${scratch}`);
  rmSync(scratch, { recursive: true, force: true });
  console.log(`interop: ${what}, the same on both sides`);
}

async function main() {
  const { values } = parseArgs({
    options: { seeds: { type: "string", default: String(SEEDS) }, "first-seed": { type: "string", default: String(FIRST_SEED) } },
  });
  const seeds = wholeNumber("seeds", values.seeds, 0);
  const first = wholeNumber("first-seed", values["first-seed"], 1);
  build();
  const scratch = mkdtempSync(join(tmpdir(), "batpak-interop-"));
  try {
    const theirs = join(scratch, "theirs");
    run(program, ["write", theirs, "--events", "200"]);
    compare("written by the original", theirs, { route: "checkpoint" });
    run(program, ["write", theirs, "--events", "60"]);
    compare("written and opened again by the original", theirs, { route: "checkpoint" });
    let store = await Store.open(theirs, OPTIONS);
    let events = await append(store, 0, 100);
    await store.close();
    compare("gone on with by us", theirs, { route: "checkpoint", events });
    run(program, ["write", theirs, "--events", "40"]);
    compare("and once more by the original", theirs, { route: "checkpoint" });

    const abandoned = join(scratch, "abandoned");
    run(program, ["write", abandoned, "--events", "120", "--abandon"]);
    compare("abandoned by the original", abandoned);
    store = await Store.open(abandoned, OPTIONS);
    events = await append(store, 0, 10);
    await store.close();
    compare("abandoned by the original, gone on with by us", abandoned, { route: "checkpoint", events });

    const empty = join(scratch, "empty");
    store = await Store.open(empty, { layout: "batpak-0.3" });
    await store.close();
    compare("made by us, empty", empty, { route: "checkpoint", events: 0 });

    const ours = join(scratch, "ours");
    store = await Store.open(ours, { ...OPTIONS, layout: "batpak-0.3" });
    await append(store, 0, 200);
    await store.close();
    store = await Store.open(ours, OPTIONS);
    events = await append(store, 200, 100);
    const killed = join(scratch, "killed");
    cpSync(ours, killed, { recursive: true });
    rmSync(join(killed, "lock"));
    await store.close();
    compare("written and opened again by us", ours, { route: "checkpoint", events });
    rmSync(join(killed, "index.ckpt"));
    compare("written by us, without a close", killed, { route: "rebuild", events });
    run(program, ["write", ours, "--events", "50"]);
    compare("gone on with by the original", ours, { route: "checkpoint", events: events + 50 });
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
  if (seeds > 0) await compareSeeds(first, seeds);
}

await main();
