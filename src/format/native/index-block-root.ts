/** The root and the trailer of an index block: values to bytes and back. */
import { crc32 } from "node:zlib";
import { sameBytes } from "../../base/hex.ts";
import { getUint64, setUint64 } from "../../base/u64.ts";
import {
  type BlockLayout,
  type BlockShape,
  blockLayout,
  INDEX_BLOCK,
  INDEX_FLAG,
  INDEX_ROOT,
  INDEX_TRAILER,
  INDEX_TRAILER_MAGIC,
  rootBytes,
} from "./index-block-layout.ts";
import { filterBytes } from "./index-filter.ts";

/** Why a segment has no block that can be used where its last bytes are no trailer: it was never written, or is being written. */
export const NO_INDEX_TRAILER = "there is no index trailer";

export interface IndexRoot {
  readonly storeId: Uint8Array;
  readonly segmentId: number;
  readonly generation: number;
  readonly shape: BlockShape;
  /** Of row 0, or of the next event where there are no rows. */
  readonly firstSequence: number;
  /** The last row's and one; `firstSequence` where there are no rows. */
  readonly nextSequence: number;
  /** Microseconds; 0 where there are no rows. */
  readonly timeMin: number;
  readonly timeMax: number;
  /** 16 bytes; zeros when the writer never issued one. */
  readonly lastIssuedId: Uint8Array;
  readonly foreignIds: number;
  readonly systemRecords: number;
  /** Ascending: the kinds that any row has. */
  readonly kinds: Uint16Array;
  /** The first tag of each page of `ids`. */
  readonly firstTags: Uint32Array;
  /** The first hash of each page of `entityKeys`. */
  readonly firstEntityHashes: Uint32Array;
  /** The first hash of each page of `scopeKeys`. */
  readonly firstScopeHashes: Uint32Array;
  /** The first tag of each page of `linkTags`. */
  readonly firstLinkTags: Uint32Array;
}

export interface IndexTrailer {
  readonly rootBytes: number;
  readonly rootChecksum: number;
  /** The whole block, from its first page to the trailer's end. */
  readonly blockBytes: number;
  readonly segmentId: number;
  readonly generation: number;
  readonly storeId: Uint8Array;
}

export type IndexTrailerOutcome = { readonly ok: true; readonly trailer: IndexTrailer } | { readonly ok: false; readonly reason: string };

export type IndexRootOutcome =
  | { readonly ok: true; readonly root: IndexRoot; readonly layout: BlockLayout }
  | { readonly ok: false; readonly reason: string };

/** The root and the trailer after it, as they end the block. */
export function encodeIndexEnd(root: IndexRoot): Uint8Array {
  const layout = blockLayout(root.shape);
  const length = rootBytes(layout, root.kinds.length);
  const bytes = new Uint8Array(length + INDEX_TRAILER.bytes);
  const view = new DataView(bytes.buffer);
  bytes.set(root.storeId, INDEX_ROOT.storeId);
  setUint64(view, INDEX_ROOT.segmentId, root.segmentId);
  setUint64(view, INDEX_ROOT.generation, root.generation);
  view.setUint32(INDEX_ROOT.rowCount, root.shape.rowCount, true);
  view.setUint32(INDEX_ROOT.entityCount, root.shape.entityCount, true);
  view.setUint32(INDEX_ROOT.scopeCount, root.shape.scopeCount, true);
  view.setUint32(INDEX_ROOT.flags, root.shape.flags, true);
  view.setUint32(INDEX_ROOT.entityNameBytes, root.shape.entityNameBytes, true);
  view.setUint32(INDEX_ROOT.scopeNameBytes, root.shape.scopeNameBytes, true);
  view.setUint32(INDEX_ROOT.filterBytes, root.shape.filterBytes, true);
  view.setUint32(INDEX_ROOT.systemBytes, root.shape.systemBytes, true);
  setUint64(view, INDEX_ROOT.firstSequence, root.firstSequence);
  setUint64(view, INDEX_ROOT.nextSequence, root.nextSequence);
  setUint64(view, INDEX_ROOT.timeMin, root.timeMin);
  setUint64(view, INDEX_ROOT.timeMax, root.timeMax);
  bytes.set(root.lastIssuedId, INDEX_ROOT.lastIssuedId);
  view.setUint32(INDEX_ROOT.foreignIds, root.foreignIds, true);
  view.setUint32(INDEX_ROOT.systemRecords, root.systemRecords, true);
  view.setUint32(INDEX_ROOT.kindCount, root.shape.kindCount, true);
  view.setUint32(INDEX_ROOT.linkCount, root.shape.linkCount, true);
  let at: number = INDEX_ROOT.bytes;
  for (const kind of root.kinds) {
    view.setUint16(at, kind, true);
    at += 2;
  }
  at = (at + 3) & ~3;
  for (const firstKeys of firstKeysOf(root)) {
    for (const key of firstKeys) {
      view.setUint32(at, key, true);
      at += 4;
    }
  }
  writeTrailer(bytes, view, length, layout.pagesBytes, root);
  return bytes;
}

