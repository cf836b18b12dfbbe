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

  /** Lays out zeros, so that all writes are overwrites. */
  prepare(bytes) {
    const descriptor = fs.openSync(this.path, "r+");
    const zeros = new Uint8Array(MEGABYTE);
    for (; this.#prepared < bytes; this.#prepared += MEGABYTE) fs.writeSync(descriptor, zeros, 0, MEGABYTE, this.#prepared);
    fs.fsyncSync(descriptor);
    fs.closeSync(descriptor);
  }

  /** Begins again at the front where what was laid out is used up: an overwrite as well. */
  async append(bytes) {
    if (this.#position + bytes.length > this.#prepared) this.#position = 0;
    const position = this.#position;
    this.#position += bytes.length;
    await write(this.#descriptor, bytes, 0, bytes.length, position);
  }

  close() {
    fs.closeSync(this.#descriptor);
  }
}
