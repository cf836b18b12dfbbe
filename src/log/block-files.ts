/**
 * Index blocks in the files of sealed segments: opened, written, and rebuilt. A block is index, never truth: whatever is wrong with it leads
 * back to the frames.
 *
 * Writing one: pages after the seal, sync, root and trailer, sync. Commit point: the trailer, whose CRC covers the root; a crash before leaves
 * a file that ends in no trailer, and the segment is scanned. A trailer that is there has all its pages. Where something follows the seal
 * already, the file is written anew and renamed (commit point: the rename): a file with a block may be linked into a snapshot, and is never
 * written in place.
 */
import { assert } from "../base/assert.ts";
import { Pace } from "../base/rest.ts";
import type { DiskFile } from "../disk/disk.ts";
import { replaceFile } from "../disk/replace-file.ts";
import { FRAME } from "../format/native/frame-layout.ts";
import { checkFrame, segmentSeed } from "../format/native/frame.ts";
import { encodeIndexBlock } from "../format/native/index-block.ts";
import { decodeSeal, isSeal, type Seal } from "../format/native/seal.ts";
import { isSystemFrame } from "../format/native/system-frame.ts";
import type { ActiveSegmentIndex } from "../index/active-segment-index.ts";
import { blockSource } from "../index/block-source.ts";
import { idTag2 } from "../index/id-tag.ts";
import type { PageCache } from "../index/page-cache.ts";
import { IndexPageError, SealedSegmentIndex } from "../index/sealed-segment-index.ts";
import type { SegmentEntry, StoreIndex } from "../index/store-index.ts";
import type { FrameSource } from "./frame-source.ts";
import { enterSystemHead, type ReplayTarget } from "./replay.ts";
import { segmentName, type SegmentFiles } from "./segment-files.ts";

export interface OpenedBlock {
  readonly index: SealedSegmentIndex;
  readonly seal: Seal;
  /** Where the seal's frame begins in the segment, and its hash. */
  readonly sealFrame: { readonly offset: number; readonly hash: Uint8Array };
}

export type BlockOutcome = { readonly kind: "ok"; readonly block: OpenedBlock } | { readonly kind: "unusable"; readonly reason: string };

/** Opens the block of a sealed segment, and checks that its seal stands right before it. */
export function openBlock(files: SegmentFiles, segmentId: number, storeId: Uint8Array, cache: PageCache): BlockOutcome {
  const read = (target: Uint8Array, offset: number, length: number, position: number): number =>
    files.file(segmentId).readSync(target, offset, length, position);
  const size = files.file(segmentId).sizeSync();
  const opened = SealedSegmentIndex.open(read, size, cache, { storeId, segmentId });
  if (!opened.ok) return { kind: "unusable", reason: `its index block cannot be used: ${opened.reason}` };
  const { blockStart } = opened.index;
  const bytes = new Uint8Array(FRAME.bytesMin);
  const at = blockStart - FRAME.bytesMin;
  const count = at < 0 ? 0 : read(bytes, 0, bytes.length, at);
  const view = new DataView(bytes.buffer);
  if (checkFrame(bytes, view, 0, count, segmentSeed(storeId, segmentId), at) !== "ok" || !isSeal(view, 0)) {
    return { kind: "unusable", reason: "no seal stands before its index block" };
  }
  const sealFrame = { offset: at, hash: bytes.subarray(FRAME.bytesMin - FRAME.hashBytes) };
  return { kind: "ok", block: { index: opened.index, seal: decodeSeal(view, 0), sealFrame } };
}

/** How many entities are entered between two rests. */
const ENTITIES_PER_STEP = 2048;

/** Why a sealed segment cannot be entered in the index by its block; null where it can. Looked at whole, so that entering it meets nothing bad half-way. In steps. */
export function* checkBlock(index: StoreIndex, { index: rows, seal }: OpenedBlock): Generator<undefined, string | null> {
  const { root } = rows;
  if (root.nextSequence > seal.nextSequence || (root.firstSequence < index.acceptedSequence && rows.rowCount > 0))
    return "its sequences do not fit";
  try {
    if (!rows.systemRecords().every(isSystemFrame)) return "a system record in it is no frame";
    yield* entitiesInSteps(rows, () => {});
    rows.scopes();
    return null;
  } catch (error) {
    if (error instanceof IndexPageError) return error.reason;
    throw error;
  }
}

