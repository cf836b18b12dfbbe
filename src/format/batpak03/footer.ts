/**
 * A sealed segment's footer: string table · entries of 154 bytes · trailer. It has no checksum, and stores exist whose footers are wrong, so
 * it is believed only as far as it was checked:
 *
 * 1. `decodeTrailer` and `decodeFooter` check every length, string and index: reading an entry afterwards needs no check.
 * 2. `footerPlacement` checks that the entries are frames of this segment in file order; the caller looks at the gaps (batch markers only).
 * 3. `footerMismatch` compares an entry with the frame it points at.
 */
import type { ByteSink } from "../../base/byte-sink.ts";
import { GrowingSink } from "../../base/byte-sink.ts";
import {
  ARRAY_HEADER_BYTES_MAX,
  isText,
  makeRoom,
  msgpackReader,
  readArrayHeader,
  readStringSpan,
  stringBytesMax,
  textAt,
  viewOf,
  writeArrayHeader,
  writeString,
} from "../../base/msgpack.ts";
import type { Frame, FrameFields } from "./frame.ts";
import { frameEntity, frameScope } from "./frame.ts";
import { hashEquals } from "./hash-array.ts";
import { FOOTER_ENTRY, FOOTER_MAGIC, FOOTER_MAGICS_LATER, FOOTER_TRAILER, FRAME_PREFIX, ID_BYTES, U32_MAX, ZERO_HASH } from "./layout.ts";
import type { Corrupt } from "./outcome.ts";
import { corrupt } from "./outcome.ts";

const U32_RANGE = U32_MAX + 1;

export interface FooterTrailer {
  readonly kind: "ok";
  /** Where the footer begins and the frames end. */
  readonly tableOffset: number;
  readonly entriesOffset: number;
  readonly entryCount: number;
}

/** The segment has no footer: it was never sealed, or was written by a compaction. */
export interface FooterAbsent {
  readonly kind: "absent";
}

/**
 * Reads a trailer from a segment's last bytes.
 * @param tail the file's last 16 bytes (or all of it, when shorter)
 * @param fileBytes the file's size
 * @param framesOffset where the segment header ends
 */
export function decodeTrailer(tail: Uint8Array, fileBytes: number, framesOffset: number): FooterTrailer | FooterAbsent | Corrupt {
  if (tail.length < FOOTER_TRAILER.bytes) return { kind: "absent" };
  const view = viewOf(tail);
  const start = tail.length - FOOTER_TRAILER.bytes;
  const magic = String.fromCharCode(...tail.subarray(start + FOOTER_TRAILER.magic));
  if (FOOTER_MAGICS_LATER.includes(magic)) return corrupt(`a footer ${magic} belongs to a later release, only ${FOOTER_MAGIC} is read`);
  if (magic !== FOOTER_MAGIC) return { kind: "absent" };
  const tableOffset = readU64(view, start + FOOTER_TRAILER.tableOffset);
  const entryCount = view.getUint32(start + FOOTER_TRAILER.entryCount, true);
  const entriesOffset = fileBytes - FOOTER_TRAILER.bytes - entryCount * FOOTER_ENTRY.bytes;
  if (!(tableOffset >= framesOffset && tableOffset < entriesOffset)) {
    return corrupt(`the footer claims ${entryCount} entries and a table at ${tableOffset}, which do not fit in ${fileBytes} bytes`);
  }
  return { kind: "ok", tableOffset, entriesOffset, entryCount };
}

/** NaN past the safe integers, so that every comparison with it fails. */
function readU64(view: DataView, at: number): number {
  const value = view.getUint32(at + 4, true) * U32_RANGE + view.getUint32(at, true);
  return Number.isSafeInteger(value) ? value : Number.NaN;
}

/** A footer's entries where they lie: no object for any of them. Members ending in `At` give positions in `bytes`. */
export class Footer {
  readonly kind = "ok";
  readonly bytes: Uint8Array;
  readonly strings: readonly string[];
  readonly entryCount: number;
  readonly tableOffset: number;
  readonly #view: DataView;
  readonly #entriesAt: number;

  /** Made by `decodeFooter` only, which has checked what the accessors rely on. */
  constructor(bytes: Uint8Array, trailer: FooterTrailer, strings: readonly string[]) {
    this.bytes = bytes;
    this.strings = strings;
    this.entryCount = trailer.entryCount;
    this.tableOffset = trailer.tableOffset;
    this.#view = viewOf(bytes);
    this.#entriesAt = trailer.entriesOffset - trailer.tableOffset;
  }

