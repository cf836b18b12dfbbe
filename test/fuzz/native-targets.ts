/** Fuzz targets: every decoder of the native layout. */
import { crc32 } from "node:zlib";
import { isStoreError } from "../../src/base/store-error.ts";
import { decodeUtf8 } from "../../src/base/utf8-decode.ts";
import { atOnce } from "../../src/base/rest.ts";
import { restoreCheckpoint } from "../../src/checkpoint/restore.ts";
import { CHECKPOINT, decodeCheckpoint, encodeCheckpoint } from "../../src/format/native/checkpoint.ts";
import { DURABLE_MARK, decodeDurableMark, encodeDurableMark } from "../../src/format/native/durable-mark.ts";
import { nativeFrames } from "../../src/format/native/frame-format.ts";
import { FRAME, LENGTH_MASK } from "../../src/format/native/frame-layout.ts";
import { checkFrame, entityStart, frameLength, frameSeed, scopeStart, segmentSeed } from "../../src/format/native/frame.ts";
import {
  INDEX_ROOT,
  INDEX_TRAILER,
  blockLayout,
  blockSeed,
  pageChecksum,
  pageDataBytes,
  pageOffset,
} from "../../src/format/native/index-block-layout.ts";
import { INDEX_SECTIONS } from "../../src/format/native/index-block-layout.ts";
import { decodeSeal, isSeal } from "../../src/format/native/seal.ts";
import { SEGMENT_HEADER, decodeSegmentHeader, encodeSegmentHeader } from "../../src/format/native/segment-header.ts";
import { blake3 } from "../../src/kernel/frame-kernel.ts";
import { ActiveSegmentIndex } from "../../src/index/active-segment-index.ts";
import { PageCache } from "../../src/index/page-cache.ts";
import { IndexPageError, SealedSegmentIndex } from "../../src/index/sealed-segment-index.ts";
import { endsBatch, type SegmentIndex } from "../../src/index/segment-index.ts";
import type { IndexSource } from "../../src/index/store-index.ts";
import type { Files } from "../support/small-stores.ts";
import type { FuzzInput, FuzzTarget } from "./fuzz-run.ts";
import { below, joined, pick, type Random } from "./mutation.ts";

/** Frames are fuzzed as if they stood here. */
const PLACE = 4096;
const SEED = segmentSeed(new Uint8Array(16), 7);

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/** As JSON, with what JSON lacks. */
export function text(value: unknown): string {
  return JSON.stringify(value, (_key, member: unknown) => {
    if (typeof member === "bigint") return `${member}n`;
    if (typeof member === "number" && !Number.isFinite(member)) return String(member);
    return ArrayBuffer.isView(member) ? hex(new Uint8Array(member.buffer, member.byteOffset, member.byteLength)) : member;
  });
}

/** What `read` gives, or the reason of the one error that it may throw. */
export function readable(read: () => unknown): unknown {
  try {
    return read();
  } catch (error) {
    if (isStoreError(error, "CORRUPT")) return { corrupt: error.details.reason };
    if (error instanceof IndexPageError) return { badPage: error.reason };
    throw error;
  }
}

export function nativeTargets(files: Files): FuzzTarget[] {
  const segments = [...files].filter(([name]) => name.endsWith(".fbat")).map(([, bytes]) => bytes);
  const storeId = segments[0].slice(SEGMENT_HEADER.storeId, SEGMENT_HEADER.storeId + 16);
  return [
    { name: "native-frame", weight: 20, corpus: framesOf(segments, storeId), mend: mendFrame, run: runFrame },
    {
      name: "native-segment-header",
      weight: 10,
      corpus: segments.map((bytes) => bytes.slice(0, SEGMENT_HEADER.bytes)),
      mend: (bytes) => mendChecksum(bytes, SEGMENT_HEADER.crc, 0, SEGMENT_HEADER.crc),
      run: runHeader,
    },
    {
      name: "durable-mark",
      weight: 10,
      corpus: [files.get("durable.mark") as Uint8Array],
      mend: (bytes) => mendChecksum(bytes, DURABLE_MARK.crc, 0, DURABLE_MARK.crc),
      run: runMark,
    },
    { name: "native-index-block", weight: 4, corpus: blocksOf(segments), mend: mendBlock, run: runBlock, bytesMax: 4 * 1024 * 1024 },
    {
      name: "native-checkpoint",
      weight: 4,
      corpus: [files.get("index.ckpt") as Uint8Array],
      mend: mendCheckpoint,
      run: runCheckpoint,
      bytesMax: 4 * 1024 * 1024,
    },
  ];
}