function* entitiesInSteps(rows: SealedSegmentIndex, visit: Parameters<SealedSegmentIndex["entityNames"]>[0]): Generator<undefined, void> {
  for (let from = 0; from < rows.entityCount; from += ENTITIES_PER_STEP) {
    rows.entityNames(visit, from, Math.min(rows.entityCount, from + ENTITIES_PER_STEP));
    yield;
  }
}

/** Enters a sealed segment in the index by its block, which was checked, without touching a frame: names, heads, system records. In steps. */
export function* restoreFromBlock(target: ReplayTarget, entry: SegmentEntry, block: OpenedBlock): Generator<undefined, void> {
  const { index } = target;
  const { heads } = index;
  const { index: rows, seal } = block;
  const { root } = rows;
  yield* entitiesInSteps(rows, (bytes, start, end, nameHash, summary) => {
    const known = index.entities.findHashed(bytes, start, end, nameHash);
    // A checksum is no proof that a new one is a name, and has this hash.
    const entityId = known >= 0 ? known : index.entities.intern(bytes.toString("utf8", start, end));
    heads.ensure(entityId);
    heads.setHashWords(entityId, summary.words, summary.lastHashWord);
    // The block does not have the time. Where the segment has no event of the entity left, the one before it stays the last.
    heads.accept(entityId, summary.lastClock, summary.lastSequence < 0 ? heads.sequence(entityId) : summary.lastSequence, 0);
    if (summary.lastSequence >= 0) heads.setVisible(entityId, summary.lastSequence);
  });
  for (const scope of rows.scopes()) index.internScope(scope, rows.firstSequence);
  for (const frame of rows.systemRecords()) {
    enterSystemHead(index, frame);
    target.systemRecord(frame);
  }
  if (root.lastIssuedId.some((byte) => byte !== 0)) target.lastIssuedId.set(root.lastIssuedId);
  index.visibleEvents += rows.rowCount;
  index.acceptedSequence = seal.nextSequence;
  index.lastTimeMicros = Math.max(index.lastTimeMicros, root.timeMax);
  entry.index = rows;
  entry.indexOnDisk = true;
  entry.sealed = true;
  entry.frames = seal.frames;
  entry.framesEnd = rows.blockStart;
  entry.nextSequence = seal.nextSequence;
  entry.lastIssuedId = target.lastIssuedId.slice();
}

export interface BlockInput {
  readonly index: StoreIndex;
  readonly frames: FrameSource;
  readonly storeId: Uint8Array;
  /** Sealed, its rows in memory. */
  readonly segment: SegmentEntry;
}

export interface WriteBlockInput extends BlockInput {
  readonly files: SegmentFiles;
  readonly cache: PageCache;
  /** Whether segments are sealed faster than their blocks are written. */
  isBehind?(): boolean;
}

/** How many bytes are gathered for a write. */
const WRITE_BYTES = 256 * 1024;
/** How many are made between two rests at least: some tenths of a millisecond's work. A step that gives no page counts for as many. */
const STEP_BYTES = 64 * 1024;

/** The bytes of a sealed segment's block. */
function encodeBlock({ index, frames, storeId, segment }: BlockInput, isBehind: () => boolean = () => false): AsyncGenerator<Uint8Array> {
  const rows = segment.index as ActiveSegmentIndex;
  const { format } = frames;
  let framesRead = 0;
  const idBytes = new Uint8Array(16);
  const idView = new DataView(idBytes.buffer);
  const source = blockSource(rows, index.entities, index.scopes, {
    storeId,
    segmentId: segment.id,
    generation: segment.generation,
    lastIssuedId: segment.lastIssuedId,
    systemRecords: segment.systemFrames,
    foreignTag2(row) {
      const noted = rows.notedFrames.foreignTag(row);
      if (noted !== 0) return noted;
      framesRead++;
      const { bytes, view, at } = frames.read(segment.id, rows.offsetAt(row));
      format.copyId(bytes, view, at, idBytes, 0);
      return idTag2(idView, 0);
    },
    copyLastHashAndId(entityId, lastRow, target, offset) {
      if (rows.copyNoted(entityId, lastRow, target, offset)) return;
      framesRead++;
      const { bytes, view, at } = frames.read(segment.id, rows.offsetAt(lastRow));
      format.copyHash(bytes, view, at, target, offset);
      format.copyId(bytes, view, at, target, offset + FRAME.hashBytes);
    },
    framesRead: () => framesRead,
  });
  return blockPieces(encodeIndexBlock(source), isBehind);
}

