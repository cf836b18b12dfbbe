// How much the tests tried, told by what they print: "12 crash states tried, 7 distinct disks", "5 damaged stores tried", …

/** What is counted, and how a line tells of it. Each stands in `docs/crash-safety.md`. */
const KINDS = [
  ["crash states", /(\d+) crash states tried/g],
  ["distinct disks", /(\d+) distinct disks/g],
  ["damaged stores", /(\d+) damaged stores tried/g],
  ["failing operations", /(\d+) failing operations tried/g],
  ["fuzz inputs", /(\d+) fuzz inputs tried/g],
];

/** The sums over all that was printed, by kind. */
export function triedIn(text) {
  return new Map(KINDS.map(([kind, pattern]) => [kind, [...text.matchAll(pattern)].reduce((sum, [, count]) => sum + Number(count), 0)]));
}

/** One line of it; empty where nothing was tried. */
export function triedLine(tried) {
  const parts = [...tried].filter(([, count]) => count > 0).map(([kind, count]) => `${count} ${kind}`);
  return parts.length === 0 ? "" : `tried in all: ${parts.join(", ")}`;
}

/** A reporter for Node's test runner: at the end, what all files together tried. */
export default async function* reportTried(events) {
  let text = "";
  for await (const { data, type } of events) if (type === "test:stdout" || type === "test:diagnostic") text += `${data.message}\n`;
  const line = triedLine(triedIn(text));
  if (line !== "") yield `\n${line}\n`;
}
