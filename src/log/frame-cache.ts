/**
 * Pages of segment files that single frames were read from more than once, so that reading from them again asks nothing of the system. Where
 * memory is full, the page that came first makes room.
 *
 * Invariants:
 * 1. Pages never leave: bytes are copied out. So their memory is used again, and an event that is kept pins none of it.
 * 2. A page may be older than its file, whose end grows: whoever finds no right frame in what was copied must read the file itself.
 * 3. What was loaded of a segment whose file was replaced is dropped with `forget`.
 * 4. A frame is checked once for as long as its page is held: `isChecked`.
 * 5. A page may hold more than was visible when it was loaded, whole frames too, and another process may cut that and write others in its place,
 *    right ones at the same offsets. So a reader drops the page where its view ended before it shows more (`FrameSource.goesOn`).
 */
import { assert } from "../base/assert.ts";
import { grownColumn, startedWith } from "../base/column-bytes.ts";
import { uninitializedBytes } from "../base/uninitialized.ts";
import type { SegmentFiles } from "./segment-files.ts";

const PAGE_SHIFT = 12;
const PAGE_BYTES = 1 << PAGE_SHIFT;
/** Memory is taken this many pages at a time, as it is needed. */
const CHUNK_SHIFT = 5;
const CHUNK_PAGES = 1 << CHUNK_SHIFT;
/** Slots of the table that are looked at for a page. */
const WAYS = 4;
const BYTES_MAX = 64 * 1024 * 1024;
const NOTHING = -1;
/** No frame is shorter, so that mostly no more than one begins in so many bytes. */
const CHECKED_SHIFT = 7;
const CHECKED_BYTES = 1 << CHECKED_SHIFT;
const CHECKED_PER_PAGE = PAGE_BYTES / CHECKED_BYTES;
const ASKED_SHIFT = 16;
const ASKED_SLOTS = 1 << (32 - ASKED_SHIFT);
/** Tables have room for so many pages at first, and twice as many each time. */
const PAGES_MIN = 64;
/** Hashes of pages that were asked for and not held, of all stores of the process: a quarter of a megabyte is much for a small one. */
let asked: Uint32Array | null = null;
let caches = 0;

export class FrameCache {
  readonly #files: SegmentFiles;
  readonly #pagesMax: number;
  readonly #chunks: Uint8Array[] = [];
  /** Per page in memory: which one it is, and how many of its bytes the file had. */
  #segmentIds = new Uint32Array(0);
  #numbers = new Uint32Array(0);
  #lengths = new Uint16Array(0);
  /** By a hash of segment and number, in groups of `WAYS`: places in memory, perhaps of another page by now. */
  #table = new Int32Array(0);
  #tableMask = 0;
  /** Per page and `CHECKED_BYTES` of it: where in them a frame begins that was checked, from 1; 0 for none. */
  #checked = new Uint8Array(0);
  #next = 0;
  #count = 0;
  /** Where `copy` found what it copied last. */
  #lastPlace = NOTHING;
  #lastWithin = 0;
  /** Tells this store's pages from those of others among what was asked for. */
  readonly #salt = Math.imul(caches++, 0x632b_e5ab);
  /** Pages loaded so far. */
  pagesLoaded = 0;

  /** @param bytesMax the most memory that pages take; no more than 64 MiB is ever used */
  constructor(files: SegmentFiles, bytesMax: number) {
    this.#files = files;
    this.#pagesMax = Math.floor(Math.min(bytesMax, BYTES_MAX) / PAGE_BYTES);
  }

  /** Bytes of pages held now. */
  get bytes(): number {
    return this.#count * PAGE_BYTES;
  }

