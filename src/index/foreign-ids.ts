/**
 * Which segments may hold an id that the writer did not issue: a key's, which is nowhere in the store for the most part, so that all of them have
 * to be asked. What that costs is to grow little with the number of segments: the filters of eight sealed segments are held side by side, bit by
 * bit. The bytes of such a slice are the bits of a filter's page, and the bits of each byte are the segments, so that asking eight touches as
 * many lines of memory as asking one; and so does asking 32, once four groups of eight have become one. (Bit-sliced signature files.)
 *
 * Invariants:
 * 1. Each segment that may hold such an id is in `others` or in one of `groups`, once `follow` has been called. A segment of which events were
 *    lost is in `others`.
 * 2. A slice is made of pages that are held, and never changes, as its segments do not. Slices are held by the page cache, those of eight segments in
 *    place of these pages, as they are as large. Where there is none, each segment is asked for itself.
 */
import { assert } from "../base/assert.ts";
import { FILTER_PAGE_BITS, filterPage, filterStep } from "../format/native/index-filter.ts";
import { INDEX_BLOCK } from "../format/native/index-block-layout.ts";
import type { Page, PageCache, SegmentPages } from "./page-cache.ts";
import { SealedSegmentIndex } from "./sealed-segment-index.ts";
import type { SegmentEntry } from "./store-index.ts";

/** As many as a byte has bits. */
const SEGMENTS_MAX = 8;
/** Two are asked as quickly one by one. */
const SEGMENTS_MIN = 3;
/** Full groups that become one: 32 bits. */
const GROUPS = 4;
const NO_PAGE = new Uint8Array(INDEX_BLOCK.streamPageBytes);
/** Making a slice takes half a millisecond: as long as so many questions without one. No two are made within so many. */
const QUESTIONS_PER_SLICE = 1024;
const NO_SEGMENTS: readonly SegmentEntry[] = [];

export class ForeignIds {
  /** Segments to be asked for themselves, newest first. */
  others: SegmentEntry[] = [];
  /** Newest first. */
  groups: FilterGroup[] = [];
  /** Segments that compaction has made: they may know of ids that were removed. */
  compacted: SegmentEntry[] = [];
  /** A segment's index is another one than it was. */
  isStale = true;
  #revision: symbol | null = null;
  #segments = 0;
  #eights: Eight[] = [];
  #wides: FilterGroup<Eight>[] = [];
  readonly #pace: Pace = { questions: 0 };

