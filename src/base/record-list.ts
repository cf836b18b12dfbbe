/**
 * Records of one length in flat memory, for lists of millions: a record costs its bytes and no object, and growing moves none but the first few thousand,
 * whose memory doubles: most lists are short. A record is words of 8 bytes each; a word is a number, or a part of bytes that take some words.
 */
import { startedWith } from "./column-bytes.ts";

const RECORDS_PER_CHUNK_SHIFT = 12;
const RECORDS_PER_CHUNK = 1 << RECORDS_PER_CHUNK_SHIFT;
/** The first chunk begins with so many. */
const RECORDS_MIN = 16;
const WORD_BYTES = 8;

export class RecordList {
  length = 0;
  readonly #words: number;
  readonly #numbers: Float64Array[] = [];
  readonly #bytes: Uint8Array[] = [];

  /** @param words how many a record has */
  constructor(words: number) {
    this.#words = words;
  }

  /** Adds a record of zeros; gives its place. */
  add(): number {
    const record = this.length++;
    if (record < RECORDS_PER_CHUNK) {
      const room = record < RECORDS_MIN ? RECORDS_MIN : record * 2;
      if (record === 0) this.#setChunk(0, new Float64Array(room * this.#words));
      else if (record * this.#words === this.#numbers[0].length)
        this.#setChunk(0, startedWith(new Float64Array(room * this.#words), this.#numbers[0]));
    } else if ((record & (RECORDS_PER_CHUNK - 1)) === 0) {
      this.#setChunk(record >>> RECORDS_PER_CHUNK_SHIFT, new Float64Array(RECORDS_PER_CHUNK * this.#words));
    }
    return record;
  }

  #setChunk(chunk: number, numbers: Float64Array): void {
    this.#numbers[chunk] = numbers;
    this.#bytes[chunk] = new Uint8Array(numbers.buffer);
  }

  number(record: number, word: number): number {
    return this.#numbers[record >>> RECORDS_PER_CHUNK_SHIFT][(record & (RECORDS_PER_CHUNK - 1)) * this.#words + word];
  }

  setNumber(record: number, word: number, value: number): void {
    this.#numbers[record >>> RECORDS_PER_CHUNK_SHIFT][(record & (RECORDS_PER_CHUNK - 1)) * this.#words + word] = value;
  }

  /** The bytes of the words from `word` on: a view for as long as nobody sets these or adds a record. */
  bytes(record: number, word: number, length: number): Uint8Array {
    const at = ((record & (RECORDS_PER_CHUNK - 1)) * this.#words + word) * WORD_BYTES;
    return this.#bytes[record >>> RECORDS_PER_CHUNK_SHIFT].subarray(at, at + length);
  }

  /** Sets the bytes of the words from `word` on to `length` ones of `source` at `from`. */
  setBytes(record: number, word: number, source: Uint8Array, from: number, length: number): void {
    const target = this.#bytes[record >>> RECORDS_PER_CHUNK_SHIFT];
    const at = ((record & (RECORDS_PER_CHUNK - 1)) * this.#words + word) * WORD_BYTES;
    for (let i = 0; i < length; i++) target[at + i] = source[from + i];
  }

  /** Below 0 where the bytes of the words from `word` on come before those of the other record, above 0 where behind. */
  compareBytes(one: number, other: number, word: number, length: number): number {
    const bytes = this.#bytes[one >>> RECORDS_PER_CHUNK_SHIFT];
    const otherBytes = this.#bytes[other >>> RECORDS_PER_CHUNK_SHIFT];
    const at = ((one & (RECORDS_PER_CHUNK - 1)) * this.#words + word) * WORD_BYTES;
    const otherAt = ((other & (RECORDS_PER_CHUNK - 1)) * this.#words + word) * WORD_BYTES;
    for (let i = 0; i < length; i++) {
      const difference = bytes[at + i] - otherBytes[otherAt + i];
      if (difference !== 0) return difference;
    }
    return 0;
  }
}