function mendChecksum(bytes: Uint8Array, crcAt: number, from: number, to: number): Uint8Array {
  if (bytes.length >= crcAt + 4 && bytes.length >= to) viewOf(bytes).setUint32(crcAt, crc32(bytes.subarray(from, to)), true);
  return bytes;
}

/** Changes a file of a native store, and makes right again every checksum and half of the hashes that lie over the change. */
export function forgeFile(name: string, original: Uint8Array, random: Random): Uint8Array {
  const bytes = Uint8Array.from(original);
  if (name === "index.ckpt") return mendCheckpoint(bytes, random);
  const view = viewOf(bytes);
  const change = (from: number, to: number): void => {
    for (let i = 0; i <= below(random, 3); i++)
      bytes[from + below(random, to - from)] = pick(random, [0, 1, 2, 0x7f, 0xff, below(random, 256)]);
  };
  if (name === "durable.mark") {
    change(0, DURABLE_MARK.crc);
    return mendChecksum(bytes, DURABLE_MARK.crc, 0, DURABLE_MARK.crc);
  }
  const seed = segmentSeed(bytes.subarray(SEGMENT_HEADER.storeId, SEGMENT_HEADER.storeId + 16), Number.parseInt(name, 10));
  const frames: number[] = [];
  let at: number = SEGMENT_HEADER.bytes;
  for (; checkFrame(bytes, view, at, bytes.length, seed, at) === "ok"; at += frameLength(view, at)) frames.push(at);
  const what = below(random, 4);
  if (what === 0) {
    change(0, SEGMENT_HEADER.crc);
    return mendChecksum(bytes, SEGMENT_HEADER.crc, 0, SEGMENT_HEADER.crc);
  }
  if (what === 1 && at < bytes.length) {
    change(at, bytes.length);
    return joined(bytes.subarray(0, at), mendBlock(bytes.slice(at)));
  }
  const frame = pick(random, frames.length > 0 && below(random, 4) === 0 ? frames.slice(-2) : frames);
  if (frame === undefined) return bytes;
  const end = frame + frameLength(view, frame);
  change(frame + FRAME.syncBack, below(random, 2) === 0 ? frame + FRAME.variable : end - FRAME.hashBytes);
  if (below(random, 2) === 0) bytes.set(blake3(bytes.subarray(frame + FRAME.body, end - FRAME.hashBytes)), end - FRAME.hashBytes);
  view.setUint32(frame, crc32(bytes.subarray(frame + FRAME.length, end), frameSeed(seed, frame)), true);
  return bytes;
}

// Frames.

function framesOf(segments: readonly Uint8Array[], storeId: Uint8Array): Uint8Array[] {
  const frames: Uint8Array[] = [];
  for (const bytes of segments) {
    const view = viewOf(bytes);
    const seed = segmentSeed(storeId, Number(view.getBigUint64(SEGMENT_HEADER.segmentId, true)));
    for (let at: number = SEGMENT_HEADER.bytes; checkFrame(bytes, view, at, bytes.length, seed, at) === "ok"; at += frameLength(view, at))
      frames.push(Uint8Array.from(mendFrame(bytes.slice(at, at + frameLength(view, at)))));
  }
  // The seals and the large one, and one in ten of the others.
  return frames.filter((frame, i) => isSeal(viewOf(frame), 0) || frame.length > 1000 || i % 10 < 2);
}

function mendFrame(bytes: Uint8Array): Uint8Array {
  if (bytes.length < FRAME.body) return bytes;
  const view = viewOf(bytes);
  const word = view.getUint32(FRAME.length, true);
  view.setUint32(FRAME.length, ((word & ~LENGTH_MASK) | (bytes.length & LENGTH_MASK)) >>> 0, true);
  view.setUint32(FRAME.crc, crc32(bytes.subarray(FRAME.length), frameSeed(SEED, PLACE)), true);
  return bytes;
}

