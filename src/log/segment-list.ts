/**
 * Which segment files a directory has, and which of them make up the log: those that a present segment of newer generation replaces do not.
 */
import { rest } from "../base/rest.ts";
import { StoreError } from "../base/store-error.ts";
import type { Disk } from "../disk/disk.ts";
import type { SegmentHeader, SegmentHeaderOutcome } from "../format/native/segment-header.ts";
import { headerIn, type SegmentFiles, segmentIdOf } from "./segment-files.ts";

/** Ids of the segment files, ascending by number. */
export async function listSegmentIds(disk: Disk, directory: string): Promise<number[]> {
  return segmentIdsAmong(await disk.list(directory));
}

/** The same, of the names in a directory. */
export function segmentIdsAmong(names: readonly string[]): number[] {
  const ids: number[] = [];
  for (const name of names) {
    const id = segmentIdOf(name);
    if (id !== null) ids.push(id);
  }
  return ids.sort((a, b) => a - b);
}

/** Reads a segment's header. Blocking, about ten microseconds. */
export function readHeader(files: SegmentFiles, id: number): SegmentHeaderOutcome {
  const outcome = headerIn(files.file(id));
  if (outcome.kind === "ok" && outcome.header.segmentId !== id) {
    return { kind: "foreign", reason: `its header names segment ${outcome.header.segmentId}` };
  }
  return outcome;
}

/** A segment with a whole header. */
export interface ListedSegment {
  readonly id: number;
  readonly header: SegmentHeader;
}

export interface ListedLog {
  /** Those that make up the log, ascending. */
  readonly segments: readonly ListedSegment[];
  /** Ids of segments that a present one replaces. */
  readonly replaced: readonly number[];
  /** Segments whose headers are not whole or not theirs, with the reason; the newest one may never have begun, any may be another program's. */
  readonly broken: readonly { readonly id: number; readonly outcome: Exclude<SegmentHeaderOutcome, { kind: "ok" }> }[];
}

/** Headers that are read between two rests, a few dozen microseconds each. */
const HEADERS_PER_STEP = 256;

/**
 * Reads the headers of these ids, ascending.
 *
 * @param own the store whose segments they are; null: that of most of them, where files of two stores lie together
 */
export async function readLog(
  files: SegmentFiles,
  ids: readonly number[],
  own: Uint8Array | null = null,
  pause = rest,
): Promise<ListedLog> {
  const whole: ListedSegment[] = [];
  const broken: ListedLog["broken"][number][] = [];
  for (const [position, id] of ids.entries()) {
    if ((position + 1) % HEADERS_PER_STEP === 0) await pause();
    const outcome = readHeader(files, id);
    if (outcome.kind === "ok") whole.push({ id, header: outcome.header });
    else broken.push({ id, outcome });
  }
  const storeId = own ?? mostCommonStore(whole);
  const ofStore: ListedSegment[] = [];
  for (const segment of whole) {
    if (Buffer.compare(segment.header.storeId, storeId) === 0) ofStore.push(segment);
    else broken.push({ id: segment.id, outcome: { kind: "foreign", reason: "it belongs to another store" } });
  }
  const segments = notReplaced(ofStore);
  const kept = new Set(segments);
  const replaced = ofStore.filter((segment) => !kept.has(segment)).map((segment) => segment.id);
  return { segments, replaced, broken };
}

/** Those of these segments, ascending, in whose place none of the others stands. */
function notReplaced(segments: readonly ListedSegment[]): ListedSegment[] {
  const merged = segments.filter(({ header }) => header.replacesFrom > 0).sort((a, b) => a.header.replacesFrom - b.header.replacesFrom);
  let begun = 0;
  // Those whose range the sweep is in: a few, however many were merged.
  let around: ListedSegment[] = [];
  return segments.filter((segment) => {
    while (begun < merged.length && merged[begun].header.replacesFrom <= segment.id) around.push(merged[begun++]);
    around = around.filter(({ header }) => header.replacesTo >= segment.id);
    return !around.some(({ header }) => replaces(header, segment));
  });
}

/** The store of most of these segments; of the earliest where two have as many. */
function mostCommonStore(segments: readonly ListedSegment[]): Uint8Array {
  const counts = new Map<string, { storeId: Uint8Array; count: number }>();
  for (const { header } of segments) {
    const text = Buffer.from(header.storeId).toString("hex");
    const known = counts.get(text);
    if (known === undefined) counts.set(text, { storeId: header.storeId, count: 1 });
    else known.count++;
  }
  let most: { storeId: Uint8Array; count: number } = { storeId: new Uint8Array(16), count: 0 };
  for (const one of counts.values()) if (one.count > most.count) most = one;
  return most.storeId;
}

/** Whether a segment with this header stands in the other's place. */
function replaces(newer: SegmentHeader, segment: ListedSegment): boolean {
  return (
    newer.replacesFrom > 0 &&
    newer.generation > segment.header.generation &&
    segment.id >= newer.replacesFrom &&
    segment.id <= newer.replacesTo
  );
}

/** A file with any number for its name must not take the memory, or the time, of as many. */
export const MISSING_MAX = 10_000;

/**
 * Ids from `firstId` up to the newest of these segments that are neither there nor replaced: the first of them, where they are very many. `broken`: those of
 * files without a whole header.
 */
export function missingIds(segments: readonly ListedSegment[], broken: readonly number[], firstId: number): number[] {
  const missing: number[] = [];
  const present = new Set(broken);
  let next = firstId;
  for (const { id, header } of segments) {
    const from = header.replacesFrom > 0 ? Math.min(header.replacesFrom, id) : id;
    for (; next < from && missing.length < MISSING_MAX; next++) if (!present.has(next)) missing.push(next);
    next = Math.max(next, id + 1, header.replacesTo + 1);
  }
  return missing;
}

/** A file under a segment's name that is none of this store's, or whose header only a later version can read. */
export function foreignFile(
  path: string,
  segmentId: number,
  { kind, reason }: { readonly kind: "foreign" | "later"; readonly reason: string },
): StoreError<"CORRUPT"> {
  const what =
    kind === "later"
      ? `${path} cannot be read (${reason}); open the store with the version that wrote it, or move the file elsewhere`
      : `${path} is not one of its segments (${reason}); move it elsewhere`;
  return new StoreError("CORRUPT", `Cannot open the store: ${what}`, { segmentId, file: path, reason });
}