  /**
   * Copies bytes from `offset` of a segment on, `length` of them or as many as its page has.
   *
   * @returns how many; 0 where the page is not held, and is not worth it yet
   */
  copy(segmentId: number, offset: number, length: number, target: Uint8Array, at: number): number {
    const number = Math.floor(offset / PAGE_BYTES);
    // A forged header may name any place.
    if (this.#pagesMax === 0 || number > 0xffff_ffff) return 0;
    const within = offset - number * PAGE_BYTES;
    let place = this.#find(segmentId, number);
    if (place === NOTHING) {
      if (!this.#wasAsked(segmentId, number)) return 0;
      place = this.#load(segmentId, number);
    }
    const count = Math.min(length, this.#lengths[place] - within);
    this.#lastPlace = place;
    this.#lastWithin = within;
    if (count <= 0) return 0;
    const from = (place & (CHUNK_PAGES - 1)) * PAGE_BYTES + within;
    target.set(this.#chunks[place >>> CHUNK_SHIFT].subarray(from, from + count), at);
    return count;
  }

  /** Whether the frame that begins where bytes were last copied from was checked since its page was loaded. */
  get isChecked(): boolean {
    const within = this.#lastWithin;
    return this.#checked[this.#lastPlace * CHECKED_PER_PAGE + (within >>> CHECKED_SHIFT)] === (within & (CHECKED_BYTES - 1)) + 1;
  }

  /** Notes that a whole, right frame lies there, all of it in this page. */
  noteChecked(): void {
    const within = this.#lastWithin;
    this.#checked[this.#lastPlace * CHECKED_PER_PAGE + (within >>> CHECKED_SHIFT)] = (within & (CHECKED_BYTES - 1)) + 1;
  }

  /** Whether the page was asked for lately: one that is asked for once is not worth four kilobytes. */
  #wasAsked(segmentId: number, number: number): boolean {
    asked ??= new Uint32Array(ASKED_SLOTS);
    const tag = (Math.imul(Math.imul(segmentId + this.#salt, 0x9e3779b1) ^ number, 0x85ebca6b) | 1) >>> 0;
    const slot = tag >>> ASKED_SHIFT;
    if (asked[slot] === tag) return true;
    asked[slot] = tag;
    return false;
  }

  /** Drops the page that holds this byte: the file has more, or other bytes, by now. */
  drop(segmentId: number, offset: number): void {
    if (this.#count === 0) return;
    const place = this.#find(segmentId, Math.floor(offset / PAGE_BYTES));
    if (place !== NOTHING) this.#segmentIds[place] = 0;
  }

  /** Drops everything of a segment. */
  forget(segmentId: number): void {
    for (let place = 0; place < this.#count; place++) if (this.#segmentIds[place] === segmentId) this.#segmentIds[place] = 0;
  }

  #group(segmentId: number, number: number): number {
    const hash = Math.imul(Math.imul(segmentId, 0x9e3779b1) ^ number, 0x85ebca6b);
    return (hash ^ (hash >>> 15)) & this.#tableMask & ~(WAYS - 1);
  }

  #find(segmentId: number, number: number): number {
    if (this.#count === 0) return NOTHING;
    const table = this.#table;
    const group = this.#group(segmentId, number);
    for (let way = group; way < group + WAYS; way++) {
      const place = table[way] - 1;
      if (place >= 0 && this.#numbers[place] === number && this.#segmentIds[place] === segmentId) return place;
    }
    return NOTHING;
  }

  #load(segmentId: number, number: number): number {
    assert(segmentId > 0 && segmentId <= 0xffff_ffff && number <= 0xffff_ffff, "a page's names fit");
    const place = this.#next;
    if (place === this.#numbers.length) this.#growTables();
    const chunk = (this.#chunks[place >>> CHUNK_SHIFT] ??= uninitializedBytes(Math.min(CHUNK_PAGES, this.#pagesMax - place) * PAGE_BYTES));
    // Nothing is there until the read has succeeded.
    this.#segmentIds[place] = 0;
    this.#checked.fill(0, place * CHECKED_PER_PAGE, (place + 1) * CHECKED_PER_PAGE);
    const from = (place & (CHUNK_PAGES - 1)) * PAGE_BYTES;
    this.#lengths[place] = this.#files.file(segmentId).readSync(chunk, from, PAGE_BYTES, number * PAGE_BYTES);
    this.#segmentIds[place] = segmentId;
    this.#numbers[place] = number;
    this.#next = place + 1 === this.#pagesMax ? 0 : place + 1;
    this.#count = Math.max(this.#count, place + 1);
    this.pagesLoaded++;
    this.#enter(place, this.#group(segmentId, number));
    return place;
  }

  #enter(place: number, group: number): void {
    const table = this.#table;
    let way = group + (place & (WAYS - 1));
    for (let free = group; free < group + WAYS; free++) {
      const other = table[free] - 1;
      const stale = other < 0 || this.#segmentIds[other] === 0 || this.#group(this.#segmentIds[other], this.#numbers[other]) !== group;
      if (stale) {
        way = free;
        break;
      }
    }
    table[way] = place + 1;
  }

  #growTables(): void {
    const pages = Math.min(Math.max(PAGES_MIN, this.#numbers.length * 2), this.#pagesMax);
    this.#segmentIds = grownColumn(this.#segmentIds, pages);
    this.#numbers = grownColumn(this.#numbers, pages);
    this.#lengths = startedWith(new Uint16Array(pages), this.#lengths);
    this.#checked = startedWith(new Uint8Array(pages * CHECKED_PER_PAGE), this.#checked);
    let size = WAYS;
    // Mostly empty, so that few pages drive each other out.
    while (size < Math.min(pages * 16, this.#pagesMax * 2)) size *= 2;
    this.#table = new Int32Array(size);
    this.#tableMask = size - 1;
    for (let place = 0; place < this.#count; place++) {
      if (this.#segmentIds[place] !== 0) this.#enter(place, this.#group(this.#segmentIds[place], this.#numbers[place]));
    }
  }
}