  #at(entry: number, field: number): number {
    return this.#entriesAt + entry * FOOTER_ENTRY.bytes + field;
  }
  /** Ids are 16 bytes little-endian, unlike anywhere else: `readFooterId` turns them. */
  eventIdAt(entry: number): number {
    return this.#at(entry, FOOTER_ENTRY.eventId);
  }
  correlationIdAt(entry: number): number {
    return this.#at(entry, FOOTER_ENTRY.correlationId);
  }
  /** -1 when there is none. */
  causationIdAt(entry: number): number {
    const at = this.#at(entry, FOOTER_ENTRY.causationId);
    for (let index = 0; index < ID_BYTES; index++) if (this.bytes[at + index] !== 0) return at;
    return -1;
  }
  /** 32 bytes as they are. */
  prevHashAt(entry: number): number {
    return this.#at(entry, FOOTER_ENTRY.prevHash);
  }
  eventHashAt(entry: number): number {
    return this.#at(entry, FOOTER_ENTRY.eventHash);
  }
  entityIndex(entry: number): number {
    return this.#view.getUint32(this.#at(entry, FOOTER_ENTRY.entityIndex), true);
  }
  scopeIndex(entry: number): number {
    return this.#view.getUint32(this.#at(entry, FOOTER_ENTRY.scopeIndex), true);
  }
  eventKind(entry: number): number {
    return this.#view.getUint16(this.#at(entry, FOOTER_ENTRY.kind), true);
  }
  wallMs(entry: number): number {
    return readU64(this.#view, this.#at(entry, FOOTER_ENTRY.wallMs));
  }
  clock(entry: number): number {
    return this.#view.getUint32(this.#at(entry, FOOTER_ENTRY.clock), true);
  }
  frameOffset(entry: number): number {
    return readU64(this.#view, this.#at(entry, FOOTER_ENTRY.frameOffset));
  }
  frameLength(entry: number): number {
    return this.#view.getUint32(this.#at(entry, FOOTER_ENTRY.frameLength), true);
  }
  globalSequence(entry: number): number {
    return readU64(this.#view, this.#at(entry, FOOTER_ENTRY.globalSequence));
  }
}

function writeFooterId(bytes: Uint8Array, at: number, id: Uint8Array): void {
  for (let index = 0; index < ID_BYTES; index++) bytes[at + index] = id[ID_BYTES - 1 - index];
}

/** Names or entries that are looked at in one step. */
const PER_STEP = 4096;

/** Reads the footer from `region`, in steps: the file's bytes from `trailer.tableOffset` to its end. The footer keeps `region`. */
export function* decodeFooter(region: Uint8Array, trailer: FooterTrailer): Generator<void, Footer | Corrupt, undefined> {
  const entriesAt = trailer.entriesOffset - trailer.tableOffset;
  if (region.length !== entriesAt + trailer.entryCount * FOOTER_ENTRY.bytes + FOOTER_TRAILER.bytes)
    return corrupt("the footer is not of the size that its trailer states");
  const reader = msgpackReader(region, viewOf(region), 0, entriesAt);
  const count = readArrayHeader(reader);
  const countMax = trailer.entryCount * 2;
  if (count > countMax) return corrupt(`the footer has ${count} names, its ${trailer.entryCount} entries can have ${countMax}`);
  const strings: string[] = [];
  const known = new Set<string>();
  for (let index = 0; index < count && reader.fault === null; index++) {
    const start = readStringSpan(reader);
    if (reader.fault !== null) break;
    if (!isText(region, start, reader.position)) return corrupt(`string ${index} of the footer is not UTF-8`);
    const text = textAt(region, start, reader.position);
    if (known.has(text)) return corrupt(`string ${index} of the footer comes twice`);
    known.add(text);
    strings.push(text);
    if (strings.length % PER_STEP === 0) yield;
  }
  if (reader.fault !== null) return corrupt(`the footer's strings do not decode: ${reader.fault}`);
  if (reader.position !== entriesAt) return corrupt(`the footer's strings end ${entriesAt - reader.position} bytes before its entries`);
  const footer = new Footer(region, trailer, strings);
  for (let entry = 0; entry < footer.entryCount; entry++) {
    if (footer.entityIndex(entry) >= count || footer.scopeIndex(entry) >= count)
      return corrupt(`entry ${entry} of the footer names a string past the table's ${count}`);
    // A sum is NaN when any of its numbers was past the safe integers.
    if (Number.isNaN(footer.wallMs(entry) + footer.frameOffset(entry) + footer.globalSequence(entry)))
      return corrupt(`entry ${entry} of the footer holds a number past 2^53`);
    if (entry % PER_STEP === PER_STEP - 1) yield;
  }
  return footer;
}

/** Which entry is not in file order, in sequence order, inside the frames' region and apart from the one before it; null where none is. In steps. */
export function* misplacedEntry(footer: Footer, framesOffset: number): Generator<void, Corrupt | null, undefined> {
  let end = framesOffset;
  let sequence = -1;
  for (let entry = 0; entry < footer.entryCount; entry++) {
    const offset = footer.frameOffset(entry);
    const length = footer.frameLength(entry);
    if (offset < end || length <= FRAME_PREFIX.body || offset + length > footer.tableOffset) {
      return corrupt(`entry ${entry} of the footer claims bytes ${offset} to ${offset + length}, outside ${end} to ${footer.tableOffset}`);
    }
    if (footer.globalSequence(entry) <= sequence)
      return corrupt(`entry ${entry} of the footer has sequence ${footer.globalSequence(entry)} after ${sequence}`);
    end = offset + length;
    sequence = footer.globalSequence(entry);
    if (entry % PER_STEP === PER_STEP - 1) yield;
  }
  return null;
}

/** What an entry says otherwise than the frame it points at, which stands at `offset` in its segment; null when they agree. */
export function footerMismatch(footer: Footer, entry: number, frame: Frame, offset: number): string | null {
  const sameId = (at: number, frameAt: number): boolean => {
    if (at < 0 || frameAt < 0) return at < 0 && (frameAt < 0 || isZero(frame.bytes, frameAt));
    for (let index = 0; index < ID_BYTES; index++)
      if (footer.bytes[at + ID_BYTES - 1 - index] !== frame.bytes[frameAt + index]) return false;
    return true;
  };
  if (offset !== footer.frameOffset(entry) || frame.length !== footer.frameLength(entry)) return "offset or length";
  if (!sameId(footer.eventIdAt(entry), frame.eventIdAt)) return "event id";
  if (!sameId(footer.correlationIdAt(entry), frame.correlationIdAt)) return "correlation id";
  if (!sameId(footer.causationIdAt(entry), frame.causationIdAt)) return "causation id";
  if (frame.eventKind !== footer.eventKind(entry)) return "kind";
  if (frame.wallMs !== footer.wallMs(entry) || frame.clock !== footer.clock(entry)) return "time or clock";
  const sameHash = (at: number, frameAt: number): boolean =>
    frameAt < 0 ? isZero(footer.bytes, at) && isZero(footer.bytes, at + ID_BYTES) : hashEquals(frame.bytes, frameAt, footer.bytes, at);
  if (!sameHash(footer.prevHashAt(entry), frame.prevHashAt) || !sameHash(footer.eventHashAt(entry), frame.eventHashAt)) return "hash";
  if (frameEntity(frame) !== footer.strings[footer.entityIndex(entry)] || frameScope(frame) !== footer.strings[footer.scopeIndex(entry)])
    return "entity or scope";
  return null;
}

function isZero(bytes: Uint8Array, at: number): boolean {
  for (let index = 0; index < ID_BYTES; index++) if (bytes[at + index] !== 0) return false;
  return true;
}

/** What an entry takes from its frame. */
export type FooterEvent = Pick<
  FrameFields,
  "eventId" | "correlationId" | "causationId" | "eventKind" | "wallMs" | "clock" | "hashChain" | "entity" | "scope"
>;

/** Collects a segment's entries while its frames are written, 154 bytes each, and writes the footer at the end. */
export class FooterBuilder {
  readonly #strings: string[] = [];
  readonly #indexes = new Map<string, number>();
  readonly #rows: ByteSink & { copy(start?: number): Uint8Array } = new GrowingSink(FOOTER_ENTRY.bytes * 64);
  #entryCount = 0;

  get entryCount(): number {
    return this.#entryCount;
  }

  /** The entries so far, where they lie: right while more are added. Its offsets are those of the frames; there is no string table. */
  entries(): Footer {
    const bytes = this.#rows.bytes.subarray(0, this.#rows.position);
    return new Footer(bytes, { kind: "ok", tableOffset: 0, entriesOffset: 0, entryCount: this.#entryCount }, this.#strings);
  }

  /** Adds the entry of an event's frame (not of a marker's), in file order. */
  push(frame: FooterEvent, frameOffset: number, frameLength: number, globalSequence: number): void {
    makeRoom(this.#rows, FOOTER_ENTRY.bytes);
    const { bytes, view, position: at } = this.#rows;
    writeFooterId(bytes, at + FOOTER_ENTRY.eventId, frame.eventId);
    view.setUint32(at + FOOTER_ENTRY.entityIndex, this.#intern(frame.entity), true);
    view.setUint32(at + FOOTER_ENTRY.scopeIndex, this.#intern(frame.scope), true);
    view.setUint16(at + FOOTER_ENTRY.kind, frame.eventKind, true);
    writeU64(view, at + FOOTER_ENTRY.wallMs, frame.wallMs);
    view.setUint32(at + FOOTER_ENTRY.clock, frame.clock, true);
    bytes.set(frame.hashChain?.prevHash ?? ZERO_HASH, at + FOOTER_ENTRY.prevHash);
    bytes.set(frame.hashChain?.eventHash ?? ZERO_HASH, at + FOOTER_ENTRY.eventHash);
    writeU64(view, at + FOOTER_ENTRY.frameOffset, frameOffset);
    view.setUint32(at + FOOTER_ENTRY.frameLength, frameLength, true);
    writeU64(view, at + FOOTER_ENTRY.globalSequence, globalSequence);
    writeFooterId(bytes, at + FOOTER_ENTRY.correlationId, frame.correlationId);
    if (frame.causationId !== null) writeFooterId(bytes, at + FOOTER_ENTRY.causationId, frame.causationId);
    this.#rows.position = at + FOOTER_ENTRY.bytes;
    this.#entryCount++;
  }

  #intern(text: string): number {
    const known = this.#indexes.get(text);
    if (known !== undefined) return known;
    const index = this.#strings.length;
    this.#strings.push(text);
    this.#indexes.set(text, index);
    return index;
  }

  /** The footer's bytes for a segment whose frames end at `tableOffset`, in parts that are to be written one after another. Nothing is added any more. */
  *parts(tableOffset: number): Generator<Uint8Array, void, undefined> {
    yield* stringTable(this.#strings);
    yield this.#rows.bytes.subarray(0, this.#rows.position);
    const trailer = new Uint8Array(FOOTER_TRAILER.bytes);
    const view = viewOf(trailer);
    writeU64(view, FOOTER_TRAILER.tableOffset, tableOffset);
    view.setUint32(FOOTER_TRAILER.entryCount, this.#entryCount, true);
    for (let index = 0; index < FOOTER_MAGIC.length; index++) trailer[FOOTER_TRAILER.magic + index] = FOOTER_MAGIC.charCodeAt(index);
    yield trailer;
  }
}

function* stringTable(strings: readonly string[]): Generator<Uint8Array, void, undefined> {
  let sink = new GrowingSink();
  makeRoom(sink, ARRAY_HEADER_BYTES_MAX);
  writeArrayHeader(sink, strings.length);
  for (let from = 0; from < strings.length; from += PER_STEP) {
    for (const text of strings.slice(from, from + PER_STEP)) {
      makeRoom(sink, stringBytesMax(text));
      writeString(sink, text);
    }
    yield sink.copy();
    sink = new GrowingSink();
  }
  if (sink.position > 0) yield sink.copy();
}

function writeU64(view: DataView, at: number, value: number): void {
  const high = Math.floor(value / U32_RANGE);
  view.setUint32(at, value - high * U32_RANGE, true);
  view.setUint32(at + 4, high, true);
}

/** Copies one of a footer's ids, most significant byte first. */
export function readFooterId(bytes: Uint8Array, at: number, target: Uint8Array): void {
  for (let index = 0; index < ID_BYTES; index++) target[index] = bytes[at + ID_BYTES - 1 - index];
}

export interface FooterEntryFields {
  readonly frame: FooterEvent;
  readonly frameOffset: number;
  readonly frameLength: number;
  readonly globalSequence: number;
}

/** A footer's bytes from its entries in file order. */
export function encodeFooter(tableOffset: number, entries: Iterable<FooterEntryFields>): Uint8Array {
  const builder = new FooterBuilder();
  for (const entry of entries) builder.push(entry.frame, entry.frameOffset, entry.frameLength, entry.globalSequence);
  return Buffer.concat([...builder.parts(tableOffset)]);
}
