/**
 * What a conversion reads: every event of a store in order, whole batches at a time, as items that another layout's writer places where they
 * stood. Payload bytes are taken over as they are.
 */
import { TIME_MICROS_MAX } from "./base/clock.ts";
import { rest } from "./base/rest.ts";
import { StoreError } from "./base/store-error.ts";
import { getUint64 } from "./base/u64.ts";
import { decodeUtf8 } from "./base/utf8-decode.ts";
import { NAME_BYTES_MAX } from "./events/coordinate.ts";
import { decodeFrame, type Frame, frameEntity, frameScope } from "./format/batpak03/frame.ts";
import { U32_MAX } from "./format/batpak03/layout.ts";
import { payloadBytes } from "./format/batpak03/payload.ts";
import { nativeFrames } from "./format/native/frame-format.ts";
import { FRAME } from "./format/native/frame-layout.ts";
import { causationAt, correlationAt, entityStart, frameLength, metadataStart, payloadStart, scopeStart } from "./format/native/frame.ts";
import { IndexPageError } from "./index/sealed-segment-index.ts";
import { endsBatch } from "./index/segment-index.ts";
import type { SegmentEntry } from "./index/store-index.ts";
import { blake3 } from "./kernel/frame-kernel.ts";
import { AppendItem, type Placement, StoredPayload } from "./log/append-request.ts";
import type { LoadedFrame } from "./log/frame-loader.ts";
import { RowSearch } from "./log/row-search.ts";
import { systemRecordOf } from "./log/system-records.ts";
import type { Opened } from "./open-store.ts";

/** Where the metadata of a converted event keeps what only the batpak 0.3 layout has fields for. */
const METADATA_NAME = "batpak03";
/** Numbers of a frame that are mostly zero: the original writes none but that, later releases of it have lanes. */
const KEPT_NUMBERS = ["flags", "counter", "depth", "lane"] as const;

/** Events that are read, taken apart and placed in one turn of the event loop. */
const ROWS_AT_ONCE = 512;
const WALL_MS_MAX = Math.floor(TIME_MICROS_MAX / 1000);

/**
 * The batches of the source that are visible now, oldest first. What an earlier conversion kept in an event's metadata is part of its placement, and
 * not of its metadata.
 */
export async function* batchesOf(source: Opened): AsyncGenerator<readonly AppendItem[], undefined> {
  const { parts } = source;
  const { index } = parts.log;
  const converted = parts.layout === "native" ? sequencesConverted(parts.log.records) : 0;
  const itemOf = (frame: LoadedFrame, sequence: number): AppendItem =>
    parts.layout === "native" ? nativeItem(frame, sequence, sequence < converted) : batpak03Item(frame, sequence);
  const to = index.visible.sequence;
  const rows = new Uint32Array(ROWS_AT_ONCE);
  let next = 0;
  let search = new RowSearch(index, [{}], { from: next, to, direction: "forward" });
  let batch: AppendItem[] = [];
  for (let count = -1; count !== 0; ) {
    await rest();
    try {
      count = search.next(rows);
      if (count <= 0) continue;
      const segment = search.segment as SegmentEntry;
      const segmentIndex = index.indexOf(segment);
      for (let from = 0; from < count; ) {
        const length = parts.loader.chunk(segment, rows, from, count);
        for (const frame of await parts.loader.load(segment, rows, from, length)) {
          // Looked up before the event counts as read: where a page is bad, the search begins anew with this event, and sees its batch end.
          const sequence = segmentIndex.sequenceAt(frame.row);
          const isLast = endsBatch(segmentIndex, frame.row);
          batch.push(itemOf(frame, sequence));
          next = sequence + 1;
          if (!isLast) continue;
          yield batch;
          batch = [];
        }
        from += length;
      }
    } catch (error) {
      if (!(error instanceof IndexPageError)) throw error;
      // What a bad page of an index block would say, the frames say as well.
      index.rebuildIndex(error.segmentId);
      search = new RowSearch(index, [{}], { from: next, to, direction: "forward" });
      count = -1;
    }
  }
  if (batch.length > 0) yield batch;
}

/** Events before this sequence came from a store of the batpak 0.3 layout: of no other is `METADATA_NAME` the conversion's. */
function sequencesConverted(records: readonly Uint8Array[]): number {
  for (const frame of records) {
    const record = systemRecordOf(frame);
    // Its own place, not the source's next sequence that it names: numbers that the source had left out at its end, later events have here.
    if (record?.record === "conversion") return getUint64(new DataView(frame.buffer, frame.byteOffset, frame.byteLength), FRAME.sequence);
  }
  return 0;
}

