/**
 * Makes an index of a checkpoint's content, by copying. Believes nothing: whatever does not fit together makes the checkpoint ignored, with
 * the reason. Whether it belongs to this log is decided elsewhere (`open-native`).
 */
import { columnOfBytes } from "../base/column-bytes.ts";
import type { CheckpointContent } from "../format/native/checkpoint.ts";
import { FRAME } from "../format/native/frame-layout.ts";
import { SEGMENT_HEADER } from "../format/native/segment-header.ts";
import { isSystemFrame } from "../format/native/system-frame.ts";
import { ActiveSegmentIndex } from "../index/active-segment-index.ts";
import type { ActiveSegmentParts } from "../index/active-parts.ts";
import { Heads } from "../index/heads.ts";
import { Interner } from "../index/interner.ts";
import { type IndexSource, type SegmentEntry, StoreIndex } from "../index/store-index.ts";

export interface RestoredCheckpoint {
  readonly index: StoreIndex;
  readonly storeId: Uint8Array;
  readonly generation: number;
  readonly lastFrame: { readonly offset: number; readonly hash: Uint8Array } | null;
  readonly records: readonly Uint8Array[];
  readonly lastIssuedId: Uint8Array;
}

export type RestoreOutcome =
  | { readonly kind: "ok"; readonly restored: RestoredCheckpoint }
  | { readonly kind: "ignored"; readonly reason: string };

/** So many names are made findable at once; of fewer the first look-up does it. */
const NAMES_PREPARED_MIN = 16_384;
const SCOPES_PER_STEP = 65_536;
const SEGMENTS_PER_STEP = 256;

/** A checkpoint's index is looked at only where it holds rows itself. */
function noIndex(segment: SegmentEntry): never {
  throw new Error(`The index of segment ${segment.id} is not in the checkpoint`);
}
/** For whoever asks it nothing that another file knows. */
export const NO_SOURCE: IndexSource = { hasId: () => false, loadIndex: noIndex, rebuildIndex: noIndex };

/** Raised inside only, by the readers of fields. */
class Unfit extends Error {}

/** In steps of a millisecond or so: whoever asks may rest between them. */
export function* restoreCheckpoint(content: CheckpointContent, source: IndexSource): Generator<undefined, RestoreOutcome> {
  try {
    return { kind: "ok", restored: yield* restore(content, source) };
  } catch (error) {
    if (error instanceof Unfit) return { kind: "ignored", reason: error.message };
    throw error;
  }
}

function* restore(content: CheckpointContent, source: IndexSource): Generator<undefined, RestoredCheckpoint> {
  const { description, columns } = content;
  const entities = yield* restoreNames(columns, "entities");
  const scopes = yield* restoreNames(columns, "scopes");
  const acceptedSequence = count(description, "nextSequence");
  const heads = yield* Heads.restore(
    {
      clock: column(columns, "heads.clock"),
      sequence: column(columns, "heads.sequence"),
      timeMicros: column(columns, "heads.timeMicros"),
      hash: column(columns, "heads.hash"),
      visibleSequence: column(columns, "heads.visibleSequence"),
    },
    count(description, "entityCount"),
    acceptedSequence,
  );
  if (entities === null || scopes === null || heads === null || heads.count !== entities.size)
    throw new Unfit("its names or heads do not fit");
  const index = new StoreIndex(source, entities, scopes, heads);
  yield* restoreScopeSequences(columns, index);
  index.acceptedSequence = acceptedSequence;
  index.lastTimeMicros = count(description, "lastTimeMicros");
  index.visibleEvents = count(description, "visibleEvents");
  const watermark = record(description.watermark, "watermark");
  index.visible.segmentId = count(watermark, "segmentId");
  index.visible.offset = count(watermark, "offset");
  index.visible.sequence = index.acceptedSequence;
  for (const segment of list(description, "segments")) {
    index.segments.push(yield* restoreSegment(record(segment, "segment"), columns, index));
    if (index.segments.length % SEGMENTS_PER_STEP === 0) yield;
  }
  checkSegments(index);
  if (index.visibleEvents > acceptedSequence) throw new Unfit("it counts more events than sequences");
  return {
    index,
    storeId: bytes(description, "storeId", 16),
    generation: count(description, "generation"),
    lastFrame: lastFrameOf(description),
    records: list(description, "records").map(frameBytes),
    lastIssuedId: bytes(description, "lastIssuedId", 16),
  };
}

function* restoreNames(columns: ReadonlyMap<string, Uint8Array>, what: string): Generator<undefined, Interner | null> {
  const names = yield* Interner.fromParts(internerParts(columns, what));
  if (names !== null && names.size >= NAMES_PREPARED_MIN) {
    yield;
    yield* names.prepareLoaded();
  }
  return names;
}

