/** Turns results into rows of "what, how much, what it must be", and prints them as a Markdown table. */
import { median, ratio } from "./measure.mjs";

const number = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

function times(part, name, rival, must, what) {
  const { median: middle, least, most } = ratio(part, name, rival);
  const rate = number.format(median(part[name]));
  const measured = `${middle.toFixed(2)}x ${rival} (${least.toFixed(2)} to ${most.toFixed(2)})`;
  return { what, measured, absolute: `${rate}/s; ${rival} ${number.format(median(part[rival]))}/s`, must: `${must}x`, met: middle >= must };
}

/** `values` in one unit, of which less is better. */
function atMost(what, values, unit, must) {
  const middle = median(values);
  const spread = values.length > 1 ? ` (${Math.min(...values).toFixed(1)} to ${Math.max(...values).toFixed(1)})` : "";
  const met = must === null ? null : middle <= must;
  return {
    what,
    measured: `${middle.toFixed(middle < 10 ? 2 : 0)} ${unit}${spread}`,
    absolute: "",
    must: must === null ? "" : `${must} ${unit}`,
    met,
  };
}

export function rowsOf({ appending, reading, long, opening, pauses }, events) {
  const rows = [];
  if (appending !== undefined) {
    const { batched, flying, singly } = appending;
    rows.push(times(batched, "batpak", "sqlite", 8, "batches of 1,000, synced, 4 in flight"));
    rows.push(times(flying, "batpak", "sqlite", 20, "64 appends in flight, synced, against single commits"));
    rows.push(times(flying, "batpak", "raw", 0.7, "64 appends in flight, against raw groups of 64"));
    rows.push(times(singly, "batpak", "raw", 0.85, "one append at a time, against raw"));
    rows.push(times(singly, "batpak", "sqlite", 0.9, "one append at a time, against the rival's"));
  }
  if (reading !== undefined) {
    rows.push(times(reading.got, "batpak", "sqlite", 3, "get by id, random, warm"));
    rows.push(times(reading.streamed, "batpak", "sqlite", 3, "one entity's stream"));
    rows.push(times(reading.replayed, "batpak", "sqlite", 5, "replay everything, decoded, in batches"));
    rows.push(times(reading.replayed, "batpak one by one", "sqlite", 5, "the same, event by event"));
  }
  if (long !== undefined) {
    rows.push(atMost("first 10 events of one entity with all", [long.first], "ms", 1));
    rows.push(atMost("10 events from its middle", [long.middle], "ms", 1));
  }
  if (opening !== undefined) {
    const ms = (runs) => runs.map((run) => run.milliseconds);
    const route = (runs) => [...new Set(runs.map((run) => run.route))].join(", ");
    rows.push(atMost(`open after a clean close (${route(opening.clean)})`, ms(opening.clean), "ms", 15));
    rows.push(atMost(`open after SIGKILL (${route(opening.afterKill)})`, ms(opening.afterKill), "ms", 250));
    rows.push(atMost(`open without a checkpoint (${route(opening.blocks)})`, ms(opening.blocks), "ms", null));
    rows.push(atMost(`open without checkpoint and index (${route(opening.scan)})`, ms(opening.scan), "ms", null));
    const faster = median(ms(opening.scan)) / median(ms(opening.blocks));
    rows.push({
      what: "index blocks against a frame scan",
      measured: `${faster.toFixed(1)}x`,
      absolute: "",
      must: "10x at 10,000,000",
      met: null,
    });
    rows.push(
      atMost(
        "process memory after opening",
        opening.clean.map((run) => run.rssMB),
        "MB",
        110,
      ),
    );
    rows.push(
      atMost(
        "of which before opening (Node and the code)",
        opening.clean.map((run) => run.rssBeforeMB),
        "MB",
        null,
      ),
    );
    rows.push(atMost("bytes on disk per event, names and payload included", [opening.bytes / events], "bytes", null));
  }
  for (const [call, pauseMs] of Object.entries(pauses ?? {})) rows.push(atMost(`longest pause: ${call}`, [pauseMs], "ms", 50));
  return rows;
}

export function printTable(rows, machine) {
  console.log(
    `${machine.cpus} cores, Node ${machine.node}, ${machine.system}; ${number.format(machine.events)} events, medians of ${machine.rounds} rounds\n`,
  );
  console.log("| work | measured | rates | must | met |\n| --- | --- | --- | --- | --- |");
  for (const { what, measured, absolute, must, met } of rows) {
    console.log(`| ${what} | ${measured} | ${absolute} | ${must} | ${met === null ? "" : met ? "yes" : "**no**"} |`);
  }
}
