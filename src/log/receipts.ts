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
import type { Settle } from "./append-request.ts";
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

/** Waits for a group and gives the receipts of its own frames in it. */
export class WaiterForReceipts implements Waiter {
  readonly firstFrame: number;
  readonly frames: number;
  readonly #format: FrameFormat;
  readonly #durable: boolean;
  readonly #settle: Settle;

  constructor(firstFrame: number, frames: number, format: FrameFormat, durable: boolean, settle: Settle) {
    this.firstFrame = firstFrame;
    this.frames = frames;
    this.#format = format;
    this.#durable = durable;
    this.#settle = settle;
  }

  committed(group: CommitGroup): void {
    const { bytes, view, kernel, sequences } = group;
    const { offsets } = kernel;
    const { frames } = this;
    const room = roomFor(frames);
    const receipts = new Array<Receipt>(frames);
    for (let i = 0; i < frames; i++) {
      const frame = this.firstFrame + i;
      receipts[i] = receiptOf(this.#format, bytes, view, offsets[frame], sequences[frame], this.#durable, room);
    }
    this.#settle.resolve(receipts);
  }

  failed(error: unknown): void {
    this.#settle.reject(error);
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
    const { bytes, view, at } = frames.read(first.segment.id, segmentIndex.offsetAt(row));
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
