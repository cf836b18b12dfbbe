/**
 * Which segments may hold an id that the writer did not issue: a key's, which is nowhere in the store for the most part, so that all of them have
 * to be asked. What that costs is to grow little with the number of segments: the filters of eight sealed segments are held side by side, bit by
 * bit. The bytes of such a slice are the bits of a filter's page, and the bits of each byte are the segments, so that asking eight touches as
 * many lines of memory as asking one. (Bit-sliced signature files.)
 *
 * Invariants:
 * 1. Each segment that may hold such an id is in `others` or in one of `groups`, once `follow` has been called. A segment of which events were
 *    lost is in `others`.
 * 2. A slice is made of pages that are held, and never changes, as its segments do not. Slices are held by the page cache in place of these
 *    pages, and are as large. Where there is none, each segment is asked for itself.
 */
import { FILTER_PAGE_BITS, filterPage, filterStep } from "../format/native/index-filter.ts";
import { INDEX_BLOCK } from "../format/native/index-block-layout.ts";
import type { Page, PageCache, SegmentPages } from "./page-cache.ts";
import { SealedSegmentIndex } from "./sealed-segment-index.ts";
import type { SegmentEntry } from "./store-index.ts";

/** As many as a byte has bits. */
const GROUP_SEGMENTS = 8;
/** Making a slice takes half a millisecond: as long as so many questions without one. No two are made within so many. */
const QUESTIONS_PER_SLICE = 1024;
const NO_SEGMENTS: readonly SegmentEntry[] = [];

export class ForeignIds {
  /** Segments to be asked for themselves, newest first. */
  others: SegmentEntry[] = [];
  /** Newest first. */
  groups: FilterGroup[] = [];
  /** A segment's index is another one than it was. */
  isStale = true;
  #revision: symbol | null = null;
  #segments = 0;
  readonly #pace = { questions: 0 };

