/**
 * Opens a batpak 0.3 log by its version 2 checkpoint: one pass over the file in pieces, each entry straight into the columns of its segment's
 * index, then the frames at and past the watermark.
 *
 * The checkpoint is believed only if
 * 1. it decodes, its CRC matches, and its sequences ascend below its allocator (the decoder's part);
 * 2. its entries stand in file order in segments that are there, inside their files, and its watermark lies in its file;
 * 3. between and behind its entries, up to the watermark, the segments hold whole frames that do not count: markers of batches, and what no whole batch
 *    has. Of anything else the next way tells whether the log is damaged, or only the checkpoint wrong;
 * 4. the first and the last entry of each segment are what their frames say.
 * Otherwise it is ignored, with the reason. A segment that ends exactly where an entry ended, with more entries to come, has lost them: damage.
 */
import { join } from "node:path";
import { atOnce, inSteps } from "./base/rest.ts";
import { viewOf } from "./base/msgpack.ts";
import type { Disk, DiskFile } from "./disk/disk.ts";
import type { CheckpointEntry } from "./format/batpak03/checkpoint.ts";
import { openEntryWalker } from "./format/batpak03/checkpoint-entry.ts";
import { CheckpointDecoder, type CheckpointVisitor, type DecodedCheckpoint } from "./format/batpak03/checkpoint-decoder.ts";
import { type Frame, frameEntity, frameScope } from "./format/batpak03/frame.ts";
import { hashEquals } from "./format/batpak03/hash-array.ts";
import type { Corrupt, Torn } from "./format/batpak03/outcome.ts";
import { CHECKPOINT_FILE } from "./format/native/checkpoint.ts";
import { ActiveSegmentIndex } from "./index/active-segment-index.ts";
import { idTag } from "./index/id-tag.ts";
import type { Interner } from "./index/interner.ts";
import { FrameReader } from "./log/batpak03-frame-reader.ts";
import { SEQUENCE_MAX } from "./log/batpak03-rows.ts";
import { type Batpak03Segment, standsAlone, type WalkEnd } from "./log/batpak03-segment.ts";
import { Batpak03Attempt, type Batpak03Log } from "./open-batpak03-attempt.ts";
import { FooterNumbers, soundFooter } from "./open-batpak03-footers.ts";

const PIECE_BYTES = 1024 * 1024;
/** The first pieces are smaller: all of this code is still cold, and takes several times as long for an entry. */
const FIRST_PIECE_BYTES = 64 * 1024;
/** Room before a piece for what the one before it left: more than any entry takes. */
const HEAD_BYTES = 64 * 1024;
const BUFFER_BYTES = HEAD_BYTES + PIECE_BYTES;
/** A single value of more bytes than this is taken for none. */
const VALUE_BYTES_MAX = 16 * 1024 * 1024;
/** No event's frame is smaller: its keys, ids and hashes. */
const FRAME_BYTES_MIN = 300;
/** Room is made for so many times the rows that are expected in a segment. */
const ROWS_MARGIN = 1.1;
/** The window for looking at a single frame. */
const EDGE_BYTES = 4096;

export type CheckpointRoute =
  /** `reasons`: why footers behind it are ignored. */
  | { readonly kind: "ok"; readonly attempt: Batpak03Attempt; readonly replayed: number; readonly reasons: readonly string[] }
  | { readonly kind: "absent" }
  | {
      readonly kind: "ignored";
      readonly reason: string;
      readonly lost: { readonly segmentId: number; readonly offset: number } | null;
      /** Whether it is a footer behind it that contradicts the frames: without these it may be believed. */
      readonly isOfFooters: boolean;
    };

/**
 * Reads the log by its checkpoint. Notes in `log.claimedEnds` what a whole checkpoint says, also where it is ignored.
 *
 * @param byFooters whether frames past the watermark are numbered by the footers of their segments, where there are any
 */
