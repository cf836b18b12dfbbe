/**
 * A reader takes up what the writer has made visible since it last looked, frame by frame. What rows in memory this makes is given back once the
 * writer has put them into an index block: else they would be as many as there are events.
 */
import { isStoreError } from "./base/store-error.ts";
import type { Disk, DiskFile } from "./disk/disk.ts";
import { ifThere } from "./disk/system-error.ts";
import type { DurableMark } from "./format/native/durable-mark.ts";
import { segmentSeed } from "./format/native/frame.ts";
import { decodeSegmentHeader } from "./format/native/segment-header.ts";
import { followBatpak03 } from "./follow-batpak03.ts";
import type { SealedSegmentIndex } from "./index/sealed-segment-index.ts";
import type { SegmentEntry, StoreIndex } from "./index/store-index.ts";
import { openBlock, takeBlock } from "./log/block-files.ts";
import { replayRun, type ReplayTarget } from "./log/replay.ts";
import { newSegmentEntry } from "./log/segment-entry.ts";
import { headerBytes } from "./log/segment-files.ts";
import { readHeader } from "./log/segment-list.ts";
import { scanSegment } from "./log/segment-scan.ts";
import type { NativeStoreParts } from "./native-engine.ts";
import { readerView } from "./open-directory.ts";

export interface FollowInput {
  readonly disk: Disk;
  readonly parts: NativeStoreParts;
  /** What is visible now; null: everything that recovery would keep. */
  readonly mark: DurableMark | null;
  systemRecord(frame: Uint8Array): void;
}

/** False where the log has changed in a way that following cannot take up: the store must be read anew. */
export async function followNative(input: FollowInput): Promise<boolean> {
  const { parts } = input;
  if (parts.layout !== "native") return (await ifThere(() => followBatpak03(input))) ?? false;
  if (!(await takeUpFrames(input))) return false;
  takeBlocks(parts);
  return !parts.files.isOutdated;
}

/** Takes the index blocks that have come since of segments whose rows are in memory. */
function takeBlocks({ log: { index, storeId }, files, cache }: NativeStoreParts): void {
  for (const segment of index.segments) {
    // Rows that were made because the block is bad stay, as in any other store.
    if (segment.indexOnDisk || !segment.sealed || segment.lost !== undefined) continue;
    try {
      const opened = openBlock(files, segment.id, storeId as Uint8Array, cache);
      if (opened.kind === "ok" && isOf(segment, opened.block.index)) takeBlock(segment, opened.block);
    } catch {
      // The rows are there, and looked for again the next time. What is wrong with the file is told to whoever reads events of it.
      return;
    }
  }
}

/** Whether the block has the rows that were taken up. */
function isOf(segment: SegmentEntry, { blockStart, rowCount }: SealedSegmentIndex): boolean {
  return blockStart === segment.framesEnd && rowCount === segment.index?.rowCount;
}

async function takeUpFrames(input: FollowInput): Promise<boolean> {
  const { parts, mark } = input;
  const { log } = parts;
  const { index, storeId } = log;
  const { active } = index;
  if (storeId === null || active === undefined || log.problems.length > 0) return false;
  if (mark !== null && (Buffer.compare(mark.storeId, storeId) !== 0 || mark.generation !== log.generation)) return false;
  const target: ReplayTarget = {
    index,
    lastIssuedId: log.lastIssuedId,
    events: 0,
    leavesOut: false,
    systemRecord: (frame) => input.systemRecord(frame),
  };
  for (let segment = active; ; ) {
    const to = shownTo(mark, segment.id);
    // All of it was seen. Where there are more events in no more bytes, the file is another.
    if (mark !== null && to !== undefined && to <= segment.framesEnd) return mark.visibleSequence <= index.visible.sequence;
    const file = await ifThere(() => input.disk.open(parts.files.path(segment.id), "read"));
    if (file === null) return false;
    try {
      // Compacted in this very moment, or repaired: a frame of the new file may stand right where the view ended in the old one.
      const header = headerBytes(file);
      if (isCompacted(header, segment.generation) || parts.files.isOther(segment.id, header)) return false;
      // What was seen is gone: reading anew tells why.
      if ((await file.size()) < segment.framesEnd) return false;
      if (!segment.sealed && !(await takeUpSegment(input, target, segment, file, to))) return true;
    } catch (error) {
      // A right frame that cannot stand there: reading anew tells why.
      if (isStoreError(error, "CORRUPT")) return false;
      throw error;
    } finally {
      await file.close();
    }
    show(index, segment);
    // What the mark calls visible is there. Where it cannot be come to, reading anew tells why.
    const isAllThere = mark === null || (to !== undefined && to <= segment.framesEnd);
    const next = segment.sealed ? await segmentBehind(input, segment) : null;
    if (next === null) return isAllThere;
    if (next === "unlike") return false;
    segment = next;
    index.segments.push(segment);
    // Also one without a frame: the checkpoint may list it.
    show(index, segment);
  }
}

