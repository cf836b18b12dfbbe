/**
 * What can be known of a segment of the batpak 0.3 layout without reading its frames, and the walk along its frames with the verdict on
 * where they end: at the footer, at a torn write, or behind damage.
 *
 * Of a bad frame:
 * 1. Where `durable.mark` names the segment (the newest), it is damage before the synced position, or before what a checkpoint lists, which is written of
 *    synced frames only, and a torn tail from there on.
 * 2. Elsewhere it is damage if a whole frame follows it in the segment, or a footer or an entry of the checkpoint lies at or past it, or the file ends
 *    in a footer that cannot be used and a frame was begun where it is bad; else it is a torn tail, as the original leaves one behind when it dies: it
 *    never cuts, and goes on in a new segment.
 * 3. A header that cannot be read, with no frame behind it and nothing that speaks of any, is a torn one, unless it is one that no crash leaves: that
 *    of another program's file, or of a later version's. It has no checksum: before whole frames it passes for damaged in any case.
 * 4. What no reader may see yet (at or past a living writer's visible position) is not looked at.
 */
import { viewOf } from "../base/msgpack.ts";
import { inSteps } from "../base/rest.ts";
import type { DiskFile } from "../disk/disk.ts";
import { decodeFooter, decodeTrailer, type Footer, type FooterTrailer } from "../format/batpak03/footer.ts";
import { type Frame, isBatchMarker, unreadableFault } from "../format/batpak03/frame.ts";
import { FOOTER_TRAILER, FRAME_PREFIX, SEGMENT_HEADER } from "../format/batpak03/layout.ts";
import { type Corrupt, corrupt, type Foreign } from "../format/batpak03/outcome.ts";
import { mayBeginFrame } from "../format/batpak03/resync.ts";
import { decodeSegmentHeader } from "../format/batpak03/segment.ts";
import type { FrameReader } from "./batpak03-frame-reader.ts";

/** A frame's prefix, and how its body begins. */
const FRAME_START_BYTES = FRAME_PREFIX.body + 2;
/** Frames that are visited in one step, if they are not more than a window. */
const FRAMES_PER_STEP = 256;
/** A footer of more bytes is not read: it would have to be held at once. One of the smallest events there are, in a segment of 1 GiB, takes 400 MiB. */
const FOOTER_BYTES_MAX = 512 * 1024 * 1024;

export interface Batpak03Segment {
  readonly id: number;
  readonly fileBytes: number;
  /** Where the first frame stands; 0 where the header cannot be read, for the reason in `headerFault`. */
  readonly framesOffset: number;
  readonly headerFault: string | null;
  /** Set where that is because the file is none of this layout's, or a later version's. */
  readonly foreign: Foreign | null;
  /** Nothing at or past this offset is looked at. */
  readonly end: number;
  /** Null where there is no footer, or none that can be used, for the reason in `footerFault`. */
  readonly trailer: FooterTrailer | null;
  /** Counts only where frames do not reach the end: the last of them may end in a name that looks like a footer's trailer. */
  readonly footerFault: string | null;
}

/** Looks at a segment's head and tail. Blocking, a few microseconds. */
export function lookAtSegment(file: DiskFile, id: number, limit: number): Batpak03Segment {
  const fileBytes = file.sizeSync();
  const head = new Uint8Array(Math.min(SEGMENT_HEADER.bytesMax, fileBytes));
  const count = file.readSync(head, 0, head.length, 0);
  const header = decodeSegmentHeader(head, viewOf(head), count);
  const framesOffset = header.kind === "ok" ? header.end : 0;
  const headerFault =
    header.kind !== "ok" ? header.reason : header.segmentId === id ? null : `its header names segment ${header.segmentId}`;
  const foreign = header.kind === "foreign" || header.kind === "later" ? header : null;
  const end = Math.min(fileBytes, limit);
  const known = { id, fileBytes, framesOffset, headerFault, foreign, end };
  if (end < fileBytes) return { ...known, trailer: null, footerFault: null };
  const tail = new Uint8Array(Math.min(FOOTER_TRAILER.bytes, fileBytes));
  file.readSync(tail, 0, tail.length, fileBytes - tail.length);
  const trailer = decodeTrailer(tail, fileBytes, framesOffset);
  if (trailer.kind === "absent") return { ...known, trailer: null, footerFault: null };
  if (trailer.kind === "corrupt") return { ...known, trailer: null, footerFault: trailer.reason };
  if (beginsTable(file, trailer.tableOffset)) return { ...known, trailer, footerFault: null };
  return { ...known, trailer: null, footerFault: `no table of names begins at ${trailer.tableOffset}, where the footer claims one` };
}

/**
 * Whether a segment is no rest of a batch that was begun before it, unless it has its COMMIT: a footer lists nothing that is not committed, and a segment is
 * begun within a batch for a frame of it.
 */
export function standsAlone({ trailer, framesOffset }: Batpak03Segment): boolean {
  return trailer !== null && (trailer.entryCount > 0 || trailer.tableOffset === framesOffset);
}

/**
 * Whether an array's header stands there. A frame ends in a name of the user's choice, which may look like a footer's trailer: one that leads to where
 * a frame begins would take that frame and all behind it for the footer. A frame's length begins with such a byte only past 2 GiB.
 */
function beginsTable(file: DiskFile, offset: number): boolean {
  const tag = new Uint8Array(1);
  file.readSync(tag, 0, 1, offset);
  return (tag[0] & 0xf0) === 0x90 || tag[0] === 0xdc || tag[0] === 0xdd;
}

