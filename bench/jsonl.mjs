/** What people do without a database: a line of JSON an event, appended and synced; reading is reading the file. It has no index at all. */
import fs from "node:fs";
import { promisify } from "node:util";
import { createInterface } from "node:readline";
import { kindOf, payloadOf } from "./workload.mjs";

const write = promisify(fs.write);
const sync = promisify(fs.fdatasync);

export class JsonLines {
  #descriptor;
  #path;

  constructor(path) {
    this.#path = path;
    this.#descriptor = fs.openSync(path, "a+");
  }

  async insertMany(coordinates, from, to) {
    let text = "";
    for (let number = from; number < to; number++) {
      const { entity, scope } = coordinates[number % coordinates.length];
      text += `${JSON.stringify({ entity, scope, kind: kindOf(number), time: Date.now(), data: payloadOf(number) })}\n`;
    }
    await write(this.#descriptor, text);
    await sync(this.#descriptor);
  }

  async *replay() {
    for await (const line of createInterface({ input: fs.createReadStream(this.#path) })) yield JSON.parse(line).data;
  }

  close() {
    fs.closeSync(this.#descriptor);
  }
}
