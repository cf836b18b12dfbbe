/** Small ids that were met, in the order in which they were first. */
import { startedWith } from "../base/column-bytes.ts";

export class SeenIds {
  /** 1 for each that was met. */
  #seen = new Uint8Array(64);
  readonly ids: number[] = [];

  has(id: number): boolean {
    return this.#seen[id] === 1;
  }

  note(id: number): void {
    if (this.#seen[id] !== 1) this.#add(id);
  }

  #add(id: number): void {
    if (id >= this.#seen.length) this.#seen = startedWith(new Uint8Array(Math.max(id + 1, this.#seen.length * 2)), this.#seen);
    this.#seen[id] = 1;
    this.ids.push(id);
  }
}
