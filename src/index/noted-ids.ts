/**
 * What a segment's index block holds of its ids beyond their tags, noted while rows are added: each entity's last id, and `idTag2` of the ids
 * that the writer did not issue. What is not noted has to be read back from the frames, which takes a hundred times as long.
 *
 * Invariant: what is given was noted for the very row that is asked for.
 */
import { idTag2 } from "./id-tag.ts";

const ID_WORDS = 4;
/** Of an entity: its last id, as its bytes lie, and the row that has it and one. */
const ENTRY_WORDS = ID_WORDS + 1;

export class NotedIds {
  #entries = new Uint32Array(0);
  /** `#entries`, for copying ids. */
  #bytes = new Uint8Array(0);
  /** By row; 0 where nothing was noted. */
  #foreignTags = new Uint32Array(0);

  get memoryBytes(): number {
    return this.#entries.byteLength + this.#foreignTags.byteLength;
  }

  /** Notes the 16 bytes at `at`: the id of `row`, which is the last of its entity's. */
  note(row: number, ordinal: number, view: DataView, at: number): void {
    const entry = ordinal * ENTRY_WORDS;
    if (entry >= this.#entries.length) this.#growEntries(ordinal + 1);
    this.#entries[entry + ID_WORDS] = row + 1;
    for (let word = 0; word < ID_WORDS; word++) this.#entries[entry + word] = view.getUint32(at + word * 4, true);
  }

  /** Notes of `row`, whose id at `at` the writer did not issue. */
  noteForeign(row: number, view: DataView, at: number): void {
    if (row >= this.#foreignTags.length) {
      const grown = new Uint32Array(Math.max(1024, row + 1, this.#foreignTags.length * 2));
      grown.set(this.#foreignTags);
      this.#foreignTags = grown;
    }
    this.#foreignTags[row] = idTag2(view, at);
  }

  /** Writes the id of `row` to `target`, where it was noted as its entity's last; tells whether it was. */
  copyLast(row: number, ordinal: number, target: Uint8Array, offset: number): boolean {
    const entry = ordinal * ENTRY_WORDS;
    if (this.#entries[entry + ID_WORDS] !== row + 1) return false;
    for (let i = 0; i < ID_WORDS * 4; i++) target[offset + i] = this.#bytes[entry * 4 + i];
    return true;
  }

  /** `idTag2` of the id of `row`; 0 where none was noted. */
  foreignTag(row: number): number {
    return this.#foreignTags[row] ?? 0;
  }

  #growEntries(ordinals: number): void {
    const entries = new Uint32Array(Math.max(64 * ENTRY_WORDS, ordinals * ENTRY_WORDS, this.#entries.length * 2));
    entries.set(this.#entries);
    this.#entries = entries;
    this.#bytes = new Uint8Array(entries.buffer);
  }
}