function nativeItem({ slab, at }: LoadedFrame, sequence: number, isConverted: boolean): AppendItem {
  const { bytes, view } = slab;
  const copy = (from: number, length: number): Uint8Array => bytes.slice(from, from + length);
  const correlation = correlationAt(view, at);
  const causation = causationAt(view, at);
  const hashAt = at + frameLength(view, at) - FRAME.hashBytes;
  const payload = payloadStart(view, at);
  const timeMicros = getUint64(view, at + FRAME.time);
  const metadata = nativeFrames.metadata(bytes, view, at);
  const item = new AppendItem(
    decodeUtf8(bytes, entityStart(view, at), scopeStart(view, at)),
    decodeUtf8(bytes, scopeStart(view, at), metadataStart(view, at)),
    nativeFrames.kind(view, at),
    nativeFrames.version(view, at),
    null,
    new StoredPayload(copy(payload, hashAt - payload)),
    copy(at + FRAME.id, 16),
    null,
    correlation === at + FRAME.id ? null : copy(correlation, 16),
    causation < 0 ? null : copy(causation, 16),
    isConverted ? null : metadata,
    null,
    timeMicros,
  );
  item.placement = {
    clock: getUint64(view, at + FRAME.clock),
    sequence,
    ...keptFields(isConverted ? metadata?.[METADATA_NAME] : null, timeMicros),
  };
  return item;
}

/** What an earlier conversion noted beside the event. */
function keptFields(kept: unknown, timeMicros: number): Omit<Placement, "clock" | "sequence"> {
  const noted = (typeof kept === "object" && kept !== null ? kept : {}) as Record<string, unknown>;
  const time = noted.timestamp_us;
  const isTime = typeof time === "bigint" ? BigInt.asIntN(64, time) === time : Number.isSafeInteger(time);
  const number = (name: (typeof KEPT_NUMBERS)[number]): number => {
    const value = noted[name];
    return typeof value === "number" && value >= 0 && value <= U32_MAX && Number.isInteger(value) ? value : 0;
  };
  return {
    timestampUs: isTime ? (time as number | bigint) : timeMicros,
    flags: number("flags"),
    counter: number("counter"),
    depth: number("depth"),
    lane: number("lane"),
  };
}

function batpak03Item({ slab, at }: LoadedFrame, sequence: number): AppendItem {
  const { bytes, view } = slab;
  const frame = decodeFrame(bytes, view, at, bytes.length);
  if (frame.kind !== "ok") throw unreadable(sequence, frame.reason);
  const payload = payloadBytes(frame, blake3);
  if (payload.integrity === "broken") throw unreadable(sequence, "its payload does not hash to the event's hash");
  const idAt = (from: number): Uint8Array => bytes.slice(from, from + 16);
  const id = idAt(frame.eventIdAt);
  const correlation = idAt(frame.correlationIdAt);
  const { timestampUs, flags, counter, depth, lane, wallMs, clock, unknownKeys } = frame;
  if (wallMs > WALL_MS_MAX) throw tooLate(sequence, frameEntity(frame), wallMs);
  if (Math.max(frame.entityLength, frame.scopeLength) > NAME_BYTES_MAX) throw tooLong(sequence, frame);
  const kept: Record<string, unknown> = {};
  // A time of the native layout is in microseconds.
  const isTime = typeof timestampUs === "number" && Math.floor(timestampUs / 1000) === wallMs;
  if (!isTime) kept.timestamp_us = timestampUs;
  for (const name of KEPT_NUMBERS) if (frame[name] !== 0) kept[name] = frame[name];
  const item = new AppendItem(
    frameEntity(frame),
    frameScope(frame),
    frame.eventKind,
    1,
    null,
    new StoredPayload(payload.bytes),
    id,
    null,
    Buffer.compare(correlation, id) === 0 ? null : correlation,
    frame.causationIdAt < 0 ? null : idAt(frame.causationIdAt),
    Object.keys(kept).length === 0 ? null : { [METADATA_NAME]: kept },
    null,
    isTime ? timestampUs : wallMs * 1000,
  );
  item.placement = { clock, sequence, timestampUs, flags, counter, depth, lane, unknownKeys };
  return item;
}

function tooLate(sequence: number, entity: string, wallMs: number): StoreError<"UNSUPPORTED_BY_LAYOUT"> {
  const what = `the event with sequence ${sequence} of ${entity} is of the time ${wallMs} ms`;
  const message = `Cannot convert: ${what}, the native layout has room for times up to ${WALL_MS_MAX} ms, in the year 2255`;
  return new StoreError("UNSUPPORTED_BY_LAYOUT", message, { layout: "native", feature: "times after the year 2255" });
}

function tooLong(sequence: number, { entityLength, scopeLength }: Frame): StoreError<"UNSUPPORTED_BY_LAYOUT"> {
  const [name, bytes] = entityLength > NAME_BYTES_MAX ? ["entity", entityLength] : ["scope", scopeLength];
  const what = `the ${name} of the event with sequence ${sequence} takes ${bytes} bytes`;
  const message = `Cannot convert: ${what}, the native layout has room for names up to ${NAME_BYTES_MAX} bytes`;
  return new StoreError("UNSUPPORTED_BY_LAYOUT", message, { layout: "native", feature: `names of more than ${NAME_BYTES_MAX} bytes` });
}

function unreadable(sequence: number, reason: string): StoreError<"CORRUPT"> {
  return new StoreError("CORRUPT", `Cannot convert the event with sequence ${sequence}: ${reason}; batpak verify tells more`, { reason });
}