  /** Takes up what has become of the store's segments. */
  follow(segments: readonly SegmentEntry[], revision: symbol): void {
    if (!this.isStale && segments.length === this.#segments && revision === this.#revision) return;
    this.isStale = false;
    this.#segments = segments.length;
    this.#revision = revision;
    const there = new Set(segments);
    const kept: FilterGroup[] = [];
    const grouped = new Set<SegmentEntry>();
    for (const group of this.groups) {
      if (!group.holdsFor(there)) {
        group.release();
        continue;
      }
      kept.push(group);
      for (const segment of group.segments) grouped.add(segment);
    }
    /** By pages of the filter: segments that are no eight yet. */
    const gathered = new Map<number, GroupedSegment[]>();
    for (const segment of segments) {
      const { index } = segment;
      if (grouped.has(segment) || segment.lost !== undefined || !(index instanceof SealedSegmentIndex) || !hasWholePages(index)) continue;
      const some = gathered.get(index.filterPages) ?? [];
      some.push({ segment, index });
      gathered.set(index.filterPages, some);
      if (some.length < GROUP_SEGMENTS) continue;
      gathered.delete(index.filterPages);
      kept.push(new FilterGroup(some, this.#pace));
      for (const member of some) grouped.add(member.segment);
    }
    this.groups = kept.sort((one, other) => other.newestId - one.newestId);
    this.others = segments.filter((segment) => !grouped.has(segment) && mayHoldAny(segment)).reverse();
  }
}

/** A filter of less than a page has as many bits as it happens to have: no two are alike. */
function hasWholePages(index: SealedSegmentIndex): boolean {
  return index.filterBytes >= INDEX_BLOCK.streamPageBytes;
}

function mayHoldAny({ index, lost }: SegmentEntry): boolean {
  return lost !== undefined || !(index instanceof SealedSegmentIndex) || index.filterPages > 0;
}

interface GroupedSegment {
  readonly segment: SegmentEntry;
  readonly index: SealedSegmentIndex;
}

/** Eight sealed segments with filters of as many pages. */
export class FilterGroup {
  readonly segments: readonly SegmentEntry[];
  readonly newestId: number;
  readonly #members: readonly GroupedSegment[];
  readonly #pace: { questions: number };
  readonly #pageCount: number;
  readonly #cache: PageCache;
  readonly #slices: SegmentPages;

  constructor(members: readonly GroupedSegment[], pace: { questions: number }) {
    this.segments = members.map(({ segment }) => segment);
    this.newestId = members[members.length - 1].segment.id;
    this.#members = members;
    this.#pace = pace;
    const [{ index }] = members;
    this.#pageCount = index.filterPages;
    this.#cache = index.cache;
    this.#slices = this.#cache.segment(this.#pageCount);
  }

  /** Whether its segments are still there, and as they were. */
  holdsFor(segments: ReadonlySet<SegmentEntry>): boolean {
    return this.#members.every(({ segment, index }) => segments.has(segment) && segment.index === index && segment.lost === undefined);
  }

  /** Lets go of the slices. */
  release(): void {
    this.#cache.drop(this.#slices);
  }

  /** Those of its segments that may hold the id. */
  mayHold(tag: number, tag2: number): readonly SegmentEntry[] {
    const page = filterPage(tag, this.#pageCount);
    this.#pace.questions++;
    const slice = this.#cache.get(this.#slices, page) ?? this.#sliceIfDue(page);
    if (slice === undefined) return this.segments.filter((_, i) => this.#members[i].index.mayHoldForeignId(tag, tag2));
    const members = membersIn(slice.bytes, tag, tag2);
    return members === 0 ? NO_SEGMENTS : this.segments.filter((_, i) => (members & (1 << i)) !== 0);
  }

  /** Makes a slice of the segments' pages, if it is time to and all of them are held. */
  #sliceIfDue(number: number): Page | undefined {
    if (this.#pace.questions < QUESTIONS_PER_SLICE) return undefined;
    const pages: Page[] = [];
    for (const { index } of this.#members) {
      const page = index.heldFilterPage(number);
      if (page === undefined) return undefined;
      pages.push(page);
    }
    this.#pace.questions = 0;
    const memory = new ArrayBuffer(FILTER_PAGE_BITS);
    const bytes = pages.map((page) => page.bytes);
    transpose(bytes, new Uint8Array(memory));
    for (const page of pages) this.#cache.letGo(page);
    return this.#cache.put(this.#slices, number, memory, memory.byteLength);
  }
}

/** A bit for each page of the slice whose filter may hold the id: the probes are those of one page, in all of them at once. */
function membersIn(slice: Uint8Array, tag: number, tag2: number): number {
  const mask = FILTER_PAGE_BITS - 1;
  const step = filterStep(tag);
  // Five without a look in between: the memory that they wait for is fetched at once.
  let at = tag2;
  let members = slice[at & mask];
  members &= slice[(at += step) & mask];
  members &= slice[(at += step) & mask];
  members &= slice[(at += step) & mask];
  members &= slice[(at += step) & mask];
  if (members === 0) return 0;
  members &= slice[(at += step) & mask];
  members &= slice[(at += step) & mask];
  return members & slice[(at + step) & mask];
}

/** Turns eight pages into a slice: bit `b` of page `p` becomes bit `p` of byte `b`. */
function transpose(pages: readonly Uint8Array[], slice: Uint8Array): void {
  const [p0, p1, p2, p3, p4, p5, p6, p7] = pages;
  for (let i = 0; i < p0.length; i++) {
    // An 8x8 matrix of bits in two words (Warren, Hacker's Delight, 7-3): bits change places, then pairs of bits, then halves of bytes.
    let high = (p7[i] << 24) | (p6[i] << 16) | (p5[i] << 8) | p4[i];
    let low = (p3[i] << 24) | (p2[i] << 16) | (p1[i] << 8) | p0[i];
    let differing = (high ^ (high >>> 7)) & 0x00aa00aa;
    high ^= differing ^ (differing << 7);
    differing = (low ^ (low >>> 7)) & 0x00aa00aa;
    low ^= differing ^ (differing << 7);
    differing = (high ^ (high >>> 14)) & 0x0000cccc;
    high ^= differing ^ (differing << 14);
    differing = (low ^ (low >>> 14)) & 0x0000cccc;
    low ^= differing ^ (differing << 14);
    const upper = (high & 0xf0f0f0f0) | ((low >>> 4) & 0x0f0f0f0f);
    const lower = ((high << 4) & 0xf0f0f0f0) | (low & 0x0f0f0f0f);
    const at = i * 8;
    slice[at] = lower;
    slice[at + 1] = lower >>> 8;
    slice[at + 2] = lower >>> 16;
    slice[at + 3] = lower >>> 24;
    slice[at + 4] = upper;
    slice[at + 5] = upper >>> 8;
    slice[at + 6] = upper >>> 16;
    slice[at + 7] = upper >>> 24;
  }
}