export async function openByCheckpoint(disk: Disk, log: Batpak03Log, byFooters: boolean): Promise<CheckpointRoute> {
  const path = join(log.files.directory, CHECKPOINT_FILE);
  const status = await disk.status(path);
  if (status === null) return { kind: "absent" };
  const ignored = (reason: string, entries?: CheckpointEntries): CheckpointRoute => ({
    kind: "ignored",
    reason,
    lost: entries?.lost ?? null,
    isOfFooters: entries?.isOfFooters ?? false,
  });
  if (status.type !== "file") return ignored(`it is a ${status.type}`);
  const file = await disk.open(path, "read");
  try {
    const size = await file.size();
    const entries = new CheckpointEntries(log);
    const decoded = await decodeInPieces(file, size, entries);
    if (decoded.kind !== "ok") return ignored(decoded.reason);
    entries.noteClaimedEnd();
    entries.noteWatermark(decoded.head);
    log.claimedEnds = entries.claimedEnds;
    const fault = entries.fault ?? (await entries.finish(decoded.head, byFooters));
    if (fault !== null) return ignored(fault, entries);
    const { attempt, numbered, reasons } = entries;
    return { kind: "ok", attempt, replayed: attempt.rows.events - attempt.rows.claimedEvents + numbered, reasons };
  } finally {
    await file.close();
  }
}

/**
 * Feeds a checkpoint's file to its decoder; while one piece is decoded, the next is read. `rest` is waited for between the pieces.
 *
 * @param pieceBytesMax at most `PIECE_BYTES`; less where the visitor takes long over an entry
 */
export async function decodeInPieces(
  file: DiskFile,
  size: number,
  visitor: CheckpointVisitor,
  rest?: () => Promise<void>,
  pieceBytesMax: number = PIECE_BYTES,
): Promise<DecodedCheckpoint | Torn | Corrupt> {
  const decoder = new CheckpointDecoder(size, visitor);
  const walker = openEntryWalker(2 * BUFFER_BYTES);
  /** Two buffers: one is decoded while the other is read into. */
  const room = walker?.bytes ?? new Uint8Array(2 * BUFFER_BYTES);
  const view = viewOf(room);
  let buffer = 0;
  let left: Uint8Array = room.subarray(0, 0);
  let pieceBytes = FIRST_PIECE_BYTES;
  // Where it fails while somebody rests or decodes, nobody waits for it yet, or ever: it must not end the process.
  const read = (position: number): Promise<number> => {
    const piece = file.read(room, buffer + HEAD_BYTES, pieceBytes, position);
    piece.catch(() => {});
    return piece;
  };
  let reading = read(0);
  for (let position = 0; ; ) {
    const count = await reading;
    if (count === 0) break;
    position += count;
    // What was left goes before the piece, so that the buffer that held it can take the next one.
    const piece = buffer + HEAD_BYTES;
    const fits = left.length <= HEAD_BYTES;
    const bytes = fits ? room : joined(left, room.subarray(piece, piece + count));
    const start = fits ? piece - left.length : 0;
    if (fits) room.set(left, start);
    const end = start + left.length + count;
    buffer = BUFFER_BYTES - buffer;
    pieceBytes = Math.min(pieceBytesMax, pieceBytes * 2);
    reading = read(position);
    await rest?.();
    const stop = decoder.push(bytes, fits ? view : viewOf(bytes), start, end, fits ? walker : null);
    left = bytes.subarray(stop, end);
    const isTooLong = left.length > VALUE_BYTES_MAX;
    if (!isTooLong && !decoder.hasFailed) continue;
    // Of what follows nothing matters, however much it is.
    await reading;
    if (isTooLong) return { kind: "corrupt", reason: `the checkpoint holds a value of more than ${VALUE_BYTES_MAX} bytes` };
    break;
  }
  return decoder.finish();
}

/** Why what a checkpoint says of the whole log cannot be; null where it can. `fileBytes` are those of the watermark's segment, null where it is not there. */
export function headFault(
  { globalSequence, watermarkSegmentId, watermarkOffset }: DecodedCheckpoint["head"],
  fileBytes: number | null,
): string | null {
  if (globalSequence > SEQUENCE_MAX) return `its allocator stands at ${globalSequence}`;
  if (fileBytes === null) return `segment ${watermarkSegmentId}, where its watermark stands, is not there`;
  if (fileBytes >= watermarkOffset) return null;
  return `segment ${watermarkSegmentId} has ${fileBytes} bytes, its watermark stands at ${watermarkOffset}`;
}

