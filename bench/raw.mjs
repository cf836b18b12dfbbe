/** The floor: as many bytes written with the same call, to a file prepared the same way, without a store around it. */
import fs from "node:fs";
import { promisify } from "node:util";

const write = promisify(fs.write);
const MEGABYTE = 1024 * 1024;

export class RawFile {
  #descriptor;
  #position = 0;
  #prepared = 0;

  constructor(path) {
    fs.writeFileSync(path, "");
    this.#descriptor = fs.openSync(path, fs.constants.O_RDWR | (fs.constants.O_DSYNC ?? fs.constants.O_SYNC));
    this.path = path;
  }

  /** Lays out zeros, so that the writes to come are overwrites. */
  prepare(bytes) {
    const descriptor = fs.openSync(this.path, "r+");
    const zeros = new Uint8Array(MEGABYTE);
    for (; this.#prepared < this.#position + bytes; this.#prepared += MEGABYTE)
      fs.writeSync(descriptor, zeros, 0, MEGABYTE, this.#prepared);
    fs.fsyncSync(descriptor);
    fs.closeSync(descriptor);
  }

  async append(bytes) {
    const position = this.#position;
    this.#position += bytes.length;
    await write(this.#descriptor, bytes, 0, bytes.length, position);
  }

  close() {
    fs.closeSync(this.#descriptor);
  }
}