/** Whether a frame was begun there, and not a table of names: a whole frame's place in front of a footer that cannot be used. */
function beginsFrame(file: DiskFile, offset: number): boolean {
  const start = new Uint8Array(FRAME_START_BYTES);
  file.readSync(start, 0, start.length, offset);
  return mayBeginFrame(start, 0) && !beginsTable(file, offset);
}

/** Reads a segment's footer; null where there is none, or none that can be used, by the segment's tail. */
export async function readFooter(file: DiskFile, { trailer, fileBytes }: Batpak03Segment): Promise<Footer | Corrupt | null> {
  if (trailer === null) return null;
  const bytes = fileBytes - trailer.tableOffset;
  if (bytes > FOOTER_BYTES_MAX) return corrupt(`the footer takes ${bytes} bytes, at most ${FOOTER_BYTES_MAX} are read`);
  const region = new Uint8Array(bytes);
  const count = await file.read(region, 0, bytes, trailer.tableOffset);
  return await inSteps(decodeFooter(region.subarray(0, count), trailer));
}

export interface WalkPolicy {
  /** Up to where `durable.mark` says that this segment was synced; -1 where it does not name it. */
  readonly syncedOffset: number;
  /** Up to where a checkpoint knows of frames. */
  readonly claimedEnd: number;
}

export interface WalkSink {
  /** A whole frame; `frame.offset` is that in its `bytes`, `offset` that in the segment. Not to be kept. */
  frame(frame: Frame, offset: number): void;
  damage(offset: number, reason: string): void;
  /** A whole frame, whose event cannot be shown. */
  unreadable(offset: number, reason: string): void;
  torn(offset: number, bytes: number, reason: string): void;
  /** The file is none of the store's. */
  foreign(outcome: Foreign): void;
}

/** Where a walk ended. */
export interface WalkEnd {
  /** After the last whole frame. */
  readonly framesEnd: number;
  /** Whether the footer begins there. */
  readonly atFooter: boolean;
}

/** Visits the frames in `[from, to)` of a segment, in steps. */
export function* walkSegment(
  reader: FrameReader,
  file: DiskFile,
  segment: Batpak03Segment,
  from: number,
  to: number,
  policy: WalkPolicy,
  sink: WalkSink,
): Generator<void, WalkEnd, undefined> {
  reader.begin(file, from, to);
  const tableOffset = segment.trailer?.tableOffset ?? -1;
  let framesEnd = from;
  let frames = 0;
  let windows = reader.windows;
  if (from === 0 && segment.framesOffset === 0 && !(yield* passHeader(reader, segment, policy, sink)))
    return { framesEnd, atFooter: false };
  for (;;) {
    const frame = reader.next();
    if (reader.windows !== windows || ++frames % FRAMES_PER_STEP === 0) {
      windows = reader.windows;
      yield;
    }
    if (frame !== null) {
      framesEnd = reader.position;
      const fault = isBatchMarker(frame) ? null : unreadableFault(frame);
      if (fault === null) sink.frame(frame, framesEnd - frame.length);
      else sink.unreadable(framesEnd - frame.length, fault);
      continue;
    }
    const bad = reader.position;
    if (bad === tableOffset && bad === framesEnd) return { framesEnd, atFooter: true };
    if (bad >= to) {
      if (to === segment.fileBytes && to < policy.syncedOffset)
        sink.damage(to, `the file ends here, it was synced up to ${policy.syncedOffset}`);
      return { framesEnd, atFooter: bad === tableOffset };
    }
    const reason = reader.fault;
    // The mark may be older than a checkpoint, of a file that is still the one that it speaks of.
    const isListed = policy.claimedEnd > bad && policy.claimedEnd <= segment.fileBytes;
    if (policy.syncedOffset >= 0 && bad >= policy.syncedOffset && segment.end === segment.fileBytes && !isListed) {
      sink.torn(bad, to - bad, reason);
      return { framesEnd, atFooter: false };
    }
    const next = yield* reader.findNext();
    if (next === "none" && !isClaimedPast(segment, bad, to, policy) && !(segment.footerFault !== null && beginsFrame(file, bad))) {
      // What an unusable footer leaves is no torn write.
      if (segment.footerFault === null) sink.torn(bad, to - bad, reason);
      return { framesEnd, atFooter: false };
    }
    sink.damage(bad, reason);
    if (next !== "found") return { framesEnd: Math.max(framesEnd, Math.min(tableOffset, to)), atFooter: tableOffset > bad };
  }
}

/** A segment whose header cannot be read may still hold frames. */
function* passHeader(
  reader: FrameReader,
  segment: Batpak03Segment,
  policy: WalkPolicy,
  sink: WalkSink,
): Generator<void, boolean, undefined> {
  const reason = `its header cannot be read: ${segment.headerFault}`;
  const next = segment.fileBytes === 0 ? "none" : yield* reader.findNext();
  if (next !== "none" || policy.claimedEnd > 0 || policy.syncedOffset > 0) sink.damage(0, reason);
  else if (segment.foreign !== null) sink.foreign(segment.foreign);
  else sink.torn(0, segment.fileBytes, reason);
  return next === "found";
}

/** Whether something says that there were frames past a bad one. */
function isClaimedPast(segment: Batpak03Segment, bad: number, to: number, policy: WalkPolicy): boolean {
  const { trailer } = segment;
  return policy.claimedEnd > bad || policy.syncedOffset > bad || to < segment.fileBytes || (trailer !== null && trailer.tableOffset >= bad);
}
