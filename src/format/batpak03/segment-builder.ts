/**
 * The bytes of one segment in the making: header, frames, footer. No I/O: the caller writes what it is given, in order.
 *
 * 1. `writtenBytes` is the file's size once everything given so far is written: the next frame's offset.
 * 2. `isFull` is the original's rule of rotation, to be asked before a single append or before a whole batch, never inside one: no batch
 *    straddles two segments.
 * 3. Markers take no sequence and stand in no footer.
 */
import type { ByteSink } from "../../base/byte-sink.ts";
import { assert } from "../../base/assert.ts";
import { type Footer, FooterBuilder } from "./footer.ts";
import type { FrameFields } from "./frame.ts";
import { encodeFrame } from "./frame.ts";
import { BATCH, ID_BYTES, ZERO_HASH } from "./layout.ts";
import { encodeSegmentHeader } from "./segment.ts";

export interface SegmentOptions {
  readonly segmentId: number;
  /** Nanoseconds since the Unix epoch. */
  readonly createdNs: bigint;
  /** The size, footer apart, at which the next frame goes to the next segment. */
  readonly segmentBytesMax: number;
}

/** Where a frame stands in its segment. */
export interface FramePlace {
  readonly offset: number;
  readonly length: number;
}

export class SegmentBuilder {
  readonly segmentId: number;
  readonly #segmentBytesMax: number;
  readonly #footer = new FooterBuilder();
  #writtenBytes: number;
  #batchItemsLeft = -1;
  #batchId = 0;
  #sealed = false;

  /** Begins a segment: writes its header to `sink`. */
  constructor(sink: ByteSink, options: SegmentOptions) {
    const start = sink.position;
    encodeSegmentHeader(sink, { flags: 0, createdNs: options.createdNs, segmentId: options.segmentId });
    this.segmentId = options.segmentId;
    this.#segmentBytesMax = options.segmentBytesMax;
    this.#writtenBytes = sink.position - start;
  }

  get writtenBytes(): number {
    return this.#writtenBytes;
  }

  /** Events so far, markers apart. */
  get eventCount(): number {
    return this.#footer.entryCount;
  }

  /** Whether the next append belongs in a new segment. */
  get isFull(): boolean {
    return this.#writtenBytes >= this.#segmentBytesMax;
  }

  /** What the footer would say of the events so far, where it lies. */
  get entries(): Footer {
    return this.#footer.entries();
  }

  /** Writes an event's frame to `sink` and notes it for the footer. */
  append(sink: ByteSink, fields: FrameFields, globalSequence: number): FramePlace {
    if (this.#batchItemsLeft >= 0) this.#batchItemsLeft--;
    const place = this.#write(sink, fields);
    this.#footer.push(fields, place.offset, place.length, globalSequence);
    return place;
  }

  /**
   * Opens a batch of `itemCount` events.
   * @param allocator the sequence that the batch's first event takes: it is the markers' id
   */
  beginBatch(sink: ByteSink, itemCount: number, allocator: number, timestampUs: number, wallMs: number): FramePlace {
    assert(this.#batchItemsLeft === -1, "batches do not nest");
    this.#batchItemsLeft = itemCount;
    this.#batchId = allocator;
    return this.#write(sink, batchMarker(BATCH.beginKind, itemCount, allocator, timestampUs, wallMs));
  }

  /** Closes the batch; all its events must have been appended. */
  commitBatch(sink: ByteSink, timestampUs: number, wallMs: number): FramePlace {
    assert(this.#batchItemsLeft === 0, "a batch is committed when all its events are written");
    this.#batchItemsLeft = -1;
    return this.#write(sink, batchMarker(BATCH.commitKind, 0, this.#batchId, timestampUs, wallMs));
  }

  #write(sink: ByteSink, fields: FrameFields): FramePlace {
    assert(!this.#sealed, "nothing follows a footer");
    const offset = this.#writtenBytes;
    const length = encodeFrame(sink, fields);
    this.#writtenBytes = offset + length;
    return { offset, length };
  }

  /** The footer, in parts that the caller writes one after another: the segment is complete with them. */
  seal(): Generator<Uint8Array, void, undefined> {
    assert(this.#batchItemsLeft === -1 && !this.#sealed, "a segment is sealed once, outside a batch");
    this.#sealed = true;
    return this.#footer.parts(this.#writtenBytes);
  }
}

/** A marker's frame. Its ids are the sequence allocator's value when the batch began. */
export function batchMarker(eventKind: number, itemCount: number, allocator: number, timestampUs: number, wallMs: number): FrameFields {
  const id = new Uint8Array(ID_BYTES);
  new DataView(id.buffer).setBigUint64(ID_BYTES - 8, BigInt(allocator));
  return {
    eventId: id,
    correlationId: id,
    causationId: null,
    timestampUs,
    wallMs,
    counter: 0,
    depth: 0,
    lane: 0,
    clock: 0,
    payloadSize: itemCount,
    eventKind,
    flags: 0,
    contentHash: ZERO_HASH,
    hashChain: null,
    entity: BATCH.entity,
    scope: BATCH.scope,
    payloadForm: "bytes",
    payload: new Uint8Array(0),
  };
}