/** Whether what stands behind the seal of `file` is the beginning of the segment's block, as a writer leaves it that is killed while it writes. */
export async function isBegunBlock(input: BlockInput, file: DiskFile, size: number): Promise<boolean> {
  let at = input.segment.framesEnd;
  for await (const piece of encodeBlock(input)) {
    const there = Buffer.alloc(Math.min(piece.length, size - at));
    const count = await file.read(there, 0, there.length, at);
    if (!there.subarray(0, count).equals(piece.subarray(0, there.length))) return false;
    at += piece.length;
    if (at > size) return true;
  }
  return false;
}

/** Writes the block of a sealed segment whose rows are in memory, all of them, and takes it in their place. */
export async function writeBlock(input: WriteBlockInput): Promise<void> {
  const { files, storeId, segment, cache } = input;
  // Made of what was left after damage, it would say that this is all there ever was.
  assert(!segment.indexOnDisk, "a block is made of rows in memory that lack nothing");
  const pages = encodeBlock(input, () => input.isBehind?.() === true);
  const size = files.file(segment.id).sizeSync();
  if (size > segment.framesEnd) {
    await replaceFile(files.disk, files.directory, segmentName(segment.id), withFrames(files, segment, pages));
    files.forget(segment.id);
  } else await appendBlock(files, segment, pages);
  const opened = openBlock(files, segment.id, storeId, cache);
  if (opened.kind !== "ok") throw new Error(`The index block of segment ${segment.id} was written and cannot be read: ${opened.reason}`);
  takeBlock(segment, opened.block);
}

/** Takes a segment's block in place of its rows in memory. Whoever has a cursor over those goes on: a row has the same number in both. */
export function takeBlock(segment: SegmentEntry, { index }: OpenedBlock): void {
  segment.index = index;
  segment.indexOnDisk = true;
  segment.blockIsBad = false;
  segment.systemFrames = [];
}

/** The block in pieces of some size, the last of them root and trailer alone; the event loop rests between two. */
async function* blockPieces(pages: Iterable<Uint8Array>, isBehind: () => boolean): AsyncGenerator<Uint8Array> {
  let gathered: Uint8Array[] = [];
  let gatheredBytes = 0;
  let bytesSinceRest = 0;
  let end: Uint8Array | null = null;
  // For as long as a block is not written, checkpoints carry its segment's rows.
  const pace = new Pace(undefined, isBehind);
  for (const page of pages) {
    if (end !== null && page.length > 0) {
      gathered.push(end);
      gatheredBytes += end.length;
    }
    if (page.length > 0) end = page;
    bytesSinceRest += page.length > 0 ? page.length : STEP_BYTES;
    if (gatheredBytes >= WRITE_BYTES) {
      yield Buffer.concat(gathered);
      gathered = [];
      gatheredBytes = 0;
    }
    if (bytesSinceRest < STEP_BYTES) continue;
    bytesSinceRest = 0;
    if (pace.isDue) await pace.rest();
  }
  if (gatheredBytes > 0) yield Buffer.concat(gathered);
  if (end !== null) yield end;
}

async function appendBlock(files: SegmentFiles, segment: SegmentEntry, pieces: AsyncIterable<Uint8Array>): Promise<void> {
  const file = await files.disk.open(files.path(segment.id), "write");
  try {
    let at = segment.framesEnd;
    let end: Uint8Array = new Uint8Array(0);
    for await (const piece of pieces) {
      await file.write(end, 0, end.length, at, false);
      at += end.length;
      end = piece;
    }
    await file.sync();
    await file.write(end, 0, end.length, at, false);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** The segment's frames as they are, and then the block. */
async function* withFrames(files: SegmentFiles, segment: SegmentEntry, pieces: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const file = files.pin(segment.id);
  try {
    for (let at = 0; at < segment.framesEnd; ) {
      const block = Buffer.allocUnsafe(Math.min(WRITE_BYTES, segment.framesEnd - at));
      const count = await file.read(block, 0, block.length, at);
      if (count === 0) throw new Error(`Segment ${segment.id} ends at ${at}, before its seal does`);
      yield block.subarray(0, count);
      at += count;
    }
    yield* pieces;
  } finally {
    files.unpin(segment.id);
  }
}
