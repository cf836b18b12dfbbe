/**
 * What a repair goes by: all that a damaged directory tells of its log. Read once, changes nothing, and decides nothing: `repair-plan.ts` does.
 *
 * The log is read twice, as opening would without checkpoint and index blocks, and as it would with both: either may know of damage that the other
 * does not meet.
 */
import { sameBytes } from "./base/hex.ts";
import { StoreError } from "./base/store-error.ts";
import { picturedAside, type PicturedLog } from "./checkpoint/pictured.ts";
import type { Disk } from "./disk/disk.ts";
import type { DurableMark } from "./format/native/durable-mark.ts";
import { segmentSeed } from "./format/native/frame.ts";
import type { SegmentHeader } from "./format/native/segment-header.ts";
import type { DamagedPlace } from "./log/damaged-place.ts";
import { type DamagedSegment, readDamagedSegment } from "./log/damaged-segment.ts";
import { readMark } from "./log/mark-file.ts";
import { kindsIn, lostRecords, recordsInBlock, withRecords } from "./log/records-salvage.ts";
import type { SegmentFiles } from "./log/segment-files.ts";
import { readLog } from "./log/segment-list.ts";
import { type NativeStoreParts, prepareNative, readNativeLog } from "./native-engine.ts";
import type { OpenedNativeLog } from "./open-native.ts";
import type { StoreProblem } from "./open-report.ts";
import { verifyStore } from "./verify.ts";

const INDEX_CACHE_BYTES = 1024 * 1024;

/** The sequence that a segment begins with, and the one that follows on it. */
export interface Bounds {
  readonly first: number;
  readonly next: number;
  /** Where its frames end. */
  readonly framesEnd: number;
  readonly sealed: boolean;
}

export interface DamagedLog {
  readonly files: SegmentFiles;
  /** Ids of the segment files that are there, ascending. */
  readonly ids: readonly number[];
  readonly storeId: Uint8Array;
  /** The newest that anything tells. */
  readonly generation: number;
  /** What frames, the checkpoint or the mark tell to be damaged or missing, and the segments that it is about. */
  readonly damage: readonly StoreProblem[];
  readonly damaged: ReadonlySet<number>;
  /** What is wrong with index blocks of segments that are whole. */
  readonly ofBlocks: readonly StoreProblem[];
  /** The log's segments by id, as opening took them: of those without damage this is what they are. */
  readonly opened: ReadonlyMap<number, Bounds>;
  /** The headers by id that are whole and in force. */
  readonly headers: ReadonlyMap<number, SegmentHeader>;
  /** Ids of files that are no part of the log: one that was never begun, those that a merged segment stands for. */
  readonly neverBegun: readonly number[];
  readonly replaced: readonly number[];
  /** The system records in force that whole frames tell, and those that only the checkpoint tells. */
  readonly records: readonly Uint8Array[];
  readonly lostRecords: readonly Uint8Array[];
  /** Of each kind that events have, the sequence of the first of them. */
  readonly kinds: ReadonlyMap<number, number>;
  /** The mark and what the checkpoint says, where they are of this store. */
  readonly mark: DurableMark | null;
  readonly pictured: PicturedLog | null;
}

/** Everything that is known of the log; null where nothing is wrong with it. `ids`: of the segment files, ascending. */
export async function lookAtDamage(files: SegmentFiles, ids: readonly number[]): Promise<DamagedLog | null> {
  const mark = await readMark(files.disk, files.directory);
  const { damage, ofBlocks: ofAllBlocks, storeFound, pictured: found, ...opened } = await readTwice(files, ids, mark);
  const damaged = new Set(damage.map(({ segmentId }) => segmentId).filter((id) => id !== undefined));
  // A damaged segment loses its block anyway.
  const ofBlocks = ofAllBlocks.filter(({ segmentId }) => segmentId !== undefined && !damaged.has(segmentId));
  if (damage.length === 0 && ofBlocks.length === 0) return null;
  const storeId = storeFound ?? mark?.storeId ?? found?.storeId;
  if (storeId === undefined) {
    const reason = "no segment has a whole header, and there is neither a mark nor a checkpoint";
    throw new StoreError("CORRUPT", `Cannot repair the store: ${reason}, so nothing says whose frames they are`, { reason });
  }
  const ownMark = mark !== null && sameBytes(mark.storeId, 0, storeId, 0, 16) ? mark : null;
  const pictured = found !== null && sameBytes(found.storeId, 0, storeId, 0, 16) ? found : null;
  const { segments } = await readLog(files, ids);
  return {
    ...opened,
    files,
    ids,
    storeId,
    generation: segments.reduce(
      (newest, { header }) => Math.max(newest, header.generation),
      Math.max(ownMark?.generation ?? 0, pictured?.generation ?? 0),
    ),
    damage,
    damaged,
    ofBlocks,
    headers: new Map(segments.map(({ id, header }) => [id, header])),
    neverBegun: opened.neverBegun.filter((id) => !damaged.has(id)),
    lostRecords: lostRecords(pictured?.records ?? [], opened.records),
    mark: ownMark,
    pictured,
  };
}

