/**
 * The pages of all index blocks that are held in memory, under one bound in bytes. A segment's pages stand in an array of its own, so that
 * finding one is an array access; a clock hand goes round over all of them and lets go of those not used since it last passed.
 *
 * Invariants:
 * 1. `bytes` is the sum over the pages held, and never more than `bytesMax`. A page larger than the bound is used, and not held.
 * 2. A page is in `#ring`, at its `place`, exactly when it is in its segment's array.
 * 3. A page's memory is never used again for another: who still looks at a page that was let go sees what it saw.
 */
import { assert } from "../base/assert.ts";

/** A page's data, as each kind of array. Not to be changed. */
export interface Page {
  readonly bytes: Buffer;
  readonly u16: Uint16Array;
  readonly u32: Uint32Array;
  readonly f64: Float64Array;
  /** Its number in its block. */
  readonly number: number;
  readonly owner: SegmentPages;
  /** Its place among the pages held; -1 when it is not held. */
  place: number;
  /** Whether it was used since the hand last passed. */
  used: boolean;
}

/** The pages held of one segment: made by `PageCache.segment`, and looked into by nobody else. */
export interface SegmentPages {
  readonly held: (Page | undefined)[];
}

/** What a page costs beyond its bytes: five objects and their bookkeeping. */
const PAGE_OVERHEAD_BYTES = 512;

export class PageCache {
  readonly bytesMax: number;
  #bytes = 0;
  #pagesLoaded = 0;
  readonly #ring: Page[] = [];
  #hand = 0;

  constructor(bytesMax: number) {
    this.bytesMax = bytesMax;
  }

  /** Bytes held now. */
  get bytes(): number {
    return this.#bytes;
  }

  /** How many pages are held now. */
  get pages(): number {
    return this.#ring.length;
  }

  /** How many pages were ever loaded. */
  get pagesLoaded(): number {
    return this.#pagesLoaded;
  }

  /** A place for the pages of one segment, numbered from 0. */
  segment(pageCount: number): SegmentPages {
    return { held: new Array<Page | undefined>(pageCount) };
  }

  /** The page, if it is held. */
  get(owner: SegmentPages, number: number): Page | undefined {
    const page = owner.held[number];
    if (page !== undefined) page.used = true;
    return page;
  }

  /** Takes a page that was just loaded, of which the first `dataBytes` bytes are data; the cache owns `memory` from now on. */
  put(owner: SegmentPages, number: number, memory: ArrayBuffer, dataBytes: number): Page {
    assert(owner.held[number] === undefined, "a page that is held is not loaded again");
    const page: Page = {
      bytes: Buffer.from(memory, 0, dataBytes),
      u16: new Uint16Array(memory, 0, dataBytes >>> 1),
      u32: new Uint32Array(memory, 0, dataBytes >>> 2),
      f64: new Float64Array(memory, 0, dataBytes >>> 3),
      number,
      owner,
      place: -1,
      used: true,
    };
    this.#pagesLoaded++;
    const size = costOf(page);
    if (size > this.bytesMax) return page;
    while (this.#bytes + size > this.bytesMax) this.#letOneGo();
    page.place = this.#ring.push(page) - 1;
    owner.held[number] = page;
    this.#bytes += size;
    return page;
  }

  /** Lets go of a page, if it is held. */
  letGo(page: Page): void {
    if (page.place >= 0) this.#remove(page);
  }

  /** Lets go of all pages of a segment. */
  drop(owner: SegmentPages): void {
    for (const page of owner.held) if (page !== undefined) this.#remove(page);
  }

  #letOneGo(): void {
    for (;;) {
      if (this.#hand >= this.#ring.length) this.#hand = 0;
      const page = this.#ring[this.#hand]!;
      if (!page.used) return this.#remove(page);
      page.used = false;
      this.#hand++;
    }
  }

  /** The last page of the ring takes the place of the one that goes. */
  #remove(page: Page): void {
    const last = this.#ring.pop()!;
    if (last !== page) {
      this.#ring[page.place] = last;
      last.place = page.place;
    }
    page.place = -1;
    page.owner.held[page.number] = undefined;
    this.#bytes -= costOf(page);
  }
}

function costOf(page: Page): number {
  return page.bytes.buffer.byteLength + PAGE_OVERHEAD_BYTES;
}