function joined(first: Uint8Array, second: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(first.length + second.length);
  bytes.set(first);
  bytes.set(second, first.length);
  return bytes;
}

/** Takes the entries as they are decoded. */
class CheckpointEntries implements CheckpointVisitor {
  readonly attempt: Batpak03Attempt;
  readonly claimedEnds = new Map<number, number>();
  fault: string | null = null;
  /** Where a segment ends that had more entries. */
  lost: { segmentId: number; offset: number } | null = null;
  /** Events behind the watermark that footers numbered. */
  numbered = 0;
  readonly reasons: string[] = [];
  readonly #log: Batpak03Log;
  readonly #strings: string[] = [];
  /** Ids of the index by string, -1 where not asked for yet. */
  #entityIds = new Int32Array(0);
  #scopeIds = new Int32Array(0);
  /** Which segment entries are in, and where the last of them ends. */
  #at = -1;
  #cursor = 0;
  #rowsPerByte = 0;
  /** Whether it knows of more than may be shown: then its allocator counts what nobody may see. */
  #isAhead = false;
  #claimedId = -1;
  #claimedEnd = 0;
  /** Frame lengths of the last entries, by segment: what the columns do not keep. */
  readonly #lastEnds = new Map<number, number>();
  /** Whether the events of a segment behind the watermark were numbered by its footer. */
  #hasNumbered = false;

  constructor(log: Batpak03Log) {
    this.#log = log;
    this.attempt = new Batpak03Attempt(log);
  }

  /** Whether a footer contradicts the frames: it may show in a later segment, or in the end, that a batch of which it lists events is not whole. */
  get isOfFooters(): boolean {
    return this.#hasNumbered && this.attempt.rows.fault !== null;
  }

  string(text: string): void {
    this.#strings.push(text);
  }

  entries(count: number): void {
    // Frames are of much the same size in all segments, and of no less than this.
    const bytes = this.#log.segments.reduce((total, segment) => total + segment.end, 0);
    this.#rowsPerByte = Math.min((count * ROWS_MARGIN) / Math.max(1, bytes), 1 / FRAME_BYTES_MIN);
    this.#entityIds = new Int32Array(this.#strings.length).fill(-1);
    this.#scopeIds = new Int32Array(this.#strings.length).fill(-1);
  }