function* restoreSegment(
  described: Record<string, unknown>,
  columns: ReadonlyMap<string, Uint8Array>,
  index: StoreIndex,
): Generator<undefined, SegmentEntry> {
  const id = count(described, "id");
  const firstSequence = count(described, "firstSequence");
  const nextSequence = count(described, "nextSequence");
  const indexOnDisk = described.indexOnDisk === true;
  let rows: ActiveSegmentIndex | null = null;
  if (!indexOnDisk) {
    const prefix = `rows.${id}.`;
    const rowCount = count(described, "rowCount");
    const rowsFrom = described.rowsFrom === undefined ? firstSequence : count(described, "rowsFrom");
    if (rowsFrom < firstSequence || rowsFrom + rowCount > nextSequence) throw new Unfit(`the rows of segment ${id} have other sequences`);
    const parts = {
      rowCount,
      firstSequence: rowsFrom,
      sequence: columns.get(`${prefix}sequence`) ?? null,
    } as Record<string, unknown>;
    for (const name of ROW_COLUMNS) parts[name] = column(columns, prefix + name);
    rows = yield* ActiveSegmentIndex.fromColumns(parts as unknown as ActiveSegmentParts, index.entities, index.scopes);
    if (rows === null) throw new Unfit(`the rows of segment ${id} do not fit`);
  }
  const frames = count(described, "frames");
  return {
    id,
    firstSequence,
    nextSequence,
    generation: count(described, "generation"),
    sealed: described.sealed === true,
    framesEnd: count(described, "framesEnd"),
    frames,
    visibleFrames: frames,
    lastIssuedId: bytes(described, "lastIssuedId", 16),
    index: rows,
    indexOnDisk,
    systemFrames: list(described, "systemFrames").map(frameBytes),
  };
}

const ROW_COLUMNS = [
  "entity",
  "scope",
  "kind",
  "clock",
  "offset",
  "time",
  "idTag",
  "correlationTag",
  "causationTag",
  "previousSequences",
  "entityIds",
  "firstRows",
  "lastRows",
  "rowCounts",
  "scopeIds",
  "summary",
] as const satisfies readonly (keyof ActiveSegmentParts)[];

function checkSegments(index: StoreIndex): void {
  const { segments, visible } = index;
  for (let i = 0; i < segments.length; i++) {
    const before = segments[i - 1];
    const segment = segments[i];
    const ascends = before === undefined || (before.id < segment.id && before.nextSequence <= segment.firstSequence);
    if (!ascends || segment.id === 0 || segment.nextSequence < segment.firstSequence) throw new Unfit("its segments do not ascend");
    // Sealed or not, each frame takes some bytes, and each event is a frame.
    const framesMax = (segment.framesEnd - SEGMENT_HEADER.bytes) / FRAME.bytesMin;
    const rows = segment.index?.rowCount ?? 0;
    if (segment.frames > framesMax || rows > segment.frames || (segment.indexOnDisk && !segment.sealed))
      throw new Unfit(`its segment ${segment.id} does not fit its counts`);
  }
  const last = segments[segments.length - 1];
  if (last?.id !== visible.segmentId || last.framesEnd !== visible.offset || last.nextSequence > visible.sequence) {
    throw new Unfit("its watermark is not the end of its last segment");
  }
}

function internerParts(
  columns: ReadonlyMap<string, Uint8Array>,
  prefix: string,
): { bytes: Uint8Array; offsets: Uint8Array; hashes: Uint8Array } {
  return {
    bytes: column(columns, `${prefix}.bytes`),
    offsets: column(columns, `${prefix}.offsets`),
    hashes: column(columns, `${prefix}.hashes`),
  };
}

function* restoreScopeSequences(columns: ReadonlyMap<string, Uint8Array>, index: StoreIndex): Generator<undefined, void> {
  const stored = columnOfBytes(Float64Array, column(columns, "scopes.firstSequence"), index.scopes.size);
  if (stored === null) throw new Unfit("its scopes do not fit");
  for (let id = 0; id < stored.length; id++) {
    index.scopeFirstSequence.push(stored[id]);
    if ((id + 1) % SCOPES_PER_STEP === 0) yield;
  }
}

function lastFrameOf(description: Readonly<Record<string, unknown>>): RestoredCheckpoint["lastFrame"] {
  if (description.lastFrame === null) return null;
  const frame = record(description.lastFrame, "lastFrame");
  return { offset: count(frame, "offset"), hash: bytes(frame, "hash", 32) };
}

function column(columns: ReadonlyMap<string, Uint8Array>, name: string): Uint8Array {
  const found = columns.get(name);
  if (found === undefined) throw new Unfit(`its column ${name} is missing`);
  return found;
}

function count(from: Readonly<Record<string, unknown>>, name: string): number {
  const value = from[name];
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 0) throw new Unfit(`its ${name} is no count`);
  return value;
}

function bytes(from: Readonly<Record<string, unknown>>, name: string, length: number): Uint8Array {
  const value = from[name];
  if (!(value instanceof Uint8Array) || value.length !== length) throw new Unfit(`its ${name} is not ${length} bytes`);
  return value.slice();
}

function list(from: Readonly<Record<string, unknown>>, name: string): readonly unknown[] {
  const value = from[name];
  if (!Array.isArray(value)) throw new Unfit(`its ${name} is no list`);
  return value;
}

function record(value: unknown, name: string): Record<string, unknown> {
  if (typeof value !== "object" || value === null) throw new Unfit(`its ${name} is no record`);
  return value as Record<string, unknown>;
}

function frameBytes(value: unknown): Uint8Array {
  if (!(value instanceof Uint8Array) || !isSystemFrame(value)) throw new Unfit("a system record is no frame");
  return value.slice();
}