function runFrame({ bytes, whole, view, at }: FuzzInput): string {
  const limit = at + bytes.length;
  const check = checkFrame(whole, view, at, limit, SEED, PLACE);
  if (check !== "ok") return check;
  if (isSeal(view, at)) return `seal ${text(decodeSeal(view, at))}`;
  const length = frameLength(view, at);
  if (length > bytes.length) throw new Error(`a frame of ${length} bytes in ${bytes.length}`);
  return `ok ${text({
    length,
    kind: nativeFrames.kind(view, at),
    version: nativeFrames.version(view, at),
    clock: nativeFrames.clock(view, at),
    time: nativeFrames.timeMicros(view, at),
    id: nativeFrames.id(whole, view, at),
    correlation: nativeFrames.correlationId(whole, view, at),
    causation: nativeFrames.causationId(whole, view, at),
    hash: nativeFrames.hash(whole, view, at),
    previous: nativeFrames.previousHash(whole, view, at),
    entity: decodeUtf8(whole, entityStart(view, at), scopeStart(view, at)),
    scope: readable(() => nativeFrames.scope(whole, view, at)),
    metadata: readable(() => nativeFrames.metadata(whole, view, at)),
    payload: readable(() => nativeFrames.payload(whole, view, at)),
  })}`;
}

// Header and mark.

function runHeader({ bytes }: FuzzInput): string {
  const outcome = decodeSegmentHeader(bytes);
  if (outcome.kind !== "ok") return `${outcome.kind} ${outcome.reason}`;
  const again = decodeSegmentHeader(encodeSegmentHeader(outcome.header));
  if (text(again) !== text(outcome)) throw new Error("the header does not come back as it was");
  return `ok ${text(outcome)}`;
}

function runMark({ bytes }: FuzzInput): string {
  const mark = decodeDurableMark(bytes);
  if (mark === null) return "ignored";
  const again = new Uint8Array(DURABLE_MARK.bytes);
  encodeDurableMark(mark, again, viewOf(again));
  if (hex(again) !== hex(bytes.subarray(0, DURABLE_MARK.bytes))) throw new Error("the mark does not come back as it was");
  return `ok ${text(mark)}`;
}

// Index blocks.

function blocksOf(segments: readonly Uint8Array[]): Uint8Array[] {
  const blocks: Uint8Array[] = [];
  for (const bytes of segments) {
    const view = viewOf(bytes);
    const at = bytes.length - INDEX_TRAILER.bytes;
    if (at < 0 || Buffer.from(bytes.subarray(at, at + 8)).toString("latin1") !== "FBATIDX1") continue;
    blocks.push(bytes.slice(bytes.length - Number(view.getBigUint64(at + INDEX_TRAILER.blockBytes, true))));
  }
  return blocks;
}

/** Lengths that follow from others, then every checksum, from the pages up. */
export function mendBlock(bytes: Uint8Array): Uint8Array {
  const trailerAt = bytes.length - INDEX_TRAILER.bytes;
  if (trailerAt < INDEX_ROOT.bytes) return bytes;
  const view = viewOf(bytes);
  const rootAt = trailerAt - view.getUint32(trailerAt + INDEX_TRAILER.rootBytes, true);
  if (rootAt < 0 || trailerAt - rootAt < INDEX_ROOT.bytes) return bytes;
  view.setBigUint64(trailerAt + INDEX_TRAILER.blockBytes, BigInt(bytes.length), true);
  const count = (field: number): number => view.getUint32(rootAt + field, true);
  const layout = blockLayout({
    rowCount: count(INDEX_ROOT.rowCount),
    entityCount: count(INDEX_ROOT.entityCount),
    scopeCount: count(INDEX_ROOT.scopeCount),
    flags: count(INDEX_ROOT.flags),
    entityNameBytes: count(INDEX_ROOT.entityNameBytes),
    scopeNameBytes: count(INDEX_ROOT.scopeNameBytes),
    filterBytes: count(INDEX_ROOT.filterBytes),
    systemBytes: count(INDEX_ROOT.systemBytes),
    kindCount: count(INDEX_ROOT.kindCount),
    linkCount: count(INDEX_ROOT.linkCount),
  });
  const seed = blockSeed(
    bytes.subarray(rootAt, rootAt + 16),
    Number(view.getBigUint64(rootAt + INDEX_ROOT.segmentId, true)),
    Number(view.getBigUint64(rootAt + INDEX_ROOT.generation, true)),
  );
  for (const name of INDEX_SECTIONS) {
    const section = layout[name];
    for (let page = 0; page < Math.min(section.pageCount, 100); page++) {
      const from = pageOffset(section, page);
      const end = from + pageDataBytes(section, page);
      if (end + 4 <= rootAt) view.setUint32(end, pageChecksum(bytes.subarray(from, end), seed, section.firstPage + page), true);
    }
  }
  view.setUint32(trailerAt + INDEX_TRAILER.rootChecksum, crc32(bytes.subarray(rootAt, trailerAt)), true);
  view.setUint32(trailerAt + INDEX_TRAILER.checksum, crc32(bytes.subarray(trailerAt, trailerAt + INDEX_TRAILER.checksum)), true);
  return bytes;
}

