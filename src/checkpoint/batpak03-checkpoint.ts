/**
 * Writes the version 2 checkpoint of a batpak 0.3 log, as the original does at a clean close: every event with its names, ids, hashes and
 * place. Streamed: what is held is one footer, one chunk and 32 bytes an entity, however long the log.
 *
 * An entry's ids and hashes come from the footer of its segment, or from its frame where there is none. Footers have no checksum: each is held
 * against the rows of the index and, hash by hash, against the chains of the entities. Where one does not hold, all entries are taken
 * from the frames instead.
 *
 * Rows before the bound that is taken at the beginning never change, so appends may go on meanwhile.
 */
import { assert } from "../base/assert.ts";
import { sameBytes } from "../base/hex.ts";
import { rest } from "../base/rest.ts";
import type { Disk, DiskFile } from "../disk/disk.ts";
import { replaceFile } from "../disk/replace-file.ts";
import type { CheckpointEntryFields } from "../format/batpak03/checkpoint.ts";
import { CheckpointEncoder } from "../format/batpak03/checkpoint-encoder.ts";
import { Footer, readFooterId } from "../format/batpak03/footer.ts";
import { decodeFrame, type Frame } from "../format/batpak03/frame.ts";
import { expandHash } from "../format/batpak03/hash-array.ts";
import { HASH_BYTES, ID_BYTES } from "../format/batpak03/layout.ts";
import { CHECKPOINT_FILE } from "../format/native/checkpoint.ts";
import { ActiveSegmentIndex } from "../index/active-segment-index.ts";
import { idTag } from "../index/id-tag.ts";
import type { SegmentEntry, StoreIndex } from "../index/store-index.ts";
import { lookAtSegment, readFooter } from "../log/batpak03-segment.ts";
import type { FrameSource } from "../log/frame-source.ts";
import type { SegmentFiles } from "../log/segment-files.ts";

export interface Batpak03CheckpointInput {
  readonly disk: Disk;
  readonly files: SegmentFiles;
  readonly index: StoreIndex;
  readonly frames: FrameSource;
  /** What it is to hold: events before this sequence, of segments up to this one. All of it is on stable storage. */
  readonly sequence: number;
  readonly segmentId: number;
  /** Up to where it speaks of that segment: the end of its frames so far, or of its file where it has its footer. */
  readonly watermarkOffset: number;
  /** The footer's entries so far of a segment that is being written; undefined for any other. */
  entriesInTheMaking(segmentId: number): Footer | undefined;
}

/** Rows, names or entities looked at before others get their turn. */
const ROWS_PER_TURN = 4096;
const FRAMES_PER_TURN = 512;

/**
 * Writes a checkpoint. Commit point: the rename over the old one.
 *
 * @throws StoreError `IO` when the disk fails, or `index.ckpt` is a symbolic link
 */
export async function writeBatpak03Checkpoint(input: Batpak03CheckpointInput): Promise<void> {
  const { disk, files } = input;
  const picture = await new Picture(input).complete();
  for (const believesFooters of [true, false]) {
    let isBelieved = true;
    await replaceFile(disk, files.directory, CHECKPOINT_FILE, async (file) => {
      isBelieved = await new CheckpointWriting(input, picture, believesFooters).write(file);
      if (!isBelieved) throw new FootersDoNotHold();
    }).catch((error: unknown) => {
      if (isBelieved) throw error;
    });
    if (isBelieved) return;
  }
  throw new Error("A checkpoint made of frames holds what the frames say");
}

class FootersDoNotHold extends Error {}

/** Which rows, and how the checkpoint numbers their names: by first use, entity before scope. */
class Picture {
  readonly segments: { readonly segment: SegmentEntry; readonly rows: ActiveSegmentIndex; readonly rowCount: number }[] = [];
  readonly strings: string[] = [""];
  readonly entityStrings: Uint32Array;
  readonly scopeStrings: Uint32Array;
  entryCount = 0;
  readonly #index: StoreIndex;
  readonly #ids = new Map<string, number>();

  constructor({ index, segmentId, sequence }: Batpak03CheckpointInput) {
    this.#index = index;
    this.entityStrings = new Uint32Array(index.entities.size);
    this.scopeStrings = new Uint32Array(index.scopes.size);
    for (const segment of index.segments) {
      if (segment.id > segmentId) break;
      const rows = index.indexOf(segment);
      assert(rows instanceof ActiveSegmentIndex, "rows of this layout are in memory");
      const rowCount = index.rowsBefore(segment, sequence);
      this.segments.push({ segment, rows, rowCount });
      this.entryCount += rowCount;
    }
  }

  async complete(): Promise<this> {
    const { entities, scopes } = this.#index;
    for (const { rows, rowCount } of this.segments) {
      for (let row = 0; row < rowCount; row++) {
        if (row % ROWS_PER_TURN === ROWS_PER_TURN - 1) await rest();
        const entity = rows.columns.entity[row];
        const scope = rows.columns.scope[row];
        if (this.entityStrings[entity] === 0) this.entityStrings[entity] = this.#intern(entities.name(entity));
        if (this.scopeStrings[scope] === 0) this.scopeStrings[scope] = this.#intern(scopes.name(scope));
      }
    }
    return this;
  }