type ReadTwice = Pick<DamagedLog, "damage" | "ofBlocks" | "opened" | "neverBegun" | "replaced" | "records" | "kinds" | "pictured"> & {
  /** The store that opening made out. */
  readonly storeFound: Uint8Array | null;
};

async function readTwice(files: SegmentFiles, ids: readonly number[], mark: DurableMark | null): Promise<ReadTwice> {
  const usual = await read(files, ids, mark, { blocks: true }, async (parts) => ({
    log: factsOf(parts.log),
    ofBlocks: await problemsOfBlocks(files.disk, parts),
  }));
  const byFrames = await read(files, ids, synced(mark, usual.log), { checkpoint: false, blocks: false }, async ({ log }) => ({
    log: factsOf(log),
    kinds: await kindsIn(log.index),
  }));
  const problems = [...byFrames.log.problems, ...usual.log.problems];
  const { records, unsettled } = byFrames.log;
  return {
    damage: [...new Map(problems.map((problem) => [problem.message, problem])).values()],
    ofBlocks: usual.ofBlocks,
    // The look at the frames themselves counts for more.
    opened: new Map([...usual.log.segments, ...byFrames.log.segments]),
    neverBegun: unsettled.neverBegun,
    replaced: unsettled.replaced,
    records,
    kinds: byFrames.kinds,
    // A repair that was cut off may have put it aside.
    pictured: usual.log.pictured ?? (await picturedAside(files.disk, files.directory)),
    storeFound: byFrames.log.storeId ?? usual.log.storeId,
  };
}

/** A mark of what had been synced, as the mark and the checkpoint tell: opening by that looks at no frame before its end, and without it nobody else may know. */
function synced(mark: DurableMark | null, { pictured, storeId }: Pick<OpenedNativeLog, "pictured" | "storeId">): DurableMark | null {
  if (pictured === null || pictured === undefined || storeId === null || !sameBytes(pictured.storeId, 0, storeId, 0, 16)) return mark;
  const { generation, segmentId, offset, nextSequence } = pictured;
  if (mark !== null && sameBytes(mark.storeId, 0, storeId, 0, 16)) {
    const ahead = mark.generation - generation || mark.syncedSegment - segmentId || mark.syncedOffset - offset;
    if (ahead >= 0) return mark;
  }
  const position = { syncedSegment: segmentId, syncedOffset: offset, visibleSegment: segmentId, visibleOffset: offset };
  return { storeId, generation, visibleSequence: nextSequence, ...position };
}

/** What is kept of a log that was read; not its index, which may be large. */
function factsOf({ index, ...facts }: OpenedNativeLog) {
  const segments = index.segments.map(({ id, firstSequence: first, nextSequence: next, framesEnd, sealed }): [number, Bounds] => [
    id,
    { first, next, framesEnd, sealed },
  ]);
  return { ...facts, segments };
}

async function read<Facts>(
  { disk, directory }: SegmentFiles,
  segmentIds: readonly number[],
  mark: DurableMark | null,
  routes: { readonly checkpoint?: boolean; readonly blocks: boolean },
  take: (parts: NativeStoreParts) => Promise<Facts>,
): Promise<Facts> {
  const parts = prepareNative(disk, directory, INDEX_CACHE_BYTES, "native");
  try {
    await readNativeLog(disk, parts, { segmentIds, mark, tolerant: true, limit: null, routes });
    return await take(parts);
  } finally {
    parts.files.closeAll();
  }
}

/** A block of which every page can be used is left as it is, whatever it says: it may be the frames that were changed. */
async function problemsOfBlocks(disk: Disk, parts: NativeStoreParts): Promise<StoreProblem[]> {
  const badBlocks: StoreProblem[] = [];
  await verifyStore(disk, parts, {}, { badBlocks });
  return badBlocks;
}

/** What is whole of a segment's file. */
export async function readDamaged({ files, storeId }: DamagedLog, id: number): Promise<DamagedSegment> {
  return await readDamagedSegment(files.disk, files.path(id), segmentSeed(storeId, id));
}

/** Of a segment whose file is missing. */
export const NOTHING: DamagedSegment = { bytes: new Uint8Array(0), frames: [], events: [], nextOfRecords: 0, seal: null, retention: null };

export interface Salvage {
  readonly segment: DamagedSegment;
  readonly recordsPutBack: number;
}

/** What goes into a segment's place: the frames that are whole, the system records that its block repeats, and those of the checkpoint that stood there. */
export async function salvage(log: DamagedLog, { id, isThere }: DamagedPlace, ofCheckpoint: readonly Uint8Array[]): Promise<Salvage> {
  const segment = isThere ? await readDamaged(log, id) : NOTHING;
  const ofBlock = isThere ? recordsInBlock(log.files, id, log.storeId) : [];
  const whole = withRecords(segment, [...ofBlock, ...ofCheckpoint]);
  return { segment: whole, recordsPutBack: whole.frames.length - segment.frames.length };
}
