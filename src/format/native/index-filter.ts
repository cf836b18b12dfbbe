/**
 * The filter over ids that the writer did not issue: a Bloom filter of 16 bits an id, in pages. The first tag chooses the page, so that
 * asking costs one page; the second, stepped by a multiple of the first, chooses the bits in it. An id that was never added passes
 * about once in 1,700 times.
 */
import { INDEX_BLOCK } from "./index-block-layout.ts";

/** Bits of a page, but of the only page of a small filter. */
export const FILTER_PAGE_BITS = INDEX_BLOCK.streamPageBytes * 8;

/** In fewer bits the probes of one id would meet those of any other too often. */
const BYTES_MIN = 64;

/** Length in bytes of a filter over `ids` ids: a multiple of 8, and of a whole page once it needs more than one. */
export function filterBytes(ids: number): number {
  if (ids === 0) return 0;
  const bytes = Math.max(BYTES_MIN, Math.ceil((ids * INDEX_BLOCK.filterBitsPerId) / 64) * 8);
  const page = INDEX_BLOCK.streamPageBytes;
  return bytes <= page ? bytes : Math.ceil(bytes / page) * page;
}

/** The page of the filter (of `pageCount`) that knows of ids with this tag. */
export function filterPage(tag: number, pageCount: number): number {
  return Math.floor((tag / 0x1_0000_0000) * pageCount);
}

/** How far it is from each of an id's bits to the next, of which the first stands at its second tag. */
export function filterStep(tag: number): number {
  return Math.imul(tag, 0x9e3779b1) | 1;
}

/** Adds an id to its page. */
export function filterAdd(page: Uint8Array, tag: number, tag2: number): void {
  const bits = page.length * 8;
  const step = filterStep(tag);
  for (let probe = 0; probe < INDEX_BLOCK.filterProbes; probe++) {
    const bit = ((tag2 + Math.imul(probe, step)) >>> 0) % bits;
    page[bit >>> 3]! |= 1 << (bit & 7);
  }
}

/** Whether an id may have been added to its page; false is certain. */
export function filterMayHold(page: Uint8Array, tag: number, tag2: number): boolean {
  const bits = page.length * 8;
  const step = filterStep(tag);
  for (let probe = 0; probe < INDEX_BLOCK.filterProbes; probe++) {
    const bit = ((tag2 + Math.imul(probe, step)) >>> 0) % bits;
    if ((page[bit >>> 3]! & (1 << (bit & 7))) === 0) return false;
  }
  return true;
}
