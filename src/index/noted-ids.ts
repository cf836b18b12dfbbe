/**
 * What a segment's index block holds of its ids beyond their tags, noted while rows are added: each entity's last id, and `idTag2` of the ids
 * that the writer did not issue. What is not noted has to be read back from the frames, which takes a hundred times as long.
 *
 * Invariant: what is given was noted for the very row that is asked for.
 */
import { idTag2 } from "./id-tag.ts";

const ID_BYTES = 16;
/** Of an entity: its last id, and the row that has it and one. */
const ENTRY_BYTES = ID_BYTES + 4;

export class NotedIds {
  #entries = new DataView(new ArrayBuffer(0));
  /** By row; 0 where nothing was noted. */
  #foreignTags = new Uint32Array(0);

  get memoryBytes(): number {
    return this.#entries.byteLength + this.#foreignTags.byteLength;
  }

  /** Notes the 16 bytes at `at`: the id of `row`, which is the last of its entity's. */
  note(row: number, ordinal: number, isForeign: boolean, view: DataView, at: number): void {
    const entry = ordinal * ENTRY_BYTES;
    if (entry >= this.#entries.byteLength) this.#growEntries(ordinal + 1);
    const entries = this.#entries;
    for (let i = 0; i < ID_BYTES; i += 4) entries.setUint32(entry + i, view.getUint32(at + i));
    entries.setUint32(entry + ID_BYTES, row + 1);
    if (isForeign) this.#noteForeign(row, idTag2(view, at));
  }

  #noteForeign(row: number, tag: number): void {
    if (row >= this.#foreignTags.length) {
      const grown = new Uint32Array(Math.max(1024, row + 1, this.#foreignTags.length * 2));
      grown.set(this.#foreignTags);
      this.#foreignTags = grown;
    }
    this.#foreignTags[row] = tag;
  }

  /** Writes the id of `row` to `target`, where it was noted as its entity's last; tells whether it was. */
  copyLast(row: number, ordinal: number, target: Uint8Array, offset: number): boolean {
    const entry = ordinal * ENTRY_BYTES;
    const entries = this.#entries;
    if (entry >= entries.byteLength || entries.getUint32(entry + ID_BYTES) !== row + 1) return false;
    for (let i = 0; i < ID_BYTES; i++) target[offset + i] = entries.getUint8(entry + i);
    return true;
  }

  /** `idTag2` of the id of `row`; 0 where none was noted. */
  foreignTag(row: number): number {
    return this.#foreignTags[row] ?? 0;
  }

  #growEntries(ordinals: number): void {
    const bytes = new Uint8Array(Math.max(64 * ENTRY_BYTES, ordinals * ENTRY_BYTES, this.#entries.byteLength * 2));
    bytes.set(new Uint8Array(this.#entries.buffer));
    this.#entries = new DataView(bytes.buffer);
  }
}
