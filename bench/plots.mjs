/** Pictures of a report, as SVG files: throughput beside the rivals', and what things cost as the history grows. Takes a report, measures nothing. */
import fs from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { median } from "./measure.mjs";

const COLORS = { batpak: "#1b6ac9", sqlite: "#b0793a", lmdb: "#6a8f3c", raw: "#8a8a8a", "JSON lines": "#a35aa8" };
const FONT = 'font-family="system-ui, sans-serif" font-size="13" fill="#333"';
const number = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

/** Writes the pictures that the report has results for; returns their names. */
export function writePlots({ results, machine }, folder) {
  fs.mkdirSync(folder, { recursive: true });
  const pictures = {};
  const { appending, reading, history } = results;
  if (appending !== undefined) {
    const groups = { "batches of 1,000": appending.batched, "64 in flight": appending.flying, "one at a time": appending.singly };
    pictures["append-throughput.svg"] = bars("Durable events a second (logarithmic)", groups, machine);
  }
  if (reading !== undefined) {
    const groups = { "get by id": reading.got, "one stream": reading.streamed, "replay everything": reading.replayed };
    pictures["read-throughput.svg"] = bars("Events read and decoded a second (logarithmic)", groups, machine);
  }
  if (history !== undefined) pictures["cost-by-history.svg"] = lines("Cost against the number of events (logarithmic)", history, machine);
  for (const [name, svg] of Object.entries(pictures)) fs.writeFileSync(path.join(folder, name), svg);
  return Object.keys(pictures);
}

function frame(width, height, title, machine, body) {
  const note = `${machine.cpus} cores, Node ${machine.node}, ${number.format(machine.events)} events, medians of ${machine.rounds} rounds`;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" role="img" aria-label="${title}">
<rect width="${width}" height="${height}" fill="#fff"/>
<text x="16" y="24" ${FONT} font-weight="bold">${title}</text>
${body}
<text x="16" y="${height - 10}" ${FONT} font-size="11" fill="#777">${note}</text>
</svg>
`;
}

function bars(title, groups, machine) {
  const parts = [];
  const rates = Object.values(groups).flatMap((group) => Object.values(group).map(median));
  const least = 10 ** Math.floor(Math.log10(Math.min(...rates)));
  const most = Math.max(...rates);
  const length = (rate) => 8 + (Math.log10(rate / least) / Math.log10(most / least)) * 420;
  let y = 44;
  for (const [what, group] of Object.entries(groups)) {
    parts.push(`<text x="16" y="${y + 14}" ${FONT}>${what}</text>`);
    y += 22;
    for (const [name, values] of Object.entries(group)) {
      const rate = median(values);
      const color = COLORS[name] ?? "#6c9fdc";
      parts.push(`<text x="130" y="${y + 13}" ${FONT} font-size="12" text-anchor="end">${name}</text>`);
      parts.push(`<rect x="138" y="${y}" width="${length(rate).toFixed(1)}" height="17" fill="${color}"/>`);
      parts.push(`<text x="${(146 + length(rate)).toFixed(1)}" y="${y + 13}" ${FONT} font-size="12">${number.format(rate)}</text>`);
      y += 21;
    }
    y += 10;
  }
  return frame(680, y + 28, title, machine, parts.join("\n"));
}

const SERIES = [
  ["getMicros", "get, µs", "#1b6ac9"],
  ["batchMicros", "append in batches, µs an event", "#6a8f3c"],
  ["appendMicros", "append alone, µs", "#b0793a"],
  ["openMs", "open after a clean close, ms", "#a35aa8"],
];

function lines(title, history, machine) {
  const sizes = Object.keys(history).map(Number);
  const valueOf = (size, figure) =>
    history[size].rounds[figure] === undefined ? history[size][figure] : median(history[size].rounds[figure]);
  const values = SERIES.flatMap(([figure]) => sizes.map((size) => valueOf(size, figure)));
  const bottom = Math.floor(Math.log10(Math.min(...values)));
  const top = Math.ceil(Math.log10(Math.max(...values)));
  const x = (size) => 70 + ((Math.log10(size) - Math.log10(sizes[0])) / Math.max(1, Math.log10(sizes.at(-1) / sizes[0]))) * 420;
  const y = (value) => 300 - ((Math.log10(value) - bottom) / (top - bottom)) * 240;
  const parts = [];
  for (let power = bottom; power <= top; power++) {
    parts.push(`<line x1="70" y1="${y(10 ** power)}" x2="490" y2="${y(10 ** power)}" stroke="#ddd"/>`);
    parts.push(`<text x="62" y="${y(10 ** power) + 4}" ${FONT} text-anchor="end">${10 ** power}</text>`);
  }
  for (const size of sizes) parts.push(`<text x="${x(size)}" y="320" ${FONT} text-anchor="middle">${number.format(size)}</text>`);
  for (const [figure, label, color] of SERIES) {
    const points = sizes.map((size) => `${x(size).toFixed(1)},${y(valueOf(size, figure)).toFixed(1)}`);
    parts.push(`<polyline points="${points.join(" ")}" fill="none" stroke="${color}" stroke-width="2"/>`);
    const last = sizes.at(-1);
    parts.push(`<text x="${x(last) + 8}" y="${y(valueOf(last, figure)) + 4}" ${FONT} font-size="12" style="fill:${color}">${label}</text>`);
  }
  return frame(720, 360, title, machine, parts.join("\n"));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [report, folder] = process.argv.slice(2);
  if (folder === undefined) {
    console.error("Usage: node bench/plots.mjs REPORT.json FOLDER");
    process.exit(1);
  }
  for (const name of writePlots(JSON.parse(fs.readFileSync(report, "utf8")), folder)) console.log(path.join(folder, name));
}
