/**
 * Reads a log of the batpak 0.3 layout: every frame of every segment, batches put together, sequences taken from the checkpoint where it can
 * be believed, else from the footers where each segment has a right one, else counted in file order. Changes nothing on disk.
 *
 * A torn tail is the original's way to end after a crash: it is skipped and told. A bad frame that right ones follow, or that a footer or the
 * checkpoint lies past, is damage: told as such, and what is whole is read.
 */
import { join } from "node:path";
import { StoreError } from "./base/store-error.ts";
import { uninitializedBytes } from "./base/uninitialized.ts";
import type { Disk } from "./disk/disk.ts";
import { BatchTracker } from "./format/batpak03/batch-tracker.ts";
import { decodeCheckpoint } from "./format/batpak03/checkpoint-decoder.ts";
import { decodeFooter, decodeTrailer, Footer } from "./format/batpak03/footer.ts";
import { decodeFrame, type Frame, frameEntity, frameScope } from "./format/batpak03/frame.ts";
import { expandHash } from "./format/batpak03/hash-array.ts";
import { findNextFrame } from "./format/batpak03/resync.ts";
import { decodeSegmentHeader } from "./format/batpak03/segment.ts";
import { CHECKPOINT_FILE } from "./format/native/checkpoint.ts";
import type { ActiveSegmentIndex } from "./index/active-segment-index.ts";
import { HASH_BYTES } from "./index/heads.ts";
import { idTag } from "./index/id-tag.ts";
import { OFFSET_ENDS_BATCH, OFFSET_FOREIGN_ID } from "./index/segment-index.ts";
import { type IndexSource, type SegmentEntry, StoreIndex } from "./index/store-index.ts";
import { newSegmentEntry } from "./log/segment-entry.ts";
import type { SegmentFiles } from "./log/segment-files.ts";
import type { OpenedNativeLog } from "./open-native.ts";
import type { StoreProblem } from "./open-report.ts";

export interface OpenBatpak03Input {
  readonly disk: Disk;
  readonly files: SegmentFiles;
  readonly segmentIds: readonly number[];
  readonly source: IndexSource;
}

/** Where an event that counts stands. */
interface Place {
  readonly segmentId: number;
  readonly offset: number;
  endsBatch: boolean;
}

interface Segment {
  readonly id: number;
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly framesOffset: number;
  readonly footer: Footer | null;
  framesEnd: number;
}

const FOOTER_TRAILER_BYTES = 16;

export async function openBatpak03Log(input: OpenBatpak03Input): Promise<OpenedNativeLog> {
  return await new Batpak03Opening(input).run();
}

class Batpak03Opening {
  readonly #input: OpenBatpak03Input;
  readonly #reasons: string[] = [];
  readonly #problems: StoreProblem[] = [];
  readonly #index: StoreIndex;
  readonly #segments = new Map<number, Segment>();
  /** In file order. */
  readonly #places: Place[] = [];
  /** What the checkpoint says: the sequence of the frame at `segment:offset`. */
  #numbered = new Map<string, number>();
  #allocator = 0;

  constructor(input: OpenBatpak03Input) {
    this.#input = input;
    this.#index = new StoreIndex(input.source);
  }

  async run(): Promise<OpenedNativeLog> {
    for (const id of this.#input.segmentIds) this.#segments.set(id, await this.#loadSegment(id));
    await this.#loadCheckpoint();
    this.#collectPlaces();
    this.#fill(this.#sequences());
    const index = this.#index;
    const newest = index.active;
    index.visible.segmentId = newest?.id ?? 0;
    index.visible.offset = newest?.framesEnd ?? 0;
    index.visible.sequence = index.acceptedSequence;
    return {
      index,
      storeId: new Uint8Array(16),
      generation: 0,
      records: [],
      lastIssuedId: new Uint8Array(16),
      lastFrame: null,
      route: "scan",
      reasons: this.#reasons,
      eventsReplayed: index.visibleEvents,
      problems: this.#problems,
      unsettled: { segmentId: newest?.id ?? null, end: 0, cutBytes: 0, provenSynced: 0, neverBegun: [], replaced: [] },
    };
  }

  async #loadSegment(id: number): Promise<Segment> {
    const file = await this.#input.disk.open(this.#input.files.path(id), "read");
    try {
      const bytes = uninitializedBytes(await file.size());
      await file.read(bytes, 0, bytes.length, 0);
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
      const header = decodeSegmentHeader(bytes, view, bytes.length);
      if (header.kind !== "ok") {
        this.#problem("DAMAGED", id, 0, `its header cannot be read: ${header.reason}`);
        return { id, bytes, view, framesOffset: bytes.length, footer: null, framesEnd: bytes.length };
      }
      if (header.segmentId !== id) this.#problem("DAMAGED", id, 0, `its header names segment ${header.segmentId}`);
      return { id, bytes, view, framesOffset: header.end, footer: this.#footerOf(id, bytes, header.end), framesEnd: header.end };
    } finally {
      await file.close();
    }
  }

  #footerOf(id: number, bytes: Uint8Array, framesOffset: number): Footer | null {
    const trailer = decodeTrailer(bytes.subarray(-FOOTER_TRAILER_BYTES), bytes.length, framesOffset);
    if (trailer.kind === "absent") return null;
    const footer = trailer.kind === "ok" ? decodeFooter(bytes.subarray(trailer.tableOffset), trailer) : trailer;
    if (footer instanceof Footer) return footer;
    this.#reasons.push(`the footer of segment ${id} is ignored: ${footer.reason}`);
    return null;
  }

