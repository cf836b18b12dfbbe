/**
 * npm run bench [-- --quick | --long] [--events N] [--only PART,PART] [--json FILE] [--plots DIR] [--dist DIR]
 *
 * Parts: appending, reading, long, queries, everyday, segments, projecting, following, stores, sizes, payloads, opening, batpak03,
 * pauses, compacting, history. `--long` takes history to 10,000,000 events.
 *
 * Prints what things cost as ratios within this run. Installs nothing: the rivals come by `npm ci --prefix bench`.
 */
import fs from "node:fs";
import { createRequire } from "node:module";
import os from "node:os";
import path from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { measureAppending } from "./appending.mjs";
import { measureCompacting } from "./compacting.mjs";
import { measureEveryday } from "./everyday.mjs";
import { measureFollowing } from "./following.mjs";
import { measureHistory } from "./history.mjs";
import { measureBatpak03, measureOpening } from "./opening.mjs";
import { measurePauses } from "./pauses.mjs";
import { measurePayloads } from "./payloads.mjs";
import { writePlots } from "./plots.mjs";
import { measureProjecting } from "./projecting.mjs";
import { measureQueries } from "./queries.mjs";
import { measureLongStream, measureReading } from "./reading.mjs";
import { printTable, rowsOf } from "./report.mjs";
import { measureSegments } from "./segments.mjs";
import { measureSizes } from "./sizes.mjs";
import { measureStores } from "./stores.mjs";

const here = path.dirname(fileURLToPath(import.meta.url));
const { values } = parseArgs({
  options: {
    quick: { type: "boolean", default: false },
    long: { type: "boolean", default: false },
    json: { type: "string" },
    plots: { type: "string" },
    only: { type: "string" },
    events: { type: "string" },
    dist: { type: "string", default: path.join(here, "..", "dist") },
  },
});

function prepared() {
  if (!fs.existsSync(path.join(values.dist, "index.js"))) return "npm run build";
  try {
    createRequire(import.meta.url).resolve("better-sqlite3");
    return null;
  } catch {
    return "npm ci --prefix bench";
  }
}

const missing = prepared();
if (missing !== null) {
  console.error(`Cannot run the benchmark: something is missing. Run this first: ${missing}`);
  process.exit(1);
}

const batpak = await import(pathToFileURL(path.resolve(values.dist, "index.js")));
const { quick, long } = values;
const events = values.events === undefined ? (quick ? 100_000 : 1_000_000) : Number(values.events);
const rounds = quick ? 3 : 7;
const folder = path.join(here, ".data");
fs.rmSync(folder, { recursive: true, force: true });
fs.mkdirSync(folder, { recursive: true });

const PARTS = [
  "appending",
  "reading",
  "long",
  "queries",
  "everyday",
  "segments",
  "projecting",
  "following",
  "stores",
  "sizes",
  "payloads",
  "opening",
  "batpak03",
  "pauses",
  "compacting",
  "history",
];
const parts = values.only === undefined ? PARTS : values.only.split(",");
const unknown = parts.filter((part) => !PARTS.includes(part));
if (unknown.length > 0) {
  console.error(`Cannot measure ${unknown.join(", ")}: the parts are ${PARTS.join(", ")}`);
  process.exit(1);
}
const input = { batpak, dist: path.resolve(values.dist), folder, rounds, quick, long, events };
const results = {};
if (parts.includes("appending")) results.appending = await step("appending", () => measureAppending(input));
if (parts.includes("reading") || parts.includes("opening")) results.reading = await step("reading", () => measureReading(input));
if (parts.includes("long")) results.long = await step("a long stream", () => measureLongStream(input));
if (parts.includes("queries")) results.queries = await step("queries", () => measureQueries(input));
if (parts.includes("everyday")) results.everyday = await step("everyday questions", () => measureEveryday(input));
if (parts.includes("segments")) results.segments = await step("streams among many segments", () => measureSegments(input));
if (parts.includes("projecting")) results.projecting = await step("projecting", () => measureProjecting(input));
if (parts.includes("following")) results.following = await step("following", () => measureFollowing(input));
if (parts.includes("stores")) results.stores = await step("many stores", () => measureStores(input));
if (parts.includes("sizes")) results.sizes = await step("sizes", () => measureSizes(input));
if (parts.includes("payloads")) results.payloads = await step("payloads", () => measurePayloads(input));
if (parts.includes("opening")) {
  results.opening = await step("opening", () => measureOpening({ ...input, directory: results.reading.directory }));
}
if (parts.includes("batpak03")) results.batpak03 = await step("the batpak 0.3 layout", () => measureBatpak03(input));
if (parts.includes("pauses")) results.pauses = await step("pauses", () => measurePauses(input));
if (parts.includes("compacting")) results.compacting = await step("compacting", () => measureCompacting(input));
if (parts.includes("history")) results.history = await step("history", () => measureHistory(input));

const machine = { cpus: os.cpus().length, node: process.version, system: `${os.type()} ${os.release()}`, events, rounds };
const rows = rowsOf(results, events);
printTable(rows, machine);
if (values.json !== undefined) fs.writeFileSync(values.json, `${JSON.stringify({ machine, rows, results }, null, 2)}\n`);
if (values.plots !== undefined) writePlots({ machine, rows, results }, values.plots);
fs.rmSync(folder, { recursive: true, force: true });

async function step(name, work) {
  process.stderr.write(`measuring ${name} …\n`);
  return await work();
}