/** In the order in which they stand in the root. */
function firstKeysOf({ firstTags, firstEntityHashes, firstScopeHashes, firstLinkTags }: IndexRoot): Uint32Array[] {
  return [firstTags, firstEntityHashes, firstScopeHashes, firstLinkTags];
}

function writeTrailer(bytes: Uint8Array, view: DataView, length: number, pagesBytes: number, root: IndexRoot): void {
  bytes.set(INDEX_TRAILER_MAGIC, length + INDEX_TRAILER.magic);
  view.setUint32(length + INDEX_TRAILER.version, INDEX_BLOCK.version, true);
  view.setUint32(length + INDEX_TRAILER.rootBytes, length, true);
  view.setUint32(length + INDEX_TRAILER.rootChecksum, crc32(bytes.subarray(0, length)), true);
  setUint64(view, length + INDEX_TRAILER.blockBytes, pagesBytes + length + INDEX_TRAILER.bytes);
  setUint64(view, length + INDEX_TRAILER.segmentId, root.segmentId);
  setUint64(view, length + INDEX_TRAILER.generation, root.generation);
  bytes.set(root.storeId, length + INDEX_TRAILER.storeId);
  const checked = bytes.subarray(length, length + INDEX_TRAILER.checksum);
  view.setUint32(length + INDEX_TRAILER.checksum, crc32(checked), true);
}

/** Reads the last `INDEX_TRAILER.bytes` bytes of a file. `end` is the file's length in bytes: no block is longer. */
export function decodeIndexTrailer(bytes: Uint8Array, end: number): IndexTrailerOutcome {
  if (bytes.length !== INDEX_TRAILER.bytes) return refused("the file is too short for an index trailer");
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (!sameBytes(bytes, INDEX_TRAILER.magic, INDEX_TRAILER_MAGIC, 0, INDEX_TRAILER_MAGIC.length)) return refused(NO_INDEX_TRAILER);
  const version = view.getUint32(INDEX_TRAILER.version, true);
  if (version !== INDEX_BLOCK.version) return refused(`the index block has version ${version}, and ${INDEX_BLOCK.version} is known`);
  if (view.getUint32(INDEX_TRAILER.checksum, true) !== crc32(bytes.subarray(0, INDEX_TRAILER.checksum))) {
    return refused("the index trailer's checksum does not match");
  }
  const trailer: IndexTrailer = {
    rootBytes: view.getUint32(INDEX_TRAILER.rootBytes, true),
    rootChecksum: view.getUint32(INDEX_TRAILER.rootChecksum, true),
    blockBytes: getUint64(view, INDEX_TRAILER.blockBytes),
    segmentId: getUint64(view, INDEX_TRAILER.segmentId),
    generation: getUint64(view, INDEX_TRAILER.generation),
    storeId: bytes.slice(INDEX_TRAILER.storeId, INDEX_TRAILER.storeId + 16),
  };
  if (trailer.rootBytes < INDEX_ROOT.bytes || trailer.blockBytes > end || trailer.rootBytes + INDEX_TRAILER.bytes > trailer.blockBytes) {
    return refused("the index trailer's lengths do not fit the file");
  }
  return { ok: true, trailer };
}

/** A kind is a u16; a larger count would also overflow the padding's arithmetic. */
const KINDS_MAX = 0x1_0000;