  #intern(text: string): number {
    const known = this.#ids.get(text);
    if (known !== undefined) return known;
    const id = this.strings.push(text) - 1;
    this.#ids.set(text, id);
    return id;
  }
}

class CheckpointWriting {
  readonly #input: Batpak03CheckpointInput;
  readonly #picture: Picture;
  readonly #believesFooters: boolean;
  readonly #encoder: CheckpointEncoder;
  /** Per entity: the hash of its event so far. */
  readonly #chain: Uint8Array;
  readonly #id = new Uint8Array(ID_BYTES);
  readonly #idView = new DataView(this.#id.buffer);
  readonly #causation = new Uint8Array(ID_BYTES);
  /** Filled anew for each event. */
  readonly #entry: CheckpointEntryFields = {
    eventId: new Uint8Array(ID_BYTES),
    correlationId: new Uint8Array(ID_BYTES),
    causationId: null,
    entityId: 0,
    scopeId: 0,
    eventKind: 0,
    wallMs: 0,
    clock: 0,
    prevHash: new Uint8Array(HASH_BYTES),
    eventHash: new Uint8Array(HASH_BYTES),
    segmentId: 0,
    offset: 0,
    length: 0,
    globalSequence: 0,
  };
  #position = 0;

  constructor(input: Batpak03CheckpointInput, picture: Picture, believesFooters: boolean) {
    const { sequence, segmentId, watermarkOffset } = input;
    const head = { globalSequence: sequence, watermarkSegmentId: segmentId, watermarkOffset };
    this.#input = input;
    this.#picture = picture;
    this.#believesFooters = believesFooters;
    this.#encoder = new CheckpointEncoder(head, picture.strings.length, picture.entryCount);
    this.#chain = new Uint8Array(believesFooters ? picture.entityStrings.length * HASH_BYTES : 0);
  }

  /** False where a footer does not hold: nothing of what was written is of worth then. */
  async write(file: DiskFile): Promise<boolean> {
    for (const text of this.#picture.strings) {
      this.#encoder.pushString(text);
      if (this.#encoder.chunkReady) await this.#writeChunk(file);
    }
    for (const { segment, rows, rowCount } of this.#picture.segments) {
      if (rowCount === 0) continue;
      const footer = await this.#footerOf(segment);
      if (footer !== null && !(await this.#holds(footer, rows, rowCount))) return false;
      for (let row = 0; row < rowCount; row++) {
        this.#fillFromRow(segment, rows, row);
        if (footer === null) {
          if (!this.#fillFromFrame(segment.id, rows, row)) return false;
          if (row % FRAMES_PER_TURN === FRAMES_PER_TURN - 1) await rest();
        } else this.#fillFromFooter(footer, row);
        this.#encoder.push(this.#entry);
        if (this.#encoder.chunkReady) await this.#writeChunk(file);
      }
    }
    await this.#writeChunk(file);
    const prefix = this.#encoder.finish();
    await file.write(prefix, 0, prefix.length, 0, false);
    return await this.#headsHold();
  }

  async #writeChunk(file: DiskFile): Promise<void> {
    const chunk = this.#encoder.takeChunk();
    await file.write(chunk, 0, chunk.length, this.#position, false);
    this.#position += chunk.length;
  }

  async #footerOf(segment: SegmentEntry): Promise<Footer | null> {
    const making = this.#input.entriesInTheMaking(segment.id);
    if (making !== undefined) return making;
    if (!this.#believesFooters) return null;
    const { files } = this.#input;
    const file = files.pin(segment.id);
    try {
      const footer = await readFooter(file, lookAtSegment(file, segment.id, Number.POSITIVE_INFINITY));
      return footer instanceof Footer ? footer : null;
    } finally {
      files.unpin(segment.id);
    }
  }

  /** Whether a footer says of each row what the index knows, and its hashes continue the chains. */
  async #holds(footer: Footer, rows: ActiveSegmentIndex, rowCount: number): Promise<boolean> {
    if (footer.entryCount < rowCount) return false;
    const { entities, scopes } = this.#input.index;
    const known: { readonly entity: number; readonly scope: number }[] = [];
    for (const text of footer.strings) {
      if (known.push({ entity: entities.find(text), scope: scopes.find(text) }) % ROWS_PER_TURN === 0) await rest();
    }
    for (let row = 0; row < rowCount; row++) {
      if (row % ROWS_PER_TURN === ROWS_PER_TURN - 1) await rest();
      const { entity, scope, kind, idTag: ids, correlationTag, causationTag } = rows.columns;
      if (footer.frameOffset(row) !== rows.offsetAt(row) || footer.eventKind(row) !== kind[row]) return false;
      if (footer.clock(row) !== rows.clockAt(row) || footer.wallMs(row) * 1000 !== rows.timeAt(row)) return false;
      if (known[footer.entityIndex(row)].entity !== entity[row] || known[footer.scopeIndex(row)].scope !== scope[row]) return false;
      if (this.#tagAt(footer, footer.eventIdAt(row)) !== ids[row]) return false;
      if (this.#tagAt(footer, footer.correlationIdAt(row)) !== correlationTag[row]) return false;
      const causationAt = footer.causationIdAt(row);
      if ((causationAt < 0 ? 0 : this.#tagAt(footer, causationAt)) !== causationTag[row]) return false;
      if (!this.#continues(footer, row, entity[row])) return false;
    }
    return true;
  }

  #tagAt(footer: Footer, at: number): number {
    readFooterId(footer.bytes, at, this.#id);
    return idTag(this.#idView, 0);
  }

  #continues(footer: Footer, row: number, entityId: number): boolean {
    if (this.#chain.length === 0) return true;
    const at = entityId * HASH_BYTES;
    if (!sameBytes(footer.bytes, footer.prevHashAt(row), this.#chain, at, HASH_BYTES)) return false;
    const from = footer.eventHashAt(row);
    for (let i = 0; i < HASH_BYTES; i++) this.#chain[at + i] = footer.bytes[from + i];
    return true;
  }

  /** Whether each chain ends with the entity's latest hash, where nothing has come since. */
  async #headsHold(): Promise<boolean> {
    const { heads } = this.#input.index;
    const entities = this.#chain.length / HASH_BYTES;
    for (let entity = 0; entity < entities; entity++) {
      if (entity % ROWS_PER_TURN === ROWS_PER_TURN - 1) await rest();
      const sequence = heads.sequence(entity);
      if (sequence < 0 || sequence >= this.#input.sequence) continue;
      if (!sameBytes(heads.hash(entity), 0, this.#chain, entity * HASH_BYTES, HASH_BYTES)) return false;
    }
    return true;
  }

  #fillFromRow(segment: SegmentEntry, rows: ActiveSegmentIndex, row: number): void {
    const entry = this.#entry;
    const { entity, scope, kind } = rows.columns;
    entry.entityId = this.#picture.entityStrings[entity[row]];
    entry.scopeId = this.#picture.scopeStrings[scope[row]];
    entry.eventKind = kind[row];
    entry.wallMs = Math.floor(rows.timeAt(row) / 1000);
    entry.clock = rows.clockAt(row);
    entry.segmentId = segment.id;
    entry.offset = rows.offsetAt(row);
    entry.globalSequence = rows.sequenceAt(row);
  }

  #fillFromFooter(footer: Footer, row: number): void {
    const entry = this.#entry;
    const { bytes } = footer;
    readFooterId(bytes, footer.eventIdAt(row), entry.eventId);
    readFooterId(bytes, footer.correlationIdAt(row), entry.correlationId);
    const causationAt = footer.causationIdAt(row);
    entry.causationId = causationAt < 0 ? null : this.#causation;
    if (causationAt >= 0) readFooterId(bytes, causationAt, this.#causation);
    copyBytes(bytes, footer.prevHashAt(row), entry.prevHash, HASH_BYTES);
    copyBytes(bytes, footer.eventHashAt(row), entry.eventHash, HASH_BYTES);
    entry.length = footer.frameLength(row);
  }

  /** False where the frame does not continue its entity's chain while footers are believed. */
  #fillFromFrame(segmentId: number, rows: ActiveSegmentIndex, row: number): boolean {
    const { bytes, view, at, length } = this.#input.frames.read(segmentId, rows.offsetAt(row));
    const frame = decodeFrame(bytes, view, at, at + length);
    assert(frame.kind === "ok", "a frame that was read is whole");
    const entry = this.#entry;
    copyBytes(bytes, frame.eventIdAt, entry.eventId, ID_BYTES);
    copyBytes(bytes, frame.correlationIdAt, entry.correlationId, ID_BYTES);
    entry.causationId = frame.causationIdAt < 0 ? null : this.#causation;
    if (frame.causationIdAt >= 0) copyBytes(bytes, frame.causationIdAt, this.#causation, ID_BYTES);
    expandOrZero(frame, frame.prevHashAt, entry.prevHash);
    expandOrZero(frame, frame.eventHashAt, entry.eventHash);
    entry.length = frame.length;
    if (this.#chain.length === 0) return true;
    const chainAt = rows.columns.entity[row] * HASH_BYTES;
    if (!sameBytes(entry.prevHash, 0, this.#chain, chainAt, HASH_BYTES)) return false;
    this.#chain.set(entry.eventHash, chainAt);
    return true;
  }
}

function expandOrZero(frame: Frame, hashAt: number, target: Uint8Array): void {
  if (hashAt < 0) target.fill(0);
  else expandHash(frame.bytes, hashAt, target, 0);
}

function copyBytes(source: Uint8Array, from: number, target: Uint8Array, length: number): void {
  for (let i = 0; i < length; i++) target[i] = source[from + i];
}
