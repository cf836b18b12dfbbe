/**
 * Receipts, told when their group is visible. Ids and hashes are copied out of the group as bytes, into small arrays of their own, and become
 * text when somebody looks.
 */
import { inspect } from "node:util";
import type { Receipt } from "../events/event.ts";
import { formatHex, formatId } from "../events/id.ts";
import type { FrameFormat } from "../format/frame-format.ts";
import type { RemovedRow } from "../format/native/retention.ts";
import type { RowPlace, StoreIndex } from "../index/store-index.ts";
import type { CommitGroup, Waiter } from "./commit-group.ts";
import type { FrameSource } from "./frame-source.ts";

const ID_BYTES = 16;
const HASH_BYTES = 32;
const RECEIPT_BYTES = ID_BYTES + HASH_BYTES;

/** Small appends share memory for their receipts: a receipt that is kept pins no more than this. */
const SHARED_RECEIPTS = 64;

/** Memory for ids and hashes of receipts. */
interface Room {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  /** How many receipts it has place for, and how many of the places are taken. */
  readonly places: number;
  taken: number;
}

function newRoom(places: number): Room {
  const bytes = new Uint8Array(places * RECEIPT_BYTES);
  return { bytes, view: new DataView(bytes.buffer), places, taken: 0 };
}

let shared: Room = newRoom(0);

/** Room with as many free places. */
function roomFor(receipts: number): Room {
  if (receipts > SHARED_RECEIPTS / 4) return newRoom(receipts);
  if (shared.taken + receipts > shared.places) shared = newRoom(SHARED_RECEIPTS);
  return shared;
}

class StoredReceipt implements Receipt {
  readonly sequence: number;
  readonly clock: number;
  readonly timestamp: number;
  readonly durable: boolean;
  readonly #bytes: Uint8Array;
  readonly #at: number;

  constructor(bytes: Uint8Array, at: number, sequence: number, clock: number, timestamp: number, durable: boolean) {
    this.#bytes = bytes;
    this.#at = at;
    this.sequence = sequence;
    this.clock = clock;
    this.timestamp = timestamp;
    this.durable = durable;
  }

  get id(): string {
    return formatId(this.#bytes, this.#at);
  }

  get hash(): string {
    return formatHex(this.#bytes, this.#at + ID_BYTES, HASH_BYTES);
  }

  toJSON(): Receipt {
    const { id, sequence, clock, hash, timestamp, durable } = this;
    return { id, sequence, clock, hash, timestamp, durable };
  }

  [inspect.custom](): Receipt {
    return this.toJSON();
  }
}

/** Makes the receipt of a frame that lies in `bytes`. */
function receiptOf(
  format: FrameFormat,
  bytes: Uint8Array,
  view: DataView,
  at: number,
  sequence: number,
  durable: boolean,
  room: Room,
): Receipt {
  const keptAt = room.taken++ * RECEIPT_BYTES;
  if (format.copyIdAndHash !== undefined) format.copyIdAndHash(view, at, room.view, keptAt);
  else {
    format.copyId(bytes, view, at, room.bytes, keptAt);
    format.copyHash(bytes, view, at, room.bytes, keptAt + ID_BYTES);
  }
  const timestamp = Math.floor(format.timeMicros(view, at) / 1000);
  return new StoredReceipt(room.bytes, keptAt, sequence, format.clock(view, at), timestamp, durable);
}

type Resolve = (receipts: Receipt | readonly Receipt[]) => void;

let newResolve: Resolve;
let newReject: (error: unknown) => void;

/** Takes the ends of the promise that is being made: one function for all of them instead of a closure each. */
function takeEnds(resolve: Resolve, reject: (error: unknown) => void): void {
  newResolve = resolve;
  newReject = reject;
}

/**
 * A promise of receipts, settled once, either way; and, once its events are placed, the one who waits for their group. It must not lead back
 * to what was given: it outlives it by a write to the disk.
 */
export class PromisedReceipts implements Waiter {
  readonly promise: Promise<Receipt | readonly Receipt[]>;
  firstFrame = 0;
  frames = 0;
  readonly #single: boolean;
  readonly #resolve: Resolve;
  readonly #reject: (error: unknown) => void;
  #format: FrameFormat | null = null;
  #durable = false;

  /** @param single it is a promise of one receipt instead of a list */
  constructor(single: boolean) {
    this.#single = single;
    this.promise = new Promise(takeEnds);
    this.#resolve = newResolve;
    this.#reject = newReject;
  }

  resolve(receipts: readonly Receipt[]): void {
    this.#resolve(this.#single ? receipts[0] : receipts);
  }

  reject(error: unknown): void {
    this.#reject(error);
  }

  /** Its events have their places: they are frames [firstFrame, firstFrame + frames) of a group. */
  placed(firstFrame: number, frames: number, format: FrameFormat, durable: boolean): this {
    this.firstFrame = firstFrame;
    this.frames = frames;
    this.#format = format;
    this.#durable = durable;
    return this;
  }

  committed(group: CommitGroup): void {
    const { frames } = this;
    const room = roomFor(frames);
    if (this.#single) return this.#resolve(this.#receipt(group, this.firstFrame, room));
    const receipts = new Array<Receipt>(frames);
    for (let i = 0; i < frames; i++) receipts[i] = this.#receipt(group, this.firstFrame + i, room);
    this.#resolve(receipts);
  }

  #receipt(group: CommitGroup, frame: number, room: Room): Receipt {
    const { bytes, view, kernel, sequences } = group;
    return receiptOf(this.#format as FrameFormat, bytes, view, kernel.offsets[frame], sequences[frame], this.#durable, room);
  }

  failed(error: unknown): void {
    this.#reject(error);
  }
}

/** The receipts of events that were there already. */
export function repeatedReceipts(
  first: RowPlace,
  count: number,
  index: StoreIndex,
  frames: FrameSource,
  durable: boolean,
): readonly Receipt[] {
  const segmentIndex = index.indexOf(first.segment);
  const room = newRoom(count);
  return Array.from({ length: count }, (_, i) => {
    const row = first.row + i;
    const { bytes, view, at } = frames.readRow(first.segment, segmentIndex, row);
    return receiptOf(frames.format, bytes, view, at, segmentIndex.sequenceAt(row), durable, room);
  });
}

/** The receipts of events that compaction removed. */
export function removedReceipts(rows: readonly RemovedRow[], durable: boolean): readonly Receipt[] {
  return rows.map(({ id, hash, sequence, clock, timeMicros }) => {
    const bytes = Buffer.concat([id, hash]);
    return new StoredReceipt(bytes, 0, sequence, clock, Math.floor(timeMicros / 1000), durable);
  });
}