function runBlock({ bytes }: FuzzInput): string {
  const read = (target: Uint8Array, offset: number, length: number, position: number): number => {
    const piece = bytes.subarray(position, position + length);
    target.set(piece, offset);
    return piece.length;
  };
  const trailerAt = Math.max(0, bytes.length - INDEX_TRAILER.bytes);
  const storeId = new Uint8Array(16);
  storeId.set(bytes.subarray(trailerAt + INDEX_TRAILER.storeId, trailerAt + INDEX_TRAILER.storeId + 16));
  const segmentId = bytes.length < INDEX_TRAILER.bytes ? 1 : Number(viewOf(bytes).getBigUint64(trailerAt + INDEX_TRAILER.segmentId, true));
  const opened = SealedSegmentIndex.open(read, bytes.length, new PageCache(1024 * 1024), { storeId, segmentId });
  if (!opened.ok) return `refused: ${opened.reason}`;
  const { index } = opened;
  const pages = Array.from({ length: Math.min(10, index.idPageCount) }, (_, page) => readable(() => index.idPage(page)));
  const { lists } = index;
  const links = Array.from({ length: Math.min(10, lists?.linkPageCount ?? 0) }, (_, page) => readable(() => lists?.linkPage(page)));
  return `ok ${text([walkIndex(index), readable(() => index.systemRecords()), readable(() => index.scopes()), pages, links])}`;
}

/** Asks an index everything that reading and appending ask, a bounded number of times. */
function walkIndex(index: SegmentIndex): unknown {
  const said: unknown[] = [index.rowCount, index.firstSequence];
  const names: string[] = [];
  said.push(
    readable(() => {
      const entities: unknown[] = [];
      index.entities((name, summary) => {
        names.push(name);
        entities.push([name, summary.rows, summary.firstClock, summary.lastClock, summary.lastSequence, summary.previousSequence]);
        return entities.length < 100;
      });
      return entities;
    }),
  );
  for (const name of [...names.slice(0, 5), "e1", "nobody"]) {
    said.push(readable(() => index.entity(name)?.rows));
    said.push(readable(() => rowsOf(index, { entity: name }, "backward")));
    said.push(readable(() => rowsOf(index, { entity: name, clockFrom: 3, clockTo: 6 }, "forward")));
  }
  said.push(readable(() => rowsOf(index, {}, "forward")));
  said.push(readable(() => rowsOf(index, { entityPrefix: "e", kinds: [0x1000, 0x1001] }, "forward")));
  said.push(readable(() => rowsOf(index, { scope: "s", timeFrom: 1 }, "backward")));
  said.push(readable(() => rowsOf(index, { scope: "s" }, "backward")));
  for (const kind of [0x1000, 0xf001]) said.push(readable(() => rowsOf(index, { kinds: [kind] }, "forward")));
  for (const tag of [1, 0x1234_5678, 0xffff_ffff]) {
    said.push(readable(() => rowsOf(index, { correlationTag: tag }, "forward")));
    said.push(readable(() => rowsOf(index, { causationTag: tag, scope: "s" }, "backward")));
  }
  for (let row = 0; row < Math.min(20, index.rowCount); row++) {
    said.push(readable(() => [index.sequenceAt(row), index.clockAt(row), index.timeAt(row), index.offsetAt(row), endsBatch(index, row)]));
    said.push(readable(() => index.rowAtSequence(index.firstSequence + row)));
  }
  said.push(
    readable(() => index.rowsByIdTag(0x1234_5678)),
    readable(() => index.mayHoldForeignId(1, 2)),
  );
  return said;
}

