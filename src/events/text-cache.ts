/**
 * Texts that were decoded before, found by the bytes that they are written with: what comes again costs a comparison of words instead of a
 * new string. Bounded: texts of 1 to 32 ASCII characters, one for each slot, the last one noted.
 */
const SLOTS_BITS = 12;
const WORDS_PER_SLOT = 8;

/** The longest text that is held, in bytes. */
export const CACHED_BYTES_MAX = WORDS_PER_SLOT * 4;

/**
 * Of the texts that were not there one in four is noted, drawn by lot: what comes once should not drive out what comes again, and counting
 * could always meet the same member of objects of one shape.
 */
const LOT_SHIFT = 30;

/** A text that is held pays for so many that are not. */
const CREDIT_OF_ONE = 2;
const CREDIT_MAX = 128;
/** One in so many texts is looked for where it is not worth it. */
const LOOKED_FOR_EACH = 16;

export class TextCache {
  readonly #texts: string[] = Array.from({ length: 1 << SLOTS_BITS }, () => "");
  /** The bytes of each text, in words of four, the last one padded with zeros. */
  readonly #words = new Uint32Array(WORDS_PER_SLOT << SLOTS_BITS);
  #lot = 0;
  /** By length: how often texts were held of late, from 0 to `CREDIT_MAX`. */
  readonly #credits = new Uint8Array(CACHED_BYTES_MAX + 1).fill(CREDIT_MAX);
  #passedBy = 0;

  /**
   * Whether texts of this length are worth looking for: where they hardly ever come again, as with ids and prose, looking costs a third of
   * making them. Some are looked for all the same, so that it shows when that changes.
   */
  isWorth(length: number): boolean {
    if (this.#credits[length] !== 0) return true;
    this.#passedBy = (this.#passedBy + 1) % LOOKED_FOR_EACH;
    return this.#passedBy === 0;
  }

  /** The text whose bytes are the `length` ones at `at`; null where it is not held. `length` is from 1 to `CACHED_BYTES_MAX`. */
  find(bytes: Uint8Array, view: DataView, at: number, length: number): string | null {
    const text = this.#find(bytes, view, at, length);
    const credit = this.#credits[length];
    if (text === null) {
      if (credit > 0) this.#credits[length] = credit - 1;
    } else if (credit < CREDIT_MAX) this.#credits[length] = Math.min(credit + CREDIT_OF_ONE, CREDIT_MAX);
    return text;
  }

  #find(bytes: Uint8Array, view: DataView, at: number, length: number): string | null {
    const slot = slotOf(bytes, view, at, length);
    const words = this.#words;
    let word = slot * WORDS_PER_SLOT;
    let index = at;
    for (const stop = at + length - 4; index <= stop; index += 4) if (words[word++] !== view.getUint32(index, true)) return null;
    const odd = length & 3;
    if (odd !== 0 && words[word] !== oddWord(bytes, index, odd)) return null;
    // Last: the words lie side by side, the text somewhere.
    const text = this.#texts[slot];
    return text.length === length ? text : null;
  }

  /** Notes that `text` is what the `length` bytes at `at` say, `length` as in `find`. Only ASCII is held, and not each text. */
  note(text: string, bytes: Uint8Array, view: DataView, at: number, length: number): void {
    this.#lot = (Math.imul(this.#lot, 1_664_525) + 1_013_904_223) | 0;
    if (text.length !== length || this.#lot >>> LOT_SHIFT !== 0) return;
    const slot = slotOf(bytes, view, at, length);
    this.#texts[slot] = text;
    let word = slot * WORDS_PER_SLOT;
    let index = at;
    for (const stop = at + length - 4; index <= stop; index += 4) this.#words[word++] = view.getUint32(index, true);
    if ((length & 3) !== 0) this.#words[word] = oddWord(bytes, index, length & 3);
  }
}

/** The last one to three bytes of a text as a word. */
function oddWord(bytes: Uint8Array, at: number, count: number): number {
  let word = bytes[at];
  if (count > 1) word |= bytes[at + 1] << 8;
  if (count > 2) word |= bytes[at + 2] << 16;
  return word;
}

/** The first and the last eight bytes decide: names often differ in one character alone, as `item_11` and `item_21` do. */
function slotOf(bytes: Uint8Array, view: DataView, at: number, length: number): number {
  if (length < 4) return Math.imul(oddWord(bytes, at, length) ^ (length << 24), 0x9e37_79b1) >>> (32 - SLOTS_BITS);
  const end = at + length;
  let mixed = Math.imul(view.getUint32(at, true) ^ length, 0x85eb_ca6b) ^ view.getUint32(end - 4, true);
  if (length > 8) {
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0xc2b2_ae35) ^ view.getUint32(at + 4, true);
    if (length > 12) mixed = Math.imul(mixed ^ (mixed >>> 13), 0x27d4_eb2f) ^ view.getUint32(end - 8, true);
  }
  return Math.imul(mixed ^ (mixed >>> 16), 0x9e37_79b1) >>> (32 - SLOTS_BITS);
}