  entry(entry: CheckpointEntry): undefined {
    const end = entry.offset + entry.length;
    if (entry.segmentId !== this.#claimedId) {
      this.noteClaimedEnd();
      this.#claimedId = entry.segmentId;
      this.#claimedEnd = this.claimedEnds.get(entry.segmentId) ?? 0;
    }
    if (end > this.#claimedEnd) this.#claimedEnd = end;
    if (!this.#isVisible(entry)) this.#isAhead = true;
    else if (this.fault === null) this.#take(entry, end);
    return undefined;
  }

  /** Where the entries of a segment end. After all of them it is to be called once more, also where they are not believed. */
  noteClaimedEnd(): void {
    if (this.#claimedId >= 0) this.claimedEnds.set(this.#claimedId, this.#claimedEnd);
  }

  /** Behind the last entry the watermark tells of the COMMIT of a batch: up to the footer, which it counts as well. */
  noteWatermark({ watermarkSegmentId: id, watermarkOffset }: DecodedCheckpoint["head"]): void {
    const entriesEnd = this.claimedEnds.get(id);
    const trailer = this.#log.segments.find((segment) => segment.id === id)?.trailer ?? null;
    if (entriesEnd === undefined || trailer === null) return;
    this.claimedEnds.set(id, Math.max(entriesEnd, Math.min(watermarkOffset, trailer.tableOffset)));
  }

  #isVisible(entry: CheckpointEntry): boolean {
    const { limit } = this.#log;
    return limit === null || entry.segmentId < limit.segmentId || (entry.segmentId === limit.segmentId && entry.offset < limit.offset);
  }

  #take(entry: CheckpointEntry, end: number): void {
    const { segments } = this.#log;
    if (this.#at < 0 || segments[this.#at].id !== entry.segmentId) {
      while (this.#at < segments.length && (this.#at < 0 || segments[this.#at].id < entry.segmentId) && this.fault === null) {
        this.#leaveSegment();
        this.#enterSegment();
      }
      if (this.fault !== null) return;
      if (segments[this.#at]?.id !== entry.segmentId) {
        this.fault = segments.some(({ id }) => id === entry.segmentId)
          ? "its entries do not stand in file order"
          : `an entry names segment ${entry.segmentId}, which is not there`;
        return;
      }
    }
    const segment = segments[this.#at];
    if (entry.offset < this.#cursor) this.fault = `its entries overlap or run backwards in segment ${segment.id} at offset ${entry.offset}`;
    else if (end > segment.end) this.#meetEnd(segment, end);
    else {
      if (entry.offset > this.#cursor) this.#passGap(segment, entry.offset, Number.POSITIVE_INFINITY);
      if (this.fault === null) this.#push(entry);
      this.#cursor = end;
      this.fault ??= this.attempt.rows.fault;
    }
  }

  #meetEnd(segment: Batpak03Segment, end: number): void {
    this.fault = `an entry ends at offset ${end} of segment ${segment.id}, which has ${segment.end} bytes`;
    // Compaction leaves shorter segments too, but no frames that its checkpoint knows up to the very end.
    const known = this.#cursor === segment.fileBytes && this.#cursor > segment.framesOffset && this.attempt.rows.idle;
    if (!known) return;
    this.#lastEnds.set(this.#at, this.#cursor);
    if (this.#edgeMismatch(this.#at) === null) this.lost = { segmentId: segment.id, offset: segment.fileBytes };
  }

  #push(entry: CheckpointEntry): void {
    const { rows } = this.attempt;
    const { row } = rows;
    const { bytes, view } = entry;
    row.entityId = this.#entityId(entry.entityId);
    row.scopeId = this.#scopeId(entry.scopeId);
    if (this.fault !== null) return;
    row.kind = entry.eventKind;
    row.clock = entry.clock;
    row.offset = entry.offset;
    row.wallMs = entry.wallMs;
    row.idTag = idTag(view, entry.eventIdAt);
    row.correlationTag = idTag(view, entry.correlationIdAt);
    row.causationTag = entry.causationIdAt < 0 ? 0 : idTag(view, entry.causationIdAt);
    row.sequence = entry.globalSequence;
    row.claim = "claimed";
    row.hashIn = bytes;
    row.hashAt = entry.eventHashAt;
    rows.event();
  }

  #entityId(string: number): number {
    const id = string < this.#entityIds.length ? this.#entityIds[string] : -1;
    if (id >= 0) return id;
    return this.#intern(string, this.#entityIds, this.attempt.rows.index.entities);
  }

  #scopeId(string: number): number {
    const id = string < this.#scopeIds.length ? this.#scopeIds[string] : -1;
    if (id >= 0) return id;
    return this.#intern(string, this.#scopeIds, this.attempt.rows.index.scopes);
  }

  #intern(string: number, ids: Int32Array, interner: Interner): number {
    const text = this.#strings[string];
    if (text === undefined || text === "") {
      this.fault = `an entry names string ${string} of ${this.#strings.length}`;
      return 0;
    }
    return (ids[string] = interner.intern(text));
  }

  // What no entry names.

  #enterSegment(): void {
    this.#at++;
    const segment = this.#log.segments[this.#at];
    if (segment === undefined) return;
    this.#cursor = segment.framesOffset;
    this.attempt.rows.beginSegment(segment.id, Math.ceil(segment.end * this.#rowsPerByte));
    if (standsAlone(segment)) this.attempt.rows.doubtBatch();
    if (segment.headerFault !== null && segment.fileBytes > 0)
      this.fault ??= `segment ${segment.id} is damaged at its head: ${segment.headerFault}`;
  }

  /** Passes what stands behind the last entry of a segment, and leaves it. */
  #leaveSegment(): void {
    if (this.#at < 0) return;
    const { framesEnd, atFooter } = this.#passRest(this.#log.segments[this.#at], Number.POSITIVE_INFINITY);
    this.attempt.rows.endSegment(framesEnd, atFooter);
    this.fault ??= this.attempt.rows.fault;
  }

  #passRest(segment: Batpak03Segment, to: number): WalkEnd {
    this.#lastEnds.set(this.#at, this.#cursor);
    if (segment.trailer?.tableOffset === this.#cursor) return { framesEnd: this.#cursor, atFooter: true };
    return this.#passGap(segment, Math.min(to, segment.end), 0);
  }

  #passGap(segment: Batpak03Segment, to: number, claimedEnd: number): WalkEnd {
    const { attempt } = this;
    const visit = (frame: Frame, offset: number): void => attempt.rows.frame(frame, offset, -1, "unclaimed");
    const end = atOnce(attempt.walk(segment, this.#cursor, Math.max(to, this.#cursor), visit, claimedEnd));
    // A torn tail stands behind all entries of its segment.
    if (attempt.problems.length > 0 || (claimedEnd > 0 && end.framesEnd < to))
      this.fault ??= `segment ${segment.id} has something else than whole frames at offset ${this.#cursor}, where no entry is`;
    return end;
  }

  /** What comes behind the entries: the rest up to the watermark, then frames that are replayed. Gives why the checkpoint is ignored, or null. */
  async finish(head: DecodedCheckpoint["head"], byFooters: boolean): Promise<string | null> {
    const { segments, limit } = this.#log;
    const { rows } = this.attempt;
    const watermark = segments.findIndex(({ id }) => id === head.watermarkSegmentId);
    const isPast = limit !== null && head.watermarkSegmentId > limit.segmentId;
    const isAnywhere = isPast || segments.length === 0;
    const fault = headFault(head, segments[watermark]?.fileBytes ?? (isAnywhere ? Number.POSITIVE_INFINITY : null));
    if (fault !== null) return fault;
    const last = isPast ? segments.length - 1 : watermark;
    while (this.#at < last && this.fault === null) {
      this.#leaveSegment();
      this.#enterSegment();
    }
    if (this.fault !== null) return this.fault;
    if (last >= 0) {
      const offset = isPast ? Number.POSITIVE_INFINITY : head.watermarkOffset;
      await this.#passWatermark(segments[last], offset, head.globalSequence, byFooters);
      for (const segment of segments.slice(last + 1)) {
        rows.beginSegment(segment.id);
        if (standsAlone(segment)) rows.doubtBatch();
        await this.#replay(segment, segment.framesOffset, byFooters);
      }
    }
    rows.finish();
    if (!this.#isAhead) rows.index.acceptedSequence = Math.max(rows.index.acceptedSequence, head.globalSequence);
    rows.index.visible.sequence = rows.index.acceptedSequence;
    return this.fault ?? rows.fault ?? this.#edgesMismatch();
  }

  async #passWatermark(segment: Batpak03Segment, watermark: number, allocator: number, byFooters: boolean): Promise<void> {
    const { rows, tornTails } = this.attempt;
    const torn = tornTails.length;
    const to = Math.min(watermark, segment.end);
    const rest = this.#passRest(segment, to);
    if (!this.#isAhead) {
      rows.nextAtLeast = allocator;
      // Entries behind a batch that was never ended are still held, with sequences below the allocator.
      if (rows.idle) rows.index.acceptedSequence = Math.max(rows.index.acceptedSequence, allocator);
    }
    if (rest.atFooter || tornTails.length > torn) rows.endSegment(rest.framesEnd, rest.atFooter);
    else await this.#replay(segment, Math.max(rest.framesEnd, to), byFooters);
  }

  async #replay(segment: Batpak03Segment, from: number, byFooters: boolean): Promise<void> {
    const { attempt } = this;
    const { rows } = attempt;
    const numbers = byFooters && rows.fault === null ? await this.#numbersOf(segment, from) : null;
    const visit = (frame: Frame, offset: number): void =>
      numbers === null ? rows.frame(frame, offset, -1, "free") : numbers.frame(frame, offset);
    const { framesEnd, atFooter } = await inSteps(attempt.walk(segment, from, segment.end, visit));
    if (numbers !== null) {
      numbers.finish(segment.id, atFooter);
      this.numbered += numbers.passed;
      this.#hasNumbered = true;
    }
    rows.endSegment(framesEnd, atFooter);
  }

  /** The footer of a segment behind the watermark, where its sequences go on from what was before: once the original had opened by a checkpoint, it began anew. */
  async #numbersOf(segment: Batpak03Segment, from: number): Promise<FooterNumbers | null> {
    const { rows } = this.attempt;
    const footer = await soundFooter(this.#log.files, segment, (reason) => this.reasons.push(reason));
    if (footer === null) return null;
    const numbers = new FooterNumbers(footer, this.attempt, from);
    const due = Math.max(rows.nextAtLeast, rows.index.acceptedSequence);
    if (numbers.next >= due) return numbers;
    this.reasons.push(`the footer of segment ${segment.id} is ignored: it begins with sequence ${numbers.next}, ${due} is due`);
    return null;
  }

  // The entries against frames.

  #edgesMismatch(): string | null {
    for (const slot of this.#lastEnds.keys()) {
      const reason = this.#edgeMismatch(slot);
      if (reason !== null) return reason;
    }
    return null;
  }

  /** Compares the first and the last entry of a segment with their frames. */
  #edgeMismatch(slot: number): string | null {
    const rows = this.attempt.rows.index.segments[slot]?.index;
    const end = this.#lastEnds.get(slot) as number;
    if (!(rows instanceof ActiveSegmentIndex)) return null;
    let last = rows.rowCount - 1;
    while (last >= 0 && rows.offsetAt(last) >= end) last--;
    if (last < 0) return null;
    const reason = this.#rowMismatch(slot, rows, last, end, end) ?? this.#rowMismatch(slot, rows, 0, end);
    return reason === null ? null : `segment ${this.#log.segments[slot].id} ${reason}`;
  }