  #problem(code: "DAMAGED" | "TORN_TAIL", segmentId: number, offset: number, reason: string): void {
    const what = code === "DAMAGED" ? "is damaged" : "ends in a torn write";
    this.#problems.push({ code, segmentId, offset, message: `Segment ${segmentId} ${what} at offset ${offset}: ${reason}` });
  }

  // The checkpoint: believed for its numbers when its last entry is a frame of the log.

  async #loadCheckpoint(): Promise<void> {
    const { disk, files } = this.#input;
    const path = join(files.directory, CHECKPOINT_FILE);
    const status = await disk.status(path);
    if (status?.type !== "file") {
      this.#reasons.push("there is no checkpoint");
      return;
    }
    const file = await disk.open(path, "read");
    try {
      const bytes = uninitializedBytes(status.size);
      await file.read(bytes, 0, bytes.length, 0);
      const numbered = new Map<string, number>();
      const fault = this.#readCheckpoint(bytes, numbered);
      if (fault !== null) {
        this.#reasons.push(`the checkpoint is ignored: ${fault}`);
        return;
      }
      this.#numbered = numbered;
    } finally {
      await file.close();
    }
  }

  #readCheckpoint(bytes: Uint8Array, numbered: Map<string, number>): string | null {
    const hash = new Uint8Array(HASH_BYTES);
    const decoded = decodeCheckpoint(bytes, {
      string: () => {},
      entries: () => {},
      entry: (entry) => {
        const segment = this.#segments.get(entry.segmentId);
        if (segment === undefined) return `an entry names segment ${entry.segmentId}, which is not there`;
        if (entry.offset + entry.length > segment.bytes.length) return "an entry lies beyond its segment";
        const frame = decodeFrame(segment.bytes, segment.view, entry.offset, segment.bytes.length);
        if (frame.kind !== "ok" || frame.length !== entry.length) return "an entry's frame is not there";
        expandHash(entry.bytes, entry.eventHashAt, hash, 0);
        if (frame.clock !== entry.clock || !hasHash(frame, hash)) return "an entry and its frame differ";
        numbered.set(placeKey(entry.segmentId, entry.offset), entry.globalSequence);
        return undefined;
      },
    });
    if (decoded.kind !== "ok") return decoded.reason;
    const watermark = this.#segments.get(decoded.head.watermarkSegmentId);
    if (watermark === undefined && this.#segments.size > 0) return "the segment of its watermark is not there";
    if (watermark !== undefined && watermark.bytes.length < decoded.head.watermarkOffset) {
      this.#problem("DAMAGED", watermark.id, watermark.bytes.length, `the checkpoint speaks of ${decoded.head.watermarkOffset} bytes`);
      return "a segment is shorter than its watermark";
    }
    this.#allocator = decoded.head.globalSequence;
    return null;
  }

  // Frames and batches.

  #collectPlaces(): void {
    const pending: Place[] = [];
    const tracker = new BatchTracker({
      accept: (handle, endsCommit) => this.#places.push({ ...pending[handle], endsBatch: endsCommit }),
      drop: (handle, reason) =>
        this.#reasons.push(`an event at segment ${pending[handle].segmentId}, offset ${pending[handle].offset} does not count: ${reason}`),
    });
    for (const segment of this.#segments.values()) {
      this.#walk(segment, (frame) =>
        tracker.push(frame, pending.push({ segmentId: segment.id, offset: frame.offset, endsBatch: true }) - 1),
      );
      tracker.endSegment(segment.footer !== null);
    }
    tracker.end();
    for (const place of this.#places) {
      const segment = this.#segments.get(place.segmentId) as Segment;
      segment.framesEnd = Math.max(segment.framesEnd, place.offset + segment.view.getUint32(place.offset) + 8);
    }
  }

  #walk(segment: Segment, visit: (frame: Frame) => void): void {
    const { bytes, view, footer, id } = segment;
    const end = footer?.tableOffset ?? bytes.length;
    for (let at = segment.framesOffset; at < end; ) {
      const frame = decodeFrame(bytes, view, at, end);
      if (frame.kind === "ok") {
        visit(frame);
        at += frame.length;
        continue;
      }
      const laterFooter = /^SDX[23]$/.test(Buffer.from(bytes.subarray(-4)).toString("latin1"));
      const next = findNextFrame(bytes, view, at + 1, end);
      if (next.kind === "none" && footer === null && !this.#isNumberedPast(id, at)) {
        if (!laterFooter) this.#problem("TORN_TAIL", id, at, frame.reason);
        return;
      }
      this.#problem("DAMAGED", id, at, frame.reason);
      if (next.kind !== "found") return;
      at = next.offset;
    }
  }

  #isNumberedPast(segmentId: number, offset: number): boolean {
    for (const key of this.#numbered.keys()) {
      const [id, at] = key.split(":").map(Number);
      if (id === segmentId && at >= offset) return true;
    }
    return false;
  }

  // Sequences.

  #sequences(): number[] {
    return this.#sequencesOfCheckpoint() ?? this.#sequencesOfFooters() ?? this.#places.map((_, position) => position);
  }

  #sequencesOfCheckpoint(): number[] | null {
    if (this.#numbered.size === 0 && this.#allocator === 0) return null;
    let next = this.#allocator;
    const sequences = this.#places.map((place) => this.#numbered.get(placeKey(place.segmentId, place.offset)) ?? next++);
    if (!ascends(sequences)) {
      this.#reasons.push("the checkpoint's sequences do not ascend in file order");
      return null;
    }
    this.#reasons.push("sequences are the checkpoint's, rows come from the frames");
    return sequences;
  }

  #sequencesOfFooters(): number[] | null {
    const numbered = new Map<string, number>();
    for (const segment of this.#segments.values()) {
      const { footer } = segment;
      if (footer === null) return null;
      for (let entry = 0; entry < footer.entryCount; entry++) {
        numbered.set(placeKey(segment.id, footer.frameOffset(entry)), footer.globalSequence(entry));
      }
    }
    const sequences = this.#places.map((place) => numbered.get(placeKey(place.segmentId, place.offset)) ?? -1);
    return ascends(sequences) ? sequences : null;
  }

  // The index.

  #fill(sequences: readonly number[]): void {
    const index = this.#index;
    let entry: SegmentEntry | null = null;
    let position = 0;
    for (const segment of this.#segments.values()) {
      index.acceptedSequence = Math.max(index.acceptedSequence, sequences[position] ?? 0);
      entry = newSegmentEntry(index, segment.id, 0);
      entry.framesEnd = segment.framesEnd;
      entry.sealed = true;
      index.segments.push(entry);
      for (; position < this.#places.length && this.#places[position].segmentId === segment.id; position++) {
        this.#enter(entry, segment, this.#places[position], sequences[position]);
      }
    }
    index.acceptedSequence = Math.max(index.acceptedSequence, this.#allocator);
    if (entry !== null) entry.nextSequence = index.acceptedSequence;
  }

  #enter(entry: SegmentEntry, segment: Segment, place: Place, sequence: number): void {
    const index = this.#index;
    const { heads } = index;
    const { view, bytes } = segment;
    const frame = decodeFrame(bytes, view, place.offset, bytes.length);
    if (frame.kind !== "ok")
      throw new StoreError("CORRUPT", `Cannot read an event: ${frame.reason}`, { segmentId: segment.id, reason: frame.reason });
    const entityId = index.entities.intern(frameEntity(frame));
    const scopeId = index.internScope(frameScope(frame), sequence);
    heads.ensure(entityId);
    const flags = (place.endsBatch ? OFFSET_ENDS_BATCH : 0) | OFFSET_FOREIGN_ID;
    (entry.index as ActiveSegmentIndex).pushValues(
      entityId,
      scopeId,
      frame.eventKind,
      frame.clock,
      (place.offset | flags) >>> 0,
      frame.wallMs * 1000,
      idTag(view, frame.eventIdAt),
      idTag(view, frame.correlationIdAt),
      frame.causationIdAt < 0 ? 0 : idTag(view, frame.causationIdAt),
      sequence,
      heads.sequence[entityId],
    );
    heads.clock[entityId] = frame.clock;
    heads.sequence[entityId] = sequence;
    heads.timeMicros[entityId] = frame.wallMs * 1000;
    if (frame.eventHashAt >= 0) expandHash(bytes, frame.eventHashAt, heads.hash, entityId * HASH_BYTES);
    heads.setVisible(entityId, sequence);
    entry.frames++;
    entry.visibleFrames++;
    entry.nextSequence = sequence + 1;
    index.visibleEvents++;
    index.acceptedSequence = sequence + 1;
    index.lastTimeMicros = Math.max(index.lastTimeMicros, frame.wallMs * 1000);
  }
}

function placeKey(segmentId: number, offset: number): string {
  return `${segmentId}:${offset}`;
}

function ascends(sequences: readonly number[]): boolean {
  return sequences.every((sequence, position) => sequence >= 0 && (position === 0 || sequence > sequences[position - 1]));
}

function hasHash(frame: Frame, hash: Uint8Array): boolean {
  if (frame.eventHashAt < 0) return false;
  const own = new Uint8Array(HASH_BYTES);
  expandHash(frame.bytes, frame.eventHashAt, own, 0);
  return own.every((byte, i) => byte === hash[i]);
}