  /** Takes up what has become of the store's segments. */
  follow(segments: readonly SegmentEntry[], revision: symbol): void {
    if (!this.isStale && segments.length === this.#segments && revision === this.#revision) return;
    this.isStale = false;
    this.#segments = segments.length;
    this.#revision = revision;
    const before = [...this.#eights, ...this.#wides];
    this.#eights = this.#groupsOfEight(segments);
    this.#wides = this.#groupsOfGroups();
    const kept = new Set([...this.#eights, ...this.#wides]);
    for (const group of before) if (!kept.has(group)) group.release();
    const inWides = new Set(this.#wides.flatMap((wide) => wide.parts));
    this.groups = [...this.#wides, ...this.#eights.filter((group) => !inWides.has(group))];
    this.groups.sort((one, other) => (other.segments.at(-1)?.id ?? 0) - (one.segments.at(-1)?.id ?? 0));
    const grouped = new Set(this.#eights.flatMap((group) => group.segments));
    this.others = segments.filter((segment) => !grouped.has(segment) && mayHoldAny(segment)).reverse();
    this.compacted = segments.filter((segment) => segment.generation > 0);
  }

  /** Groups as they were where their segments are still there, and new ones of the others. */
  #groupsOfEight(segments: readonly SegmentEntry[]): Eight[] {
    const before = this.#eights;
    const there = new Set(segments);
    const groups = before.filter((group) => group.isFull && group.parts.every((part) => part.holdsFor(there)));
    const grouped = new Set(groups.flatMap((group) => group.segments));
    /** By pages of the filter: segments that are no eight yet. */
    const gathered = new Map<number, SegmentFilter[]>();
    const join = (parts: readonly SegmentFilter[]): void => {
      // One of fewer than eight, to which none was added.
      const same = before.find((group) => group.parts.length === parts.length && parts.every((part, i) => group.parts[i].isSame(part)));
      groups.push(same ?? new FilterGroup(parts, parts[0].index.filterPages, parts[0].index.cache, this.#pace));
    };
    for (const segment of segments) {
      const { index, lost } = segment;
      if (grouped.has(segment) || lost !== undefined || !(index instanceof SealedSegmentIndex) || !hasWholePages(index)) continue;
      const some = gathered.get(index.filterPages) ?? [];
      some.push(new SegmentFilter(segment, index));
      gathered.set(index.filterPages, some);
      if (some.length < SEGMENTS_MAX) continue;
      gathered.delete(index.filterPages);
      join(some);
    }
    for (const some of gathered.values()) if (some.length >= SEGMENTS_MIN) join(some);
    return groups;
  }

  /** Of each four full groups one: those that were, and new ones. */
  #groupsOfGroups(): FilterGroup<Eight>[] {
    const eights = new Set(this.#eights);
    const wides = this.#wides.filter((wide) => wide.parts.every((part) => eights.has(part)));
    const inWides = new Set(wides.flatMap((wide) => wide.parts));
    const gathered = new Map<number, Eight[]>();
    for (const group of this.#eights) {
      if (!group.isFull || inWides.has(group)) continue;
      const some = gathered.get(group.pageCount) ?? [];
      some.push(group);
      gathered.set(group.pageCount, some);
      if (some.length < GROUPS) continue;
      gathered.delete(group.pageCount);
      wides.push(new FilterGroup(some, group.pageCount, group.cache, this.#pace));
    }
    return wides;
  }
}

/** A filter of less than a page has as many bits as it happens to have: no two are alike. */
function hasWholePages(index: SealedSegmentIndex): boolean {
  return index.filterBytes >= INDEX_BLOCK.streamPageBytes;
}

function mayHoldAny({ index, lost }: SegmentEntry): boolean {
  return lost !== undefined || !(index instanceof SealedSegmentIndex) || index.filterPages > 0;
}

/** What a group is made of: filters of segments, or four groups of eight of these. */
interface FilterPart {
  readonly segments: readonly SegmentEntry[];
  /** A page of it, if it is held. */
  held(page: number): Page | undefined;
  /** Those of its segments that may hold the id. */
  mayHold(tag: number, tag2: number): readonly SegmentEntry[];
}

class SegmentFilter implements FilterPart {
  readonly segments: readonly SegmentEntry[];
  readonly index: SealedSegmentIndex;

  constructor(segment: SegmentEntry, index: SealedSegmentIndex) {
    this.segments = [segment];
    this.index = index;
  }

  /** Whether the segment is still there, and as it was. */
  holdsFor(segments: ReadonlySet<SegmentEntry>): boolean {
    const [segment] = this.segments;
    return segments.has(segment) && segment.index === this.index && segment.lost === undefined;
  }

  isSame(other: SegmentFilter | undefined): boolean {
    return other !== undefined && other.index === this.index && other.segments[0] === this.segments[0];
  }

  held(page: number): Page | undefined {
    return this.index.heldFilterPage(page);
  }

  mayHold(tag: number, tag2: number): readonly SegmentEntry[] {
    return this.index.mayHoldForeignId(tag, tag2) ? this.segments : NO_SEGMENTS;
  }
}

type Eight = FilterGroup<SegmentFilter>;

/** What counts the questions to groups between two slices. */
interface Pace {
  questions: number;
}

/** Filters of as many pages side by side: of up to eight segments, or of four such groups. */
export class FilterGroup<Part extends FilterPart = FilterPart> implements FilterPart {
  readonly segments: readonly SegmentEntry[];
  readonly parts: readonly Part[];
  readonly pageCount: number;
  readonly cache: PageCache;
  readonly #pace: Pace;
  readonly #slices: SegmentPages;
  readonly #isWide: boolean;

  constructor(parts: readonly Part[], pageCount: number, cache: PageCache, pace: Pace) {
    this.segments = parts.flatMap((part) => part.segments);
    this.parts = parts;
    this.pageCount = pageCount;
    this.cache = cache;
    this.#pace = pace;
    this.#slices = cache.segment(pageCount);
    this.#isWide = this.segments.length > SEGMENTS_MAX;
  }

  /** Whether none can be added. */
  get isFull(): boolean {
    return this.segments.length >= SEGMENTS_MAX;
  }

  held(page: number): Page | undefined {
    return this.cache.get(this.#slices, page);
  }

  /** Lets go of the slices. */
  release(): void {
    this.cache.drop(this.#slices);
  }

  mayHold(tag: number, tag2: number): readonly SegmentEntry[] {
    const page = filterPage(tag, this.pageCount);
    this.#pace.questions++;
    const slice = this.held(page) ?? this.#sliceIfDue(page);
    if (slice === undefined) return this.parts.flatMap((part) => part.mayHold(tag, tag2));
    const members = membersIn(this.#isWide ? slice.u32 : slice.bytes, tag, tag2);
    return members === 0 ? NO_SEGMENTS : this.segments.filter((_, i) => ((members >>> i) & 1) === 1);
  }

  /** Makes a slice of the parts' pages, if it is time to and all of them are held. */
  #sliceIfDue(number: number): Page | undefined {
    if (this.#pace.questions < QUESTIONS_PER_SLICE) return undefined;
    const pages: Page[] = [];
    for (const part of this.parts) {
      const page = part.held(number);
      if (page === undefined) return undefined;
      pages.push(page);
    }
    this.#pace.questions = 0;
    const memory = new ArrayBuffer(this.#isWide ? FILTER_PAGE_BITS * GROUPS : FILTER_PAGE_BITS);
    const bytes = pages.map((page) => page.bytes);
    if (this.#isWide) interleave(bytes, new Uint8Array(memory));
    else transpose(bytes, new Uint8Array(memory));
    // Of fewer, another slice is made when one more has come.
    if (this.isFull) for (const page of pages) this.cache.letGo(page);
    return this.cache.put(this.#slices, number, memory, memory.byteLength);
  }
}

assert(INDEX_BLOCK.filterProbes === 8, "a slice is asked as often as a filter's page");

/** A bit for each page of the slice whose filter may hold the id: the probes are those of one page, in all of them at once. */
function membersIn(slice: Uint8Array | Uint32Array, tag: number, tag2: number): number {
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

/** Four slices of eight as one of 32. */
function interleave(slices: readonly Uint8Array[], wide: Uint8Array): void {
  const [s0, s1, s2, s3] = slices;
  for (let bit = 0, at = 0; bit < s0.length; bit++, at += GROUPS) {
    wide[at] = s0[bit];
    wide[at + 1] = s1[bit];
    wide[at + 2] = s2[bit];
    wide[at + 3] = s3[bit];
  }
}

/** Turns up to eight pages into a slice: bit `b` of page `p` becomes bit `p` of byte `b`. */
function transpose(pages: readonly Uint8Array[], slice: Uint8Array): void {
  const [p0, p1, p2, p3 = NO_PAGE, p4 = NO_PAGE, p5 = NO_PAGE, p6 = NO_PAGE, p7 = NO_PAGE] = pages;
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
