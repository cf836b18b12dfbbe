// A program that is run anew when it is changed: `watched-child.mjs <package> <directory>`. Opens the store, appends one event, and never closes it; prints
// "open" and how many events there are, or the error's code.

import { writeSync } from "node:fs";

const [entry = "", directory = ""] = process.argv.slice(2);
const { Store } = await import(entry);
let said;
try {
  const store = await Store.open(directory);
  await store.append({ entity: "watched", scope: "test" }, { kind: 0x1000, data: process.pid });
  said = `open ${await store.count()}`;
} catch (error) {
  said = error.code;
}
writeSync(1, `${said}\n`);
setInterval(() => {}, 1000);
