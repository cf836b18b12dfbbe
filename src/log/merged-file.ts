/**
 * A merged segment in a file under a temporary name, whole and synced, with its index block: all that is left to do is the rename. What was
 * written is read back on the way, frame by frame.
 */
import { getUint64 } from "../base/u64.ts";
import { writeTemporary } from "../disk/replace-file.ts";
import { nativeFrames } from "../format/native/frame-format.ts";
import { FRAME, FRAME_FLAG } from "../format/native/frame-layout.ts";
import { frameFlags, frameLength, segmentSeed } from "../format/native/frame.ts";
import { ActiveSegmentIndex } from "../index/active-segment-index.ts";
import { PageCache } from "../index/page-cache.ts";
import type { SegmentEntry, StoreIndex } from "../index/store-index.ts";
import { writeBlock } from "./block-files.ts";
import { FrameCache } from "./frame-cache.ts";
import { FrameSource } from "./frame-source.ts";
import { frameBlocks, type MergeInput, writeMergedSegment } from "./merge-segments.ts";
import { addRecordInForce } from "./records-in-force.ts";
import { pushFrameRow } from "./replay.ts";
import { lastBefore } from "./scan-sync.ts";
import { SegmentFiles, segmentName } from "./segment-files.ts";

export interface MergedFile {
  /** Of the temporary file. */
  readonly path: string;
  /** Its size. */
  readonly bytes: number;
  /** The segment as the index is to know it; its index is loaded when it is first asked for. */
  readonly entry: SegmentEntry;
}

export interface MergedFileInput extends MergeInput {
  readonly index: StoreIndex;
  /** The segments of `segments`, as the index knows them. */
  readonly entries: readonly SegmentEntry[];
}

const CACHE_BYTES = 1024 * 1024;
const ENTITIES_PER_STEP = 1024;
/** What is added to a previous sequence, which is -1 where there is none, so that 0 is left for what is not known. */
const PREVIOUS_OFFSET = 2;

export async function writeMergedFile(input: MergedFileInput): Promise<MergedFile> {
  const { disk, directory } = input.files;
  const path = await writeTemporary(disk, directory, segmentName(input.entries[0].id), (file) => writeMergedSegment(input, file));
  try {
    return { path, ...(await indexedEntry(input, path)) };
  } catch (error) {
    await disk.remove(path).catch(() => {});
    throw error;
  }
}

async function indexedEntry(input: MergedFileInput, path: string): Promise<Omit<MergedFile, "path">> {
  const { index, entries, storeId, generation, pause } = input;
  const { disk, directory } = input.files;
  const [first] = entries;
  const last = entries[entries.length - 1];
  const files = new SegmentFiles(disk, directory, () => path);
  const seed = segmentSeed(storeId, first.id);
  const frames = new FrameSource(nativeFrames, files, new FrameCache(files, CACHE_BYTES), () => seed);
  try {
    const events = input.segments.reduce((sum, { kept }) => sum + kept.count, 0);
    const rows = new ActiveSegmentIndex(index.entities, index.scopes, first.firstSequence, events);
    const entry: SegmentEntry = {
      id: first.id,
      firstSequence: first.firstSequence,
      nextSequence: last.nextSequence,
      generation,
      sealed: true,
      framesEnd: files.file(first.id).sizeSync(),
      frames: 0,
      visibleFrames: 0,
      lastIssuedId: last.lastIssuedId.slice(),
      index: rows,
      indexOnDisk: false,
      systemFrames: [],
    };
    const previous = await previousSequences(input);
    for await (const { bytes, view, from, frames: found } of frameBlocks(files, storeId, first.id, entry.framesEnd, pause)) {
      for (const at of found) {
        entry.frames++;
        const flags = frameFlags(view, at);
        if ((flags & FRAME_FLAG.retention) !== 0) continue;
        if ((flags & FRAME_FLAG.system) !== 0) addRecordInForce(entry.systemFrames, bytes.slice(at, at + frameLength(view, at)));
        else {
          const entityId = pushFrameRow(index, rows, bytes, view, at, from + at, (id) => (previous[id] || 1) - PREVIOUS_OFFSET);
          previous[entityId] = getUint64(view, at + FRAME.sequence) + PREVIOUS_OFFSET;
        }
      }
    }
    entry.visibleFrames = entry.frames;
    await writeBlock({ files, index, frames, storeId, cache: new PageCache(0), segment: entry });
    entry.index = null;
    return { bytes: files.file(first.id).sizeSync(), entry };
  } finally {
    files.closeAll();
  }
}

/**
 * By entity id: the sequence of its last event before these segments and two, of those that have any in them; 1 where it has none before them, and 0 for
 * all others.
 */
async function previousSequences({ index, entries, pause }: MergedFileInput): Promise<Float64Array> {
  const previous = new Float64Array(index.entities.size);
  const [{ firstSequence }] = entries;
  const within: number[] = [];
  for (const entry of entries) {
    let rows = index.indexOf(entry);
    for (let from = 0, ended = false; !ended; await pause()) {
      // Made anew where a page of it was bad: then in another order.
      if (rows !== index.indexOf(entry)) [rows, from] = [index.indexOf(entry), 0];
      const met = index.withSoundIndex(() => {
        const some: [string, number][] = [];
        index.indexOf(entry).entities((name, { previousSequence }) => some.push([name, previousSequence]) < ENTITIES_PER_STEP, from);
        return some;
      });
      for (const [name, sequence] of met) {
        const id = index.entities.find(name);
        if (previous[id] !== 0) continue;
        previous[id] = sequence + PREVIOUS_OFFSET;
        if (sequence >= firstSequence) within.push(id);
      }
      from += met.length;
      ended = met.length < ENTITIES_PER_STEP && rows === index.indexOf(entry);
    }
  }
  // An earlier compaction may have removed what such a link leads to.
  for (const id of within) {
    previous[id] = index.withSoundIndex(() => lastBefore(index, index.entities.name(id), entries[0])) + PREVIOUS_OFFSET;
    await pause();
  }
  return previous;
}