/** What is taken up of the newest segment is visible. */
function show(index: StoreIndex, segment: SegmentEntry): void {
  segment.visibleFrames = segment.frames;
  index.visible.segmentId = segment.id;
  index.visible.offset = segment.framesEnd;
  index.visible.sequence = index.acceptedSequence;
}

/** Up to which offset the mark lets the segment be shown; undefined: all of it. */
function shownTo(mark: DurableMark | null, segmentId: number): number | undefined {
  if (mark === null || mark.visibleSegment > segmentId) return undefined;
  return mark.visibleSegment === segmentId ? mark.visibleOffset : 0;
}

/** Takes up the frames of a segment that are not in the index yet; false where they are not to be seen yet. */
async function takeUpSegment(
  { disk, parts, mark }: FollowInput,
  target: ReplayTarget,
  segment: SegmentEntry,
  file: DiskFile,
  to: number | undefined,
): Promise<boolean> {
  const scan = { file, seed: segmentSeed(parts.log.storeId as Uint8Array, segment.id), from: segment.framesEnd };
  // Where no writer lived, one may have come since, and what it has not committed yet is nobody's to see: it is asked for again.
  const end = mark !== null ? to : (await scanSegment({ ...scan, visit: () => {} })).end;
  if (mark === null && end !== undefined && end > scan.from && (await readerView(disk, parts.directory)).writer) return false;
  await scanSegment({
    ...scan,
    ...(end === undefined ? {} : { to: end }),
    visit: (run) => {
      parts.frames.goesOn(segment.id, segment.framesEnd);
      replayRun(target, segment, run, (error) => {
        throw error;
      });
      // Names, heads and numbers of events tell of it at once, and others may look between two commits.
      show(parts.log.index, segment);
    },
  });
  return true;
}

/** The segment behind a sealed one; null where there is none that may be shown, "unlike" where what is there does not go on from it. */
async function segmentBehind({ disk, parts, mark }: FollowInput, segment: SegmentEntry): Promise<SegmentEntry | "unlike" | null> {
  const { files, log } = parts;
  const id = segment.id + 1;
  if ((await disk.status(files.path(id))) === null) return null;
  // Seen before, it may have been another file: what a killed writer only began is removed by the next one.
  files.forget(id);
  const header = await ifThere(() => readHeader(files, id));
  if (header === null) return "unlike";
  if (header.kind !== "ok" || header.header.generation !== log.generation) return header.kind === "torn" ? null : "unlike";
  if (mark !== null && mark.visibleSegment < id) return null;
  if (header.header.firstSequence < log.index.acceptedSequence) return "unlike";
  // Sequences in between were given to events that are lost.
  log.index.acceptedSequence = header.header.firstSequence;
  return newSegmentEntry(log.index, id, header.header.generation);
}

/** Whether the file that begins so is of a newer generation. A broken header does not tell, and its frames are checked one by one. */
function isCompacted(header: Uint8Array, generation: number): boolean {
  const outcome = decodeSegmentHeader(header);
  return outcome.kind === "ok" && outcome.header.generation > generation;
}
