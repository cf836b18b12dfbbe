/**
 * The rows without a frame of a record of what compaction removed, written as they are told: what answers retries of batches that are gone
 * (`format/native/retention.ts`). In memory stay 32 bytes of each, its id and its place, until the keys are written, which are in the order of ids: 12
 * more while they are sorted.
 */
import { GrowingSink } from "../base/byte-sink.ts";
import { ARRAY_HEADER_BYTES_MAX, makeRoom, writeArrayHeader } from "../base/msgpack.ts";
import { RecordList } from "../base/record-list.ts";
import { sortedPlaces } from "../base/sorted-places.ts";
import { filterAdd, filterBytes } from "../format/native/index-filter.ts";
import { type RemovedRow, type RetentionFrames, type RetentionSummary, writeRow } from "../format/native/retention.ts";
import { idTag, idTag2 } from "../index/id-tag.ts";

/** Words of a row's record: its id takes two. */
const KEY = { id: 0, offset: 2, batch: 3, words: 4 } as const;
const ID_BYTES = 16;
/** In about so many bytes, as far as a row takes 160. */
const ROWS_PER_FRAME = (64 * 1024) / 160;
const KEYS_PER_FRAME = 2048;
const KEYS_PER_STEP = 8192;
const FILTER_BYTES_MAX = 64 * 1024 * 1024;

export class RemovedRows {
  readonly #frames: RetentionFrames;
  /** The frame that is being filled: its batches as MessagePack, and how many they and their rows are. */
  readonly #sink = new GrowingSink();
  #batches = 0;
  #rows = 0;
  readonly #offsets: number[] = [];
  readonly #keys = new RecordList(KEY.words);

  constructor(frames: RetentionFrames) {
    this.#frames = frames;
  }

  /** The rows of a removed batch, in order. */
  batch(rows: readonly RemovedRow[]): void {
    const sink = this.#sink;
    makeRoom(sink, ARRAY_HEADER_BYTES_MAX);
    writeArrayHeader(sink, rows.length);
    for (const row of rows) {
      writeRow(sink, row);
      const key = this.#keys.add();
      this.#keys.setBytes(key, KEY.id, row.id, 0, ID_BYTES);
      this.#keys.setNumber(key, KEY.batch, this.#batches);
    }
    this.#batches++;
    this.#rows += rows.length;
    if (this.#rows >= ROWS_PER_FRAME) this.#endFrame();
  }

  #endFrame(): void {
    const { length } = this.#keys;
    const offset = this.#frames.addBatches(this.#batches, this.#sink.bytes.subarray(0, this.#sink.position));
    this.#offsets.push(offset);
    for (let key = length - this.#rows; key < length; key++) this.#keys.setNumber(key, KEY.offset, offset);
    this.#sink.position = this.#batches = this.#rows = 0;
  }

  /** How the ids of two rows compare: mostly their first bytes tell, which lie side by side here. */
  async #byId(pause: () => Promise<void>): Promise<(one: number, other: number) => number> {
    const list = this.#keys;
    const firsts = new Uint32Array(list.length);
    for (let key = 0; key < list.length; key++) {
      const id = list.bytes(key, KEY.id, 4);
      firsts[key] = (id[0] << 24) | (id[1] << 16) | (id[2] << 8) | id[3];
      if (key % KEYS_PER_STEP === 0) await pause();
    }
    return (one, other) => firsts[one] - firsts[other] || list.compareBytes(one, other, KEY.id, ID_BYTES);
  }

  /** All rows are told: writes the keys. */
  async end(pause: () => Promise<void>): Promise<Pick<RetentionSummary, "batches" | "keys" | "filter">> {
    if (this.#batches > 0) this.#endFrame();
    const list = this.#keys;
    const sorted = await sortedPlaces(list.length, await this.#byId(pause), pause);
    const filter = new Uint8Array(Math.min(filterBytes(sorted.length), FILTER_BYTES_MAX));
    const keys: { firstId: Uint8Array; offset: number }[] = [];
    for (let from = 0; from < sorted.length; from += KEYS_PER_FRAME) {
      const some = sorted.subarray(from, from + KEYS_PER_FRAME);
      const ids = new Uint8Array(some.length * ID_BYTES);
      const view = new DataView(ids.buffer);
      const places = new DataView(new ArrayBuffer(some.length * 8));
      for (const [i, key] of some.entries()) {
        ids.set(list.bytes(key, KEY.id, ID_BYTES), i * ID_BYTES);
        filterAdd(filter, idTag(view, i * ID_BYTES), idTag2(view, i * ID_BYTES));
        places.setUint32(i * 8, list.number(key, KEY.offset), true);
        places.setUint32(i * 8 + 4, list.number(key, KEY.batch), true);
      }
      const offset = this.#frames.add({ retention: "keys", ids, places: new Uint8Array(places.buffer) });
      keys.push({ firstId: ids.slice(0, ID_BYTES), offset });
      await pause();
    }
    return { batches: this.#offsets, keys, filter };
  }
}
