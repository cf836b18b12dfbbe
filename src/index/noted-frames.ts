/**
 * What a segment's index block holds of its frames beyond the columns, noted while rows are added: hash and id of each entity's last event, and
 * `idTag2` of the ids that the writer did not issue. What is not noted has to be read back from the frames, which takes a hundred times as long.
 *
 * Invariant: what is given was noted for the very row that is asked for.
 */
import { grownColumn } from "../base/column-bytes.ts";
import { idTag2 } from "./id-tag.ts";

const HASH_WORDS = 8;
const ID_WORDS = 4;
/** Of an entity's last event: hash and id, as their bytes lie, and its row and one. */
const ENTRY_WORDS = HASH_WORDS + ID_WORDS + 1;
const ROW = HASH_WORDS + ID_WORDS;

export class NotedFrames {
  #entries = new Uint32Array(0);
  /** `#entries`, for copying. */
  #bytes = new Uint8Array(0);
  /** By row; 0 where nothing was noted. */
  #foreignTags = new Uint32Array(0);

  /** Notes the event of `row`, which is the last of its entity's: 16 bytes of its id, 32 of its hash. */
  noteLast(row: number, ordinal: number, view: DataView, idAt: number, hashAt: number): void {
    const entry = this.#entryFor(row, ordinal);
    const entries = this.#entries;
    for (let word = 0; word < HASH_WORDS; word++) entries[entry + word] = view.getUint32(hashAt + word * 4, true);
    for (let word = 0; word < ID_WORDS; word++) entries[entry + HASH_WORDS + word] = view.getUint32(idAt + word * 4, true);
  }

  /** The same from words, 8 of the hash and 4 of the id. */
  noteLastWords(row: number, ordinal: number, words: Uint32Array, from: number): void {
    const entry = this.#entryFor(row, ordinal);
    const entries = this.#entries;
    for (let word = 0; word < ROW; word++) entries[entry + word] = words[from + word];
  }

  /** Where the entry of this entity begins, which from now on is of `row`. */
  #entryFor(row: number, ordinal: number): number {
    const entry = ordinal * ENTRY_WORDS;
    if (entry >= this.#entries.length) this.#growEntries(ordinal + 1);
    this.#entries[entry + ROW] = row + 1;
    return entry;
  }

  /** Notes of `row`, whose id at `at` the writer did not issue. */
  noteForeign(row: number, view: DataView, at: number): void {
    const tags = this.#foreignTags;
    if (row >= tags.length) this.#foreignTags = grownColumn(tags, Math.max(1024, row + 1, tags.length * 2));
    this.#foreignTags[row] = idTag2(view, at);
  }

  /** Writes hash and id of `row`'s event to `target`, 48 bytes, where it was noted as its entity's last; tells whether it was. */
  copyLast(row: number, ordinal: number, target: Uint8Array, offset: number): boolean {
    const entry = ordinal * ENTRY_WORDS;
    if (this.#entries[entry + ROW] !== row + 1) return false;
    for (let i = 0; i < ROW * 4; i++) target[offset + i] = this.#bytes[entry * 4 + i];
    return true;
  }

  /** `idTag2` of the id of `row`; 0 where none was noted. */
  foreignTag(row: number): number {
    return this.#foreignTags[row] ?? 0;
  }

  #growEntries(ordinals: number): void {
    const entries = grownColumn(this.#entries, Math.max(64 * ENTRY_WORDS, ordinals * ENTRY_WORDS, this.#entries.length * 2));
    this.#entries = entries;
    this.#bytes = new Uint8Array(entries.buffer);
  }
}