function rowsOf(index: SegmentIndex, filter: Parameters<SegmentIndex["cursor"]>[0], direction: "forward" | "backward"): number[] {
  const cursor = index.cursor(filter, 0, index.rowCount, direction);
  const out = new Uint32Array(64);
  const rows: number[] = [];
  for (let step = 0; step < 200; step++) {
    const count = cursor.next(out);
    if (count === 0) break;
    for (let i = 0; i < count; i++) {
      if (out[i] >= index.rowCount) throw new Error(`row ${out[i]} of ${index.rowCount}`);
      rows.push(out[i]);
    }
  }
  return rows;
}

// Checkpoints.

const EVIL_VALUES: readonly unknown[] = [
  0,
  1,
  -1,
  2 ** 31,
  2 ** 32,
  2 ** 53 - 1,
  2 ** 60,
  0.5,
  Number.NaN,
  7n,
  "x",
  null,
  true,
  [],
  {},
  new Uint8Array(0),
  new Uint8Array(16),
  new Uint8Array(300),
];

/** Changes one value of the description, as somebody who forges one would; or only makes the CRC right. */
function mendCheckpoint(bytes: Uint8Array, random: Random): Uint8Array {
  let mended = mendChecksum(bytes, CHECKPOINT.crc, CHECKPOINT.descriptionTag, bytes.length);
  if (below(random, 2) === 0) return mended;
  const decoded = decodeCheckpoint(mended);
  if (decoded.kind !== "ok") return mended;
  const columns = new Map(decoded.content.columns);
  const { columns: _lengths, ...description } = structuredClone(decoded.content.description);
  if (below(random, 4) === 0) {
    const name = pick(random, [...columns.keys()]);
    const column = Uint8Array.from(columns.get(name) as Uint8Array);
    if (column.length >= 4)
      viewOf(column).setUint32(4 * below(random, column.length >>> 2), pick(random, [0, 1, 5, 0xffff, 0xffff_ffff]), true);
    columns.set(name, column);
  } else changeSomewhere(description, random);
  try {
    mended = joined(...encodeCheckpoint({ description, columns }));
  } catch {
    // A value that cannot be stored.
  }
  return mended;
}

function changeSomewhere(value: Record<string, unknown>, random: Random): void {
  const key = pick(random, Object.keys(value));
  if (key === undefined) return;
  const member = value[key];
  const deeper = typeof member === "object" && member !== null && !(member instanceof Uint8Array) && Object.keys(member).length > 0;
  if (deeper && below(random, 8) > 0) changeSomewhere(member as Record<string, unknown>, random);
  else if (typeof member === "number" && below(random, 2) === 0) value[key] = Math.max(0, member + below(random, 5) - 2);
  else value[key] = pick(random, EVIL_VALUES);
}

const NO_SOURCE: IndexSource = {
  hasId: () => false,
  loadIndex: () => {
    throw new Error("an index was asked for");
  },
  rebuildIndex: () => {
    throw new Error("an index was asked for");
  },
};

function runCheckpoint({ bytes }: FuzzInput): string {
  const decoded = decodeCheckpoint(bytes);
  if (decoded.kind !== "ok") return `ignored: ${decoded.reason}`;
  const outcome = atOnce(restoreCheckpoint(decoded.content, NO_SOURCE));
  if (outcome.kind !== "ok") return `unfit: ${outcome.reason}`;
  const { index, records } = outcome.restored;
  const said: unknown[] = [index.acceptedSequence, index.visibleEvents, index.visible];
  for (const record of records) said.push(readable(() => nativeFrames.payload(record, viewOf(record), 0)));
  for (let id = 0; id < Math.min(50, index.entities.size); id++)
    said.push(index.entities.name(id), index.heads.clock(id), index.heads.sequence(id));
  for (const segment of index.segments) if (segment.index instanceof ActiveSegmentIndex) said.push(walkIndex(segment.index));
  return `ok ${text(said)}`;
}
