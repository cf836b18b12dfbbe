/**
 * Where events were found by their ids lately: one line of memory each, where the way through a long store's index touches half a dozen. Only
 * a guess: whoever takes it compares the id in the frame.
 *
 * Invariant: what is given was found in the segment with this id and this generation at this position. A segment of the same id and generation
 * has the same frames in the same rows, unless damage took some of them: then everything is forgotten.
 */
import type { RowPlace, SegmentEntry } from "./store-index.ts";

/** Powers of two: 8 KiB of memory at the first note, four times as much after as many notes, 512 KiB at the most. */
const SLOTS_MIN = 256;
const SLOTS_MAX = 16_384;
const WORDS_PER_SLOT = 8;
const TAG = 0;
const POSITION = 1;
const SEGMENT_ID = 2;
const GENERATION = 3;
const ROW = 4;
const OFFSET = 5;
const BYTES_MAX = 6;

export interface RecentRow extends RowPlace {
  readonly offset: number;
  /** How long the frame is at the most. */
  readonly bytesMax: number;
}

export class RecentRows {
  #words = new Uint32Array(0);
  #slots = 0;
  /** Notes since there are so many slots. */
  #notes = 0;

  /** The row noted last for this tag (never 0), if `segments` still has its segment. */
  find(tag: number, segments: readonly SegmentEntry[]): RecentRow | null {
    const words = this.#words;
    const slot = (tag & (this.#slots - 1)) * WORDS_PER_SLOT;
    if (words[slot + TAG] !== tag) return null;
    const segment = segments[words[slot + POSITION]];
    if (segment === undefined || segment.id !== words[slot + SEGMENT_ID] || segment.generation !== words[slot + GENERATION]) return null;
    return { segment, row: words[slot + ROW], offset: words[slot + OFFSET], bytesMax: words[slot + BYTES_MAX] };
  }

  /** Notes a row; numbers that do not fit are not noted. */
  note(tag: number, position: number, { segment, row, offset, bytesMax }: RecentRow): void {
    if (segment.id > 0xffff_ffff || segment.generation > 0xffff_ffff || !(bytesMax >= 0 && bytesMax <= 0xffff_ffff)) return;
    if (this.#notes++ === this.#slots && this.#slots < SLOTS_MAX) this.#grow();
    const words = this.#words;
    const slot = (tag & (this.#slots - 1)) * WORDS_PER_SLOT;
    words[slot + TAG] = tag;
    words[slot + POSITION] = position;
    words[slot + SEGMENT_ID] = segment.id;
    words[slot + GENERATION] = segment.generation;
    words[slot + ROW] = row;
    words[slot + OFFSET] = offset;
    words[slot + BYTES_MAX] = bytesMax;
  }

  /** Rows are others than they were. */
  forget(): void {
    this.#words.fill(0);
  }

  #grow(): void {
    const before = this.#words;
    this.#slots = Math.max(SLOTS_MIN, this.#slots * 4);
    this.#notes = 1;
    this.#words = new Uint32Array(this.#slots * WORDS_PER_SLOT);
    for (let at = 0; at < before.length; at += WORDS_PER_SLOT) {
      if (before[at + TAG] === 0) continue;
      const slot = (before[at + TAG] & (this.#slots - 1)) * WORDS_PER_SLOT;
      this.#words.set(before.subarray(at, at + WORDS_PER_SLOT), slot);
    }
  }
}