  /** @param frameEnd where the row's frame ends by its entry, where that is known */
  #rowMismatch(slot: number, rows: ActiveSegmentIndex, row: number, end: number, frameEnd = -1): string | null {
    const { id } = this.#log.segments[slot];
    const { entities, scopes, heads } = this.attempt.rows.index;
    const offset = rows.offsetAt(row);
    const reader = new FrameReader(EDGE_BYTES);
    reader.begin(this.#log.files.file(id), offset, end);
    const frame = reader.next();
    if (frame === null) return `has no frame at offset ${offset}, where an entry says that there is one`;
    const { columns } = rows;
    const { view, bytes } = frame;
    const entity = columns.entity[row];
    const same =
      (frameEnd < 0 || offset + frame.length === frameEnd) &&
      frame.eventKind === columns.kind[row] &&
      frame.clock === columns.clock[row] &&
      frame.wallMs * 1000 === columns.time[row] &&
      idTag(view, frame.eventIdAt) === columns.idTag[row] &&
      idTag(view, frame.correlationIdAt) === columns.correlationTag[row] &&
      (frame.causationIdAt < 0 ? 0 : idTag(view, frame.causationIdAt)) === columns.causationTag[row] &&
      frameEntity(frame) === entities.name(entity) &&
      frameScope(frame) === scopes.name(columns.scope[row]);
    const isHead = heads.sequence(entity) === rows.sequenceAt(row) && frame.eventHashAt >= 0;
    if (same && !(isHead && !hashEquals(bytes, frame.eventHashAt, heads.hash(entity), 0))) return null;
    return `has another event at offset ${offset} than an entry says`;
  }
}