/** Reads the root that this trailer leads to. */
export function decodeIndexRoot(bytes: Uint8Array, trailer: IndexTrailer): IndexRootOutcome {
  if (bytes.length !== trailer.rootBytes || bytes.length < INDEX_ROOT.bytes) return refused("the index root is cut short");
  if (crc32(bytes) !== trailer.rootChecksum) return refused("the index root's checksum does not match");
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const kindCount = view.getUint32(INDEX_ROOT.kindCount, true);
  if (kindCount > KINDS_MAX) return refused(`the index root counts ${kindCount} kinds`);
  const shape: BlockShape = {
    rowCount: view.getUint32(INDEX_ROOT.rowCount, true),
    entityCount: view.getUint32(INDEX_ROOT.entityCount, true),
    scopeCount: view.getUint32(INDEX_ROOT.scopeCount, true),
    flags: view.getUint32(INDEX_ROOT.flags, true),
    entityNameBytes: view.getUint32(INDEX_ROOT.entityNameBytes, true),
    scopeNameBytes: view.getUint32(INDEX_ROOT.scopeNameBytes, true),
    filterBytes: view.getUint32(INDEX_ROOT.filterBytes, true),
    systemBytes: view.getUint32(INDEX_ROOT.systemBytes, true),
    kindCount,
    linkCount: view.getUint32(INDEX_ROOT.linkCount, true),
  };
  const layout = blockLayout(shape);
  if (rootBytes(layout, kindCount) !== bytes.length || layout.pagesBytes + bytes.length + INDEX_TRAILER.bytes !== trailer.blockBytes) {
    return refused("the index root's counts do not fit the block's length");
  }
  const kinds = Uint16Array.from({ length: kindCount }, (_, i) => view.getUint16(INDEX_ROOT.bytes + i * 2, true));
  let at = INDEX_ROOT.bytes + ((kindCount * 2 + 3) & ~3);
  const firstKeys = (pages: number): Uint32Array => {
    const start = at;
    at += pages * 4;
    return Uint32Array.from({ length: pages }, (_, i) => view.getUint32(start + i * 4, true));
  };
  const root: IndexRoot = {
    storeId: bytes.slice(INDEX_ROOT.storeId, INDEX_ROOT.storeId + 16),
    segmentId: getUint64(view, INDEX_ROOT.segmentId),
    generation: getUint64(view, INDEX_ROOT.generation),
    shape,
    firstSequence: getUint64(view, INDEX_ROOT.firstSequence),
    nextSequence: getUint64(view, INDEX_ROOT.nextSequence),
    timeMin: getUint64(view, INDEX_ROOT.timeMin),
    timeMax: getUint64(view, INDEX_ROOT.timeMax),
    lastIssuedId: bytes.slice(INDEX_ROOT.lastIssuedId, INDEX_ROOT.lastIssuedId + 16),
    foreignIds: view.getUint32(INDEX_ROOT.foreignIds, true),
    systemRecords: view.getUint32(INDEX_ROOT.systemRecords, true),
    kinds,
    firstTags: firstKeys(layout.ids.pageCount),
    firstEntityHashes: firstKeys(layout.entityKeys.pageCount),
    firstScopeHashes: firstKeys(layout.scopeKeys.pageCount),
    firstLinkTags: firstKeys(layout.linkTags.pageCount),
  };
  const contradiction = contradictionIn(root, trailer);
  return contradiction === null ? { ok: true, root, layout } : refused(`the index root contradicts itself: ${contradiction}`);
}

/** What in the root cannot be, whatever the pages hold; null when nothing. */
function contradictionIn(root: IndexRoot, trailer: IndexTrailer): string | null {
  const { shape, firstSequence, nextSequence } = root;
  if (root.segmentId !== trailer.segmentId || root.generation !== trailer.generation) return "its trailer is of another segment";
  if (!sameBytes(root.storeId, 0, trailer.storeId, 0, 16)) return "its trailer is of another store";
  if ((shape.flags & ~INDEX_FLAG.all) !== 0) return "unknown flags";
  for (const value of [root.segmentId, root.generation, firstSequence, nextSequence, root.timeMin, root.timeMax]) {
    if (!Number.isSafeInteger(value)) return "a number beyond the safe integers";
  }
  const span = nextSequence - firstSequence;
  const dense = (shape.flags & INDEX_FLAG.dense) !== 0;
  if (dense ? span !== shape.rowCount : span < shape.rowCount || shape.rowCount === 0) return "sequences that do not fit the rows";
  if (root.timeMin > root.timeMax) return "times that do not fit";
  if (shape.rowCount > 0 && (shape.entityCount === 0 || shape.scopeCount === 0 || root.kinds.length === 0)) return "rows of nobody";
  // A name takes at least a byte and its length.
  if (shape.entityNameBytes < shape.entityCount * 3 || (shape.entityCount === 0 && shape.entityNameBytes > 0)) return "entity names";
  if (shape.scopeNameBytes < shape.scopeCount * 3 || (shape.scopeCount === 0 && shape.scopeNameBytes > 0)) return "scope names";
  if (root.foreignIds > shape.rowCount || shape.filterBytes !== filterBytes(root.foreignIds)) return "the filter's length";
  if (shape.systemBytes < root.systemRecords * 4 || (root.systemRecords === 0 && shape.systemBytes > 0)) return "system records";
  const links = (shape.flags & INDEX_FLAG.lists) === 0 ? 0 : shape.rowCount * 2;
  if (shape.linkCount > links) return "more links than its rows can have";
  for (let i = 1; i < root.kinds.length; i++) if (root.kinds[i]! <= root.kinds[i - 1]!) return "kinds out of order";
  for (const keys of firstKeysOf(root)) {
    for (let i = 1; i < keys.length; i++) if (keys[i]! < keys[i - 1]!) return "pages out of order";
  }
  return null;
}

function refused(reason: string): { readonly ok: false; readonly reason: string } {
  return { ok: false, reason };
}
