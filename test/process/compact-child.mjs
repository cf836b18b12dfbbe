// A process that compacts: `compact-child.mjs <package> <directory> <remainder>`. Prints "begin", and what it removed.
import { writeSync } from "node:fs";

const [entry = "", directory = "", remainder = "0"] = process.argv.slice(2);
const { compactStore } = await import(entry);
writeSync(1, "begin\n");
const { removedEvents } = await compactStore(directory, {
  keep: (event) => event.data.n % 3 !== Number(remainder),
  segmentBytesMax: 64 * 1024,
});
writeSync(1, `removed ${removedEvents}\n`);
